"""What a site's status reports of stored checkpoints and letters, and of unreadable ones."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from jira_audit.core.errors import SiteError, TransientError
from jira_audit.core.timestamps import DAY, HOUR, MINUTE
from jira_audit.operations.status import State, Status, read_status
from tests.fakes.world import HOST, START, World, record
from tests.flow.test_collect import answer_with, world_with


def status_of(world: World) -> Status:
    return read_status(HOST, world.store, world.store, world.store.backfills())


def status_payload(world: World, expires: date | None = None) -> dict[str, Any]:
    """The status as a program reads it."""
    status = status_of(world)
    return json.loads(json.dumps(status.payload(world.time.now, expires)))


def test_status_after_a_good_run_has_its_place_and_result() -> None:
    world = world_with(100)
    world.sink.poison = {10_050}
    world.run()
    world.time.advance(240)

    status = status_payload(world)

    assert status["site"] == HOST
    assert (status["state"], status["problem"]) == ("ok", None)
    assert status["lag_seconds"] == 240
    assert status["from"] == "2026-11-19T12:00:00.000Z"
    assert status["dealt_with"] == 100
    assert status["letters"] == 1
    assert status["last"]["rows"] == 99
    assert status["gaps"] == {"ids": 0, "ranges": []}
    assert status["backfill"] is None


def test_status_after_failures_says_what_to_do() -> None:
    world = world_with(100)
    world.run()
    world.jira.faults.always = answer_with(401)
    for _ in range(3):
        world.time.advance(300)
        world.run()

    status = status_of(world)

    assert status.state == "failed"
    assert status.problem == str(world.outcomes[-1].error)
    assert status_payload(world)["lag_seconds"] >= 900


def test_status_after_a_recovery_shows_no_failure() -> None:
    world = world_with(100)
    world.jira.faults.script = [answer_with(401)]
    world.run()
    world.run()

    assert status_payload(world)["state"] == "ok"


def test_status_after_a_crash_is_unknown() -> None:
    world = world_with(100)
    world.journal.die = (3, "after")
    world.run_until_crash()

    assert status_payload(world)["state"] == "unknown"


@pytest.mark.parametrize(
    "last", [None, 7, "ok", {}, {"outcome": "splendid"}, {"outcome": ["ok"]}, {"error": 7}]
)
def test_status_with_an_invalid_last_run_is_unknown(last: Any) -> None:
    world = world_with(10)
    world.run()
    content = json.loads(world.store.blobs[f"checkpoints/{HOST}.json"])
    world.store.blobs[f"checkpoints/{HOST}.json"] = json.dumps(content | {"last": last}).encode()

    status = status_payload(world)

    assert (status["state"], status["problem"]) == ("unknown", None)
    assert status["dealt_with"] == 10


def test_status_of_a_site_never_collected_is_new() -> None:
    status = status_of(World())

    assert status.state == "new"
    assert "through" not in status.payload(START, None)


def test_status_counts_gaps_and_late_records() -> None:
    world = World()
    world.jira.site.add(record(each, START - HOUR + each) for each in (10, 11, 15, 20))
    world.run()
    world.jira.site.add([record(12, START - MINUTE)])
    world.time.advance(60)
    world.run()

    status = status_payload(world)

    assert status["gaps"] == {"ids": 6, "ranges": [[13, 14], [16, 19]]}
    assert status["late_found"] == 1


@pytest.mark.parametrize("content", [b"garbled", b"{}", b'{"v": 2}'])
def test_status_with_an_unreadable_checkpoint_says_what_to_do(content: bytes) -> None:
    world = World()
    world.store.blobs[f"checkpoints/{HOST}.json"] = content

    status = status_of(world)

    assert status.state == "unreadable"
    assert "checkpoint" in str(status.problem)
    assert "through" not in status.payload(START, None)


@pytest.mark.parametrize("error", [SiteError("storage refuses"), TransientError("storage is away")])
@pytest.mark.parametrize("call", ["stored", "names", "is_leased"])
def test_status_without_storage_raises_nothing(
    call: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_with(10)
    world.run()

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(world.store, call, fail)

    state: State = "unreadable" if isinstance(error, SiteError) else "unreachable"
    assert status_of(world) == Status(HOST, state, problem=str(error))


def test_status_shows_the_backfill_beside_the_ticks() -> None:
    world = world_with(10)
    world.run()
    begun = world.store.checkpoint()
    filled = replace(begun, start=START - 9 * DAY, through=START - 2 * DAY)
    world.store.blobs[f"backfills/{HOST}.json"] = filled.encode(START)

    status = status_payload(world)

    assert status["backfill"]["from"] == "2026-11-11T12:00:00.000Z"
    assert status["backfill"]["through"] == "2026-11-18T12:00:00.000Z"
    assert status["from"] == "2026-11-19T12:00:00.000Z"


@pytest.mark.parametrize(
    ("expires", "days"),
    [(date(2026, 11, 30), 10), (date(2026, 11, 20), 0), (date(2026, 11, 1), -19)],
)
def test_status_shows_the_days_until_the_token_expires(expires: date, days: int) -> None:
    status = status_payload(world_with(1), expires)

    assert (status["token_expires"], status["token_days_left"]) == (f"{expires}", days)


def test_status_only_reads_storage() -> None:
    world = world_with(10)
    world.run()
    before = dict(world.store.blobs)
    world.journal.entries.clear()

    status_of(world)

    assert world.store.blobs == before
    assert set(world.journal.entries) == {"is_leased", "stored", "names"}
