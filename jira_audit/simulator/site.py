"""A simulated Jira Cloud site: its response to each request.

It behaves as Jira does, flaws included. It refuses a request whose answer is not known from Jira's
documentation or real responses.
"""

import base64
import email.utils
import json
import re
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter

from jira_audit.simulator.records import Record

RECORDS_PATH = "/rest/api/3/auditing/record"
PERMISSIONS_PATH = "/rest/api/3/mypermissions"
TENANT_PATH = "/_edge/tenant_info"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_INT32_MAX = 2**31 - 1
_BEGINNING_MS, _END_MS = -(2**63), 2**63 - 1

# Only the forms Jira is known to read: nothing finer than a millisecond, no date alone.
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3})?(?P<offset>Z|[+-]\d\d:?\d\d)?", re.ASCII
)
_INTEGER = re.compile(r"\d{1,10}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Response:
    """The site's response: an HTTP status, header fields and the body's bytes."""

    status: int
    headers: dict[str, str]
    body: bytes


class FakeJira:
    """A simulated Jira Cloud site with the audit records it was given. Thread-safe.

    It answers `GET /rest/api/3/auditing/record` as Jira does, and the requests of `check`: `GET
    /rest/api/3/mypermissions?permissions=ADMINISTER` and `GET /_edge/tenant_info`.

    Sources: https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-audit-records/ ·
    https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-permissions/ · where the
    documentation is silent, the reports linked at `answer`.

    * `username`: the e-mail address for Basic authentication.
    * `token`: its API token.
    * `page_cap`: the most records in a response, however many were asked for.
    * `cloud_id`: the id that `GET /_edge/tenant_info` returns.
    """

    def __init__(
        self,
        username: str,
        token: str,
        page_cap: int = 1000,
        *,
        cloud_id: str = "11111111-2222-4333-8444-555555555555",
    ) -> None:
        self.cloud_id = cloud_id
        self._authorization = "Basic " + base64.b64encode(f"{username}:{token}".encode()).decode()
        self._page_cap = page_cap
        self._adding = threading.Lock()
        self._by_id: dict[int, tuple[int, int, Record]] = {}
        # Replaced as a whole, never changed in place: readers need no lock.
        self._oldest_first: list[tuple[int, int, Record]] = []

    def add(self, records: Iterable[Record]) -> None:
        """Put records on the site, in any order; the next answer shows all or none.

        A record replaces an earlier one with its id: on real sites, too, a later reading of an id
        has shown more than an earlier one.

        * `records`: each with at least an integer `id` and a `created` with a UTC offset; the
          caller must not change them afterwards.

        Raises `KeyError`, `TypeError` or `ValueError` for a record without such an `id` or
        `created`; then none is added.
        """
        entries = {}
        for record in records:
            identity, created = record["id"], record["created"]
            if type(identity) is not int:
                raise TypeError(f"the id of a record must be an integer, not {identity!r}")
            entries[identity] = (_milliseconds(created), identity, record)
        with self._adding:
            self._by_id.update(entries)
            # Ids are unique here: the records themselves are never compared.
            self._oldest_first = sorted(self._by_id.values())

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record now on the site, newest first."""
        return tuple(record for _, _, record in reversed(self._oldest_first))

    def answer(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str], now_ms: int
    ) -> Response:
        """The site's response to one GET request. Never raises.

        As on real sites: newest first; `from` and `to` are inclusive
        (https://github.com/elastic/integrations/pull/13665); `limit` is silently held to the page
        cap while the response repeats the request's
        (https://jira.atlassian.com/browse/JRACLOUD-93153); `total` counts the whole site, and a
        time without an offset finds nothing (https://github.com/elastic/integrations/pull/18106); a
        `+` that arrived as a space is an invalid date
        (https://github.com/elastic/integrations/issues/4391).

        * `path`: the request's path, without the query.
        * `query`: the query's parameters, percent-decoded.
        * `headers`: the request's header fields; names in any case.
        * `now_ms`: the site's clock for the `Date` field, in milliseconds since 1970 (UTC).
        """
        try:
            status, said = 200, self._said(path, query, headers)
        except _RefusedError as refusal:
            status, said = refusal.status, {"errorMessages": [str(refusal)], "errors": {}}
        # The json module: orjson refuses lone surrogates, which Jira can send.
        body = json.dumps(said, separators=(",", ":")).encode()
        return Response(
            status,
            {
                "Content-Type": "application/json;charset=UTF-8",
                # https://www.rfc-editor.org/rfc/rfc7231#section-7.1.1.2
                "Date": email.utils.formatdate(now_ms // 1000, usegmt=True),
            },
            body,
        )

    def _said(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> object:
        if path == TENANT_PATH:
            _refuse_unknown(query, known=())
            return {"cloudId": self.cloud_id}
        if path == PERMISSIONS_PATH:
            self._authenticate(headers)
            return _permissions(query)
        if path == RECORDS_PATH:
            self._authenticate(headers)
            return self._page(query)
        raise _RefusedError(404, f"There is nothing at {path}")

    def _authenticate(self, headers: Mapping[str, str]) -> None:
        sent = next((v for name, v in headers.items() if name.lower() == "authorization"), "")
        if sent != self._authorization:
            raise _RefusedError(401, "Client must be authenticated to access this resource.")

    def _page(self, query: Mapping[str, str]) -> object:
        # `filter` is a real parameter, but its matching is not known well enough.
        _refuse_unknown(query, known=("offset", "limit", "from", "to"))
        offset = _integer(query, "offset", 0)
        # Nobody has reported what a limit of 0 does; an empty page would pass for the end.
        limit = _integer(query, "limit", 1000, least=1)
        start_ms = _bound_ms(query, "from", _BEGINNING_MS)
        end_ms = _bound_ms(query, "to", _END_MS)
        entries = self._oldest_first
        low = high = 0
        if start_ms is not None and end_ms is not None:
            low = bisect_left(entries, start_ms, key=itemgetter(0))
            high = bisect_right(entries, end_ms, key=itemgetter(0)) - offset
        # Cut the page from the list's newer end, then reverse it.
        page = entries[max(low, high - min(limit, self._page_cap)) : max(low, high)]
        return {
            "offset": offset,
            "limit": limit,
            "total": len(entries),
            "records": [record for _, _, record in reversed(page)],
        }


class _RefusedError(Exception):
    """A request that the site refuses, and its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _refuse_unknown(query: Mapping[str, str], known: tuple[str, ...]) -> None:
    for name in query:
        if name not in known:
            raise _RefusedError(400, f'Unknown query parameter "{name}"')


def _integer(query: Mapping[str, str], name: str, default: int, least: int = 0) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not _INTEGER.fullmatch(text) or not least <= int(text) <= _INT32_MAX:
        raise _RefusedError(400, f'Invalid {name} "{text}"')
    return int(text)


def _bound_ms(query: Mapping[str, str], name: str, default: int) -> int | None:
    """One end of the window in milliseconds; None without an offset: it matches nothing."""
    text = query.get(name)
    if text is None:
        return default
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise _RefusedError(400, f'Invalid date "{text}"')
    offset = match["offset"]
    try:
        moment_ms = _milliseconds(text if offset else text + "Z")
    except ValueError:
        raise _RefusedError(400, f'Invalid date "{text}"') from None
    return moment_ms if offset else None


def _milliseconds(text: str) -> int:
    """A time with a UTC offset, in milliseconds since 1970."""
    timestamp_ms = datetime.fromisoformat(text)
    if timestamp_ms.tzinfo is None:
        raise ValueError(f"a time needs a UTC offset: {text!r}")
    return (timestamp_ms - _EPOCH) // _MILLISECOND


def _permissions(query: Mapping[str, str]) -> object:
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-permissions/
    if dict(query) != {"permissions": "ADMINISTER"}:
        raise _RefusedError(400, "Only permissions=ADMINISTER can be asked for here")
    return {
        "permissions": {
            "ADMINISTER": {
                "id": "0",
                "key": "ADMINISTER",
                "name": "Administer Jira",
                "type": "GLOBAL",
                "description": "Ability to administer this simulated site.",
                "havePermission": True,
            }
        }
    }
