"""The plan of a run: the time ranges it reads, and how each changes the checkpoint. Pure.

The timer reads the tick and, once a day, the sweep (`Schedule`). A backfill reads one range.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from jira_audit.core import timestamps
from jira_audit.core.checkpoint import CLOCK_SKEW, Checkpoint
from jira_audit.core.errors import SiteError
from jira_audit.core.policy import Policy
from jira_audit.core.timestamps import DAY, HOUR
from jira_audit.core.window import ReadRange, Window

SWEEP_EVERY = DAY

SHORTEST_RETENTION = 28 * DAY
"""Milliseconds for which Jira keeps records at least: an app that was stopped for longer may find
an empty log of a quiet site."""


class LesserClock(Protocol):
    """The lesser of this machine's clock and Jira's, as far as that is known."""

    @property
    def now(self) -> int:
        """The moment, in milliseconds."""


class Task(Protocol):
    """One range that a run reads, and its changes to the checkpoint."""

    @property
    def range(self) -> ReadRange:
        """The range to read, oldest first."""

    @property
    def settled(self) -> int | None:
        """The ids of records created up to then are noted for the audit; None: of none."""

    def closed(self, checkpoint: Checkpoint, through: int) -> Checkpoint:
        """The records of a closed window up to `through` were dealt with."""

    def cut(self, checkpoint: Checkpoint, position: int) -> Checkpoint:
        """The deadline came after the windows up to `position` were closed."""

    def done(self, checkpoint: Checkpoint) -> Checkpoint:
        """The whole range was read."""

    def must_show_records(self, checkpoint: Checkpoint) -> bool:
        """Whether a run that has read this range too must have seen a record."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The change to the checkpoint once a closed window's records are dealt with.

    `through`: the window's end, or Jira's clock if earlier. `smallest`: the smallest id. `created`:
    the created times by id, if the task's `settled` asks for them.
    """

    task: Task
    window: Window
    through: int
    smallest: int | None
    created: Mapping[int, int] = field(default_factory=dict)

    def __call__(self, checkpoint: Checkpoint) -> Checkpoint:
        if self.created and self.task.settled is not None:
            checkpoint = checkpoint.noting(self.created, self.task.settled)
        if self.smallest is not None:
            checkpoint = checkpoint.marked(self.window.start, self.window.end, self.smallest)
        return self.task.closed(checkpoint, self.through)


class Plan(Protocol):
    """What one kind of run reads, and from which checkpoint."""

    @property
    def first_run(self) -> str:
        """The log text if there was no checkpoint; empty for no log line."""

    def first(self, site: str, now: int) -> Checkpoint:
        """The checkpoint of a site that has none."""

    def begin(self, checkpoint: Checkpoint, now: int) -> Checkpoint:
        """The checkpoint to continue from. Raises SiteError if the stored one cannot be used."""

    def asks_tenant(self, checkpoint: Checkpoint, now: int) -> bool:
        """Whether the site is asked for its cloud id before anything is read."""

    def tasks(self, checkpoint: Checkpoint, now: int, clock: LesserClock) -> Iterator[Task]:
        """The tasks, in order.

        `now` is by this machine's clock; Jira's is known after the first task.
        """

    def done(self, checkpoint: Checkpoint, now: int) -> Checkpoint:
        """Every task is done."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The overlap, and everything after it."""

    range: ReadRange
    settled: None = None

    def closed(self, checkpoint: Checkpoint, through: int) -> Checkpoint:
        return checkpoint.read_through(through)

    def cut(self, checkpoint: Checkpoint, position: int) -> Checkpoint:
        """Store a position within the overlap, so that a slow site does not re-read it for ever."""
        return checkpoint.reread_through(position) if position >= self.range.start else checkpoint

    def done(self, checkpoint: Checkpoint) -> Checkpoint:
        return checkpoint.reread_done()

    def must_show_records(self, checkpoint: Checkpoint) -> bool:  # noqa: ARG002
        """A site may be quiet for longer than the overlap."""
        return False


@dataclass(frozen=True, slots=True)
class SweepTask:
    """The daily longer re-read, up to the start of the tick's range."""

    range: ReadRange
    began: int
    settled: int | None = None

    def closed(self, checkpoint: Checkpoint, through: int) -> Checkpoint:
        """Store the sweep's position; a later run continues from it."""
        return checkpoint.swept_through(through, self.range.end, self.began)

    def cut(self, checkpoint: Checkpoint, position: int) -> Checkpoint:  # noqa: ARG002
        """Nothing to add: `closed` stored the position."""
        return checkpoint

    def done(self, checkpoint: Checkpoint) -> Checkpoint:
        """The next sweep is due in a day."""
        if self.settled is not None and checkpoint.audit:
            checkpoint = checkpoint.auditing(checkpoint.audit.swept(self.settled))
        return checkpoint.sweep_done(self.began)

    def must_show_records(self, checkpoint: Checkpoint) -> bool:
        """If the newest delivered record lies in the range, or in the tick's after it.

        Jira may answer with HTTP 200 and an empty list for long. A tick cannot tell that from a
        quiet site, and passes it; the next sweep, which begins where the last one was done, finds
        what was hidden. So nothing is lost as long as no sweep of an empty log counts as done. A
        record that was delivered is gone only with the whole log, until Jira's retention deletes
        it. For a site that was quiet for longer than a sweep reads back, see `NewestTask`.
        """
        kept_from = self.began - SHORTEST_RETENTION
        latest = checkpoint.latest
        return latest is not None and latest >= max(self.range.start, kept_from)


@dataclass(frozen=True, slots=True)
class NewestTask:
    """The newest delivered records of a quiet site, before a sweep that does not reach them.

    An empty log of such a site is no quiet one either, if these records are gone too.
    """

    range: ReadRange
    settled: None = None

    def closed(self, checkpoint: Checkpoint, through: int) -> Checkpoint:  # noqa: ARG002
        return checkpoint

    def cut(self, checkpoint: Checkpoint, position: int) -> Checkpoint:  # noqa: ARG002
        return checkpoint

    def done(self, checkpoint: Checkpoint) -> Checkpoint:
        return checkpoint

    def must_show_records(self, checkpoint: Checkpoint) -> bool:  # noqa: ARG002
        return True


@dataclass(frozen=True, slots=True)
class BackfillTask:
    """One range before the ticks' checkpoint."""

    range: ReadRange
    settled: None = None

    def closed(self, checkpoint: Checkpoint, through: int) -> Checkpoint:
        return checkpoint.read_through(through)

    def cut(self, checkpoint: Checkpoint, position: int) -> Checkpoint:  # noqa: ARG002
        """Nothing to add: the same command continues after the last closed window."""
        return checkpoint

    def done(self, checkpoint: Checkpoint) -> Checkpoint:
        return checkpoint

    def must_show_records(self, checkpoint: Checkpoint) -> bool:  # noqa: ARG002
        """Nothing of the range was delivered before."""
        return False


@dataclass(frozen=True, slots=True)
class Schedule:
    """The timer's runs."""

    policy: Policy

    @property
    def first_run(self) -> str:
        """A deleted checkpoint looks the same, so this is logged."""
        return "no checkpoint, so this is a first run"

    def first(self, site: str, now: int) -> Checkpoint:
        return Checkpoint.first(site, now - self.policy.lookback, now)

    def begin(self, checkpoint: Checkpoint, now: int) -> Checkpoint:
        """The stored checkpoint, or the result of a reset that was not applied yet.

        Raises SiteError if only a reset may continue (`halted`), or if *through* is in the future:
        check the clock, or reset.
        """
        reset = self.policy.reset
        if reset and reset.value != checkpoint.reset:
            checkpoint = checkpoint.reset_to(reset.start, now, reset.value)
        if self.policy.audits and checkpoint.audit is None:
            checkpoint = checkpoint.audited_from(now, is_new=checkpoint.is_new and reset is None)
        elif checkpoint.audit and not self.policy.audits:
            checkpoint = checkpoint.auditing(None)
        if checkpoint.audit and checkpoint.audit.is_behind(now):
            audit = checkpoint.audit.catching_up(now)
            checkpoint = checkpoint.sweep_abandoned().auditing(audit)
        if checkpoint.halted:
            raise SiteError(checkpoint.halt_sentence)
        if checkpoint.through > now + CLOCK_SKEW:
            message = (
                f"{checkpoint.site}: the checkpoint is in the future "
                f"({timestamps.text(checkpoint.through)}): check that this machine's clock is "
                "right, or set CHECKPOINT_RESET to the moment from which to read again"
            )
            raise SiteError(message)
        return checkpoint

    def asks_tenant(self, checkpoint: Checkpoint, now: int) -> bool:
        """If the cloud id is not known, and with every sweep."""
        own = tick_range(checkpoint, now, self.policy.overlap)
        is_due = sweep_range(checkpoint, now, self.policy.sweep, own) is not None
        return checkpoint.cloud_id is None or is_due

    def tasks(self, checkpoint: Checkpoint, now: int, clock: LesserClock) -> Iterator[Task]:
        own = tick_range(checkpoint, now, self.policy.overlap)
        yield Tick(own)
        # By a clock that is hours ahead, the next sweep would begin hours too late. Jira's clock is
        # no earlier than *through*, which never passed it: by a date that is wrong, the sweep would
        # read the whole log.
        at = max(clock.now, min(now, checkpoint.through))
        if sweep := sweep_range(checkpoint, at, self.policy.sweep, own):
            began = min(at, checkpoint.sweep.began) if checkpoint.sweep else at
            if newest := newest_range(checkpoint, began, sweep):
                yield NewestTask(newest)
            audit = checkpoint.audit
            settled = audit.settled(began, sweep.end) if audit else None
            yield SweepTask(sweep, began, settled)

    def done(self, checkpoint: Checkpoint, now: int) -> Checkpoint:
        """Prune to the size limit, now that every window read has its mark."""
        return checkpoint.pruned_to_size(
            earliest_reread(checkpoint, now, self.policy.overlap, self.policy.sweep)
        )


@dataclass(frozen=True, slots=True)
class Backfill:
    """One closed range, read once, with a checkpoint of its own."""

    window: Window

    @property
    def first_run(self) -> str:
        """Not logged: an operator started it."""
        return ""

    def first(self, site: str, now: int) -> Checkpoint:
        return Checkpoint.first(site, self.window.start, now)

    def begin(self, checkpoint: Checkpoint, now: int) -> Checkpoint:  # noqa: ARG002
        """Continue an interrupted backfill of this range, or begin at the start of the range."""
        return checkpoint.starting_at(self.window.start).halt(None)

    def asks_tenant(self, checkpoint: Checkpoint, now: int) -> bool:  # noqa: ARG002
        """Never: the ticks ask."""
        return False

    def tasks(self, checkpoint: Checkpoint, now: int, clock: LesserClock) -> Iterator[Task]:  # noqa: ARG002
        yield BackfillTask(tick_range(checkpoint, min(now, self.window.end), overlap=0))

    def done(self, checkpoint: Checkpoint, now: int) -> Checkpoint:  # noqa: ARG002
        """Nothing is pruned: a later backfill may read the whole range again."""
        return checkpoint


def tick_range(checkpoint: Checkpoint, now: int, overlap: int) -> ReadRange:
    """The range of a tick: from *through* less the overlap (milliseconds) to now.

    If a deadline ended the last run within the overlap, it starts there.
    """
    start = checkpoint.earliest(checkpoint.through - overlap)
    if checkpoint.reread is not None:
        start = max(start, min(checkpoint.reread, checkpoint.through) + 1)
    return ReadRange(start, now, checkpoint.step)


def sweep_range(checkpoint: Checkpoint, now: int, length: int, own: ReadRange) -> ReadRange | None:
    """The range of a sweep: from `length` milliseconds ago to the start of the tick's range `own`.

    An unfinished sweep continues; an overdue one reaches as far back as on time. So a record that
    appears at most `length` less a day late is found. Returns None if no sweep is due.
    """
    under_way = checkpoint.sweep
    if under_way:
        start = checkpoint.earliest(under_way.through + 1)
        return ReadRange(start, under_way.end, checkpoint.step)
    # After a clock that was ahead is corrected, the sweep must not wait for that future time.
    if checkpoint.swept is not None and 0 <= now - checkpoint.swept < SWEEP_EVERY:
        return None
    return ReadRange(_sweep_start(checkpoint, now, length), own.start, checkpoint.step)


def newest_range(checkpoint: Checkpoint, began: int, sweep: ReadRange) -> ReadRange | None:
    """The last hour up to the newest delivered record; None if the sweep reads it, if its ids are
    pruned, or if Jira may keep it no longer.
    """
    latest = checkpoint.latest
    if latest is None or not began - SHORTEST_RETENTION <= latest < sweep.start:
        return None
    if checkpoint.sweep or checkpoint.earliest(latest) > latest:
        return None
    return ReadRange(checkpoint.earliest(latest - HOUR), latest, HOUR + 1)


def late_until(checkpoint: Checkpoint) -> int:
    """A new record created up to this moment is late: earlier runs missed it.

    It is *through*, or just before *from* if nothing was read yet.
    """
    begins = checkpoint.through == checkpoint.start
    return checkpoint.start - 1 if begins else checkpoint.through


def late_found_from(checkpoint: Checkpoint, now: int, overlap: int, length: int) -> int:
    """From this moment on, a record is read however late Jira shows it."""
    tick = checkpoint.through - overlap
    if checkpoint.sweep:
        place, swept = checkpoint.sweep.through + 1, checkpoint.sweep.began
    else:
        place, swept = now, now if checkpoint.swept is None else checkpoint.swept
    return checkpoint.earliest(min(tick, place, swept - max(0, length - SWEEP_EVERY)))


def earliest_reread(checkpoint: Checkpoint, now: int, overlap: int, length: int) -> int:
    """The earliest start of any later re-read; ids seen only before it can be pruned."""
    tick, sweep = checkpoint.through - overlap, _sweep_start(checkpoint, now, length)
    place = checkpoint.sweep.through if checkpoint.sweep else now
    return checkpoint.earliest(min(tick, sweep, place))


def _sweep_start(checkpoint: Checkpoint, now: int, length: int) -> int:
    late = now if checkpoint.swept is None else checkpoint.swept - max(0, length - SWEEP_EVERY)
    start = min(now - length, late)
    return checkpoint.earliest(
        min(start, checkpoint.audit.reads_from(now)) if checkpoint.audit else start
    )
