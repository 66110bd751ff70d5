"""Peers that send one byte at a time: an exchange ends at its limit, in real time.

The peer speaks through a raw socket on loopback, so that nothing of ours helps it.
"""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
from urllib3.util.timeout import Timeout

from jira_audit.edge.time_limit import TimeLimitAdapter

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
GZIP_HEAD = b"\x1f\x8b\x08\x00" + b"\0" * 4 + b"\0\x03"
COMPRESSED = OK + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + GZIP_HEAD
TRICKLES = {
    "status line": (b"H", b"T"),
    "header": (b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    "interim responses": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "chunk size": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "chunk extension": (OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n"),
    "empty gzip blocks": (COMPRESSED, b"\x00\x00\x00\xff\xff"),
    "gzip members": (COMPRESSED + b"\x03\x00" + b"\0" * 8, gzip.compress(b"")),
    "body": (OK + b"Content-Length: 100000\r\n\r\n", b" "),
    "body without a length": (OK + b"Connection: close\r\n\r\n", b" "),
}
LIMIT = 0.6


@contextmanager
def trickling(first: bytes, then: bytes) -> Iterator[str]:
    """The address of a peer that answers with `first`, then with `then` every 0.1 s."""
    listener, over = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def talk(peer: socket.socket) -> None:
        with peer:
            try:
                peer.recv(65_536)
                peer.sendall(first)
                for _ in range(100):
                    if over.wait(0.1):
                        return
                    peer.sendall(then)
            except OSError:
                return

    def listen() -> None:
        while not over.is_set():
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(peer,), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    with listener:
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()


def session() -> requests.Session:
    made = requests.Session()
    made.mount("http://", TimeLimitAdapter(time.monotonic))
    return made


@pytest.mark.parametrize("trickle", TRICKLES.values(), ids=TRICKLES)
@pytest.mark.parametrize(
    "timeout",
    [(LIMIT / 2, LIMIT / 2), Timeout(total=LIMIT, connect=5, read=5)],
    ids=["sum", "total"],
)
def test_trickle_ends_at_the_limit(trickle: tuple[bytes, bytes], timeout: object) -> None:
    begun = time.monotonic()
    with trickling(*trickle) as url, session() as its, pytest.raises(requests.RequestException):
        its.get(url, timeout=timeout)  # type: ignore[arg-type]

    assert time.monotonic() - begun < LIMIT + 1


def test_connection_is_used_again_with_a_limit_of_its_own() -> None:
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with trickling(b"", body) as url, session() as its:
        for _ in range(3):
            assert its.get(url, timeout=(1, 1)).json() == {}


def test_peer_that_stalls_is_a_read_timeout() -> None:
    with trickling(OK, b"") as url, session() as its, pytest.raises(requests.ReadTimeout):
        its.get(url, timeout=(5, 0.2))
