"""Prefetch order: which pages to request early, predicted from the density of the records. Pure.

A wrong prediction costs one request: a response is used only for the window and offset requested.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from jira_audit.core.pages import PageRequest, Reading
from jira_audit.core.records import created_of
from jira_audit.core.window import (
    AIM_PAGES,
    FIRST_STEP,
    MAX_PAGES,
    ReadRange,
    Window,
    WindowResult,
    is_too_long,
)


@dataclass(frozen=True, slots=True)
class PagePeek:
    """An estimate of an unparsed page: the number of `records` and the `oldest` created time."""

    records: int
    oldest: int | None


@dataclass(frozen=True, slots=True)
class _Forecast:
    """The predicted rest of one window's reading.

    `size`: new records in a full page. `density`: the previous window's, in records per
    millisecond. `final`: no window follows. `oldest`: the earliest created time seen. The other
    fields are as in `Reading`.
    """

    window: Window
    size: int
    density: float | None
    final: bool = False
    offset: int = 0
    received: int = 0
    pages: float = 0.0
    full: bool = True
    ended: bool = False
    oldest: int | None = None

    def after(self, page: PagePeek) -> _Forecast:
        if not page.records:
            return replace(self, ended=True)
        full, received = page.records > self.size, self.offset + page.records
        return replace(
            self,
            offset=received - 1 if full else received,
            received=received,
            pages=math.ceil(self.pages) + min(1.0, page.records / (self.size + 1)),
            full=full,
            oldest=page.oldest,
        )

    def request(self, offset: int) -> PageRequest:
        """The request for a whole page from an offset on."""
        return PageRequest(self.window, offset, self.size + 1)

    def guesses(self) -> Sequence[int]:
        """The predicted offsets of the pages after the next one."""
        if self.ended or not self.full or self.is_unknown:
            return ()
        # Before the first page, predict only full pages unless the window is final: later windows
        # use the requests better.
        margin = 1 if self.received or self.final else self.size + 1
        room = MAX_PAGES - math.ceil(self.pages) - 1 if self.window.length > 1 else MAX_PAGES
        last = min(self.expected - margin, self.offset + room * self.size)
        return range(self.offset + self.size, math.floor(last) + 1, self.size)

    @property
    def is_unknown(self) -> bool:
        return self.density is None and not self.received and not self.ended

    @property
    def expected(self) -> float:
        """The predicted number of records; infinite without a basis."""
        if not self.full or self.ended:
            return self.received
        if not self.received:
            return math.inf if self.density is None else self.density * self.window.length
        if self.oldest is None or self.window.length == 1:
            return math.inf
        # Pages come newest first, so the window was read back to `oldest`.
        start, end = self.window.start, self.window.end
        behind = end - max(start, min(self.oldest, end)) + 1
        density = self.received / behind
        if self.density and 0.5 < density / self.density < 2:  # one page is a small sample
            pages = 3 * self.size
            density = (self.received + pages) / (behind + pages / self.density)
        return self.received + density * (self.window.length - behind)

    @property
    def expected_pages(self) -> float:
        return self.pages if not self.full or self.ended else (self.expected - 1) / self.size


def _places(
    forecast: _Forecast, peek: Callable[[PageRequest], PagePeek | None]
) -> Generator[PageRequest, None, _Forecast]:
    """The next pages of a window: those certainly needed, then predicted ones.

    Returns the forecast after the pages that arrived.
    """
    request = forecast.request
    while not forecast.ended and not is_too_long(forecast.window, forecast.pages):
        yield request(forecast.offset)
        page = peek(request(forecast.offset))
        if page is None:
            break
        forecast = forecast.after(page)
    guesses = forecast.guesses()
    if forecast.final and guesses:  # the last page first: it decides where the empty page is
        yield request(guesses[-1])
        last = peek(request(guesses[-1]))
        if last and 0 < last.records <= forecast.size:
            yield request(guesses[-1] + last.records)
    yield from map(request, guesses)
    return forecast


def prefetch_order(
    window: Window,
    reading: Reading,
    read_range: ReadRange,
    density: float | None,
    following: Callable[[ReadRange], Window | None],
    peek: Callable[[PageRequest], PagePeek | None],
) -> Iterator[PageRequest]:
    """The pages to request next, in this window and later ones, soonest first.

    `density`: the previous window's, in records per millisecond. `following` has the next window of
    a range, `peek` the estimate of a response that arrived. The iterator may be infinite and may
    repeat a page.
    """
    size = reading.page_size - 1
    # Every step fits the density, except the first one, which is short on purpose.
    is_first = read_range.step == FIRST_STEP and read_range.dense_from is None
    assumed = 1.0 if is_first else AIM_PAGES
    forecast = _Forecast(
        window,
        size,
        density,
        read_range.ends_with(window),
        reading.offset,
        reading.received,
        reading.pages,
        full=reading.full or not reading.pages,
        ended=reading.ended,
        oldest=created_of(reading.last),
    )
    while True:
        forecast = yield from _places(forecast, peek)
        if forecast.is_unknown:
            pages = assumed
        else:
            pages = forecast.expected_pages
            density = forecast.expected / forecast.window.length
        if math.isinf(pages) or is_too_long(forecast.window, pages):
            return
        read_range = read_range.after(
            forecast.window, WindowResult.CLOSED, pages, forecast.window.start
        )
        upcoming = following(read_range)
        if upcoming is None:
            return
        forecast = _Forecast(upcoming, size, density, read_range.ends_with(upcoming))
