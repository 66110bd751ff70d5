"""Events: rows as the review reads them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jira_audit.core import encoding, timestamps


@dataclass(frozen=True, slots=True)
class Item:
    """What an event is about, or what goes with it: a user, a group, a project."""

    kind: str
    name: str
    id: str

    @property
    def is_user(self) -> bool:
        return self.kind.upper() == "USER"


@dataclass(frozen=True, slots=True)
class Change:
    """One field of an event's changed values."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Event:
    """One row. What it lacks is empty; `at` is the created time (milliseconds).

    `number` is the record's id, unique at its site.
    """

    at: int
    site: str
    number: int | None
    summary: str
    category: str
    key: str
    account: str
    addresses: str
    subject: Item
    changes: tuple[Change, ...]
    items: tuple[Item, ...]

    def says(self, words: Iterable[str]) -> bool:
        """Whether the summary has any of these words or phrases."""
        return has_any(self.summary, words)

    @property
    def users(self) -> Iterator[Item]:
        """The users that go with it, without the accounts of apps."""
        return (each for each in self.items if each.is_user and not each.name.startswith("addon_"))


def read_event(row: Mapping[str, Any]) -> Event:
    """Read a row, of which only the created time must be there."""
    return Event(
        timestamps.parse(row["created_t"]),
        _text(row, "site_s"),
        None if row.get("id_d") is None else int(row["id_d"]),
        _text(row, "summary_s"),
        _text(row, "Category").lower(),
        _text(row, "authorKey_s"),
        _text(row, "authorAccountId_s"),
        _text(row, "remoteAddress_s"),
        Item(
            _text(row, "objectItem_typeName_s"),
            _text(row, "objectItem_name_s"),
            _text(row, "objectItem_id_s"),
        ),
        tuple(
            Change(_text(each, "fieldName"), _text(each, "changedFrom"), _text(each, "changedTo"))
            for each in _objects(row, "changedValues_s")
        ),
        tuple(
            Item(_text(each, "typeName"), _text(each, "name"), _text(each, "id"))
            for each in _objects(row, "associatedItems_s")
        ),
    )


def _text(source: Mapping[str, Any], name: str) -> str:
    value = source.get(name)
    return value if isinstance(value, str) else ""


def _objects(row: Mapping[str, Any], column: str) -> Iterator[Mapping[str, Any]]:
    """The objects of a JSON column; none if it is no list."""
    try:
        value = encoding.loads(_text(row, column).encode(errors="replace") or b"[]")
    except ValueError:
        return
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))


def has_any(text: str, words: Iterable[str]) -> bool:
    """Whether a text has any of these words or phrases, as Kusto's `has_any`: whole words only.

    https://learn.microsoft.com/kusto/query/has-any-operator
    """
    return _pattern(tuple(words)).search(text) is not None


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    either = "|".join(map(re.escape, words))
    return re.compile(rf"(?i)(?<![^\W_])(?:{either})(?![^\W_])")
