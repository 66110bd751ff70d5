"""Maps a site's records to rows, or to dead letters. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jira_audit.core import timestamps
from jira_audit.core.errors import RecordRejected, SiteError
from jira_audit.core.letters import Letter
from jira_audit.core.pages import Page
from jira_audit.core.records import Identity, Record, Row, to_row

UNREADABLE_LIMIT = 20
"""More unreadable records than this in a run, and none readable: the format has changed."""


class Rejected(NamedTuple):
    """A record that cannot become a row: its dead letter, and its identity if readable."""

    letter: Letter
    identity: Identity | None


@dataclass
class Mapper:
    """Maps one site's records in one run.

    `TimeGenerated` is `now()` (milliseconds), or with `event_time` the created time.
    """

    site: str
    event_time: bool
    now: Callable[[], int]
    readable: int = 0
    unreadable: int = 0

    def take(
        self, page: Page, fresh: Sequence[tuple[Identity, Record]]
    ) -> tuple[Sequence[Row], Sequence[Rejected]]:
        """Map a page's `fresh` records to rows or dead letters.

        Raises SiteError if Jira's format must have changed: update the connector.
        """
        if not page.records:
            return [], []
        self.readable += len(page.identified)
        self.unreadable += len(page.unidentified)
        if self.unreadable > UNREADABLE_LIMIT and not self.readable:
            message = (
                f"{self.site}: none of {self.unreadable} records could be read: Jira's format has "
                "changed; update the connector. The checkpoint stays where it is"
            )
            raise SiteError(message)
        rows: list[Row] = []
        rejected = [Rejected(self._letter(*each), None) for each in page.unidentified]
        generated = timestamps.text(self.now()) if fresh else ""
        for identity, record in fresh:
            try:
                rows.append(self.row(record, identity, generated))
            except RecordRejected as reason:
                rejected.append(Rejected(self._letter(record, reason), identity))
        return rows, rejected

    def row(self, record: Record, identity: Identity, generated: str | None = None) -> Row:
        """Map one record. Raises RecordRejected if that is impossible.

        `generated` is the current time as text, if the caller has it.
        """
        if self.event_time:
            at = timestamps.text(identity.created)
        else:
            at = generated or timestamps.text(self.now())
        return to_row(record, identity, site=self.site, generated=at)

    def _letter(self, record: Record, reason: RecordRejected) -> Letter:
        return Letter("unreadable", str(reason), self.site, record)
