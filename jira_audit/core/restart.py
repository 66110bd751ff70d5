"""Restarted ids: a site was deleted and made anew under its name, or a sandbox was refreshed.

The ids of the new log are those of records that were delivered, so they must not be skipped as
duplicates. Pure: the flow stores the finding, and only a reset ends it.
"""

from __future__ import annotations

from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.records import Identity

EVIDENCE = 2
"""Records that show a restart. One alone may be the newest record, shown with a later time."""


class RestartCheck:
    """Judges one site's log during a run, by the records whose ids were `delivered` before it.

    A record that is newer than every delivered one is evidence of a restart. One that is not newer
    shows that the log is still the same: a new log has none of the old records.

    A quiet site shows a run one record only, so the first evidence is `suspect`, for the checkpoint
    to keep. The record with the largest id is none: it is the newest one as well, which may be
    shown with a later time.
    """

    def __init__(self, delivered: Checkpoint) -> None:
        self._delivered = delivered
        self._newer: dict[int, Identity] = {}
        if delivered.suspect:
            self._newer[delivered.suspect.id] = delivered.suspect
        self.is_same_log = delivered.latest is None
        self.suspect: Identity | None = None

    @property
    def has_restarted(self) -> bool:
        return len(self._newer) >= EVIDENCE

    @property
    def begins(self) -> int | None:
        """The earliest moment of the evidence: a reset must not begin later."""
        return min((identity.created for identity in self._newer.values()), default=None)

    def note(self, identity: Identity) -> None:
        """Note a record whose id is known. One that this run delivered says nothing."""
        if self._delivered.is_restarted_by(identity):
            self._newer.setdefault(identity.id, identity)
            if identity.id < self._delivered.ledger.ranges[-1][1]:
                self.suspect = self.suspect or identity
        elif identity.id in self._delivered.ledger and identity.id not in self._newer:
            self.is_same_log = True
