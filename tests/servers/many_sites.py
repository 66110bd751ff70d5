"""Any number of Jira sites, each at an address of loopback of its own, with answers that take time.

How each site answers is the tests' business.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from jira_audit.simulator.site import TENANT_PATH, FakeJira, Response
from tests.servers import async_http_server


@dataclass
class ServedSite:
    """One site: who answers, after how many seconds, and what it answers instead, if anything.

    With a `cloud_id`, it is another tenant than the `site` that answers. With `compresses`, bodies
    are gzipped for clients that accept it, as Jira Cloud does, at nginx's default level:
    https://nginx.org/en/docs/http/ngx_http_gzip_module.html#gzip_comp_level.
    It counts what it is `asked`, and how many requests were under way at once at the `most`; its
    first answer left at the moment `first_at` of the monotonic clock.
    """

    site: FakeJira
    seconds: float = 0.0
    instead: Callable[[], Response] | None = None
    cloud_id: str | None = None
    compresses: bool = False
    asked: int = field(default=0, compare=False)
    under_way: int = field(default=0, compare=False)
    most: int = field(default=0, compare=False)
    first_at: float | None = field(default=None, compare=False)

    async def respond(self, request: async_http_server.Request) -> async_http_server.Reply:
        self.asked += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        until = time.monotonic() + self.seconds
        answer = self.instead() if self.instead else self._answer(request)
        answer = self._encoded(request, answer)
        await asyncio.sleep(until - time.monotonic())  # to find the answer takes its part of it
        self.under_way -= 1
        self.first_at = self.first_at or time.monotonic()
        return async_http_server.Reply(answer.status, answer.headers, answer.body)

    def _encoded(self, request: async_http_server.Request, answer: Response) -> Response:
        if not self.compresses or "gzip" not in request.headers.get("accept-encoding", ""):
            return answer
        headers = {**answer.headers, "Content-Encoding": "gzip"}
        return Response(answer.status, headers, gzip.compress(answer.body, 1))

    def _answer(self, request: async_http_server.Request) -> Response:
        url = urlsplit(request.target)
        now = time.time_ns() // 1_000_000
        if self.cloud_id and url.path == TENANT_PATH:
            return Response(200, {}, json.dumps({"cloudId": self.cloud_id}).encode())
        return self.site.answer(url.path, dict(parse_qsl(url.query)), request.headers, now)


def address_of(number: int) -> str:
    """The loopback address of the site of this number: https://www.rfc-editor.org/rfc/rfc1122#section-3.2.1.3"""
    return f"127.0.{1 + number // 250}.{1 + number % 250}"


def cloud_id_of(number: int) -> str:
    """The cloud id of the site of this number: each site is a tenant of its own."""
    return f"11111111-2222-4333-8444-{number:012}"


@contextlib.contextmanager
def serve_sites(
    sites: Mapping[str, ServedSite], tls: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Serve sites by their addresses, all at one port, which is yielded."""

    async def respond(request: async_http_server.Request) -> async_http_server.Reply:
        return await sites[request.address].respond(request)

    with socket.socket() as probe:
        probe.bind((next(iter(sites)), 0))
        port = probe.getsockname()[1]
    with async_http_server.run_server(respond, list(sites), port, tls):
        yield port
