"""Activity: rows of a time range, counted for reports. Pure.

The workspace computes the same counts with queries (`edge/workspace.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from jira_audit.core import moments
from jira_audit.core.moments import DAY, HOUR, MINUTE
from jira_audit.core.window import Window

Aspect = Literal["category", "actor", "object", "event"]
"""What rows are counted by. The event is the record's summary."""

COLUMNS: Mapping[Aspect, Sequence[str]] = {
    "category": ("Category",),
    "object": ("objectItem_typeName_s", "objectItem_name_s"),
    "event": ("summary_s",),
}
"""The table columns of each aspect; for the actor see `actor_of`."""

BETWEEN = " · "
"""Separates the texts of two columns."""

DELAYS: Sequence[int] = (MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, DAY)
"""Upper bounds, in milliseconds, of the delay between a record and its row."""

HOURS_UP_TO = 4 * DAY
"""Ranges longer than this, in milliseconds, are counted by day."""


@dataclass
class Activity:
    """The rows of a range, counted over time by category, by each aspect, and by delay.

    Keys: in `over_time`, (start of the hour or day, category); in `delays`, the index in `DELAYS`,
    or its length for longer delays; in `sites`, the host.
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
        """The interval of `over_time`, in milliseconds."""
        return HOUR if self.window.length <= HOURS_UP_TO else DAY


def count(rows: Iterable[Mapping[str, Any]], window: Window) -> Activity:
    """Count the rows whose records were created in the window."""
    found = Activity(window)
    for row in rows:
        created = moments.parse(row["created_t"])
        if not window.start <= created <= window.end:
            continue
        found.sites[_text(row, "site_s")] += 1
        found.over_time[created - created % found.unit, _text(row, "Category")] += 1
        found.aspects["actor"][actor_of(row)] += 1
        for aspect, columns in COLUMNS.items():
            found.aspects[aspect][joined(_text(row, column) for column in columns)] += 1
        delay = moments.parse(row["TimeGenerated"]) - created
        found.delays[sum(delay > bound for bound in DELAYS)] += 1
    return found


def actor_of(row: Mapping[str, Any]) -> str:
    """The actor of a row: a user key or an account id; empty if Jira itself acted."""
    key, account = _text(row, "authorKey_s"), _text(row, "authorAccountId_s")
    return account if account and (not key or key.startswith("ug:")) else key


def joined(texts: Iterable[str]) -> str:
    """The non-empty texts of one row's columns, joined."""
    return BETWEEN.join(text for text in texts if text)


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    return value if isinstance(value, str) else ""
