"""What a run reads: the overlap, new records, and once a day the sweep; never before *from*."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from jira_audit.core.checkpoint import Checkpoint, Sweep
from jira_audit.core.plan import (
    SWEEP_EVERY,
    earliest_reread,
    late_found_from,
    sweep_range,
    tick_range,
)
from jira_audit.core.timestamps import DAY, HOUR, MINUTE
from jira_audit.core.window import ReadRange, WindowResult

SITE = "contoso.atlassian.net"
NOW = 1_700_000_000_000
OVERLAP, LENGTH = 15 * MINUTE, 48 * HOUR
OLD = Checkpoint(SITE, NOW - 90 * DAY, NOW - 5 * MINUTE, swept=NOW - DAY)
CUT = NOW - 10 * MINUTE
OWN = ReadRange(NOW - 20 * MINUTE, NOW, HOUR)


# The tick


def test_tick_reads_the_overlap_and_up_to_now() -> None:
    assert tick_range(OLD, NOW, OVERLAP) == ReadRange(NOW - 20 * MINUTE, NOW, HOUR)


def test_tick_uses_the_step_of_the_checkpoint() -> None:
    assert tick_range(OLD.stepping(7_777), NOW, OVERLAP).step == 7_777


def test_tick_of_a_first_run_starts_at_from() -> None:
    first = Checkpoint.first(SITE, NOW - DAY, NOW)
    assert tick_range(first, NOW, OVERLAP) == ReadRange(NOW - DAY, NOW, HOUR)
    assert sweep_range(first, NOW, LENGTH, ReadRange(NOW - DAY, NOW, HOUR)) is None


def test_overlap_does_not_start_before_from() -> None:
    young = Checkpoint(SITE, NOW - 7 * MINUTE, NOW - 5 * MINUTE)
    assert tick_range(young, NOW, OVERLAP).start == NOW - 7 * MINUTE


def test_overlap_does_not_start_before_the_pruned_ids() -> None:
    pruned = replace(OLD, pruned=NOW - 9 * MINUTE)
    assert tick_range(pruned, NOW, OVERLAP).start == NOW - 9 * MINUTE


def test_overlap_stopped_by_the_deadline_resumes() -> None:
    cut = replace(OLD, reread=CUT)
    assert tick_range(cut, NOW, OVERLAP).start == CUT + 1
    old_cut = replace(OLD, reread=NOW - HOUR)
    assert tick_range(old_cut, NOW, OVERLAP).start == NOW - 20 * MINUTE


def test_overlap_longer_than_a_run_is_read_to_its_end() -> None:
    place, starts = OLD.stepping(MINUTE), []
    for tick in range(8):  # six windows a tick
        read_range = tick_range(place, NOW + tick * MINUTE, OVERLAP)
        starts.append(read_range.start - OLD.through)
        for _ in range(6):
            if window := read_range.window:
                place = place.read_through(window.end)
                read_range = read_range.after(window, WindowResult.CLOSED, 6.5, window.start)
        cut = read_range.window
        place = place.reread_through(cut.start - 1) if cut else place.reread_done()
    # From 15 minutes before *through*, continued after each deadline; past *through*, again.
    assert starts[:4] == [-15 * MINUTE, -9 * MINUTE, -3 * MINUTE, -12 * MINUTE - 1]
    assert place.through > NOW


def test_overlap_is_read_when_through_is_ahead_of_the_clock() -> None:
    ahead = replace(OLD, through=NOW + MINUTE)
    assert tick_range(ahead, NOW, OVERLAP) == ReadRange(NOW - 14 * MINUTE, NOW, HOUR)
    assert tick_range(replace(OLD, through=NOW + HOUR), NOW, OVERLAP).window is None


# The sweep


def test_sweep_reads_its_length_back_up_to_the_tick() -> None:
    assert sweep_range(OLD, NOW, LENGTH, OWN) == ReadRange(NOW - LENGTH, NOW - 20 * MINUTE, HOUR)


def test_sweep_and_tick_leave_no_millisecond_unread() -> None:
    own = tick_range(OLD, NOW, OVERLAP)
    sweep = sweep_range(OLD, NOW, LENGTH, own)
    assert sweep is not None
    assert sweep.end + 1 >= own.start


def test_sweep_is_due_after_a_day_and_not_before() -> None:
    assert SWEEP_EVERY == 86_400_000
    due, early = replace(OLD, swept=NOW - DAY), replace(OLD, swept=NOW - DAY + 1)
    assert sweep_range(due, NOW, LENGTH, OWN) is not None
    assert sweep_range(early, NOW, LENGTH, OWN) is None


def test_sweep_is_due_when_there_was_none() -> None:
    never = replace(OLD, swept=None)
    assert sweep_range(never, NOW, LENGTH, OWN) == ReadRange(NOW - LENGTH, OWN.start, HOUR)


def test_sweep_in_progress_resumes_though_none_is_due() -> None:
    under_way = replace(OLD, swept=NOW, sweep=Sweep(NOW - 30 * HOUR, NOW - DAY, NOW))
    assert sweep_range(under_way, NOW, LENGTH, OWN) == ReadRange(
        NOW - 30 * HOUR + 1, NOW - DAY, HOUR
    )


def test_sweep_does_not_start_before_from_or_the_pruned_ids() -> None:
    young = Checkpoint(SITE, NOW - 30 * HOUR, NOW, swept=NOW - DAY)
    assert sweep_range(young, NOW, LENGTH, OWN) == ReadRange(NOW - 30 * HOUR, OWN.start, HOUR)
    pruned = replace(OLD, pruned=NOW - 7 * HOUR)
    assert sweep_range(pruned, NOW, LENGTH, OWN) == ReadRange(NOW - 7 * HOUR, OWN.start, HOUR)
    under_way = replace(pruned, sweep=Sweep(NOW - 30 * HOUR, NOW - HOUR, NOW))
    assert sweep_range(under_way, NOW, LENGTH, OWN) == ReadRange(NOW - 7 * HOUR, NOW - HOUR, HOUR)


def test_sweep_that_resumes_reads_every_window_once() -> None:
    place, now, read = OLD, NOW, []
    end = OWN.start
    for _ in range(200):  # one window a tick
        sweep = sweep_range(place, now, LENGTH, OWN)
        if sweep is None:
            break
        window = sweep.window
        assert window is not None
        read.append((window.start, window.end))
        place = place.swept_through(window.end, sweep.end, NOW)
        if window.end == sweep.end:
            place = place.sweep_done(NOW)
        now += 5 * MINUTE
    assert read[0] == (NOW - LENGTH, NOW - LENGTH + HOUR - 1)
    assert [start for start, _ in read[1:]] == [last + 1 for _, last in read[:-1]]
    assert read[-1][1] == end
    assert (place.sweep, place.swept) == (None, NOW)


def test_sweep_that_resumes_keeps_its_end() -> None:
    begun = OLD.swept_through(NOW - 40 * HOUR, NOW - HOUR, NOW)
    assert begun.sweep == Sweep(NOW - 40 * HOUR, NOW - HOUR, NOW)
    assert begun.swept == OLD.swept
    later = sweep_range(begun, NOW + DAY, LENGTH, ReadRange(NOW + DAY, NOW + DAY, HOUR))
    assert later == ReadRange(NOW - 40 * HOUR + 1, NOW - HOUR, HOUR)


def test_sweep_that_is_overdue_reaches_further_back() -> None:
    for late in (0, HOUR, 30 * HOUR, 9 * DAY):
        place = replace(OLD, through=NOW, swept=NOW - DAY - late, sweep=None)
        sweep = sweep_range(place, NOW, 48 * HOUR, ReadRange(NOW, NOW, HOUR))
        assert sweep is not None
        assert sweep.start == place.earliest(NOW - 48 * HOUR - late)


# Later reads


timestamp_ms = st.integers(0, 40)


@given(
    start=timestamp_ms,
    ahead=timestamp_ms,
    pruned=st.none() | timestamp_ms,
    reread=st.none() | timestamp_ms,
    swept=st.none() | timestamp_ms,
    sweep=st.none() | st.tuples(timestamp_ms, timestamp_ms),
    later=timestamp_ms,
    overlap=st.integers(0, 20),
    length=st.integers(0, 60),
)
def test_reach_bounds_every_later_read(
    start: int,
    ahead: int,
    pruned: int | None,
    reread: int | None,
    swept: int | None,
    sweep: tuple[int, int] | None,
    later: int,
    overlap: int,
    length: int,
) -> None:
    place = Checkpoint(
        SITE,
        start,
        start + ahead,
        pruned=pruned,
        reread=reread,
        swept=None if swept is None else swept - DAY,
        sweep=Sweep(*sweep, began=NOW) if sweep else None,
    )
    now = start + ahead
    limit = earliest_reread(place, now, overlap, length)
    own = tick_range(place, now + later, overlap)
    again = sweep_range(place, now + later, length, own)
    assert limit <= own.start
    assert limit >= start
    assert again is None or limit <= again.start


def is_read(place: Checkpoint, timestamp_ms: int, now: int, length: int) -> bool:
    """Whether a run at `now` reads a moment."""
    own = tick_range(place, now, OVERLAP)
    sweep = sweep_range(place, now, length, own)
    return any(each.start <= timestamp_ms <= each.end for each in (own, sweep) if each)


@given(
    length=st.integers(1, 96).map(lambda hours: hours * HOUR),
    lag=st.integers(0, 3 * DAY),
    swept=st.none() | st.integers(0, 2 * DAY),
    under_way=st.none() | st.tuples(st.integers(0, 40 * HOUR), st.integers(0, 2 * DAY)),
    late=st.integers(0, 4 * DAY),
    next_tick=st.integers(0, DAY),
    next_sweep=st.integers(0, 3 * DAY),
)
def test_late_record_is_read_by_a_tick_or_a_sweep_as_promised(
    length: int,
    lag: int,
    swept: int | None,
    under_way: tuple[int, int] | None,
    late: int,
    next_tick: int,
    next_sweep: int,
) -> None:
    place = replace(OLD, through=NOW - lag, swept=None if swept is None else NOW - swept)
    if under_way:
        done, began = under_way
        end = place.through - OVERLAP
        place = replace(place, sweep=Sweep(end - done, end, NOW - began))
    timestamp_ms = late_found_from(place, NOW, OVERLAP, length) + late
    tick = NOW + next_tick
    if timestamp_ms > NOW or is_read(place, timestamp_ms, tick, length):
        return
    if place.sweep:  # the sweep ends without reading the moment
        place = place.sweep_done(place.sweep.began)
    place = replace(place, through=tick)
    assert place.swept is not None, "a sweep that was never done is due at once"
    due = max(tick, place.swept + SWEEP_EVERY) + next_sweep
    assert is_read(place, timestamp_ms, due, length)


def test_late_records_before_from_or_the_pruned_ids_are_not_promised() -> None:
    young = Checkpoint(SITE, NOW - HOUR, NOW, swept=NOW)
    assert late_found_from(young, NOW, OVERLAP, LENGTH) == NOW - HOUR
    assert late_found_from(replace(OLD, pruned=NOW - HOUR), NOW, OVERLAP, LENGTH) == NOW - HOUR
