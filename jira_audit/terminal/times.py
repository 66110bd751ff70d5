"""The times and durations that options take: ISO times, dates, durations, `all`."""

from __future__ import annotations

import re
from collections.abc import Mapping

import typer

from jira_audit.core import timestamps
from jira_audit.core.timestamps import DAY, HOUR, MINUTE, SECOND
from jira_audit.core.window import Window
from jira_audit.settings.load import parse_start

FORMS = "2026-03-01, 2026-03-01T00:00:00Z, 30d or 12h"
"""Examples of all forms, for help."""

_UNITS: Mapping[str, int] = {
    "s": SECOND,
    "m": MINUTE,
    "min": MINUTE,
    "h": HOUR,
    "d": DAY,
    "w": 7 * DAY,
}


def parse_range(begin: str | None, end: str | None, now: int, default: int) -> Window:
    """The range of --from and --to; by default from the moment `default` to now."""
    start = default if begin is None else parse_from(begin, now)
    until = now if end is None else parse_to(end, now)
    require_order(start, until)
    return Window(start, until)


def require_order(start: int, until: int | None) -> None:
    """Raises BadParameter if --to is before --from."""
    if until is not None and until < start:
        message = "is before --from"
        raise typer.BadParameter(message, param_hint="--to")


def parse_from(text: str, now: int) -> int:
    """The moment that --from names; a date means its first. Raises BadParameter."""
    start = _ago(text, now)
    return _parsed(text, now, "--from") if start is None else start


def parse_to(text: str, now: int) -> int:
    """The moment that --to names; a date means its last, today means now. Raises BadParameter."""
    until = _ago(text, now)
    if until is not None:
        return until
    until = _parsed(text, now, "--to")
    return min(until + DAY - 1, now) if _is_day(text) else until


def parse_duration(text: str, option: str) -> int:
    """The milliseconds of a duration such as 30m, 6h or 2d. Raises BadParameter."""
    milliseconds = _duration(text)
    if milliseconds is None:
        message = f"{text!r} is not a duration such as 30m, 6h or 2d"
        raise typer.BadParameter(message, param_hint=option)
    return milliseconds


def _duration(text: str) -> int | None:
    match = re.fullmatch("([0-9]{1,6})(s|m|min|h|d|w)", text.strip())
    return int(match[1]) * _UNITS[match[2]] if match else None


def _ago(text: str, now: int) -> int | None:
    """The moment a duration before now; None if the text is no duration."""
    milliseconds = _duration(text)
    return None if milliseconds is None else max(0, now - milliseconds)


def _is_day(text: str) -> bool:
    try:
        timestamps.parse_day(text)
    except ValueError:
        return False
    return True


def _parsed(text: str, now: int, option: str) -> int:
    try:
        timestamp_ms = parse_start(text)
    except ValueError:
        message = f"{text!r} is not a time such as {FORMS}, nor all"
        raise typer.BadParameter(message, param_hint=option) from None
    if timestamp_ms > now:
        message = f"{text} is in the future"
        raise typer.BadParameter(message, param_hint=option)
    return timestamp_ms
