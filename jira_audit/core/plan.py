"""The plan of a run: which stretches of time it reads. Pure rules over the checkpoint."""

from __future__ import annotations

from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.moments import DAY
from jira_audit.core.window import Stretch

SWEEP_EVERY = DAY


def plan_ticks(checkpoint: Checkpoint, now: int, overlap: int) -> Stretch:
    """What every tick reads: from *through* less the overlap (milliseconds) up to now.

    Where a deadline cut the run before within the overlap, from where it had come to: else a site
    that is slow and busy enough would read the same overlap for ever.
    """
    start = checkpoint.earliest(checkpoint.through - overlap)
    if checkpoint.reread is not None:
        start = max(start, min(checkpoint.reread, checkpoint.through) + 1)
    return Stretch(start, now, checkpoint.step)


def plan_sweep(checkpoint: Checkpoint, now: int, length: int, own: Stretch) -> Stretch | None:
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
