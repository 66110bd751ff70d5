"""A change that depends on rows is applied only after each of those rows was dealt with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.progress import Change, Progress
from jira_audit.core.records import Identity

FIRST = Checkpoint.first("contoso.atlassian.net", 0, 0)


def set_step(step: int) -> Change:
    return lambda checkpoint: replace(checkpoint, step=step)


def test_change_is_applied_at_once_with_no_batch_in_flight() -> None:
    progress = Progress(FIRST)

    progress.apply_later(set_step(7), rows_wait=False)

    assert progress.checkpoint.step == 7


def test_change_waits_for_the_batch_of_its_rows() -> None:
    progress = Progress(FIRST)
    progress.hand_over([1])
    progress.apply_later(set_step(7), rows_wait=True)
    before = progress.checkpoint

    progress.settle(progress.begin())

    assert before == FIRST
    assert progress.checkpoint.step == 7


def test_change_waits_for_older_batches() -> None:
    progress = Progress(FIRST)
    older, newer = progress.begin(), progress.begin()
    progress.apply_later(set_step(7), rows_wait=False)

    progress.settle(newer)
    between = progress.checkpoint
    progress.settle(older)

    assert between == FIRST
    assert progress.checkpoint.step == 7


def test_record_is_known_from_when_it_is_added() -> None:
    progress = Progress(FIRST)

    progress.hand_over([3])
    assert progress.has(3)
    progress.deal_with([Identity(3, 10)])

    assert progress.has(3)
    assert not progress.has(4)
    assert progress.checkpoint.ledger.ranges == ((3, 3),)
    assert progress.checkpoint.latest == 10


@dataclass
class WaitingChange:
    """A change of the model: its number, and the batches that it waits for."""

    number: int
    batches: set[int]


@dataclass
class Model:
    """The changes that may be applied, by checking every batch."""

    begun: int = 0
    settled: set[int] = field(default_factory=set)
    waiting: list[WaitingChange] = field(default_factory=list)
    applied: list[int] = field(default_factory=list)

    def apply_ready(self) -> None:
        while self.waiting and self.waiting[0].batches <= self.settled:
            self.applied.append(self.waiting.pop(0).number)


class Interleavings(RuleBasedStateMachine):
    """Batches that begin and settle in any order, with changes in between."""

    def __init__(self) -> None:
        super().__init__()
        self.model, self.progress = Model(), Progress(FIRST)
        self.changes = 0
        self.applied: list[int] = []

    @rule()
    def begin(self) -> None:
        assert self.progress.begin() == self.model.begun
        self.model.begun += 1

    @precondition(lambda self: len(self.model.settled) < self.model.begun)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        unsettled = sorted(set(range(self.model.begun)) - self.model.settled)
        number = data.draw(st.sampled_from(unsettled))
        self.model.settled.add(number)
        self.model.apply_ready()
        self.progress.settle(number)

    @rule(rows_wait=st.booleans())
    def change(self, rows_wait: bool) -> None:
        number = self.changes
        self.changes += 1
        batches = set(range(self.model.begun + rows_wait))
        self.model.waiting.append(WaitingChange(number, batches))
        self.model.apply_ready()

        def apply(checkpoint: Checkpoint) -> Checkpoint:
            self.applied.append(number)
            return checkpoint

        self.progress.apply_later(apply, rows_wait=rows_wait)

    @invariant()
    def changes_are_applied_in_order(self) -> None:
        assert self.applied == self.model.applied


TestInterleavings = Interleavings.TestCase
