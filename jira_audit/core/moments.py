"""Moments: whole milliseconds since 1970-01-01 UTC, and their two spellings.

Jira's audit records, its `from` and `to`, and our windows are all exact to the millisecond, so a
plain integer is the whole truth and window arithmetic has no rounding. Nothing here reads a clock.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  text without an offset, to which Z is added


def parse(text: str) -> int:
    """Read an ISO 8601 time that names its offset (`…903+0000`, `…903Z`).

    Raises ValueError for anything else: a time without an offset is not a moment.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        message = "a time needs its offset from UTC, such as Z"
        raise ValueError(message)
    try:
        if at.tzinfo is not UTC:
            at = at.astimezone(UTC)
        since = at - _EPOCH
        # Three times as fast as to divide by a millisecond.
        return since.days * DAY + since.seconds * SECOND + since.microseconds // 1_000
    except OverflowError as error:
        message = "a time outside the years 1 to 9999"
        raise ValueError(message) from error


def text(moment: int) -> str:
    """Write a moment as `2021-01-20T12:40:01.903Z`: in rows, blobs and requests alike."""
    at = _NAIVE_EPOCH + timedelta(milliseconds=moment)
    return at.isoformat(timespec="milliseconds") + "Z"


def day(moment: int) -> str:
    """The UTC day a moment falls on, `2021-01-20`: the folder a letter or original is kept in."""
    return text(moment)[:10]
