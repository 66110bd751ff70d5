"""Batches are filled to the service's limit, in order, to the byte."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jira_audit.core.batches import BATCH_LIMIT, Batch, Batcher
from jira_audit.core.records import ROW_LIMIT, Identity, Row
from tests.core.json_strategies import parse_strictly


def row(number: int, value: Any) -> Row:
    line = orjson.dumps(value)
    return Row(Identity(number, 0), line * 2, len(line), whole=True)


def row_of(size: int, number: int = 0) -> Row:
    return row(number, "x" * (size - 2))


def batches(batcher: Batcher, rows: list[Row]) -> list[Batch]:
    return [*batcher.add(rows), *batcher.rest()]


rows = st.lists(st.text(max_size=30), max_size=40).map(
    lambda texts: [row(number, text) for number, text in enumerate(texts)]
)


@given(rows, st.integers(1, 120), st.integers(1, 5))
def test_batches_are_full_within_the_limit_and_lose_no_row(
    given_rows: list[Row], spare: int, at_once: int
) -> None:
    limit = max((len(each.line) for each in given_rows), default=0) + 2 + spare
    batcher, made = Batcher(limit), list[Batch]()
    for start in range(0, len(given_rows), at_once):
        made += batcher.add(given_rows[start : start + at_once])
    made += batcher.rest()
    assert batcher.is_empty
    assert [each for batch in made for each in batch.rows] == given_rows
    assert [value for batch in made for value in parse_strictly(batch.body)] == [
        parse_strictly(each.line) for each in given_rows
    ]
    for batch, after in pairwise(made):
        assert len(batch.body) <= limit
        assert len(batch.body) + 1 + len(after.rows[0].line) > limit  # the next would not have fit
    assert all(batch.rows for batch in made)
    assert not made or len(made[-1].body) <= limit


def test_batch_limit_is_one_mebibyte() -> None:
    assert BATCH_LIMIT == 1_048_576
    assert Batcher().limit == 1_048_576


def test_batch_body_is_a_json_array_of_its_rows() -> None:
    assert Batch((row(1, {"a": 1}), row(2, {"b": "é"}))).body == '[{"a":1},{"b":"é"}]'.encode()


def test_batch_size_counts_the_commas() -> None:
    # Two brackets, ten rows of 100 bytes and nine commas are 1,011 bytes.
    ten = [row_of(100, number) for number in range(10)]
    assert [len(batch.body) for batch in batches(Batcher(1_011), ten)] == [1_011]
    assert [len(batch.body) for batch in batches(Batcher(1_010), ten)] == [910, 102]


def test_batch_size_counts_bytes_not_characters() -> None:
    # "€€€" is 5 characters and 11 bytes.
    two = [row(1, "€€€"), row(2, "€€€")]
    assert [len(batch.body) for batch in batches(Batcher(25), two)] == [25]
    assert [len(batch.body) for batch in batches(Batcher(24), two)] == [13, 13]


def test_batch_holds_one_row_of_the_largest_size() -> None:
    assert ROW_LIMIT == 1_048_574
    largest, small = row_of(1_048_574), row_of(10)
    made = batches(Batcher(), [small, largest, small])
    assert [len(batch.rows) for batch in made] == [1, 1, 1]
    assert [len(batch.body) for batch in made] == [12, 1_048_576, 12]


def test_batch_is_filled_by_later_rows() -> None:
    batcher = Batcher(1_000)
    assert list(batcher.add([row_of(300)])) == []
    assert not batcher.is_empty
    assert list(batcher.add([row_of(300)])) == []
    (full,) = batcher.add([row_of(300), row_of(300)])
    assert len(full.rows) == 3
    (left,) = batcher.rest()
    assert len(left.rows) == 1


def test_batch_is_returned_once() -> None:
    batcher = Batcher()
    list(batcher.add([row_of(10)]))
    assert len(list(batcher.rest())) == 1
    assert list(batcher.rest()) == []
    assert batcher.is_empty


def test_batch_does_not_change_when_more_rows_come() -> None:
    batcher = Batcher(30)
    (first,) = batcher.add([row_of(20, 1), row_of(20, 2)])
    list(batcher.add([row_of(20, 3)]))
    assert [each.identity.id for each in first.rows] == [1]


def test_batch_is_none_without_rows() -> None:
    assert batches(Batcher(), []) == []


@pytest.mark.parametrize("count", [2, 3, 4, 7])
def test_halves_hold_every_row_once_and_in_order(count: int) -> None:
    whole = Batch(tuple(row_of(10, number) for number in range(count)))
    first, second = whole.halves()
    assert first.rows + second.rows == whole.rows
    assert (len(first.rows), len(second.rows)) == (count // 2, count - count // 2)


def test_halves_come_down_to_single_rows() -> None:
    parts, alone = [Batch(tuple(row_of(10, number) for number in range(13)))], []
    while parts:
        part = parts.pop(0)
        if len(part.rows) > 1:
            parts = [*part.halves(), *parts]
        else:
            alone.append(part.rows[0].identity.id)
    assert alone == list(range(13))
