"""Which sites a tick queues: those that are neither running nor already queued."""

from __future__ import annotations

import pytest

from jira_audit.core import timestamps
from jira_audit.core.queueing import CLOCK_SKEW, PENDING, LeaseState, due
from jira_audit.core.timestamps import MINUTE

NOW = timestamps.parse("2026-11-25T12:00:00Z")
A, B = "a.atlassian.net", "b.atlassian.net"


def test_sites_never_collected_are_due_in_their_order() -> None:
    assert due([B, A], {}, {}, NOW) == [B, A]


def test_site_that_is_running_is_not_due() -> None:
    assert due([A, B], {A: LeaseState(NOW, leased=True)}, {}, NOW) == [B]


def test_site_in_the_queue_is_not_due() -> None:
    leases = {A: LeaseState(NOW - 30 * MINUTE, leased=False)}

    assert due([A, B], leases, {A: NOW - 5 * MINUTE, B: NOW - 5 * MINUTE}, NOW) == []


def test_site_collected_since_it_was_queued_is_due() -> None:
    leases = {A: LeaseState(NOW - 4 * MINUTE, leased=False)}

    assert due([A], leases, {A: NOW - 5 * MINUTE}, NOW) == [A]


@pytest.mark.parametrize(("age", "found"), [(PENDING - 1, []), (PENDING, [A])])
def test_site_with_an_expired_message_is_due(age: int, found: list[str]) -> None:
    assert due([A], {}, {A: NOW - age}, NOW) == found


def test_site_is_due_though_the_storage_clock_is_behind() -> None:
    queued = NOW - 5 * MINUTE
    leases = {A: LeaseState(queued - CLOCK_SKEW, leased=False)}

    assert due([A], leases, {A: queued}, NOW) == [A]


def test_site_with_a_moment_in_the_future_is_due() -> None:
    assert due([A], {}, {A: NOW + MINUTE}, NOW) == [A]
