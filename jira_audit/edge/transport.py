"""HTTP for the whole edge: sessions that keep and follow nothing, bounded bodies, routes to a site.

Credentials are those of the connector, and go to the host they are meant for: no cookie is kept, no
`.netrc` is read, no redirect is followed. Proxies and certificates of the environment do apply.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util.timeout import Timeout

from jira_audit.core.clock import Clock
from jira_audit.core.errors import ConnectorError, SiteError, TransientError
from jira_audit.core.http import RawResponse
from jira_audit.core.text import is_host, quoted, secrets_in
from jira_audit.edge.time_limit import TimeLimitAdapter

if TYPE_CHECKING:
    from azure.core.pipeline.transport import HttpTransport

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
"""Seconds between two pieces of a body."""

PIECE_SIZE = 65_536
"""Bytes per read, at most."""


MALFORMED = (AttributeError, LookupError, TypeError, ValueError)
"""What Azure's clients raise for a response of a form that they do not expect."""


class ResponseUnusable(TransientError):
    """A response is too long or too slow; a request for less may succeed.

    `start` is the start of a body that is too long.
    """

    def __init__(self, message: str, start: bytes = b"") -> None:
        self.start = start
        super().__init__(message)


IDENTITY_HEADER = "X-IDENTITY-HEADER"
"""What App Service's identity endpoint is authorised with:
https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference"""


@dataclass(frozen=True)
class Connection:
    """A site's address, without a trailing slash, and its requests' authentication."""

    base_url: str
    auth: AuthBase


class Route(Protocol):
    """A route to a site. Thread-safe."""

    def open(self) -> Connection:
        """Open the route. Raises TransientError or SiteError."""

    def refresh(self, auth: AuthBase) -> bool:
        """Whether to reopen the route after its credentials were refused."""


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: otherwise `requests` reads a redirect's whole body, without a limit."""


def session() -> requests.Session:
    """A session that names the connector and accepts JSON. Each request has its `auth`, or none."""
    made = _Session()
    _restrict(made)
    made.headers.update({"Accept": "application/json", "User-Agent": "jira-audit-connector"})
    return made


def azure_transport(
    connect_seconds: float = CONNECT_SECONDS, read_seconds: float = READ_SECONDS
) -> HttpTransport[Any, Any]:
    """A transport for one of Azure's clients that keeps as little as `session` does.

    The timeouts are those of requests without their own: a client that is given a transport ignores
    the timeouts it is constructed with. It still needs `permit_redirects=False` for each request.
    """
    from azure.core.pipeline.transport import RequestsTransport  # noqa: PLC0415  only for a send

    class RestrictedTransport(RequestsTransport):  # type: ignore[misc]  # its package is lazy
        def open(self) -> None:
            """Called before every request; the first one makes the session."""
            super().open()
            _restrict(self.session)

    return RestrictedTransport(connection_timeout=connect_seconds, read_timeout=read_seconds)


def _restrict(session: requests.Session) -> None:
    """Bound each exchange in time. Keep no cookie: a stale one is a refusal, though the token is
    right (https://github.com/pycontribs/jira/issues/1904). Read no `.netrc`, whose password
    `requests` would send in place of a token.
    """
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.auth = _add_nothing
    if not isinstance(session.adapters.get("https://"), TimeLimitAdapter):
        for scheme in ("https://", "http://"):
            session.mount(scheme, TimeLimitAdapter())


def _add_nothing(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def fetch(
    session: requests.Session,
    service: str,
    method: str,
    url: str,
    *,
    limit: int,
    seconds: float,
    clock: Clock,
    read_seconds: float = READ_SECONDS,
    **options: Any,
) -> RawResponse:
    """One request and its response, whatever the status. Redirects are not followed.

    The body has at most `limit` bytes and arrives within about `seconds`, each piece within
    `read_seconds`; `options` go to `requests`. Raises TransientError, which names the `service`, if
    there is no response, and ResponseUnusable if it exceeds these bounds.
    """
    try:
        with session.request(
            method,
            url,
            timeout=Timeout(  # type: ignore[arg-type]  # requests passes it on to urllib3
                total=seconds,
                connect=min(CONNECT_SECONDS, seconds),
                read=min(read_seconds, seconds),
            ),
            allow_redirects=False,  # credentials go to this host alone
            stream=True,
            **options,
        ) as response:
            body = read_body(response, limit, seconds, clock)
    except (requests.ReadTimeout, ReadTimeoutError) as error:
        message = f"{service} did not answer in time"
        raise ResponseUnusable(message) from error
    except (requests.RequestException, HTTPError) as error:
        raise TransientError(unreachable(service, error)) from error
    except OSError as error:
        raise os_error(service, error) from error
    if body is None:
        message = f"{service}'s response took too long"
        raise ResponseUnusable(message)
    if len(body) > limit:
        message = f"{service}'s response is too long (more than {limit:,} bytes)"
        raise ResponseUnusable(message, body)
    sent = response.request.headers.get("Authorization", "")
    return RawResponse(response.status_code, response.headers, body, clock.now(), sent)


def os_error(service: str, error: OSError) -> ConnectorError:
    """The error for an OSError that no library has translated.

    `requests` raises one if the file of certificates is missing.
    """
    if "CA certificate bundle" in str(error):
        message = (
            f"{service} could not be reached: the file of certificates that REQUESTS_CA_BUNDLE or "
            "CURL_CA_BUNDLE names does not exist"
        )
        return SiteError(message)
    return TransientError(unreachable(service, error))


def unreachable(service: str, error: BaseException) -> str:
    """`Jira could not be reached (contoso.atlassian.net: its name was not found)`.

    For errors of `requests`, `urllib3` and Azure's clients. Their own texts are not quoted: they
    repeat whole addresses.
    """
    return f"{service} could not be reached ({network_reason(error)})"


def network_reason(error: BaseException) -> str:
    """The host, if it is known, and why it could not be reached; else the error's type."""
    causes = list(_causes(error))
    reason = next(
        (text for kinds, text in _REASONS if any(isinstance(cause, kinds) for cause in causes)),
        type(error).__name__,
    )
    host = next((host for cause in causes if (host := _host(cause))), "")
    return f"{host}: {reason}" if host else reason


_REASONS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    (
        (requests.exceptions.ProxyError, ProxyError),
        "the proxy cannot be reached or refuses: check HTTPS_PROXY and NO_PROXY",
    ),
    (
        (ssl.SSLCertVerificationError,),
        "its certificate is not trusted: set REQUESTS_CA_BUNDLE if a proxy inspects TLS",
    ),
    ((NameResolutionError, socket.gaierror), "its name was not found: check the address and DNS"),
    ((ConnectionRefusedError,), "the connection was refused: check the address and its port"),
    (
        (ConnectTimeoutError, ReadTimeoutError, requests.Timeout, TimeoutError),
        "timed out: check that a firewall lets it through",
    ),
    ((ConnectionResetError, ConnectionAbortedError, BrokenPipeError), "the connection was closed"),
    ((ssl.SSLError, SSLError), "TLS failed: check that the address speaks it"),
)
"""Why a host could not be reached: the first that fits. A proxy's error has others within."""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those it wraps, the outermost first, each once."""
    waiting, seen = [error], set[int]()
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inner = (
            getattr(cause, "inner_exception", None),
            getattr(cause, "reason", None),
            *cause.args,
            cause.__cause__,
            cause.__context__,
        )
        waiting += [each for each in inner if isinstance(each, BaseException)]


def _host(error: BaseException) -> str:
    """The host that an error of `requests` or `urllib3` is about; empty if it names none."""
    url = getattr(getattr(error, "request", None), "url", None)
    host = urlsplit(url).hostname if isinstance(url, str) else None
    host = host or getattr(getattr(error, "conn", None), "host", None)
    host = host or getattr(getattr(error, "pool", None), "host", None)
    return host if isinstance(host, str) and is_host(host) else ""


def is_unsent(error: Exception) -> bool:
    """Whether a request of an Azure client failed before anything was sent.

    The library raises the same type for a response that breaks off:
    https://github.com/Azure/azure-sdk-for-python/blob/main/sdk/core/azure-core/azure/core/pipeline/transport/_requests_basic.py
    """
    cause = getattr(error, "inner_exception", None)
    first = cause.args[0] if cause is not None and cause.args else None
    reasons = cause, first, getattr(first, "reason", None)
    return any(isinstance(reason, _BEFORE_SENDING) for reason in reasons)


_BEFORE_SENDING = (
    requests.ConnectTimeout,
    requests.exceptions.SSLError,
    ConnectTimeoutError,
    NewConnectionError,
    ProxyError,
    SSLError,
)


def quoted_code(code: object, request: Any) -> str:
    """An Azure service's error code, to quote in a message, in its answer to a `request`."""
    return quoted(str(code or ""), secrets_of(request))


def secrets_of(request: Any) -> tuple[str, ...]:
    """What a `request` of an Azure client sent and nobody may see; empty without a request."""
    headers = getattr(request, "headers", None) or {}
    identity = headers.get(IDENTITY_HEADER, "")
    return (*secrets_in(headers.get("Authorization", "")), *filter(None, [identity]))


def read_body(
    response: requests.Response, limit: int, seconds: float, clock: Clock
) -> bytes | None:
    """The whole body, or its start if it is longer than `limit` bytes; None if it takes longer than
    `seconds`.
    """
    until = clock.monotonic() + seconds
    body = bytearray()
    # `iter_content` would wait for a full piece, however slow.
    while piece := response.raw.read1(PIECE_SIZE, decode_content=True):
        body += piece
        if clock.monotonic() > until:
            return None
        if len(body) > limit:
            break
    return bytes(body)
