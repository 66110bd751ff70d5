"""Any number of Jira sites, each at an address of loopback of its own, with answers that take time.

One thread serves all of them, and waits for none: what is measured is not this machine's cores.
How each site answers is the tests' business.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from jira_audit.imaginary import Answer, ImaginarySite


@dataclass
class ServedSite:
    """One site: who answers, after how many seconds, and what it answers instead, if anything."""

    site: ImaginarySite
    seconds: float = 0.0
    instead: Callable[[], Answer] | None = None
    asked: int = field(default=0, compare=False)


def address_of(number: int) -> str:
    """The loopback address of the site of this number: https://www.rfc-editor.org/rfc/rfc1122#section-3.2.1.3"""
    return f"127.0.{1 + number // 250}.{1 + number % 250}"


@contextlib.contextmanager
def serving(sites: Mapping[str, ServedSite]) -> Iterator[int]:
    """Serve sites by their addresses, all at one port, which is yielded."""
    with socket.socket() as probe:
        probe.bind((next(iter(sites)), 0))
        port = probe.getsockname()[1]
    loop = asyncio.new_event_loop()
    begun = threading.Event()

    async def serve() -> None:
        handler = _handler(sites)
        server = await asyncio.start_server(handler, list(sites), port, backlog=100)
        begun.set()
        async with server:
            with contextlib.suppress(asyncio.CancelledError):
                await server.serve_forever()

    task = loop.create_task(serve())
    thread = threading.Thread(target=lambda: loop.run_until_complete(task))
    thread.start()
    try:
        assert begun.wait(30)
        yield port
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.run_until_complete(_end_all(loop))
        loop.close()


async def _end_all(loop: asyncio.AbstractEventLoop) -> None:
    others = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for each in others:
        each.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _handler(
    sites: Mapping[str, ServedSite],
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served = sites[writer.get_extra_info("sockname")[0]]
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                target = head[0].split(" ")[1]
                headers = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
                served.asked += 1
                await asyncio.sleep(served.seconds)
                writer.write(_written(_answer(served, target, headers)))
                await writer.drain()
        writer.close()

    return handle


def _answer(served: ServedSite, target: str, headers: Mapping[str, str]) -> Answer:
    if served.instead:
        return served.instead()
    url = urlsplit(target)
    now = time.time_ns() // 1_000_000
    return served.site.answer(url.path, dict(parse_qsl(url.query)), headers, now)


def _written(answer: Answer) -> bytes:
    headers = {**answer.headers, "Content-Length": str(len(answer.body))}
    lines = [
        f"HTTP/1.1 {answer.status} x",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + answer.body
