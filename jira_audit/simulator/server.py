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
    """Serve the site over HTTP within the block; yields its base URL.

    It listens on a free port of 127.0.0.1, with HTTP/1.1 keep-alive. After the block it answers
    nothing, on open connections either.

    * `site`: who answers.
    * `clock_ms`: the time of each answer, in milliseconds since 1970 (UTC).

    Raises `OSError` if no port is free.
    """
    server = _Server(site, clock_ms)
    # A short poll: leaving the block waits for it.
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
    # The base class's value, repeated: an idle connection must not keep the process alive.
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
        # Clients may hang up; the base class would print a traceback.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """End the open connections."""
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # Head and body leave at once, in one write. A second write would wait some 40 ms for the first
    # one's acknowledgement (https://www.rfc-editor.org/rfc/rfc896).
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
        # Not send_response, which would add its own Date.
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing: the demo owns the terminal."""
