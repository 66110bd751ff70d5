"""A loopback server for the simulated site."""

import contextlib
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from jira_audit.simulator.site import FakeJira


@contextlib.contextmanager
def serve(site: FakeJira, *, clock_ms: Callable[[], int]) -> Iterator[str]:
    """Let the site be asked over HTTP for as long as the block lasts; yields its base URL.

    It listens on a free port of 127.0.0.1 and speaks HTTP/1.1 with connections kept alive. After
    the block nothing answers any more, connections still open included.

    * `site`: who answers.
    * `clock_ms`: tells the time of each answer, in milliseconds since 1970 (UTC).

    Raises `OSError` if no port could be had.
    """
    server = _Server(site, clock_ms)
    # A short poll, as leaving the block waits for it.
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        server.hang_up()


class _Server(ThreadingHTTPServer):
    # Said again although it is the base class's own: an idle connection must not keep a process.
    daemon_threads = True

    def __init__(self, site: FakeJira, clock_ms: Callable[[], int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.site = site
        self.clock_ms = clock_ms
        self._open: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that hung up is no news; the base class would print a traceback.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """End the connections that are still open."""
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # Head and body leave in one write, and at once: in two, the second would wait some 40 ms for
    # the first one's acknowledgement (https://www.rfc-editor.org/rfc/rfc896).
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        pairs = parse_qsl(target.query, keep_blank_values=True)
        query = dict(pairs)
        has_body = "Content-Length" in self.headers or "Transfer-Encoding" in self.headers
        if has_body or len(query) != len(pairs):
            self.send_error(400, "A repeated parameter or a body is not known here")
            return
        answer = self.server.site.answer(
            target.path, query, dict(self.headers.items()), self.server.clock_ms()
        )
        # Not send_response, which would add a Date of its own.
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the terminal belongs to the demo."""
