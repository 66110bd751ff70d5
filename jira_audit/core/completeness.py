"""Completeness: the status of every record that Jira shows. Pure.

Compares Jira with the checkpoints' ledgers, the dead letters and, if one was queried, the table.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.ledger import Ledger
from jira_audit.core.letters import id_in
from jira_audit.core.records import Identity

RecordStatus = Literal[
    "in table", "delivered", "dead letter", "pending", "delayed", "missing", "unknown"
]
"""`in table`: the table has its row. `delivered`: it was accepted, and no table was queried.
`pending`: a later run will read it. `delayed`: it was accepted lately, and the table is behind.
`missing`: none of these, though it should be. `unknown`: nothing stored covers it."""

Verdict = Literal["complete", "delayed", "missing", "unknown"]


@dataclass
class JiraInventory:
    """What Jira has shown of a time range, so far up to `through`, in 16 bytes a record.

    `nameless` are records without an id or a readable created time: the name of each one's dead
    letter, and the end of its window.
    """

    through: int
    ids: array[int] = field(default_factory=lambda: array("q"))
    created: array[int] = field(default_factory=lambda: array("q"))
    nameless: list[tuple[str, int]] = field(default_factory=list)

    def add(self, identities: Iterable[Identity]) -> None:
        """Add the records of a window. No record may be added twice."""
        for each in identities:
            self.ids.append(each.id)
            self.created.append(each.created)


@dataclass(frozen=True)
class TableInventory:
    """The ids in the table, and how often each id with duplicates is there."""

    ids: Ledger = field(default_factory=Ledger)
    copies: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class KnownState:
    """A site's checkpoint, its backfill's, and the names of its dead letters.

    A later run still finds late records created from `late_found_from` on. `backfilled` is when the
    backfill's checkpoint was saved. `restarted`: the site's
    ids have restarted, so the ledger proves nothing of a record that is newer than all in it.
    """

    ticks: Checkpoint
    backfill: Checkpoint | None
    letters: Sequence[str]
    late_found_from: int
    restarted: bool = False
    backfilled: int | None = None

    @cached_property
    def dead_letter_ids(self) -> frozenset[int]:
        return frozenset(number for name in self.letters if (number := id_in(name)) is not None)

    def has(self, identity: Identity) -> bool:
        """Whether the ledger of the checkpoint that covers the record has it."""
        checkpoint = self.ticks if identity.created >= self.ticks.start else self.backfill
        if checkpoint is None or identity.id not in checkpoint.ledger:
            return False
        return not self.needs_reset(identity)

    def needs_reset(self, identity: Identity) -> bool:
        """Whether only a reset delivers this record: its id is that of an older one."""
        ticks = self.ticks
        return self.restarted and (identity == ticks.suspect or ticks.is_restarted_by(identity))

    def is_backfilled_since(self, timestamp_ms: int) -> bool:
        return self.backfilled is not None and self.backfilled >= timestamp_ms

    def status_without(self, created: int) -> RecordStatus:
        """The status of a record that is in no ledger and no letter, by its created time."""
        if created < self.ticks.start:
            backfill = self.backfill
            is_covered = backfill and backfill.start <= created <= backfill.through
            return "missing" if is_covered else "unknown"
        if created > self.ticks.through or created >= self.late_found_from:
            return "pending"
        is_pruned = self.ticks.pruned is not None and created < self.ticks.pruned
        return "unknown" if is_pruned else "missing"


@dataclass(frozen=True)
class Findings:
    """The status of every record that Jira shows.

    `nameless`: the status of records without an identity, by the name of their letter.
    `missing_at`: the created times of the missing records. `accepted`: the ids in the ledgers.
    `copies`: how often the table has each id with duplicates. `only_in_table`: ids that Jira no
    longer shows. `table_through`: the created time of the newest record in the table.
    `oldest_shown`: that of the oldest record that Jira shows.
    """

    by_status: Mapping[RecordStatus, Ledger]
    nameless: Mapping[str, RecordStatus]
    missing_at: Mapping[int, int]
    in_jira: Ledger
    accepted: Ledger
    copies: Mapping[int, int]
    only_in_table: Ledger
    table_through: int | None = None
    oldest_shown: int | None = None

    @property
    def lost(self) -> Ledger:
        """The ids that were accepted but are not in the table: missing, or only delayed."""
        missing, delayed = self.by_status["missing"], self.by_status["delayed"]
        accepted = missing.without(missing.without(self.accepted))
        return Ledger.of([*accepted.ranges, *delayed.ranges])

    def count(self, status: RecordStatus) -> int:
        return self.by_status[status].count + sum(each == status for each in self.nameless.values())

    @property
    def verdict(self) -> Verdict:
        """The worst status: `missing`, `unknown`, `delayed`, else `complete`."""
        if self.count("missing"):
            return "missing"
        if self.count("unknown"):
            return "unknown"
        return "delayed" if self.count("delayed") else "complete"


def status_of(
    record: Identity, stored: KnownState, table: TableInventory | None = None
) -> RecordStatus:
    """The status of one record. The table decides, if one was queried."""
    if table and record.id in table.ids:
        return "in table"
    if record.id in stored.dead_letter_ids:
        return "dead letter"
    if stored.has(record):
        return "missing" if table else "delivered"
    if stored.needs_reset(record):
        return "missing"
    return _status_without(record.created, stored, table)


def compare(
    shown: JiraInventory,
    stored: KnownState,
    table: TableInventory | None,
    delayed_from: int | None = None,
) -> Findings:
    """Find every record's status; `table` is None if none was queried.

    Records created at `delayed_from` or later (None: none) may be delayed on the way to the table.
    """
    ids: dict[RecordStatus, list[int]] = {status: [] for status in get_args(RecordStatus)}
    accepted: list[int] = []
    missing_at: dict[int, int] = {}
    table_through: int | None = None
    backfill_through: int | None = None
    begins = stored.ticks.start
    for record in map(Identity, shown.ids, shown.created):
        status = status_of(record, stored, table)
        ids[status].append(record.id)
        if status == "missing":
            missing_at[record.id] = record.created
        elif status == "in table":
            table_through = max(record.created, table_through or record.created)
            if record.created < begins:
                backfill_through = max(record.created, backfill_through or record.created)
        if stored.has(record):
            accepted.append(record.id)
    if table and delayed_from is not None:
        absent = {number: missing_at[number] for number in accepted if number in missing_at}
        ids["delayed"] = _delayed(absent, table_through, delayed_from)
        if not ids["delayed"] and stored.is_backfilled_since(delayed_from):
            before = {number: at for number, at in absent.items() if at < begins}
            ids["delayed"] = _delayed(before, backfill_through, min(before.values(), default=0))
        for number in ids["delayed"]:
            del missing_at[number]
        ids["missing"] = list(missing_at)
    in_jira = Ledger().with_ids(shown.ids)
    letters = set(stored.letters)
    return Findings(
        by_status={status: Ledger().with_ids(its) for status, its in ids.items()},
        nameless={
            name: "dead letter" if name in letters else _status_without(created, stored, table)
            for name, created in shown.nameless
        },
        missing_at=missing_at,
        in_jira=in_jira,
        accepted=Ledger().with_ids(accepted),
        copies=table.copies if table else {},
        only_in_table=table.ids.without(in_jira) if table else Ledger(),
        table_through=table_through,
        oldest_shown=min(shown.created, default=None),
    )


def _delayed(absent: Mapping[int, int], table_through: int | None, since: int) -> list[int]:
    """The accepted records absent from a table, with their created times, that are delayed.

    A row is lost if the table has newer ones. If the newest ones are absent, the table is behind:
    then nothing is known of any row, which may have been accepted late, as by a backfill. A record
    created before `since` shows no delay: none is assumed to last longer.
    """
    newest = max((created for created in absent.values() if created >= since), default=None)
    if newest is None or (table_through is not None and newest <= table_through):
        return []
    return list(absent)


def _status_without(created: int, stored: KnownState, table: TableInventory | None) -> RecordStatus:
    """As `KnownState.status_without`; a table also decides what no ledger covers."""
    status = stored.status_without(created)
    return "missing" if status == "unknown" and table else status
