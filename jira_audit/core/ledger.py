"""The ledger: the ids of the records that were delivered or dead-lettered.

It has them as sorted, disjoint ranges. Jira's ids are nearly contiguous, so a year of records is a
few ranges.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise


@dataclass(frozen=True, slots=True)
class Ledger:
    """An immutable set of ids; `ranges` has (first, last) pairs, both inclusive."""

    ranges: tuple[tuple[int, int], ...] = ()

    def __contains__(self, record_id: int) -> bool:
        at = bisect_right(self.ranges, (record_id, math.inf))
        return at > 0 and record_id <= self.ranges[at - 1][1]

    def __len__(self) -> int:
        """As `count`, but raises OverflowError above `sys.maxsize`."""
        return self.count

    @property
    def count(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(range(first, last + 1) for first, last in self.ranges)

    @property
    def gaps(self) -> Ledger:
        """The ids between those dealt with, which Jira may still show late."""
        return Ledger(tuple((a[1] + 1, b[0] - 1) for a, b in pairwise(self.ranges)))

    def sample(self, ranges: int) -> str:
        """The first ids, for a message: `10007, 10009 to 10012, and 3 more ranges`."""
        ids = [str(a) if a == b else f"{a} to {b}" for a, b in self.ranges[:ranges]]
        more = len(self.ranges) - ranges
        return ", ".join([*ids, *([f"and {more:,} more ranges"] if more > 0 else [])])

    def with_ids(self, ids: Iterable[int]) -> Ledger:
        """This ledger and these ids, in any order; they may repeat."""
        return Ledger.of([*self.ranges, *[(record_id, record_id) for record_id in ids]])

    def without(self, other: Ledger) -> Ledger:
        left: list[tuple[int, int]] = []
        taken, at = other.ranges, 0
        for first, last in self.ranges:
            while at < len(taken) and taken[at][1] < first:
                at += 1
            start, here = first, at
            while here < len(taken) and taken[here][0] <= last:
                if start < taken[here][0]:
                    left.append((start, taken[here][0] - 1))
                start, here = taken[here][1] + 1, here + 1
            if start <= last:
                left.append((start, last))
        return Ledger(tuple(left))

    def from_id(self, smallest: int) -> Ledger:
        return Ledger(
            tuple((max(first, smallest), last) for first, last in self.ranges if last >= smallest)
        )

    @classmethod
    def of(cls, ranges: Iterable[tuple[int, int]]) -> Ledger:
        """The ledger of (first, last) ranges, which may touch, overlap and be unsorted."""
        merged: list[tuple[int, int]] = []
        for first, last in sorted(ranges):
            if merged and first <= merged[-1][1] + 1:
                if last > merged[-1][1]:
                    merged[-1] = (merged[-1][0], last)
            else:
                merged.append((first, last))
        return cls(tuple(merged))
