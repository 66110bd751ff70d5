"""A simulated Jira Cloud site: what it answers to each request.

It keeps Jira's manners, the unhelpful ones included, and refuses every request whose answer is not
known from Jira's documentation or from real responses.
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

# Only the forms Jira is known to read: nothing finer than a millisecond, and no date alone.
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3})?(?P<offset>Z|[+-]\d\d:?\d\d)?", re.ASCII
)
_INTEGER = re.compile(r"\d{1,10}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Response:
    """What the site says to one request: an HTTP status, header fields and the body's bytes."""

    status: int
    headers: dict[str, str]
    body: bytes


class FakeJira:
    """A simulated Jira Cloud site that holds the audit records it was given.

    It answers `GET /rest/api/3/auditing/record` in the way Jira does, and what a check of an
    installation asks: `GET /rest/api/3/mypermissions?permissions=ADMINISTER` and
    `GET /_edge/tenant_info`. It may be used from several threads at once.

    Sources: https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-audit-records/ ·
    https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-permissions/ · what the
    documentation is silent about comes from the reports linked at `answer`.

    * `username`: the e-mail address accepted in Basic authentication.
    * `token`: the API token accepted with it.
    * `page_cap`: the most records one response holds, however many were asked for.
    * `cloud_id`: the id that `GET /_edge/tenant_info` tells.
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
        # Replaced as a whole and never changed in place, so that readers need no lock.
        self._oldest_first: list[tuple[int, int, Record]] = []

    def add(self, records: Iterable[Record]) -> None:
        """Put records on the site, in any order; the next answer shows all of them or none.

        A record whose id is already there takes the earlier one's place: on a real site, too, a
        later reading of an id has shown more than an earlier one.

        * `records`: each with at least an integer `id` and a `created` with a UTC offset; they
          belong to the site from now on and must not be changed.

        Raises `KeyError`, `TypeError` or `ValueError` if a record has no such `id` or `created`;
        then none was added.
        """
        entries = {}
        for record in records:
            identity, created = record["id"], record["created"]
            if type(identity) is not int:
                raise TypeError(f"the id of a record must be an integer, not {identity!r}")
            entries[identity] = (_milliseconds(created), identity, record)
        with self._adding:
            self._by_id.update(entries)
            # Ids are unique here, so that no comparison ever comes to the records themselves.
            self._oldest_first = sorted(self._by_id.values())

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record on the site as of now, newest first."""
        return tuple(record for _, _, record in reversed(self._oldest_first))

    def answer(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str], now_ms: int
    ) -> Response:
        """Response one GET request the way the site would. Never raises.

        What it does on purpose: newest first; `from` and `to` are both inclusive
        (https://github.com/elastic/integrations/pull/13665); `limit` is silently held to the page
        cap while the response repeats what was asked
        (https://jira.atlassian.com/browse/JRACLOUD-93153); `total` counts the whole site and a time
        without an offset finds nothing (https://github.com/elastic/integrations/pull/18106); a `+`
        that arrived as a space is an invalid date
        (https://github.com/elastic/integrations/issues/4391).

        * `path`: the request's path, without the query.
        * `query`: the query's parameters, already percent-decoded.
        * `headers`: the request's header fields, their names in any case.
        * `now_ms`: the site's clock for the `Date` field, in milliseconds since 1970 (UTC).
        """
        try:
            status, said = 200, self._said(path, query, headers)
        except _RefusedError as refusal:
            status, said = refusal.status, {"errorMessages": [str(refusal)], "errors": {}}
        # The json module, as orjson would refuse the lone surrogates that Jira is able to send.
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
        # `filter` is a parameter of the real site, but how it matches is not known well enough.
        _refuse_unknown(query, known=("offset", "limit", "from", "to"))
        offset = _integer(query, "offset", 0)
        # Nobody has reported what a limit of 0 does; an empty page here would pass for the end.
        limit = _integer(query, "limit", 1000, least=1)
        start_ms = _bound_ms(query, "from", _BEGINNING_MS)
        end_ms = _bound_ms(query, "to", _END_MS)
        entries = self._oldest_first
        low = high = 0
        if start_ms is not None and end_ms is not None:
            low = bisect_left(entries, start_ms, key=itemgetter(0))
            high = bisect_right(entries, end_ms, key=itemgetter(0)) - offset
        # The page is cut from the oldest-first list at its newer end, then turned round.
        page = entries[max(low, high - min(limit, self._page_cap)) : max(low, high)]
        return {
            "offset": offset,
            "limit": limit,
            "total": len(entries),
            "records": [record for _, _, record in reversed(page)],
        }


class _RefusedError(Exception):
    """A request the site says no to, with the HTTP status it says it with."""

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
    """One end of the window in milliseconds; None if it has no offset and so matches nothing."""
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
