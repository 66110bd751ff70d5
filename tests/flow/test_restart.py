"""Ids that restarted: the site was deleted and made anew under its name, or a sandbox refreshed.

Its new records have ids that the ledger has, so to skip them would lose them. The finding is stored
before anything of the new log is delivered, and only a reset ends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from jira_audit.core import timestamps
from jira_audit.core.errors import TransientError
from jira_audit.core.policy import Reset
from jira_audit.core.timestamps import HOUR, MINUTE
from jira_audit.simulator.site import FakeJira
from tests.fakes.world import START, TOKEN, USERNAME, World, record
from tests.flow.test_collect import raise_error

pytestmark = pytest.mark.orders
NEW = {"summary": "Written by the new site"}


def delivered_world() -> World:
    """A site whose records were delivered, an hour ago."""
    world = World(page_size=100, batch_bytes=20_000)
    world.jira.site.add(record(10_000 + n, START - 3 * HOUR + n * 10_000) for n in range(1000))
    assert world.run().result == "ok"
    world.time.advance(3600)
    return world


def restarted(count: int, first_id: int = 10_000) -> World:
    """The same host with a new log of `count` records, written over the last 40 minutes."""
    world = delivered_world()
    world.jira.site = FakeJira(USERNAME, TOKEN, 1000)
    begins = world.time.now - 40 * MINUTE
    gap = 39 * MINUTE // count
    world.jira.site.add(record(first_id + n, begins + n * gap, **NEW) for n in range(count))
    return world


def new_rows(world: World) -> list[int]:
    return [row["id_d"] for row in world.sink.table if row["summary_s"] == NEW["summary"]]


@pytest.mark.parametrize("count", [2, 90, 250, 650, 2500])
def test_restart_fails_every_run_and_delivers_nothing_of_the_new_log(count: int) -> None:
    world = restarted(count)

    for _ in range(4):
        outcome = world.run()
        assert outcome.result == "failed"
        assert "the site's ids have restarted" in str(outcome.error)
        assert "CHECKPOINT_RESET" in str(outcome.error)
        world.time.advance(300)

    assert not new_rows(world)
    assert world.store.checkpoint().halted


def test_restart_still_fails_after_a_day_and_a_sweep() -> None:
    world = restarted(250)
    for _ in range(3):
        assert world.run().result == "failed"
        world.time.advance(25 * 3600)
        now = world.time.now
        world.jira.site.add(
            record(10_250 + world.journal.entries.count("take") * 50 + n, now - n)
            for n in range(50)
        )

    assert not new_rows(world)


@pytest.mark.parametrize("count", [250, 2500])
def test_restart_ends_with_the_reset_that_its_error_names(count: int) -> None:
    world = restarted(count)
    error = str(world.run().error)
    world.time.advance(300)
    world.run()
    moment = error.partition("Set CHECKPOINT_RESET to ")[2].partition(" ")[0]

    world.policy = replace(world.policy, reset=Reset(moment, timestamps.parse(moment)))
    for _ in range(2):
        assert world.run().result == "ok"
        world.time.advance(300)

    rows = new_rows(world)
    assert sorted(rows) == [10_000 + n for n in range(count)]
    assert world.store.checkpoint().halted is None


def test_restart_is_stored_before_a_crash_can_hide_it() -> None:
    effects = restarted(250)
    effects.journal.entries.clear()
    effects.run()
    for number in range(len(effects.journal.entries)):
        for when in ("before", "after"):
            world = restarted(250)
            world.journal.entries.clear()
            world.journal.die = (number, when)
            world.run_until_crash()

            assert world.run().result == "failed"
            assert not new_rows(world)


def test_restart_that_cannot_be_stored_delivers_nothing() -> None:
    world = restarted(250)
    world.store.faults.always = raise_error(TransientError("storage is away"))
    assert world.run().result == "failed"

    world.store.faults.always = None
    world.time.advance(61)  # the lease was left to expire
    assert world.run().result == "failed"
    assert not new_rows(world)


def test_restart_is_known_to_verify_without_a_table() -> None:
    world = restarted(250)
    world.run()

    findings = world.verify(world.time.now - HOUR).findings

    assert findings.verdict != "complete"
    assert findings.count("delivered") == 0


def test_restart_that_no_run_has_seen_is_known_to_verify() -> None:
    world = restarted(250)

    assert world.verify(world.time.now - HOUR).findings.count("delivered") == 0


def restarted_slowly(old: Sequence[int], new: Sequence[int], gap: int) -> World:
    """A new log of one record in `gap` milliseconds, until a run fails; no run has read two."""
    world = World(page_size=100)
    world.jira.site.add(record(n, START - 3 * HOUR + place) for place, n in enumerate(old))
    assert world.run().result == "ok"
    world.jira.site = FakeJira(USERNAME, TOKEN, 1000)
    for record_id in new:
        for _ in range(2):  # the first run leaves the record before behind
            world.time.advance(gap // 2000)
            if world.run().result == "failed":
                return world
        world.jira.site.add([record(record_id, world.time.now - 1, **NEW)])
        if world.run().result == "failed":
            break
    return world


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (range(10_000, 10_003), range(10_000, 10_008)),
        (range(10_000, 10_200, 2), range(10_000, 10_020)),
        (range(100, 110), range(95, 130)),
        (range(10_000, 11_000), range(10_998, 11_005)),
    ],
    ids=["few were delivered", "every second", "ids below", "the last ids"],
)
@pytest.mark.parametrize("gap", [40 * MINUTE, 3 * HOUR])
def test_restart_of_a_quiet_site_is_found_over_several_runs(
    old: Sequence[int], new: Sequence[int], gap: int
) -> None:
    world = restarted_slowly(old, new, gap)
    outcome = world.run()
    assert "the site's ids have restarted" in str(outcome.error)
    shown = [known["id"] for known in world.jira.site.records]
    findings = world.verify(START, world.time.now).findings
    assert findings.count("delivered") == len(new_rows(world))
    assert findings.count("missing") + findings.count("pending") >= 1

    moment = str(outcome.error).partition("Set CHECKPOINT_RESET to ")[2].partition(" ")[0]
    world.policy = replace(world.policy, reset=Reset(moment, timestamps.parse(moment)))
    assert world.run().result == "ok"

    assert set(new_rows(world)) == set(shown)


def test_restart_over_two_windows_names_the_moment_of_the_first() -> None:
    world = delivered_world()
    world.jira.site = FakeJira(USERNAME, TOKEN, 1000)
    begins = world.time.now
    world.time.advance(6 * 3600)
    world.jira.site.add(record(10_000 + n, begins + n * 4 * HOUR, **NEW) for n in range(2))

    error = str(world.run().error)

    moment = error.partition("Set CHECKPOINT_RESET to ")[2].partition(" ")[0]
    assert timestamps.parse(moment) <= begins
    world.policy = replace(world.policy, reset=Reset(moment, timestamps.parse(moment)))
    assert world.run().result == "ok"
    assert sorted(new_rows(world)) == [10_000, 10_001]


@pytest.mark.parametrize("later_ms", [1, 1_000, 60_000])
def test_one_record_with_a_later_created_is_no_restart(later_ms: int) -> None:
    world = World(page_size=100)
    world.jira.site.add(record(10_000 + n, START - 21 * MINUTE + n * 10_000) for n in range(120))
    assert world.run().result == "ok"
    world.time.advance(300)
    newest = max(world.jira.site.records, key=lambda known: str(known["created"]))
    moved = timestamps.text(timestamps.parse(newest["created"]) + later_ms).replace("Z", "+0000")
    world.jira.tamper[newest["id"]] = lambda known: {**known, "created": moved}
    world.jira.site.add([record(20_000, world.time.now - 1_000)])

    for _ in range(6):
        assert world.run().result == "ok"
        world.time.advance(300)

    assert not world.missing([20_000])
    assert not world.duplicates()


def test_new_rows_are_not_held_back_where_a_delivered_record_is_still_shown() -> None:
    """A backlog after an outage: the overlap proves the log before its first full batch."""
    world = delivered_world()
    begins = world.time.now
    world.time.advance(6 * 3600)
    world.jira.site.add(record(11_000 + n, begins + n * 10_000) for n in range(2_000))
    world.jira.site.add([record(9_999, begins - 60 * MINUTE - 1)])

    assert world.run().result == "ok"

    entries = world.journal.entries
    assert entries.index("send") < len(entries) // 2
    assert not world.missing(range(11_000, 13_000))
    assert not world.duplicates()


def test_dead_letter_of_the_new_log_is_stored_beside_one_with_its_id() -> None:
    world = World(page_size=100)
    world.sink.poison = {10_005}
    world.jira.site.add(record(10_000 + n, START - 50 * MINUTE + n) for n in range(10))
    world.run()
    world.time.advance(3600)
    world.jira.site = FakeJira(USERNAME, TOKEN, 1000)
    begins = world.time.now - 40 * MINUTE
    world.jira.site.add(record(10_000 + n, begins + n, **NEW) for n in range(10))
    error = str(world.run().error)
    moment = error.partition("Set CHECKPOINT_RESET to ")[2].partition(" ")[0]
    world.policy = replace(world.policy, reset=Reset(moment, timestamps.parse(moment)))

    outcome = world.run()

    assert outcome.tally.letters == 1
    summaries = {letter["record"]["summary"] for letter in world.store.letters()}
    assert summaries == {"Thing 10005 changed", NEW["summary"]}
