"""What is unusual for an account: a new address, a new account, an odd hour."""

from __future__ import annotations

from typing import Any

import pytest

from jira_audit.core.timestamps import DAY, HOUR
from jira_audit.core.window import Window
from tests.core.review import ANNA, BEN, BEN_KEY, NOW, reviewed, row

A_DAY = 24 * 60


def work(days: int = 20, hour: int = 11, **how: Any) -> list[dict[str, Any]]:
    """Two events on each of the days before, within one hour (UTC)."""
    return [
        row(day * A_DAY + (12 - hour) * 60 - minute, "Workflow updated", "workflows", **how)
        for day in range(1, days + 1)
        for minute in (10, 50)
    ]


# Addresses


def test_networks_count_their_events_and_accounts() -> None:
    rows = [*work(3), row(9, "Project created", at="203.0.113.99", by=(BEN, BEN_KEY))]

    [network] = reviewed(*rows).networks

    assert (network.network, network.events) == ("203.0.113.0/24", 7)
    assert [who.id for who in network.accounts] == [ANNA, BEN]


def test_network_of_before_the_range_is_not_listed_and_not_new() -> None:
    rows = [*work(20), row(5, "Project created")]

    [network] = reviewed(*rows, window=Window(NOW - HOUR, NOW)).networks

    assert (network.events, network.is_new) == (1, False)


def test_network_that_was_never_used_is_new_and_comes_first() -> None:
    rows = [*work(20), row(5, "Project created", at="198.51.100.7, 203.0.113.20")]

    assert [(each.network, each.is_new) for each in reviewed(*rows).networks] == [
        ("198.51.100.0/24", True),
        ("203.0.113.0/24", False),
    ]


@pytest.mark.parametrize(
    ("usual", "later"),
    [
        ("201.203.6.139", "201.203.6.220"),
        ("2001:db8:12:34:1:1:2:3", "2001:db8:12:34:9999:1:2:3"),
    ],
)
def test_other_address_of_the_same_network_is_not_new(usual: str, later: str) -> None:
    rows = [*work(20, at=usual), row(5, "Project created", at=later)]

    assert [each.is_new for each in reviewed(*rows).networks] == [False]


def test_private_network_is_not_new() -> None:
    rows = [*work(20), row(5, "Project created", at="10.83.62.36")]

    assert [each.is_private for each in reviewed(*rows).networks] == [False, True]
    assert not any(each.is_new for each in reviewed(*rows).networks)


def test_address_that_is_none_stands_for_itself() -> None:
    assert [each.network for each in reviewed(row(5, "x", at="<b>here</b>")).networks] == [
        "<b>here</b>"
    ]


# Accounts


def test_account_that_acts_for_the_first_time_is_found() -> None:
    rows = [*work(20), row(5, "Permission scheme updated", by=(BEN, BEN_KEY))]

    [seen] = reviewed(*rows).first_seen

    assert (seen.who.id, seen.summary, seen.address) == (
        BEN,
        "Permission scheme updated",
        "203.0.113.20",
    )


def test_account_of_before_the_range_is_not_new() -> None:
    rows = [*work(20), *work(2, by=(BEN, BEN_KEY)), row(5, "x", by=(BEN, BEN_KEY))]

    assert reviewed(*rows, window=Window(NOW - HOUR, NOW)).first_seen == []


def test_nothing_is_new_where_the_rows_are_of_a_few_days() -> None:
    found = reviewed(*work(5), row(5, "x", by=(BEN, BEN_KEY), at="198.51.100.7"))

    assert not found.can_tell_what_is_new
    assert found.first_seen == []
    assert not any(each.is_new for each in found.networks)


# Hours


def test_event_at_an_hour_of_no_other_day_is_odd() -> None:
    at_night = row(9 * 60, "Permission scheme updated")

    [odd] = reviewed(*work(20), at_night).odd_hours

    assert (odd.who.id, odd.at, odd.events) == (ANNA, NOW - 9 * HOUR, 1)


@pytest.mark.parametrize("minutes_ago", [30, 60 * 1.5, 120, 24 * 60])
def test_event_near_the_usual_hour_is_not(minutes_ago: float) -> None:
    assert reviewed(*work(20), row(minutes_ago, "x")).odd_hours == []


@pytest.mark.parametrize("days", [4, 9])
def test_account_with_few_events_has_no_usual_hours(days: int) -> None:
    assert reviewed(*work(days), row(9 * 60, "x")).odd_hours == []


def test_shift_that_moves_is_not_odd() -> None:
    nights = [row(day * A_DAY + 9 * 60, "x") for day in range(3)]

    assert reviewed(*work(20), *nights).odd_hours == []


def test_night_across_midnight_is_one() -> None:
    nights = [row(60 * 12 + 20, "x"), row(60 * 12 - 20, "x")]  # 23:40 and 00:20

    assert len(reviewed(*work(20), *nights).odd_hours) == 2


def test_heat_counts_events_with_an_author_by_weekday_and_hour() -> None:
    rows = [row(30, "x"), row(40, "x"), row(30, "x", by=None), row(DAY, "x")]

    assert reviewed(*rows, window=Window(NOW - DAY, NOW)).heat == {(4, 11): 2}
