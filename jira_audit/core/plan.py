"""The plan of a run: which ranges of time it reads, and what each of them makes of the checkpoint.

The timer's runs read the tick and, once a day, the sweep (`Schedule`); a backfill reads one range
(`Backfill`). Each is a small value with the same few functions. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from jira_audit.core import moments
from jira_audit.core.checkpoint import CLOCK_TOLERANCE, Checkpoint
from jira_audit.core.errors import SiteError
from jira_audit.core.moments import DAY
from jira_audit.core.policy import Policy
from jira_audit.core.window import Stretch, Window

SWEEP_EVERY = DAY


class Task(Protocol):
    """One range that a run reads, and the changes to the checkpoint that come of it."""

    @property
    def range(self) -> Stretch:
        """What is read, oldest first."""

    def closed(self, checkpoint: Checkpoint, through: int) -> Checkpoint:
        """A window was read to its end, and every record in it up to `through` dealt with."""

    def cut(self, checkpoint: Checkpoint, position: int) -> Checkpoint:
        """The deadline came when every window up to the moment `position` was closed."""

    def done(self, checkpoint: Checkpoint) -> Checkpoint:
        """The whole range was read."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The change to the checkpoint once a closed window's records were dealt with.

    `through` is the window's end, or Jira's own clock if that is earlier; `smallest` its smallest
    id, None where it has no record.
    """

    task: Task
    window: Window
    through: int
    smallest: int | None

    def __call__(self, checkpoint: Checkpoint) -> Checkpoint:
        """Remember what ids the window holds, and that it is closed."""
        if self.smallest is not None:
            checkpoint = checkpoint.marked(self.window.start, self.window.end, self.smallest)
        return self.task.closed(checkpoint, self.through)


class Plan(Protocol):
    """What one kind of run reads, from which checkpoint.

    `first_run` is what the log says when there was no checkpoint; empty where nothing is.
    """

    @property
    def first_run(self) -> str:
        """See above."""

    def first(self, site: str, now: int) -> Checkpoint:
        """The checkpoint of a site that has none."""

    def begin(self, checkpoint: Checkpoint, now: int) -> Checkpoint:
        """The checkpoint to go on from. Raises SiteError where there is none."""

    def tasks(self, checkpoint: Checkpoint, now: int) -> Iterator[Task]:
        """What is read, in this order."""

    def done(self, checkpoint: Checkpoint, now: int) -> Checkpoint:
        """Every task was done."""


@dataclass(frozen=True, slots=True)
class Tick:
    """What every run of the timer reads: what is new, and the overlap before it."""

    range: Stretch

    def closed(self, checkpoint: Checkpoint, through: int) -> Checkpoint:
        """*through* passes the window."""
        return checkpoint.read_through(through)

    def cut(self, checkpoint: Checkpoint, position: int) -> Checkpoint:
        """Within the overlap, the next run goes on from there: a slow and busy site would read
        the same overlap for ever.
        """
        return checkpoint.reread_through(position) if position >= self.range.start else checkpoint

    def done(self, checkpoint: Checkpoint) -> Checkpoint:
        """The overlap was read again to its end."""
        return checkpoint.reread_done()


@dataclass(frozen=True, slots=True)
class SweepTask:
    """The daily longer re-read, which `began` at that moment, up to what the tick has read."""

    range: Stretch
    began: int

    def closed(self, checkpoint: Checkpoint, through: int) -> Checkpoint:
        """The sweep has come so far; a later run goes on there."""
        return checkpoint.swept_through(through, self.range.end, self.began)

    def cut(self, checkpoint: Checkpoint, position: int) -> Checkpoint:  # noqa: ARG002
        """Each window of it was remembered as it was closed."""
        return checkpoint

    def done(self, checkpoint: Checkpoint) -> Checkpoint:
        """The next one is due in a day."""
        return checkpoint.sweep_done(self.began)


@dataclass(frozen=True, slots=True)
class BackfillTask:
    """One range before the ticks' checkpoint."""

    range: Stretch

    def closed(self, checkpoint: Checkpoint, through: int) -> Checkpoint:
        """*through* of the backfill's own checkpoint passes the window."""
        return checkpoint.read_through(through)

    def cut(self, checkpoint: Checkpoint, position: int) -> Checkpoint:  # noqa: ARG002
        """The same command goes on after the last closed window."""
        return checkpoint

    def done(self, checkpoint: Checkpoint) -> Checkpoint:
        """Nothing else is to be remembered."""
        return checkpoint


@dataclass(frozen=True, slots=True)
class Schedule:
    """The timer's runs."""

    policy: Policy

    @property
    def first_run(self) -> str:
        """A checkpoint that somebody deleted looks the same, so it is said."""
        return "no checkpoint, so this is a first run"

    def first(self, site: str, now: int) -> Checkpoint:
        """Reading begins `policy.lookback` ago."""
        return Checkpoint.first(site, now - self.policy.lookback, now)

    def begin(self, checkpoint: Checkpoint, now: int) -> Checkpoint:
        """As stored, or as a reset leaves it that was not applied yet.

        Raises SiteError for a checkpoint in the future: somebody's clock is wrong.
        """
        reset = self.policy.reset
        if reset and reset.value != checkpoint.reset:
            checkpoint = checkpoint.begun_again(reset.start, now, reset.value)
        if checkpoint.through > now + CLOCK_TOLERANCE:
            message = (
                f"{checkpoint.site}: the checkpoint is in the future "
                f"({moments.text(checkpoint.through)}): see that this machine's clock is right, "
                "or set CHECKPOINT_RESET to the moment from which to read again"
            )
            raise SiteError(message)
        return checkpoint

    def tasks(self, checkpoint: Checkpoint, now: int) -> Iterator[Task]:
        """The tick, then the sweep if it is due."""
        own = tick_range(checkpoint, now, self.policy.overlap)
        yield Tick(own)
        if sweep := sweep_range(checkpoint, now, self.policy.sweep, own):
            began = min(now, checkpoint.sweep.began) if checkpoint.sweep else now
            yield SweepTask(sweep, began)

    def done(self, checkpoint: Checkpoint, now: int) -> Checkpoint:
        """In bounds; only now that every window read is closed and has its mark."""
        return checkpoint.fitted(reach(checkpoint, now, self.policy.overlap, self.policy.sweep))


@dataclass(frozen=True, slots=True)
class Backfill:
    """One closed range, read once, with a checkpoint of its own."""

    window: Window

    @property
    def first_run(self) -> str:
        """Who begins a backfill knows that it begins."""
        return ""

    def first(self, site: str, now: int) -> Checkpoint:
        """Reading begins where the range does."""
        return Checkpoint.first(site, self.window.start, now)

    def begin(self, checkpoint: Checkpoint, now: int) -> Checkpoint:  # noqa: ARG002
        """Where an interrupted backfill of this range was; else where the range begins."""
        return checkpoint.beginning_at(self.window.start)

    def tasks(self, checkpoint: Checkpoint, now: int) -> Iterator[Task]:
        """What is left of the range."""
        yield BackfillTask(tick_range(checkpoint, min(now, self.window.end), overlap=0))

    def done(self, checkpoint: Checkpoint, now: int) -> Checkpoint:  # noqa: ARG002
        """Nothing is forgotten: no later run reads less of it."""
        return checkpoint


def tick_range(checkpoint: Checkpoint, now: int, overlap: int) -> Stretch:
    """What a tick reads: from *through* less the overlap (milliseconds) up to now.

    Where a deadline cut the run before within the overlap, from where it had come to.
    """
    start = checkpoint.earliest(checkpoint.through - overlap)
    if checkpoint.reread is not None:
        start = max(start, min(checkpoint.reread, checkpoint.through) + 1)
    return Stretch(start, now, checkpoint.step)


def sweep_range(checkpoint: Checkpoint, now: int, length: int, own: Stretch) -> Stretch | None:
    """What is read again once a day: `length` milliseconds back, up to what the tick itself reads.

    A sweep that a deadline cut goes on where it was; one that is late reaches as far back as it
    would have in time, so that what appears within `length` less a day is found however late the
    sweep. None when no sweep is due.
    """
    under_way = checkpoint.sweep
    if under_way:
        start = checkpoint.earliest(under_way.through + 1)
        return Stretch(start, under_way.end, checkpoint.step)
    # A clock that was ahead must not put the sweep off until it is right again.
    if checkpoint.swept is not None and 0 <= now - checkpoint.swept < SWEEP_EVERY:
        return None
    return Stretch(_sweep_start(checkpoint, now, length), own.start, checkpoint.step)


def late_until(checkpoint: Checkpoint) -> int:
    """A record created up to this moment that a run finds new was missed by the runs before it.

    It is *through*, unless this is where everything begins.
    """
    begins = checkpoint.through == checkpoint.start
    return checkpoint.start - 1 if begins else checkpoint.through


def found_from(checkpoint: Checkpoint, now: int, overlap: int, length: int) -> int:
    """From this moment on, a record that Jira shows late will still be read, whenever that is."""
    tick = checkpoint.through - overlap
    if checkpoint.sweep:
        place, swept = checkpoint.sweep.through + 1, checkpoint.sweep.began
    else:
        place, swept = now, now if checkpoint.swept is None else checkpoint.swept
    return checkpoint.earliest(min(tick, place, swept - max(0, length - SWEEP_EVERY)))


def reach(checkpoint: Checkpoint, now: int, overlap: int, length: int) -> int:
    """The earliest moment any later re-read can begin at: ids seen only before may be forgotten."""
    tick, sweep = checkpoint.through - overlap, _sweep_start(checkpoint, now, length)
    place = checkpoint.sweep.through if checkpoint.sweep else now
    return checkpoint.earliest(min(tick, sweep, place))


def _sweep_start(checkpoint: Checkpoint, now: int, length: int) -> int:
    late = now if checkpoint.swept is None else checkpoint.swept - max(0, length - SWEEP_EVERY)
    return checkpoint.earliest(min(now - length, late))
