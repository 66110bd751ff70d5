"""Queries of the table in a Log Analytics workspace: for the daily audit, `verify` and `report`.

The app imports this only where a workspace is set.
https://learn.microsoft.com/azure/azure-monitor/logs/api/overview
"""

from __future__ import annotations

import json
import logging
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from jira_audit.core import encoding, timestamps
from jira_audit.core.activity import COLUMNS, DELAYS, Activity, joined
from jira_audit.core.clock import RETRY_LOG_FORMAT, Clock, Deadline, RetryPolicy, retry
from jira_audit.core.completeness import TableInventory
from jira_audit.core.errors import SiteError, TransientError
from jira_audit.core.http import Meaning, RawResponse, StatusTable, error_for
from jira_audit.core.ledger import Ledger
from jira_audit.core.text import quoted
from jira_audit.core.timestamps import DAY, HOUR
from jira_audit.core.window import Window
from jira_audit.edge.transport import MALFORMED, fetch, session

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

log = logging.getLogger(__name__)

BLOCK = 500
"""Ids that one row of an answer describes, at most. A block without gaps is a range; of any other,
its ids are listed."""

ROWS_PAGE = 5_000
"""Rows per query: at 64,000,000 bytes, 12 KB each; a record has less than 1 KB."""

LONGEST_LIST = 20_000
"""Names per query, the most frequent ones."""

ANSWER_LIMIT = 64_000_000
"""The service's own limit, in bytes, beside 500,000 rows: millions of ids, even with gaps.
https://learn.microsoft.com/azure/azure-monitor/fundamentals/service-limits#log-analytics-workspaces,
https://github.com/Azure/azure-sdk-for-python/issues/32282"""

SERVER_SECONDS = 180.0
"""The service's time limit for one query.
https://learn.microsoft.com/azure/azure-monitor/logs/api/timeouts"""

RETRIES = RetryPolicy()

_LATER = Meaning(TransientError, "the workspace cannot be queried just now")
_MEANINGS = {
    400: Meaning(
        SiteError,
        "the workspace does not understand the query: its table Jira_Audit_CL is missing, or "
        "lacks columns that the connector writes",
    ),
    401: Meaning(
        SiteError, "the workspace does not accept the token: it is of another tenant or cloud"
    ),
    403: Meaning(
        SiteError,
        "the workspace may not be read: the signed-in account, or the app's identity, needs the "
        "role Log Analytics Reader on it. A new role takes up to 30 minutes",
    ),
    404: Meaning(
        SiteError,
        "there is no such workspace: give its Workspace ID, a GUID, not its name or resource id",
    ),
    408: _LATER,
    429: Meaning(TransientError, "the workspace limits the rate of queries"),
    500: _LATER,
    502: _LATER,
    503: _LATER,
    504: _LATER,
}
STATUS = StatusTable.of(_MEANINGS, undocumented="its answer is not documented")
"""What a status means, and who acts:
https://learn.microsoft.com/azure/azure-monitor/logs/api/errors"""


class Workspace:
    """One workspace. Thread-safe.

    `workspace` is its id, a GUID; `endpoint` its cloud's query service. With `only_site`, rows
    without a site count as this site's: the classic connector wrote such rows. A query takes at
    most about `seconds`, its answer at most `limit` bytes; `policy` says how it is retried.
    """

    def __init__(
        self,
        workspace: str,
        *,
        endpoint: str,
        credential: Callable[[], TokenCredential],
        clock: Clock,
        only_site: bool,
        seconds: float = SERVER_SECONDS + 20.0,
        limit: int = ANSWER_LIMIT,
        policy: RetryPolicy = RETRIES,
    ) -> None:
        self._workspace, self._endpoint, self._make_credential = workspace, endpoint, credential
        self._clock, self._only_site = clock, only_site
        self._seconds, self._limit, self._policy = seconds, limit, policy
        self._session = session()

    def held(self, site: str, window: Window, former: Sequence[str] = ()) -> TableInventory:
        """How many rows each record of a site has, of those created in a range. One query.

        Rows of its `former` hosts count. Raises TransientError or SiteError, also for a partial
        answer.
        """
        ranges: list[tuple[int, int]] = []
        copies: dict[int, int] = {}
        rows = self.ask(held_query((site, *former), window, only_site=self._only_site), window)
        with _as_table():
            for row in rows:
                its = _ranges_of(row)
                ranges += its
                if operator.index(row["copies"]) > 1:
                    copies |= dict.fromkeys(Ledger(tuple(its)), row["copies"])
            return TableInventory(Ledger.of(ranges), copies)

    def oldest(self) -> int | None:
        """When the oldest row of the table was written, whatever its site: a sign of what the
        table's retention has left. None for an empty table. Raises TransientError or SiteError.
        """
        (row,) = self.ask(OLDEST_QUERY, None)
        with _as_table():
            return None if row["oldest"] is None else timestamps.parse(row["oldest"])

    def span(self, sites: Sequence[str], window: Window) -> Window | None:
        """From the first to the last record of these sites in a range; None if there is none.

        Raises TransientError or SiteError.
        """
        with _as_table():
            [ends] = self.ask(span_query(sites, window, self._only_site), window)
            first, last = ends["earliest"], ends["latest"]
            if first is None:
                return None
            return Window(timestamps.parse(first), timestamps.parse(last))

    def rows(self, sites: Sequence[str], window: Window, limit: int) -> Iterator[Mapping[str, Any]]:
        """What the review reads of these sites' rows in a range: of each the latest `limit`.

        Raises TransientError or SiteError.
        """
        for site in sites:
            before, left = window.end + 1, limit
            number: int | None = None
            while left > 0:
                query = rows_query(site, window, self._only_site, before, number)
                with _as_table():
                    part = [
                        {**row, "created_t": timestamps.text(timestamps.parse(row["created_t"]))}
                        for row in self.ask(query, window)
                    ]
                    if part:
                        oldest = part[-1]
                        last = timestamps.parse(oldest["created_t"]), operator.index(oldest["id_d"])
                        if number is not None and last >= (before, number):
                            message = "the page was requested before"
                            raise ValueError(message)
                        before, number = last
                yield from part[:left]
                left -= len(part)
                if len(part) < ROWS_PAGE:
                    break

    def activity(self, sites: Sequence[str], window: Window) -> Activity:
        """Counts of these sites' rows in a range; long lists of names are truncated. Raises
        TransientError or SiteError.
        """
        found = Activity(window)
        with _as_table():
            self._count(found, sites)
        return found

    def _count(self, found: Activity, sites: Sequence[str]) -> None:
        window = found.window

        def counted(by: str) -> Iterator[tuple[list[Any], int]]:
            for row in self.ask(activity_query(sites, window, self._only_site, by), window):
                *names, rows = row.values()
                yield ["" if name is None else name for name in names], rows

        for (site,), rows in counted("name = site_s"):
            found.sites[site] += rows
        unit = "1h" if found.unit == HOUR else "1d"
        for (at, category), rows in counted(f"at = bin(created_t, {unit}), name = Category"):
            found.over_time[timestamps.parse(at), category] += rows
        for (place,), rows in counted(f"place = {_DELAY}"):
            found.delays[place] += rows
        for (actor,), rows in counted(f"name = {_ACTOR}"):
            found.aspects["actor"][actor] += rows
        for aspect, columns in COLUMNS.items():
            for names, rows in counted(", ".join(columns)):
                found.aspects[aspect][joined(names)] += rows

    def ask(self, query: str, window: Window | None) -> Sequence[Mapping[str, Any]]:
        """The query's rows about records created in a range (None: at any time), with retries.

        Raises TransientError or SiteError.
        """
        # A row is written after its record was created; our clock may be behind Jira's.
        since = timestamps.text(window.start - DAY) if window else "1970-01-01T00:00:00Z"
        written = f"{since}/{timestamps.text(self._clock.now() + DAY)}"
        return retry(
            lambda: self._ask_once(query, written),
            policy=self._policy,
            deadline=Deadline.after(self._clock, math.inf),
            on_wait=partial(log.warning, RETRY_LOG_FORMAT),
        )

    def _ask_once(self, query: str, written: str) -> Sequence[Mapping[str, Any]]:
        token = self._credential.get_token(f"{self._endpoint}/.default").token
        answer = fetch(
            self._session,
            "the workspace",
            "POST",
            f"{self._endpoint}/v1/workspaces/{self._workspace}/query",
            limit=self._limit,
            seconds=self._seconds,
            read_seconds=self._seconds,
            clock=self._clock,
            json={"query": query, "timespan": written},
            headers={
                "Authorization": f"Bearer {token}",
                "Prefer": f"wait={min(SERVER_SECONDS, self._seconds):.0f}",
            },
        )
        if answer.status != 200:
            raise error_for(
                answer.status,
                STATUS,
                headers=answer.headers,
                now=answer.at,
                detail=quoted(_error_code(answer.body), answer.secrets),
                secrets=answer.secrets,
            )
        return _rows(answer)

    @cached_property
    def _credential(self) -> TokenCredential:
        return self._make_credential()


_NO_TABLE = "the workspace answered HTTP 200, but the body is not the table that was asked for"


@contextmanager
def _as_table() -> Iterator[None]:
    """Translate what an answer of another form raises, in the library or in its reader."""
    try:
        yield
    except MALFORMED as error:
        raise TransientError(_NO_TABLE) from error


def _rows(answer: RawResponse) -> Sequence[Mapping[str, Any]]:
    """The rows of the one table. Raises TransientError for part of it, and for anything else."""
    with _as_table():
        body = encoding.loads(answer.body)
        (table,) = body["tables"]
        names = [column["name"] for column in table["columns"]]
        rows = [dict(zip(names, row, strict=True)) for row in table["rows"]]
        error = body.get("error")
        code = error["code"] if error else ""
    if error:
        said = quoted(str(code or "no reason given"), answer.secrets)
        message = f"the workspace returned only part of the result ({said})"
        raise TransientError(message)
    return rows


def held_query(hosts: Sequence[str], window: Window, *, only_site: bool) -> str:
    """The ids in blocks, and how many rows each id of a block has; without `records`, a block has
    all ids from `least` to `most`.
    """
    return f"""\
Jira_Audit_CL
{_where(hosts, window, only_site=only_site)}
| where isnotnull(id_d)
| summarize copies = count() by record = tolong(id_d)
| summarize least = min(record), most = max(record), ids = count(), records = make_list(record)
    by copies, block = bin(record, {BLOCK})
| project copies, least, most, records = iff(ids == most - least + 1, "", tostring(records))
"""


def _ranges_of(row: Mapping[str, Any]) -> Sequence[tuple[int, int]]:
    """The ranges of ids that one row of `held_query` describes."""
    least, most = operator.index(row["least"]), operator.index(row["most"])  # no null, no text
    if row["records"]:
        return (
            Ledger().with_ids(map(operator.index, encoding.loads(row["records"].encode()))).ranges
        )
    if most - least >= BLOCK:
        message = "longer than a block"
        raise ValueError(message)
    return [(least, most)]


OLDEST_QUERY = "Jira_Audit_CL\n| summarize oldest = min(TimeGenerated)\n"

_ACTOR = (
    "iff(isnotempty(authorAccountId_s) and "
    '(isempty(authorKey_s) or authorKey_s startswith_cs "ug:"), authorAccountId_s, authorKey_s)'
)
_DELAY = (
    "case("
    + "".join(
        f"TimeGenerated - created_t <= {bound // timestamps.SECOND}s, {place}, "
        for place, bound in enumerate(DELAYS)
    )
    + f"{len(DELAYS)})"
)


def activity_query(
    sites: Sequence[str],
    window: Window,
    only_site: bool,  # noqa: FBT001
    by: str,
) -> str:
    """Row counts by `by`, the most frequent first."""
    return f"""\
Jira_Audit_CL
{_where(sites, window, only_site=only_site)}
| summarize rows = count() by {by}
| top {LONGEST_LIST} by rows desc
"""


def span_query(
    sites: Sequence[str],
    window: Window,
    only_site: bool,  # noqa: FBT001
) -> str:
    """The times of the first and the last record."""
    return f"""\
Jira_Audit_CL
{_where(sites, window, only_site=only_site)}
| summarize earliest = min(created_t), latest = max(created_t)
"""


REVIEWED = (
    *("created_t", "summary_s", "Category", "remoteAddress_s", "authorKey_s"),
    *("authorAccountId_s", "objectItem_id_s", "objectItem_name_s", "objectItem_typeName_s"),
    *("changedValues_s", "associatedItems_s"),
)
"""The columns that the review reads, beside the site."""


def rows_query(
    site: str,
    window: Window,
    only_site: bool,  # noqa: FBT001
    before: int,
    number: int | None,
) -> str:
    """The next rows of a site, the latest first: created before a moment, or with a lower id."""
    at = f"datetime({timestamps.text(before)})"
    same = "" if number is None else f" or (created_t == {at} and record < {number})"
    return f"""\
Jira_Audit_CL
{_where([site], window, only_site=only_site)}
| where isnotnull(id_d)
| extend record = tolong(id_d)
| where created_t < {at}{same}
| sort by created_t desc, record desc
| take {ROWS_PAGE}
| project site_s = {json.dumps(site)}, id_d = record, {", ".join(REVIEWED)}
"""


def _where(sites: Sequence[str], window: Window, *, only_site: bool) -> str:
    """The rows of sites, for records created in a range."""
    unnamed = " or isempty(site_s)" if only_site else ""
    start, end = timestamps.text(window.start), timestamps.text(window.end)
    return (
        f"| where created_t between (datetime({start}) .. datetime({end}))\n"
        f"| where site_s in ({', '.join(map(json.dumps, sites))}){unnamed}"
    )


def _error_code(body: bytes) -> str:
    """The service's error codes, outermost and innermost."""
    try:
        outer = encoding.loads(body)["error"]
        inner = outer
        while "innererror" in inner:
            inner = inner["innererror"]
        codes = dict.fromkeys((str(outer["code"]), str(inner["code"])))
    except (ValueError, TypeError, KeyError):
        return ""
    return ", ".join(codes)
