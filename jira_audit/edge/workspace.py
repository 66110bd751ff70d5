"""Queries of the table in a Log Analytics workspace, for `verify` and `report`.

For the terminal, not for Azure. The first query imports the library.
https://learn.microsoft.com/azure/azure-monitor/logs/api/overview
"""

from __future__ import annotations

import json
import logging
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from jira_audit.core import encoding, timestamps
from jira_audit.core.activity import COLUMNS, DELAYS, Activity, joined
from jira_audit.core.clock import RETRY_LOG_FORMAT, Clock, Deadline, RetryPolicy, retry
from jira_audit.core.completeness import TableInventory
from jira_audit.core.errors import SiteError, TransientError
from jira_audit.core.http import Meaning, StatusTable, error_for
from jira_audit.core.ledger import Ledger
from jira_audit.core.timestamps import DAY, HOUR
from jira_audit.core.window import Window
from jira_audit.edge.transport import (
    MALFORMED,
    azure_transport,
    os_error,
    quoted_code,
    secrets_of,
    unreachable,
)

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.pipeline import PipelineResponse
    from azure.monitor.query import LogsQueryClient

log = logging.getLogger(__name__)

PAGE = 100_000
"""Ids per query; the service returns at most 500,000 rows and 64,000,000 bytes.
https://learn.microsoft.com/azure/azure-monitor/fundamentals/service-limits#log-analytics-workspaces,
https://github.com/Azure/azure-sdk-for-python/issues/32282"""

ROWS_PAGE = 5_000
"""Rows per query: at 64,000,000 bytes, 12 KB each; a record has less than 1 KB."""

LONGEST_LIST = 20_000
"""Names per query, the most frequent ones."""

CONNECT_SECONDS = 5.0
SERVER_SECONDS = 180
"""The service's time limit for one query."""

READ_SECONDS = SERVER_SECONDS + 20.0

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
        "you may not read the workspace: the signed-in account needs the role Log Analytics "
        "Reader on it",
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
    """One workspace; sends one query at a time.

    `workspace` is its id, a GUID; `endpoint` its cloud's query service. With `only_site`, rows
    without a site count as this site's: the classic connector wrote such rows.
    """

    def __init__(
        self,
        workspace: str,
        *,
        endpoint: str,
        credential: Callable[[], TokenCredential],
        clock: Clock,
        only_site: bool,
    ) -> None:
        self._workspace, self._endpoint, self._make_credential = workspace, endpoint, credential
        self._clock, self._only_site = clock, only_site

    def held(self, site: str, window: Window, former: Sequence[str] = ()) -> TableInventory:
        """How many rows each record of a site has, of those created in a range.

        Rows of its `former` hosts count. Raises TransientError or SiteError, also for a partial
        answer.
        """
        ids: list[int] = []
        copies: dict[int, int] = {}
        while True:
            rows = self.ask(
                held_query((site, *former), window, self._only_site, ids[-1] if ids else None),
                window,
            )
            with _as_table():
                if ids and rows and rows[0]["record"] <= ids[-1]:
                    message = "the page was requested before"
                    raise ValueError(message)
                ids += (operator.index(row["record"]) for row in rows)  # no null, no text
                copies |= {row["record"]: row["copies"] for row in rows if row["copies"] > 1}
                if len(rows) < PAGE:
                    return TableInventory(Ledger().with_ids(ids), copies)

    def span(self, sites: Sequence[str], window: Window) -> Window | None:
        """From the first to the last record of these sites in a range; None if there is none.

        Raises TransientError or SiteError.
        """
        with _as_table():
            [ends] = self.ask(span_query(sites, window, self._only_site), window)
            first, last = ends["earliest"], ends["latest"]
            return None if first is None else Window(_timestamp_ms(first), _timestamp_ms(last))

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
                        {**row, "created_t": timestamps.text(_timestamp_ms(row["created_t"]))}
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
            found.over_time[_timestamp_ms(at), category] += rows
        for (place,), rows in counted(f"place = {_DELAY}"):
            found.delays[place] += rows
        for (actor,), rows in counted(f"name = {_ACTOR}"):
            found.aspects["actor"][actor] += rows
        for aspect, columns in COLUMNS.items():
            for names, rows in counted(", ".join(columns)):
                found.aspects[aspect][joined(names)] += rows

    def ask(self, query: str, window: Window) -> Sequence[Mapping[str, Any]]:
        """The query's rows about records created in a range, with retries.

        Raises TransientError or SiteError.
        """
        # A row is written after its record was created; our clock may be behind Jira's.
        since = _EPOCH + timedelta(milliseconds=window.start - DAY)
        until = _EPOCH + timedelta(milliseconds=self._clock.now() + DAY)
        return retry(
            lambda: self._ask_once(query, (since, until)),
            policy=RetryPolicy(),
            deadline=Deadline.after(self._clock, math.inf),
            on_wait=partial(log.warning, RETRY_LOG_FORMAT),
        )

    def _ask_once(
        self, query: str, written: tuple[datetime, datetime]
    ) -> Sequence[Mapping[str, Any]]:
        from azure.core.exceptions import AzureError, HttpResponseError  # noqa: PLC0415
        from azure.monitor.query import LogsQueryPartialResult  # noqa: PLC0415

        requests: list[Any] = []

        def check(response: PipelineResponse[Any, Any]) -> None:
            requests.append(response.http_request)
            self._check(response)

        try:
            with _as_table():
                answer = self._client.query_workspace(
                    self._workspace,
                    query,
                    timespan=written,
                    server_timeout=SERVER_SECONDS,
                    raw_response_hook=check,
                    retry_total=0,
                    permit_redirects=False,  # the token goes to this host alone
                    connection_timeout=CONNECT_SECONDS,
                    read_timeout=READ_SECONDS,
                )
        except HttpResponseError as error:
            raise TransientError(_NO_TABLE) from error
        except AzureError as error:
            raise TransientError(unreachable("the workspace", error)) from error
        except OSError as error:
            raise os_error("the workspace", error) from error
        if isinstance(answer, LogsQueryPartialResult):
            code = answer.partial_error.code if answer.partial_error else "no reason given"
            said = quoted_code(code, requests[-1])
            message = f"the workspace returned only part of the result ({said})"
            raise TransientError(message)
        with _as_table():
            (table,) = answer.tables
            return [dict(zip(table.columns, row, strict=True)) for row in table.rows]

    def _check(self, response: PipelineResponse[Any, Any]) -> None:
        """Raise the error for a response that is not a 200.

        The library would parse any body as JSON.
        """
        answer = response.http_response
        status: int = answer.status_code
        if status == 200:
            return
        raise error_for(
            status,
            STATUS,
            headers=answer.headers,
            now=self._clock.now(),
            detail=quoted_code(_error_code(answer.content), response.http_request),
            secrets=secrets_of(response.http_request),
        )

    @cached_property
    def _client(self) -> LogsQueryClient:
        from azure.monitor.query import LogsQueryClient  # noqa: PLC0415

        return LogsQueryClient(
            self._make_credential(), endpoint=self._endpoint, transport=azure_transport()
        )


_NO_TABLE = "the workspace answered HTTP 200, but the body is not the table that was asked for"


@contextmanager
def _as_table() -> Iterator[None]:
    """Translate what an answer of another form raises, in the library or in its reader."""
    try:
        yield
    except MALFORMED as error:
        raise TransientError(_NO_TABLE) from error


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def held_query(
    hosts: Sequence[str],
    window: Window,
    only_site: bool,  # noqa: FBT001
    after: int | None,
) -> str:
    """The next ids, ascending, and how many rows each has."""
    return f"""\
Jira_Audit_CL
{_where(hosts, window, only_site=only_site)}
| where isnotnull(id_d)
| summarize copies = count() by record = tolong(id_d)
{"" if after is None else f"| where record > {after}"}
| top {PAGE} by record asc
"""


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


def _timestamp_ms(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


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
