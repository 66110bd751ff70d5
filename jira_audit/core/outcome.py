"""The outcome of one site in one run, and its canonical log line. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jira_audit.core import moments

Result = Literal["ok", "partial", "skipped", "failed"]
"""`ok`: read up to now; `partial`: the deadline came first, the next tick goes on; `skipped`:
another run has the site; `failed`: the error says who must act, or that the next tick will do."""


@dataclass
class Tally:
    """What one run did for one site, counted as it goes.

    `rows` were accepted by the ingestion service, in `batches` of together `bytes` (uncompressed);
    `letters` are dead letters newly kept; `late_found` are records that ticks before had missed.
    """

    windows: int = 0
    pages: int = 0
    records: int = 0
    rows: int = 0
    batches: int = 0
    bytes: int = 0
    letters: int = 0
    duplicates_skipped: int = 0
    late_found: int = 0


@dataclass(frozen=True)
class Outcome:
    """One site, one run. Moments and durations in milliseconds; `error` says what went wrong."""

    site: str
    result: Result
    tally: Tally
    through: int | None
    now: int
    duration_ms: int
    error: Exception | None = None

    def line(self) -> str:
        """The canonical line: `key=value` pairs that KQL takes apart with one `parse-kv`."""
        pairs: dict[str, object] = {"site": self.site, "outcome": self.result, **vars(self.tally)}
        if self.through is not None:
            pairs["through"] = moments.text(self.through)
            pairs["lag_seconds"] = max(0, (self.now - self.through) // moments.SECOND)
        pairs["duration_ms"] = self.duration_ms
        if self.error is not None:
            pairs["error"] = type(self.error).__name__
        return "jira_audit " + " ".join(f"{key}={value}" for key, value in pairs.items())
