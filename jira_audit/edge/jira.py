"""Jira Cloud's audit log over HTTP: ask for a page, and tell a page from everything else.

`decipher` holds every way in which an answer can be no page; a failure is never an empty one. How
pages fit together is in `core/pages.py`.
https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-audit-records/
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import NoReturn, Protocol

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from jira_audit.core import encoding, moments
from jira_audit.core.clock import GRACE_SECONDS, Clock, Deadline, RetryPolicy, retry
from jira_audit.core.errors import (
    ConnectorError,
    CredentialsRefused,
    SiteError,
    TransientError,
)
from jira_audit.core.http import date, retry_after
from jira_audit.core.pages import PAGE_SIZE, Page, Reading, Response
from jira_audit.core.window import MAX_PAGES, Window

log = logging.getLogger(__name__)

UNDER_WAY = 4
"""Requests to one site at once, at most; far below what Atlassian holds tokens to:
https://developer.atlassian.com/cloud/jira/platform/rate-limiting/"""

RECORDS_PATH = "/rest/api/3/auditing/record"

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
"""Between two pieces of an answer."""
ANSWER_SECONDS = 60.0
"""For a whole answer, however steadily it trickles."""
ANSWER_LIMIT = 128 * 1024 * 1024
"""Bytes; a page of 1,000 records is about 0.7 MB."""

HEADERS: Mapping[str, str] = {
    "Accept": "application/json",
    # Without these two, texts such as `category` come in the language of the token's account.
    "Accept-Language": "en",
    "X-Force-Accept-Language": "true",
    "User-Agent": "jira-audit-connector",
}

_RETRY_LATER = (TransientError, "Jira is unavailable")
STATUS: Mapping[int, tuple[type[ConnectorError], str]] = {
    400: (
        SiteError,
        "Jira says that our request is wrong; this is a bug in the connector, report it",
    ),
    401: (
        CredentialsRefused,
        (
            "Jira does not know the credentials: the token is wrong, revoked or expired (tokens "
            "live at most a year), the user name does not belong to it, or it is a scoped token: "
            "those work only through Atlassian's gateway (set JIRA_CLOUD_ID, or cloud_id in "
            "JIRA_SITES), and need the scopes read:audit-log:jira and read:user:jira"
        ),
    ),
    403: (
        SiteError,
        (
            "Jira refuses: the account lacks the global permission Administer Jira; or every Jira "
            "product on the site is on the Free plan, which has no audit log; or the site's IP "
            "allow-list does not hold this address"
        ),
    ),
    404: (
        SiteError,
        (
            "there is no Jira at this address: see that the URL (JIRA_SITE_URL), or the cloud id "
            "where the gateway is used, is the site's"
        ),
    ),
    429: (TransientError, "Jira asks for fewer requests"),
    500: _RETRY_LATER,
    502: _RETRY_LATER,
    503: _RETRY_LATER,
    504: _RETRY_LATER,
}
"""What an answer's status means, and who acts."""


class Open(Protocol):
    """An open way into a site."""

    @property
    def base_url(self) -> str:
        """Where requests go, without a slash at the end."""

    @property
    def auth(self) -> AuthBase:
        """Who authenticates them."""


class Way(Protocol):
    """A way into a site, which may have to be opened first. Safe to use from several threads."""

    def open(self) -> Open:
        """Open it. Raises TransientError, or SiteError when someone has to act."""

    def renew(self, auth: AuthBase) -> bool:
        """Whether to open it again, after these credentials were refused."""


class JiraSource:
    """One site's audit log. Safe to keep between runs; its connections are pooled."""

    def __init__(
        self,
        site: str,
        way: Way,
        clock: Clock,
        page_size: int = PAGE_SIZE,
        executor: Callable[[], Executor] = lambda: ThreadPoolExecutor(UNDER_WAY, "fetch"),
    ) -> None:
        self._site, self._way, self._clock, self._page_size = site, way, clock, page_size
        self._executor = executor
        self._session = requests.Session()
        # Else a redirect's body would be read to its end, however long, before it is not followed.
        self._session.get_redirect_target = lambda resp: None  # type: ignore[method-assign]  # noqa: ARG005
        self._session.headers.update(HEADERS)

    def pages(self, window: Window, deadline: Deadline) -> Iterator[Page]:
        """Read a window newest first, page by page, up to the empty page that ends it.

        After a full page the next few are asked for at once. One that turns out not to be needed
        is let go, whatever came of it; how one that is needed failed counts as its first try. No
        request is begun while a try is waited for. Raises OutOfTime, TransientError (the next tick
        tries again) or SiteError (someone acts).
        """
        reading, pages, begun, ended = Reading(self._page_size), 0, False, False
        asked: dict[int, Future[Response]] = {}

        def ask(offset: int) -> Response:
            seconds = max(1.0, min(ANSWER_SECONDS, deadline.left() + GRACE_SECONDS))
            return self._fetch(window, offset, self._page_size, seconds)

        with self._executor() as executor:
            try:
                while not ended:

                    def fetch(offset: int = reading.offset, begun: bool = begun) -> Response:  # noqa: FBT001
                        early = asked.pop(offset, None)
                        if early is None and not begun:
                            return ask(offset)
                        # By the same few threads as the others, so that no more are under way.
                        return (early or executor.submit(ask, offset)).result()

                    page = reading.take(
                        retry(fetch, policy=RetryPolicy(), deadline=deadline, on_wait=self._on_wait)
                    )
                    pages += 1
                    if reading.offset not in asked:  # what was asked for begins elsewhere
                        _let_go(asked)
                    room = UNDER_WAY if window.length == 1 else min(UNDER_WAY, MAX_PAGES - pages)
                    for offset in reading.ahead(room):
                        if offset not in asked and not _throttled(asked):
                            asked[offset], begun = executor.submit(ask, offset), True
                    yield page
                    ended = page.ended
            finally:
                _let_go(asked)

    def probe(self) -> None:
        """Ask once for one record, to see whether the log may be read. Raises as `pages` does."""
        now = self._clock.now()
        self._fetch(Window(now - moments.DAY, now), 0, 1, ANSWER_SECONDS)

    def _fetch(self, window: Window, offset: int, limit: int, seconds: float) -> Response:
        """One request, one answer, in about so many seconds at most; twice with new credentials."""
        try:
            access = self._way.open()
            try:
                return self._ask(access, window, offset, limit, seconds)
            except CredentialsRefused:
                if not self._way.renew(access.auth):
                    raise
            return self._ask(self._way.open(), window, offset, limit, seconds)
        except TransientError as error:
            message = f"{self._site}: {error}"
            raise TransientError(
                message, retry_after=error.retry_after, pause=error.pause
            ) from error
        except SiteError as error:
            message = f"{self._site}: {error}"
            raise type(error)(message) from error

    def _ask(
        self, access: Open, window: Window, offset: int, limit: int, seconds: float
    ) -> Response:
        """One request over an open way, one answer."""
        query = {
            # Without the offset from UTC, the gateway answers 200 with no records at all:
            # https://github.com/elastic/integrations/issues/18138
            "from": moments.text(window.start),
            "to": moments.text(window.end),
            "offset": str(offset),
            "limit": str(limit),
        }
        try:
            with self._session.get(
                access.base_url + RECORDS_PATH,
                params=query,
                auth=access.auth,
                timeout=(min(CONNECT_SECONDS, seconds), min(READ_SECONDS, seconds)),
                allow_redirects=False,  # credentials go to this host alone
                stream=True,
            ) as answer:
                body = self._read(answer, seconds)
        except (requests.RequestException, HTTPError) as error:
            # Its text may hold the address asked for, which is no secret; its kind is enough.
            message = f"Jira could not be reached ({type(error).__name__})"
            raise TransientError(message) from error
        return decipher(
            answer.status_code, answer.headers, body, offset=offset, now=self._clock.now()
        )

    def _read(self, answer: requests.Response, seconds: float) -> bytes:
        """The whole body, within bounds of size and time."""
        until = self._clock.monotonic() + seconds
        body = bytearray()
        # `iter_content` would wait for a whole piece, however slowly that trickles in.
        while piece := answer.raw.read1(65_536, decode_content=True):
            body += piece
            if len(body) > ANSWER_LIMIT or self._clock.monotonic() > until:
                message = "Jira's answer was too long, or took too long"
                raise TransientError(message)
        return bytes(body)

    def _on_wait(self, error: TransientError, seconds: float) -> None:
        log.warning("%s (trying again in %.1f s)", error, seconds)


def _throttled(asked: dict[int, Future[Response]]) -> bool:
    """Whether the site has asked to be left alone, by a page that is not needed yet."""
    errors = [future.exception() for future in asked.values() if future.done()]
    return any(isinstance(error, TransientError) and error.pause for error in errors)


def _let_go(asked: dict[int, Future[Response]]) -> None:
    for future in asked.values():
        future.cancel()
    asked.clear()


def decipher(
    status: int, headers: Mapping[str, str], body: bytes, *, offset: int, now: int
) -> Response:
    """Turn an answer into records. Whatever is no documented page raises.

    `offset` is what was asked for; `now`, a moment, serves to read a `Retry-After` given as a date.
    Raises what `STATUS` says for the status; TransientError for a 200 that is no JSON or has no
    `records`, since proxies and maintenance pages answer so; SiteError for a failed login.
    """
    if 300 <= status < 400:
        message = (
            "Jira answers with a redirect, as login pages and moved sites do; it is not followed: "
            "see that JIRA_SITE_URL is the site's own address"
        )
        raise SiteError(message)
    if status != 200:
        _refuse(status, headers, body, now)
    if "AUTHENTICATED_FAILED" in headers.get("X-Seraph-LoginReason", ""):
        raise CredentialsRefused(STATUS[401][1])
    try:
        answer = encoding.loads(body)
    except ValueError as error:
        message = "Jira's answer is no JSON, though its status is 200"
        raise TransientError(message) from error
    records = answer.get("records") if isinstance(answer, dict) else None
    if not isinstance(records, list):
        message = "Jira's answer has no list of records, though its status is 200"
        raise TransientError(message)
    return Response(offset, records, date(headers.get("Date")))


def _refuse(status: int, headers: Mapping[str, str], body: bytes, now: int) -> NoReturn:
    unknown = (TransientError if status >= 500 else SiteError, "Jira's answer is not documented")
    kind, meaning = STATUS.get(status, unknown)
    message = f"{meaning} (HTTP {status}{_said(body)})"
    if kind is TransientError:
        raise TransientError(message, retry_after=retry_after(headers, now), pause=status == 429)
    raise kind(message)


def _said(body: bytes) -> str:
    """Jira's own error message, shortened; never anything else of a body."""
    try:
        answer = encoding.loads(body)
    except ValueError:
        return ""
    messages = (
        answer.get("errorMessages") or answer.get("message") if isinstance(answer, dict) else ""
    )
    return f": {str(messages)[:300]}" if messages else ""
