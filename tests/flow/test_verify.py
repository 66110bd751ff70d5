"""A verification says of every record that Jira shows what became of it; a repair sends what is
missing, once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

import pytest

from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.completeness import RecordStatus
from jira_audit.core.errors import SiteError, TransientError
from jira_audit.core.ledger import Ledger
from jira_audit.core.policy import Reset
from jira_audit.core.timestamps import DAY, HOUR, MINUTE
from jira_audit.operations.verify import Verified
from jira_audit.simulator.site import Response
from tests.fakes.world import HOST, START, World, record
from tests.flow.test_backfill import LONG_AGO, world_with_past_records
from tests.flow.test_collect import (
    accept_then_raise,
    answer_with,
    ids,
    raise_error,
    world_with,
)

pytestmark = pytest.mark.orders  # it reads Jira as a run does, and may be refused half-way

BLOB = f"checkpoints/{HOST}.json"


def statuses(verified: Verified) -> dict[RecordStatus, set[int]]:
    """The ids of each status that any record has."""
    by_status = verified.findings.by_status
    return {status: set(its) for status, its in by_status.items() if its.ranges}


def edit_checkpoint(
    world: World, change: Callable[[Checkpoint], Checkpoint], name: str = BLOB
) -> None:
    """Change what is stored, as a fault would."""
    store = world.store if name == BLOB else world.store.backfills()
    world.store.blobs[name] = change(store.checkpoint()).encode(world.time.now)


def lose_records(world: World, *lost: int) -> None:
    """Rows and ledger without these, as if the connector had never seen them."""
    world.sink.table = [row for row in world.sink.table if row["id_d"] not in lost]
    edit_checkpoint(world, lambda place: place.without(Ledger().with_ids(lost)))


def settled_world() -> World:
    """A site of 100 records, collected, and two days later with everything dealt with."""
    world = world_with(100)
    world.run()
    world.time.advance(2 * 24 * 3600)
    world.run()
    return world


# What is found


@pytest.mark.parametrize("table", [False, True])
def test_missing_records_are_none_after_good_runs(table: bool) -> None:
    world = settled_world()

    verified = world.verify(START - DAY, table=table)

    assert statuses(verified) == {"in table" if table else "delivered": ids(world)}
    assert verified.findings.verdict == "complete"
    assert set(verified.findings.in_jira) == ids(world)


@pytest.mark.parametrize("table", [False, True])
def test_missing_records_are_named(table: bool) -> None:
    world = settled_world()
    lose_records(world, 10_007, 10_008, 10_050)

    verified = world.verify(START - DAY, table=table)

    assert statuses(verified)["missing"] == {10_007, 10_008, 10_050}
    assert verified.findings.verdict == "missing"
    assert world.tally.waited_for == []  # no ledger says that these were accepted


def test_missing_records_after_acceptance_show_in_the_table_only() -> None:
    world = settled_world()
    world.table.dropped = {10_007}

    assert world.verify(START - DAY).findings.verdict == "complete"
    assert statuses(world.verify(START - DAY, table=True))["missing"] == {10_007}


def test_missing_records_include_a_deleted_dead_letter() -> None:
    world = world_with(100)
    world.sink.poison = {10_020}
    world.run()
    world.time.advance(2 * 24 * 3600)
    world.run()
    world.store.blobs = {n: b for n, b in world.store.blobs.items() if "dead" not in n}

    assert statuses(world.verify(START - DAY, table=True))["missing"] == {10_020}


def test_missing_records_include_one_shown_too_late() -> None:
    world = settled_world()
    world.jira.site.add([record(9_999, world.time.now - 40 * HOUR)])

    assert statuses(world.verify(START - DAY))["missing"] == {9_999}


def test_dead_letters_are_not_missing() -> None:
    world = world_with(100)
    world.sink.poison = {10_020}
    world.run()

    for table in (False, True):
        verified = world.verify(START - DAY, table=table)
        assert statuses(verified)["dead letter"] == {10_020}
        assert verified.findings.verdict == "complete"


def test_dead_letters_are_searched_for_records_without_identity() -> None:
    world = world_with(100)
    world.jira.tamper[10_030] = lambda r: {k: v for k, v in r.items() if k != "id"}
    world.run()
    world.time.advance(2 * 24 * 3600)
    world.run()

    verified = world.verify(START - DAY)
    assert set(verified.findings.nameless.values()) == {"dead letter"}
    assert verified.findings.verdict == "complete"

    world.store.blobs = {n: b for n, b in world.store.blobs.items() if "dead" not in n}
    verified = world.verify(START - DAY)
    assert set(verified.findings.nameless.values()) == {"missing"}
    assert verified.findings.verdict == "missing"


def test_status_is_pending_after_the_last_run() -> None:
    world = world_with(100)
    world.run()
    world.time.advance(120)
    world.jira.site.add([record(10_100, world.time.now - MINUTE)])

    for table in (False, True):
        verified = world.verify(START - DAY, table=table)
        assert statuses(verified)["pending"] == {10_100}
        assert verified.findings.verdict == "complete"


def test_status_is_pending_for_a_late_record_until_delivered() -> None:
    world = settled_world()
    late = [record(9_999, world.time.now - 20 * HOUR)]
    world.jira.site.add(late)

    assert statuses(world.verify(START - DAY))["pending"] == {9_999}

    for _ in range(26):
        world.time.advance(3600)
        world.run()
    assert statuses(world.verify(START - DAY)) == {"delivered": ids(world)}


def test_status_is_unknown_before_from_without_a_table() -> None:
    world = world_with_past_records()
    past = {known["id"] for known in world.jira.site.records} - set(world.rows())

    assert statuses(world.verify(LONG_AGO))["unknown"] == past
    assert world.verify(LONG_AGO).findings.verdict == "unknown"
    assert statuses(world.verify(LONG_AGO, table=True))["missing"] == past


def test_status_is_unknown_where_pruned_without_a_table() -> None:
    world = settled_world()
    edit_checkpoint(
        world,
        lambda place: replace(place, ledger=place.ledger.from_id(10_050), pruned=START - 2 * HOUR),
    )

    forgotten = {number for number in ids(world) if number < 10_050}
    assert statuses(world.verify(START - DAY))["unknown"] == forgotten
    assert statuses(world.verify(START - DAY, table=True)) == {"in table": ids(world)}


def test_status_is_delivered_after_a_backfill() -> None:
    world = world_with_past_records()
    world.backfill(LONG_AGO)

    assert statuses(world.verify(LONG_AGO)) == {"delivered": ids(world)}
    assert statuses(world.verify(LONG_AGO, table=True)) == {"in table": ids(world)}


def test_status_is_delivered_by_the_table_after_a_reset() -> None:
    world = settled_world()
    world.run(reset=Reset("x", START))

    assert world.verify(START - DAY, START - 1).findings.verdict == "unknown"
    assert world.verify(START - DAY, START - 1, table=True).findings.verdict == "complete"


def test_duplicates_are_counted() -> None:
    world = settled_world()
    world.sink.table += world.sink.table[3:5]

    verified = world.verify(START - DAY, table=True)

    assert verified.findings.copies == {row["id_d"]: 2 for row in world.sink.table[-2:]}
    assert verified.findings.verdict == "complete"


def test_records_deleted_in_jira_are_not_missing() -> None:
    world = settled_world()
    world.jira.forget({10_000, 10_001})

    verified = world.verify(START - DAY, table=True)

    assert set(verified.findings.only_in_table) == {10_000, 10_001}
    assert verified.findings.verdict == "complete"


# The range and the wait


def test_range_bounds_what_is_verified() -> None:
    world = settled_world()
    lose_records(world, 10_000, 10_099)
    verified = world.verify(START - 3 * HOUR, START - HOUR, table=True)

    assert verified.findings.verdict == "complete"
    assert 0 < verified.findings.in_jira.count < 60


def test_wait_covers_rows_not_yet_in_the_table() -> None:
    world = world_with(100)
    world.table.seconds = 170
    world.run()
    began = world.time.now

    verified = world.verify(START - DAY, table=True)

    assert statuses(verified) == {"in table": ids(world)}
    assert world.tally.waited_for == [100] * 6
    assert world.time.now - began < 200_000


def test_wait_is_bounded_from_the_last_save() -> None:
    world = world_with(100)
    world.run()
    saved = world.time.now
    world.table.dropped = {10_001}

    verified = world.verify(START - DAY, table=True, wait=300.0)

    assert statuses(verified)["missing"] == {10_001}
    assert 300_000 <= verified.ended - saved < 301_000


def test_wait_is_not_for_rows_saved_long_ago() -> None:
    world = world_with(100)
    world.run()
    world.time.advance(3600)
    world.table.dropped = {10_001}

    verified = world.verify(START - DAY, table=True)

    assert statuses(verified)["missing"] == {10_001}
    assert world.tally.waited_for == []


def test_wait_includes_a_backfill_in_progress() -> None:
    world = world_with_past_records()
    world.time.advance(3600)
    world.backfill(LONG_AGO)
    world.table.seconds = 100

    verified = world.verify(LONG_AGO, table=True)

    assert statuses(verified) == {"in table": ids(world)}
    assert world.tally.waited_for


# The reading


@pytest.mark.parametrize("fetch", [1, 2, 3])
def test_list_that_moves_hides_nothing(fetch: int) -> None:
    world = World()
    world.jira.site.add(record(n, START - HOUR + n) for n in range(60))
    world.run()
    late = [record(9_000 + n, START - HOUR + 300 + n) for n in range(10)]
    at = len(world.journal.entries) + fetch
    world.journal.meanwhile[at] = lambda: world.jira.site.add(late)

    verified = world.verify(START - HOUR, START - HOUR + 1_000)

    assert set(verified.findings.in_jira) == ids(world)
    assert verified.findings.in_jira.count == 70


def test_list_without_a_seam_is_read_until_nothing_is_new() -> None:
    world = settled_world()

    def remove_seam(call: Callable[[], Response]) -> Response:
        answer = call()
        page = json.loads(answer.body)
        if page["offset"]:
            page["records"] = page["records"][1:]
        return replace(answer, body=json.dumps(page).encode())

    world.jira.faults.always = remove_seam

    assert set(world.verify(START - DAY).findings.in_jira) == ids(world)


def test_list_of_one_millisecond_is_verified_completely() -> None:
    world = World()
    world.jira.site.add(record(n, START - HOUR) for n in range(500))
    world.run()

    assert statuses(world.verify(START - DAY)) == {"delivered": ids(world)}


def test_jira_failure_gives_no_verdict() -> None:
    world = settled_world()
    world.jira.faults.always = answer_with(401)

    with pytest.raises(SiteError, match="does not know the credentials"):
        world.verify(START - DAY)


def test_jira_429_and_503_are_retried() -> None:
    world = settled_world()
    world.jira.faults.script = [None, answer_with(429, Retry_After="1200"), answer_with(503)]

    assert world.verify(START - DAY).findings.verdict == "complete"


def test_verify_without_a_checkpoint_is_an_error() -> None:
    with pytest.raises(SiteError, match="no checkpoint"):
        world_with(10).verify(START - DAY)


def test_verify_changes_nothing_and_takes_no_lease() -> None:
    world = settled_world()
    before = dict(world.store.blobs)
    world.journal.entries.clear()

    world.verify(START - DAY, table=True)

    assert world.store.blobs == before
    assert set(world.journal.entries) == {"fetch", "stored", "names", "query"}


def test_verify_logs_no_secret_and_no_record(caplog: pytest.LogCaptureFixture) -> None:
    world = settled_world()
    lose_records(world, 10_007)

    world.repair(world.verify(START - DAY))

    assert "Thing" not in caplog.text


# Repair


@pytest.mark.parametrize("table", [False, True])
def test_repair_sends_missing_records_once(table: bool) -> None:
    world = settled_world()
    lose_records(world, 10_007, 10_008, 10_050)

    repaired = world.repair(world.verify(START - DAY, table=table))

    assert set(repaired.sent) == {10_007, 10_008, 10_050}
    assert not repaired.left.ranges
    assert (repaired.error, repaired.skipped) == (None, False)
    assert sorted(world.rows()) == sorted(ids(world))
    for _ in range(30):
        world.time.advance(3600)
        world.run()
    assert not world.duplicates()
    assert world.verify(START - DAY, table=True).findings.verdict == "complete"


def test_repair_sends_rows_that_never_arrived() -> None:
    world = settled_world()
    lost = {10_007, 10_050}
    world.sink.table = [row for row in world.sink.table if row["id_d"] not in lost]

    repaired = world.repair(world.verify(START - DAY, table=True))

    assert set(repaired.sent) == lost
    assert sorted(world.rows()) == sorted(ids(world))
    assert lost <= set(world.store.checkpoint().ledger)


def test_repair_before_from_uses_the_backfills_ledger() -> None:
    world = world_with_past_records()
    begun = world.store.checkpoint()
    past = ids(world) - set(world.rows())

    repaired = world.repair(world.verify(LONG_AGO, table=True))

    assert set(repaired.sent) == past
    assert sorted(world.rows()) == sorted(ids(world))
    assert world.store.checkpoint() == begun
    assert set(world.store.backfills().checkpoint().ledger) == past
    assert world.backfill(LONG_AGO).tally.rows == 0
    assert not world.duplicates()


def test_repair_covers_both_sides_of_from() -> None:
    world = world_with_past_records()
    world.backfill(LONG_AGO)
    world.time.advance(3 * 24 * 3600)
    world.run()
    lose_records(world, 10_320)
    edit_checkpoint(
        world, lambda place: place.without(Ledger(((10_005, 10_005),))), f"backfills/{HOST}.json"
    )
    world.sink.table = [row for row in world.sink.table if row["id_d"] != 10_005]

    verified = world.verify(LONG_AGO)
    repaired = world.repair(verified)

    assert statuses(verified)["missing"] == set(repaired.sent) == {10_005, 10_320}
    assert not world.duplicates()


def test_repair_skips_what_a_tick_delivered() -> None:
    world = settled_world()
    lose_records(world, 10_007, 10_050)
    verified = world.verify(START - DAY)
    row = {"id_d": 10_007}
    edit_checkpoint(world, lambda place: replace(place, ledger=place.ledger.with_ids([10_007])))
    world.sink.table.append(row)

    repaired = world.repair(verified)

    assert set(repaired.sent) == {10_050}
    assert set(repaired.left) == {10_007}
    assert not world.duplicates()


def test_repair_leaves_a_record_deleted_in_jira() -> None:
    world = settled_world()
    lose_records(world, 10_007, 10_008)
    verified = world.verify(START - DAY)
    world.jira.forget({10_007})

    repaired = world.repair(verified)

    assert set(repaired.sent) == {10_008}
    assert set(repaired.left) == {10_007}


def test_repair_keeps_a_refused_row_as_a_dead_letter() -> None:
    world = settled_world()
    lose_records(world, 10_007, 10_008)
    verified = world.verify(START - DAY)
    world.sink.poison = {10_007}

    repaired = world.repair(verified)

    assert set(repaired.sent) == {10_007, 10_008}
    assert [letter["record"]["id"] for letter in world.store.letters()] == [10_007]
    assert not world.missing(ids(world))


def test_repair_keeps_an_original_of_a_truncated_record() -> None:
    world = World()
    world.jira.site.add([record(1, START - HOUR, summary="long " * 20_000)])
    world.run()
    world.time.advance(2 * 24 * 3600)
    world.run()
    lose_records(world, 1)
    world.store.blobs = {n: b for n, b in world.store.blobs.items() if "originals" not in n}

    world.repair(world.verify(START - DAY))

    assert world.rows() == [1]
    [original] = world.store.letters("originals")
    assert json.dumps(original["record"]).count("long") == 20_000


def test_repair_writes_the_time_generated_that_is_set() -> None:
    world = settled_world()
    world.policy = replace(world.policy, event_time=True)
    lose_records(world, 10_007)

    world.repair(world.verify(START - DAY))

    row = next(row for row in world.sink.table if row["id_d"] == 10_007)
    assert row["TimeGenerated"] == row["created_t"]


def test_repair_skips_a_site_under_lease() -> None:
    world = settled_world()
    lose_records(world, 10_007)
    verified = world.verify(START - DAY)
    assert world.store.take(Checkpoint.first(HOST, 0, 0))

    repaired = world.repair(verified)

    assert repaired.skipped
    assert set(repaired.left) == {10_007}
    assert 10_007 not in world.rows()


def test_repair_stops_at_a_reset() -> None:
    world = settled_world()
    lose_records(world, 10_007)
    verified = world.verify(START - DAY)
    edit_checkpoint(world, lambda place: place.reset_to(START - HOUR, START, "x"))

    repaired = world.repair(verified)

    assert "verify it again" in str(repaired.error)
    assert not repaired.sent.ranges
    world.time.advance(1)
    assert world.run().result == "ok"  # the lease was given back


@pytest.mark.parametrize("error", [SiteError("no role"), TransientError("away")])
def test_repair_reports_what_stops_it(error: Exception) -> None:
    world = settled_world()
    world.policy = replace(world.policy, batch_bytes=1_500, in_flight=1)
    lost = set(range(10_000, 10_060))
    lose_records(world, *lost)
    verified = world.verify(START - DAY)
    world.sink.faults.script = [None, None]
    world.sink.faults.always = raise_error(error)

    repaired = world.repair(verified)

    assert str(repaired.error).startswith(str(error))
    assert set(repaired.sent) == set(world.rows()) & lost
    assert 0 < repaired.sent.count < 60
    assert set(repaired.left) == lost - set(repaired.sent)
    world.sink.faults.always = None
    again = world.repair(world.verify(START - DAY))
    assert set(again.sent) == set(repaired.left)
    assert sorted(world.rows()) == sorted(ids(world))


def test_repair_resumes_after_an_interruption() -> None:
    world = settled_world()
    world.policy = replace(world.policy, batch_bytes=1_500, in_flight=1)
    lose_records(world, *range(10_000, 10_060))
    verified = world.verify(START - DAY)
    world.sink.faults.at[3] = raise_error(KeyboardInterrupt())

    with pytest.raises(KeyboardInterrupt):
        world.repair(verified)

    assert 0 < len(world.rows()) < 100
    assert set(world.rows()) <= set(world.store.checkpoint().ledger)
    world.repair(world.verify(START - DAY))
    assert sorted(world.rows()) == sorted(ids(world))


def test_repair_with_a_lost_answer_duplicates_that_batch_only() -> None:
    world = settled_world()
    lose_records(world, 10_007)
    verified = world.verify(START - DAY)
    world.sink.faults.script = [accept_then_raise(TransientError("dropped"))]

    assert set(world.repair(verified).sent) == {10_007}
    assert world.duplicates() == {10_007}


def crash_points() -> Iterator[tuple[int, Literal["before", "after"]]]:
    world = settled_world()
    lose_records(world, *range(10_000, 10_030))
    verified = world.verify(START - DAY)
    world.journal.entries.clear()
    world.repair(verified)
    for number in range(len(world.journal.entries)):
        yield number, "before"
        yield number, "after"


@pytest.mark.parametrize("die", list(crash_points()))
def test_repair_crash_duplicates_at_most_the_batches_in_flight(
    die: tuple[int, Literal["before", "after"]],
) -> None:
    world = settled_world()
    world.policy = replace(world.policy, batch_bytes=1_500)
    lose_records(world, *range(10_000, 10_030))
    verified = world.verify(START - DAY)
    world.journal.entries.clear()
    world.journal.die = die
    world.run_until_crash(lambda: world.repair(verified))

    world.repair(world.verify(START - DAY, table=True))
    for _ in range(30):
        world.time.advance(3600)
        world.run()

    assert not world.missing(ids(world))
    assert world.duplicate_bytes() <= 4 * 1_500
    assert world.verify(START - DAY, table=True).findings.verdict == "complete"


def test_repair_crash_leaves_no_undelivered_id_in_the_ledger() -> None:
    world = settled_world()
    world.sink.table = world.sink.table[50:]
    lost = ids(world) - set(world.rows())
    verified = world.verify(START - DAY, table=True)
    world.journal.die = (len(world.journal.entries) + 3, "before")

    world.run_until_crash(lambda: world.repair(verified))

    assert world.journal.entries[-4:] == ["take", "load", "save", "fetch"]
    assert statuses(world.verify(START - DAY))["missing"] == lost


# A table that is behind


def world_whose_table_is_behind(seconds: float) -> World:
    """An hour of ticks, each with fifty records."""
    world = World(page_size=1000)
    world.run()
    world.time.advance(3 * 3600)
    world.table.seconds = seconds
    for tick in range(12):
        world.jira.site.add(
            record(20_000 + tick * 50 + n, world.time.now - 200_000 + n * 1000) for n in range(50)
        )
        world.run()
        world.time.advance(300)
    return world


def test_repair_sends_nothing_that_a_delay_hides() -> None:
    world = world_whose_table_is_behind(3600.0)

    verified = world.verify(world.time.now - 6 * HOUR, table=True)
    findings = verified.findings
    assert (findings.verdict, findings.count("delayed"), findings.count("missing")) == (
        *("delayed", 450),
        0,
    )
    assert world.repair(verified).sent.count == 0
    assert not world.duplicates()

    world.time.advance(2 * 3600)
    assert world.verify(world.time.now - 9 * HOUR, table=True).findings.verdict == "complete"


def test_verify_finds_a_loss_once_the_table_has_newer_rows() -> None:
    world = world_whose_table_is_behind(3600.0)
    world.table.dropped = {20_500}
    assert world.verify(world.time.now - 6 * HOUR, table=True).findings.verdict == "delayed"

    world.time.advance(2 * 3600)
    verified = world.verify(world.time.now - 9 * HOUR, table=True)
    assert (verified.findings.verdict, verified.findings.count("missing")) == ("missing", 1)
    assert world.repair(verified).sent.count == 1


def test_verify_calls_an_absent_row_lost_after_a_day() -> None:
    world = world_whose_table_is_behind(0.0)
    world.table.dropped = {20_599}
    assert world.verify(world.time.now - 6 * HOUR, table=True).findings.verdict == "delayed"

    world.time.advance(25 * 3600)
    verified = world.verify(world.time.now - 32 * HOUR, table=True)
    assert verified.findings.count("missing") == 1


def test_verify_without_a_wait_excuses_no_absent_row() -> None:
    world = world_whose_table_is_behind(3600.0)

    verified = world.verify(world.time.now - 6 * HOUR, table=True, wait=0)
    assert verified.findings.verdict == "missing"


@pytest.mark.parametrize("ticks_go_on", [True, False])
def test_repair_sends_no_row_of_a_backfill_that_a_delay_hides(ticks_go_on: bool) -> None:
    world = world_whose_table_is_behind(0.0 if ticks_go_on else 3600.0)
    if not ticks_go_on:
        world.time.advance(7200)
    world.table.seconds = 3600.0
    old = [record(9_000 + n, START - 10 * DAY + n * HOUR) for n in range(100)]
    world.jira.site.add(old)
    assert world.backfill(START - 20 * DAY).result == "ok"
    world.time.advance(20 * 60)

    verified = world.verify(START - 20 * DAY, table=True)
    assert verified.findings.verdict == "delayed"
    assert world.repair(verified).sent.count == 0
    assert not world.duplicates()

    world.time.advance(2 * 3600)
    assert world.verify(START - 20 * DAY, table=True).findings.verdict == "complete"


def test_verify_finds_a_lost_row_of_a_backfill_once_newer_ones_show() -> None:
    world = world_whose_table_is_behind(0.0)
    world.jira.site.add(record(9_000 + n, START - 10 * DAY + n * HOUR) for n in range(100))
    assert world.backfill(START - 20 * DAY).result == "ok"
    world.table.dropped = {9_050}
    world.time.advance(20 * 60)

    verified = world.verify(START - 20 * DAY, table=True)
    assert verified.findings.by_status["missing"] == Ledger(((9_050, 9_050),))
