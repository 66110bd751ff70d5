"""The daily audit of a site: what it keeps between runs, and what it finds. Pure.

A sweep notes the ids that Jira shows of settled records. One query then says which of them the
table has. An id that is absent is asked for again with the next day's: delay is not loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jira_audit.core import timestamps
from jira_audit.core.ledger import Ledger
from jira_audit.core.timestamps import DAY, HOUR

SETTLED_AFTER = DAY
"""Milliseconds after which a record is audited. By then the sweeps of `SWEEP_HOURS`' default have
found what Jira showed late, and the table shows accepted rows, which usually takes minutes:
https://learn.microsoft.com/azure/azure-monitor/logs/data-ingestion-time"""

RETRY_AFTER = HOUR
"""Milliseconds from a query that failed to the next one."""

REACH = 7 * DAY
"""Milliseconds after which a day that could not be compared is given up."""

SHORTEST_RETENTION = 4 * DAY
"""Milliseconds for which a table keeps rows at least. Of older days, the table may have none left.
https://learn.microsoft.com/azure/azure-monitor/logs/data-retention-configure"""

UNPROVEN_AFTER = 3 * DAY
"""Milliseconds without a comparison after which someone must act."""


@dataclass(frozen=True, slots=True)
class Day:
    """The `ids` to find in the table, of records created from `start` to `end`.

    `is_asked`: they were absent from it once.
    """

    start: int
    end: int
    ids: Ledger
    is_asked: bool = False


@dataclass(frozen=True, slots=True)
class Proof:
    """What one comparison found, of the records created from `start` to `end`, at the moment `at`.

    `jira` showed so many ids; the `ledger` has so many of them, `letters` of which are dead
    letters; so many are in the `table`. `absent` ones are asked for again the next day. `missing`
    are in no ledger, or were absent twice, those of earlier days included. `duplicated` are in the
    table several times, though no run has announced it.
    """

    start: int
    end: int
    at: int
    jira: int
    ledger: int
    letters: int
    table: int
    absent: int
    missing: int
    duplicated: int

    def line(self, site: str) -> str:
        """The line `jira_audit_proof`: `key=value` pairs for KQL's `parse-kv`."""
        pairs = {"site": site, **self.payload()}
        return "jira_audit_proof " + " ".join(f"{key}={value}" for key, value in pairs.items())

    def payload(self) -> Mapping[str, Any]:
        """The proof as JSON."""
        counts = ("jira", "ledger", "letters", "table", "absent", "missing", "duplicated")
        return {
            "from": timestamps.text(self.start),
            "to": timestamps.text(self.end),
            "at": timestamps.text(self.at),
            **{name: getattr(self, name) for name in counts},
        }

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Proof:
        """The proof of its JSON. Raises KeyError, TypeError or ValueError for anything else."""
        moments = (timestamps.parse(payload[name]) for name in ("from", "to", "at"))
        return cls(*moments, *(int(payload[name]) for name in cls.__slots__[3:]))


@dataclass(frozen=True, slots=True)
class Audit:
    """What the audit keeps of a site.

    `next` is the created time from which records are still to be noted, `shown` those noted by a
    sweep that is not done; `days` wait for a query, or for their second one. `asked` is when a
    query last failed, `since` when the last one succeeded (at first, when the audit began), with
    the result `proof`.

    A run has announced that rows of the ids `announced`, or of records created at the moments
    `unsure`, may be in the table several times.
    """

    next: int
    since: int
    shown: Ledger = field(default_factory=Ledger)
    days: tuple[Day, ...] = ()
    announced: Ledger = field(default_factory=Ledger)
    unsure: Ledger = field(default_factory=Ledger)
    asked: int | None = None
    proof: Proof | None = None

    @property
    def entries(self) -> int:
        """How many ranges it stores."""
        ledgers = self.shown, self.announced, self.unsure, *(day.ids for day in self.days)
        return sum(len(each.ranges) for each in ledgers)

    @classmethod
    def begun(cls, start: int, now: int, *, is_new: bool) -> Audit:
        """The audit of a site whose checkpoint begins at `start`.

        Unless the checkpoint `is_new`, nobody knows what earlier runs have announced.
        """
        unsure = Ledger() if is_new else Ledger(((min(start, now), now),))
        return cls(max(start, now - DAY), now, unsure=unsure)

    def reads_from(self, now: int) -> int:
        """Where a sweep must begin, so that no settled record is left out."""
        return max(self.next, now - REACH)

    def is_behind(self, now: int) -> bool:
        """Whether what is still to be noted is out of reach."""
        return self.next < now - REACH

    def catching_up(self, now: int) -> Audit:
        """Give up what was to be noted and is out of reach."""
        return replace(self, next=now - REACH, shown=Ledger())

    def settled(self, began: int, end: int) -> int:
        """Up to where a sweep that `began` then, and reads up to `end`, notes ids."""
        return min(began - SETTLED_AFTER, end)

    def noting(self, created: Mapping[int, int], settled: int) -> Audit:
        """Note the ids that a sweep has shown, with their created times, up to `settled`."""
        noted = [number for number, at in created.items() if self.next <= at <= settled]
        if not noted:
            return self
        unsure = [number for number in noted if created[number] in self.unsure]
        return replace(
            self,
            shown=self.shown.with_ids(noted),
            announced=self.announced.with_ids(unsure) if unsure else self.announced,
        )

    def swept(self, settled: int) -> Audit:
        """A sweep is done: it has shown every record created up to `settled`."""
        if settled < self.next:
            return self
        day = Day(self.next, settled, self.shown)
        return replace(self, next=settled + 1, shown=Ledger(), days=(*self.days, day))

    def announcing(self, ids: Ledger) -> Audit:
        """Rows with these ids may be in the table several times."""
        return replace(self, announced=Ledger.of([*self.announced.ranges, *ids.ranges]))

    def unsure_of(self, start: int, end: int) -> Audit:
        """So may rows of records created from `start` to `end`."""
        return replace(self, unsure=Ledger.of([*self.unsure.ranges, (min(start, end), end)]))

    def is_due(self, now: int) -> bool:
        """Whether a day waits for its first query, and none has just failed."""
        waits = any(not day.is_asked for day in self.days)
        return waits and (self.asked is None or not 0 <= now - self.asked < RETRY_AFTER)

    def failed(self, now: int) -> Audit:
        """A query failed. Days that are too old for another one are given up."""
        kept = tuple(day for day in self.days if day.start >= now - REACH)
        return replace(self, asked=now, days=kept)

    def is_unproven(self, now: int) -> bool:
        """Whether someone must act, as no query has succeeded for long."""
        return now - self.since >= UNPROVEN_AFTER
