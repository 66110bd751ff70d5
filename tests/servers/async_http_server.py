"""An HTTP server whose answers may take time, many at once, on one thread: it waits for none.

For measurements, where the server's own work must not count. What it answers is its caller's.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    """One request, and the address of this server that it came to. Headers in lower case."""

    address: str
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


Respond = Callable[[Request], Awaitable[Reply]]


@contextlib.contextmanager
def run_server(
    respond: Respond, addresses: Sequence[str], port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Serve at these addresses, all at one port, which is yielded."""
    loop = asyncio.new_event_loop()
    begun = threading.Event()
    ports: list[int] = []

    async def serve() -> None:
        server = await asyncio.start_server(
            _connection_handler(respond), list(addresses), port, backlog=100, ssl=tls
        )
        ports.extend(each.getsockname()[1] for each in server.sockets)
        begun.set()
        # Not `serve_forever`: from Python 3.12 on its end waits until every client has hung up.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        server.close()

    task = loop.create_task(serve())
    thread = threading.Thread(target=lambda: loop.run_until_complete(task))
    thread.start()
    try:
        assert begun.wait(30)
        assert len(set(ports)) == 1
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.run_until_complete(_cancel_tasks(loop))
        loop.close()


async def _cancel_tasks(loop: asyncio.AbstractEventLoop) -> None:
    others = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for each in others:
        each.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _connection_handler(
    respond: Respond,
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("sockname")[0]
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                    method, target, _ = head[0].split(" ")
                    named = (line.split(": ", 1) for line in head[1:] if ": " in line)
                    headers = {name.lower(): value for name, value in named}
                    body = await reader.readexactly(int(headers.get("content-length", 0)))
                    writer.write(
                        _encode(await respond(Request(address, method, target, headers, body)))
                    )
                    await writer.drain()
        finally:
            writer.close()

    return handle


def _encode(reply: Reply) -> bytes:
    headers = dict(reply.headers)
    if reply.status != 204:  # RFC 9110, 8.6: a 204 has no Content-Length
        headers["Content-Length"] = str(len(reply.body))
    lines = [f"HTTP/1.1 {reply.status} x", *(f"{name}: {said}" for name, said in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + reply.body
