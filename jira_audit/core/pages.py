"""Pages: how the responses for one window fit together, though the list may move under us.

Jira's audit log has no cursor; it is read by offset, newest first. `Reading` holds the rules that
make offsets safe: advance by what came, never by what was asked; step one record back after a full
page and see that the seam holds; only an empty page at or past the records received is the end.
Pure: it fetches nothing. https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-audit-records/
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from jira_audit.core.errors import RecordRejected, TransientError
from jira_audit.core.records import Identity, Record, identify

PAGE_SIZE = 1_000
"""Records asked for; Jira silently holds larger requests to this."""


@dataclass(frozen=True, slots=True)
class Response:
    """What came of one request: the records from `offset` on, and the moment Jira's clock gave."""

    offset: int
    records: list[Record]
    date: int | None = None


@dataclass(frozen=True)
class Page:
    """One response as a part of its window, the record at the seam not repeated.

    `ended` with the last page of the window (which is empty). `moved` from the page on whose seam
    did not hold: the list moved, records may be missing, the window is to be read again. `pages`
    is how much there was up to here, in pages: 2.5 with the third if it is half as long as others.
    `is_short` says that it is not full, and shorter than the others: what follows is the end.
    """

    records: list[Record]
    date: int | None
    ended: bool
    moved: bool
    pages: float = 0.0
    is_short: bool = False

    @cached_property
    def identified(self) -> Mapping[int, tuple[Identity, Record]]:
        """The page's records by their ids; of one that is there twice, the first."""
        return self._sorted[0]

    @cached_property
    def unidentified(self) -> Sequence[tuple[Record, RecordRejected]]:
        """The records that have no id or no readable created time, and which of the two."""
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

    `offset` is where the next response is to begin; `received` records came before it, up to
    `last`, in so many `pages` (as in `Page`). `full` says that the last response was as long as
    asked, `ended` that the window was read to its end.
    """

    page_size: int = PAGE_SIZE
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

    def take(self, response: Response) -> Page:
        """Fit the response asked for at `offset` to those before it.

        Raises TransientError when Jira gives the same records again and again.
        """
        records = response.records
        self.full = len(records) >= self.page_size
        if not records:
            self.ended = response.offset >= self.received
            self._moved |= not self.ended
            self.offset = self.received
            return Page(records, response.date, self.ended, self._moved, self.pages)
        steps_back = response.offset < self.received
        seam_holds = steps_back and _same(records[0], self.last)
        self._moved |= steps_back and not seam_holds
        new = records[1:] if seam_holds else records
        self._notice_repeats(new)
        is_short = not self.full and (not self._longest or len(records) < self._longest)
        if new:
            self._longest = max(self._longest, len(records))
            self.pages = math.ceil(self.pages) + len(records) / self._longest
        self.received = response.offset + len(records)
        self.last = records[-1]
        self.offset = self.received - 1 if self.full else self.received
        return Page(new, response.date, False, self._moved, self.pages, is_short)  # noqa: FBT003

    def _notice_repeats(self, records: list[Record]) -> None:
        """A record that comes again has been moved down by one that came above it.

        A list that shows a whole page again, twice over, is one whose server ignores `offset`.
        """
        ids = {record_id for record in records if isinstance(record_id := _id(record), int)}
        repeats = bool(ids) and ids <= self._seen
        self._moved |= not ids.isdisjoint(self._seen)
        self._seen |= ids
        if repeats and self._repeated:
            message = (
                "Jira gives the same records at different offsets; if it goes on, "
                "report it to Atlassian: the audit log cannot be read completely like this"
            )
            raise TransientError(message)
        self._repeated = repeats


def _id(record: Record) -> object:
    return record.get("id") if isinstance(record, dict) else None


def _same(one: Record, other: Record) -> bool:
    """By id: the same id read twice may have different content. Without ids, by content."""
    if _id(one) is None:
        return bool(one == other)
    return bool(_id(one) == _id(other))
