"""Many deletions of one account are one finding; ordinary work is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from jira_audit.core.review.deletions import MassDeletion
from jira_audit.core.review.people import NOBODY
from tests.core.review import ANNA, ANNA_KEY, BEN, BEN_KEY, leaves, reviewed, row


def found(*rows: dict[str, Any]) -> Sequence[MassDeletion]:
    return reviewed(*rows).deletions


def projects(number: int, every: float = 5, verb: str = "deleted", **how: Any) -> list[Any]:
    return [
        row(5 + n * every, f"Project {verb}", on=("PROJECT", f"P{n}"), **how) for n in range(number)
    ]


@pytest.mark.parametrize("verb", ["deleted", "archived", "trashed"])
def test_ten_projects_within_an_hour_are_one_finding(verb: str) -> None:
    [burst] = found(*projects(10, verb=verb))

    assert (burst.things, burst.who.id, dict(burst.summaries)) == (
        10,
        ANNA,
        {f"Project {verb}": 10},
    )
    assert burst.address == "203.0.113.20"


def test_those_without_an_author_count() -> None:
    [burst] = found(*projects(10, by=None, at=None))

    assert burst.who == NOBODY


def test_nine_are_ordinary() -> None:
    assert found(*projects(9)) == []


def test_thirty_over_a_day_are_found() -> None:
    [burst] = found(*projects(30, every=40))

    assert burst.things == 30


def test_twenty_over_a_day_are_ordinary() -> None:
    assert found(*projects(20, every=60)) == []


def test_two_people_are_not_one() -> None:
    rows = [*projects(5), *projects(5, by=(BEN, BEN_KEY))]

    assert found(*rows) == []


def test_key_and_account_are_one() -> None:
    known = row(500, "Project created")
    rows = [row(5 + n, "Project deleted", on=("PROJECT", f"P{n}")) for n in range(10)]
    for each in rows[::2]:
        del each["authorAccountId_s"]

    assert [burst.things for burst in found(known, *rows)] == [10]
    assert all(each["authorKey_s"] == ANNA_KEY for each in rows)


def test_one_thing_that_is_told_of_ten_times_is_one() -> None:
    assert found(*(row(5 + n, "Project deleted", on=("PROJECT", "P")) for n in range(10))) == []


def test_what_a_project_takes_along_is_not_counted() -> None:
    cascade = [
        row(9 + n / 20, f"{kind} deleted", on=("SCHEME", f"TEST {kind}"), by=None)
        for n, kind in enumerate(["Permission scheme", "Workflow scheme", "Workflow"] * 5)
    ]
    deleted = row(9.5, "Project deleted", on=("PROJECT", "Test"), by=None)

    assert found(deleted, *cascade) == []


def test_old_versions_and_a_leavers_groups_are_ordinary() -> None:
    versions = [row(9 + n, "Project version deleted", on=("VERSION", f"{n}")) for n in range(12)]
    groups = [leaves(5 + n, BEN_KEY, f"group-{n}") for n in range(12)]

    assert found(*versions, *groups) == []


def test_fifty_memberships_are_not() -> None:
    [burst] = found(*(leaves(5 + n / 2, f"ug:{n}", "jira-users") for n in range(50)))

    assert burst.things == 50


def test_long_pause_separates_two() -> None:
    late = [row(1_000 + n, "Project deleted", on=("PROJECT", f"Q{n}")) for n in range(11)]

    assert [burst.things for burst in found(*projects(10), *late)] == [10, 11]
