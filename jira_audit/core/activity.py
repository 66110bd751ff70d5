"""Activity: what happened in a range of time, counted from rows, for people to look at. Pure.

The workspace counts the same itself, by queries (`edge/workspace.py`).
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
"""What rows are counted by: who did it, and to what; the event is the record's summary."""

COLUMNS: Mapping[Aspect, Sequence[str]] = {
    "category": ("Category",),
    "object": ("objectItem_typeName_s", "objectItem_name_s"),
    "event": ("summary_s",),
}
"""By which of the table's columns; for the actor see `actor_of`."""

SEPARATOR = " · "
"""Between the texts of two columns."""

DELAYS: Sequence[int] = (MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, DAY)
"""Bounds of how long after its record a row was written, in milliseconds."""

HOURS_UP_TO = 4 * DAY
"""Longer ranges are counted by the day."""


@dataclass
class Activity:
    """Rows of a range, counted: over time by category, by each aspect, and by their delay.

    `over_time` is by (the hour or day, the category), `delays` by the place in `DELAYS` (its length
    for what took longer), `sites` by the site's host.
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
        """How many there are in all."""
        return self.sites.total()

    @property
    def unit(self) -> int:
        """What `over_time` counts by, in milliseconds."""
        return HOUR if self.window.length <= HOURS_UP_TO else DAY


def count(rows: Iterable[Mapping[str, Any]], window: Window) -> Activity:
    """Count the rows whose records were created in a range."""
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
    """Who did it, as briefly as the row knows: a name of old, or an account id; empty for Jira."""
    key, account = _text(row, "authorKey_s"), _text(row, "authorAccountId_s")
    return account if account and (not key or key.startswith("ug:")) else key


def joined(texts: Iterable[str]) -> str:
    """The texts of one row's columns as one, without those that are empty."""
    return SEPARATOR.join(text for text in texts if text)


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    return value if isinstance(value, str) else ""
