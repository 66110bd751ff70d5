"""Jira Cloud's audit log over HTTP: requests a page and parses the response.

A failure is never an empty page: `parse_page` raises for all but a page. `flow/reader.py` picks the
pages, `core/pages.py` joins them.
https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-audit-records/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jira_audit.core import encoding, timestamps
from jira_audit.core.address import redirect_sentence
from jira_audit.core.clock import Clock
from jira_audit.core.errors import (
    AccessRefused,
    CredentialsRefused,
    PageUnreadable,
    SiteError,
    TransientError,
)
from jira_audit.core.http import Meaning, RawResponse, StatusTable, date, error_for
from jira_audit.core.pages import PAGE_SIZE, PageRequest, RecordsPage
from jira_audit.core.prefetch import PagePeek
from jira_audit.core.text import quoted
from jira_audit.core.window import Window
from jira_audit.edge import transport
from jira_audit.edge.transport import Connection, ResponseUnusable, Route

RECORDS_PATH = "/rest/api/3/auditing/record"
PERMISSIONS_PATH = "/rest/api/3/mypermissions"
ADMINISTER = "ADMINISTER"
"""The key of the global permission Administer Jira."""

PROBE_SECONDS = 60.0
ANSWER_LIMIT = 8 * 1024 * 1024
"""Bytes; a page of 1,000 records is about 0.7 MB. Parsed, a page takes several times as much."""

RECORD_LIMIT = 6 * 1024 * 1024
"""Bytes of a response to a request for one record. If it cannot be read, it is stored as it is,
which takes many times its size; records are far smaller."""

LOGIN_REASON = "X-Seraph-LoginReason"

ERROR_LIMIT = 2 * 1024 * 1024
"""Bytes of an error's body that is read for its message."""

CONTAINER_LIMIT = 400_000
"""Objects and arrays in a response. Even an empty one takes 64 bytes once it is parsed."""

MESSAGES = 20
"""Texts in one error message, at most."""

HEADERS: Mapping[str, str] = {
    # Otherwise texts such as `category` come in the language of the token's account.
    "Accept-Language": "en",
    "X-Force-Accept-Language": "true",
}

_RETRY_LATER = Meaning(TransientError, "Jira is unavailable")
_MEANINGS = {
    400: Meaning(
        SiteError,
        "Jira says that our request is wrong; this is a bug in the connector, report it",
    ),
    401: Meaning(
        CredentialsRefused,
        "Jira does not know the credentials: the token is wrong, revoked or expired (tokens live "
        "at most a year), the user name does not belong to it, or it is a scoped token, which "
        "works only through Atlassian's gateway (set JIRA_CLOUD_ID, or cloud_id in JIRA_SITES) "
        "and needs the scopes read:audit-log:jira and read:user:jira",
    ),
    403: Meaning(
        AccessRefused,
        "Jira refuses: the account lacks the global permission Administer Jira; or all of the "
        "site's Jira products are on the Free plan, which has no audit log; or the site's IP "
        "allow-list does not include this address. jira-audit check tells which",
    ),
    404: Meaning(
        SiteError,
        "there is no Jira at this address: check that the URL (JIRA_SITE_URL), or the gateway's "
        "cloud id, is the site's",
    ),
    429: Meaning(TransientError, "Jira limits the rate of requests", pause=True),
    500: _RETRY_LATER,
    502: _RETRY_LATER,
    503: _RETRY_LATER,
    504: _RETRY_LATER,
}
_CAPTCHA = (
    "Jira requires a CAPTCHA after several failed logins of this user name: log in with it once in "
    "a browser, on the site itself, then check the token"
)
"""https://developer.atlassian.com/cloud/jira/platform/basic-auth-for-rest-apis/"""

STATUS = StatusTable.of(_MEANINGS, undocumented="Jira's answer is not documented")
"""What a status means, and who acts."""


_FIRST_RECORD = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{[^{\[]{0,500}"records"\s*:\s*\[\s*(?=[^\]\s])')
"""The start of a page of Jira's, up to its first record."""

_END_OF_PAGE = re.compile(rb'\]\s*(?:,\s*"\w+"\s*:\s*[\w.+-]+\s*)*\}\s*')

ENVELOPE_SIZE = 1_024
"""Bytes; a page's own fields take fewer."""

_CREATED = b'"created":'
_TIME = re.compile(rb'\s*"([^"]{20,35})"')


class JiraSource:
    """One site's audit log. Pools connections; may outlive a run."""

    def __init__(
        self,
        site: str,
        route: Route,
        clock: Clock,
        page_size: int = PAGE_SIZE,
    ) -> None:
        self.page_size = page_size
        self._site, self._route, self._clock = site, route, clock
        self._session = transport.session()
        self._session.headers.update(HEADERS)

    def fetch(self, request: PageRequest, seconds: float) -> RawResponse:
        """Request a page once, within about `seconds`.

        Thread-safe. Raises PageUnreadable if the response is too long or too slow, TransientError
        if there is none, or what opening the route raises.
        """
        try:
            connection = self._route.open()
            response = self._ask(connection, request, seconds)
            if refuses_credentials(response) and self._route.refresh(connection.auth):
                response = self._ask(self._route.open(), request, seconds)
        except (TransientError, SiteError) as error:
            raise error.with_site(self._site) from error
        return response

    @staticmethod
    def peek(answer: RawResponse) -> PagePeek | None:
        """Estimate a page without parsing it, which would take many times its memory.

        Relies on one thing only: each record has one `created` field. Returns None unless the
        status is 200. Raises nothing, whatever the body is.
        """
        if answer.status != 200:
            return None
        body = answer.body
        last = _TIME.match(body, body.rfind(_CREATED) + len(_CREATED))
        try:
            oldest = timestamps.parse(last[1].decode()) if last else None
        except ValueError:
            oldest = None
        return PagePeek(body.count(_CREATED), oldest)

    def decipher(self, answer: RawResponse, request: PageRequest) -> RecordsPage:
        """The response's records; raises as `parse_page`."""
        try:
            return parse_page(answer, request)
        except (TransientError, SiteError) as error:
            raise error.with_site(self._site) from error

    def probe(self) -> None:
        """Request one record, to check the access. Raises as above."""
        now = self._clock.now()
        request = PageRequest(Window(now - timestamps.DAY, now), 0, 1)
        self.decipher(self.fetch(request, PROBE_SECONDS), request)

    def administers(self) -> bool | None:
        """Whether the account has the permission Administer Jira; None if Jira does not say.

        Raises TransientError, or what opening the route raises. Anybody may ask, but a scoped token
        needs a scope for it.
        https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-permissions/
        """
        try:
            connection = self._route.open()
            answer = transport.fetch(
                self._session,
                "Jira",
                "GET",
                connection.base_url + PERMISSIONS_PATH,
                limit=RECORD_LIMIT,
                seconds=PROBE_SECONDS,
                clock=self._clock,
                params={"permissions": ADMINISTER},
                auth=connection.auth,
            )
        except (TransientError, SiteError) as error:
            raise error.with_site(self._site) from error
        return parse_permission(answer)

    def _ask(self, connection: Connection, request: PageRequest, seconds: float) -> RawResponse:
        """Send one request over an open route."""
        window = request.window
        query = {
            # Without the UTC offset, the gateway answers 200 with no records:
            # https://github.com/elastic/integrations/issues/18138
            "from": timestamps.text(window.start),
            "to": timestamps.text(window.end),
            "offset": str(request.offset),
            "limit": str(request.limit),
        }
        limit = RECORD_LIMIT if request.limit == 1 else ANSWER_LIMIT
        try:
            return transport.fetch(
                self._session,
                "Jira",
                "GET",
                connection.base_url + RECORDS_PATH,
                limit=limit,
                seconds=seconds,
                clock=self._clock,
                params=query,
                auth=connection.auth,
            )
        except ResponseUnusable as error:
            # Of one length, whatever the length of the envelope: its name is its hash.
            start = raw_record(error.start, request)[: limit - ENVELOPE_SIZE]
            unreadable = PageUnreadable(str(error), record=start)
        raise unreadable  # here, so that no context keeps the body in memory


def parse_permission(answer: RawResponse) -> bool | None:
    """Whether the response says that the account administers Jira; None if it says nothing."""
    try:
        content = encoding.loads(answer.body) if answer.status == 200 else {}
        has_it = content["permissions"][ADMINISTER]["havePermission"]
    except (ValueError, TypeError, KeyError):
        return None
    return has_it if isinstance(has_it, bool) else None


def refuses_credentials(answer: RawResponse) -> bool:
    """Whether Jira reports a failed login, perhaps beside an anonymous or empty page."""
    if answer.status == 200 and LOGIN_REASON in answer.headers:
        return _login_failure(answer) != ""
    return answer.status == 401


def _login_failure(answer: RawResponse) -> str:
    """The login reason of a response, unless it is OK or absent.

    `AUTHENTICATED_FAILED` and `AUTHENTICATION_DENIED` have been seen beside a 200:
    https://github.com/go-jira/jira/issues/8, https://github.com/AtlassianPS/JiraPS/issues/107
    """
    reason = answer.headers.get(LOGIN_REASON, "").strip()
    is_ok = all(each.strip().upper() == "OK" for each in reason.split(","))
    return "" if is_ok else reason


def raw_record(body: bytes, request: PageRequest) -> bytes:
    """The raw record in the body of a response to a request for one record.

    Without the page's own fields, which differ between two requests. Empty if more were requested,
    or if the body is not a page of Jira's, as from proxies and maintenance pages.
    """
    start = _FIRST_RECORD.match(body)
    if start is None or request.limit > 1:
        return b""
    end = body.rfind(b"]", start.end())
    is_whole = end > 0 and _END_OF_PAGE.fullmatch(body, end)
    return body[start.end() : end if is_whole else len(body)]


def parse_page(answer: RawResponse, request: PageRequest) -> RecordsPage:
    """Parse a response into records.

    Raises what `STATUS` says; PageUnreadable for a page of Jira's that is not JSON, or has more
    records than requested; TransientError for any other 200 that is not JSON or has no `records`,
    as proxies and maintenance pages send; SiteError for a failed login.
    """
    if 300 <= answer.status < 400:
        raise SiteError(redirect_sentence(answer.headers.get("Location")))
    if "CAPTCHA" in answer.headers.get("X-Authentication-Denied-Reason", ""):
        message = f"{_CAPTCHA} (HTTP {answer.status})"
        raise SiteError(message)
    if answer.status != 200:
        raise error_for(
            answer.status,
            STATUS,
            headers=answer.headers,
            now=answer.at,
            detail=quoted(_error_message(answer.body), answer.secrets),
            secrets=answer.secrets,
        )
    if LOGIN_REASON in answer.headers and (reason := _login_failure(answer)):
        said = quoted(reason, answer.secrets)
        message = f"{STATUS.meaning(401).sentence} (HTTP 200, login reason: {said})"
        raise CredentialsRefused(message)
    records = _records(answer.body, request)
    if len(records) > request.limit:
        message = f"Jira returned {len(records)} records, though {request.limit} were requested"
        raise PageUnreadable(message)
    at = date(answer.headers.get("Date"))
    return RecordsPage(request.offset, records, at, len(answer.body))


def _records(body: bytes, request: PageRequest) -> list[Any]:
    """The records in the body of a page."""
    if body.count(b"[") + body.count(b"{") > CONTAINER_LIMIT:
        message = f"Jira's response has more than {CONTAINER_LIMIT:,} objects and arrays"
        raise PageUnreadable(message, record=raw_record(body, request))
    try:
        content, is_json = encoding.loads(body), True
    except ValueError:
        content, is_json = None, False
    if not is_json:  # here, because the ValueError has the whole body
        message = "Jira answered HTTP 200, but the body is not JSON"
        if _FIRST_RECORD.match(body):
            raise PageUnreadable(message, record=raw_record(body, request))
        raise TransientError(message)
    records = content.get("records") if isinstance(content, dict) else None
    if not isinstance(records, list):
        message = "Jira answered HTTP 200, but the body has no list of records"
        raise TransientError(message)
    return records


def _error_message(body: bytes) -> str:
    """Jira's error message; nothing else of the body."""
    if len(body) > ERROR_LIMIT:
        return ""
    try:
        answer = encoding.loads(body)
    except ValueError:
        return ""
    messages = (
        answer.get("errorMessages") or answer.get("message") if isinstance(answer, dict) else ""
    )
    texts = messages[:MESSAGES] if isinstance(messages, list) else [messages]
    return " ".join(text for text in texts if isinstance(text, str))
