"""Stories: what somebody did in Jira, in records as Jira writes them, and which rule must see it.

A story that fires has near misses beside it, each different by one thing that matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from jira_audit.core import timestamps
from jira_audit.core.outcome import Outcome, Result, Tally
from jira_audit.core.timestamps import MINUTE
from tests.sentinel.engine import NOW

Record = dict[str, Any]

SITE = "contoso.atlassian.net"
ANNA, BEN = "5b86be50b8e3cb5895860d6d", "712020:7f3a0c1e-5f0b-4d0a-9a55-1f0d8c0e2b11"
OFFICE, ELSEWHERE = "203.0.113.20", "198.51.100.77"

SETTLED = 20
"""Minutes: rules leave the last quarter of an hour to the next run, so stories end before it."""

_ids = count(10_000)


@dataclass(frozen=True)
class Story:
    """What happened; whether the rule fires; columns of its only result; lines of the connector's.

    `rows` are the results it must give where it fires.
    """

    title: str
    records: list[Record] = field(default_factory=list)
    fires: bool = False
    expect: Mapping[str, Any] = field(default_factory=dict)
    rows: int = 1
    telemetry: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)


def act(
    minutes_ago: float,
    summary: str,
    category: str,
    *,
    by: str | None = ANNA,
    key: str | None = None,
    at: str | None = OFFICE,
    on: tuple[str, str] = ("PROJECT", "Demo service project"),
    changed: Mapping[str, tuple[str, str]] | None = None,
    items: list[tuple[str, str]] | None = None,
) -> Record:
    """One record: `on` is the object's type and name, `changed` has fields with from and to,
    `items` the types and names of what goes with it. Nobody and nowhere leave no field, as in Jira.
    """
    kind, name = on
    made: Record = {
        "id": next(_ids),
        "summary": summary,
        "created": timestamps.text(NOW - round((SETTLED + minutes_ago) * MINUTE)).replace(
            "Z", "+0000"
        ),
        "category": category,
        "eventSource": "",
        "objectItem": {"name": name, "typeName": kind},
    }
    if by:
        made |= {"authorAccountId": by, "authorKey": key or f"ug:{by}"}
    if at:
        made["remoteAddress"] = at
    if changed:
        made["changedValues"] = [
            {"fieldName": f, "changedFrom": before, "changedTo": after}
            for f, (before, after) in changed.items()
        ]
    if items:
        made["associatedItems"] = [{"id": n, "name": n, "typeName": t} for t, n in items]
    return made


def joins(minutes_ago: float, who: str, group: str, **how: Any) -> Record:
    """A user is added to a group."""
    return _membership(minutes_ago, "User added to group", who, group, **how)


def leaves(minutes_ago: float, who: str, group: str, **how: Any) -> Record:
    """A user is removed from a group."""
    return _membership(minutes_ago, "User removed from group", who, group, **how)


def _membership(minutes_ago: float, summary: str, who: str, group: str, **how: Any) -> Record:
    on, items = ("GROUP", group), [("USER", who)]
    return act(minutes_ago, summary, "group management", on=on, items=items, **how)


def line(
    minutes_ago: float,
    result: Result = "ok",
    *,
    lag: int | None = 10,
    site: str = SITE,
    **tally: int,
) -> dict[str, Any]:
    """The connector's canonical line, as Application Insights has it; without a lag where the run
    did not have its site."""
    at = NOW - round(minutes_ago * MINUTE)
    through = None if lag is None else at - lag * 1000
    outcome = Outcome(site, result, Tally(**tally), through, at, 900)
    return {
        "TimeGenerated": timestamps.text(at),
        "Message": outcome.line(),
        "SeverityLevel": 1,
        "OperationName": "poll",
        "AppRoleName": "jira-audit",
        "Properties": {"Category": "Function.poll.User"},
    }


FORGERIES: Mapping[str, Mapping[str, Any]] = {
    "another app": {"AppRoleName": "another-app"},
    "no app": {"AppRoleName": None},
    "another function": {"Properties": {"Category": "Function.other.User"}},
    "the host": {"Properties": {"Category": "Host.General"}},
    "no category": {"Properties": None},
    "a warning": {"SeverityLevel": 2},
}
"""What sets a line of somebody else's apart from the connector's, if its text is the same."""


def forged(*found: dict[str, Any]) -> list[dict[str, Any]]:
    """Each line as every one of the forgeries."""
    return [{**made, **change} for made in found for change in FORGERIES.values()]


def call(minutes_ago: float, *, success: bool) -> dict[str, Any]:
    """An invocation of the function, as Application Insights has it."""
    return {
        "TimeGenerated": timestamps.text(NOW - round(minutes_ago * MINUTE)),
        "Name": "poll",
        "Success": success,
        "ResultCode": "0",
        "DurationMs": 900.0,
        "AppRoleName": "jira-audit",
    }


def lines(*found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {"AppTraces": list(found)}


def calls(*found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {"AppRequests": list(found)}
