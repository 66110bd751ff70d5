"""Progress: which batches are in flight, and which changes to the checkpoint wait for them.

Pure bookkeeping: nothing is sent or saved here. The shape is that of Jeffail/checkpoint, where a
position resolves only when everything before it has: https://github.com/Jeffail/checkpoint
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.records import Identity

Change = Callable[[Checkpoint], Checkpoint]
"""What is to be remembered of a site from now on, made of what was."""


class Progress:
    """One run's checkpoint as it may be saved now.

    A batch is *begun* when it is sent and *settled* when each of its rows was dealt with. A change
    that speaks of rows is applied only when every batch that has them is settled.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._pending: set[int] = set()
        self._begun = 0
        self._unsettled: set[int] = set()
        self._waiting: deque[tuple[int, Change]] = deque()

    def has(self, record_id: int) -> bool:
        """Whether a record was dealt with, or its row was handed over for a batch."""
        return record_id in self._pending or record_id in self.checkpoint.ledger

    def hand_over(self, ids: Iterable[int]) -> None:
        """These records' rows are on their way."""
        self._pending.update(ids)

    def begin(self) -> int:
        """Number the next batch, which is sent now."""
        number = self._begun
        self._begun += 1
        self._unsettled.add(number)
        return number

    def deal_with(self, identities: Iterable[Identity]) -> None:
        """These records were accepted, or kept as dead letters: the ledger has them."""
        dealt_with = list(identities)
        self._pending.difference_update([identity.id for identity in dealt_with])
        self.checkpoint = self.checkpoint.dealt_with(dealt_with)

    def settle(self, number: int) -> None:
        """Every row of this batch was dealt with; apply what waited for it alone."""
        self._unsettled.discard(number)
        self._apply_ready()

    def apply(self, change: Change) -> None:
        """Change the checkpoint now."""
        self.checkpoint = change(self.checkpoint)

    def apply_later(self, change: Change, *, rows_wait: bool) -> None:
        """Change the checkpoint once every row handed over until now was dealt with.

        `rows_wait` says that some of them are not in a batch yet: the next one has them. Changes
        are applied in the order in which they came.
        """
        self._waiting.append((self._begun + 1 if rows_wait else self._begun, change))
        self._apply_ready()

    def _apply_ready(self) -> None:
        """Every batch below the first unsettled one is settled."""
        settled = min(self._unsettled, default=self._begun)
        while self._waiting and self._waiting[0][0] <= settled:
            _, change = self._waiting.popleft()
            self.checkpoint = change(self.checkpoint)
