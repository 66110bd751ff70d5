"""What one run does for one site, normally and in each foreseen failure."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import groupby, pairwise
from typing import Any

import pytest

from jira_audit.core import timestamps
from jira_audit.core.checkpoint import Checkpoint, Sweep
from jira_audit.core.errors import OutOfTime, SiteError, TransientError
from jira_audit.core.ledger import Ledger
from jira_audit.core.policy import Reset
from jira_audit.core.progress import Progress
from jira_audit.core.records import Identity
from jira_audit.core.timestamps import DAY, HOUR, MINUTE, SECOND
from jira_audit.simulator.site import Response
from tests.fakes.world import HOST, START, TOKEN, Eager, Lazy, World, record

pytestmark = pytest.mark.orders  # what was asked for ahead decides what a fault or a deadline meets

FIRST_CREATED = START - 4 * HOUR
"""A lower bound of the created times in `world_with`."""


def world_with(count: int, *, first: int = 10_000, over: int = 4 * HOUR, **how: object) -> World:
    """A site with `count` records spread evenly over the time before now, not yet collected."""
    world = World(**how)  # type: ignore[arg-type]
    world.jira.site.add(
        record(first + n, START - over + (n + 1) * over // (count + 1)) for n in range(count)
    )
    return world


def ids(world: World) -> set[int]:
    return {known["id"] for known in world.jira.site.records}


def answer_with(status: int, body: bytes = b"", **headers: str) -> Callable[[object], Response]:
    return lambda _: Response(status, {k.replace("_", "-"): v for k, v in headers.items()}, body)


def raise_error(error: BaseException) -> Callable[[object], None]:
    def fault(_: object) -> None:
        raise error

    return fault


def accept_then_raise(error: BaseException) -> Callable[[Callable[[], object]], None]:
    def fault(call: Callable[[], object]) -> None:
        call()
        raise error

    return fault


# First runs and ticks


def test_first_run_delivers_the_lookback_once() -> None:
    world = world_with(300, page_size=1_000)

    outcome = world.run()

    assert outcome.result == "ok"
    assert sorted(world.rows()) == sorted(ids(world))
    assert outcome.tally.rows == outcome.tally.records == 300


def test_first_run_is_logged_at_warning(caplog: pytest.LogCaptureFixture) -> None:
    world_with(3).run()

    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    [said] = warnings
    assert said == f"{HOST}: no checkpoint, so this is a first run, from 2026-11-19T12:00:00.000Z"


def test_first_run_ignores_older_records() -> None:
    world = world_with(10, over=5 * HOUR, lookback=2 * HOUR)

    world.run()

    assert set(world.rows()) == {
        known["id"] for known in world.jira.site.records if known["created"] >= "2026-11-20T10"
    }


def test_tick_delivers_only_new_records() -> None:
    world = world_with(100)
    world.run()
    world.time.advance(300)
    world.jira.site.add(record(10_100 + n, world.time.now - MINUTE + n) for n in range(25))

    outcome = world.run()

    assert outcome.tally.rows == 25
    assert not world.duplicates()
    assert not world.missing(ids(world))


def test_tick_without_news_needs_two_requests_and_no_send() -> None:
    world = world_with(100)
    world.run()
    world.time.advance(300)
    world.journal.entries.clear()

    outcome = world.run()

    assert outcome.result == "ok"
    assert world.journal.entries == ["take", "load", "fetch", "fetch", "save", "release"]


def test_tick_fills_batches_across_windows() -> None:
    world = world_with(400, over=20 * HOUR, batch_bytes=4_000)

    outcome = world.run()

    assert outcome.tally.windows > 4
    sizes = [len(json.dumps(batch)) for batch in world.sink.sent]
    assert min(len(batch) for batch in world.sink.sent[:-1]) >= 0.9 * max(map(len, world.sink.sent))
    assert outcome.tally.batches == len(sizes)


def test_tick_delivers_an_id_repeated_on_a_page_once() -> None:
    world = world_with(10)
    world.jira.tamper[10_005] = lambda known: {**known, "id": 10_004}

    world.run()

    assert world.rows().count(10_004) == 1


def test_tick_writes_the_time_generated_that_is_set() -> None:
    world = world_with(1)
    world.run()
    assert timestamps.parse(world.sink.table[0]["TimeGenerated"]) >= START

    world = world_with(1)
    world.run(event_time=True)
    assert world.sink.table[0]["TimeGenerated"] == world.sink.table[0]["created_t"]


def with_date(answer: Response, timestamp_ms: int) -> Response:
    import email.utils

    return replace(
        answer,
        headers={
            **answer.headers,
            "Date": email.utils.formatdate(timestamp_ms / 1000, usegmt=True),
        },
    )


def test_through_never_passes_jiras_clock() -> None:
    world = world_with(10)
    ours = world.time.now
    world.jira.faults.always = lambda call: with_date(call(), ours - 90 * SECOND)

    outcome = world.run()

    assert outcome.through == ours - 90 * SECOND
    world.jira.faults.always = None
    world.jira.site.add([record(10_010, ours - 30 * SECOND)])
    assert world.run().tally.late_found == 0
    assert 10_010 in world.rows()


# The overlap and late records


def test_overlap_finds_and_counts_a_late_record() -> None:
    world = world_with(100)
    world.run()
    world.jira.site.add([record(9_999, world.time.now - 10 * MINUTE)])
    world.time.advance(300)

    outcome = world.run()

    assert outcome.tally.late_found == 1
    assert 9_999 in world.rows()


def test_overlap_is_read_again_after_a_failed_run() -> None:
    world = World(page_size=5, batch_bytes=600)
    world.jira.site.add(record(10_000 + n, START - 20 * MINUTE + n * 5_000) for n in range(230))
    world.run()
    world.time.advance(300)
    # One answer alone may be a page that was requested ahead and not needed.
    calls = world.jira.faults.calls
    world.jira.faults.at.update({calls + n: answer_with(403) for n in range(9, 99)})

    assert world.run().result == "failed"

    assert world.store.checkpoint().reread is None


def _reads_moment(world: World, number: int, timestamp_ms: int) -> bool:
    if not world.outcomes:
        world.run()
    query = world.jira.requests[number]
    return timestamps.parse(query["from"]) <= timestamp_ms <= timestamps.parse(query["to"])


def test_late_record_above_is_noticed_despite_short_pages() -> None:
    world = World(page_size=20, page_cap=10, lookback=12 * DAY)
    begins = START - 10 * DAY
    world.jira.site.add(record(10_000 + n, begins + n * SECOND) for n in range(30))
    first = record(9_000, begins + 25 * SECOND + 1)
    seen = next(n for n in range(99) if _reads_moment(world, n, begins))
    world = World(page_size=20, page_cap=10, lookback=12 * DAY)
    world.jira.site.add(record(10_000 + n, begins + n * SECOND) for n in range(30))

    def insert_record(call: Callable[[], Response]) -> Response:
        world.jira.site.add([first])
        return call()

    world.jira.faults.at[seen + 1] = insert_record

    assert world.run().result == "ok"
    assert 9_000 in world.rows()


def test_late_records_are_counted_until_a_reset() -> None:
    world = world_with(100)
    for late in range(3):
        world.run()
        world.jira.site.add([record(9_900 + late, world.time.now - 10 * MINUTE)])
        world.time.advance(300)
    world.run()
    assert world.store.checkpoint().late_found == 3

    world.run(reset=Reset("all", START - DAY))

    assert world.store.checkpoint().late_found == 0


# The sweep


def test_sweep_finds_what_the_overlap_missed() -> None:
    world = world_with(100)
    world.run()
    world.jira.site.add([record(9_999, START - 3 * HOUR)])
    world.time.advance(300)
    assert world.run().tally.late_found == 0
    world.time.advance(24 * 3600)
    began = world.time.now

    outcome = world.run()

    assert outcome.tally.late_found == 1
    assert not world.missing(ids(world))
    assert world.store.checkpoint().swept == began


def test_sweep_is_read_after_the_ticks_rows_are_sent() -> None:
    world = World(page_size=20, lookback=48 * HOUR)
    world.jira.site.add(record(10_000 + n, START - 47 * HOUR + n * 400_000) for n in range(400))
    world.executor = Eager  # a send runs as soon as it is submitted
    world.run()
    world.time.advance(86_401)  # the sweep is due
    new = [record(20_000 + n, world.time.now - 500 + n) for n in range(3)]
    world.jira.site.add(new)
    before = len(world.journal.entries)

    world.run()

    entries = world.journal.entries[before:]
    assert entries[: entries.index("send")].count("fetch") <= 5
    assert entries.count("fetch") > 10  # the sweep was read
    assert world.missing(each["id"] for each in new) == set()


def test_sweep_is_made_once_a_day() -> None:
    world = world_with(50)
    world.run()
    windows = []
    for _ in range(60):
        world.time.advance(3600)
        windows.append(world.run().tally.windows)

    # An hour and a quarter takes two windows of an hour; a sweep takes more.
    assert [n for n, count in enumerate(windows, 1) if count > 2] == [24, 48]


def test_sweep_does_not_start_before_from() -> None:
    world = world_with(50, lookback=2 * HOUR)
    world.run()
    world.time.advance(25 * 3600)

    world.run()

    assert min(query["from"] for query in world.jira.requests) == "2026-11-20T10:00:00.000Z"


def test_sweep_delayed_by_failures_finds_earlier_late_records() -> None:
    """Found by a random history: the sweep was 28 hours overdue and reached 48 hours back."""
    world = world_with(100)
    world.run()
    world.jira.site.add([record(9_999, START - 3 * HOUR)])
    for _ in range(12):
        world.time.advance(6 * 3600)
        world.jira.faults.always = answer_with(401)
        world.run()
    world.jira.faults.always = None

    assert world.run().tally.late_found == 1
    assert not world.missing(ids(world))


def test_sweep_of_several_runs_counts_from_its_start() -> None:
    """The next sweep finds what appears behind it."""
    world = world_with(400, over=40 * HOUR, lookback=47 * HOUR)
    world.run()
    world.time.advance(24 * 3600)
    world.jira.seconds, world.budget = 1.0, 5.0
    world.run()
    under_way = world.store.checkpoint().sweep
    assert under_way is not None
    world.budget = 480.0

    assert world.run().result == "ok"

    assert world.store.checkpoint().sweep is None
    assert world.store.checkpoint().swept == under_way.began < world.time.now


def test_sweep_with_its_place_past_its_end_is_done() -> None:
    world = world_with(10)
    world.run()
    place = world.store.checkpoint()
    odd = replace(place, sweep=Sweep(START, START - HOUR, START), swept=START - 2 * DAY)
    world.store.blobs[f"checkpoints/{HOST}.json"] = odd.encode(START)

    world.run()

    assert world.store.checkpoint().sweep is None
    assert world.store.checkpoint().swept == START


def test_sweep_dated_in_the_future_does_not_delay_the_next() -> None:
    world = world_with(20)
    world.run()
    ahead = replace(world.store.checkpoint(), swept=START + 365 * DAY)
    world.store.blobs[f"checkpoints/{HOST}.json"] = ahead.encode(START)
    world.jira.site.add([record(9_999, START - 5 * HOUR)])

    world.run()

    assert 9_999 in world.rows()
    assert world.store.checkpoint().swept == world.time.now - round(world.outcomes[-1].duration_ms)


def test_pruning_keeps_the_ids_of_the_open_window() -> None:
    """The window is the first of a sweep and of its day: its newest page comes first."""
    world = World(page_size=20, batch_bytes=600)
    world.time.now = now = timestamps.parse("2026-11-20T00:20:00Z")
    begins = now - 2 * DAY
    delivered = [record(1_000_000 + n, begins + n * 5 * SECOND) for n in range(60)]
    world.jira.site.add(delivered)
    world.jira.site.add(record(2_000_000 + n, begins + (80 + n) * 5 * SECOND) for n in range(20))
    scattered = Ledger().with_ids(range(0, 160_000, 2))
    place = Checkpoint(
        HOST,
        start=now - 30 * DAY,
        through=now - 5 * MINUTE,
        latest=now - 30 * MINUTE,
        ledger=scattered.with_ids(known["id"] for known in delivered),
        swept=now - DAY,
    )
    for day in range(30, 2, -1):
        at = now - day * DAY
        place = place.marked(at, at, (30 - day) * 5_000)
    world.store.blobs[f"checkpoints/{HOST}.json"] = place.encode(now)

    outcome = world.run()

    assert outcome.result == "ok"
    assert world.store.checkpoint().pruned is not None
    assert outcome.tally.late_found == outcome.tally.rows == 20


# The lease


def test_lease_held_by_another_run_skips_the_site() -> None:
    world = world_with(10)
    world.run()
    world.store.leases[f"checkpoints/{HOST}.json"] = (99, world.time.clock.monotonic() + 60)
    before = len(world.jira.requests)

    outcome = world.run()

    assert outcome.result == "skipped"
    assert len(world.jira.requests) == before


def test_lease_is_released_after_every_run() -> None:
    world = world_with(10)
    world.run()
    assert not world.store.leases

    world.jira.faults.always = answer_with(401)
    assert world.run().result == "failed"
    assert not world.store.leases


def test_lease_that_is_lost_stops_all_sends() -> None:
    world = world_with(300, batch_bytes=4_000)
    world.jira.seconds = 20  # so that the lease must be renewed soon
    name = f"checkpoints/{HOST}.json"
    taken: list[int] = []

    def steal_lease(call: Callable[[], object]) -> object:
        world.store.leases[name] = (99, world.time.clock.monotonic() + 3600)
        taken.append(len(world.sink.table))
        return call()

    world.jira.faults.at[6] = steal_lease

    outcome = world.run()

    assert outcome.result == "failed"
    assert isinstance(outcome.error, TransientError)
    assert len(world.sink.table) == taken[0]
    assert world.store.leases[name][0] == 99


def test_lease_older_than_any_run_is_a_failure() -> None:
    world = world_with(10)
    world.run()
    world.store.leases[f"checkpoints/{HOST}.json"] = (99, 2.0**60)
    assert world.run().result == "skipped"
    world.time.advance(25 * 3600)

    outcome = world.run()

    assert outcome.result == "failed"
    assert "break the lease" in str(outcome.error)


# Failures of Jira: never an empty page


@pytest.mark.parametrize("page", [0, 1, 2, 5])
def test_jira_failure_leaves_the_checkpoint_and_loses_nothing(page: int) -> None:
    world = world_with(200)
    world.jira.faults.script, world.jira.faults.always = [None] * page, answer_with(403)

    outcome = world.run()

    assert outcome.result == "failed"
    assert isinstance(outcome.error, SiteError)
    world.jira.faults.always = None
    through = world.store.checkpoint().through
    passed = [r["id"] for r in world.jira.site.records if timestamps.parse(r["created"]) <= through]
    assert not world.missing(passed)
    assert world.run().result == "ok"
    assert not world.missing(ids(world))
    assert not world.duplicates()


def test_jira_failure_delivers_what_was_read_before() -> None:
    world = world_with(200)
    world.jira.faults.script, world.jira.faults.always = [None] * 8, answer_with(401)

    outcome = world.run()

    assert outcome.result == "failed"
    assert outcome.tally.rows == len(world.rows()) > 0
    world.jira.faults.always = None
    assert world.run().tally.rows == 200 - outcome.tally.rows


def test_jira_429_costs_a_wait_and_no_record() -> None:
    world = world_with(3_300, page_size=1_000)
    world.jira.faults.at[2] = answer_with(429, Retry_After="7")

    outcome = world.run()

    assert outcome.result == "ok"
    assert outcome.tally.rows == 3_300
    assert max(world.time.slept) >= 7


# Failures of ingestion


def test_send_that_fails_is_made_by_the_next_run() -> None:
    world = world_with(200, batch_bytes=4_000)
    world.sink.faults.at[3] = raise_error(SiteError("403: no role yet"))

    outcome = world.run()

    assert outcome.result == "failed"
    assert "403" in str(outcome.error)
    assert world.run().result == "ok"
    assert sorted(world.rows()) == sorted(ids(world))


def test_send_is_retried_after_a_transient_error() -> None:
    world = world_with(50)
    world.sink.faults.script = [
        raise_error(TransientError("503")),
        raise_error(TransientError("reset")),
    ]

    outcome = world.run()

    assert outcome.result == "ok"
    assert outcome.tally.rows == 50
    assert not world.duplicates()


def test_send_with_a_lost_answer_duplicates_that_batch_only() -> None:
    world = world_with(200, batch_bytes=4_000)
    world.sink.faults.at[2] = accept_then_raise(TransientError("connection dropped"))

    assert world.run().result == "ok"

    assert world.duplicates() == set(world.sink.sent[2])
    assert not world.missing(ids(world))


def test_send_that_raises_a_bug_saves_the_accepted_rows() -> None:
    world = world_with(200, batch_bytes=4_000)
    world.sink.faults.at[3] = raise_error(ZeroDivisionError())

    with pytest.raises(ZeroDivisionError):
        world.run()

    assert world.run().result == "ok"
    assert not world.duplicates()


def test_refused_batch_that_is_too_large_is_halved() -> None:
    world = world_with(100)
    world.sink.limit = 3_000

    outcome = world.run()

    assert outcome.result == "ok"
    assert sorted(world.rows()) == sorted(ids(world))
    assert not world.store.letters()


def test_refused_row_becomes_a_dead_letter() -> None:
    world = world_with(60)
    world.sink.poison = {10_017, 10_018}

    outcome = world.run()

    assert outcome.result == "ok"
    assert outcome.tally.letters == 2
    assert {letter["record"]["id"] for letter in world.store.letters()} == {10_017, 10_018}
    assert {letter["kind"] for letter in world.store.letters()} == {"refused"}
    assert set(world.rows()) == ids(world) - {10_017, 10_018}
    assert world.run().tally.rows == 0


def letters_told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]


def test_letter_after_a_lost_answer_is_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    world = World(page_size=1000)
    world.jira.site.add(record(10_000 + n, START - HOUR + n * 1000) for n in range(100))
    world.sink.poison = {10_040}
    # Stored; the answer is lost; the second try is told that it is there.
    world.store.faults.always = lambda call: (call(), call())[1]

    outcome = world.run()

    assert (outcome.result, outcome.tally.letters, len(world.store.letters())) == ("ok", 1, 1)
    assert len(letters_told(caplog)) == 1


@pytest.mark.parametrize("identified", [True, False])
def test_letter_of_a_run_that_lost_every_answer_is_logged(
    caplog: pytest.LogCaptureFixture, identified: bool
) -> None:
    world = World(page_size=1000)
    world.jira.site.add(record(10_000 + n, START - HOUR + n * 1000) for n in range(100))
    if identified:
        world.sink.poison = {10_040}
    else:
        world.jira.tamper[10_040] = lambda known: {**known, "id": None}

    def lose(call: Callable[[], Any]) -> Any:
        call()
        if world.store.letters():
            raise TransientError("storage could not be reached")

    world.store.faults.always = lose
    assert world.run().result == "failed"
    world.store.faults.always = None
    world.time.advance(300)
    outcomes = [world.run()]
    world.time.advance(300)
    outcomes.append(world.run())

    assert len(world.store.letters()) == 1
    assert [outcome.result for outcome in outcomes] == ["ok", "ok"]
    assert [outcome.tally.letters for outcome in outcomes] == [int(identified), 0]
    assert any(world.store.letters()[0]["site"] in text for text in letters_told(caplog))


def test_refused_empty_array_keeps_every_row_pending() -> None:
    world = world_with(60)
    world.sink.refuses_everything = True

    outcome = world.run()

    assert outcome.result == "failed"
    assert "no row is lost" in str(outcome.error)
    assert not world.store.letters()
    assert world.store.checkpoint().through < FIRST_CREATED
    assert world.sink.calls == 2


def test_refused_rows_without_exception_all_stay_pending() -> None:
    world = world_with(60)
    world.sink.poison = ids(world)

    outcome = world.run()

    assert outcome.result == "failed"
    assert isinstance(outcome.error, SiteError)
    assert not world.store.letters()
    assert world.store.checkpoint().through < FIRST_CREATED


def test_refused_rows_by_the_hundred_stop_at_the_deadline() -> None:
    world = world_with(1_000, page_size=1_000)
    world.sink.poison = {known for known in ids(world) if known % 2}
    world.sink.seconds, world.budget = 0.3, 60.0

    first = world.run()

    assert first.result == "partial"
    assert first.duration_ms < 100_000
    assert len(world.store.checkpoint().ledger) > 50
    for _ in range(60):
        world.time.advance(300)
        world.run()
    assert world.outcomes[-1].result == "ok"
    assert not world.missing(ids(world))
    assert not world.duplicates()


# Records that are unreadable or too large


def test_unreadable_record_becomes_a_dead_letter() -> None:
    world = world_with(60)
    world.jira.tamper[10_005] = lambda known: {**known, "created": "soon"}
    world.jira.tamper[10_006] = lambda known: {**known, "id": str(known["id"])}

    outcome = world.run()

    assert outcome.result == "ok"
    assert outcome.tally.letters == 2
    assert set(world.rows()) == ids(world) - {10_005, 10_006}
    assert world.run().tally.letters == 0  # stored once


def test_unreadable_records_only_fail_the_site() -> None:
    world = world_with(60)
    for known in ids(world):
        world.jira.tamper[known] = lambda known: {"identifier": known["id"]}

    outcome = world.run()

    assert outcome.result == "failed"
    assert "format has changed" in str(outcome.error)
    assert world.store.checkpoint().through < FIRST_CREATED
    assert not world.sink.table


def test_truncated_record_is_delivered_with_an_original() -> None:
    world = world_with(3)
    world.jira.site.add([record(10_003, START - MINUTE, summary="long " * 20_000)])

    outcome = world.run()

    [original] = world.store.letters("originals")
    assert original["record"]["summary"] == "long " * 20_000
    row = next(row for row in world.sink.table if row["id_d"] == 10_003)
    assert row["truncated_b"] is True
    assert outcome.tally.letters == 0


# Restarted ids and the reset


def test_restarted_ids_fail_the_site_and_name_the_reset() -> None:
    world = world_with(60)
    world.run()
    world.time.advance(300)
    world.jira.site = type(world.jira.site)("auditor@example.com", TOKEN)
    world.jira.site.add(record(10_000 + n, world.time.now - MINUTE + n) for n in range(2))
    through = world.store.checkpoint().through

    outcome = world.run()

    assert outcome.result == "failed"
    assert "CHECKPOINT_RESET" in str(outcome.error)
    assert world.store.checkpoint().through == through


def test_restarted_ids_are_noticed_beside_delivered_ones() -> None:
    world = World(page_size=20, batch_bytes=600)
    world.jira.site.add(record(12_000 + n, START - HOUR + n) for n in range(50))
    world.run()
    world.time.advance(600)
    world.jira.site = type(world.jira.site)("auditor@example.com", TOKEN)
    world.jira.site.add(record(11_990 + n, START + n * SECOND) for n in range(140))

    outcome = world.run()

    assert outcome.result == "failed"
    assert "ids have restarted" in str(outcome.error)
    assert world.store.checkpoint().through < START + 10 * SECOND


def test_reset_is_applied_once_for_each_value() -> None:
    world = world_with(60)
    world.run()
    reset = Reset("2026-11-20T10:00:00Z", START - 2 * HOUR)
    after = {r["id"] for r in world.jira.site.records if r["created"] >= "2026-11-20T10"}

    outcome = world.run(reset=reset)

    assert outcome.tally.rows == len(after)
    assert world.duplicates() == after
    assert world.run(reset=reset).tally.rows == 0
    assert world.run(reset=Reset("2026-11-20T10:00:00Z#2", reset.start)).tally.rows == len(after)


def test_reset_is_saved_before_any_read_or_send() -> None:
    world = world_with(60)
    world.run()
    world.journal.entries.clear()

    world.run(reset=Reset("all", START - 30 * DAY))

    entries = world.journal.entries
    assert entries[:4] == ["take", "load", "save", "ask"]
    assert "fetch" not in entries[: entries.index("save")]
    assert world.store.checkpoint().reset == "all"


# The deadline


def test_deadline_ends_a_run_partial_and_the_next_resumes() -> None:
    world = world_with(2_000, over=20 * HOUR)
    world.jira.seconds, world.budget = 1.0, 30.0
    results = [world.run().result for _ in range(20)]

    assert results[0] == "partial"
    assert results[-1] == "ok"
    assert "failed" not in results
    assert sorted(world.rows()) == sorted(ids(world))


def test_deadline_prevents_a_longer_wait() -> None:
    world = world_with(200)
    world.budget = 60.0
    world.jira.faults.at[8] = answer_with(429, Retry_After="3600")

    outcome = world.run()

    assert outcome.result == "partial"
    assert isinstance(outcome.error, OutOfTime)
    assert sum(world.time.slept) < 60
    assert outcome.tally.rows > 0


def test_deadline_without_progress_is_a_failure() -> None:
    world = world_with(200)
    world.budget = 60.0
    world.jira.faults.always = answer_with(429, Retry_After="3600")

    assert world.run().result == "failed"


# The checkpoint and its saves


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "cannot be read"),
        (b'{"v": 2}', "newer version"),
        (b'{"v": 1}', "cannot be read"),
    ],
)
def test_checkpoint_that_is_unusable_stops_the_site(content: bytes, words: str) -> None:
    world = world_with(10)
    world.store.blobs[f"checkpoints/{HOST}.json"] = content

    outcome = world.run()

    assert outcome.result == "failed"
    assert words in str(outcome.error)
    assert world.store.blobs[f"checkpoints/{HOST}.json"] == content
    assert not world.jira.requests
    assert not world.store.leases


def test_checkpoint_in_the_future_is_an_error() -> None:
    world = world_with(10)
    world.run()
    world.time.now -= DAY

    outcome = world.run()

    assert outcome.result == "failed"
    assert "in the future" in str(outcome.error)


def test_save_that_fails_duplicates_that_batch_at_most() -> None:
    world = world_with(200, batch_bytes=4_000)
    world.store.faults.script = [None, None, raise_error(TransientError("away"))]
    world.store.faults.script += [raise_error(TransientError("away"))]

    outcome = world.run()

    assert outcome.result == "failed"
    assert world.store.leases, "what was accepted is not saved, so the lease is left to run out"
    world.time.advance(61)
    assert world.run().result == "ok"
    assert not world.missing(ids(world))
    assert world.duplicate_bytes() <= 4 * 4_000


def test_save_covers_several_accepted_batches() -> None:
    world = world_with(400, batch_bytes=4_000)
    world.fetcher = world.executor = Eager  # so that nothing waits

    outcome = world.run()

    done = [each for each in world.journal.entries if each in {"send", "save"}]
    runs = [len(list(group)) for name, group in groupby(done) if name == "send"]
    assert sum(runs) == outcome.tally.batches > 10
    assert max(runs) <= 4, "what may be doubled"
    assert min(runs[:-1]) >= 2, "each save takes its time"


def test_save_comes_before_a_wait_for_a_page() -> None:
    world = world_with(400, batch_bytes=4_000)
    world.fetcher, world.executor = Lazy, Eager

    world.run()

    done = [each for each in world.journal.entries if each in {"send", "save", "fetch"}]
    assert ("send", "fetch") not in set(pairwise(done))
    assert done.count("save") > 10


def test_save_comes_before_a_pause() -> None:
    world = world_with(400, batch_bytes=4_000)
    world.fetcher = world.executor = Eager
    world.jira.faults.at |= dict.fromkeys((16, 20, 24), answer_with(503))
    seen: list[tuple[int, int]] = []
    sleep = world.time.clock.sleep

    def note_sleep(seconds: float) -> None:
        seen.append((len(world.rows()), len(world.store.checkpoint().ledger)))
        sleep(seconds)

    world.time.clock = replace(world.time.clock, sleep=note_sleep)

    world.run()

    assert len(seen) == 3
    for accepted, saved in seen:
        assert accepted == saved > 0


def test_interrupt_saves_the_accepted_rows() -> None:
    world = world_with(200, batch_bytes=4_000)
    world.jira.faults.at[9] = raise_error(KeyboardInterrupt())

    with pytest.raises(KeyboardInterrupt):
        world.run()

    assert not world.store.leases
    last = world.store.checkpoint().last or {}
    assert (last["outcome"], last["error"]) == ("stopped", None)
    assert world.run().result == "ok"
    assert not world.duplicates()
    assert not world.missing(ids(world))


def test_interrupt_after_an_acceptance_duplicates_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = world_with(200, batch_bytes=4_000)
    deal_with, interrupted = Progress.deal_with, list[bool]()

    def interrupt_once(self: Progress, identities: Iterable[Identity]) -> None:
        if not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        deal_with(self, identities)

    monkeypatch.setattr(Progress, "deal_with", interrupt_once)

    with pytest.raises(KeyboardInterrupt):
        world.run()

    assert set(world.store.checkpoint().ledger) == set(world.rows())
    assert world.run().result == "ok"
    assert not world.missing(ids(world))
    assert not world.duplicates()


# The outcome of the last run


def test_last_run_is_stored_with_the_last_save() -> None:
    world = world_with(100)

    outcome = world.run()

    known = world.store.checkpoint().last
    assert known == {
        **outcome.tally.counts(),
        "outcome": "ok",
        "at": timestamps.text(outcome.now),
        "error": None,
    }


def last_run(world: World) -> tuple[object, object, object]:
    known = world.store.checkpoint().last or {}
    return known.get("outcome"), known.get("at"), known.get("error")


def test_last_run_that_failed_changes_nothing_else() -> None:
    world = world_with(100)
    world.run()
    before = world.store.checkpoint()
    world.time.advance(300)
    world.jira.faults.always = answer_with(401)

    outcome = world.run()

    assert last_run(world) == ("failed", timestamps.text(outcome.now), str(outcome.error))
    assert replace(world.store.checkpoint(), last=None) == replace(before, last=None)


def test_last_run_stopped_by_its_deadline_is_partial() -> None:
    world = world_with(2_000, over=20 * HOUR)
    world.jira.seconds, world.budget = 1.0, 30.0

    assert world.run().result == "partial"

    assert last_run(world)[0] == "partial"


def test_last_run_without_progress_says_what_to_do() -> None:
    world = world_with(200)
    world.run()
    world.time.advance(300)
    world.budget = 0.0

    assert world.run().result == "failed"

    outcome, _, error = last_run(world)
    assert outcome == "failed"
    assert "raise RUN_BUDGET_SECONDS" in str(error)


def test_last_run_names_a_bug_by_its_type() -> None:
    world = world_with(100)
    world.jira.tamper[10_003] = raise_error(ZeroDivisionError("of a record"))

    with pytest.raises(ZeroDivisionError):
        world.run()

    assert (last_run(world)[0], last_run(world)[2]) == ("failed", "ZeroDivisionError")


def test_last_run_is_not_stored_without_the_lease() -> None:
    world = world_with(100)
    world.run()
    world.time.advance(300)
    world.jira.site.add([record(10_100, world.time.now)])
    before = world.store.checkpoint()

    def take_over() -> None:
        world.time.advance(61)
        world.store.leases[f"checkpoints/{HOST}.json"] = (99, world.time.now / 1000 + 60)

    world.journal.meanwhile[len(world.journal.entries) + 3] = take_over

    assert world.run().result == "failed"
    assert world.store.checkpoint() == before


# Log lines


def test_canonical_line_has_every_count_as_a_pair() -> None:
    world = world_with(5)

    line = world.run().line()

    pairs = dict(part.split("=", 1) for part in line.split()[1:])
    assert line.startswith("jira_audit site=")
    assert list(pairs) == [
        *("site", "outcome", "windows", "pages", "records", "rows", "batches", "bytes", "letters"),
        *("duplicates_skipped", "late_found", "through", "lag_seconds", "duration_ms"),
    ]
    assert (pairs["site"], pairs["outcome"], pairs["rows"]) == (HOST, "ok", "5")


def test_canonical_line_shows_the_stored_through() -> None:
    world = world_with(20)
    world.run()
    world.time.advance(3600)
    world.store.faults.always = raise_error(TransientError("storage is away"))

    outcome = world.run()

    assert outcome.result == "failed"
    assert outcome.through == world.store.checkpoint().through


def _requests(world: World) -> list[object]:
    world.run()
    return list(world.jira.requests)


def test_errors_to_act_on_come_before_transient_ones() -> None:
    world = world_with(200, batch_bytes=4_000)
    world.sink.faults.always = raise_error(SiteError("403: the role is missing"))
    world.jira.faults.at[len(_requests(world_with(200, batch_bytes=4_000))) - 1] = answer_with(
        429, Retry_After="3000"
    )
    world.executor = lambda: Lazy("last")

    outcome = world.run()

    assert outcome.result == "failed"
    assert "role is missing" in str(outcome.error)


def test_logs_hold_no_secret_and_no_record(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world = world_with(60)
    world.jira.tamper[10_003] = lambda known: {**known, "created": "never"}
    world.sink.poison = {10_010}
    world.jira.faults.at[3] = answer_with(500, b"Thing 10001 changed")
    outcomes = [world.run()]
    world.jira.faults.always = answer_with(401)
    outcomes.append(world.run())

    said = caplog.text + "".join(f"{outcome.line()} {outcome.error}" for outcome in outcomes)
    assert TOKEN not in said
    assert "Thing" not in said
