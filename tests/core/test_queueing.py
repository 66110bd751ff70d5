"""Which sites a tick queues: those that are neither running nor already queued."""

from __future__ import annotations

import pytest

from jira_audit.core import timestamps
from jira_audit.core.queueing import (
    CLOCK_SKEW,
    PENDING,
    LeaseState,
    Unanswered,
    after_queueing,
    due,
    unsaved,
)
from jira_audit.core.timestamps import DAY, MINUTE

NOW = timestamps.parse("2026-11-25T12:00:00Z")
A, B = "a.atlassian.net", "b.atlassian.net"


def sent(*, ago: int, first: int | None = None) -> Unanswered:
    """A message sent `ago`, and its site's first since a save."""
    return Unanswered(NOW - (ago if first is None else first), NOW - ago)


def test_sites_never_collected_are_due_in_their_order() -> None:
    assert due([B, A], {}, {}, NOW) == [B, A]


def test_site_that_is_running_is_not_due() -> None:
    assert due([A, B], {A: LeaseState(NOW, leased=True)}, {}, NOW) == [B]


def test_site_in_the_queue_is_not_due() -> None:
    leases = {A: LeaseState(NOW - 30 * MINUTE, leased=False)}

    assert due([A, B], leases, {A: sent(ago=5 * MINUTE), B: sent(ago=5 * MINUTE)}, NOW) == []


def test_site_collected_since_it_was_queued_is_due() -> None:
    leases = {A: LeaseState(NOW - 4 * MINUTE, leased=False)}

    assert due([A], leases, {A: sent(ago=5 * MINUTE)}, NOW) == [A]


@pytest.mark.parametrize(("age", "found"), [(PENDING - 1, []), (PENDING, [A])])
def test_site_with_an_expired_message_is_due(age: int, found: list[str]) -> None:
    assert due([A], {}, {A: sent(ago=age)}, NOW) == found


def test_site_is_due_though_the_storage_clock_is_behind() -> None:
    queued = NOW - 5 * MINUTE
    leases = {A: LeaseState(queued - CLOCK_SKEW, leased=False)}

    assert due([A], leases, {A: sent(ago=5 * MINUTE)}, NOW) == [A]


def test_site_with_a_moment_in_the_future_is_due() -> None:
    assert due([A], {}, {A: sent(ago=-MINUTE)}, NOW) == [A]


@pytest.mark.parametrize(("age", "found"), [(DAY, []), (DAY + 1, [A])])
def test_lease_that_outlives_every_run_is_due(age: int, found: list[str]) -> None:
    assert due([A], {A: LeaseState(NOW - age, leased=True)}, {}, NOW) == found


def test_stale_lease_is_queued_once_at_a_time() -> None:
    leases = {A: LeaseState(NOW - 2 * DAY, leased=True)}

    assert due([A], leases, {A: sent(ago=5 * MINUTE)}, NOW) == []


def test_first_message_is_remembered_until_a_save() -> None:
    queued = {A: sent(ago=20 * MINUTE, first=DAY), B: sent(ago=20 * MINUTE, first=DAY)}
    leases = {A: LeaseState(NOW - 2 * DAY, leased=False), B: LeaseState(NOW - MINUTE, leased=False)}

    after = after_queueing([A, B], [A, B], leases, queued, NOW)

    assert after == {A: Unanswered(NOW - DAY, NOW), B: Unanswered(NOW, NOW)}


def test_site_that_is_not_queued_keeps_its_messages() -> None:
    queued = {A: sent(ago=5 * MINUTE), B: sent(ago=5 * MINUTE)}

    assert after_queueing([A], [], {}, queued, NOW) == {A: queued[A]}


@pytest.mark.parametrize(
    ("lease", "first", "found"),
    [
        (LeaseState(NOW - 3 * DAY, leased=False), DAY + 1, [A]),
        (LeaseState(NOW - 3 * DAY, leased=False), DAY, []),  # the app was stopped until yesterday
        (LeaseState(NOW - 2 * DAY, leased=False), 3 * DAY, []),  # a schedule of one tick in days
        (LeaseState(NOW - MINUTE, leased=False), 2 * DAY, []),
        (LeaseState(NOW - DAY - 1, leased=True), None, [A]),
        (LeaseState(NOW - DAY, leased=True), None, []),
        (None, DAY + 1, [A]),  # never saved, whatever its messages
        (None, DAY, []),
        (None, None, []),  # new
    ],
)
def test_site_that_is_not_saved_for_a_day_is_named(
    lease: LeaseState | None, first: int | None, found: list[str]
) -> None:
    leases = {A: lease} if lease else {}
    queued = {A: sent(ago=MINUTE, first=first)} if first else {}

    assert list(unsaved([A, B], leases, queued, NOW)) == found


def test_blob_saved_in_the_future_answers_no_message() -> None:
    leases = {A: LeaseState(NOW + 2 * DAY, leased=False)}

    assert unsaved([A], leases, {A: sent(ago=MINUTE, first=2 * DAY)}, NOW) == {A: NOW - 2 * DAY}
