"""Calls are retried as the policy says, and never after the deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jira_audit.core.clock import LONGEST_WAIT, Clock, Deadline, RetryPolicy, retry
from jira_audit.core.errors import (
    BatchRefused,
    ConnectorError,
    LeaseLost,
    OutOfTime,
    RecordRejected,
    SettingsError,
    SiteError,
    TransientError,
)


@dataclass
class World:
    """Time that passes only by sleeping, and a fixed random number."""

    seconds: float = 1_000.0
    chance: float = 0.5
    slept: list[float] = field(default_factory=list)
    heard: list[tuple[str, float]] = field(default_factory=list)
    calls: int = 0

    @property
    def clock(self) -> Clock:
        return Clock(lambda: 0, lambda: self.seconds, self.sleep, lambda: self.chance)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds

    def retry(
        self, call: Callable[[], str], policy: RetryPolicy | None = None, left: float = 10_000
    ) -> str:
        def count_call() -> str:
            self.calls += 1
            return call()

        return retry(
            count_call,
            policy=policy or RetryPolicy(),
            deadline=Deadline.after(self.clock, left),
            on_wait=lambda error, seconds: self.heard.append((str(error), seconds)),
        )


def fail_then_succeed(*errors: Exception) -> Callable[[], str]:
    coming: Iterator[Exception] = iter(errors)

    def call() -> str:
        for error in coming:
            raise error
        return "done"

    return call


def busy_error(retry_after: float | None = None) -> TransientError:
    return TransientError("busy", retry_after=retry_after)


def test_call_that_succeeds_is_made_once() -> None:
    world = World()
    assert world.retry(fail_then_succeed()) == "done"
    assert (world.calls, world.slept, world.heard) == (1, [], [])


def test_call_is_tried_five_times_then_raises_its_last_error() -> None:
    world, last = World(), TransientError("the last")
    with pytest.raises(TransientError) as raised:
        world.retry(fail_then_succeed(*[busy_error()] * 4, last, busy_error()))
    assert raised.value is last
    assert world.calls == 5
    assert world.slept == pytest.approx([2, 4, 8, 16])


@pytest.mark.parametrize(
    "error",
    [
        SiteError("someone acts"),
        SettingsError(["A is missing"]),
        BatchRefused("no", status=400),
        RecordRejected("no id"),
        OutOfTime("late"),
        ConnectorError("some other"),
        ConnectionError("a bug: the edge did not name it"),
        ValueError("a bug"),
    ],
)
def test_retry_is_for_transient_errors_only(error: Exception) -> None:
    world = World()
    with pytest.raises(type(error)) as raised:
        world.retry(fail_then_succeed(error))
    assert raised.value is error
    assert (world.calls, world.slept) == (1, [])


def test_retry_is_not_for_what_ends_the_process() -> None:
    world = World()

    def call() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.retry(call)
    assert world.calls == 1


def test_retry_is_not_for_a_lost_lease() -> None:
    """The storage library has already retried, and another run may have the site by now."""
    calls: list[None] = []

    def call() -> None:
        calls.append(None)
        raise LeaseLost("taken over")

    with pytest.raises(LeaseLost):
        retry(
            call,
            policy=RetryPolicy(),
            deadline=Deadline(Clock(lambda: 0, lambda: 0.0, lambda _: None, lambda: 0.5), 480.0),
            on_wait=lambda *_: None,
        )
    assert len(calls) == 1


def test_retry_policy_follows_atlassians_advice() -> None:
    policy = RetryPolicy()
    assert (policy.retries, policy.first, policy.longest) == (4, 2.0, 30.0)


def test_waits_double_from_two_seconds_to_thirty() -> None:
    world = World(chance=0.5)  # the middle: a factor of 1.0
    assert world.retry(fail_then_succeed(*[busy_error()] * 6), RetryPolicy(retries=6)) == "done"
    assert world.slept == pytest.approx([2, 4, 8, 16, 30, 30])
    assert world.calls == 7


def test_waits_end_with_the_last_try() -> None:
    world = World()
    with pytest.raises(TransientError):
        world.retry(fail_then_succeed(busy_error()), RetryPolicy(retries=0))
    assert (world.calls, world.slept, world.heard) == (1, [], [])


@pytest.mark.parametrize(("chance", "first"), [(0.0, 1.4), (0.5, 2.0), (1.0, 2.6)])
def test_waits_have_jitter_of_30_percent(chance: float, first: float) -> None:
    world = World(chance=chance)
    world.retry(fail_then_succeed(busy_error()))
    assert world.slept == pytest.approx([first])


@given(st.integers(1, 12), st.none() | st.floats(0, 500), st.floats(0, 1, exclude_max=True))
def test_waits_respect_retry_after_and_the_bounds(
    tries: int, asked: float | None, chance: float
) -> None:
    wait = RetryPolicy().wait(tries, asked, chance)
    assert wait >= (asked or 0)
    assert wait >= 1.4
    assert wait <= max(39.0, asked or 0)


def test_waits_take_a_longer_retry_after_but_no_shorter_one() -> None:
    world = World()
    world.retry(fail_then_succeed(busy_error(17), busy_error(1), busy_error(0)))
    assert world.slept == pytest.approx([17, 4, 8])


def test_waits_are_reported_before_they_begin() -> None:
    world = World()
    world.retry(fail_then_succeed(TransientError("one"), TransientError("two")))
    assert [text for text, _ in world.heard] == ["one", "two"]
    assert [seconds for _, seconds in world.heard] == pytest.approx([2, 4])


def test_deadline_prevents_a_wait_beyond_it() -> None:
    world = World()
    with pytest.raises(OutOfTime, match=r"busy.*the next run") as raised:
        world.retry(fail_then_succeed(busy_error(61)), left=60)
    assert isinstance(raised.value.__cause__, TransientError)
    assert (world.calls, world.slept, world.heard) == (1, [], [])


def test_deadline_permits_a_wait_up_to_it() -> None:
    world = World()
    assert world.retry(fail_then_succeed(busy_error(60)), left=60) == "done"
    assert world.slept == [60]


def test_deadline_counts_earlier_waits() -> None:
    world = World()
    with pytest.raises(OutOfTime):
        world.retry(fail_then_succeed(*[busy_error()] * 5), left=13)
    assert world.slept == pytest.approx([2, 4])


def test_deadline_counts_the_time_of_the_call() -> None:
    world = World()

    def slow() -> str:
        world.seconds += 59
        raise busy_error()

    with pytest.raises(OutOfTime):
        world.retry(slow, left=60)
    assert world.calls == 1


def test_deadline_in_the_past_permits_the_first_try() -> None:
    world = World()
    assert world.retry(fail_then_succeed(), left=-5) == "done"


@pytest.mark.parametrize("asked", [3_600.0, float("inf")])
def test_deadline_leaves_a_longer_retry_after_to_the_next_tick(
    asked: float,
) -> None:
    world = World()
    with pytest.raises(OutOfTime):
        world.retry(fail_then_succeed(busy_error(asked)), left=480)
    assert (world.calls, world.slept) == (1, [])


@given(
    st.lists(st.none() | st.floats(0, 400), max_size=8),
    st.floats(0, 500),
    st.floats(0, 1, exclude_max=True),
)
def test_deadline_is_passed_by_no_sleep(
    asked: list[float | None], left: float, chance: float
) -> None:
    world = World(chance=chance)
    try:
        world.retry(fail_then_succeed(*map(busy_error, asked)), left=left)
    except TransientError:
        assert asked
    assert world.seconds <= 1_000 + left + 1e-6
    assert world.calls <= 5


def test_deadline_counts_down_to_zero_only() -> None:
    world = World()
    deadline = Deadline.after(world.clock, 30)
    world.seconds += 10
    assert deadline.left() == 20
    world.seconds += 30
    assert deadline.left() == -10


@pytest.mark.parametrize("left", [float("inf"), 1e9])
def test_wait_beyond_an_hour_is_never_waited(left: float) -> None:
    world = World()
    with pytest.raises(TransientError, match=r"busy.*too long to wait for") as raised:
        world.retry(fail_then_succeed(busy_error(LONGEST_WAIT + 1)), left=left)
    assert type(raised.value) is TransientError
    assert (world.calls, world.slept, world.heard) == (1, [], [])

    assert world.retry(fail_then_succeed(busy_error(LONGEST_WAIT)), left=left) == "done"
    assert world.slept == [LONGEST_WAIT]
