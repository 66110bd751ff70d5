"""A site's status, from what runs have stored.

Asks Jira nothing, takes no lease, changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from jira_audit.core import timestamps
from jira_audit.core.checkpoint import Checkpoint, decode, saved_at
from jira_audit.core.errors import ConnectorError, TransientError
from jira_audit.core.expiry import days_left
from jira_audit.core.outcome import Result
from jira_audit.core.text import SENTENCE_LENGTH, printable
from jira_audit.core.timestamps import SECOND
from jira_audit.flow.ports import Checkpoints, Letters

State = Result | Literal["stopped", "new", "unknown", "unreadable", "unreachable", "broken"]
"""The outcome of the last run with the site's lease. `stopped`: someone interrupted it. `new`: no
run yet. `unknown`: the run stored none (it died, or is of an older version). `unreadable`: the
checkpoint cannot be read. `unreachable`: storage did not answer. `broken`: the site's settings are
wrong, so no run tries it."""

_OUTCOMES: dict[str, State] = {
    "ok": "ok",
    "partial": "partial",
    "stopped": "stopped",
    "failed": "failed",
}


@dataclass(frozen=True)
class Status:
    """What is stored of a site. `problem`: why its last run failed, or why the rest is missing.

    `saved` is when the checkpoint was saved, `letters` the number of dead letters, `backfill` its
    backfill's checkpoint, if any. `leased`: a run has the site now.
    """

    site: str
    state: State
    checkpoint: Checkpoint | None = None
    saved: int | None = None
    letters: int | None = None
    backfill: Checkpoint | None = None
    problem: str | None = None
    leased: bool = False

    def payload(self, now: int, expires: date | None) -> dict[str, Any]:
        """The status as JSON at the moment `now`; `expires` is the token's last day."""
        payload: dict[str, Any] = {"site": self.site, "state": self.state, "problem": self.problem}
        if checkpoint := self.checkpoint:
            gaps = checkpoint.ledger.gaps
            payload |= {
                "from": timestamps.text(checkpoint.start),
                "through": timestamps.text(checkpoint.through),
                "lag_seconds": lag(checkpoint, now) // SECOND,
                "saved": None if self.saved is None else timestamps.text(self.saved),
                "last": checkpoint.last,
                "dealt_with": len(checkpoint.ledger),
                "late_found": checkpoint.late_found,
                "gaps": {"ids": gaps.count, "ranges": gaps.ranges},
                "pruned": None if checkpoint.pruned is None else timestamps.text(checkpoint.pruned),
                **_audit_payload(checkpoint),
            }
        backfill = self.backfill
        return payload | {
            "letters": self.letters,
            "backfill": backfill
            and {
                "from": timestamps.text(backfill.start),
                "through": timestamps.text(backfill.through),
                "last": backfill.last,
                "dealt_with": len(backfill.ledger),
            },
            "token_expires": expires and expires.isoformat(),
            "token_days_left": expires and days_left(expires, now),
        }


def _audit_payload(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """How far the daily audit has compared the table, and what it found last."""
    audited, audit = checkpoint.audited, checkpoint.audit
    return {
        "audited": None if audited is None else timestamps.text(audited),
        "proof": audit and audit.proof and audit.proof.payload(),
    }


def lag(checkpoint: Checkpoint, now: int) -> int:
    """How far *through* is behind `now`, in milliseconds."""
    return max(0, now - checkpoint.through)


def read_status(
    site: str, checkpoints: Checkpoints, letters: Letters, backfills: Checkpoints
) -> Status:
    """Read a site's status; `backfills` are the checkpoints of backfills.

    A foreseen failure becomes the status, and hides no other site's.
    """
    try:
        leased = checkpoints.is_leased(site)
        content = checkpoints.stored(site)
        waiting = len(letters.names("dead-letters", site))
        backfill_content = backfills.stored(site)
        backfill = None if backfill_content is None else decode(backfill_content, site)
        if content is None:
            return Status(site, "new", letters=waiting, backfill=backfill)
        checkpoint = decode(content, site)
        if checkpoint.began is not None and not leased:  # the run may have begun since
            leased = checkpoints.is_leased(site)
    except TransientError as error:
        return Status(site, "unreachable", problem=str(error))
    except ConnectorError as error:
        return Status(site, "unreadable", problem=str(error))
    last = checkpoint.last or {}
    problem = last.get("error")
    return Status(
        site,
        _OUTCOMES.get(str(last.get("outcome")), "unknown"),
        checkpoint,
        saved_at(content),
        waiting,
        backfill,
        printable(problem, SENTENCE_LENGTH) if isinstance(problem, str) else None,
        leased,
    )
