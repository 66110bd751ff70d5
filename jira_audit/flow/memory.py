"""Memory: the bytes that one process holds at once, over all its sites."""

from __future__ import annotations

from threading import Condition

RESPONSE_BYTES = 8 * 1024 * 1024
"""Bytes of responses that are requested, held or used. In use, they take several times as much."""

BATCH_BYTES = 4 * 1024 * 1024
"""Bytes of batches in flight."""

WAIT_SECONDS = 1.0
"""Between two tries of a caller that needs the bytes."""


class ByteBudget:
    """At most `total` bytes are held at once, whoever holds them. Thread-safe.

    If nothing is held, any number can be taken: one response may be larger than the budget.
    """

    def __init__(self, total: int) -> None:
        self._total, self._held = total, 0
        self._changed = Condition()

    def take(self, count: int, seconds: float = 0.0) -> bool:
        """Hold `count` bytes more; False if that takes longer than `seconds`."""
        with self._changed:
            if self._held and self._held + count > self._total and seconds:
                self._changed.wait(seconds)
            if self._held and self._held + count > self._total:
                return False
            self._held += count
            return True

    def give_back(self, count: int) -> None:
        """Hold `count` bytes less; more, if it is negative."""
        with self._changed:
            self._held -= count
            self._changed.notify_all()
