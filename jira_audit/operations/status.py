"""The status of one site: what an operator asks first, read from what runs have stored.

Nothing is asked of Jira, no lease is taken and nothing is changed. As in `collect.py`, nothing here
knows Azure or a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from jira_audit.core import moments
from jira_audit.core.checkpoint import Checkpoint, decode, saved_at
from jira_audit.core.errors import ConnectorError
from jira_audit.core.moments import SECOND
from jira_audit.core.outcome import Result
from jira_audit.flow.ports import Checkpoints, Letters

State = Result | Literal["new", "unknown", "unreadable", "broken"]
"""How the last run that had the site ended. `new`: there was none yet; `unknown`: none that said so
(it died, or was an older version's); `unreadable`: what is stored cannot be read; `broken`: its
settings are wrong, so that it is not even tried."""

_ENDS: dict[str, Result] = {"ok": "ok", "partial": "partial", "failed": "failed"}


@dataclass(frozen=True)
class Status:
    """What is stored of a site, and `problem`: what went wrong, or why nothing is known.

    `saved` is the moment of the checkpoint's last save, `letters` the number of dead letters that
    wait, `backfilled` the checkpoint of its backfill, if there was one.
    """

    site: str
    state: State
    checkpoint: Checkpoint | None = None
    saved: int | None = None
    letters: int | None = None
    backfilled: Checkpoint | None = None
    problem: str | None = None

    @property
    def needs_attention(self) -> bool:
        """Whether the site has failed, or cannot be told of."""
        return self.state in {"failed", "unreadable", "broken"}

    def as_json(self, now: int, expires: date | None) -> dict[str, Any]:
        """For programs, at the moment `now`; `expires` is the day on which the token ends."""
        payload: dict[str, Any] = {"site": self.site, "state": self.state, "problem": self.problem}
        if checkpoint := self.checkpoint:
            gaps = checkpoint.ledger.gaps
            payload |= {
                "from": moments.text(checkpoint.start),
                "through": moments.text(checkpoint.through),
                "lag_seconds": lag(checkpoint, now) // SECOND,
                "saved": None if self.saved is None else moments.text(self.saved),
                "last": checkpoint.last,
                "dealt_with": len(checkpoint.ledger),
                "late_found": checkpoint.late_found,
                "gaps": {"ids": gaps.count, "ranges": gaps.ranges},
                "pruned": None if checkpoint.pruned is None else moments.text(checkpoint.pruned),
            }
        backfill = self.backfilled
        return payload | {
            "letters": self.letters,
            "backfill": backfill
            and {
                "from": moments.text(backfill.start),
                "through": moments.text(backfill.through),
                "last": backfill.last,
                "dealt_with": len(backfill.ledger),
            },
            "token_expires": expires and expires.isoformat(),
            "token_days_left": expires and (expires - date.fromisoformat(moments.day(now))).days,
        }


def lag(checkpoint: Checkpoint, now: int) -> int:
    """How far *through* is behind the moment `now`, in milliseconds."""
    return max(0, now - checkpoint.through)


def read_status(
    site: str, checkpoints: Checkpoints, letters: Letters, backfills: Checkpoints
) -> Status:
    """Tell how a site is. `backfills` are the checkpoints of backfills.

    A foreseen failure to read it is in the status, so that one site's hides no other's.
    """
    try:
        content = checkpoints.stored(site)
        waiting = len(letters.names("dead-letters", site))
        backfill = backfills.stored(site)
        backfilled = None if backfill is None else decode(backfill, site)
        if content is None:
            return Status(site, "new", letters=waiting, backfilled=backfilled)
        checkpoint = decode(content, site)
    except ConnectorError as error:
        return Status(site, "unreadable", problem=str(error))
    last = checkpoint.last or {}
    problem = last.get("error")
    return Status(
        site,
        _ENDS.get(str(last.get("outcome")), "unknown"),
        checkpoint,
        saved_at(content),
        waiting,
        backfilled,
        problem if isinstance(problem, str) else None,
    )
