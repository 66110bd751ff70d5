"""Moments: whole milliseconds since 1970-01-01 UTC, and their text forms. Pure.

Jira's records and its parameters `from` and `to` are exact to the millisecond, so window arithmetic
never rounds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  `text` appends the Z itself


def parse(text: str) -> int:
    """Read an ISO 8601 time with a UTC offset (`…903+0000`, `…903Z`).

    Raises ValueError for anything else: without an offset, a time is not a moment.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        message = "a time needs a UTC offset, such as Z"
        raise ValueError(message)
    try:
        if at.tzinfo is not UTC:
            at = at.astimezone(UTC)
        since = at - _EPOCH
        # Three times as fast as dividing by a timedelta of one millisecond.
        return since.days * DAY + since.seconds * SECOND + since.microseconds // 1_000
    except OverflowError as error:
        message = "a time outside the years 1 to 9999"
        raise ValueError(message) from error


def parse_day(text: str) -> int:
    """The first moment of a UTC day, `2021-01-20`. Raises ValueError for anything else."""
    if not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        message = "not a date"
        raise ValueError(message)
    return parse(f"{text}T00:00:00Z")


def text(timestamp_ms: int) -> str:
    """A moment as `2021-01-20T12:40:01.903Z`: in rows, blobs and requests."""
    at = _NAIVE_EPOCH + timedelta(milliseconds=timestamp_ms)
    return at.isoformat(timespec="milliseconds") + "Z"


def day(timestamp_ms: int) -> str:
    """The UTC day of a moment, `2021-01-20`."""
    return text(timestamp_ms)[:10]
