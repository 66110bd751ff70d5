"""The reading half of a run: a range of a site's log, window by window, page by page.

`core/window.py` has the rules for windows, `core/pages.py` for pages, `core/prefetch.py` for
prefetching. `fetching.py` sends the requests.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Self

from jira_audit.core.clock import GRACE_SECONDS
from jira_audit.core.errors import OutOfTime, PageUnreadable
from jira_audit.core.mapper import UNREADABLE_LIMIT
from jira_audit.core.pages import Page, PageRequest, Reading, RecordsPage
from jira_audit.core.prefetch import prefetch_order
from jira_audit.core.records import RawRecord
from jira_audit.core.timestamps import SECOND
from jira_audit.core.window import (
    AIM_PAGES,
    MAX_PAGES,
    ReadRange,
    Window,
    WindowResult,
    is_too_long,
)
from jira_audit.flow.fetching import MAX_BUFFERED_RESPONSES, PageRequests
from jira_audit.flow.ports import Run

log = logging.getLogger(__name__)

LONGER_AT_MOST = MAX_PAGES / AIM_PAGES
"""A prefetched window longer than this many steps is not used: it would be abandoned."""

CAUTIOUS_PART = 100
"""A cautious run begins with this fraction of a page; the limit doubles from there. By the time
that pages may be of full size in bytes, a batch was sent and saved."""


@dataclass
class WindowReading:
    """The reading of one window. Iterate it for its pages, newest first.

    The caller counts new records in `fresh`; without any, a list that moved hid nothing. It sets
    `too_large` if it cannot hold more of the window, which is then read as shorter ones. `through`
    is the window's end, or Jira's clock if earlier; `oldest` the earliest created time; `smallest`
    the smallest id. With `settled`, `created` are the created times by id, of a window that begins
    by then. After the last page, `ending` says how the window ended (None: the deadline
    came), `step` is the next window's length (milliseconds), and `left` the rest of the range.
    """

    window: Window
    is_last: bool
    step: int
    through: int
    oldest: int
    read: Callable[[WindowReading], Iterator[Page]]
    smallest: int | None = None
    is_ending: bool = False
    fresh: int = 0
    too_large: bool = False
    ending: WindowResult | None = None
    left: ReadRange | None = None
    settled: int | None = None
    created: dict[int, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Page]:
        """The pages, once."""
        return self.read(self)

    @property
    def is_closed(self) -> bool:
        return self.ending is WindowResult.CLOSED

    def note(self, page: Page) -> None:
        self.is_ending = self.is_last and page.is_short
        if page.date is not None:
            self.through = min(self.through, page.date)
        if page.records and page.identified:
            created = [identity.created for identity, _ in page.identified.values()]
            self.oldest = min(self.oldest, *created)
            ids = page.identified
            self.smallest = min(ids) if self.smallest is None else min(self.smallest, *ids)
            if self.settled is not None and self.window.start <= self.settled:
                self.created |= {number: identity.created for number, (identity, _) in ids.items()}

    def ending_at(self, page: Page) -> WindowResult | None:
        """How the window ends with this page; None if another follows."""
        if page.ended:
            return WindowResult.MOVED if page.moved and self.fresh else WindowResult.CLOSED
        is_given_up = self.too_large or is_too_long(self.window, page.pages)
        return WindowResult.TOO_LONG if is_given_up else None


class Reader:
    """Reads one site's log, on one thread. Leaving the `with` drops the unused requests.

    With `is_cautious`, it requests one page at a time and begins with small ones. The caller should
    leave a mark once it `takes_much`: more than one response, or one that is unreadable. Before it
    does, it yields a page without records.

    Every window up to the moment `position` was read. If `deadline_came`, `error` may say how.
    `now` is the lesser of this machine's clock and Jira's, as soon as that is known; they are equal
    within a second, which is the resolution of Jira's `Date`.
    """

    def __init__(self, run: Run, *, is_cautious: bool = False) -> None:
        self.is_cautious, self.takes_much = is_cautious, False
        self._run = run
        self._requests = PageRequests(run)
        self._next: PageRequest | None = None
        self._density: float | None = None
        size = run.ports.source.page_size
        self._limit = max(1, size // CAUTIOUS_PART) if is_cautious else size
        self._any_readable = False
        self.now = run.deadline.clock.now()
        self.position = 0
        self.deadline_came = False
        self.error: OutOfTime | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Drop the unused requests; those in progress end by themselves."""
        self._requests.close()

    @property
    def must_wait(self) -> bool:
        """Whether the next page is still to arrive."""
        if self._next is None:  # between windows
            return not any(map(self._requests.peek, self._requests.unused))
        return self._requests.peek(self._next) is None

    def windows(self, left: ReadRange) -> Iterator[WindowReading]:
        """The windows of a range, oldest first, none begun after the deadline.

        A window whose list moved is read again; one that is too long, as shorter ones. Iterating a
        window raises TransientError (the next tick retries) or SiteError (someone must act).
        """
        while window := self._next_window(left):
            self.position = window.start - 1
            if self._run.deadline.left() <= 0:
                self.deadline_came = True
                return
            self._run.tally.windows += 1
            self._run.tally.position = window.start
            is_last = left.ends_with(window)
            end, pages = window.end, partial(self._pages, range_=left)
            reading = WindowReading(window, is_last, left.step, end, end, pages)
            yield reading
            if reading.left is None:
                self.deadline_came = True
                return
            left = reading.left

    def _next_window(self, left: ReadRange) -> Window | None:
        """The next window, as prefetched unless that is too long by now."""
        for request in self._requests.unused:
            window = request.window
            if window.start == left.start and window.length <= LONGER_AT_MOST * left.step:
                return window
        return left.window

    def _pages(self, it: WindowReading, range_: ReadRange) -> Iterator[Page]:
        window = it.window
        pages = Reading(self._run.ports.source.page_size, self._limit)
        try:
            if not it.is_last and not self.takes_much:
                self.takes_much = True
                yield _empty(pages)
            self._prefetch(it, pages, range_)
            while it.ending is None:
                response = self._response(it, pages, range_)
                if response is None:
                    yield _empty(pages)
                    continue
                page = pages.take(response)
                self._limit = pages.limit
                self.takes_much |= pages.full
                self._next = None if page.ended else PageRequest(window, pages.offset, pages.limit)
                self._prefetch(it, pages, range_)
                self._run.tally.pages += 1
                self._run.tally.records += len(page.records)
                it.note(page)
                if page.date is not None and self.now - page.date >= SECOND:
                    self.now = page.date
                yield page
                it.ending = it.ending_at(page)
                if it.ending is None and self._run.deadline.left() < -GRACE_SECONDS:
                    raise self._deadline_error()
            it.left = range_.after(window, it.ending, pages.pages, it.oldest)
            it.step = it.left.step
        except _WindowCut as error:
            it.step = window.halved  # so that the next run can finish a window
            self.error = error
        except OutOfTime as error:
            if pages.limit < pages.page_size:
                it.step = window.halved
            self.error = error
        finally:  # a window that is read again is requested again
            self._drop(window)
            self._density = pages.received / window.length if pages.ended else None

    def _response(self, it: WindowReading, pages: Reading, left: ReadRange) -> RecordsPage | None:
        """The response at the next place; if it is unreadable, a raw record, or None: from now on,
        fewer records are requested.
        """
        request = self._next = PageRequest(it.window, pages.offset, pages.limit)
        is_smallest = request.limit == 1 and pages.is_smallest
        try:
            response = self._requests.response(
                request, lambda: self._prefetch(it, pages, left), is_smallest=is_smallest
            )
        except PageUnreadable as error:
            self.takes_much = True
            if is_smallest:
                return self._raw(request, error)
            log.warning("%s (requested again with a smaller limit)", error)
            self._drop(it.window)
            pages.ask_for_less()
            if self._run.deadline.left() < -GRACE_SECONDS:
                raise self._deadline_error() from error
            return None
        self._any_readable |= bool(response.records)
        return response

    def _raw(self, request: PageRequest, error: PageUnreadable) -> RecordsPage:
        """The record that cannot be read even alone, as its raw JSON."""
        if not error.record:
            raise error
        # Known letters do not count, so that the next run gets further. If no record was readable,
        # the mapper says that the format has changed.
        if self._run.tally.letters >= UNREADABLE_LIMIT and self._any_readable:
            message = (
                f"more than {UNREADABLE_LIMIT} records cannot be read; the next tick continues"
            )
            raise _WindowCut(f"{self._run.site}: {message}")
        reason = str(error).removeprefix(f"{self._run.site}: ")
        return RecordsPage(request.offset, [RawRecord.of(error.record, reason)])

    def _deadline_error(self) -> _WindowCut:
        message = "the deadline came within a window; the next tick reads it again"
        return _WindowCut(f"{self._run.site}: {message}")

    def _drop(self, window: Window) -> None:
        """Drop the unused requests for pages of this window."""
        unused = self._requests.unused
        self._requests.drop([request for request in unused if request.window == window])

    def _prefetch(self, it: WindowReading, pages: Reading, left: ReadRange) -> None:
        if self.is_cautious or pages.limit < pages.page_size:
            return  # one request at a time until whole pages can be read again
        if it.is_last and not pages.full and (pages.pages or self._density is None):
            return  # there is nothing to predict
        peek, following = self._requests.peek, self._next_window
        course = prefetch_order(it.window, pages, left, self._density, following, peek)
        self._requests.prefetch(
            list(islice(course, 2 * MAX_BUFFERED_RESPONSES)),
            PageRequest(it.window, pages.offset, pages.limit),
        )


def _empty(pages: Reading) -> Page:
    """A page without records, for the caller to act before more is requested."""
    return Page([], None, ended=False, moved=False, pages=pages.pages)


class _WindowCut(OutOfTime):
    """A window was not read to its end; the next run begins with a shorter one."""
