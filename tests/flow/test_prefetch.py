"""Prefetched pages: which of their failures matter, and which do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jira_audit.core import timestamps
from jira_audit.core.errors import OutOfTime, SiteError
from jira_audit.core.timestamps import HOUR, MINUTE
from jira_audit.simulator.site import Response
from tests.fakes.world import START, Eager, Lazy, Shuffled, World, record
from tests.flow.test_collect import ids

pytestmark = pytest.mark.orders  # what is asked for ahead is their subject

FOUR_FULL_PAGES = 37  # of ten records, each begun one record back


def world_with_prefetch(count: int = FOUR_FULL_PAGES, **how: Any) -> World:
    """A site whose pages of ten are prefetched, with the records spread evenly in one window."""
    world = World(page_size=10, lookback=HOUR, **how)
    world.fetcher = Eager
    apart = HOUR // (count + 1)
    world.jira.site.add(record(10_000 + n, START - HOUR + apart * (n + 1)) for n in range(count))
    return world


def answer_at_offset(world: World, wrong: Callable[[int], bool], *answers: Response) -> None:
    """Send these responses in turn to requests at a wrong offset, then the true one."""
    left = list(answers)

    def fault(call: Callable[[], Any]) -> Any:
        offset = int(world.jira.requests[-1]["offset"])
        return left.pop(0) if left and wrong(offset) else call()

    world.jira.faults.always = fault


# Pages of the window that is read


def test_prefetched_pages_are_delivered_once_in_order() -> None:
    world = world_with_prefetch()

    assert world.run().result == "ok"

    assert world.rows() == sorted(ids(world), reverse=True)
    asked = [int(each["offset"]) for each in world.jira.requests]
    assert asked[0] == 0
    assert sorted(asked[:5]) == [0, 9, 18, 27, 36]


def test_prefetched_pages_follow_full_pages_only() -> None:
    world = world_with_prefetch(count=9)

    world.run(sweep=HOUR)

    assert [int(each["offset"]) for each in world.jira.requests][:2] == [0, 9]


def test_prefetched_pages_of_a_moved_list_are_read_again() -> None:
    world = world_with_prefetch(count=70)
    later = record(20_000, START - 30 * MINUTE + 65)

    def fault(call: Callable[[], Any]) -> Any:
        answer = call()
        if world.jira.requests[-1]["offset"] == "18":
            world.jira.site.add([later])  # between this page and the next, which moves down
        return answer

    world.jira.faults.always = fault

    assert world.run().result == "ok"

    assert not world.missing(ids(world))
    assert not world.duplicates()


def test_prefetched_pages_end_with_the_eighth() -> None:
    world = world_with_prefetch(count=200)

    world.run()

    first = world.jira.requests[0]
    same = [each for each in world.jira.requests if each["to"] == first["to"]]
    in_first = [each for each in same if each["from"] == first["from"]]
    assert len(in_first) == 8
    assert not world.missing(ids(world))


# Errors


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_error_of_a_page_beyond_the_end_is_ignored(status: int) -> None:
    world = world_with_prefetch(count=25)
    answer_at_offset(world, lambda offset: offset > 25, *[Response(status, {}, b"")] * 20)

    outcome = world.run()

    assert outcome.result == "ok"
    assert not world.missing(ids(world))
    assert world.time.slept == [0.0]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_error_of_a_needed_page_fails_the_site(status: int) -> None:
    world = world_with_prefetch()
    answer_at_offset(world, lambda offset: offset == 18, *[Response(status, {}, b"")] * 9)

    outcome = world.run()

    assert outcome.result == "failed"
    assert isinstance(outcome.error, SiteError)
    assert world.store.checkpoint().through < START - 30 * MINUTE
    world.jira.faults.always = None
    world.run()
    assert not world.missing(ids(world))
    assert not world.duplicates()


@pytest.mark.parametrize("answer", [Response(500, {}, b""), Response(200, {}, b"<html>")])
def test_error_of_a_needed_page_is_retried(answer: Response) -> None:
    world = world_with_prefetch()
    answer_at_offset(world, lambda offset: offset == 18, answer)

    assert world.run().result == "ok"

    assert len(world.time.slept) == 2
    assert not world.missing(ids(world))
    assert not world.duplicates()


def test_error_of_a_prefetched_page_is_retried_as_any_other() -> None:
    world = world_with_prefetch()
    answer_at_offset(world, lambda offset: offset == 18, *[Response(500, {}, b"")] * 99)

    world.run()

    tries = [each for each in world.jira.requests if each["offset"] == "18"]
    assert len(tries) == 5


def world_of_windows(hours: int = 6, **how: Any) -> World:
    """A site with about fifty records an hour, evenly spread, in pages of ten."""
    world = World(page_size=10, lookback=hours * HOUR, batch_bytes=4_000, **how)
    world.fetcher = Eager
    world.jira.site.add(
        record(10_000 + n, START - hours * HOUR + n * 72_000) for n in range(hours * 50)
    )
    return world


@pytest.mark.parametrize("answer", [Response(401, {}, b""), Response(404, {}, b"")])
def test_error_of_a_prefetched_window_fails_the_site_in_its_turn(
    answer: Response,
) -> None:
    world = world_of_windows()
    second = START - 5 * HOUR

    def fault(call: Callable[[], Any]) -> Any:
        asked = timestamps.parse(world.jira.requests[-1]["from"])
        return answer if asked >= second else call()

    world.jira.faults.always = fault

    outcome = world.run()

    assert isinstance(outcome.error, SiteError)
    assert world.store.checkpoint().through == second - 1
    world.jira.faults.always = None
    assert world.run().result == "ok"
    assert not world.missing(ids(world))
    assert not world.duplicates()


def test_a_429_delays_every_request() -> None:
    world = world_with_prefetch(count=70)
    answer_at_offset(world, lambda offset: offset == 18, Response(429, {"Retry-After": "17"}, b""))
    when: list[tuple[int, int]] = []
    send = world.jira.send

    def note_request(request: Any, *more: Any, **named: Any) -> Any:
        answer = send(request, *more, **named)
        if world.jira.requests:  # else it was asked for its cloud id
            when.append((int(world.jira.requests[-1]["offset"]), world.time.now))
        return answer

    world.jira.send = note_request  # type: ignore[method-assign]

    assert world.run().result == "ok"

    refused = next(at for offset, at in when if offset == 18)
    after = [at for offset, at in when if at > refused and offset not in {27, 36}]
    assert min(after) - refused >= 17_000
    assert not world.missing(ids(world))


@pytest.mark.parametrize("headers", [{"Retry-After": "17"}, {}])
def test_a_429_for_a_prefetched_window_delays_every_request(
    headers: dict[str, str],
) -> None:
    world = world_of_windows()
    first = timestamps.text(START - 6 * HOUR)
    left, when = [Response(429, headers, b"")], list[int]()

    def fault(call: Callable[[], Any]) -> Any:
        if left and world.jira.requests[-1]["from"] != first:
            when[:] = [world.time.now]
            return left.pop()
        when.append(world.time.now)
        return call()

    world.jira.faults.always = fault

    assert world.run().result == "ok"

    refused, following = when[:2]
    assert following - refused >= (17_000 if headers else 1_400)
    assert not world.missing(ids(world))
    assert not world.duplicates()


@pytest.mark.parametrize("fetcher", [Lazy, Eager, Shuffled])
def test_a_429_to_several_requests_costs_the_longest_pause(fetcher: Any) -> None:
    world = world_with_prefetch(count=70)
    world.fetcher = fetcher
    refusals = [Response(429, {"Retry-After": str(after)}, b"") for after in (7, 17, 5, 9)]
    given: list[Response] = []

    def fault(call: Callable[[], Any]) -> Any:
        answer = call()
        if len(world.jira.requests) == 1 or not refusals or world.time.slept[1:]:
            return answer
        given.append(refusals.pop(0))
        return given[-1]

    world.jira.faults.always = fault

    assert world.run().result == "ok"

    longest = max(int(answer.headers["Retry-After"]) for answer in given)
    assert len(world.time.slept) == 2
    assert longest - 1 <= world.time.slept[1] <= longest
    assert not world.missing(ids(world))
    assert not world.duplicates()


# The deadline


def test_deadline_keeps_what_was_delivered() -> None:
    world = world_with_prefetch(count=70)
    answer_at_offset(world, lambda offset: offset == 27, Response(429, {"Retry-After": "900"}, b""))

    outcome = world.run()

    assert isinstance(outcome.error, OutOfTime)
    assert world.rows()
    assert world.run().result == "ok"
    assert not world.missing(ids(world))
    assert not world.duplicates()


def requested_windows(world: World) -> list[str]:
    return [each["from"] for each in world.jira.requests]


def test_deadline_ends_the_prefetch_of_windows() -> None:
    world = world_of_windows()
    world.jira.seconds, world.budget = 1.0, 0.5

    world.run()

    assert len(set(requested_windows(world))) == 1


# Windows after the one that is read


def test_last_rows_are_sent_while_the_end_is_requested() -> None:
    world = world_with_prefetch(count=25)
    world.executor, world.fetcher = Eager, Lazy

    world.run()

    entries = world.journal.entries
    assert entries.index("send") < len(entries) - 1 - entries[::-1].index("fetch")
    assert len(world.sink.sent) == 1


def test_next_window_is_prefetched() -> None:
    world = world_of_windows()

    assert world.run().result == "ok"

    asked = requested_windows(world)
    assert asked != sorted(asked)
    assert not world.missing(ids(world))
    assert not world.duplicates()


def test_late_record_in_a_prefetched_window_is_found_later() -> None:
    world = world_of_windows()
    late = record(20_000, START - 10 * MINUTE)
    calls = 0

    def fault(call: Callable[[], Any]) -> Any:
        nonlocal calls
        answer, calls = call(), calls + 1
        if timestamps.parse(world.jira.requests[-1]["to"]) >= START:
            world.jira.site.add([late])
        return answer

    world.jira.faults.always = fault

    assert world.run().result == "ok"
    world.time.advance(300)
    assert world.run().result == "ok"

    assert 20_000 in world.rows()
    assert not world.missing(ids(world))
    assert not world.duplicates()


def test_prefetched_window_that_became_too_long_is_cut() -> None:
    """It was prefetched in a quiet time, and longer; then the window before it was busy."""
    world = World(page_size=10, lookback=24 * HOUR, batch_bytes=4_000)
    world.fetcher = Eager
    start = START - 17 * HOUR
    world.jira.site.add(record(10_000 + n, start + n * 180_000) for n in range(16 * 20))

    assert world.run().result == "ok"

    lengths = [
        timestamps.parse(each["to"]) - timestamps.parse(each["from"])
        for each in world.jira.requests
    ]
    assert max(lengths) >= 8 * HOUR - 1
    assert len(world.jira.requests) < 80
    assert not world.missing(ids(world))
    assert not world.duplicates()


def test_prefetched_windows_of_a_quiet_day_are_all_used() -> None:
    world = World(lookback=24 * HOUR)

    assert world.run().result == "ok"

    asked = [(each["from"], each["to"]) for each in world.jira.requests]
    assert len(asked) == len(set(asked)) == world.outcomes[-1].tally.windows == 5


def test_prefetched_windows_cost_few_more_requests() -> None:
    asked = []
    for fetcher in (Lazy, Eager):
        world = world_of_windows(24)
        world.fetcher = fetcher
        world.run()
        asked.append(len(world.jira.requests))
    needed = 24 * 50 / 9
    assert max(asked) < needed * 1.45
