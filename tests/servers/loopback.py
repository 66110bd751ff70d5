"""An HTTP or HTTPS server on 127.0.0.1 in a thread, which ends with everything it began.

No knowledge of what is served: that is the handler's, in identity.py and ingestion.py.
"""

import http.server
import json
import socket
import ssl
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body leave in two writes: with Nagle's algorithm every answer would take 40 ms
    # longer.
    disable_nagle_algorithm = True
    # A connection that says nothing for this long is given up, so that no thread outlives its test
    # by more.
    timeout = 30

    def log_message(self, *_: Any, **__: Any) -> None:
        pass

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:  # RFC 9110, 8.6: a 204 has no Content-Length
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(body)

    def answer_json(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        kind = {"Content-Type": "application/json; charset=utf-8"}
        self.answer(status, json.dumps(body).encode(), kind | dict(headers or {}))

    def drop(self) -> None:
        """Ends the connection without an answer, as a server that died would."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


class _Server(http.server.ThreadingHTTPServer):
    # Joined on close: a thread that goes on after its test would trouble the next one.
    daemon_threads = False

    def __init__(self, handler: type[Handler], tls: ssl.SSLContext | None) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), handler)
        if tls is not None:
            # The handshake is the handler thread's: here a slow client would hold up all others.
            self.socket = tls.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients that go away or refuse the certificate are part of the tests; anything else is a
        # bug to see.
        if not isinstance(sys.exception(), ConnectionError | TimeoutError | ssl.SSLError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """Kept-alive connections would keep their threads waiting for a next request."""
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # already gone


class Loopback:
    """A context manager: entered, it serves; left, it has ended all its threads and connections."""

    def __init__(self, handler: type[Handler], tls: ssl.SSLContext | None = None) -> None:
        self._server = _Server(handler, tls)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()
