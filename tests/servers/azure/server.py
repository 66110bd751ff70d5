"""The local Azure over HTTPS, for the real az: Resource Manager, an app's host and its publishing
endpoint, at one address; and the identity endpoint from which az gets its tokens."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import trustme

from tests.servers.azure.api import Api
from tests.servers.azure.app import App
from tests.servers.azure.cloud import TENANT, Body
from tests.servers.azure.refusal import Refusal
from tests.servers.identity import HEADER, audience_of, issue
from tests.servers.loopback import Handler, Loopback

AUDIENCE = "https://management.core.windows.net/"
APP_SERVICE_AUDIENCE = "https://appservice.azure.com"
_FAILED, _SUCCEEDED = 3, 4
"""States of a publication: https://github.com/projectkudu/kudu/blob/master/Kudu.Contracts/Deployment/DeployStatus.cs"""


@dataclass
class Publication:
    status: int
    said: str = ""


@dataclass
class Server:
    """`lock` is held while the local Azure answers: its clock is moved from elsewhere too."""

    api: Api
    lock: threading.Lock = field(default_factory=threading.Lock)
    published: list[Publication] = field(default_factory=list)
    builds: list[str] = field(default_factory=list)

    @contextmanager
    def serve(self, authority: trustme.CA) -> Iterator[str]:
        """Yields the address."""
        server = self
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(tls)

        class _Handler(Handler):
            def _handle(self) -> None:
                raw = self.body()
                token = (self.headers.get("Authorization") or "").partition(" ")[2]
                with server.lock:
                    status, body = server.respond(self.command, self.path, raw, token)
                if body is None:
                    self.answer(status)
                else:
                    self.answer_json(status, body)

            do_GET = do_POST = _handle
            do_PUT = do_DELETE = do_HEAD = do_PATCH = _handle  # noqa: N815  the base class's names

        with Loopback(_Handler, tls) as loopback:
            host = f"localhost:{loopback.port}"
            self.api.azure.host_names = lambda app: _host_names(app, host)
            yield f"https://{host}"

    def respond(self, method: str, target: str, raw: bytes, token: str) -> tuple[int, Any]:
        path = urlsplit(target).path.rstrip("/")
        if path == "/admin/host/status":
            return self._host_status()
        wanted = APP_SERVICE_AUDIENCE if path.startswith("/api/") else AUDIENCE
        if audience_of(token, time.time()) not in {wanted, f"{wanted}/"}:
            return 401, Refusal(401, "InvalidAuthenticationToken", "The token is not for this").body
        if path == "/api/publish":
            return self._publish(dict(parse_qsl(urlsplit(target).query)), raw)
        if path == "/api/deployments/latest":
            last = self.published[-1]
            return 200, {"id": "latest", "status": last.status, "status_text": last.said}
        if path == "/api/deployments":
            began = self.api.azure.now.isoformat()
            return 200, [{"id": "latest", "start_time": began, "log_url": ""}]
        # azure-cli 2.91.0, resource/custom.py, JsonCTemplatePolicy: the file's own text, as it is
        quoted = raw.replace(b", template:", b', "template":', 1)
        return self.api.respond(method, target, json.loads(quoted) if quoted else None)

    def _app(self) -> App:
        [app] = self.api.azure.apps.values()
        return app

    def _publish(self, query: dict[str, str], package: bytes) -> tuple[int, Any]:
        """https://learn.microsoft.com/azure/azure-functions/functions-deployment-technologies#one-deploy"""
        self.builds.append(query["RemoteBuild"])
        azure = self.api.azure
        try:
            azure.demand("Microsoft.Web/sites/publish/action", self._app().id)
            azure.publish(self._app(), package, build=query["RemoteBuild"].lower() == "true")
        except Refusal as refused:
            self.published.append(Publication(_FAILED, refused.message))
            return 202, "latest"
        self.published.append(Publication(_SUCCEEDED))
        return 202, "latest"

    def _host_status(self) -> tuple[int, Any]:
        running = self.api.azure.may_write_storage(self._app())
        return (200, {"state": "Running"}) if running else (503, {"state": "Error"})


def _host_names(app: App, host: str) -> list[Body]:
    return [{"name": host, "hostType": kind} for kind in ("Standard", "Repository")]


@contextmanager
def identity_endpoint() -> Iterator[dict[str, str]]:
    """Where `az login --identity` gets its tokens; yields the variables that lead it there.

    https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
    """

    class _Handler(Handler):
        def do_GET(self) -> None:
            query = dict(parse_qsl(urlsplit(self.path).query))
            if self.headers["X-IDENTITY-HEADER"] != HEADER or "resource" not in query:
                self.answer_json(400, {"message": "resource and X-IDENTITY-HEADER are required"})
                return
            expires = int(time.time()) + 24 * 3600
            self.answer_json(
                200,
                {
                    "access_token": issue(query["resource"], expires, tid=TENANT),
                    "expires_on": str(expires),
                    "resource": query["resource"],
                    "token_type": "Bearer",
                },
            )

    with Loopback(_Handler) as loopback:
        endpoint = f"http://127.0.0.1:{loopback.port}/msi/token"
        yield {"IDENTITY_ENDPOINT": endpoint, "IDENTITY_HEADER": HEADER}
