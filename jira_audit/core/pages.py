"""Pages: how the responses for one window fit together while the list may change. Pure.

Jira's audit log has no cursor; it is read by offset, newest first. These rules make offsets safe.
Advance by the number received, never by the number requested. After a full page, step one record
back and check that it comes again first (the seam). Only an empty page, at or past the number
received, is the end.

A page that cannot be read is requested with half the limit, down to one record; after that, the
limit doubles again. A record that cannot be read even alone is taken as its raw JSON.
https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-audit-records/
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from jira_audit.core import encoding
from jira_audit.core.errors import RecordRejected, TransientError
from jira_audit.core.records import Identity, RawRecord, Record, identify
from jira_audit.core.window import Window

PAGE_SIZE = 1_000
"""Jira silently caps larger requests."""

PAGE_BYTES = 2 * 1024 * 1024
"""Target size of a response. Parsed and mapped, it takes several times as much memory."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request for at most `limit` records of a window, from an offset on."""

    window: Window
    offset: int
    limit: int


@dataclass(frozen=True, slots=True)
class RecordsPage:
    """One response of `size` bytes: the records from `offset` on. `date` is Jira's clock."""

    offset: int
    records: list[Record]
    date: int | None = None
    size: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Page:
    """One response as a part of its window, without the record repeated at the seam.

    `ended`: this is the empty page that ends the window. `moved`: the list moved, so records may
    be missing and the window must be read again. `pages`: the amount so far, 2.5 after a third page
    half as long as the others. `is_short`: the empty page should follow.
    """

    records: list[Record]
    date: int | None
    ended: bool
    moved: bool
    pages: float = 0.0
    is_short: bool = False

    @cached_property
    def identified(self) -> Mapping[int, tuple[Identity, Record]]:
        """The records by id; the first of any duplicates."""
        return self._sorted[0]

    @cached_property
    def unidentified(self) -> Sequence[tuple[Record, RecordRejected]]:
        """The records without an id or a readable created time."""
        return self._sorted[1]

    @cached_property
    def _sorted(
        self,
    ) -> tuple[dict[int, tuple[Identity, Record]], list[tuple[Record, RecordRejected]]]:
        identified: dict[int, tuple[Identity, Record]] = {}
        unidentified: list[tuple[Record, RecordRejected]] = []
        for record in self.records:
            try:
                identity = identify(record)
            except RecordRejected as reason:
                unidentified.append((record, reason))
            else:
                identified.setdefault(identity.id, (identity, record))
        return identified, unidentified


@dataclass
class Reading:
    """One reading of one window.

    `offset` and `limit` are those of the next request; the limit is below `page_size` after a page
    that could not be read, and where records are large. `received` counts the records so far, in
    `pages` (as in `Page`); `last` is the last one. `full`: the last response was as long as
    requested.
    """

    page_size: int = PAGE_SIZE
    limit: int = 0
    offset: int = 0
    received: int = 0
    pages: float = 0.0
    full: bool = False
    ended: bool = False
    last: Record = None
    _moved: bool = False
    _seen: set[int] = field(default_factory=set)
    _repeated: bool = False
    _longest: int = 0

    def __post_init__(self) -> None:
        self.limit = self.limit or self.page_size

    @property
    def is_smallest(self) -> bool:
        """Whether the next request is for one record that was not received yet."""
        return self.limit == 1 and self.offset >= self.received

    def ask_for_less(self) -> None:
        """The response to the next request cannot be read: request half as many records.

        The smallest request with a seam is for two records; after it, the new one alone.
        """
        if self.limit > 2 or (self.limit == 2 and self.offset >= self.received):
            self.limit //= 2
        else:
            self.offset, self.limit = self.received, 1

    def take(self, response: RecordsPage) -> Page:
        """Add the response to the request at `offset`.

        Raises TransientError if Jira keeps returning the same records.
        """
        records = response.records
        limited, self.full = self.limit < self.page_size, len(records) >= self.limit
        self.limit = min(2 * self.limit, self.page_size)
        if response.size > PAGE_BYTES // 2:
            self.limit = min(self.limit, max(1, PAGE_BYTES * len(records) // response.size))
        if not records:
            self.ended = response.offset >= self.received
            self._moved |= not self.ended
            self.offset = self.received
            return Page(records, response.date, self.ended, self._moved, self.pages)
        steps_back = response.offset < self.received
        seam_holds = steps_back and _same(records[0], self.last)
        self._moved |= steps_back and not seam_holds
        self._moved |= isinstance(records[0], RawRecord) and records[0] == self.last
        new = records[1:] if seam_holds else records
        self._notice_repeats(new)
        is_short = not self.full and (not self._longest or len(records) < self._longest)
        if limited:  # a part of a page
            self.pages += len(new) / self.page_size
        elif new:
            self._longest = max(self._longest, len(records))
            self.pages = math.ceil(self.pages) + len(records) / self._longest
        self.received = response.offset + len(records)
        self.last = records[-1]
        # A raw record is no seam: no response has it beside another record.
        has_seam = self.full and not isinstance(self.last, RawRecord)
        self.offset = self.received - 1 if has_seam else self.received
        return Page(new, response.date, False, self._moved, self.pages, is_short)  # noqa: FBT003

    def _notice_repeats(self, records: list[Record]) -> None:
        """A repeated record was moved down by a new one, so the list moved.

        If two pages in a row only repeat records, Jira ignores `offset`.
        """
        ids = {record_id for record in records if isinstance(record_id := _id(record), int)}
        repeats = bool(ids) and ids <= self._seen
        self._moved |= not ids.isdisjoint(self._seen)
        self._seen |= ids
        if repeats and self._repeated:
            message = (
                "Jira returns the same records at different offsets, so the audit log cannot be "
                "read completely; if this continues, report it to Atlassian"
            )
            raise TransientError(message)
        self._repeated = repeats


def _id(record: Record) -> object:
    return record.get("id") if isinstance(record, dict) else None


def _same(one: Record, other: Record) -> bool:
    """By id, since content may change between reads; without ids, by content."""
    if _id(one) is None:  # as JSON, because Python does not compare deep nesting
        return encoding.dumps(one) == encoding.dumps(other)
    return encoding.dumps(_id(one)) == encoding.dumps(_id(other))
