"""Formats values for people: times, durations. Needs no library."""

from __future__ import annotations

from jira_audit.core import timestamps
from jira_audit.core.timestamps import DAY, HOUR, MINUTE, SECOND


def utc(timestamp_ms: int) -> str:
    """A moment as `2026-03-01 12:00:00 UTC`."""
    text = timestamps.text(timestamp_ms)
    return f"{text[:10]} {text[11:19]} UTC"


def format_duration(milliseconds: int) -> str:
    """A duration in its two largest units, such as `2 d 3 h`."""
    if milliseconds < SECOND:
        return f"{milliseconds} ms"
    for unit, name, smaller, smaller_name in (
        (DAY, "d", HOUR, "h"),
        (HOUR, "h", MINUTE, "min"),
        (MINUTE, "min", SECOND, "s"),
    ):
        if milliseconds >= unit:
            rest = milliseconds % unit // smaller
            return f"{milliseconds // unit:,} {name}" + (f" {rest} {smaller_name}" if rest else "")
    return f"{milliseconds // SECOND} s"
