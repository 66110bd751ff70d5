"""Mapping records to rows: the columns of `Jira_Audit_CL`. Pure.

`COLUMNS` is the only definition of the table; tests hold the template and the documentation to it.
Any JSON becomes a `Row` or raises `RecordRejected`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from jira_audit.core import encoding, timestamps
from jira_audit.core.errors import RecordRejected

Record = Any
"""A record as Jira returned it; it may be any JSON."""


class RawRecord(str):
    """The raw JSON of a record that no parser can read: its text, or base64 if it is no UTF-8.

    `reason` is a sentence for the dead letter.
    """

    __slots__ = ("reason",)

    reason: str

    @classmethod
    def of(cls, received: bytes, reason: str) -> RawRecord:
        """The record as it was received."""
        try:
            record = cls(received.decode())
            record.reason = f"{reason}; the record is its text"
        except UnicodeDecodeError:
            record = cls(base64.b64encode(received).decode())
            record.reason = f"{reason}; the record is its bytes in base64"
        return record


TABLE = "Jira_Audit_CL"
"""The table, also in a local folder."""

TABLE_FILE = f"{TABLE}.jsonl"

COLUMNS: Mapping[str, str] = {
    "TimeGenerated": "datetime",
    "site_s": "string",
    "id_d": "real",
    "created_t": "datetime",
    "summary_s": "string",
    "description_s": "string",
    "Category": "string",
    "eventSource_s": "string",
    "remoteAddress_s": "string",
    "authorKey_s": "string",
    "authorAccountId_s": "string",
    "objectItem_id_s": "string",
    "objectItem_name_s": "string",
    "objectItem_typeName_s": "string",
    "objectItem_parentId_s": "string",
    "objectItem_parentName_s": "string",
    "changedValues_s": "string",
    "associatedItems_s": "string",
    "extra_s": "string",
    "truncated_b": "boolean",
}
"""The type of each column. The names, `Category` too, are the classic connector's:
https://github.com/Azure/Azure-Sentinel/tree/master/Solutions/AtlassianJiraAudit"""

STRING_LIMIT = 65_536
"""UTF-8 bytes in a string column. The service truncates longer text silently, even JSON.
https://learn.microsoft.com/azure/azure-monitor/fundamentals/service-limits#log-analytics-workspaces"""

ROW_LIMIT = 1_048_576 - 2
"""Bytes of one row's JSON: a batch of one row has two brackets more."""

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1

_FIELDS = {
    "summary": "summary_s",
    "description": "description_s",
    "category": "Category",
    "eventSource": "eventSource_s",
    "remoteAddress": "remoteAddress_s",
    "authorKey": "authorKey_s",
    "authorAccountId": "authorAccountId_s",
    "changedValues": "changedValues_s",
    "associatedItems": "associatedItems_s",
}
_JSON_COLUMNS = ("changedValues_s", "associatedItems_s")
_OBJECT_FIELDS = {
    "id": "objectItem_id_s",
    "name": "objectItem_name_s",
    "typeName": "objectItem_typeName_s",
    "parentId": "objectItem_parentId_s",
    "parentName": "objectItem_parentName_s",
}


class Identity(NamedTuple):  # the fastest frozen type to create
    """A record's id and created time (milliseconds)."""

    id: int
    created: int


class Row(NamedTuple):
    """A row and its record, both as JSON: a fifth of the memory of objects.

    `text` has both; the row is the first `size` bytes. Joined, they are a copy of exact size:
    orjson 3.13 leaves 700 bytes in a buffer of 4 KiB. `whole` is false if a column was truncated or
    invalid Unicode replaced: the record must be kept as an original.
    """

    identity: Identity
    text: bytes
    size: int
    whole: bool

    @property
    def line(self) -> bytes:
        return self.text[: self.size]

    @property
    def received(self) -> bytes:
        return self.text[self.size :]


def id_of(record: Record) -> int | None:
    """The record's id; None if it is no 64-bit integer, which is the documented type."""
    record_id = record.get("id") if isinstance(record, dict) else None
    if type(record_id) is int and _INT64_MIN <= record_id <= _INT64_MAX:  # excludes bool
        return record_id
    return None


def created_of(record: Record) -> int | None:
    """The record's created time (milliseconds); None if missing or unreadable."""
    created = record.get("created") if isinstance(record, dict) else None
    try:
        return timestamps.parse(created) if isinstance(created, str) else None
    except ValueError:
        return None


def identify(record: Record) -> Identity:
    """A record's identity. Raises RecordRejected without an id or a created time."""
    record_id, created = id_of(record), created_of(record)
    if record_id is None or created is None:
        if isinstance(record, RawRecord):
            raise RecordRejected(record.reason)
        if isinstance(record, str):  # also a raw record that was stored
            message = "the record is text, not an object"
            raise RecordRejected(message)
        missing = "integer id" if record_id is None else "readable created time"
        message = f"the record has no {missing}"
        raise RecordRejected(message)
    return Identity(record_id, created)


def to_row(record: Record, identity: Identity, *, site: str, generated: str) -> Row:
    """Map a record to its row.

    `generated` is `TimeGenerated` as text. A field absent or null in Jira is absent from the row.
    Unknown fields go to `extra_s` as JSON. Raises RecordRejected if the record is nested too
    deeply or has a number that is too large.
    """
    columns: dict[str, object] = {
        "TimeGenerated": generated,
        "site_s": site,
        "id_d": identity.id,
        "created_t": _created_text(record, identity),
    }
    structures = _sort_out(record, columns)
    try:
        for column, value in structures.items():
            columns[column] = orjson.dumps(value).decode()
        line, received = orjson.dumps(columns), orjson.dumps(record)
    except TypeError:  # lone surrogates, long integers or deep nesting
        line = received = b""
    if 0 < len(line) <= STRING_LIMIT:  # so no column can be too long
        return Row(identity, line + received, len(line), True)  # noqa: FBT003  keywords are slower
    try:
        line, whole = _fit(columns, structures)
        return Row(identity, line + encoding.dumps(record), len(line), whole)
    except (RecursionError, ValueError):
        message = "the record is nested too deeply, or a number in it is too large"
        raise RecordRejected(message) from None


def _created_text(record: dict[str, Any], identity: Identity) -> str:
    """The created time as text; Jira's usual form needs no formatting, which saves time."""
    text: str = record["created"]
    usual = text[23:] == "+0000" and text[10] == "T" and text[19] == "." and text[5] != "W"
    return f"{text[:23]}Z" if usual else timestamps.text(identity.created)


def _sort_out(record: dict[str, Any], columns: dict[str, object]) -> dict[str, Any]:
    """Fill the text columns; returns the values that become JSON."""
    structures: dict[str, Any] = {}
    extra = _take_known(record, _FIELDS, columns, structures)
    del extra["id"], extra["created"]
    for column in _JSON_COLUMNS:
        if column in columns:  # text instead of a list becomes JSON, too
            structures[column] = columns.pop(column)
    item = extra.pop("objectItem", None)
    if isinstance(item, dict):
        if unknown := _take_known(item, _OBJECT_FIELDS, columns, structures):
            extra["objectItem"] = unknown
    elif item is not None:
        extra["objectItem"] = item
    if extra:
        structures["extra_s"] = extra
    return structures


def _take_known(
    source: Mapping[str, Any],
    fields: Mapping[str, str],
    columns: dict[str, object],
    structures: dict[str, Any],
) -> dict[str, Any]:
    """Fill the fields that have a column; returns the others."""
    others: dict[str, Any] = {}
    for field, value in source.items():
        column = fields.get(field)
        if column is None:
            others[field] = value
        elif isinstance(value, str):
            columns[column] = value
        elif value is not None:  # a list, or not the documented type: becomes JSON
            structures[column] = value
    return others


# The slow path, for the few records that the fast path cannot write.


def _fit(columns: dict[str, object], structures: dict[str, Any]) -> tuple[bytes, bool]:
    """The row's JSON within both limits, and whether it is whole.

    Truncates each column that is too long; then, while the row is too large, its longest column.
    """
    raw = _texts(columns, structures)
    texts = {column: _valid_unicode(text) for column, text in raw.items()}
    whole = texts == raw
    limits = {column: STRING_LIMIT for column, text in texts.items() if _size(text) > STRING_LIMIT}
    while True:
        for column, limit in limits.items():
            in_json = column in structures
            texts[column] = (
                _cut_json(structures[column], limit) if in_json else _cut(raw[column], limit)
            )
            columns["truncated_b"], whole = True, False
        line = orjson.dumps(columns | texts)
        if len(line) <= ROW_LIMIT:
            return line, whole
        column = _largest(texts)
        limits = {column: _size(texts[column]) // 2}


def _texts(columns: Mapping[str, object], structures: Mapping[str, Any]) -> dict[str, str]:
    """The text of each column that can be truncated; lone surrogates are kept."""
    strings = {column: value for column, value in columns.items() if isinstance(value, str)}
    return strings | {column: _raw_json(value) for column, value in structures.items()}


def _largest(texts: Mapping[str, str]) -> str:
    return max(texts, key=lambda column: len(orjson.dumps(texts[column])))


def _raw_json(value: Any) -> str:
    """JSON text; lone surrogates are kept."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _json(value: Any) -> str:
    return _valid_unicode(_raw_json(value))


def _valid_unicode(text: str) -> str:
    """Replace lone surrogates by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _size(text: str) -> int:
    return len(text.encode())


def _cut(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8."""
    return _valid_unicode(text).encode()[:limit].decode(errors="ignore")


def _cut_json(value: Any, limit: int) -> str:
    """A value as valid JSON of at most `limit` bytes.

    Truncates long strings first, so that every item is kept; then drops items that do not fit.
    """
    shorter = value
    for longest in (16_384, 4_096, 1_024, 256, 64):
        shorter = _shorten(value, longest)
        text = _json(shorter)
        if _size(text) <= limit:
            return text
    if isinstance(shorter, list):
        return "[" + _fitting(map(_json, shorter), limit - 2) + "]"
    if isinstance(shorter, dict):
        members = (f"{_json(key)}:{_json(item)}" for key, item in shorter.items())
        return "{" + _fitting(members, limit - 2) + "}"
    return "null"


def _fitting(parts: Iterable[str], limit: int) -> str:
    """The parts that fit into `limit` bytes, in order, with commas."""
    kept: list[str] = []
    left = limit + 1
    for part in parts:
        if _size(part) < left:
            kept.append(part)
            left -= _size(part) + 1
    return ",".join(kept)


def _shorten(value: Any, longest: int) -> Any:
    """Truncate every string to `longest` bytes."""
    if isinstance(value, str):
        return _cut(value, longest)
    if isinstance(value, list):
        return [_shorten(item, longest) for item in value]
    if isinstance(value, dict):
        return {key: _shorten(item, longest) for key, item in value.items()}
    return value
