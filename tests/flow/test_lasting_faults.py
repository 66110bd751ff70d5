"""Faults that last: after the first run, each further run sends one batch at most.

A run saves a mark before its first send. A run that finds the mark of another is cautious: one
batch at a time, each tried once, until one was accepted and saved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import requests
from urllib3 import HTTPSConnectionPool
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError

from jira_audit.core.errors import SiteError, TransientError
from jira_audit.simulator.site import Response
from tests.fakes.transport import IngestionService, install_real_sink
from tests.fakes.world import START, Eager, World, record
from tests.flow.test_collect import raise_error

BATCH_BYTES = 8_000
RUNS = 12


def waiting_world(count: int = 300) -> World:
    """A site with a checkpoint, and new records; 300 are about eight batches."""
    world = World(page_size=100, batch_bytes=BATCH_BYTES)
    world.run()
    world.jira.site.add(record(20_000 + n, START + 1_000 + n * 50) for n in range(count))
    world.time.advance(300)
    return world


def batch_rows(world: World) -> int:
    """The rows of the largest batch that was accepted."""
    return max(len(ids) for ids in world.sink.sent)


def accepted_then(answer: Response | Exception) -> Callable[[Callable[[], Any]], Any]:
    def fault(call: Callable[[], Any]) -> Any:
        call()
        if isinstance(answer, Exception):
            raise answer
        return answer

    return fault


UNKNOWN = {
    "200": Response(200, {}, b""),
    "202": Response(202, {}, b""),
    "206": Response(206, {}, b""),
    "500": Response(500, {}, b""),
    "502": Response(502, {}, b""),
    "503": Response(503, {}, b""),
    "504": Response(504, {}, b""),
    "408": Response(408, {}, b""),
    "no answer": requests.ReadTimeout("slow"),
    "reset": requests.ConnectionError(ProtocolError("aborted", ConnectionResetError())),
    "cut off": requests.exceptions.ChunkedEncodingError("cut off"),
}


@pytest.mark.parametrize("error", [TransientError("HTTP 500"), SiteError("BlobImmutable")])
def test_a_store_that_cannot_save_is_found_with_nothing_sent(error: Exception) -> None:
    world = waiting_world()
    world.store.faults.always = raise_error(error)

    for _ in range(RUNS):
        assert world.run().result in {"failed", "skipped"}
        world.time.advance(300)

    assert world.rows() == []
    world.store.faults.always = None
    assert world.run().result == "ok"
    assert not world.missing(range(20_000, 20_300))
    assert not world.duplicates()


@pytest.mark.parametrize("answer", UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_delivery_adds_one_batch_a_run(answer: Response | Exception) -> None:
    world = waiting_world()
    service = install_real_sink(world)
    service.faults.always = accepted_then(answer)
    assert world.run().result == "failed"
    first = len(world.rows())

    for _ in range(RUNS):
        world.time.advance(300)
        before = len(world.rows())
        assert world.run().result == "failed"
        assert len(world.rows()) - before <= batch_rows(world)

    assert first <= 8 * batch_rows(world), "four in flight, and one of them tried four more times"
    service.faults.always = None
    world.time.advance(300)
    assert world.run().result == "ok"
    assert not world.missing(range(20_000, 20_300))
    assert world.store.checkpoint().began is None


def test_a_cautious_run_opens_up_once_a_batch_was_accepted_and_saved() -> None:
    world = waiting_world()
    world.page_size = 1_000  # several batches from a cautious first page, which has 10 records
    world.policy = replace(world.policy, batch_bytes=1_000)
    service = install_real_sink(world)
    service.faults.always = accepted_then(Response(504, {}, b""))
    world.run()
    service.faults.always = None
    world.time.advance(300)
    in_flight = peak_in_flight(world, service)
    world.executor = Eager

    assert world.run().result == "ok"

    assert in_flight[:2] == [1, 1]
    assert max(in_flight) > 1


def peak_in_flight(world: World, service: IngestionService) -> list[int]:
    """Filled at each send of the next run: the batches sent since the last save."""
    counts: list[int] = []
    entries = world.journal.entries

    def note(call: Callable[[], Any]) -> Any:
        last_save = max(n for n, name in enumerate(entries) if name == "save")
        counts.append(entries[last_save:].count("send"))
        return call()

    service.faults.always = note
    return counts


@pytest.mark.parametrize("status", [401, 403, 404, 429])
def test_a_refusal_leaves_no_mark(status: int) -> None:
    world = waiting_world()
    service = install_real_sink(world)
    service.faults.always = lambda _: Response(status, {}, b"{}")
    assert world.run().result == "failed"

    assert world.store.checkpoint().began is None


def test_an_unreachable_service_leaves_no_mark() -> None:
    world = waiting_world()
    service = install_real_sink(world)
    pool = HTTPSConnectionPool("localhost")
    reason = NewConnectionError(HTTPSConnection("localhost"), "refused")
    service.faults.always = raise_error(requests.ConnectionError(MaxRetryError(pool, "/", reason)))
    assert world.run().result == "failed"

    assert world.store.checkpoint().began is None


def test_an_ordinary_run_saves_its_mark_its_rows_and_its_end() -> None:
    world = waiting_world(1)
    world.journal.entries.clear()

    assert world.run().result == "ok"

    assert world.journal.entries.count("save") == 3
    assert world.store.checkpoint().began is None


def test_an_idle_run_saves_no_mark() -> None:
    world = World()
    world.run()
    world.time.advance(300)
    world.journal.entries.clear()

    world.run()

    assert world.journal.entries.count("save") == 1


def test_a_run_that_was_killed_again_and_again_adds_one_batch_each_time() -> None:
    world = waiting_world()
    for number in range(10):
        world.journal.entries.clear()
        probe = _sends_of_next_run(world)
        world.journal.die = (probe, "after")
        before = len(world.rows())
        world.run_until_crash()
        assert number == 0 or len(world.rows()) - before <= batch_rows(world)

    assert world.run().result == "ok"
    assert not world.missing(range(20_000, 20_300))
    assert max(Counter(world.rows()).values()) <= 11


def _sends_of_next_run(world: World) -> int:
    """The number of the effect that is the next run's first send."""
    # take, load, fetch(es), the mark's save: the send follows the run's first save.
    trial = waiting_world()
    trial.store.blobs = dict(world.store.blobs)
    trial.time.now = world.time.now
    trial.jira.site = world.jira.site
    trial.journal.entries.clear()
    trial.run()
    return trial.journal.entries.index("send")
