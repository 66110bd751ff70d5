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
from jira_audit.core.records import RawRecord

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


def no_change() -> None:
    """The list does not move."""


def pages(
    log: Log, size: int = SIZE, between: Callable[[], object] = no_change, most: int = 500
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
    log: Log, size: int = SIZE, between: Callable[[], object] = no_change
) -> tuple[list[int], bool]:
    """The ids delivered, and whether a move of the list was noticed."""
    got = list(pages(log, size, between))
    assert [page.ended for page in got] == [False] * (len(got) - 1) + [True]
    assert got[-1].records == []
    return [record["id"] for page in got for record in page.records], got[-1].moved


def descending_ids(count: int) -> list[int]:
    return list(range(count, 0, -1))


# A list that does not move


@given(
    count=st.integers(0, 60),
    size=st.integers(2, 9),
    cap=st.integers(2, 12),
)
def test_records_of_a_still_list_are_delivered_once(count: int, size: int, cap: int) -> None:
    assert read(Log(descending_ids(count), cap), size) == (descending_ids(count), False)


@given(st.integers(0, 40), st.integers(2, 9), st.lists(st.integers(1, 9), min_size=60, max_size=60))
def test_records_of_pages_of_any_length_are_delivered_once(
    count: int, size: int, caps: list[int]
) -> None:
    log, lengths = Log(descending_ids(count)), iter(caps)

    def between() -> None:
        log.cap = next(lengths) if log.cap != 1 else 9  # a page of one record may be only the seam

    assert read(log, size, between) == (descending_ids(count), False)


def test_records_in_one_millisecond_are_delivered_across_pages() -> None:
    # Within a millisecond, records are ordered by their place only.
    shuffled = random.Random(1).sample(range(10_000, 15_500), 5_500)
    log = Log(shuffled)
    assert read(log, 1_000) == (shuffled, False)
    assert log.asked == [0, 999, 1_998, 2_997, 3_996, 4_995, 5_500]


def test_page_after_a_full_one_starts_one_record_back() -> None:
    log = Log(descending_ids(9))
    assert read(log) == (descending_ids(9), False)
    assert log.asked == [0, 3, 6, 9]


def test_page_after_a_short_one_starts_at_its_end() -> None:
    log = Log(descending_ids(7), cap=3)
    assert read(log) == (descending_ids(7), False)
    assert log.asked == [0, 3, 6, 7]


def test_page_that_is_short_is_not_the_end() -> None:
    log = Log(descending_ids(6), cap=1)
    assert read(log) == (descending_ids(6), False)


def test_page_has_the_date_of_its_response() -> None:
    reading = Reading(SIZE)
    assert reading.take(RecordsPage(0, [{"id": 1}], 1_234)).date == 1_234
    assert reading.take(RecordsPage(1, [], 5_678)).date == 5_678


def test_page_size_is_a_thousand_records() -> None:
    assert PAGE_SIZE == 1_000
    assert Reading().page_size == 1_000


def test_window_without_records_ends_with_its_first_page() -> None:
    log = Log([])
    (only,) = pages(log)
    assert only == Page([], None, ended=True, moved=False)


def test_window_after_a_full_last_page_needs_two_requests() -> None:
    log = Log(descending_ids(4))
    assert read(log) == (descending_ids(4), False)
    assert log.asked == [0, 3, 4]


def test_window_does_not_end_with_an_early_empty_page() -> None:
    reading = Reading(2)
    reading.take(RecordsPage(0, [{"id": 2}, {"id": 1}]))
    empty = reading.take(RecordsPage(1, []))
    assert not empty.ended
    assert empty.moved
    assert reading.offset == 2
    assert reading.take(RecordsPage(2, [])).ended


# A list that moves


def after_requests(requests: int, log: Log, change: Callable[[], object]) -> Callable[[], None]:
    def between() -> None:
        if len(log.asked) == requests:
            change()

    return between


def test_seam_breaks_when_a_record_is_inserted_above() -> None:
    log = Log(descending_ids(9))
    got, moved = read(log, between=after_requests(1, log, lambda: log.ids.insert(0, 10)))
    assert moved
    assert set(descending_ids(9)) <= set(got)


def test_seam_breaks_when_a_late_record_appears_in_the_middle() -> None:
    log = Log(descending_ids(9))
    got, moved = read(log, between=after_requests(2, log, lambda: log.ids.insert(2, 77)))
    assert moved
    assert set(descending_ids(9)) <= set(got)


def test_seam_breaks_when_a_record_is_removed_above() -> None:
    log = Log(descending_ids(9))
    _, moved = read(log, between=after_requests(1, log, lambda: log.ids.pop(0)))
    assert moved


def test_seam_breaks_when_retention_removes_up_to_it() -> None:
    log = Log(descending_ids(9))

    def retention() -> None:
        del log.ids[2:]

    got, moved = read(log, between=after_requests(1, log, retention))
    assert moved
    assert got == [9, 8, 7, 6]
    assert log.asked == [0, 3, 4]


def test_seam_once_broken_stays_broken() -> None:
    log = Log(descending_ids(12))
    said = [
        page.moved for page in pages(log, between=after_requests(1, log, lambda: log.ids.pop(0)))
    ]
    assert said[0] is False
    assert said[1:] == [True] * (len(said) - 1)


def test_seam_holds_by_id_when_the_content_changes() -> None:
    reading = Reading(2)
    reading.take(RecordsPage(0, [{"id": 3}, {"id": 2}]))
    page = reading.take(RecordsPage(1, [{"id": 2, "associatedItems": []}, {"id": 1}]))
    assert not page.moved
    assert page.records == [{"id": 1}]


@pytest.mark.parametrize("record", [None, "text", 7, [], {}, {"id": None}, {"summary": "a"}])
def test_seam_holds_by_content_without_an_id(record: Any) -> None:
    reading = Reading(2)
    reading.take(RecordsPage(0, [{"id": 3}, record]))
    page = reading.take(RecordsPage(1, [record, {"id": 1}]))
    assert not page.moved
    assert page.records == [{"id": 1}]


@pytest.mark.parametrize("record", ["text", {"id": 9}, {"summary": "b"}, {"id": "x"}])
def test_seam_does_not_hold_for_another_record(record: Any) -> None:
    reading = Reading(2)
    reading.take(RecordsPage(0, [{"id": 3}, {"summary": "a"}]))
    page = reading.take(RecordsPage(1, [record, {"id": 1}]))
    assert page.moved
    assert page.records == [record, {"id": 1}]


def test_late_record_on_an_unread_page_is_delivered() -> None:
    log = Log(descending_ids(9))
    got, moved = read(log, between=after_requests(1, log, lambda: log.ids.insert(6, 77)))
    assert not moved
    assert sorted(got) == sorted([*descending_ids(9), 77])


def test_removal_at_the_old_end_loses_no_other_record() -> None:
    log = Log(descending_ids(9))

    def retention() -> None:
        del log.ids[-2:]

    got, moved = read(log, between=after_requests(1, log, retention))
    assert not moved
    assert got == [9, 8, 7, 6, 5, 4, 3]


@given(
    count=st.integers(0, 40),
    size=st.integers(2, 6),
    cap=st.integers(1, 8),
    changes=st.lists(
        st.tuples(st.sampled_from(["insert", "retention", "nothing"]), st.integers(0, 40)),
        max_size=25,
    ),
)
def test_changes_by_insertion_or_retention_hide_no_record(
    count: int, size: int, cap: int, changes: list[tuple[str, int]]
) -> None:
    """Even if pages are shorter than requested and no seam shows it."""
    log, there, coming = Log(descending_ids(count), cap), set(descending_ids(count)), iter(changes)
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
def test_changes_between_full_pages_are_noticed_or_harmless(
    count: int, size: int, changes: list[tuple[str, int] | None]
) -> None:
    log, there, coming = Log(descending_ids(count)), set(descending_ids(count)), iter(changes)
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


# Pages that repeat


def test_repeated_page_is_a_moved_list_and_no_error() -> None:
    log = Log(descending_ids(9), cap=3)
    got, moved = read(
        log, between=after_requests(1, log, lambda: log.ids.__setitem__(slice(0, 0), [12, 11, 10]))
    )
    assert moved
    assert set(descending_ids(9)) <= set(got)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 50])
def test_repeated_pages_of_an_ignored_offset_are_an_error(count: int) -> None:
    reading, page = Reading(SIZE), [{"id": number} for number in descending_ids(count)[:SIZE]]
    assert not reading.take(RecordsPage(0, page)).moved
    assert reading.take(RecordsPage(reading.offset, page)).moved
    with pytest.raises(TransientError, match="the same records at different offsets"):
        reading.take(RecordsPage(reading.offset, page))


def test_repeated_pages_in_turn_are_an_error() -> None:
    one, other = [{"id": 4}, {"id": 3}], [{"id": 2}, {"id": 1}]
    reading = Reading(SIZE)
    for page in (one, other, one):
        reading.take(RecordsPage(reading.offset, page))
    with pytest.raises(TransientError):
        reading.take(RecordsPage(reading.offset, other))


# Pages that cannot be read


def read_around(
    log: Log, size: int, bad: set[int], reads: Callable[[], bool] = lambda: True
) -> tuple[list[int | str], bool, list[tuple[int, int]]]:
    """Read a log of which some records, and now and then anything, cannot be read.

    Returns the ids, `!` and the id of each raw record, whether a move was noticed, and the offset
    and limit of each request.
    """
    reading, got, asked = Reading(size), list[int | str](), list[tuple[int, int]]()
    for _ in range(2_000):
        offset, limit = reading.offset, reading.limit
        asked.append((offset, limit))
        records = log.give(offset, limit)
        unreadable = {record["id"] for record in records} & bad
        if reading.is_smallest and unreadable:
            records = [RawRecord.of(b"!%d" % records[0]["id"], "not JSON")]  # type: ignore[list-item]
        elif not reading.is_smallest and (unreadable or not reads()):
            reading.ask_for_less()
            continue
        page = reading.take(RecordsPage(offset, records))
        got += [each["id"] if isinstance(each, dict) else str(each) for each in page.records]
        if page.ended:
            return got, page.moved, asked
    raise AssertionError("the reading does not come to an end")


@given(
    st.integers(0, 40),
    st.integers(2, 9),
    st.integers(1, 12),
    st.sets(st.integers(1, 40), max_size=12),
    st.lists(st.booleans(), max_size=40),
)
def test_records_around_unreadable_ones_are_delivered_once(
    count: int, size: int, cap: int, bad: set[int], chances: list[bool]
) -> None:
    coming = iter(chances)
    log = Log(descending_ids(count), cap)
    got, moved, asked = read_around(log, size, bad, lambda: next(coming, True))

    assert got == [f"!{number}" if number in bad else number for number in descending_ids(count)]
    assert not moved
    assert all(1 <= limit <= size for _, limit in asked)


def test_limit_is_halved_to_one_record_and_then_doubled() -> None:
    _, _, asked = read_around(Log(descending_ids(40)), 16, {30})

    assert asked[:9] == [
        *[(0, 16), (0, 8)],
        *[(7, 16), (7, 8), (7, 4), (7, 2)],
        *[(8, 4), (8, 2)],
        (9, 4),
    ]
    assert asked[9:15] == [(9, 2), (10, 1), (11, 2), (12, 4), (15, 8), (22, 16)]


def test_page_with_a_smaller_limit_counts_as_a_part() -> None:
    reading = Reading(100, 10)
    page = reading.take(RecordsPage(0, [{"id": n} for n in range(10)]))
    assert (page.pages, page.is_short, reading.limit) == (0.1, False, 20)
    page = reading.take(RecordsPage(9, [{"id": n} for n in range(9, 20)]))
    assert (page.pages, page.is_short, reading.limit) == (0.2, True, 40)


def test_raw_record_that_repeats_is_a_moved_list() -> None:
    reading, raw = Reading(100, 1), RawRecord.of(b"x", "not JSON")
    assert not reading.take(RecordsPage(0, [raw])).moved
    assert reading.offset == 1
    reading.ask_for_less()
    assert reading.take(RecordsPage(1, [raw])).moved


def test_seam_holds_for_deep_nesting_without_an_id() -> None:
    def deep() -> list[Any]:
        value: list[Any] = []
        for _ in range(100_000):
            value = [value]
        return value

    reading = Reading(2)
    reading.take(RecordsPage(0, [1, deep()]))
    assert not reading.take(RecordsPage(1, [deep(), 2])).moved
