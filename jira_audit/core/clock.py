"""Clock, sleep and randomness as arguments; the deadline; the only retry loop.

Only `wiring.py` makes the real `Clock`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from jira_audit.core.errors import LeaseLost, OutOfTime, TransientError

T = TypeVar("T")


@dataclass(frozen=True)
class Clock:
    """The only source of time and randomness.

    `now` is the wall clock in milliseconds. `monotonic` and `sleep` are in seconds. `random` is
    uniform in [0, 1).
    """

    now: Callable[[], int]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    random: Callable[[], float]


GRACE_SECONDS = 20.0
"""How long work may continue after the deadline."""


@dataclass
class Deadline:
    """The moment (monotonic) after which no new window is begun."""

    clock: Clock
    at: float
    is_stopped: bool = False
    """Someone has stopped the work (Ctrl-C, SIGTERM)."""

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> Deadline:
        return cls(clock, clock.monotonic() + seconds)

    @classmethod
    def never(cls, clock: Clock) -> Deadline:
        """For a command, which the user can interrupt."""
        return cls(clock, math.inf)

    def bring_forward(self) -> None:
        """Stop the work: end it as if the deadline and its grace period had passed."""
        self.is_stopped = True
        self.at = self.clock.monotonic() - GRACE_SECONDS

    def left(self) -> float:
        """Seconds; negative after the deadline."""
        return self.at - self.clock.monotonic()


LONGEST_WAIT = 3_600.0
"""Seconds that a retry waits at most, with or without a deadline: Atlassian's quotas are hourly.
https://developer.atlassian.com/cloud/jira/platform/rate-limiting/"""

RETRY_LOG_FORMAT = "%s (retrying in %.1f s)"
"""The log line of a wait, for the arguments of `on_wait`."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often a failed call is retried, and how long each wait is.

    Waits double from `first` up to `longest` seconds, times a random 0.7 to 1.3, or last as long as
    the service asks. The numbers are Atlassian's advice:
    https://developer.atlassian.com/cloud/jira/platform/rate-limiting/
    """

    retries: int = 4
    first: float = 2.0
    longest: float = 30.0

    def wait(self, tries: int, retry_after: float | None, chance: float) -> float:
        """Seconds to wait after failed attempt number `tries` (from 1), at least `retry_after`.

        `chance` is a random number in [0, 1).
        """
        doubled: float = self.first * 2.0 ** (tries - 1)
        backoff = min(doubled, self.longest) * (0.7 + 0.6 * chance)
        return max(backoff, retry_after or 0.0)


def retry(
    call: Callable[[], T],
    *,
    policy: RetryPolicy,
    deadline: Deadline,
    on_wait: Callable[[TransientError, float], None],
    is_final: Callable[[TransientError], bool] = lambda _: False,
) -> T:
    """Call, and retry on `TransientError`; nothing else may retry the same call.

    `on_wait` receives each error and the seconds until the next attempt. Raises the error of the
    last attempt, `OutOfTime` if a wait would pass the deadline, or TransientError if it is longer
    than `LONGEST_WAIT`. Never retries `OutOfTime`, `LeaseLost` or an error that `is_final`.
    """
    clock = deadline.clock
    for tries in range(1, policy.retries + 2):
        try:
            return call()
        except (OutOfTime, LeaseLost):
            raise
        except TransientError as error:
            wait = policy.wait(tries, error.retry_after, clock.random())
            if is_final(error) or tries > policy.retries:
                raise
            if wait > deadline.left():
                message = f"{error} (no time was left to retry; the next run continues)"
                raise OutOfTime(message) from error
            if wait > LONGEST_WAIT:
                message = f"{error} (too long to wait for: try again later)"
                raise TransientError(message) from error
            on_wait(error, wait)
            clock.sleep(wait)
    raise AssertionError  # the loop returns or raises
