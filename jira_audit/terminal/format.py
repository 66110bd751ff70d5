"""Formats values for people: times, durations, text from outside. Needs no library."""

from __future__ import annotations

import re

from jira_audit.core import timestamps
from jira_audit.core.timestamps import DAY, HOUR, MINUTE, SECOND

# Control characters, which terminals obey; bidirectional overrides, which reorder text; surrogates,
# which cannot be encoded.
_UNPRINTABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def escaped(text: str) -> str:
    """The text with unprintable characters escaped as in JSON; line feeds stay."""
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def printable(text: str) -> str:
    """The text escaped, on one line."""
    return escaped(" ".join(text.split()))


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
