"""The central guarantee: a run that crashes before or after any effect loses nothing.

Every effect of a run over several windows and batches is a crash point. After each crash, no record
up to *through* is missing. After the next run, no record is missing, and the only duplicates are
rows of the batches in flight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

import pytest

from jira_audit.core.timestamps import HOUR, MINUTE
from tests.fakes.world import START, Lazy, World, record

pytestmark = pytest.mark.orders  # a request is a place to die

WHEN: tuple[Literal["before"], Literal["after"]] = ("before", "after")
BATCH_BYTES = 2_600
POISON, UNREADABLE, LATE = 10_031, 10_047, 10_059


def busy_world(in_flight: int) -> World:
    """A site with records for five windows, one of them unreadable and one refused."""
    world = World(page_size=12, in_flight=in_flight, batch_bytes=BATCH_BYTES, lookback=5 * HOUR)
    gap = 4 * HOUR // 120
    world.jira.site.add(
        record(10_000 + n, START - 4 * HOUR + n * gap) for n in range(120) if 10_000 + n != LATE
    )
    world.jira.tamper[UNREADABLE] = lambda known: {**known, "created": "yesterday"}
    world.sink.poison.add(POISON)
    world.jira.seconds = 3.0  # so that the lease must be renewed during the run
    return world


def second_tick(in_flight: int) -> World:
    """The same site after a first run, with new records, a late one and a sweep that is due."""
    world = busy_world(in_flight)
    world.run()
    world.time.advance(25 * 3600)
    world.jira.site.add([record(LATE, START - 2 * HOUR)])
    now = world.time.now
    world.jira.site.add(record(10_120 + n, now - HOUR + n * MINUTE) for n in range(50))
    world.journal.entries.clear()
    return world


def ids(world: World) -> set[int]:
    return {known["id"] for known in world.jira.site.records}


def check_after_crash(world: World, in_flight: int) -> None:
    """What must hold immediately, and after the next run."""
    if world.store.blobs:
        through = world.store.checkpoint().through
        passed = {
            known["id"]
            for known in world.jira.site.records
            if known["created"] <= _jira_time(through)
        }
        assert not world.missing(passed - {LATE}), "through has passed what was not dealt with"
    outcome = world.run()
    assert outcome.result == "ok", outcome.error
    assert not world.missing(ids(world))
    assert world.duplicate_bytes() <= in_flight * BATCH_BYTES


def _jira_time(timestamp_ms: int) -> str:
    return str(record(0, timestamp_ms)["created"])


def effects(make: Callable[[int], World], in_flight: int) -> list[str]:
    world = make(in_flight)
    assert world.run().result == "ok"
    assert not world.missing(ids(world))
    assert not world.duplicates()
    return world.journal.entries


def crashes(make: Callable[[int], World], in_flight: int) -> Iterator[World]:
    """The world after each possible crash, with executors of alternating order."""
    orders: list[Literal["first", "last", "only"]] = ["first", "last", "only"]
    for number in range(len(effects(make, in_flight))):
        for when in WHEN:
            world = make(in_flight)
            world.executor = partial(Lazy, orders[number % 3])
            world.journal.die = (number, when)
            world.run_until_crash()
            yield world


def check_every_crash(make: Callable[[int], World], in_flight: int) -> None:
    for world in crashes(make, in_flight):
        check_after_crash(world, in_flight)


@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize("make", [busy_world, second_tick])
def test_crash_anywhere_duplicates_at_most_the_batches_in_flight(
    make: Callable[[int], World], in_flight: int
) -> None:
    check_every_crash(make, in_flight)


@pytest.mark.parametrize("make", [busy_world, second_tick])
def test_crash_points_include_every_kind_of_effect(make: Callable[[int], World]) -> None:
    kinds = set(effects(make, 4))

    assert kinds >= {"take", "load", "fetch", "send", "save", "renew", "keep", "release"} - (
        {"keep"} if make is second_tick else set()
    )
    assert effects(make, 4).count("send") >= 4
    assert effects(make, 4).count("save") >= 2
