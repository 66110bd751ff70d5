"""Every error of the connector, grouped by who must act.

    ConnectorError
    ├── SettingsError            an administrator corrects a setting
    ├── SiteError                this site stops until someone acts
    │   ├── CredentialsRefused   other credentials, or another address, may work
    │   ├── AccessRefused        the credentials are right, and may not read
    │   └── UndocumentedSuccess  a batch may have been accepted
    ├── TransientError           the next tick retries
    │   ├── PageUnreadable       a page cannot be read: request fewer records
    │   ├── OutOfTime            the deadline leaves no time for a retry
    │   ├── LeaseLost            another run may have the site: send nothing more
    │   └── Unanswered           a batch may have been accepted
    ├── BatchRefused             the ingestion service refuses a batch: halve it
    └── RecordRejected           one record becomes a dead letter

A message tells someone what to do, and contains no secret and no record. Any other exception is a
bug and propagates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self


class ConnectorError(Exception):
    """A foreseen failure."""

    def with_site(self, site: str) -> Self:
        """The same error, its message prefixed with the site's host unless it begins with it."""
        message = str(self)
        if message.startswith((f"{site}:", f"{site} ")):
            return self
        named = type(self).__new__(type(self), f"{site}: {message}")  # sets the message
        named.__dict__.update(self.__dict__)
        return named


class SettingsError(ConnectorError):
    """Settings are missing or wrong. Each of the `problems` begins with a setting's name."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("settings: " + "; ".join(self.problems))


class SiteError(ConnectorError):
    """This site stops until someone acts; its checkpoint stays."""


class CredentialsRefused(SiteError):
    """Jira refuses the credentials (HTTP 401) at this address."""


class AccessRefused(SiteError):
    """Jira knows the credentials, and refuses the audit log to them (HTTP 403)."""


class TransientError(ConnectorError):
    """A retry or the next tick may succeed.

    `retry_after` is the wait in seconds that the service asked for; with `pause`, of every caller
    (HTTP 429).
    """

    def __init__(
        self, message: str, *, retry_after: float | None = None, pause: bool = False
    ) -> None:
        self.retry_after = retry_after
        self.pause = pause
        super().__init__(message)


class PageUnreadable(TransientError):
    """A response is too long, too slow, no JSON, or longer than requested.

    A request for fewer records may succeed. `record` is the raw JSON of the record, if one record
    alone was requested and the response is one of Jira's; otherwise it is empty.
    """

    def __init__(self, message: str, *, record: bytes = b"") -> None:
        self.record = record
        super().__init__(message)


class OutOfTime(TransientError):
    """The deadline leaves no time; the next tick continues."""


class LeaseLost(TransientError):
    """The lease was lost or not renewed: this run sends nothing more."""


class MayHaveArrived(ConnectorError):
    """A send whose end is unknown: to send the batch again may duplicate it."""


class Unanswered(TransientError, MayHaveArrived):
    """The service did not answer, or answered with an error after it may have accepted."""


class UndocumentedSuccess(SiteError, MayHaveArrived):
    """The service answered with a success that it does not document."""


class BatchRefused(ConnectorError):
    """The ingestion service refused a batch: HTTP `status` 400, or 413 if it was too large.

    Parts of it may be accepted.
    """

    def __init__(self, message: str, *, status: int) -> None:
        self.status = status
        super().__init__(message)


class RecordRejected(ConnectorError):
    """This record cannot become a row; it becomes a dead letter."""
