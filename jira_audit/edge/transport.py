"""What the edge's own HTTP requests share: sessions that follow nothing, bodies within bounds, and
what a route to a site is.
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
    """Where requests to a site go, without a slash at the end, and what authenticates them."""

    base_url: str
    auth: AuthBase


class Route(Protocol):
    """A route to a site, which may have to be opened first. Safe to use from several threads."""

    def open(self) -> Connection:
        """Open it. Raises TransientError, or SiteError when someone has to act."""

    def refresh(self, auth: AuthBase) -> bool:
        """Whether to open it again, after these credentials were refused."""


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: else a redirect's body would be read to its end before it is not followed."""


def session() -> requests.Session:
    """A session whose requests are this connector's, and ask for JSON."""
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
    """One request, one response, whatever its status; a redirect is not followed.

    Takes a body of at most `limit` bytes, within about `seconds`; `options` are those of
    `requests`. Raises TransientError, which names the `service`, when there is no response or when
    it exceeds its bounds.
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
        # Its text may hold the address asked for, which is no secret; its kind is enough.
        message = f"{service} could not be reached ({type(error).__name__})"
        raise TransientError(message) from error
    if body is None:
        message = f"{service}'s answer was too long, or took too long"
        raise TransientError(message)
    return RawResponse(response.status_code, response.headers, body, clock.now())


def read_body(
    response: requests.Response, limit: int, seconds: float, clock: Clock
) -> bytes | None:
    """The whole body; None if it is longer than `limit` bytes, or takes longer than `seconds`."""
    until = clock.monotonic() + seconds
    body = bytearray()
    # `iter_content` would wait for a whole piece, however slowly that trickles in.
    while piece := response.raw.read1(PIECE_SIZE, decode_content=True):
        body += piece
        if len(body) > limit or clock.monotonic() > until:
            return None
    return bytes(body)
