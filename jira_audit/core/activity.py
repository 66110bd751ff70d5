"""Activity: counts of a time range's rows, for the report. Pure.

`edge/workspace.py` has a workspace compute the same counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from jira_audit.core import timestamps
from jira_audit.core.timestamps import DAY, HOUR, MINUTE
from jira_audit.core.window import Window

Aspect = Literal["category", "actor", "object", "event"]
"""What rows are counted by. The event is the summary."""

COLUMNS: Mapping[Aspect, Sequence[str]] = {
    "category": ("Category",),
    "object": ("objectItem_typeName_s", "objectItem_name_s"),
    "event": ("summary_s",),
}
"""The columns of each aspect; for the actor see `actor_of`."""

SEPARATOR = " · "

DELAYS: Sequence[int] = (MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, DAY)
"""Upper bounds of the delay from record to row (milliseconds)."""

HOURS_UP_TO = 4 * DAY
"""Longer ranges are counted by day, others by hour (milliseconds)."""


@dataclass
class Activity:
    """Counts of a range's rows.

    `over_time` is by (hour or day, category), `sites` by host. `delays` is by the index in
    `DELAYS`; a longer delay has the index after the last.
    """

    window: Window
    over_time: Counter[tuple[int, str]] = field(default_factory=Counter)
    aspects: dict[Aspect, Counter[str]] = field(
        default_factory=lambda: {
            "category": Counter(),
            "actor": Counter(),
            "object": Counter(),
            "event": Counter(),
        }
    )
    delays: Counter[int] = field(default_factory=Counter)
    sites: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        return self.sites.total()

    @property
    def unit(self) -> int:
        """The unit of `over_time` (milliseconds)."""
        return HOUR if self.window.length <= HOURS_UP_TO else DAY


def count(rows: Iterable[Mapping[str, Any]], window: Window) -> Activity:
    """Count the rows of records created in a range."""
    activity = Activity(window)
    for row in rows:
        created = timestamps.parse(row["created_t"])
        if not window.start <= created <= window.end:
            continue
        activity.sites[_text(row, "site_s")] += 1
        activity.over_time[created - created % activity.unit, _text(row, "Category")] += 1
        activity.aspects["actor"][actor_of(row)] += 1
        for aspect, columns in COLUMNS.items():
            activity.aspects[aspect][joined(_text(row, column) for column in columns)] += 1
        delay = timestamps.parse(row["TimeGenerated"]) - created
        activity.delays[sum(delay > bound for bound in DELAYS)] += 1
    return activity


def span(rows: Iterable[Mapping[str, Any]], window: Window) -> Window | None:
    """From the first to the last record of a range; None if it has none."""
    found: Window | None = None
    for row in rows:
        at = timestamps.parse(row["created_t"])
        if window.start <= at <= window.end:
            found = Window(at, at) if found is None else found
            found = Window(min(found.start, at), max(found.end, at))
    return found


def actor_of(row: Mapping[str, Any]) -> str:
    """The author's legacy user key or account id; empty for Jira itself."""
    key, account = _text(row, "authorKey_s"), _text(row, "authorAccountId_s")
    return account if account and (not key or key.startswith("ug:")) else key


def joined(texts: Iterable[str]) -> str:
    return SEPARATOR.join(text for text in texts if text)


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    return value if isinstance(value, str) else ""
