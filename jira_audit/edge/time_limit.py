"""A time limit for whole HTTP exchanges, however slowly a peer sends.

The timeouts of `requests` bound each wait for bytes. A peer that sends one byte at a time, in a
status line, a header, a chunk size or an empty block of gzip, resets them for ever. Here, every
wait ends at the exchange's own limit at the latest.
"""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.timeout import Timeout

Monotonic = Callable[[], float]


class TimeLimitAdapter(HTTPAdapter):
    """An adapter of `requests` whose exchanges take at most their timeouts, together.

    An exchange with a connect and a read timeout takes at most their sum, one with a `total`
    (`urllib3.util.Timeout`) at most that, from the request to the last byte of the body. It then
    fails as with a read timeout. Looking up a host's name is not covered. Sockets wait in real
    time, so `monotonic` is the real clock.
    """

    def __init__(self, monotonic: Monotonic = time.monotonic, **options: Any) -> None:
        self._monotonic = monotonic
        super().__init__(**options)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Use the pools below."""
        super().init_poolmanager(*arguments, **options)
        self._limit(self.poolmanager)

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
        """Use the pools below for a proxy, too."""
        return self._limit(super().proxy_manager_for(*arguments, **options))

    def _limit(self, manager: Any) -> Any:
        manager.pool_classes_by_scheme = {
            "http": lambda *args, **kw: _HttpPool(self._monotonic, *args, **kw),
            "https": lambda *args, **kw: _HttpsPool(self._monotonic, *args, **kw),
        }
        return manager


class _Socket:
    """A connected socket whose waits for bytes end at the connection's limit."""

    def __init__(self, real: socket.socket, connection: _Limited) -> None:
        self._real, self._connection = real, connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def makefile(self, mode: str, *_: object) -> io.BufferedReader:
        """As `socket.makefile`, which would read from the real socket."""
        if mode != "rb":
            raise ValueError(mode)
        self._real._io_refs += 1  # type: ignore[attr-defined]  # noqa: SLF001  as the original does
        return io.BufferedReader(socket.SocketIO(self, "r"))  # type: ignore[arg-type]

    def recv_into(self, buffer: memoryview) -> int:
        """Wait for bytes, at most until the limit. Raises TimeoutError."""
        self._real.settimeout(self._connection.wait_at_most(self._real.gettimeout()))
        return self._real.recv_into(buffer)

    def sendall(self, data: bytes) -> None:
        """Send, at most until the limit. Raises TimeoutError."""
        self._real.settimeout(self._connection.wait_at_most(self._real.gettimeout()))
        self._real.sendall(data)


class _Limited:
    """A connection with a limit for the exchange in progress."""

    monotonic: Monotonic
    until: float | None = None
    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.sock = _Socket(self.sock, self)

    def wait_at_most(self, timeout: float | None) -> float | None:
        """The shorter of a timeout and the time left. Raises TimeoutError if none is left."""
        if self.until is None:
            return timeout
        left = self.until - self.monotonic()
        if left <= 0:
            message = "timed out: the exchange took too long"
            raise TimeoutError(message)
        return left if timeout is None else min(timeout, left)


class _HttpConnection(_Limited, HTTPConnection):
    pass


class _HttpsConnection(_Limited, HTTPSConnection):
    pass


class _LimitedPool:
    """A pool that sets the limit of a connection when a request begins."""

    def __init__(self, monotonic: Monotonic, *arguments: Any, **options: Any) -> None:
        self._monotonic = monotonic
        super().__init__(*arguments, **options)

    def _make_request(
        self, conn: _Limited, method: str, url: str, *, timeout: Timeout, **options: Any
    ) -> Any:
        conn.monotonic = self._monotonic
        total = _total(timeout)
        conn.until = None if total is None else self._monotonic() + total
        return super()._make_request(  # type: ignore[misc]
            conn, method, url, timeout=timeout, **options
        )


class _HttpPool(_LimitedPool, HTTPConnectionPool):  # type: ignore[misc]
    ConnectionCls = _HttpConnection


class _HttpsPool(_LimitedPool, HTTPSConnectionPool):  # type: ignore[misc]
    ConnectionCls = _HttpsConnection


def _total(timeout: Timeout) -> float | None:
    """The seconds for a whole exchange; None: without a limit."""
    if isinstance(timeout.total, int | float):
        return timeout.total
    parts = timeout.connect_timeout, timeout._read  # noqa: SLF001  `read_timeout` needs a start
    seconds = [part for part in parts if isinstance(part, int | float)]
    return sum(seconds) if len(seconds) == len(parts) else None
