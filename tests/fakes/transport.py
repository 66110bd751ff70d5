"""The ingestion service as a transport of `requests`, below the real sink and the real library.

HTTP responses of any status can be scripted. Accepted rows go to the world's `FakeSink`.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from typing import Any

import requests
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import RequestsTransport
from azure.monitor.ingestion import LogsIngestionClient
from requests.adapters import BaseAdapter

from jira_audit.core.errors import BatchRefused
from jira_audit.edge.ingestion import IngestionSink
from jira_audit.simulator.site import Response
from tests.fakes.world import Faults, World, response_to

ENDPOINT = "https://rule.westeurope-1.ingest.monitor.azure.com"


class Credential:
    """Always returns the same token."""

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken("a-token-that-nobody-may-see", 2**40)


class IngestionService(BaseAdapter):
    """Responds like the service. Each of the `faults` replaces a response, or raises."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.faults = Faults()
        self._world = world

    def send(self, request: Any, *_: Any, **__: Any) -> requests.Response:
        body = request.body if isinstance(request.body, bytes) else request.body.read()
        with self._world.journal.effect("send"):
            self._world.time.advance(0.1)
            answer: Response = self.faults.run(lambda: self._accept(gzip.decompress(body)))
        return response_to(request, answer)

    def close(self) -> None:
        """Nothing to close."""

    def _accept(self, body: bytes) -> Response:
        try:
            self._world.sink.accept(body)
        except BatchRefused as refusal:
            return error_answer(refusal.status, str(refusal))
        return Response(204, {}, b"")


def error_answer(status: int, code: str, headers: Mapping[str, str] | None = None) -> Response:
    body = json.dumps({"error": {"code": code, "message": "quotes Thing 10001"}}).encode()
    return Response(status, {"Content-Type": "application/json", **(headers or {})}, body)


def install_real_sink(world: World) -> IngestionService:
    """Put the real sink and the real client library between the world's flow and its sink."""
    service, session = IngestionService(world), requests.Session()
    session.mount("https://", service)
    sink = IngestionSink(
        endpoint=ENDPOINT,
        rule="dcr-0123456789abcdef",
        stream="Custom-Jira_Audit_CL",
        audience="https://monitor.azure.com",
        credential=Credential,
        send_seconds=30.0,
        now=world.time.clock.now,
    )
    sink.__dict__["_cached_client"] = LogsIngestionClient(
        ENDPOINT, Credential(), transport=RequestsTransport(session=session, session_owner=False)
    )
    world.sink_in_use = sink
    return service
