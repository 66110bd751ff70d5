"""The comparison of the daily audit: settled days against the ledger and the table. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from jira_audit.core.audit import REACH, SHORTEST_RETENTION, Audit, Day, Proof
from jira_audit.core.ledger import Ledger


@dataclass(frozen=True)
class Compared:
    """The audit after a comparison, with the ids behind the numbers of its proof."""

    audit: Audit
    proof: Proof
    missing: Ledger
    duplicated: Ledger


@dataclass(frozen=True)
class Places:
    """Where the ids of records are: in the `ledger`, in the `table`, there `several` times, among
    the dead `letters`.
    """

    ledger: Ledger
    table: Ledger
    several: Ledger = field(default_factory=Ledger)
    letters: Ledger = field(default_factory=Ledger)


def compare(audit: Audit, places: Places, now: int) -> Compared:
    """Compare every day that waits; at least one must wait for its first query."""
    new = [day for day in audit.days if not day.is_asked]
    shown = Ledger.of([ids for day in new for ids in day.ids.ranges])
    undelivered = shown.without(places.ledger)
    found, letters = _both(shown, places.table), _both(shown.without(places.table), places.letters)
    days: list[Day] = []
    absent, lost = Ledger(), undelivered
    for day in audit.days:
        left = day.ids.without(places.table).without(places.letters)
        if day.is_asked:
            lost = Ledger.of([*lost.ranges, *left.ranges])
        else:
            absent = Ledger.of([*absent.ranges, *left.without(undelivered).ranges])
        if left.ranges and day.start >= now - REACH:
            days.append(Day(day.start, day.end, left, is_asked=True))
    duplicated = _both(shown, places.several).without(audit.announced)
    start, end = min(day.start for day in new), max(day.end for day in new)
    proof = Proof(
        *(start, end, now, shown.count, shown.count - undelivered.count, letters.count),
        *(found.count, absent.count, lost.count, duplicated.count),
    )
    after = replace(
        audit,
        days=tuple(days),
        announced=audit.announced.without(shown),
        unsure=Ledger(tuple(each for each in audit.unsure.ranges if each[1] > end)),
        asked=None,
        since=now,
        proof=proof,
    )
    return Compared(after, proof, lost, duplicated)


def may_be_deleted(day: Day, table: Ledger, now: int) -> bool:
    """Whether rows are absent of a day so old that the table's retention may have deleted them."""
    return day.start < now - SHORTEST_RETENTION and bool(day.ids.without(table).ranges)


def without_deleted(audit: Audit, table: Ledger, oldest: int | None, now: int) -> Audit:
    """The audit without the days that the table does not keep any more: its `oldest` row is newer.

    Nothing can be said of them.
    """
    kept = [
        day
        for day in audit.days
        if not may_be_deleted(day, table, now) or (oldest is not None and oldest <= day.start)
    ]
    return replace(audit, days=tuple(kept))


def _both(one: Ledger, other: Ledger) -> Ledger:
    return one.without(one.without(other))
