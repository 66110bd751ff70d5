"""Windows: how a stretch of time is cut into pieces that are read and finished as a unit.

Pure rules. What is read in a window, and when its rows are dealt with, is decided elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from jira_audit.core.moments import HOUR

FIRST_STEP = HOUR
"""The first window's length, in milliseconds; the checkpoint remembers what became of it."""

MAX_PAGES = 8
"""A window whose 8th page is not its last is given up and cut."""

AIM_PAGES = 6.5
"""So many pages a window is meant to hold: each costs an empty page more, and a part of one."""

SHRINKS_FROM, GROWS_FROM = 0.9, 1.2
"""A step that would become so many times as long or less, or as long or more, changes. Between the
two it stays, for windows of that length have been asked for."""


@dataclass(frozen=True, slots=True)
class Window:
    """A closed time range: both moments belong to it, as in Jira's `from` and `to`."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """In milliseconds; at least 1."""
        return self.end - self.start + 1

    @property
    def half(self) -> int:
        """The step to take instead of this window, which took too much time."""
        return max(1, self.length // 2)

    def shorter(self, oldest: int) -> int:
        """The step to take instead of this window, which held too much: half of it at most.

        Records come newest first, so the pages that were read reach back to the moment `oldest`,
        and how dense they lie tells what fits: a window of fifty pages is cut once, not thrice.
        """
        read = self.end - max(self.start, min(oldest, self.end)) + 1
        return max(1, min(self.half, round(read * AIM_PAGES / MAX_PAGES)))


class Ending(Enum):
    """How the reading of a window ended."""

    CLOSED = "read to its end: go on after it"
    MOVED = "the list moved while it was read: read it again"
    TOO_LONG = "too many pages: begin again at the same moment, with less of it"


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a run still has to read, oldest first: the moments `start` to `end`, both inclusive.

    `step` is the length of the next window in milliseconds. After a window that was given up,
    `crowded` is the moment that its newest pages reach back to, and what step fits there.
    """

    start: int
    end: int
    step: int
    crowded: tuple[int, int] | None = None

    @classmethod
    def of(cls, window: Window) -> Stretch:
        """A stretch of this one window."""
        return cls(window.start, window.end, window.length)

    @property
    def window(self) -> Window | None:
        """The next window, or None when everything has been read. Little is not left over."""
        if self.start > self.end:
            return None
        end = self.start + self.step - 1
        return Window(self.start, self.end if self.end - end < self.step // 8 else end)

    def ends_with(self, window: Window) -> bool:
        """Whether nothing is left to read after this window."""
        return window.end >= self.end

    def after(self, window: Window, ending: Ending, pages: float, oldest: int) -> Stretch:
        """What is left when a window at the start ended so, after `pages` pages (as in `Page`).

        `oldest` is the earliest moment that those reach back to.
        """
        if ending is Ending.MOVED:
            return self
        if ending is Ending.TOO_LONG:
            step = window.shorter(oldest)
            return replace(self, step=step, crowded=(oldest, step))
        left = replace(self, start=window.end + 1)
        stepping = left.stepping(window.length, pages)
        if window.length >= self.step:
            return stepping
        # One that is shorter than the step says nothing about it, but that there is a crowd.
        return stepping if pages > 1 and stepping.step < self.step else left

    def stepping(self, length: int, pages: float) -> Stretch:
        """With the step that fits, after a window of such a length with so many pages.

        Few pages make it longer, so that quiet months cost few requests, and busy ones few that
        only tell of an end. But what is known to be crowded is come upon by halves.
        """
        grows = min(2.0, AIM_PAGES / max(pages, 1.0))
        if self.crowded is None:
            stays = SHRINKS_FROM < grows < GROWS_FROM
            return replace(self, step=length if stays else max(1, round(length * grows)))
        begins, step = self.crowded
        if pages > 1 or self.start >= begins:
            return replace(self, step=step, crowded=None if self.start >= begins else self.crowded)
        return replace(self, step=max(step, min(length * 2, (begins - self.start) // 2)))


def may_give_up(window: Window, pages: float) -> bool:
    """Whether a window is to be given up after `pages` pages (as in `Page`) without an end.

    A window of one millisecond cannot be cut, so it is read to its end, whatever that takes.
    """
    return pages >= MAX_PAGES and window.length > 1
