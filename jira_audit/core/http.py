"""What services answer over HTTP: when it is, and when to come again. Pure.

A header that cannot be read says nothing.
"""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC

from jira_audit.core import moments


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it came, read and not yet understood; `at` is the moment it was complete."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    at: int


def date(text: str | None) -> int | None:
    """Read an HTTP date as a moment.

    https://www.rfc-editor.org/rfc/rfc9110#name-date-time-formats
    """
    try:
        at = email.utils.parsedate_to_datetime(text or "")
        return int(at.replace(tzinfo=at.tzinfo or UTC).timestamp()) * moments.SECOND
    except (ValueError, OverflowError):
        return None


def retry_after(headers: Mapping[str, str], now: int) -> float | None:
    """Read the seconds to wait from `Retry-After` in either form, else from `X-RateLimit-Reset`.

    `now` is a moment. https://www.rfc-editor.org/rfc/rfc9110#name-retry-after,
    https://developer.atlassian.com/cloud/jira/platform/rate-limiting/
    """
    said = headers.get("Retry-After", "").strip()
    if said.isascii() and said.isdecimal():
        return float(said)
    until = date(said)
    if until is None:
        try:
            until = moments.parse(headers.get("X-RateLimit-Reset", ""))
        except ValueError:
            return None
    return max(0, until - now) / moments.SECOND
