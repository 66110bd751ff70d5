"""Every error of the connector, grouped by who must act.

    ConnectorError
    ├── SettingsError        an administrator corrects a setting
    ├── SiteError            this site stops until someone acts
    │   └── CredentialsRefused  other credentials, or another address, may work
    ├── TransientError       the next tick retries
    │   ├── OutOfTime        the run's deadline leaves no time for a retry
    │   └── LeaseLost        another run has the site, or storage is unavailable: send no more
    ├── BatchRefused         the ingestion service refuses this batch: halve it
    └── RecordRejected       one record becomes a dead letter, the others continue

Messages are sentences for the person who acts. They never contain a secret or a record's content.
Any other exception is a bug and propagates.
"""

from __future__ import annotations

from collections.abc import Sequence


class ConnectorError(Exception):
    """A foreseen failure. Its text says what to do."""


class SettingsError(ConnectorError):
    """Settings are missing or wrong; an administrator corrects them.

    `problems` has one sentence for each, which begins with the name of the setting.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("settings: " + "; ".join(self.problems))


class SiteError(ConnectorError):
    """This site stops until someone acts. Its checkpoint stays where it is."""


class CredentialsRefused(SiteError):
    """Jira refuses the credentials (HTTP 401), at least at this address."""


class TransientError(ConnectorError):
    """A temporary failure: a retry or the next tick may succeed.

    `retry_after` is the wait in seconds that the service asked for, if any. `pause` is true if it
    asked every caller to wait (HTTP 429).
    """

    def __init__(
        self, message: str, *, retry_after: float | None = None, pause: bool = False
    ) -> None:
        self.retry_after = retry_after
        self.pause = pause
        super().__init__(message)


class OutOfTime(TransientError):
    """The run's deadline leaves no time to continue; the next tick does."""


class LeaseLost(TransientError):
    """The lease was lost or could not be renewed: this run sends nothing more."""


class BatchRefused(ConnectorError):
    """The ingestion service refused this batch (HTTP 400 or 413); parts of it may be accepted.

    `status` is the HTTP status; 413 means that the body was too large.
    """

    def __init__(self, message: str, *, status: int) -> None:
        self.status = status
        super().__init__(message)


class RecordRejected(ConnectorError):
    """This record cannot become a row; it is kept as a dead letter."""
