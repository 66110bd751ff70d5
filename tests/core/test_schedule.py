"""The schedule of the timer: what the host would accept, and when it fires."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jira_audit.core import timestamps
from jira_audit.core.schedule import PollSchedule
from jira_audit.core.timestamps import MINUTE


def fires(text: str, after: str, count: int = 1) -> str:
    moment = PollSchedule.parse(text).following(timestamps.parse(after), count)
    return "never" if moment is None else timestamps.text(moment)[:19]


@pytest.mark.parametrize(
    ("text", "after", "at"),
    [
        ("0 */5 * * * *", "2026-11-20T12:00:00Z", "2026-11-20T12:05:00"),
        ("0 */5 * * * *", "2026-11-20T11:59:59.999Z", "2026-11-20T12:00:00"),
        ("30 10-12 * * * *", "2026-11-20T12:12:30Z", "2026-11-20T13:10:30"),
        ("0 0 0 1 Jan *", "2026-11-20T12:00:00Z", "2027-01-01T00:00:00"),
        ("0 0 8-18/5 * * Mon-fri", "2026-11-20T18:00:00Z", "2026-11-23T08:00:00"),
        ("0 0 9 * * 0", "2026-11-20T12:00:00Z", "2026-11-22T09:00:00"),
        ("0 0 0 29 2 *", "2026-11-20T12:00:00Z", "2028-02-29T00:00:00"),
        ("0 0 0 29 2 Sunday", "2026-11-20T12:00:00Z", "2032-02-29T00:00:00"),
        ("5/20 0 0 * * *", "2026-11-20T00:00:25Z", "2026-11-20T00:00:45"),
        ("0 0 18-8 * * *", "2026-11-20T09:00:00Z", "2026-11-20T10:00:00"),
    ],
)
def test_schedule_fires_as_the_host_would(text: str, after: str, at: str) -> None:
    assert fires(text, after) == at


def test_third_time_is_two_intervals_after_the_first() -> None:
    assert fires("0 */5 * * * *", "2026-11-20T12:00:10Z", 3) == "2026-11-20T12:15:00"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("*/5 * * * *", "six fields"),
        ("0 */5 * * * * *", "six fields"),
        ("60 * * * * *", "second must be 0 to 59, not '60'"),
        ("0 0-60 * * * *", "minute must be 0 to 59, not '60'"),
        ("0 0 24 * * *", "hour must be 0 to 23, not '24'"),
        ("0 0 0 0 * *", "day must be 1 to 31, not '0'"),
        ("0 0 0 1 13 *", "month must be 1 to 12, not '13'"),
        ("0 0 0 * * 7", "day of the week must be 0 to 6, not '7'"),
        ("0 0 0 * * Someday", "day of the week must be 0 to 6, not 'Someday'"),
        ("0 */0 * * * *", "minute must be 0 to 59"),
        ("0 */x * * * *", "minute must be 0 to 59"),
        ("0 , * * * *", "minute must be 0 to 59"),
        ("0 ٣ * * * *", "minute must be 0 to 59"),
        ("0 0 0 30 2 *", "a day that none of its months has"),
        ("0 0 0 31 4,6,9,11 *", "a day that none of its months has"),
    ],
)
def test_wrong_schedule_names_the_field_and_its_range(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"must|names") as raised:
        PollSchedule.parse(text)

    assert problem in str(raised.value)


@given(st.integers(1, 59), st.integers(0, 4_000_000_000_000))
def test_next_moment_is_later_by_at_most_the_interval(every: int, after: int) -> None:
    moment = PollSchedule.parse(f"0 */{every} * * * *").following(after)

    assert moment is not None
    assert after < moment <= after + every * MINUTE
