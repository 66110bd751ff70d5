"""Atlassian's cloud in memory: sites, the gateway before them, and the token service.

Each refuses what the real one refuses. An unsupported request is an error of the test.
https://developer.atlassian.com/cloud/jira/platform/basic-auth-for-rest-apis/
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from requests.adapters import BaseAdapter

from jira_audit.core.clock import Clock
from jira_audit.simulator.site import FakeJira, Response
from tests.fakes.world import Time, response_to

CLOUD_ID = "11111111-2222-4333-8444-555555555555"
TOKEN_SECONDS = 3600


@dataclass
class Token:
    """An API token. `scopes` is None for a classic token, which has all rights of its user."""

    user: str
    text: str
    scopes: frozenset[str] | None = None
    expired: bool = False


AUDIT = frozenset({"read:audit-log:jira", "read:user:jira"})


@dataclass
class Atlassian(BaseAdapter):
    """One site at `host`, reached at its own address or by the gateway. A transport of `requests`.

    Its `former` hosts redirect to `host`. `asked` has every request: the host, the path, and the
    kind of credentials.
    """

    time: Time
    host: str = "contoso.atlassian.net"
    domain: str = "atlassian.com"
    tokens: list[Token] = field(default_factory=list)
    clients: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    expires_in: object = TOKEN_SECONDS
    script: dict[str, list[Response]] = field(default_factory=dict)
    former: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.site = FakeJira("nobody", "nothing", cloud_id=CLOUD_ID)
        self._bearers: dict[str, float] = {}
        self.revoked: set[str] = set()

    def __hash__(self) -> int:
        return id(self)

    def close(self) -> None:
        """Nothing to close."""

    def send(self, request: Any, *_: Any, **__: Any) -> requests.Response:
        url = urlsplit(request.url)
        assert url.scheme == "https"
        authorization = request.headers.get("Authorization", "")
        kind = authorization.split(" ")[0] or "none"
        self.asked.append((url.netloc, url.path, kind))
        if scripted := self.script.get(url.netloc):
            return response_to(request, scripted.pop(0))
        query = dict(parse_qsl(url.query))
        if url.netloc in self.former:
            found = Response(301, {"Location": f"https://{self.host}{url.path}"}, b"")
        elif url.netloc == self.host:
            found = self._answer_as_site(url.path, query, authorization)
        elif url.netloc == f"api.{self.domain}":
            found = self._answer_as_gateway(url.path, query, authorization)
        elif url.netloc == f"auth.{self.domain}":
            found = self._token(url.path, json.loads(request.body))
        else:
            raise AssertionError(f"nobody is at {url.netloc}")
        return response_to(request, found)

    def rename(self, host: str) -> None:
        """The site gets another host; the one before redirects there."""
        self.former.append(self.host)
        self.host = host

    def _answer_as_site(self, path: str, query: dict[str, str], authorization: str) -> Response:
        if path == "/_edge/tenant_info":
            assert not authorization
            return _json_response(200, {"cloudId": CLOUD_ID})
        token = self._token_of(authorization)
        if token is None or token.scopes is not None:
            return _json_response(401, {"message": "Client must be authenticated"})
        return self._page(path, query)

    def _answer_as_gateway(self, path: str, query: dict[str, str], authorization: str) -> Response:
        if not path.startswith(f"/ex/jira/{CLOUD_ID}/"):
            return _json_response(404, {"code": 404, "message": "no such site"})
        kind, _, text = authorization.partition(" ")
        if kind == "Bearer":
            until = self._bearers.get(text, 0.0)
            if text in self.revoked or self.time.clock.monotonic() >= until:
                return _json_response(401, {"code": 401, "message": "Unauthorized"})
        else:
            token = self._token_of(authorization)
            if token is None:
                return _json_response(401, {"code": 401, "message": "Unauthorized"})
            if token.scopes is not None and not token.scopes >= AUDIT:
                return _json_response(
                    401, {"code": 401, "message": "Unauthorized; scope does not match"}
                )
        if any("Z" not in query.get(bound, "Z") for bound in ("from", "to")):
            return _json_response(200, {"offset": 0, "limit": 1000, "total": 1, "records": []})
        return self._page(path.removeprefix(f"/ex/jira/{CLOUD_ID}"), query)

    def _token_of(self, authorization: str) -> Token | None:
        for token in self.tokens:
            sent = base64.b64encode(f"{token.user}:{token.text}".encode()).decode()
            if authorization == f"Basic {sent}" and not token.expired:
                return token
        return None

    def _page(self, path: str, query: dict[str, str]) -> Response:
        let_in = {"Authorization": "Basic " + base64.b64encode(b"nobody:nothing").decode()}
        return self.site.answer(path, query, let_in, self.time.now)

    def _token(self, path: str, body: dict[str, str]) -> Response:
        assert path == "/oauth/token"
        assert body["grant_type"] == "client_credentials"
        if self.clients.get(body["client_id"]) != body["client_secret"]:
            return _json_response(
                401, {"error": "access_denied", "error_description": "Unauthorized"}
            )
        text = f"bearer-{len(self._bearers) + 1}-nobody-may-see"
        self._bearers[text] = self.time.clock.monotonic() + TOKEN_SECONDS
        return _json_response(
            200, {"access_token": text, "expires_in": self.expires_in, "token_type": "Bearer"}
        )

    @property
    def issued_tokens(self) -> list[str]:
        """The tokens that the token service issued, in order."""
        return list(self._bearers)

    def hosts(self) -> list[str]:
        """The addresses of the requests, in order."""
        return [host for host, _, _ in self.asked]

    def clock(self) -> Clock:
        return self.time.clock


def _json_response(status: int, body: dict[str, Any], **headers: str) -> Response:
    return Response(
        status, {"Content-Type": "application/json", **headers}, json.dumps(body).encode()
    )
