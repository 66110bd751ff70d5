"""A run that is killed makes the next one take less, until one gets through.

What kills a run here is any effect of the journal; that of a real limit is shown with processes in
`tests/end_to_end/test_memory_limit.py`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from requests import ReadTimeout

from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.timestamps import HOUR, MINUTE
from jira_audit.core.window import Window
from jira_audit.flow import intake
from jira_audit.flow.intake import Intake
from jira_audit.simulator.site import Response
from tests.fakes.transport import install_real_sink
from tests.fakes.world import START, World, record
from tests.flow.test_lasting_faults import accepted_then, waiting_world

CUT_OFF = b'{"records":[{"id":20199,"summary":"'


def backlog(count: int = 600, over: int = 6 * HOUR) -> World:
    """A site with a checkpoint that was left alone for so many milliseconds."""
    world = World(page_size=100, batch_bytes=20_000)
    world.run()
    world.store.blobs.update(_with_step(world, HOUR))
    world.time.advance(over / 1000 + 60)
    begins, gap = world.time.now - over, (over - MINUTE) // count
    world.jira.site.add(record(20_000 + n, begins + n * gap) for n in range(count))
    world.journal.entries.clear()
    return world


def die_at_fetch(world: World, number: int) -> None:
    """The next run is killed at this request to Jira, counted from 0."""
    seen = 0
    answer = world.jira.site.answer

    def counted(*arguments: object) -> Response:
        nonlocal seen
        if seen == number:
            world.journal.dead = True
        seen += 1
        return answer(*arguments)  # type: ignore[arg-type]

    world.jira.site.answer = counted  # type: ignore[assignment]
    try:
        world.run_until_crash()
    finally:
        world.jira.site.answer = answer  # type: ignore[method-assign]


# --- the mark ------------------------------------------------------------------------------------


def test_backlog_is_marked_before_its_first_request() -> None:
    world = backlog()

    die_at_fetch(world, 0)

    assert world.store.checkpoint().began is not None


def one_window() -> World:
    """A site whose next run reads one window, and sends nothing before its end."""
    world = waiting_world(200)
    world.policy = replace(world.policy, batch_bytes=1_000_000)
    return world


def test_unreadable_page_is_marked_before_the_next_request() -> None:
    world = one_window()
    world.jira.faults.at[world.jira.faults.calls] = lambda _: Response(200, {}, CUT_OFF)

    die_at_fetch(world, 0)  # the next request: the fault answers for the site

    assert not world.rows()
    assert world.store.checkpoint().began is not None


def test_full_page_is_marked_before_the_next_is_waited_for() -> None:
    world = one_window()

    die_at_fetch(world, 1)

    assert not world.rows()
    assert world.store.checkpoint().began is not None


# --- what the next run takes ---------------------------------------------------------------------


def test_each_killed_run_halves_the_step_of_the_next() -> None:
    world = backlog()
    steps = []

    for _ in range(30):
        die_at_fetch(world, 0)
        steps.append(world.store.checkpoint().step)

    assert steps[1] == steps[0] // 2
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] == 1
    assert world.run().result == "ok"
    assert not world.missing(range(20_000, 20_600))
    assert not world.duplicates()


def test_windows_that_close_do_not_undo_the_halving() -> None:
    """The overlap is quiet, and read again before what kills the run."""
    world = backlog(over=HOUR)
    world.store.blobs.update(_with_step(world, 4 * MINUTE))
    steps = []

    for _ in range(4):
        die_at_fetch(world, 3)
        steps.append(world.store.checkpoint().step)

    assert steps == [4 * MINUTE, 2 * MINUTE, MINUTE, MINUTE // 2]


def _with_step(world: World, step: int) -> dict[str, bytes]:
    checkpoint = world.store.checkpoint().stepping(step)
    return {f"checkpoints/{checkpoint.site}.json": checkpoint.encode(world.time.now)}


def test_step_is_half_of_what_there_is_to_read() -> None:
    checkpoint = Checkpoint.first("contoso.atlassian.net", START, START).stepping(8 * HOUR)

    assert checkpoint.cautious(START, 20 * MINUTE).step == 10 * MINUTE
    assert checkpoint.cautious(START, 20 * HOUR).step == 4 * HOUR
    assert checkpoint.stepping(1).cautious(START, 20 * HOUR).step == 1


def test_cautious_run_begins_with_small_pages() -> None:
    world = backlog()
    die_at_fetch(world, 0)
    world.jira.requests.clear()

    assert world.run().result == "ok"

    sizes = [int(query["limit"]) for query in world.jira.requests]
    assert sizes[:3] == [1, 2, 4]
    assert max(sizes) == 100
    assert world.store.checkpoint().began is None


def test_cautious_run_prefetches_once_a_batch_was_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    world = backlog(2_000)
    die_at_fetch(world, 0)
    accepted: list[int] = []
    pools = world.pools()

    def submit(*_: object) -> None:
        accepted.append(len(world.rows()))
        raise AssertionError  # only when it happens is asked here

    monkeypatch.setattr(pools.fetches, "submit", submit)
    monkeypatch.setattr(world, "pools", lambda: pools)

    with pytest.raises(AssertionError):
        world.run()

    assert accepted[0] > 0


def test_step_grows_again_after_answers_were_lost_for_long() -> None:
    world = waiting_world()
    service = install_real_sink(world)
    service.faults.always = accepted_then(ReadTimeout("slow"))
    for _ in range(40):
        assert world.run().result == "failed"
        world.time.advance(300)
    collapsed = world.store.checkpoint().step
    service.faults.always = None

    results = [world.run().result for _ in range(3)]

    assert results == ["ok"] * 3
    assert collapsed < MINUTE
    assert world.store.checkpoint().step > 10 * MINUTE
    assert not world.missing(range(20_000, 20_300))


# --- what is held until the log is known to be the same ------------------------------------------


def held(monkeypatch: pytest.MonkeyPatch, limit: int) -> list[int]:
    """Bounds what is held, and notes it after each page."""
    seen: list[int] = []
    add = Intake.add

    def noted(self: Intake, rows: list, rejected: list, window: Window) -> None:
        add(self, rows, rejected, window)
        seen.append(self._held_bytes)

    monkeypatch.setattr(intake, "HELD_BYTES", limit)
    monkeypatch.setattr(Intake, "add", noted)
    return seen


def known_site() -> World:
    """A site of which a record was delivered, too long ago for a tick to see it again."""
    world = World(page_size=20, batch_bytes=20_000)
    world.jira.site.add([record(10_000, START - HOUR)])
    world.run()
    world.time.advance(3 * 3600)
    return world


def test_window_with_too_much_to_hold_is_read_as_shorter_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, limit = known_site(), 10_000
    world.jira.site.add(
        record(20_000 + n, world.time.now - 50 * MINUTE + n * 20_000, description="x" * 300)
        for n in range(120)
    )
    seen = held(monkeypatch, limit)

    assert world.run().result == "ok"

    assert max(seen) > limit, "no window was too large"
    assert max(seen) < limit + 20 * 2_000, "a page more than the limit"
    assert not world.missing(range(20_000, 20_120))
    assert not world.duplicates()


def test_one_millisecond_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    world = known_site()
    world.jira.site.add(
        record(20_000 + n, world.time.now - 30 * MINUTE, description="x" * 300) for n in range(120)
    )
    seen = held(monkeypatch, 10_000)

    assert world.run().result == "ok"

    assert max(seen) < 10_000 + 20 * 2_000
    assert not world.missing(range(20_000, 20_120))
    assert not world.duplicates()
