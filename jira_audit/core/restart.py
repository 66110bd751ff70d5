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
    """

    def __init__(self, delivered: Checkpoint) -> None:
        self._delivered = delivered
        self._newer: set[int] = set()
        self.is_same_log = delivered.latest is None
        self.has_restarted = False

    def note(self, identity: Identity) -> None:
        """Note a record whose id is known. One that this run delivered says nothing."""
        if self._delivered.is_restarted_by(identity):
            self._newer.add(identity.id)
            self.has_restarted = len(self._newer) >= EVIDENCE
        elif identity.id in self._delivered.ledger:
            self.is_same_log = True
