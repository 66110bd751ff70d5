"""Progress: the batches in flight, and the changes to the checkpoint that wait for them. Pure.

As in https://github.com/Jeffail/checkpoint, a position resolves only after everything before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.records import Identity

Change = Callable[[Checkpoint], Checkpoint]


class Progress:
    """One run's `checkpoint`, in the state that may be saved now.

    A batch is *begun* when it is sent, and *settled* when each of its rows was dealt with. A change
    waits until every batch with rows that it depends on is settled.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._pending: set[int] = set()
        self._begun = 0
        self._unsettled: set[int] = set()
        self._waiting: deque[tuple[int, Change]] = deque()

    def has(self, record_id: int) -> bool:
        """Whether the record was dealt with or handed over."""
        return record_id in self._pending or record_id in self.checkpoint.ledger

    def hand_over(self, ids: Iterable[int]) -> None:
        """The rows of these records wait for a batch."""
        self._pending.update(ids)

    def begin(self) -> int:
        """Returns the batch's number."""
        number = self._begun
        self._begun += 1
        self._unsettled.add(number)
        return number

    def deal_with(self, identities: Iterable[Identity]) -> None:
        """Add the ids of accepted or dead-lettered records to the ledger."""
        dealt_with = list(identities)
        self._pending.difference_update([identity.id for identity in dealt_with])
        self.checkpoint = self.checkpoint.dealt_with(dealt_with)

    def settle(self, number: int) -> None:
        """Every row of a batch was dealt with: apply what waited for it only."""
        self._unsettled.discard(number)
        self._apply_ready()

    def apply(self, change: Change) -> None:
        self.checkpoint = change(self.checkpoint)

    def apply_later(self, change: Change, *, rows_wait: bool) -> None:
        """Change the checkpoint after every row handed over so far was dealt with.

        With `rows_wait`, some of these rows are in no batch yet; the next one has them. Changes are
        applied in the order of the calls.
        """
        self._waiting.append((self._begun + 1 if rows_wait else self._begun, change))
        self._apply_ready()

    def _apply_ready(self) -> None:
        settled = min(self._unsettled, default=self._begun)
        while self._waiting and self._waiting[0][0] <= settled:
            _, change = self._waiting.popleft()
            self.checkpoint = change(self.checkpoint)
