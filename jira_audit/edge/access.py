"""The routes to a site: its own address, or Atlassian's gateway.

Cloud ids and tokens stay in memory and are never stored. Redirects are not followed: credentials
reach only the hosts named here.
https://developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps/
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any, Protocol

import requests
from requests.auth import AuthBase

from jira_audit.core import encoding
from jira_audit.core.address import redirect_sentence
from jira_audit.core.clock import Clock
from jira_audit.core.cloud_id import TENANT_PATH, is_cloud_id
from jira_audit.core.errors import SiteError, TransientError
from jira_audit.core.http import Meaning, StatusTable, error_for
from jira_audit.edge import transport
from jira_audit.edge.transport import Connection

ANSWER_SECONDS = 10.0
ANSWER_LIMIT = 65_536
"""Bytes; a token is about 3 KB."""

LONGEST_TOKEN_LIFETIME = 86_400.0
"""Seconds that a token is used for at most, whatever the response says."""

DEFAULT_TOKEN_LIFETIME = 600.0
"""Seconds; for a token without `expires_in`. Tokens live an hour."""

REFRESH_MARGIN = 120.0
"""Seconds before expiry. No token expires in flight."""

_TOO_MANY = Meaning(TransientError, "Atlassian limits the rate of requests")
_REFUSED = Meaning(
    SiteError,
    "Atlassian's token service does not know the OAuth client: its id or secret is wrong, or it "
    "was revoked",
)
_table = partial(
    StatusTable,
    server_error=Meaning(TransientError, "Atlassian is unavailable"),
    other=Meaning(SiteError, "Atlassian's answer is not documented"),
)
TENANT_STATUS = _table(
    {
        404: Meaning(
            SiteError, "there is no Jira at this address: check that the URL names the site"
        ),
        429: _TOO_MANY,
    }
)
TOKEN_STATUS = _table({400: _REFUSED, 401: _REFUSED, 403: _REFUSED, 429: _TOO_MANY})
"""What a status means, and who acts. 5xx are transient; any other needs someone."""


@dataclass(frozen=True)
class DirectRoute:
    """A site's own address, with one set of credentials.

    `base_url` has no trailing slash.
    """

    base_url: str
    auth: AuthBase

    def open(self) -> Connection:
        """The connection; no request is needed."""
        return Connection(self.base_url, self.auth)

    def refresh(self, auth: AuthBase) -> bool:  # noqa: ARG002  part of the port
        """False: these credentials never change."""
        return False


class Credentials(Protocol):
    """The authentication of requests through the gateway."""

    def auth(self) -> AuthBase:
        """The next request's authentication. May request a token; raises as `Gateway.open`."""

    def refresh(self, auth: AuthBase) -> bool:
        """Whether to retry a refused request with new credentials."""


@dataclass(frozen=True)
class BasicCredentials:
    """A user name and an API token."""

    basic: AuthBase

    def auth(self) -> AuthBase:
        """The same authentication every time."""
        return self.basic

    def refresh(self, auth: AuthBase) -> bool:  # noqa: ARG002  part of the protocol
        """False: these credentials never change."""
        return False


class Bearer(AuthBase):
    """An access token of the token service."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Authenticate a request."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class ClientCredentials:
    """An OAuth client's tokens, each used until refused or nearly expired. Thread-safe.

    `secret` is sent only to `token_url`, the token service.
    """

    def __init__(self, token_url: str, client_id: str, secret: str, clock: Clock) -> None:
        self._url, self._client_id, self._secret, self._clock = token_url, client_id, secret, clock
        self._lock = Lock()
        self._current: Bearer | None = None
        self._until = 0.0

    def auth(self) -> AuthBase:
        """The current token. Raises TransientError or SiteError."""
        with self._lock:
            if self._current is None or self._clock.monotonic() >= self._until:
                self._current = self._fetch()
            return self._current

    def refresh(self, auth: AuthBase) -> bool:
        """True; the refused token is discarded."""
        with self._lock:
            if self._current is auth:
                self._current = None
        return True

    def _fetch(self) -> Bearer:
        asked = self._clock.monotonic()
        answer = _ask(
            "POST",
            self._url,
            TOKEN_STATUS,
            self._clock,
            secrets=(self._secret,),
            json={
                "grant_type": "client_credentials",
                "client_id": self._client_id,
                "client_secret": self._secret,
            },
        )
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            message = "the token service's response has no token"
            raise TransientError(message)
        if not isinstance(seconds, int | float) or isinstance(seconds, bool):
            seconds = DEFAULT_TOKEN_LIFETIME
        self._until = asked + max(0.0, min(seconds, LONGEST_TOKEN_LIFETIME) - REFRESH_MARGIN)
        return Bearer(token)


class Gateway:
    """A site behind Atlassian's gateway, for scoped tokens and OAuth clients. Thread-safe.

    If `cloud_id` is None, the site at `site_url` is asked for it, without credentials.
    """

    def __init__(
        self,
        gateway_url: str,
        site_url: str,
        cloud_id: str | None,
        credentials: Credentials,
        clock: Clock,
    ) -> None:
        self._gateway_url, self._site_url, self._cloud_id = gateway_url, site_url, cloud_id
        self._credentials, self._clock = credentials, clock
        self._lock = Lock()

    def open(self) -> Connection:
        """Open the route. Raises TransientError or SiteError."""
        base_url = f"{self._gateway_url}/ex/jira/{self.cloud_id()}"
        return Connection(base_url, self._credentials.auth())

    def cloud_id(self) -> str:
        """The cloud id from the settings, or from the site, which is asked once.

        Raises TransientError or SiteError.
        """
        with self._lock:
            self._cloud_id = self._cloud_id or self._fetch_cloud_id()
            return self._cloud_id

    def use(self, cloud_id: str) -> None:
        """Use this cloud id from now on: the site has just told it."""
        with self._lock:
            self._cloud_id = cloud_id

    def refresh(self, auth: AuthBase) -> bool:
        """Whether to reopen the route after its credentials were refused."""
        return self._credentials.refresh(auth)

    def _fetch_cloud_id(self) -> str:
        url = self._site_url + TENANT_PATH
        answer = _ask("GET", url, TENANT_STATUS, self._clock)
        cloud_id = answer.get("cloudId")
        if not isinstance(cloud_id, str) or not is_cloud_id(cloud_id):
            message = "the site does not tell its cloud id: set it (JIRA_CLOUD_ID, or cloud_id)"
            raise SiteError(message)
        return cloud_id


def _ask(
    method: str,
    url: str,
    statuses: StatusTable,
    clock: Clock,
    secrets: tuple[str, ...] = (),
    **content: Any,
) -> dict[str, Any]:
    """The JSON object of one response. Raises what `statuses` says; no error holds a secret.

    `secrets` are in the content of the request.
    """
    with transport.session() as session:
        response = transport.fetch(
            session,
            "Atlassian",
            method,
            url,
            limit=ANSWER_LIMIT,
            seconds=ANSWER_SECONDS,
            clock=clock,
            **content,
        )
    if statuses is TENANT_STATUS and 300 <= response.status < 400:
        raise SiteError(redirect_sentence(response.headers.get("Location")))
    if response.status != 200:
        raise error_for(
            response.status,
            statuses,
            headers=response.headers,
            now=response.at,
            secrets=(*secrets, *response.secrets),
        )
    try:
        answer = encoding.loads(response.body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        message = "Atlassian answered HTTP 200, but the body is not JSON"
        raise TransientError(message)
    return answer
