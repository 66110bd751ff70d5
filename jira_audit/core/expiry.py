"""When a token expires, in words. Pure."""

from __future__ import annotations

from datetime import date

from jira_audit.core import timestamps

WARNING_DAYS = 14
"""Runs and `status` warn from this many days before a token expires."""


def days_left(expires: date, now: int) -> int:
    """Days from the moment `now` to a token's last day; negative after it."""
    return (expires - date.fromisoformat(timestamps.day(now))).days


def when(days: int) -> str:
    """`7 days ago`, `today`, `in 1 day`."""
    count = f"{abs(days)} day" + ("" if abs(days) == 1 else "s")
    if days < 0:
        return f"{count} ago"
    return f"in {count}" if days else "today"


def advice(site: str, expires: date, now: int, secret_setting: str) -> str:
    """The sentence that says when a site's token expires, and what to do."""
    days = days_left(expires, now)
    verb = "expired" if days < 0 else "expires"
    return (
        f"{site}: the token or secret {verb} on {expires}, {when(days)}: create a new one, then "
        f"set {secret_setting} and the new date (JIRA_TOKEN_EXPIRES, or token_expires in "
        "JIRA_SITES)"
    )
