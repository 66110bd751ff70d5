"""Pages of large records are requested with fewer records, so that a response stays small."""

from __future__ import annotations

import pytest

from jira_audit.core.pages import PAGE_BYTES, Reading, RecordsPage


def page(offset: int, count: int, record_bytes: int) -> RecordsPage:
    records = [{"id": offset + n} for n in range(count)]
    return RecordsPage(offset, records, None, count * record_bytes)


@pytest.mark.parametrize("record_bytes", [3_000, 5_000, 64_000, 400_000])
def test_limit_after_a_page_of_large_records_fits_the_target(record_bytes: int) -> None:
    reading = Reading(page_size=1_000)

    reading.take(page(0, 1_000, record_bytes))

    assert reading.limit * record_bytes <= PAGE_BYTES
    assert reading.limit * record_bytes > PAGE_BYTES * 0.7


def test_limit_stays_whole_for_ordinary_records() -> None:
    reading = Reading(page_size=1_000)

    reading.take(page(0, 1_000, 850))

    assert reading.limit == 1_000


def test_limit_of_a_record_larger_than_the_target_is_one() -> None:
    reading = Reading(page_size=1_000)

    reading.take(page(0, 3, PAGE_BYTES))

    assert reading.limit == 1


def test_limit_grows_again_after_large_records() -> None:
    reading, offset = Reading(page_size=1_000), 0
    reading.take(page(0, 1_000, 64_000))
    for _ in range(6):
        offset = reading.offset
        reading.take(page(offset, reading.limit, 500))

    assert reading.limit == 1_000
