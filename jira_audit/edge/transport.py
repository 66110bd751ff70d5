"""What all HTTP requests of the edge share: sessions without redirects, bounded bodies, and
the route to a site.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from jira_audit.core.clock import Clock
from jira_audit.core.errors import TransientError
from jira_audit.core.http import RawResponse

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
"""Between two pieces of a body."""

PIECE_SIZE = 65_536
"""Bytes of a body read at once, at most."""


@dataclass(frozen=True)
class Connection:
    """The address of a site, without a slash at the end, and the authentication of its requests."""

    base_url: str
    auth: AuthBase


class Route(Protocol):
    """A route to a site, which may have to be opened first. Safe to use from several threads."""

    def open(self) -> Connection:
        """Open the route. Raises TransientError, or SiteError if someone must act."""

    def refresh(self, auth: AuthBase) -> bool:
        """Whether to open the route again after its credentials were refused."""


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: otherwise `requests` reads a redirect's body to its end, without a limit."""


def session() -> requests.Session:
    """A session whose requests name the connector and accept JSON."""
    made = _Session()
    made.headers.update({"Accept": "application/json", "User-Agent": "jira-audit-connector"})
    return made


def fetch(
    session: requests.Session,
    service: str,
    method: str,
    url: str,
    *,
    limit: int,
    seconds: float,
    clock: Clock,
    **options: Any,
) -> RawResponse:
    """One request and its response, whatever the status. Redirects are not followed.

    The body has at most `limit` bytes and arrives within about `seconds`; `options` are those of
    `requests`. Raises TransientError, which names the `service`, if there is no response or it
    exceeds these bounds.
    """
    try:
        with session.request(
            method,
            url,
            timeout=(min(CONNECT_SECONDS, seconds), min(READ_SECONDS, seconds)),
            allow_redirects=False,  # credentials go to this host alone
            stream=True,
            **options,
        ) as response:
            body = read_body(response, limit, seconds, clock)
    except (requests.RequestException, HTTPError) as error:
        # Its kind says enough; its text repeats the address.
        message = f"{service} could not be reached ({type(error).__name__})"
        raise TransientError(message) from error
    if body is None:
        message = f"{service}'s answer was too long, or took too long"
        raise TransientError(message)
    return RawResponse(response.status_code, response.headers, body, clock.now())


def read_body(
    response: requests.Response, limit: int, seconds: float, clock: Clock
) -> bytes | None:
    """The whole body; None if it exceeds `limit` bytes or `seconds`."""
    until = clock.monotonic() + seconds
    body = bytearray()
    # `iter_content` would wait for a whole piece, however slowly it trickles in.
    while piece := response.raw.read1(PIECE_SIZE, decode_content=True):
        body += piece
        if len(body) > limit or clock.monotonic() > until:
            return None
    return bytes(body)
