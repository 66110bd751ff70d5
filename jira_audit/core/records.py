"""Records into rows: the columns of `Jira_Audit_CL`, and how each is made.

`COLUMNS` is the one definition of the table; the stream, the template and the documentation are
held to it by tests. Mapping is total: any JSON becomes a `Row` or raises `RecordRejected`. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import orjson

from jira_audit.core import encoding, moments
from jira_audit.core.errors import RecordRejected

Record = Any
"""What Jira returned as one audit record. Untrusted: it may be any JSON."""

TABLE = "Jira_Audit_CL"
"""What the table is called, and its rows in a local folder."""

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
"""Column and type. Those of the classic connector keep its names, odd ones too (`Category`):
https://github.com/Azure/Azure-Sentinel/tree/master/Solutions/AtlassianJiraAudit"""

STRING_LIMIT = 65_536
"""UTF-8 bytes a string column holds; the service cuts longer ones silently, in mid-JSON.
https://learn.microsoft.com/azure/azure-monitor/fundamentals/service-limits#log-analytics-workspaces"""

ROW_LIMIT = 1_048_576 - 2
"""Bytes of one row's JSON, so that alone between brackets it is a batch the service takes."""

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


class Identity(NamedTuple):  # of all frozen things, the quickest to make
    """What the connector needs of a record to keep account of it."""

    id: int
    created: int


class Row(NamedTuple):
    """One line of the table, as JSON, and the record it came from, as JSON too (it takes a fifth
    of the memory).

    `text` is the two, one after the other: a copy in no more memory than it needs, for orjson 3.13
    leaves its results in the buffer they were written to, 4 KiB for 700 bytes. The line is the
    first `size` bytes. `whole` is false when it says less than the record did (a column cut,
    characters that are no Unicode replaced): then the record is to be kept as an original.
    """

    identity: Identity
    text: bytes
    size: int
    whole: bool

    @property
    def line(self) -> bytes:
        """What the table gets."""
        return self.text[: self.size]

    @property
    def received(self) -> bytes:
        """The record as it came."""
        return self.text[self.size :]


def id_of(record: Record) -> int | None:
    """The record's id, or None if it has no integer (of 64 bits, as Jira documents it)."""
    record_id = record.get("id") if isinstance(record, dict) else None
    if type(record_id) is int and _INT64_MIN <= record_id <= _INT64_MAX:  # a bool is an int, too
        return record_id
    return None


def created_of(record: Record) -> int | None:
    """The moment the record was created, or None if it names none that can be read."""
    created = record.get("created") if isinstance(record, dict) else None
    try:
        return moments.parse(created) if isinstance(created, str) else None
    except ValueError:
        return None


def identify(record: Record) -> Identity:
    """Tell which record this is. Raises RecordRejected without an id or a created time."""
    record_id, created = id_of(record), created_of(record)
    if record_id is None or created is None:
        missing = "integer id" if record_id is None else "readable created time"
        message = f"the record has no {missing}"
        raise RecordRejected(message)
    return Identity(record_id, created)


def to_row(record: Record, identity: Identity, *, site: str, generated: str) -> Row:
    """Make the row of a record.

    `site` is the site's lower-case host, `generated` the moment for `TimeGenerated`, as
    `moments.text` writes it: many rows have the same. What is absent
    or null in Jira is absent from the row; fields this version does not know go, as JSON, into
    `extra_s`. Raises RecordRejected when the record is nested too deeply to be written.
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
    except TypeError:  # orjson refuses it: lone surrogates, long integers, deep nesting
        line = received = b""
    if 0 < len(line) <= STRING_LIMIT:  # then no column can be too long
        return Row(identity, line + received, len(line), True)  # noqa: FBT003  by name it is slower
    try:
        line, whole = _fit(columns, structures)
        return Row(identity, line + encoding.dumps(record), len(line), whole)
    except (RecursionError, ValueError):
        message = "the record is nested too deeply"
        raise RecordRejected(message) from None


def _created_text(record: dict[str, Any], identity: Identity) -> str:
    """The moment it was created as text; mostly what Jira wrote, which takes less time to see."""
    text: str = record["created"]
    usual = text[23:] == "+0000" and text[10] == "T" and text[19] == "." and text[5] != "W"
    return f"{text[:23]}Z" if usual else moments.text(identity.created)


def _sort_out(record: dict[str, Any], columns: dict[str, object]) -> dict[str, Any]:
    """Fill in the text columns; return what becomes JSON text, by column."""
    structures: dict[str, Any] = {}
    extra = _take_known(record, _FIELDS, columns, structures)
    del extra["id"], extra["created"]
    for column in _JSON_COLUMNS:
        if column in columns:  # text, where there ought to be a list: as its JSON, too
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
    """Take the fields that have a column of their own; return the others."""
    others: dict[str, Any] = {}
    for field, value in source.items():
        column = fields.get(field)
        if column is None:
            others[field] = value
        elif isinstance(value, str):
            columns[column] = value
        elif value is not None:  # a list; or not the documented type: kept as its JSON
            structures[column] = value
    return others


# The careful way, for the rare record that the fast way above cannot take.


def _fit(columns: dict[str, object], structures: dict[str, Any]) -> tuple[bytes, bool]:
    """The row's JSON within both limits, and whether it still says all that the record did.

    A column that is too long is cut; then, while the row is larger than a batch, its longest one.
    """
    texts: dict[str, str] = {}
    cutters: dict[str, Callable[[int], str]] = {}
    whole = True
    for column in [name for name, kind in COLUMNS.items() if kind == "string"]:
        if column in structures:
            value = structures[column]
            raw, cutters[column] = _raw_json(value), partial(_cut_json, value)
        elif column in columns:
            raw = str(columns[column])
            cutters[column] = partial(_cut, raw)
        else:
            continue
        texts[column] = _valid_unicode(raw)
        whole &= texts[column] == raw
    limits = {column: STRING_LIMIT for column, text in texts.items() if _size(text) > STRING_LIMIT}
    while True:
        for column, limit in limits.items():
            texts[column] = cutters[column](limit)
            columns["truncated_b"], whole = True, False
        line = orjson.dumps(columns | texts)
        if len(line) <= ROW_LIMIT:
            return line, whole
        longest = max(texts, key=lambda column: len(orjson.dumps(texts[column])))
        limits = {longest: _size(texts[longest]) // 2}


def _raw_json(value: Any) -> str:
    """JSON text of anything; lone surrogates stay in it as they are."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _json(value: Any) -> str:
    return _valid_unicode(_raw_json(value))


def _valid_unicode(text: str) -> str:
    """Lone surrogates replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _size(text: str) -> int:
    return len(text.encode())


def _cut(text: str, limit: int) -> str:
    """The longest beginning of a text that is at most `limit` bytes of UTF-8."""
    return _valid_unicode(text).encode()[:limit].decode(errors="ignore")


def _cut_json(value: Any, limit: int) -> str:
    """JSON text of at most `limit` bytes that is still JSON.

    The long strings within are cut first, so that every item keeps its place; where that is not
    enough, the last items go.
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
    """The parts that fit, one after the other, into `limit` bytes with commas between."""
    kept: list[str] = []
    left = limit + 1
    for part in parts:
        if _size(part) < left:
            kept.append(part)
            left -= _size(part) + 1
    return ",".join(kept)


def _shorten(value: Any, longest: int) -> Any:
    """The same structure with every string cut to `longest` bytes."""
    if isinstance(value, str):
        return _cut(value, longest)
    if isinstance(value, list):
        return [_shorten(item, longest) for item in value]
    if isinstance(value, dict):
        return {key: _shorten(item, longest) for key, item in value.items()}
    return value
