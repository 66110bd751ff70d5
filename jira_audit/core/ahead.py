"""What may be asked for ahead of its turn: guesses, by how densely the records lie.

A wrong guess costs a request and nothing else: an answer is used only for the window and the offset
that it was asked for, when those have their turn. Pure: nothing is asked for here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from jira_audit.core import moments
from jira_audit.core.pages import Reading
from jira_audit.core.records import created_of
from jira_audit.core.window import (
    AIM_PAGES,
    FIRST_STEP,
    MAX_PAGES,
    Ending,
    Stretch,
    Window,
    may_give_up,
)

Place = tuple[Window, int]
"""What a request asks for: a window, and the offset in it."""

_CREATED = b'"created":'
_TIME = re.compile(rb'\s*"([^"]{20,35})"')


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What an answer that has not had its turn seems to hold: so many `records`, back to `oldest`.

    A guess: each record names the time it was created once, and that is all that is looked at.
    """

    records: int
    oldest: int | None

    @classmethod
    def of(cls, body: bytes) -> Glimpse:
        """Look at an answer's body without reading it, which would take its memory many times."""
        found = _TIME.match(body, body.rfind(_CREATED) + len(_CREATED))
        try:
            oldest = moments.parse(found[1].decode()) if found else None
        except ValueError:
            oldest = None
        return cls(body.count(_CREATED), oldest)


@dataclass(frozen=True, slots=True)
class _Forecast:
    """How the reading of one window is likely to go, from where it is.

    `size` is how many new records a full page has; `density` that of the window before, in records
    a millisecond, if it is known; after the `final` window nothing else is asked for while its end
    is waited for. The others are as in `Reading`; `oldest` is the earliest moment seen.
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

    def after(self, page: Glimpse) -> _Forecast:
        """The forecast once this page was read, too."""
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

    def guesses(self) -> Sequence[int]:
        """Where the pages after the next one seem to begin."""
        if self.ended or not self.full or self.is_unknown:
            return ()
        # Of a window that nothing is known of, only pages that ought to be full: there is more to
        # ask for after it, unless it is the final one.
        margin = 1 if self.received or self.final else self.size + 1
        room = MAX_PAGES - math.ceil(self.pages) - 1 if self.window.length > 1 else MAX_PAGES
        last = min(self.expected - margin, self.offset + room * self.size)
        return range(self.offset + self.size, math.floor(last) + 1, self.size)

    @property
    def is_unknown(self) -> bool:
        """Whether nothing tells of this window yet."""
        return self.density is None and not self.received and not self.ended

    @property
    def expected(self) -> float:
        """How many records the window will turn out to hold; infinite where nothing tells."""
        if not self.full or self.ended:
            return self.received
        if not self.received:
            return math.inf if self.density is None else self.density * self.window.length
        if self.oldest is None or self.window.length == 1:
            return math.inf
        # Newest first: so much of the window is behind us.
        start, end = self.window.start, self.window.end
        behind = end - max(start, min(self.oldest, end)) + 1
        density = self.received / behind
        if self.density and 0.5 < density / self.density < 2:  # one page alone is a small sample
            pages = 3 * self.size
            density = (self.received + pages) / (behind + pages / self.density)
        return self.received + density * (self.window.length - behind)

    @property
    def expected_pages(self) -> float:
        """How many pages that is."""
        return self.pages if not self.full or self.ended else (self.expected - 1) / self.size


def _places(
    forecast: _Forecast, glimpsed: Callable[[Place], Glimpse | None]
) -> Generator[Place, None, _Forecast]:
    """Where a window's next pages are: those that are known to be needed, and then guesses.

    Returns the forecast after the pages that were answered.
    """
    window = forecast.window
    while not forecast.ended and not may_give_up(window, forecast.pages):
        yield window, forecast.offset
        page = glimpsed((window, forecast.offset))
        if page is None:
            break
        forecast = forecast.after(page)
    guesses = forecast.guesses()
    if forecast.final and guesses:  # the last page first: its end is asked for after it
        yield window, guesses[-1]
        last = glimpsed((window, guesses[-1]))
        if last and 0 < last.records <= forecast.size:
            yield window, guesses[-1] + last.records
    yield from ((window, offset) for offset in guesses)
    return forecast


def ahead(
    window: Window,
    reading: Reading,
    stretch: Stretch,
    density: float | None,
    following: Callable[[Stretch], Window | None],
    glimpsed: Callable[[Place], Glimpse | None],
) -> Iterator[Place]:
    """What comes next in the reading of a stretch's next window, and after it: the soonest first.

    `density` is that of the window before, in records a millisecond, if there was one; `following`
    tells the next window of what is left of the stretch, and `glimpsed` what was answered already.
    May be without an end, and say a place twice.
    """
    size = reading.page_size - 1
    # A step was found to fit, but for the first one, which is meant to be short.
    is_first = stretch.step == FIRST_STEP and stretch.crowded is None
    assumed = 1.0 if is_first else AIM_PAGES
    forecast = _Forecast(
        window,
        size,
        density,
        stretch.ends_with(window),
        reading.offset,
        reading.received,
        reading.pages,
        full=reading.full or not reading.pages,
        ended=reading.ended,
        oldest=created_of(reading.last),
    )
    while True:
        forecast = yield from _places(forecast, glimpsed)
        if forecast.is_unknown:
            pages = assumed
        else:
            pages = forecast.expected_pages
            density = forecast.expected / forecast.window.length
        if math.isinf(pages) or may_give_up(forecast.window, pages):
            return
        stretch = stretch.after(forecast.window, Ending.CLOSED, pages, forecast.window.start)
        upcoming = following(stretch)
        if upcoming is None:
            return
        forecast = _Forecast(upcoming, size, density, stretch.ends_with(upcoming))
