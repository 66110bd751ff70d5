"""The bytes that a process holds: bounded over all sites, without two of them waiting for ever."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from jira_audit.core.plan import Schedule
from jira_audit.core.timestamps import HOUR
from jira_audit.flow.collect import collect
from jira_audit.flow.memory import ByteBudget
from jira_audit.flow.ports import Pools
from tests.fakes.world import START, World, record


def test_budget_has_room_up_to_its_total() -> None:
    budget = ByteBudget(10)

    assert budget.take(6)
    assert not budget.take(5)
    assert budget.take(4)
    budget.give_back(6)
    assert budget.take(6)


def test_budget_that_is_free_has_room_for_anything() -> None:
    budget = ByteBudget(10)

    assert budget.take(99)
    assert not budget.take(1)


def test_budget_waits_until_another_gives_back() -> None:
    budget = ByteBudget(10)
    assert budget.take(10)
    timer = threading.Timer(0.05, budget.give_back, (10,))
    timer.start()

    assert budget.take(10, seconds=30)
    timer.join()


class Watched(ByteBudget):
    """Notes the most that was held."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self.most = 0

    def take(self, count: int, seconds: float = 0.0) -> bool:
        taken = super().take(count, seconds)
        self.most = max(self.most, self._held)
        return taken


def large_world(count: int = 300) -> World:
    world = World(page_size=50, batch_bytes=20_000, lookback=5 * HOUR)
    world.jira.site.add(
        record(10_000 + n, START - 4 * HOUR + n * 30_000, description="x" * 1_000)
        for n in range(count)
    )
    return world


@pytest.mark.parametrize("total", [1, 100_000, 400_000])
def test_run_within_a_small_budget_delivers_everything(total: int) -> None:
    world = large_world()
    world.memory = Watched(total), Watched(total)

    assert world.run().result == "ok"

    assert not world.missing(range(10_000, 10_300))
    for budget in world.memory:
        assert budget._held == 0, "something was not given back"


def test_failures_give_back_what_they_took() -> None:
    world = large_world()
    world.memory = Watched(400_000), Watched(400_000)
    for number in (0, 2, 3):
        world.jira.faults.at[number] = lambda call: replace(call(), status=500)
    world.sink.poison = {10_050}

    assert world.run().result == "ok"

    assert [budget._held for budget in world.memory] == [0, 0]


def test_several_sites_share_a_budget_and_all_end() -> None:
    """Real threads: each holds a page while it waits to send, and has batches in flight."""
    memory = Watched(120_000), Watched(45_000)
    worlds = [large_world() for _ in range(6)]

    def run(world: World) -> str:
        fetches, sends = ThreadPoolExecutor(4), ThreadPoolExecutor(4)
        with fetches, sends:
            pools = Pools(fetches, sends, responses=memory[0], batches=memory[1])
            new = replace(world.new_run(), pools=pools)
            return collect(new, Schedule(new.policy)).result

    with ThreadPoolExecutor(len(worlds)) as sites:
        results = list(sites.map(run, worlds))

    assert results == ["ok"] * len(worlds)
    assert [budget._held for budget in memory] == [0, 0]
    for world in worlds:
        assert not world.missing(range(10_000, 10_300))
