"""The outcome of one site in one run, and its canonical log line. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from jira_audit.core import moments
from jira_audit.core.errors import ConnectorError, OutOfTime

Result = Literal["ok", "partial", "skipped", "failed"]
"""`ok`: read up to now; `partial`: the deadline came first, the next tick goes on; `skipped`:
another run has the site; `failed`: the error says who must act, or that the next tick will do."""


@dataclass
class Tally:
    """What one run did for one site, counted as it goes.

    `rows` were accepted by the ingestion service, in `batches` of together `bytes` (uncompressed);
    `letters` are dead letters newly kept; `late_found` are records that ticks before had missed.
    `position` is the moment that is read now, and `waiting_for` the rows that a table does not show
    yet: for people who wait, and in no line.
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
        """What the canonical line and the checkpoint's `last` say, by name."""
        return {name: getattr(self, name) for name in _COUNTS}


_COUNTS = tuple(each.name for each in fields(Tally) if each.name not in {"position", "waiting_for"})


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
        pairs: dict[str, object] = {
            "site": self.site,
            "outcome": self.result,
            **self.tally.counts(),
        }
        if self.through is not None:
            pairs["through"] = moments.text(self.through)
            pairs["lag_seconds"] = max(0, (self.now - self.through) // moments.SECOND)
        pairs["duration_ms"] = self.duration_ms
        if self.error is not None:
            pairs["error"] = type(self.error).__name__
        return "jira_audit " + " ".join(f"{key}={value}" for key, value in pairs.items())


def ending(
    site: str, error: Exception | None, *, complete: bool, moved: bool
) -> tuple[Result, Exception | None]:
    """What the end of a run is called that had its site, and why it went no further.

    `complete` says that all was read, `moved` that something came forward: without that, a run that
    its deadline cut has failed, for the next one would be cut as well.
    """
    if error is None and complete:
        return "ok", None
    if error is not None and not isinstance(error, OutOfTime):
        return "failed", error
    if moved:
        return "partial", error
    return "failed", error or OutOfTime(
        f"{site}: the run's time was up before anything had moved: raise RUN_BUDGET_SECONDS"
    )


def remembered(
    result: Result, error: Exception | None, tally: Tally, now: int
) -> Mapping[str, object]:
    """What the checkpoint keeps as `last`, for people; `now` is the moment of the end.

    An error says its own sentence; a bug only its kind, since its text may hold anything.
    """
    said = str(error) if isinstance(error, ConnectorError) else error and type(error).__name__
    return {"outcome": result, "at": moments.text(now), **tally.counts(), "error": said}
