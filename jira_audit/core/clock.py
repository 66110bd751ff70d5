"""Time, sleep and chance as arguments, the deadline, and the one retry loop.

Nothing here reads a clock: `app.py` makes the real `Clock`, tests make their own.
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
    """What the connector knows of time and chance.

    `now` is the wall clock as a moment (milliseconds); `monotonic` counts seconds and never goes
    back; `sleep` takes seconds; `random` is uniform in [0, 1).
    """

    now: Callable[[], int]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    random: Callable[[], float]


GRACE_SECONDS = 20.0
"""How long after the deadline what was begun before it may still take."""


@dataclass
class Deadline:
    """The moment, on the monotonic clock, after which no new window is begun."""

    clock: Clock
    at: float

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> Deadline:
        """A deadline `seconds` from now."""
        return cls(clock, clock.monotonic() + seconds)

    @classmethod
    def never(cls, clock: Clock) -> Deadline:
        """No deadline: whoever began it may interrupt it."""
        return cls(clock, math.inf)

    def bring_forward(self) -> None:
        """Let what is under way end as if the deadline, and the grace after it, had passed."""
        self.at = self.clock.monotonic() - GRACE_SECONDS

    def left(self) -> float:
        """Seconds left; negative once it has passed."""
        return self.at - self.clock.monotonic()


TRYING_AGAIN = "%s (trying again in %.1f s)"
"""What is logged of a wait, with what `on_wait` hears."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long a failed call is tried again.

    `retries` after the first try, waiting `first` seconds, doubled up to `longest`, times a random
    0.7 to 1.3, or as long as the service asks. The numbers are Atlassian's own advice:
    https://developer.atlassian.com/cloud/jira/platform/rate-limiting/
    """

    retries: int = 4
    first: float = 2.0
    longest: float = 30.0

    def wait(self, tries: int, retry_after: float | None, chance: float) -> float:
        """Seconds to wait after the `tries`-th failed try (from 1); never less than asked for."""
        doubled: float = self.first * 2.0 ** (tries - 1)
        backoff = min(doubled, self.longest) * (0.7 + 0.6 * chance)
        return max(backoff, retry_after or 0.0)


def retry(
    call: Callable[[], T],
    *,
    policy: RetryPolicy,
    deadline: Deadline,
    on_wait: Callable[[TransientError, float], None],
) -> T:
    """Call, and call again while it raises `TransientError`, as the policy allows.

    `on_wait` hears of each error and the seconds that will be waited before the next try. Raises
    the last error when the policy is used up, `OutOfTime` when the wait would pass the deadline.
    This is the only owner of retries for the calls that are made through it.
    """
    clock = deadline.clock
    for tries in range(1, policy.retries + 2):
        try:
            return call()
        except (OutOfTime, LeaseLost):
            raise
        except TransientError as error:
            wait = policy.wait(tries, error.retry_after, clock.random())
            if tries > policy.retries:
                raise
            if wait > deadline.left():
                message = f"{error} (no time left in this run to try again; the next tick goes on)"
                raise OutOfTime(message) from error
            on_wait(error, wait)
            clock.sleep(wait)
    raise AssertionError  # the loop returns or raises
