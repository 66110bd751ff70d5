"""The ledger is a set of ids, added in any order, in as few ranges as possible."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jira_audit.core.ledger import Ledger

# Narrow enough that ids touch, repeat and overlap.
ids = st.integers(-5, 60)


@given(st.lists(st.lists(ids)), st.randoms(use_true_random=False))
def test_ledger_equals_a_set_in_any_order(batches: list[list[int]], chance: Random) -> None:
    ledger, oracle = Ledger(), set[int]()
    chance.shuffle(batches)
    for batch in batches:
        ledger = ledger.with_ids(batch)
        oracle |= set(batch)
        assert [number for number in range(-7, 63) if number in ledger] == sorted(oracle)
        assert list(ledger) == sorted(oracle)
        assert len(ledger) == len(oracle)


@given(st.sets(ids), st.sets(ids))
def test_ledger_without_another_is_their_difference(known: set[int], other: set[int]) -> None:
    left = Ledger().with_ids(known).without(Ledger().with_ids(other))
    assert left == Ledger().with_ids(known - other)


def test_ledger_is_not_changed_in_place() -> None:
    before = Ledger(((1, 2),))
    assert before.with_ids([3]) == Ledger(((1, 3),))
    assert before == Ledger(((1, 2),))


def test_ledger_that_is_empty_holds_no_id() -> None:
    assert list(Ledger()) == []
    assert len(Ledger()) == 0
    assert 0 not in Ledger()


@given(st.lists(ids))
def test_ranges_are_sorted_disjoint_and_not_adjacent(known: list[int]) -> None:
    ranges = Ledger().with_ids(known).ranges
    assert all(first <= last for first, last in ranges)
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(ranges))


@given(st.lists(st.tuples(ids, st.integers(0, 9))))
def test_ranges_that_touch_or_overlap_are_joined(pairs: list[tuple[int, int]]) -> None:
    ledger = Ledger.of((first, first + more) for first, more in pairs)
    oracle = {number for first, more in pairs for number in range(first, first + more + 1)}
    assert list(ledger) == sorted(oracle)
    assert ledger == Ledger().with_ids(oracle)


def test_ranges_are_few_for_a_year_of_ids() -> None:
    ledger = Ledger().with_ids(set(range(10_000, 110_000)) - {10_288, 55_555})
    assert ledger.ranges == ((10_000, 10_287), (10_289, 55_554), (55_556, 109_999))
    assert len(ledger) == 99_998


@pytest.mark.parametrize("number", [10_000, 10_150, 10_287, 10_290])
def test_ranges_include_both_ends(number: int) -> None:
    assert number in Ledger(((10_000, 10_287), (10_290, 10_290)))


@pytest.mark.parametrize("number", [9_999, 10_288, 10_289, 10_291, 2**80, -1])
def test_ranges_exclude_ids_outside(number: int) -> None:
    assert number not in Ledger(((10_000, 10_287), (10_290, 10_290)))


@given(st.lists(ids))
def test_gaps_are_the_ids_between_the_ranges(known: list[int]) -> None:
    ledger = Ledger().with_ids(known)
    between = set(range(min(known), max(known))) if known else set[int]()
    assert list(ledger.gaps) == sorted(between - set(known))


def test_gaps_may_be_longer_than_a_python_length() -> None:
    assert Ledger().with_ids([-(2**63), 2**63 - 1]).gaps.count == 2**64 - 2


@given(st.lists(ids), ids)
def test_pruning_removes_all_lower_ids_and_no_other(known: list[int], smallest: int) -> None:
    left = Ledger().with_ids(known).from_id(smallest)
    assert left == Ledger().with_ids(number for number in known if number >= smallest)


@pytest.mark.parametrize(
    ("smallest", "left"),
    [
        (10, ((10, 20), (30, 30))),
        (15, ((15, 20), (30, 30))),
        (20, ((20, 20), (30, 30))),
        (21, ((30, 30),)),
        (31, ()),
    ],
)
def test_pruning_shortens_a_range_to_the_smallest_id(
    smallest: int, left: tuple[tuple[int, int], ...]
) -> None:
    assert Ledger(((10, 20), (30, 30))).from_id(smallest).ranges == left
