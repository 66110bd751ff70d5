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

AIM_PAGES = 6
"""So many pages the window after it is meant to hold: each window costs one empty page more."""


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
        return max(1, min(self.half, read * AIM_PAGES // MAX_PAGES))


class Ending(Enum):
    """How the reading of a window ended."""

    CLOSED = "read to its end: go on after it"
    MOVED = "the list moved while it was read: read it again"
    TOO_LONG = "too many pages: begin again at the same moment, with less of it"


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a run still has to read, oldest first: the moments `start` to `end`, both inclusive.

    `step` is the length of the next window in milliseconds.
    """

    start: int
    end: int
    step: int

    @property
    def window(self) -> Window | None:
        """The next window, or None when everything has been read."""
        if self.start > self.end:
            return None
        return Window(self.start, min(self.start + self.step - 1, self.end))

    def after(self, window: Window, ending: Ending, pages: int, oldest: int) -> Stretch:
        """What is left when the window ended so, after `pages` pages with records in them.

        `oldest` is the earliest moment that those reach back to.

        One page or less doubles the step, so that quiet months cost few requests; a window that the
        stretch's end cut short says nothing about the step.
        """
        if ending is Ending.MOVED:
            return self
        if ending is Ending.TOO_LONG:
            return replace(self, step=window.shorter(oldest))
        grows = pages <= 1 and window.length >= self.step
        return replace(self, start=window.end + 1, step=self.step * 2 if grows else self.step)


def may_give_up(window: Window, pages: int) -> bool:
    """Whether a window is to be given up after `pages` pages without an end.

    A window of one millisecond cannot be cut, so it is read to its end, whatever that takes.
    """
    return pages >= MAX_PAGES and window.length > 1
