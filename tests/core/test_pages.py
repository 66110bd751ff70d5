"""Pages read by offset from a list that may move: every missed record is noticed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jira_audit.core.errors import TransientError
from jira_audit.core.pages import PAGE_SIZE, Page, Reading, RecordsPage

SIZE = 4


@dataclass
class Log:
    """A list of ids, newest first, that returns at most `cap` of them from an offset on."""

    ids: list[int]
    cap: int = 1_000
    asked: list[int] = field(default_factory=list)

    def give(self, offset: int, limit: int) -> list[dict[str, int]]:
        self.asked.append(offset)
        return [{"id": number} for number in self.ids[offset : offset + min(limit, self.cap)]]


def still() -> None:
    """The list does not move."""


def pages(
    log: Log, size: int = SIZE, between: Callable[[], object] = still, most: int = 500
) -> Iterator[Page]:
    reading = Reading(size)
    for _ in range(most):
        page = reading.take(RecordsPage(reading.offset, log.give(reading.offset, size)))
        yield page
        if page.ended:
            return
        between()
    raise AssertionError("the reading does not come to an end")


def read(
    log: Log, size: int = SIZE, between: Callable[[], object] = still
) -> tuple[list[int], bool]:
    """The ids delivered, and whether a move of the list was noticed."""
    got = list(pages(log, size, between))
    assert [page.ended for page in got] == [False] * (len(got) - 1) + [True]
    assert got[-1].records == []
    return [record["id"] for page in got for record in page.records], got[-1].moved


def falling(count: int) -> list[int]:
    return list(range(count, 0, -1))


# A list that does not move.


@given(
    count=st.integers(0, 60),
    size=st.integers(2, 9),
    cap=st.integers(2, 12),
)
def test_a_list_that_stands_still_is_delivered_exactly_once(
    count: int, size: int, cap: int
) -> None:
    assert read(Log(falling(count), cap), size) == (falling(count), False)


@given(st.integers(0, 40), st.integers(2, 9), st.lists(st.integers(1, 9), min_size=60, max_size=60))
def test_pages_of_any_lengths_are_delivered_exactly_once(
    count: int, size: int, caps: list[int]
) -> None:
    log, lengths = Log(falling(count)), iter(caps)

    def between() -> None:
        log.cap = next(lengths) if log.cap != 1 else 9  # a page of one record may be only the seam

    assert read(log, size, between) == (falling(count), False)


def test_the_page_after_a_full_one_is_asked_for_from_one_record_back() -> None:
    log = Log(falling(9))
    assert read(log) == (falling(9), False)
    assert log.asked == [0, 3, 6, 9]


def test_the_page_after_a_shorter_one_is_asked_for_at_its_end() -> None:
    log = Log(falling(7), cap=3)
    assert read(log) == (falling(7), False)
    assert log.asked == [0, 3, 6, 7]


def test_a_short_page_is_not_the_end() -> None:
    log = Log(falling(6), cap=1)
    assert read(log) == (falling(6), False)


def test_an_empty_window_ends_with_its_first_page() -> None:
    log = Log([])
    (only,) = pages(log)
    assert only == Page([], None, ended=True, moved=False)


def test_a_window_that_ends_with_a_full_page_is_asked_for_its_seam_and_its_end() -> None:
    log = Log(falling(4))
    assert read(log) == (falling(4), False)
    assert log.asked == [0, 3, 4]


def test_more_than_asked_for_is_taken_and_advanced_by() -> None:
    reading = Reading(3)
    first = reading.take(RecordsPage(0, [{"id": number} for number in (9, 8, 7, 6, 5)]))
    assert [record["id"] for record in first.records] == [9, 8, 7, 6, 5]
    assert reading.offset == 4


def test_the_date_of_each_response_is_handed_on() -> None:
    reading = Reading(SIZE)
    assert reading.take(RecordsPage(0, [{"id": 1}], 1_234)).date == 1_234
    assert reading.take(RecordsPage(1, [], 5_678)).date == 5_678


def test_a_thousand_records_are_asked_for() -> None:
    assert PAGE_SIZE == 1_000
    assert Reading().page_size == 1_000


def test_thousands_in_one_millisecond_are_delivered_across_the_borders_of_pages() -> None:
    # Within a millisecond, records are ordered by their place only.
    shuffled = random.Random(1).sample(range(10_000, 15_500), 5_500)
    log = Log(shuffled)
    assert read(log, 1_000) == (shuffled, False)
    assert log.asked == [0, 999, 1_998, 2_997, 3_996, 4_995, 5_500]


# A list that moves.


def after(requests: int, log: Log, change: Callable[[], object]) -> Callable[[], None]:
    def between() -> None:
        if len(log.asked) == requests:
            change()

    return between


def test_a_record_inserted_above_breaks_the_seam() -> None:
    log = Log(falling(9))
    got, moved = read(log, between=after(1, log, lambda: log.ids.insert(0, 10)))
    assert moved
    assert set(falling(9)) <= set(got)


def test_a_late_record_in_the_middle_breaks_the_seam() -> None:
    log = Log(falling(9))
    got, moved = read(log, between=after(2, log, lambda: log.ids.insert(2, 77)))
    assert moved
    assert set(falling(9)) <= set(got)


def test_a_late_record_in_what_is_still_to_come_is_delivered() -> None:
    log = Log(falling(9))
    got, moved = read(log, between=after(1, log, lambda: log.ids.insert(6, 77)))
    assert not moved
    assert sorted(got) == sorted([*falling(9), 77])


def test_a_record_removed_above_breaks_the_seam() -> None:
    log = Log(falling(9))
    _, moved = read(log, between=after(1, log, lambda: log.ids.pop(0)))
    assert moved


def test_records_removed_at_the_old_end_take_nothing_else_with_them() -> None:
    log = Log(falling(9))

    def retention() -> None:
        del log.ids[-2:]

    got, moved = read(log, between=after(1, log, retention))
    assert not moved
    assert got == [9, 8, 7, 6, 5, 4, 3]


def test_the_old_end_removed_up_to_the_seam_is_seen_and_comes_to_an_end() -> None:
    log = Log(falling(9))

    def retention() -> None:
        del log.ids[2:]

    got, moved = read(log, between=after(1, log, retention))
    assert moved
    assert got == [9, 8, 7, 6]
    assert log.asked == [0, 3, 4]


def test_an_empty_page_before_the_end_of_what_was_received_does_not_end_the_window() -> None:
    reading = Reading(2)
    reading.take(RecordsPage(0, [{"id": 2}, {"id": 1}]))
    empty = reading.take(RecordsPage(1, []))
    assert not empty.ended
    assert empty.moved
    assert reading.offset == 2
    assert reading.take(RecordsPage(2, [])).ended


def test_moved_stays_said_up_to_the_end() -> None:
    log = Log(falling(12))
    said = [page.moved for page in pages(log, between=after(1, log, lambda: log.ids.pop(0)))]
    assert said[0] is False
    assert said[1:] == [True] * (len(said) - 1)


def test_a_page_that_comes_once_again_is_a_list_that_moved_and_no_error() -> None:
    log = Log(falling(9), cap=3)
    got, moved = read(
        log, between=after(1, log, lambda: log.ids.__setitem__(slice(0, 0), [12, 11, 10]))
    )
    assert moved
    assert set(falling(9)) <= set(got)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 50])
def test_a_jira_that_ignores_the_offset_is_an_error_that_says_so(count: int) -> None:
    reading, page = Reading(SIZE), [{"id": number} for number in falling(count)[:SIZE]]
    assert not reading.take(RecordsPage(0, page)).moved
    assert reading.take(RecordsPage(reading.offset, page)).moved
    with pytest.raises(TransientError, match="the same records at different offsets"):
        reading.take(RecordsPage(reading.offset, page))


def test_a_jira_that_gives_two_pages_in_turn_is_an_error() -> None:
    one, other = [{"id": 4}, {"id": 3}], [{"id": 2}, {"id": 1}]
    reading = Reading(SIZE)
    for page in (one, other, one):
        reading.take(RecordsPage(reading.offset, page))
    with pytest.raises(TransientError):
        reading.take(RecordsPage(reading.offset, other))


def test_the_seam_holds_by_id_though_the_content_changed() -> None:
    reading = Reading(2)
    reading.take(RecordsPage(0, [{"id": 3}, {"id": 2}]))
    page = reading.take(RecordsPage(1, [{"id": 2, "associatedItems": []}, {"id": 1}]))
    assert not page.moved
    assert page.records == [{"id": 1}]


@pytest.mark.parametrize("record", [None, "text", 7, [], {}, {"id": None}, {"summary": "a"}])
def test_the_seam_of_records_without_an_id_holds_by_content(record: Any) -> None:
    reading = Reading(2)
    reading.take(RecordsPage(0, [{"id": 3}, record]))
    page = reading.take(RecordsPage(1, [record, {"id": 1}]))
    assert not page.moved
    assert page.records == [{"id": 1}]


@pytest.mark.parametrize("record", ["text", {"id": 9}, {"summary": "b"}, {"id": "x"}])
def test_the_seam_does_not_hold_for_another_record(record: Any) -> None:
    reading = Reading(2)
    reading.take(RecordsPage(0, [{"id": 3}, {"summary": "a"}]))
    page = reading.take(RecordsPage(1, [record, {"id": 1}]))
    assert page.moved
    assert page.records == [record, {"id": 1}]


# Any changes at any time.


@given(
    count=st.integers(0, 40),
    size=st.integers(2, 6),
    cap=st.integers(1, 8),
    changes=st.lists(
        st.tuples(st.sampled_from(["insert", "retention", "nothing"]), st.integers(0, 40)),
        max_size=25,
    ),
)
def test_insertions_and_retention_never_hide_what_was_there_throughout(
    count: int, size: int, cap: int, changes: list[tuple[str, int]]
) -> None:
    """Even if pages are shorter than requested and no seam shows it."""
    log, there, coming = Log(falling(count), cap), set(falling(count)), iter(changes)
    number = count

    def between() -> None:
        nonlocal number
        kind, at = next(coming, ("nothing", 0))
        if kind == "insert":
            number += 1
            log.ids.insert(at % (len(log.ids) + 1), number)
        elif kind == "retention" and log.ids:
            there.discard(log.ids.pop())

    try:
        got, _ = read(log, size, between)
    except TransientError:
        return  # raised as an error; the next tick reads it again
    assert there <= set(got)


@given(
    count=st.integers(0, 40),
    size=st.integers(2, 6),
    changes=st.lists(
        st.tuples(st.sampled_from(["insert", "remove", "swap"]), st.integers(0, 40)) | st.none(),
        max_size=25,
    ),
)
def test_with_full_pages_any_change_is_seen_or_harmless(
    count: int, size: int, changes: list[tuple[str, int] | None]
) -> None:
    log, there, coming = Log(falling(count)), set(falling(count)), iter(changes)
    number = count

    def between() -> None:
        nonlocal number
        change = next(coming, None)
        if change is None:
            return
        kind, at = change
        if kind in {"remove", "swap"} and log.ids:
            there.discard(log.ids.pop(at % len(log.ids)))
        if kind in {"insert", "swap"}:
            number += 1
            log.ids.insert(at % (len(log.ids) + 1), number)

    try:
        got, moved = read(log, size, between)
    except TransientError:
        return
    assert moved or there <= set(got)
