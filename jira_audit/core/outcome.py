"""The outcome of one site in one run, and its canonical log line. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from jira_audit.core import timestamps
from jira_audit.core.errors import ConnectorError, OutOfTime

Result = Literal["ok", "partial", "skipped", "failed"]
"""`ok`: read up to now. `partial`: the deadline came. `skipped`: another run has the site.
`failed`: the error says who must act, or that the next tick retries."""


@dataclass
class Tally:
    """Counters of one run of one site, updated during the run.

    `rows` were accepted, in `batches` of together `bytes` (uncompressed). `letters`: new dead
    letters. `late_found`: records that earlier ticks missed. Progress displays show `position` (the
    moment being read) and `waiting_for` (rows that the table does not show yet).
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
    position: int | None = field(default=None, compare=False)
    waiting_for: int = field(default=0, compare=False)

    def counts(self) -> Mapping[str, int]:
        return {name: getattr(self, name) for name in _COUNTS}


_COUNTS = tuple(each.name for each in fields(Tally) if each.name not in {"position", "waiting_for"})


@dataclass(frozen=True)
class Outcome:
    """The outcome of one run of one site. `now` and `through` are moments."""

    site: str
    result: Result
    tally: Tally
    through: int | None
    now: int
    duration_ms: int
    error: Exception | None = None

    def line(self) -> str:
        """The canonical line: `key=value` pairs for KQL's `parse-kv`."""
        pairs = self._pairs()
        if self.error is not None:
            pairs["error"] = type(self.error).__name__
        return "jira_audit " + " ".join(f"{key}={value}" for key, value in pairs.items())

    def payload(self) -> dict[str, object]:
        """The outcome as JSON; `error` is the sentence for people."""
        return self._pairs() | {"error": self.error and _said(self.error)}

    def _pairs(self) -> dict[str, object]:
        pairs: dict[str, object] = {
            "site": self.site,
            "outcome": self.result,
            **self.tally.counts(),
        }
        if self.through is not None:
            pairs["through"] = timestamps.text(self.through)
            pairs["lag_seconds"] = max(0, (self.now - self.through) // timestamps.SECOND)
        return pairs | {"duration_ms": self.duration_ms}


def _said(error: Exception) -> str:
    """An error's text for people; of a bug, only its type: its text may contain a secret."""
    return str(error) if isinstance(error, ConnectorError) else type(error).__name__


def ending(
    site: str,
    error: Exception | None,
    *,
    complete: bool,
    moved: Callable[[], bool],
    stopped: bool = False,
) -> tuple[Result, Exception | None]:
    """The result of a run that held the lease, and the error to report, which names the site.

    `complete`: everything was read. `moved`: the run made progress. `stopped`: someone has stopped
    it. A run that reached its deadline without progress has failed, because the next one would too.
    """
    if error is None and complete:
        return "ok", None
    if isinstance(error, ConnectorError):
        error = error.with_site(site)
    if error is not None and not isinstance(error, OutOfTime):
        return "failed", error
    if stopped or moved():
        return "partial", error
    return "failed", error or OutOfTime(
        f"{site}: the run made no progress before its deadline: raise RUN_BUDGET_SECONDS"
    )


def remembered(
    result: Result | Literal["stopped"], error: Exception | None, tally: Tally, now: int
) -> Mapping[str, object]:
    """The checkpoint's `last`, which informs people. `now` is the end of the run, which was
    `stopped` if someone interrupted it.

    Only the type of a bug is stored: its text may contain a secret or a record.
    """
    at = timestamps.text(now)
    return {"outcome": result, "at": at, **tally.counts(), "error": error and _said(error)}
