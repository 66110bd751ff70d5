"""Which sites a tick queues: those that are neither running nor already queued."""

from __future__ import annotations

import pytest

from jira_audit.core import timestamps
from jira_audit.core.queueing import CLOCK_SKEW, PENDING, LeaseState, due
from jira_audit.core.timestamps import MINUTE

NOW = timestamps.parse("2026-11-25T12:00:00Z")
A, B = "a.atlassian.net", "b.atlassian.net"


def test_sites_that_were_never_collected_are_due_in_their_order() -> None:
    assert due([B, A], {}, {}, NOW) == [B, A]


def test_a_site_that_is_running_is_left_alone() -> None:
    assert due([A, B], {A: LeaseState(NOW, leased=True)}, {}, NOW) == [B]


def test_a_site_that_waits_in_the_queue_is_left_alone() -> None:
    leases = {A: LeaseState(NOW - 30 * MINUTE, leased=False)}

    assert due([A, B], leases, {A: NOW - 5 * MINUTE, B: NOW - 5 * MINUTE}, NOW) == []


def test_a_site_that_was_collected_since_it_was_queued_is_due() -> None:
    leases = {A: LeaseState(NOW - 4 * MINUTE, leased=False)}

    assert due([A], leases, {A: NOW - 5 * MINUTE}, NOW) == [A]


@pytest.mark.parametrize(("age", "found"), [(PENDING - 1, []), (PENDING, [A])])
def test_a_message_that_is_older_than_any_gets_is_not_waited_for(
    age: int, found: list[str]
) -> None:
    assert due([A], {}, {A: NOW - age}, NOW) == found


def test_a_storage_clock_that_is_behind_holds_no_site_back() -> None:
    queued = NOW - 5 * MINUTE
    leases = {A: LeaseState(queued - CLOCK_SKEW, leased=False)}

    assert due([A], leases, {A: queued}, NOW) == [A]


def test_a_moment_in_the_future_is_not_waited_for() -> None:
    assert due([A], {}, {A: NOW + MINUTE}, NOW) == [A]
