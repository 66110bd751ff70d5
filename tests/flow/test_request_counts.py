"""How many requests a first run over a busy site takes, and how long they take together.

In a time of its own: each answer takes 250 ms, four requests are under way at most, and a page's
records take the flow 22 ms. As in `tests/bench`, without its noise, but with pages of 100 records.
The bounds are what is reached: whoever reads the log with fewer requests lowers them.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from jira_audit.core.timestamps import DAY, HOUR, MINUTE
from jira_audit.edge.jira import JiraSource
from jira_audit.flow.fetching import MAX_CONCURRENT_REQUESTS
from tests.fakes.world import START, World, record

PAGE = 100
ANSWER_SECONDS, FLOW_SECONDS = 0.25, 0.022


class TimedCall(Future):
    """A call that is done at a moment of its executor's time."""

    def __init__(self, executor: Timed, call: Callable[[], Any], at: float) -> None:
        super().__init__()
        self.at, self._executor, self._call = at, executor, call

    def finish(self) -> None:
        if not super().done():
            self.set_result(self._call())

    def done(self) -> bool:
        if self.at <= self._executor.now:
            self.finish()
        return super().done()

    def cancel(self) -> bool:
        """Refused: the request was sent."""
        return False

    def result(self, timeout: float | None = None) -> Any:
        self._executor.now = max(self._executor.now, self.at)
        self.finish()
        return super().result(timeout)


class Timed(Executor):
    """Some threads in simulated time, whose calls take as long as an answer does."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, list[TimedCall]()
        self._free = [0.0] * MAX_CONCURRENT_REQUESTS

    def submit(self, call: Callable, /, *arguments: Any, **_: Any) -> Future:
        at = max(self.now, heapq.heappop(self._free)) + ANSWER_SECONDS
        heapq.heappush(self._free, at)
        self.calls.append(TimedCall(self, lambda: call(*arguments), at))
        return self.calls[-1]

    def first_done(self, futures: Sequence[Future]) -> None:
        self.now = max(self.now, min(each.at for each in futures if isinstance(each, TimedCall)))
        for each in self.calls:
            each.done()


def first_run(
    monkeypatch: pytest.MonkeyPatch, pages: int, hours: int, span: float, seed: int
) -> tuple[int, float]:
    """The requests of a first run, and its seconds of those of the pages one after the other."""
    chance, count = random.Random(seed), pages * PAGE
    end = START - 10 * MINUTE - chance.randrange(10 * MINUTE)
    created = sorted(end - chance.randrange(round(span * HOUR)) for _ in range(count))
    world = World(page_size=PAGE, page_cap=PAGE, lookback=hours * HOUR)
    world.jira.site.add(record(10_000 + number, at) for number, at in enumerate(created))
    executor = Timed()
    monkeypatch.setattr(World, "FETCHER", lambda: executor)
    world.fetcher = lambda: executor  # type: ignore[assignment,return-value]
    decipher = JiraSource.decipher

    def timed(source: JiraSource, *arguments: Any) -> Any:
        page = decipher(source, *arguments)
        executor.now += FLOW_SECONDS * len(page.records) / PAGE
        return page

    with monkeypatch.context() as patch:
        patch.setattr(JiraSource, "decipher", timed)
        assert world.run().result == "ok"
    assert sorted(world.rows()) == list(range(10_000, 10_000 + count))
    asked = len(world.jira.requests)
    alone = asked - len(executor.calls)  # not on a thread
    return asked, (executor.now + alone * ANSWER_SECONDS) / (pages * ANSWER_SECONDS)


@pytest.mark.parametrize(
    ("pages", "hours", "span", "requests", "part"),
    [
        pytest.param(10, 24, 23.7, 17, 0.54, id="10,000 over a day"),
        pytest.param(40, 24, 23.7, 54, 0.36, id="40,000 over a day"),
        pytest.param(40, DAY // HOUR * 7, 167.5, 57, 0.38, id="40,000 over a week"),
        pytest.param(40, DAY // HOUR * 7, 144.0, 63, 0.44, id="the last six of seven days"),
        pytest.param(40, 24, 6.0, 73, 0.51, id="a burst after a quiet night"),
    ],
)
def test_first_run_takes_few_requests_and_little_time(
    monkeypatch: pytest.MonkeyPatch,
    pages: int,
    hours: int,
    span: float,
    requests: int,
    part: float,
) -> None:
    for seed in range(2):
        asked, took = first_run(monkeypatch, pages, hours, span, seed)
        assert asked <= requests
        assert took <= part
