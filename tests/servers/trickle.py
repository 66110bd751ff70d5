"""A peer that sends one byte at a time, through a raw socket on loopback.

Nothing of ours helps it, and each wait of its client for bytes is short.
"""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_GZIP_HEAD = b"\x1f\x8b\x08\x00" + b"\0" * 4 + b"\0\x03"
_COMPRESSED = OK + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + _GZIP_HEAD
TRICKLES = {
    "status line": (b"H", b"T"),
    "header": (b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    "interim responses": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "chunk size": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "chunk extension": (OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n"),
    "empty gzip blocks": (_COMPRESSED, b"\x00\x00\x00\xff\xff"),
    "gzip members": (_COMPRESSED + b"\x03\x00" + b"\0" * 8, gzip.compress(b"")),
    "body": (OK + b"Content-Length: 100000\r\n\r\n", b" "),
    "body without a length": (OK + b"Connection: close\r\n\r\n", b" "),
}
"""What an answer begins with, and what follows for ever."""

PIECES = 600
"""Sent after the first, 0.1 s apart: longer than any limit in the tests."""


@contextmanager
def trickling(first: bytes, then: bytes, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The address of a peer that answers with `first`, then with `then` every 0.1 s."""
    listener, over = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def talk(peer: socket.socket) -> None:
        with peer:
            try:
                peer.recv(65_536)
                peer.sendall(first)
                for _ in range(PIECES):
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
            try:
                peer = tls.wrap_socket(peer, server_side=True) if tls else peer
            except OSError:
                continue
            threading.Thread(target=talk, args=(peer,), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    with listener:
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
