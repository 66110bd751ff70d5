"""A page that cannot be read stops nothing: fewer records are requested, down to one."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import requests

from jira_audit.core.timestamps import HOUR
from jira_audit.edge import jira
from jira_audit.simulator.site import Response
from tests.fakes.world import START, World, record

BAD = 10_025


def world_with(count: int, *, page_size: int = 1_000, **fields: Any) -> World:
    """A site with so many records, one a second, an hour ago."""
    world = World(page_size=page_size)
    world.jira.site.add(
        record(10_000 + n, START - HOUR + n * 1_000, **fields) for n in range(count)
    )
    return world


def spoil(world: World, change: Callable[[bytes], bytes]) -> None:
    """Change each response's body."""

    def fault(call: Callable[[], Response]) -> Response:
        answer = call()
        return replace(answer, body=change(answer.body))

    world.jira.faults.always = fault


def summary(number: int = BAD) -> bytes:
    return b'"Thing %d changed"' % number


def limits(world: World) -> list[int]:
    return [int(request["limit"]) for request in world.jira.requests]


SPOILT = {
    "not a number": (lambda body: body.replace(summary(), b"NaN"), b'"summary":NaN'),
    "nested too deeply": (
        lambda body: body.replace(summary(), b"[" * 100_000 + b"]" * 100_000),
        b"[" * 1_000,
    ),
    "no UTF-8": (lambda body: body.replace(summary(), b'"Thing \xff\xfe"'), b"Thing \xff\xfe"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_record_that_is_not_json_becomes_one_dead_letter(kind: str) -> None:
    change, kept = SPOILT[kind]
    world = world_with(50)
    spoil(world, change)

    for _ in range(4):  # the last reads it again, in the sweep
        assert world.run().result == "ok"
        world.time.advance(300)
    world.time.advance(25 * 3600)
    assert world.run().result == "ok"

    assert sorted(world.rows()) == [10_000 + n for n in range(50) if 10_000 + n != BAD]
    (letter,) = world.store.letters()
    text = letter["record"]
    raw = base64.b64decode(text) if "base64" in letter["reason"] else text.encode()
    assert raw.startswith(b'{"id":10025,')
    assert raw.endswith(b"}")
    assert kept in raw
    assert letter["kind"] == "unreadable"
    assert [name for name in world.store.blobs if "/undated/" in name]
    assert sum(each.tally.letters for each in world.outcomes) == 1


def test_limit_is_halved_to_the_record_and_grows_again() -> None:
    world = world_with(300, page_size=64)
    spoil(world, SPOILT["not a number"][0])

    assert world.run().result == "ok"

    asked = limits(world)
    assert min(asked) == 1
    alone = asked.index(1)
    assert asked[alone - 3 : alone] == [8, 4, 2]
    assert asked[alone : alone + 7] == [1, 1, 2, 4, 8, 16, 32]
    assert len(asked) < 40


def test_record_that_is_unreadable_for_a_while_is_delivered() -> None:
    """At the smallest request, the same is requested again, after a wait, before it is given up."""
    world, count = world_with(50), [0]

    def change(body: bytes) -> bytes:
        count[0] += 1
        return body.replace(summary(), b"NaN") if count[0] < 14 else body

    spoil(world, change)
    assert world.run().result == "ok"
    assert len(world.rows()) == 50
    assert not world.store.letters()


@pytest.mark.orders
def test_records_that_are_not_json_become_a_dead_letter_each() -> None:
    world = world_with(60, page_size=20)
    bad = [10_000, 10_019, 10_020, 10_021, 10_059]

    def change(body: bytes) -> bytes:
        for number in bad:
            body = body.replace(summary(number), b"NaN")
        return body

    spoil(world, change)
    assert world.run().result == "ok"
    assert sorted({*world.rows(), *bad}) == list(range(10_000, 10_060))
    assert len(world.rows()) == 55
    assert len(world.store.letters()) == 5


@pytest.mark.orders
def test_page_that_is_too_long_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jira, "ANSWER_LIMIT", 100_000)
    world = world_with(50, description="x" * 5_000)
    assert world.run().result == "ok"
    assert sorted(world.rows()) == list(range(10_000, 10_050))
    assert not world.store.letters()


def test_record_that_is_too_long_becomes_a_dead_letter_of_its_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jira, "ANSWER_LIMIT", 50_000)
    monkeypatch.setattr(jira, "RECORD_LIMIT", 100_000)
    world = world_with(50)
    world.jira.tamper[BAD] = lambda it: it | {"description": "x" * 200_000}

    for _ in range(2):
        assert world.run().result == "ok"
        world.time.advance(25 * 3600)

    assert len(world.rows()) == 49
    (letter,) = world.store.letters()
    assert letter["record"].startswith('{"id": 10025,')
    assert len(letter["record"]) == 100_000 - jira.ENVELOPE_SIZE


def slow_above(world: World, limit: int) -> None:
    """A request for more records than this is not answered in time."""

    def fault(call: Callable[[], Response]) -> Response:
        if limits(world)[-1] > limit:
            world.time.advance(20)
            raise requests.ReadTimeout("slow")
        return call()

    world.jira.faults.always = fault


@pytest.mark.orders
def test_page_that_is_too_slow_is_read_in_parts() -> None:
    world = world_with(50)
    slow_above(world, 250)
    assert world.run().result == "ok"
    assert len(world.rows()) == 50


@pytest.mark.parametrize(("limit", "runs"), [(1, 80), (3, 80), (5, 4)])
def test_site_too_slow_for_one_run_is_read_over_several(limit: int, runs: int) -> None:
    """The step is halved until a window is read within a run."""
    world = world_with(60, page_size=16)
    slow_above(world, limit)
    for _ in range(runs):
        outcome = world.run()
        assert outcome.duration_ms < 560_000
        world.time.advance(60)
    assert sorted(world.rows()) == list(range(10_000, 10_060))
    assert not world.store.letters()


def test_site_that_answers_nothing_in_time_fails() -> None:
    world = world_with(50)
    slow_above(world, 0)
    outcome = world.run()
    assert outcome.result == "failed"
    assert "did not answer in time" in str(outcome.error)
    assert outcome.duration_ms < 480_000
    assert not world.store.letters()


HTML = Response(200, {"Content-Type": "text/html"}, b"<html>Scheduled maintenance</html>")


@pytest.mark.orders
def test_maintenance_page_never_becomes_a_dead_letter() -> None:
    world = world_with(50)
    world.jira.faults.always = lambda _: HTML
    assert world.run().result == "failed"
    assert not world.store.letters()
    assert set(limits(world)) == {1_000}

    world.jira.faults.always = None
    assert world.run().result == "ok"
    assert len(world.rows()) == 50


def test_page_with_too_many_records_never_becomes_a_dead_letter() -> None:
    world = world_with(50)
    whole = Response(200, {}, json.dumps({"records": [record(1, START)] * 1_001}).encode())
    world.jira.faults.always = lambda _: whole
    outcome = world.run()
    assert outcome.result == "failed"
    assert "1001 records, though 1 were requested" in str(outcome.error)
    assert not world.store.letters()


def test_format_that_no_parser_reads_fails_the_site() -> None:
    world = world_with(50)
    spoil(world, lambda body: body.replace(b'"summary":', b'"summary":NaN'))
    for _ in range(3):
        assert world.run().result == "failed"
        world.time.advance(300)
    assert "format has changed" in str(world.outcomes[-1].error)
    assert len(world.store.letters()) == 20
    assert world.store.checkpoint().through < START - HOUR


def test_many_unreadable_records_take_several_runs() -> None:
    world = world_with(100)
    spoil(
        world,
        lambda body: (
            body.replace(b"5 changed", b'5"NaN')
            .replace(b"7 changed", b'7"NaN')
            .replace(b"3 changed", b'3"NaN')
        ),
    )
    most = 0
    for _ in range(30):
        before = len(world.store.letters())
        world.run()
        most = max(most, len(world.store.letters()) - before)
        world.time.advance(60)
        if world.outcomes[-1].result == "ok":
            break
    assert world.outcomes[-1].result == "ok"
    assert len(world.rows()) == 70
    assert len(world.store.letters()) == 30
    assert most <= 20


@pytest.mark.orders
@pytest.mark.parametrize("seed", range(6))
def test_records_around_unreadable_ones_are_delivered_once(seed: int) -> None:
    world = world_with(120, page_size=[7, 20, 50, 64, 99, 1_000][seed])
    bad = [10_000 + (seed * 37 + n * n * 7) % 120 for n in range(6)]

    def change(body: bytes) -> bytes:
        for number in bad:
            body = body.replace(summary(number), b"NaN")
        return body

    spoil(world, change)
    for _ in range(3):
        assert world.run().result == "ok"
        world.time.advance(300)
    assert sorted(world.rows()) == sorted(set(range(10_000, 10_120)) - set(bad))
    assert len(world.store.letters()) == len(set(bad))


def test_verify_finds_the_dead_letter_of_an_unreadable_record() -> None:
    world = world_with(50)
    spoil(world, SPOILT["not a number"][0])
    world.run()
    findings = world.verify(START - 2 * HOUR).findings
    assert findings.verdict == "complete"
    assert findings.count("dead letter") == 1


def test_replay_keeps_the_dead_letter_of_an_unreadable_record() -> None:
    world = world_with(50)
    spoil(world, SPOILT["not a number"][0])
    world.run()
    replayed = world.replay()
    assert len(replayed.kept) == len(world.store.letters()) == 1
    assert replayed.error is None
    assert "text, not an object" in replayed.kept[0][1]
