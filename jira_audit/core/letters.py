"""Dead letters and originals: what is kept of a record that was not delivered, or not whole.

Both are blobs whose name follows from the record, so that keeping one twice keeps it once. Pure:
where they are kept is the edge's matter.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from jira_audit.core import encoding, moments
from jira_audit.core.errors import SiteError
from jira_audit.core.pages import Record
from jira_audit.core.records import created_of, id_of

VERSION = 1

Kind = Literal["unreadable", "refused", "truncated"]
"""`unreadable`: no row could be made; `refused`: the service refused the row alone; `truncated`: an
original, whose row was delivered but says less than the record did."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A record kept aside, exactly as it was received.

    `status` is the HTTP status of a refusal.
    """

    kind: Kind
    reason: str
    site: str
    record: Record
    status: int | None = None

    @classmethod
    def original(cls, site: str, record: Record) -> Letter:
        """The whole of a record whose row had to be cut."""
        return cls("truncated", "the row was cut, or characters in it replaced", site, record)

    @property
    def is_dead(self) -> bool:
        """Dead letters wait to be sent again; originals are an archive that nothing sends."""
        return self.kind != "truncated"

    @property
    def folder(self) -> str:
        """`dead-letters` or `originals`."""
        return "dead-letters" if self.is_dead else "originals"

    @property
    def name(self) -> str:
        """The blob's name: `<folder>/<site>/<day of created, or undated>/<id or hash>.json`."""
        created, record_id = created_of(self.record), id_of(self.record)
        day = "undated" if created is None else moments.day(created)
        unnamed = record_id is None
        name = hashlib.sha256(self._record_json()).hexdigest()[:32] if unnamed else record_id
        return f"{self.folder}/{self.site}/{day}/{name}.json"

    def encode(self, kept: int) -> bytes:
        """The blob's content; `kept` is the moment of keeping."""
        head = {
            "v": VERSION,
            "kind": self.kind,
            "reason": self.reason,
            "status": self.status,
            "site": self.site,
            "kept": moments.text(kept),
        }
        return encoding.dumps(head)[:-1] + b',"record":' + self._record_json() + b"}"

    def _record_json(self) -> bytes:
        try:
            return encoding.dumps(self.record)
        except ValueError as error:  # only Python 3.11, from about 1,000 levels on
            message = f"a record of {self.site} is nested too deeply to keep; run Python 3.13"
            raise SiteError(message) from error
