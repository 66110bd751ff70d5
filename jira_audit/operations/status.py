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
    known: Checkpoint | None = None
    saved: int | None = None
    letters: int | None = None
    backfilled: Checkpoint | None = None
    problem: str | None = None

    @property
    def needs_someone(self) -> bool:
        """Whether the site has failed, or cannot be told of."""
        return self.state in {"failed", "unreadable", "broken"}

    def as_json(self, now: int, expires: date | None) -> dict[str, Any]:
        """For programs, at the moment `now`; `expires` is the day on which the token ends."""
        told: dict[str, Any] = {"site": self.site, "state": self.state, "problem": self.problem}
        if known := self.known:
            gaps = known.ledger.gaps
            told |= {
                "from": moments.text(known.start),
                "through": moments.text(known.through),
                "lag_seconds": lag(known, now) // SECOND,
                "saved": None if self.saved is None else moments.text(self.saved),
                "last": known.last,
                "dealt_with": len(known.ledger),
                "late_found": known.late_found,
                "gaps": {"ids": gaps.count, "ranges": gaps.ranges},
                "pruned": None if known.pruned is None else moments.text(known.pruned),
            }
        filled = self.backfilled
        return told | {
            "letters": self.letters,
            "backfill": filled
            and {
                "from": moments.text(filled.start),
                "through": moments.text(filled.through),
                "last": filled.last,
                "dealt_with": len(filled.ledger),
            },
            "token_expires": expires and expires.isoformat(),
            "token_days_left": expires and (expires - date.fromisoformat(moments.day(now))).days,
        }


def lag(known: Checkpoint, now: int) -> int:
    """How far *through* is behind the moment `now`, in milliseconds."""
    return max(0, now - known.through)


def look(site: str, checkpoints: Checkpoints, letters: Letters, backfills: Checkpoints) -> Status:
    """Tell how a site is. `backfills` are the checkpoints of backfills.

    A foreseen failure to read it is in the status, so that one site's hides no other's.
    """
    try:
        content = checkpoints.stored(site)
        waiting = len(letters.names("dead-letters", site))
        filled = backfills.stored(site)
        backfilled = None if filled is None else decode(filled, site)
        if content is None:
            return Status(site, "new", letters=waiting, backfilled=backfilled)
        known = decode(content, site)
    except ConnectorError as error:
        return Status(site, "unreadable", problem=str(error))
    last = known.last or {}
    problem = last.get("error")
    return Status(
        site,
        _ENDS.get(str(last.get("outcome")), "unknown"),
        known,
        saved_at(content),
        waiting,
        backfilled,
        problem if isinstance(problem, str) else None,
    )
