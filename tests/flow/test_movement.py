"""A list that moves while it is read, pages and windows of every size, two runs at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jira_audit.core import timestamps
from jira_audit.core.errors import TransientError
from jira_audit.core.timestamps import DAY, HOUR, MINUTE, SECOND
from jira_audit.simulator.site import Response
from tests.fakes.world import HOST, START, Lazy, World, record
from tests.flow.test_collect import ids, world_with

pytestmark = pytest.mark.orders  # what moves, moves between two answers


def during_fetch(world: World, number: int, happens: Callable[[], object]) -> None:
    """Call `happens` between two requests."""

    def fault(call: Callable[[], Any]) -> Any:
        happens()
        return call()

    world.jira.faults.at[number] = fault


@pytest.mark.parametrize("cap", [1, 3, 7, 20])
def test_list_in_short_pages_is_read_to_its_end(cap: int) -> None:
    world = world_with(60, page_size=20, page_cap=cap)

    assert world.run().result == "ok"

    assert sorted(world.rows()) == sorted(ids(world))


@pytest.mark.parametrize("number", range(1, 9))
def test_list_with_insertions_above_is_read_completely(number: int) -> None:
    world = world_with(150, page_size=20)
    during_fetch(
        world,
        number,
        lambda: world.jira.site.add(record(20_000 + n, START - 10 * SECOND) for n in range(25)),
    )

    world.run()
    world.time.advance(300)
    world.run()

    assert not world.missing(ids(world))
    assert not world.duplicates()


@pytest.mark.parametrize("number", range(1, 9))
def test_list_with_late_insertions_is_read_completely(number: int) -> None:
    world = world_with(150, page_size=20)
    late = [record(20_000 + n, START - HOUR - n * MINUTE) for n in range(60)]
    during_fetch(world, number, lambda: world.jira.site.add(late))

    world.run()
    world.time.advance(25 * 3600)
    world.run()

    assert not world.missing(ids(world))
    assert not world.duplicates()


@pytest.mark.parametrize("number", range(2, 9))
def test_list_with_removals_loses_no_other_record(number: int) -> None:
    world = world_with(150, page_size=20)
    gone = set(range(10_100, 10_130))
    remaining = ids(world) - gone
    during_fetch(world, number, lambda: world.jira.forget(gone))

    assert world.run().result == "ok"

    assert not world.missing(remaining)
    assert not world.duplicates()


def test_list_with_a_repeated_page_is_read_again() -> None:
    world = world_with(60, page_size=20, over=HOUR)
    pages: list[Response] = []

    def remember(call: Callable[[], Response]) -> Response:
        pages.append(call())
        return pages[-1]

    first = next(n for n in range(50) if n >= 5)
    world.jira.faults.always = remember
    world.jira.faults.at[first + 3] = lambda _: next(
        page for page in reversed(pages) if b'"records": []' not in page.body
    )

    world.run()

    assert not world.missing(ids(world))
    assert not world.duplicates()


def test_list_with_ignored_offsets_fails_and_loses_nothing() -> None:
    world = world_with(60, page_size=20, over=20 * SECOND)
    original = world.jira.site.answer

    def ignore_offset(path: str, query: Any, headers: Any, now_ms: int) -> Response:
        return original(path, {**query, "offset": "0"}, headers, now_ms)

    world.jira.site.answer = ignore_offset  # type: ignore[method-assign]

    outcome = world.run()

    assert outcome.result == "failed"
    assert isinstance(outcome.error, TransientError)
    world.jira.site.answer = original  # type: ignore[method-assign]
    assert world.run().result == "ok"
    assert sorted(world.rows()) == sorted(ids(world))


def test_burst_in_one_millisecond_is_delivered() -> None:
    world = World(page_size=1_000)
    world.jira.site.add(record(10_000 + n, START - HOUR) for n in range(9_500))
    world.jira.site.add(record(30_000 + n, START - HOUR + 1 + n) for n in range(20))

    assert world.run().result == "ok"

    assert sorted(world.rows()) == sorted(ids(world))


def test_burst_is_read_in_windows_shorter_than_a_run() -> None:
    world = World(page_size=1_000)
    world.jira.site.add(record(10_000 + n, START - HOUR + n * 72) for n in range(50_000))
    world.jira.seconds = 0.25

    outcome = world.run()

    assert outcome.result == "ok"
    assert len(world.rows()) == 50_000
    assert not world.duplicates()
    # 51 pages is the minimum; abandoned windows and empty pages add to it.
    assert len(world.jira.requests) <= 150


def test_burst_progresses_with_every_short_run() -> None:
    world = World(page_size=20, batch_bytes=4_000)
    world.jira.site.add(record(10_000 + n, START - HOUR + n * 3_600) for n in range(1_000))
    world.jira.seconds, world.budget = 1.0, 15.0

    for _ in range(60):
        outcome = world.run()
        assert outcome.result in {"ok", "partial"}, outcome.error
        world.time.advance(60)

    assert sorted(world.rows()) == sorted(ids(world))


def test_window_longer_than_a_run_is_smaller_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # In this world, four concurrent requests take four times as long as one.
    monkeypatch.setattr("jira_audit.flow.fetching.MAX_CONCURRENT_REQUESTS", 1)
    world = World(page_size=20, batch_bytes=4_000)
    world.fetcher = Lazy
    world.jira.site.add(record(10_000 + n, START - HOUR + n * 36_000) for n in range(100))
    world.jira.seconds, world.budget = 12.0, 15.0

    for _ in range(40):
        world.run()
        world.time.advance(60)

    assert world.outcomes[-1].result == "ok"
    assert sorted(world.rows()) == sorted(ids(world))


def test_first_run_over_180_quiet_days_needs_few_requests() -> None:
    world = World(page_size=1_000, lookback=180 * DAY)
    world.jira.site.add(record(10_000 + n, START - n * DAY - HOUR) for n in range(180))

    assert world.run().result == "ok"

    assert len(world.rows()) == 180
    assert len(world.jira.requests) <= 40


def test_overlap_in_small_steps_does_not_move_through_back() -> None:
    world = World(page_size=5, batch_bytes=600)
    world.jira.site.add(
        record(10_000 + n, START - 20 * MINUTE + n * 5 * SECOND) for n in range(200)
    )
    world.run()
    through = world.store.checkpoint().through
    world.jira.site.add(record(20_000 + n, START - 10 * MINUTE + n * SECOND) for n in range(30))
    world.time.advance(300)

    world.run()

    assert world.store.checkpoint().through > through
    assert not world.missing(ids(world))


def test_overlap_is_requested_in_utc() -> None:
    world = world_with(20)
    world.run()

    for query in world.jira.requests:
        assert query["from"].endswith("Z")
        assert query["to"].endswith("Z")
        assert timestamps.parse(query["from"]) <= timestamps.parse(query["to"])


def test_run_after_another_resumes_from_its_save() -> None:
    world = world_with(60)
    world.run()
    world.time.advance(300)
    world.jira.site.add(record(20_000 + n, world.time.now - MINUTE) for n in range(10))

    def run_another() -> None:
        world.run()

    world.journal.meanwhile[len(world.journal.entries)] = run_another  # just before `take`

    world.run()

    assert not world.duplicates()
    assert not world.missing(ids(world))


def effects_of_a_run(world: World) -> list[str]:
    """The effects of a normal run."""
    world.run()
    return world.journal.entries


def test_frozen_process_sends_nothing_after_its_lease() -> None:
    world = world_with(200, batch_bytes=4_000)
    sent_by_others: list[int] = []

    def run_meanwhile() -> None:
        world.time.advance(61)
        assert world.run().result == "ok"
        sent_by_others.append(len(world.sink.sent))

    effects = effects_of_a_run(world_with(200, batch_bytes=4_000))
    world.journal.meanwhile[effects.index("save")] = run_meanwhile

    outcome = world.run()

    assert outcome.result == "failed"
    assert "took over the site" in str(outcome.error)
    assert len(world.sink.sent) == sent_by_others[0]
    assert not world.missing(ids(world))
    assert world.duplicate_bytes() <= 4 * 4_000


def test_storage_outage_with_sends_in_flight_ends_the_run() -> None:
    world = world_with(400, batch_bytes=4_000)

    def fail(_: object) -> None:
        raise TransientError(f"{HOST}: the checkpoint could not be saved")

    world.store.faults.at = dict.fromkeys(range(2, 99), fail)

    outcome = world.run()

    assert outcome.result == "failed"
    assert world.store.leases, "left to run out: its ids are not saved"
    accepted = len(world.sink.sent)
    world.store.faults.at = {}
    world.time.advance(61)
    assert world.run().result == "ok"
    assert accepted < len(world.sink.sent)
    assert not world.missing(ids(world))
    assert world.duplicate_bytes() <= 4 * 4_000


def test_storage_outage_from_the_start_sends_nothing() -> None:
    world = world_with(20)

    def fail(_: object) -> None:
        raise TransientError("storage could not be reached")

    world.store.take = fail  # type: ignore[method-assign, assignment]

    outcome = world.run()

    assert outcome.result == "failed"
    assert not world.jira.requests
    assert not world.sink.calls
