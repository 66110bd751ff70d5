"""The meaning of HTTP responses: the error of a status, the date, the wait. Pure.

An unreadable header is ignored.
"""

from __future__ import annotations

import email.utils
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC

from jira_audit.core import timestamps
from jira_audit.core.errors import BatchRefused, ConnectorError, SiteError, TransientError
from jira_audit.core.text import printable, redacted, secrets_in

REASON = "RateLimit-Reason"
"""Which limit was reached: https://developer.atlassian.com/cloud/jira/platform/rate-limiting/"""

REASON_LENGTH = 100
"""Characters of the reason in a message."""

DAY_SECONDS = 86_400
LONGEST_NAMED = 1_000 * DAY_SECONDS


@dataclass(frozen=True, slots=True)
class RawResponse:
    """An unparsed response. It was complete at the moment `at`.

    `authorization` was sent with the request: no message may contain what is in it, even if the
    service does.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    at: int
    authorization: str = field(default="", repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What was sent and nobody may see."""
        return secrets_in(self.authorization)


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of a status: the error's class says who must act, the sentence what to do.

    With `pause`, the service asks every caller to wait.
    """

    kind: type[ConnectorError]
    sentence: str
    pause: bool = False


@dataclass(frozen=True, slots=True)
class StatusTable:
    """The meanings of one service's statuses; unlisted ones are a 5xx or any other."""

    listed: Mapping[int, Meaning]
    server_error: Meaning
    other: Meaning

    @classmethod
    def of(cls, listed: Mapping[int, Meaning], undocumented: str) -> StatusTable:
        """An unlisted status is undocumented: a 5xx may pass, for any other someone must act."""
        return cls(listed, Meaning(TransientError, undocumented), Meaning(SiteError, undocumented))

    def meaning(self, status: int) -> Meaning:
        unlisted = self.server_error if status >= 500 else self.other
        return self.listed.get(status, unlisted)


def error_for(
    status: int,
    table: StatusTable,
    *,
    headers: Mapping[str, str],
    now: int,
    detail: str = "",
    secrets: Iterable[str] = (),
) -> ConnectorError:
    """The error to raise for a response that is not a success.

    `now` is a moment. `detail`, from the service, must contain no secret and no record. `secrets`
    were sent with the request, and no header is quoted with them.
    """
    meaning = table.meaning(status)
    said = f"HTTP {status}{detail and f': {detail}'}"
    if issubclass(meaning.kind, TransientError):
        wait, reason = (
            retry_after(headers, now),
            printable(redacted(headers.get(REASON, ""), secrets), REASON_LENGTH),
        )
        said += f"; reason: {reason}" if reason else ""
        said += f"; wait: {duration_text(wait)}" if wait else ""
        message = f"{meaning.sentence} ({said})"
        return meaning.kind(message, retry_after=wait, pause=meaning.pause)
    message = f"{meaning.sentence} ({said})"
    if meaning.kind is BatchRefused:
        return BatchRefused(message, status=status)
    return meaning.kind(message)


def duration_text(seconds: float) -> str:
    """A wait in its largest unit that has at least two: `90 seconds`, `30 minutes`."""
    if seconds > LONGEST_NAMED:
        return f"more than {LONGEST_NAMED // DAY_SECONDS} days"
    for unit, name in ((DAY_SECONDS, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{math.ceil(seconds / unit)} {name}"
    count = math.ceil(seconds)
    return "1 second" if count == 1 else f"{count} seconds"


def date(text: str | None) -> int | None:
    """Read an HTTP date as a moment.

    https://www.rfc-editor.org/rfc/rfc9110#name-date-time-formats
    """
    try:
        at = email.utils.parsedate_to_datetime(text or "")
        return int(at.replace(tzinfo=at.tzinfo or UTC).timestamp()) * timestamps.SECOND
    except (ValueError, OverflowError):
        return None


def retry_after(headers: Mapping[str, str], now: int) -> float | None:
    """The seconds to wait: from `Retry-After` in either form, else from `X-RateLimit-Reset`.

    `now` is a moment. The wait may be absurd, even infinite; `clock.retry` bounds it.
    https://www.rfc-editor.org/rfc/rfc9110#name-retry-after,
    https://developer.atlassian.com/cloud/jira/platform/rate-limiting/
    """
    said = headers.get("Retry-After", "").strip()
    if said.isascii() and said.isdecimal():
        return float(said)
    until = date(said)
    if until is None:
        try:
            until = timestamps.parse(headers.get("X-RateLimit-Reset", ""))
        except ValueError:
            return None
    return max(0, until - now) / timestamps.SECOND
