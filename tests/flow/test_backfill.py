"""What a backfill promises: everything before *from*, once, while the schedule runs."""

from __future__ import annotations

import pytest

from jira_audit.core.errors import SiteError
from jira_audit.core.policy import Policy, Reset
from jira_audit.core.timestamps import DAY, HOUR
from tests.fakes.world import START, World, record
from tests.flow.test_collect import answer_with, ids, raise_error

LONG_AGO = START - 30 * DAY


def world_with_past_records(past: int = 300, recent: int = 40, **how: object) -> World:
    """A site that the schedule has collected for a day, with records of the month before."""
    world = World(**how)  # type: ignore[arg-type]
    world.jira.site.add(
        [record(10_000 + n, LONG_AGO + n * (29 * DAY - 1) // past) for n in range(past)]
        + [record(10_000 + past + n, START - DAY + n * DAY // recent) for n in range(recent)]
    )
    assert world.run().result == "ok"
    assert len(world.rows()) == recent
    return world


def test_backfill_delivers_every_older_record_once() -> None:
    world = world_with_past_records()

    outcome = world.backfill(LONG_AGO)

    assert outcome.result == "ok"
    assert outcome.tally.rows == 300
    assert sorted(world.rows()) == sorted(ids(world))


def test_backfill_reads_nothing_that_the_schedule_has() -> None:
    world = world_with_past_records()
    asked = len(world.jira.requests)

    world.backfill(LONG_AGO, START)

    assert max(each["to"] for each in world.jira.requests[asked:]) < "2026-11-19T12:00:00.000Z"


def test_backfill_leaves_the_first_millisecond_to_the_schedule() -> None:
    world = World()
    begins = START - DAY
    world.jira.site.add(record(n, begins - 2 + n) for n in range(5))
    world.run()

    world.backfill(LONG_AGO)

    assert sorted(world.rows()) == [0, 1, 2, 3, 4]


def test_backfill_leaves_the_schedules_checkpoint_and_lease() -> None:
    world = world_with_past_records()
    before = world.store.blobs["checkpoints/contoso.atlassian.net.json"]
    world.journal.meanwhile[len(world.journal.entries) + 20] = lambda: during.append(world.run())
    during: list[object] = []

    world.backfill(LONG_AGO)

    (tick,) = during
    assert tick.result == "ok"  # type: ignore[attr-defined]
    assert world.store.blobs["checkpoints/contoso.atlassian.net.json"] != before
    assert not world.duplicates()
    assert not world.missing(ids(world))
    assert sorted(world.store.blobs) == [
        "backfills/contoso.atlassian.net.json",
        "checkpoints/contoso.atlassian.net.json",
    ]


def test_backfill_ignores_the_schedules_reset() -> None:
    world = world_with_past_records()
    world.policy = Policy(reset=Reset("all", LONG_AGO))

    world.backfill(START - 10 * DAY)

    assert world.store.backfills().checkpoint().reset is None


def test_backfill_has_no_sweep_and_no_overlap() -> None:
    world = world_with_past_records()
    world.backfill(LONG_AGO)
    world.time.advance(3 * 24 * 3600)
    asked = len(world.jira.requests)

    assert world.backfill(LONG_AGO).result == "ok"

    assert len(world.jira.requests) - asked <= 1


def test_backfill_skips_while_another_runs() -> None:
    world = world_with_past_records()
    during: list[object] = []
    world.journal.meanwhile[len(world.journal.entries) + 20] = lambda: during.append(
        world.backfill(LONG_AGO)
    )

    assert world.backfill(LONG_AGO).result == "ok"

    (other,) = during
    assert other.result == "skipped"  # type: ignore[attr-defined]
    assert not world.duplicates()


def test_backfill_with_nothing_before_from_says_so() -> None:
    world = world_with_past_records()

    with pytest.raises(
        SiteError,
        match=r"nothing to backfill: the running schedule .* from 2026-11-19T12:00",
    ):
        world.backfill(START - HOUR)


def test_backfill_without_a_checkpoint_fails() -> None:
    with pytest.raises(SiteError, match="has no checkpoint, so the end of a backfill is unknown"):
        World().backfill(LONG_AGO)


def test_backfill_counts_its_progress() -> None:
    world = world_with_past_records()

    world.backfill(LONG_AGO)

    reached = world.tally.positions
    assert reached[0] == LONG_AGO
    assert reached == sorted(reached)
    assert START - DAY - 29 * DAY < reached[-1] < START - DAY


def test_backfill_keeps_dead_letters_for_one_replay() -> None:
    world = world_with_past_records()
    world.sink.poison = {10_007}
    world.backfill(LONG_AGO)
    world.sink.poison = set()

    assert len(world.replay().sent) == 1
    world.backfill(LONG_AGO)

    assert not world.duplicates()
    assert not world.missing(ids(world))


def test_backfill_resumes_after_an_interruption() -> None:
    world = world_with_past_records(batch_bytes=2_000)
    world.jira.faults.at[world.jira.faults.calls + 25] = raise_error(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        world.backfill(LONG_AGO)
    delivered = len(world.rows())

    outcome = world.backfill(LONG_AGO)

    assert 40 < delivered < 340
    assert min(world.tally.positions) > LONG_AGO
    assert outcome.result == "ok"
    assert not world.duplicates()
    assert not world.missing(ids(world))


def test_backfill_resumes_after_a_failure() -> None:
    world = world_with_past_records(batch_bytes=2_000)
    world.jira.faults.at[world.jira.faults.calls + 25] = answer_with(403)

    outcome = world.backfill(LONG_AGO)

    assert outcome.result == "failed"
    assert isinstance(outcome.error, SiteError)
    assert world.backfill(LONG_AGO).result == "ok"
    assert not world.duplicates()
    assert not world.missing(ids(world))


@pytest.mark.parametrize("when", ["before", "after"])
def test_backfill_that_crashes_anywhere_loses_nothing(when: str) -> None:
    world = world_with_past_records(past=60, batch_bytes=2_000)
    entries = len(world.journal.entries)
    blobs, table, sent = dict(world.store.blobs), list(world.sink.table), list(world.sink.sent)
    world.backfill(LONG_AGO)
    effects = len(world.journal.entries) - entries
    assert effects > 30
    for number in range(effects):
        world.store.blobs.clear()
        world.store.blobs |= blobs
        world.sink.table[:], world.sink.sent[:] = table, sent
        world.time.advance(61)
        world.journal.entries.clear()
        world.journal.die = (number, when)  # type: ignore[assignment]
        world.run_until_crash(lambda: world.backfill(LONG_AGO))

        assert world.backfill(LONG_AGO).result == "ok"
        assert not world.missing(ids(world))
        assert world.duplicate_bytes() <= 4 * 2_000


def test_start_moved_earlier_delivers_only_the_new_range() -> None:
    world = world_with_past_records()
    world.backfill(START - 10 * DAY)
    so_far = len(world.rows())

    outcome = world.backfill(LONG_AGO)

    assert 40 < so_far < 340
    assert outcome.tally.rows == 340 - so_far
    assert not world.duplicates()
    assert not world.missing(ids(world))


def test_start_within_the_range_read_reads_nothing_again() -> None:
    world = world_with_past_records()
    world.backfill(LONG_AGO, START - 10 * DAY)

    world.backfill(START - 20 * DAY)

    assert min(world.tally.positions) == START - 10 * DAY
    assert not world.duplicates()
    assert not world.missing(ids(world))


def test_start_after_the_range_read_skips_the_gap() -> None:
    world = world_with_past_records()
    world.backfill(LONG_AGO, START - 25 * DAY)

    world.backfill(START - 10 * DAY)

    assert min(world.tally.positions) == START - 10 * DAY
    world.backfill(LONG_AGO)
    assert not world.duplicates()
    assert not world.missing(ids(world))


def test_end_bounds_the_backfill() -> None:
    world = world_with_past_records()
    end = START - 10 * DAY

    world.backfill(LONG_AGO, end)

    filled_in = [row["created_t"] for row in world.sink.table[40:]]
    assert filled_in
    assert max(filled_in) <= "2026-11-10T12:00:00.000Z"
    assert not world.missing(
        known["id"] for known in world.jira.site.records if known["created"] < "2026-11-10T12"
    )
