"""A range is read window by window, every millisecond once, with few windows in quiet times."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jira_audit.core.timestamps import DAY, HOUR, MINUTE
from jira_audit.core.window import (
    FIRST_STEP,
    MAX_PAGES,
    ReadRange,
    Window,
    WindowResult,
    is_too_long,
)

CLOSED, MOVED, TOO_LONG = WindowResult.CLOSED, WindowResult.MOVED, WindowResult.TOO_LONG


def moment_reached(events: dict[int, int], window: Window, page_size: int) -> int:
    """The moment to which the newest eight pages of a window reach back."""
    left = MAX_PAGES * page_size
    for at in sorted((at for at in events if window.start <= at <= window.end), reverse=True):
        left -= events[at]
        if left <= 0:
            return at
    return window.start


def read_windows(
    read_range: ReadRange, events: dict[int, int], page_size: int = 10
) -> list[Window]:
    """Read as a run does, with a number of records at each moment; returns the closed windows.

    Fails if reading does not end.
    """
    closed = list[Window]()
    for _ in range(10_000):
        window = read_range.window
        if window is None:
            return closed
        records = sum(n for at, n in events.items() if window.start <= at <= window.end)
        pages = -(-records // page_size)
        if pages >= MAX_PAGES and is_too_long(window, MAX_PAGES):
            read_range = read_range.after(
                window, TOO_LONG, MAX_PAGES, moment_reached(events, window, page_size)
            )
        else:
            closed.append(window)
            read_range = read_range.after(window, CLOSED, pages, window.start)
    raise AssertionError("reading does not come to an end")


@given(
    st.integers(-50, 50),
    st.integers(-2, 3_000),
    st.integers(1, 5_000),
    st.dictionaries(st.integers(-50, 3_000), st.integers(1, 300), max_size=30),
)
def test_windows_cover_a_range_exactly(
    start: int, length: int, step: int, events: dict[int, int]
) -> None:
    end = start + length - 1
    windows = read_windows(ReadRange(start, end, step), events)
    covered = [
        timestamp_ms for window in windows for timestamp_ms in range(window.start, window.end + 1)
    ]
    assert covered == list(range(start, end + 1))


def test_windows_are_closed_ranges_without_overlap() -> None:
    read_range = ReadRange(1_000, 1_000 + 3 * HOUR - 1, HOUR)
    first = read_range.window
    assert first == Window(1_000, 1_000 + HOUR - 1)
    assert first.length == HOUR
    assert read_range.after(first, CLOSED, 6.5, 0) == ReadRange(1_000 + HOUR, read_range.end, HOUR)


def test_windows_are_none_for_a_range_that_ends_before_it_starts() -> None:
    assert ReadRange(1, 0, HOUR).window is None


def test_windows_are_one_for_a_range_of_one_millisecond() -> None:
    assert ReadRange(7, 7, HOUR).window == Window(7, 7)
    assert read_windows(ReadRange(7, 7, HOUR), {}) == [Window(7, 7)]


def test_windows_are_twelve_for_half_a_year_without_records() -> None:
    assert len(read_windows(ReadRange(0, 180 * DAY, HOUR), {})) == 12


def test_windows_are_few_for_a_busy_day() -> None:
    events = {minute * MINUTE: 3 for minute in range(24 * 60)}  # 432 pages of ten
    windows = read_windows(ReadRange(0, DAY - 1, HOUR // 20), events)
    assert len(windows) < 432 / 5


def test_window_takes_in_a_short_rest() -> None:
    assert ReadRange(0, HOUR, HOUR).window == Window(0, HOUR)
    assert ReadRange(0, HOUR + HOUR // 8 - 2, HOUR).window == Window(0, HOUR + HOUR // 8 - 2)
    assert ReadRange(0, HOUR + HOUR // 8 - 1, HOUR).window == Window(0, HOUR - 1)


def test_window_too_long_is_read_again_with_half_of_it() -> None:
    read_range = ReadRange(500, 10 * HOUR, HOUR)
    again = read_range.after(Window(500, 500 + HOUR - 1), TOO_LONG, 8, 0)
    assert again == ReadRange(500, 10 * HOUR, HOUR // 2, dense_from=(0, HOUR // 2))
    assert again.window == Window(500, 500 + HOUR // 2 - 1)


def test_window_too_long_is_cut_to_what_its_pages_show() -> None:
    read_range, window = ReadRange(0, 10 * HOUR, HOUR), Window(0, HOUR - 1)
    # Eight pages reach back a tenth of the window; the target is 6.5 pages of this density.
    step = read_range.after(window, TOO_LONG, 8, HOUR - HOUR // 10).step
    assert step == HOUR // 10 * 65 // 80


@pytest.mark.parametrize(("oldest", "step"), [(HOUR, 1), (HOUR - 1, 1), (-5, HOUR // 2)])
def test_window_too_long_is_cut_within_its_bounds(oldest: int, step: int) -> None:
    window = Window(0, HOUR - 1)
    assert ReadRange(0, 10 * HOUR, HOUR).after(window, TOO_LONG, 8, oldest).step == step


def test_window_too_long_is_halved_by_its_length_not_the_step() -> None:
    read_range = ReadRange(0, 9, HOUR)
    assert read_range.after(Window(0, 9), TOO_LONG, 8, 0).step == 5


def test_window_too_long_is_given_up_only_if_divisible() -> None:
    assert is_too_long(Window(0, 1), 8)
    assert is_too_long(Window(0, 1), 9)
    assert not is_too_long(Window(0, 1), 7.99)  # the eighth page is shorter, so it is the last
    assert not is_too_long(Window(5, 5), 8)
    assert not is_too_long(Window(5, 5), 1_000)


def test_window_is_halved_to_one_millisecond_and_no_further() -> None:
    read_range = ReadRange(0, DAY, HOUR)
    lengths = []
    while is_too_long(window := read_range.window or Window(0, 0), 8):
        lengths.append(window.length)
        read_range = read_range.after(window, TOO_LONG, 8, window.start)
    assert lengths[:3] == [3_600_000, 1_800_000, 900_000]
    assert len(lengths) == 21
    assert read_range.window == Window(0, 0)
    assert read_range.after(Window(0, 0), TOO_LONG, 8, 0).step == 1


def test_window_that_moved_is_read_again_unchanged() -> None:
    read_range = ReadRange(500, 10 * HOUR, HOUR)
    assert read_range.after(Window(500, 500 + HOUR - 1), MOVED, 3, 0) == read_range


def test_step_starts_at_an_hour_and_allows_seven_pages() -> None:
    assert FIRST_STEP == 3_600_000
    assert MAX_PAGES == 8


@pytest.mark.parametrize(
    ("pages", "step"),
    [
        (0, 2 * HOUR),
        (1, 2 * HOUR),
        (3.25, 2 * HOUR),
        (5, HOUR * 13 // 10),
        (5.5, HOUR),
        (6.5, HOUR),
        (7.1, HOUR),
        (7.8, HOUR * 5 // 6),
    ],
)
def test_step_becomes_what_six_and_a_half_pages_need(pages: float, step: int) -> None:
    read_range, window = ReadRange(0, 10 * HOUR, HOUR), Window(0, HOUR - 1)
    assert read_range.after(window, CLOSED, pages, 0).step == step


def test_step_grows_to_a_longer_window_that_was_well_filled() -> None:
    read_range = ReadRange(0, 10 * HOUR, HOUR)
    assert read_range.after(Window(0, 90 * MINUTE - 1), CLOSED, 6.5, 0).step == 90 * MINUTE
    assert read_range.after(Window(0, 30 * MINUTE - 1), CLOSED, 0, 0).step == HOUR


def test_step_never_shrinks_to_zero() -> None:
    assert ReadRange(5, 99, 1).after(Window(5, 5), CLOSED, 41.0, 5).step == 1


def test_step_ignores_a_window_that_the_range_ends() -> None:
    read_range = ReadRange(0, 5 * MINUTE - 1, HOUR)
    window = read_range.window
    assert window == Window(0, 5 * MINUTE - 1)
    assert read_range.after(window, CLOSED, 0, 0) == ReadRange(5 * MINUTE, 5 * MINUTE - 1, HOUR)


def test_step_only_shrinks_after_a_window_shorter_than_it() -> None:
    read_range, short = ReadRange(0, 99 * HOUR, 27 * HOUR), Window(0, HOUR - 1)
    assert read_range.after(short, CLOSED, 1, 0).step == 27 * HOUR
    assert read_range.after(short, CLOSED, 1.5, 0).step == 2 * HOUR
    assert read_range.after(short, CLOSED, 6.5, 0).step == HOUR
    assert replace(read_range, step=HOUR + 1).after(short, CLOSED, 1.5, 0).step == HOUR + 1
    assert replace(read_range, dense_from=(9 * HOUR, 5)).after(short, CLOSED, 1.5, 0).step == 5


def test_step_counts_a_last_window_of_its_full_length() -> None:
    read_range = ReadRange(0, HOUR - 1, HOUR)
    assert read_range.after(Window(0, HOUR - 1), CLOSED, 0, 0).step == 2 * HOUR


def test_step_is_unchanged_by_ticks_every_five_minutes() -> None:
    step = HOUR
    for tick in range(1, 2_000):
        read_range = ReadRange((tick - 4) * 5 * MINUTE, tick * 5 * MINUTE, step)
        while window := read_range.window:
            read_range = read_range.after(window, CLOSED, 0, 0)
        step = read_range.step
    assert step == HOUR


@given(st.integers(0, 2_000), st.integers(0, 90), st.integers(1, 5_000))
def test_burst_in_one_millisecond_has_its_own_window(start: int, into: int, step: int) -> None:
    burst = start + into
    windows = read_windows(ReadRange(start, start + 99, step), {burst: 80})
    assert [window for window in windows if window.start <= burst <= window.end] == [
        Window(burst, burst)
    ]


def test_burst_ahead_is_approached_by_halves_with_a_fitting_step() -> None:
    # Nine hours were too long; their newest pages reach back to the eighth.
    read_range = ReadRange(0, 9 * HOUR - 1, 9 * HOUR)
    read_range = read_range.after(Window(0, 9 * HOUR - 1), TOO_LONG, 8, 8 * HOUR)
    fits = round(HOUR * 6.5 / 8)
    steps = []
    while (window := read_range.window) and window.start < 8 * HOUR:
        steps.append(window.length)
        read_range = read_range.after(window, CLOSED, 0, window.start)
    assert steps[:3] == [fits, 2 * fits, (8 * HOUR - 3 * fits) // 2]
    assert all(length <= max(fits, 4 * HOUR) for length in steps)
    assert len(steps) < 8
    assert read_range == ReadRange(read_range.start, 9 * HOUR - 1, fits)


def test_burst_that_starts_early_restores_the_fitting_step() -> None:
    read_range = ReadRange(0, 9 * HOUR - 1, 2 * HOUR, dense_from=(8 * HOUR, HOUR))
    assert read_range.after(Window(0, 2 * HOUR - 1), CLOSED, 1.5, 0).step == HOUR


def test_burst_after_a_long_silence_costs_few_windows() -> None:
    burst = {100 * DAY + second * 1_000: 5 for second in range(600)}
    windows = read_windows(ReadRange(0, 180 * DAY, HOUR), burst)
    assert len(windows) < 200
    assert all(
        sum(n for at, n in burst.items() if window.start <= at <= window.end) < 80
        for window in windows
    )
