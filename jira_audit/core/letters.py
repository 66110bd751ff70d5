"""Dead letters and originals: records that were not delivered, or not in full. Pure.

Each is a blob named after its record, so a record stored twice is stored once.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from jira_audit.core import encoding, timestamps
from jira_audit.core.errors import SiteError
from jira_audit.core.records import Record, created_of, id_of
from jira_audit.core.text import printable

VERSION = 1

Kind = Literal["unreadable", "refused", "truncated"]
"""`unreadable`: the record cannot become a row. `refused`: the service refused the row, sent alone.
`truncated`: an original, whose row was delivered in part."""

Folder = Literal["dead-letters", "originals"]

_NAME = re.compile(
    r"(dead-letters|originals)/[a-z0-9:][a-z0-9.:-]*/(undated|[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"/(-?[0-9]{1,19}|[0-9a-f]{32})\.json"
)


@dataclass(frozen=True, slots=True)
class Letter:
    """A record exactly as received. `status` is the HTTP status of a refusal.

    With `by_hash`, its name has no id: another record of this id and day is stored already.
    """

    kind: Kind
    reason: str
    site: str
    record: Record
    status: int | None = None
    by_hash: bool = False

    @classmethod
    def original(cls, site: str, record: Record) -> Letter:
        return cls("truncated", "the row was truncated, or characters in it replaced", site, record)

    @property
    def is_dead(self) -> bool:
        """Whether it waits for a replay. Originals are never sent."""
        return self.kind != "truncated"

    @property
    def folder(self) -> Folder:
        return "dead-letters" if self.is_dead else "originals"

    @property
    def name(self) -> str:
        """The blob's name: `<folder>/<site>/<day of created, or undated>/<id or hash>.json`."""
        created, record_id = created_of(self.record), id_of(self.record)
        day = "undated" if created is None else timestamps.day(created)
        unnamed = record_id is None or self.by_hash
        name = (
            hashlib.sha256(encoding.dumps(self.record)).hexdigest()[:32] if unnamed else record_id
        )
        return f"{self.folder}/{self.site}/{day}/{name}.json"

    def encode(self, kept: int) -> bytes:
        """The blob's content, stored at the moment `kept`."""
        head = {
            "v": VERSION,
            "kind": self.kind,
            "reason": self.reason,
            "status": self.status,
            "site": self.site,
            "kept": timestamps.text(kept),
        }
        return encoding.dumps(head)[:-1] + b',"record":' + encoding.dumps(self.record) + b"}"


@dataclass(frozen=True, slots=True)
class StoredLetter:
    name: str
    letter: Letter
    kept: int

    @property
    def was_identified(self) -> bool:
        """Whether the record had an id and a created time when stored, and so is in the ledger.

        The letter's name shows it, even if this version identifies records that an older one
        could not.
        """
        record = self.letter.record
        is_identified = created_of(record) is not None and id_of(record) is not None
        return is_identified and self.name == self.letter.name


def moved(content: bytes, name: str, site: str) -> tuple[str, bytes]:
    """The name and the content of a stored letter under another host of the same site.

    All else stays: the record, the day and the moment of its storing. Raises SiteError if the
    letter cannot be read.
    """
    stored = decode(content, name)
    folder, _, rest = name.split("/", 2)
    return f"{folder}/{site}/{rest}", replace(stored.letter, site=site).encode(stored.kept)


def is_of_another(content: bytes | None, letter: Letter) -> bool:
    """Whether a stored letter of the same name has another record.

    Ids come again where a site was made anew.
    """
    if content is None:
        return False
    return bool(decode(content, letter.name).letter.record != letter.record)


def is_name(name: str) -> bool:
    """Whether this is a letter's name; no other blob may be read or deleted."""
    return _NAME.fullmatch(name) is not None


def id_in(name: str) -> int | None:
    """The record's id in a letter's name; None without an id."""
    end = name.rsplit("/", 1)[-1].removesuffix(".json")
    return int(end) if len(end) <= len("-9223372036854775808") else None  # else it is a hash


def full_name(given: str, folder: Folder, site: str) -> str:
    """The full name of a site's letter; `given` may be its end, such as `2026-11-20/10017`.

    Raises ValueError, with a sentence, if it names no letter in that folder of that site.
    """
    place = f"{folder}/{site}/"
    name = given if given.startswith(("dead-letters/", "originals/")) else place + given
    name = name if name.endswith(".json") else name + ".json"
    if not is_name(name):
        message = f"{given!r} is not the name of a letter, such as 2026-11-20/10017"
        raise ValueError(message)
    if not name.startswith(place):
        message = f"{given!r} is not one of the {folder} of {site}"
        raise ValueError(message)
    return name


def decode(content: bytes, name: str) -> StoredLetter:
    """Read a letter stored under `name`.

    Raises SiteError if it is unreadable, misplaced or a newer version's.
    """
    try:
        blob = encoding.loads(content)
        version = blob["v"]
        if isinstance(version, int) and version > VERSION:
            message = (
                f"{name} was written by a newer version of the connector (v {version}, this one "
                f"knows {VERSION}): use that version"
            )
            raise SiteError(message)
        kept = _decode(blob, name)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        message = f"{name} cannot be read as a letter ({type(error).__name__})"
        raise SiteError(message) from error
    letter = kept.letter
    if not name.startswith(f"{letter.folder}/{letter.site}/"):
        place = printable(f"{letter.folder}/{letter.site}")
        message = f"{name} cannot be read as a letter: it belongs to {place}"
        raise SiteError(message)
    return kept


def _decode(blob: dict[str, Any], name: str) -> StoredLetter:
    status = blob["status"]
    texts = blob["reason"], blob["site"]
    well_formed = (
        blob["v"] == VERSION
        and blob["kind"] in get_args(Kind)
        and all(isinstance(text, str) for text in texts)
        and (status is None or type(status) is int)
    )
    if not well_formed:
        message = "a field is not of its type"
        raise TypeError(message)
    letter = Letter(blob["kind"], *texts, blob["record"], status)
    return StoredLetter(name, letter, timestamps.parse(blob["kept"]))
