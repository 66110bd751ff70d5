"""Windows: the parts of a time range, each read and finished as a unit. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from jira_audit.core.timestamps import HOUR

FIRST_STEP = HOUR
"""The length of the first window (milliseconds); the checkpoint has the current step."""

MAX_PAGES = 8
"""A window whose 8th page is not its last is abandoned and shortened."""

AIM_PAGES = 6.5
"""Pages per window to aim at: each window costs an empty page and a partly filled one."""

SHRINKS_FROM, GROWS_FROM = 0.9, 1.2
"""Hysteresis: a step changes only to 0.9 times or less, or 1.2 times or more, so that prefetched
windows stay usable."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time range in milliseconds with both ends, like Jira's `from` and `to`."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start + 1

    @property
    def halved(self) -> int:
        """The step to use if reading this window took too long."""
        return max(1, self.length // 2)

    def shrunk_to_fit(self, oldest: int) -> int:
        """The step to use if this window has too many pages: at most half its length.

        The pages read reach back to the moment `oldest`. Their density shows which step fits, so a
        window of fifty pages is shortened once, not three times.
        """
        read = self.end - max(self.start, min(oldest, self.end)) + 1
        return max(1, min(self.halved, round(read * AIM_PAGES / MAX_PAGES)))


class WindowResult(Enum):
    """How the reading of a window ended."""

    CLOSED = "read to its end: continue after it"
    MOVED = "the list moved: read the window again"
    TOO_LONG = "too many pages: read a shorter window from the same start"


@dataclass(frozen=True, slots=True)
class ReadRange:
    """The range still to read, oldest first: from `start` to `end`, both inclusive.

    `step` is the length of the next window (milliseconds). After an abandoned window, `dense_from`
    is the moment that its pages reached back to, and the step that fits there.
    """

    start: int
    end: int
    step: int
    dense_from: tuple[int, int] | None = None

    @classmethod
    def of(cls, window: Window) -> ReadRange:
        return cls(window.start, window.end, window.length)

    @property
    def window(self) -> Window | None:
        """The next window, with a remainder below step/8; None if everything was read."""
        if self.start > self.end:
            return None
        end = self.start + self.step - 1
        return Window(self.start, self.end if self.end - end < self.step // 8 else end)

    def ends_with(self, window: Window) -> bool:
        return window.end >= self.end

    def after(self, window: Window, ending: WindowResult, pages: float, oldest: int) -> ReadRange:
        """The rest of the range after its first window, read for `pages` pages (as in `Page`).

        `oldest` is the earliest created time in these pages.
        """
        if ending is WindowResult.MOVED:
            return self
        if ending is WindowResult.TOO_LONG:
            step = window.shrunk_to_fit(oldest)
            return replace(self, step=step, dense_from=(oldest, step))
        left = replace(self, start=window.end + 1)
        length = window.length
        stepping = left.stepping(length, pages)
        if length >= self.step:
            return stepping
        # A window shorter than the step may only shorten it, if it is dense.
        return stepping if pages > 1 and stepping.step < self.step else left

    def stepping(self, length: int, pages: float) -> ReadRange:
        """This range with the step that fits after a window of this length and number of pages.

        Few pages lengthen the step, so that quiet months cost few requests. Before a range known to
        be dense, windows cover half the distance to it.
        """
        grows = min(2.0, AIM_PAGES / max(pages, 1.0))
        if self.dense_from is None:
            stays = SHRINKS_FROM < grows < GROWS_FROM
            return replace(self, step=length if stays else max(1, round(length * grows)))
        begins, step = self.dense_from
        if pages > 1 or self.start >= begins:
            return replace(
                self, step=step, dense_from=None if self.start >= begins else self.dense_from
            )
        return replace(self, step=max(step, min(length * 2, (begins - self.start) // 2)))


def is_too_long(window: Window, pages: float) -> bool:
    """Whether to abandon a window that has not ended after `pages` pages (as in `Page`).

    One millisecond cannot be shortened, so it is read to its end.
    """
    return pages >= MAX_PAGES and window.length > 1
