"""Which pages are prefetched, given the pages that have arrived."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from jira_audit.core import timestamps
from jira_audit.core.pages import PageRequest, Reading, RecordsPage
from jira_audit.core.prefetch import PagePeek, prefetch_order
from jira_audit.core.timestamps import HOUR
from jira_audit.core.window import ReadRange, Window

START = timestamps.parse("2026-11-20T00:00:00Z")
SIZE = 11  # ten of each page are new: the first is the seam
FIRST = Window(START, START + HOUR - 1)
STRETCH = ReadRange(START, START + 10 * HOUR - 1, HOUR)


def records(number: int, oldest: int) -> list[dict[str, Any]]:
    """A number of records, the last of them created at the moment `oldest`."""
    made = [{"id": oldest + left, "created": timestamps.text(oldest)} for left in range(number)]
    return made[::-1]


def reading_of(*pages: list[dict[str, Any]]) -> Reading:
    reading = Reading(SIZE)
    for page in pages:
        reading.take(RecordsPage(reading.offset, page))
    return reading


def no_peek(_: PageRequest) -> PagePeek | None:
    return None


def next_window(read_range: ReadRange) -> Window | None:
    return read_range.window


def requests(
    reading: Reading,
    *,
    window: Window = FIRST,
    read_range: ReadRange = STRETCH,
    density: float | None = None,
    peek: Callable[[PageRequest], PagePeek | None] = no_peek,
    most: int = 20,
) -> list[tuple[float, float, int]]:
    """The first places: the hour at which a window starts, its hours, and the offset."""
    order = prefetch_order(window, reading, read_range, density, next_window, peek)
    found = list(islice(order, most))
    assert all(request.limit == reading.page_size for request in found)
    return [((at.window.start - START) / HOUR, at.window.length / HOUR, at.offset) for at in found]


# The order of requests


def test_first_pages_of_growing_windows_come_first() -> None:
    assert requests(Reading(SIZE)) == [(0, 1, 0), (1, 2, 0), (3, 4, 0), (7, 3, 0)]


def test_windows_with_a_grown_step_keep_its_length() -> None:
    found = requests(
        Reading(SIZE),
        window=Window(START, START + 3 * HOUR - 1),
        read_range=ReadRange(START, START + 10 * HOUR - 1, 3 * HOUR),
    )
    assert found == [(0, 3, 0), (3, 3, 0), (6, 3, 0), (9, 1, 0)]


def test_windows_before_a_burst_keep_the_step_that_fits_it() -> None:
    read_range = ReadRange(START, START + 10 * HOUR - 1, HOUR, dense_from=(START + 9 * HOUR, HOUR))
    assert requests(Reading(SIZE), read_range=read_range)[:3] == [(0, 1, 0), (1, 1, 0), (2, 1, 0)]


def test_next_window_follows_at_the_same_density() -> None:
    first = records(11, FIRST.end - HOUR // 6 + 1)  # 66 in an hour, and so in the next
    found = requests(reading_of(first))
    assert found[6:12] == [(1, 1, offset) for offset in range(0, 60, 10)]


def test_next_window_gets_requests_for_full_pages_only() -> None:
    first = records(11, FIRST.end - HOUR // 6 + 1)
    offsets = [offset for start, _, offset in requests(reading_of(first)) if start == 1]
    assert offsets == [0, 10, 20, 30, 40, 50]  # 66 end within the page that begins at 60


def test_next_window_keeps_the_length_already_requested() -> None:
    begun = Window(FIRST.end + 1, FIRST.end + 90)
    reading = reading_of(records(2, FIRST.start))
    found = list(islice(prefetch_order(FIRST, reading, STRETCH, None, lambda _: begun, no_peek), 2))
    assert found == [PageRequest(FIRST, 2, SIZE), PageRequest(begun, 0, SIZE)]


@pytest.mark.parametrize("created", [None, "soon", 7])
def test_next_window_is_not_guessed_without_created_times(
    created: Any,
) -> None:
    page = [{"id": number, "created": created} for number in range(11)]
    assert {start for start, _, _ in requests(reading_of(page))} == {0}


def test_quiet_window_is_followed_by_longer_ones() -> None:
    reading = reading_of(records(2, FIRST.start))
    assert requests(reading, most=4) == [(0, 1, 2), (1, 2, 0), (3, 4, 0), (7, 3, 0)]


def test_only_window_gets_a_request_for_its_first_page() -> None:
    assert requests(Reading(SIZE), read_range=ReadRange.of(FIRST)) == [(0, 1, 0)]


def test_last_window_is_followed_by_none() -> None:
    reading = reading_of(records(2, FIRST.start))
    assert requests(reading, read_range=ReadRange.of(FIRST)) == [(0, 1, 2)]


def test_last_window_gets_its_last_page_first_then_its_end() -> None:
    reading = reading_of(records(11, FIRST.end - HOUR // 4 + 1))  # 44 in all, so four pages more
    only = ReadRange.of(FIRST)

    before = requests(reading, read_range=only)
    assert before[:2] == [(0, 1, 10), (0, 1, 40)]
    assert {offset for _, _, offset in before} == {10, 20, 30, 40}

    found = requests(
        reading,
        read_range=only,
        peek=lambda request: PagePeek(4, FIRST.start) if request.offset == 40 else None,
    )
    assert found[:3] == [(0, 1, 10), (0, 1, 40), (0, 1, 44)]


def test_last_window_of_unknown_density_is_requested_whole() -> None:
    first = records(11, FIRST.end - HOUR // 6 + 1)  # 66 in an hour, and so in the next
    found = requests(reading_of(first), read_range=ReadRange(START, START + 2 * HOUR - 1, HOUR))
    assert {offset for start, _, offset in found if start == 1} == {0, 10, 20, 30, 40, 50, 60}


def test_density_comes_from_a_full_page() -> None:
    # Eleven records in a fifth of the window: fifty-five in all, so five more pages and the end.
    first = records(11, FIRST.end - HOUR // 5 + 1)
    offsets = [offset for start, _, offset in requests(reading_of(first)) if start == 0]
    assert offsets == [10, 20, 30, 40, 50]


def test_density_of_one_page_does_not_replace_the_window_before() -> None:
    first = records(11, FIRST.end - HOUR // 6)
    alone = [offset for start, _, offset in requests(reading_of(first)) if start == 0]
    before = requests(reading_of(first), density=55 / HOUR)
    assert len([offset for start, _, offset in before if start == 0]) < len(alone)


def test_window_that_has_ended_needs_no_request() -> None:
    assert requests(reading_of(records(2, FIRST.start), []), most=1) == [(1, 2, 0)]


def test_window_that_is_too_long_is_read_to_its_eighth_page() -> None:
    first = records(11, FIRST.end - HOUR // 50)
    assert requests(reading_of(first)) == [(0, 1, 10 * page) for page in range(1, 8)]


def test_window_of_one_millisecond_is_read_to_its_end() -> None:
    window = Window(START, START)
    reading = reading_of(records(11, START))
    found = requests(reading, window=window, read_range=ReadRange(START, START + HOUR, 1), most=8)
    assert [offset for _, _, offset in found] == [10 * page for page in range(1, 9)]


def test_answers_ahead_show_the_next_offset_and_the_end() -> None:
    first = records(11, FIRST.end - HOUR // 3)
    known = {10: PagePeek(11, FIRST.start + HOUR // 3), 20: PagePeek(4, FIRST.start)}

    def peek(request: PageRequest) -> PagePeek | None:
        return known.get(request.offset) if request.window == FIRST else None

    found = requests(reading_of(first), peek=peek)
    assert [offset for start, _, offset in found if start == 0] == [10, 20, 24]


def test_answers_that_are_empty_end_the_window() -> None:
    reading = reading_of(records(3, FIRST.start))
    found = requests(
        reading, peek=lambda request: PagePeek(0, None) if request.offset == 3 else None
    )
    assert found[:2] == [(0, 1, 3), (1, 2, 0)]
