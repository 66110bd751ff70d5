"""Every error of the connector, grouped by who has to act.

    ConnectorError
    ├── SettingsError        an administrator edits a setting
    ├── SiteError            this site stops until someone acts
    │   └── CredentialsRefused  there may be other credentials, or another way in
    ├── TransientError       the next tick tries again
    │   ├── OutOfTime        the run's deadline leaves no time to wait for another try
    │   └── LeaseLost        another run has the site, or storage cannot be asked: send no more
    ├── BatchRefused         the ingestion service will not take this batch: halve it
    └── RecordRejected       one record is kept aside, the others go on

Messages are sentences for the person who acts. They never hold a secret or a record's content.
Anything else that is raised is a bug and is left to propagate.
"""

from __future__ import annotations

from collections.abc import Sequence


class ConnectorError(Exception):
    """Something the connector foresaw; its text says what to do."""


class SettingsError(ConnectorError):
    """Settings are missing or wrong; an administrator edits them.

    `problems` holds one sentence for each, beginning with the setting's name.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("settings: " + "; ".join(self.problems))


class SiteError(ConnectorError):
    """This site stops, with its checkpoint where it was, until someone acts."""


class CredentialsRefused(SiteError):
    """Jira does not know the credentials (HTTP 401), at this address at least."""


class TransientError(ConnectorError):
    """It did not work this time; the next try or the next tick may.

    `retry_after` is the time in seconds that the service asked to be left alone, if it said.
    `pause` is true when it asked so of every caller (HTTP 429).
    """

    def __init__(
        self, message: str, *, retry_after: float | None = None, pause: bool = False
    ) -> None:
        self.retry_after = retry_after
        self.pause = pause
        super().__init__(message)


class OutOfTime(TransientError):
    """Another try would not fit before the run's deadline; the next tick goes on."""


class LeaseLost(TransientError):
    """The lease is gone or could not be renewed: this run sends nothing more."""


class BatchRefused(ConnectorError):
    """The ingestion service refused these rows (HTTP 400 or 413); others may be accepted.

    `status` is the HTTP status; 413 means that the body was too large.
    """

    def __init__(self, message: str, *, status: int) -> None:
        self.status = status
        super().__init__(message)


class RecordRejected(ConnectorError):
    """This one record cannot become a row; it is kept as a dead letter."""
