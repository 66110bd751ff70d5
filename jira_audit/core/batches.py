"""Batches: rows packed up to the exact size limit of one ingestion call. Pure.

The size includes the commas and brackets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from jira_audit.core.records import Row

BATCH_LIMIT = 1_048_576
"""Bytes of JSON in one call; the limit applies to compressed and uncompressed data.
https://learn.microsoft.com/azure/azure-monitor/fundamentals/service-limits#logs-ingestion-api"""

BRACKETS = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows for one call, together `size` bytes without what separates them."""

    rows: tuple[Row, ...]
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", sum([row.size for row in self.rows]))

    @property
    def body(self) -> bytes:
        return b"[%b]" % b",".join([row.line for row in self.rows])

    def halves(self) -> tuple[Batch, Batch]:
        """The same rows as two batches, in order. Needs at least two rows."""
        middle = len(self.rows) // 2
        return Batch(self.rows[:middle]), Batch(self.rows[middle:])


@dataclass
class Batcher:
    """Packs rows in order. A run uses one batcher, so that its batches are full."""

    limit: int = BATCH_LIMIT
    _rows: list[Row] = field(default_factory=list)
    _size: int = BRACKETS

    @property
    def is_empty(self) -> bool:
        return not self._rows

    def add(self, rows: Iterable[Row]) -> Iterator[Batch]:
        """Add rows and yield each full batch; rows are added only while iterating."""
        for row in rows:
            grown = self._size + row.size + bool(self._rows)
            if grown > self.limit and self._rows:
                yield from self.rest()
                grown = self._size + row.size
            self._rows.append(row)
            self._size = grown

    def rest(self) -> Iterator[Batch]:
        """Yield the remaining rows as a batch, full or not."""
        if self._rows:
            rows, self._rows, self._size = tuple(self._rows), [], BRACKETS
            yield Batch(rows)
