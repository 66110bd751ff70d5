"""Completeness: of every record that Jira shows, what became of it. Pure.

What is compared: what Jira shows now, what the checkpoints say was dealt with, which dead letters
wait, and what the table holds, where that is known.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.ledger import Ledger
from jira_audit.core.letters import id_in
from jira_audit.core.records import Identity

RecordStatus = Literal["there", "delivered", "kept", "to come", "missing", "unknown"]
"""What became of a record. `there`: its row is in the table; `delivered`: it was accepted, and no
table was asked; `kept`: as a dead letter, which waits; `to come`: a coming run will read it;
`missing`: none of these, though it should be; `unknown`: it is not in the reach of what is stored.
"""

Answer = Literal["complete", "missing", "unknown"]


@dataclass
class JiraInventory:
    """What Jira has shown of a range of time, up to the moment `through` so far.

    16 bytes a record. `nameless` are records without an id or a readable created time: the name
    that their dead letter has, and the end of the window they were in.
    """

    through: int
    ids: array[int] = field(default_factory=lambda: array("q"))
    created: array[int] = field(default_factory=lambda: array("q"))
    nameless: list[tuple[str, int]] = field(default_factory=list)

    def add(self, identities: Iterable[Identity]) -> None:
        """Take in the records of a window; none may have been in another."""
        for each in identities:
            self.ids.append(each.id)
            self.created.append(each.created)


@dataclass(frozen=True)
class TableInventory:
    """What the table holds: ids, and of those that are there more than once, how often."""

    ids: Ledger = field(default_factory=Ledger)
    copies: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class KnownState:
    """What is stored of a site: the ticks' checkpoint, its backfill's, the names of dead letters.

    From the moment `found_from` on, a record that Jira shows late is still read by a coming run.
    """

    ticks: Checkpoint
    filled: Checkpoint | None
    letters: Sequence[str]
    found_from: int

    def has(self, record_id: int, created: int) -> bool:
        """Whether a record has been dealt with. Each checkpoint speaks of what it has read."""
        if created >= self.ticks.start:
            return record_id in self.ticks.ledger
        return self.filled is not None and record_id in self.filled.ledger

    def without_it(self, created: int) -> RecordStatus:
        """The fate of a record that is not dealt with, as far as what is stored can tell."""
        if created >= self.ticks.start:
            if created > self.ticks.through or created >= self.found_from:
                return "to come"
            forgotten = self.ticks.pruned is not None and created < self.ticks.pruned
            return "unknown" if forgotten else "missing"
        filled = self.filled
        return "missing" if filled and filled.start <= created <= filled.through else "unknown"


@dataclass(frozen=True)
class Findings:
    """What became of the records that Jira shows: each has one of the fates.

    `accepted` are the ids that the ledgers have; `lost` those of them that the table is without,
    `missing_at` all that are missing, with when they were created. `nameless` is the fate of
    records without an identity, by their letter's name. `copies` are ids that the table has more
    than once, `only_in_table` those that Jira shows no more.
    """

    fates: Mapping[RecordStatus, Ledger]
    in_jira: Ledger
    accepted: Ledger
    lost: Ledger
    missing_at: Mapping[int, int]
    nameless: Mapping[str, RecordStatus]
    copies: Mapping[int, int]
    only_in_table: Ledger

    def count(self, fate: RecordStatus) -> int:
        """How many records, with and without an identity."""
        return self.fates[fate].count + sum(each == fate for each in self.nameless.values())

    @property
    def answer(self) -> Answer:
        """Whether all that should be there is; `unknown` where nothing can be said of some."""
        if self.count("missing"):
            return "missing"
        return "unknown" if self.count("unknown") else "complete"


def compare(shown: JiraInventory, stored: KnownState, held: TableInventory | None) -> Findings:
    """Tell what became of every record that Jira shows; `held` is None where no table was asked."""
    names = set(stored.letters)
    kept = {number for name in names if (number := id_in(name)) is not None}
    fates: dict[RecordStatus, list[int]] = {fate: [] for fate in get_args(RecordStatus)}
    accepted: list[int] = []
    missing_at: dict[int, int] = {}

    def without_it(created: int) -> RecordStatus:
        fate = stored.without_it(created)
        return "missing" if fate == "unknown" and held else fate

    for record_id, created in zip(shown.ids, shown.created, strict=True):
        is_accepted = stored.has(record_id, created)
        if is_accepted:
            accepted.append(record_id)
        fate: RecordStatus
        if held and record_id in held.ids:
            fate = "there"
        elif record_id in kept:
            fate = "kept"
        elif is_accepted:
            fate = "missing" if held else "delivered"
        else:
            fate = without_it(created)
        fates[fate].append(record_id)
        if fate == "missing":
            missing_at[record_id] = created
    in_jira, ledger = Ledger().with_ids(shown.ids), Ledger().with_ids(accepted)
    return Findings(
        {fate: Ledger().with_ids(ids) for fate, ids in fates.items()},
        in_jira,
        ledger,
        Ledger().with_ids(missing for missing in missing_at if missing in ledger),
        missing_at,
        {name: "kept" if name in names else without_it(by) for name, by in shown.nameless},
        held.copies if held else {},
        held.ids.without(in_jira) if held else Ledger(),
    )
