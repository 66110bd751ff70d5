"""Mapping records to rows: every column, any JSON, both limits, and no unknown field dropped."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jira_audit.core import timestamps
from jira_audit.core.encoding import dumps, loads
from jira_audit.core.errors import RecordRejected
from jira_audit.core.records import (
    COLUMNS,
    ROW_LIMIT,
    STRING_LIMIT,
    Identity,
    RawRecord,
    Row,
    identify,
    to_row,
)
from tests.core.json_strategies import objects, parse_strictly, records, values
from tests.pages import Page
from tests.servers import ingestion

SITE = "contoso.atlassian.net"
NOW = 1_700_000_000_123
CREATED = "2021-01-20T12:40:01.903+0000"
LEAST = {"id": 10_001, "created": CREATED}
# The first columns of every row of LEAST.
FIXED = {
    "TimeGenerated": "2023-11-14T22:13:20.123Z",
    "site_s": SITE,
    "id_d": 10_001,
    "created_t": "2021-01-20T12:40:01.903Z",
}
PLAIN = {
    "summary": "summary_s",
    "description": "description_s",
    "category": "Category",
    "eventSource": "eventSource_s",
    "remoteAddress": "remoteAddress_s",
    "authorKey": "authorKey_s",
    "authorAccountId": "authorAccountId_s",
}
ITEM = ("id", "name", "typeName", "parentId", "parentName")


def row_of(record: Any) -> Row:
    return to_row(record, identify(record), site=SITE, generated=timestamps.text(NOW))


def columns_of(record: Any) -> dict[str, Any]:
    line: dict[str, Any] = parse_strictly(row_of(record).line)
    return line


# The table


def test_columns_are_those_of_the_deployed_table() -> None:
    assert dict(COLUMNS) == dict(ingestion.COLUMNS)


def test_limits_are_those_of_the_service() -> None:
    assert STRING_LIMIT == 65_536
    assert ROW_LIMIT == 1_048_574


# Rows


def test_row_of_a_full_record_fills_every_column() -> None:
    record = {
        "id": 10_001,
        "summary": "User added to group",
        "remoteAddress": "10.0.0.1, 2001:db8::1",
        "authorKey": "ug:24aa09ae",
        "authorAccountId": "557058:9a2b",
        "created": CREATED,
        "category": "group management",
        "eventSource": "",
        "description": "With “quotes” and \n lines",
        "objectItem": {
            "id": "7",
            "name": "site-admins",
            "typeName": "GROUP",
            "parentId": "1",
            "parentName": "Directory",
        },
        "changedValues": [{"fieldName": "é", "changedFrom": "a", "changedTo": "b"}],
        "associatedItems": [{"id": "5", "name": "x", "typeName": "USER"}],
    }
    row = row_of(record)
    assert row.identity == Identity(10_001, 1_611_146_401_903)
    assert row.whole
    assert parse_strictly(row.line) == FIXED | {
        "summary_s": "User added to group",
        "remoteAddress_s": "10.0.0.1, 2001:db8::1",
        "authorKey_s": "ug:24aa09ae",
        "authorAccountId_s": "557058:9a2b",
        "Category": "group management",
        "eventSource_s": "",
        "description_s": "With “quotes” and \n lines",
        "objectItem_id_s": "7",
        "objectItem_name_s": "site-admins",
        "objectItem_typeName_s": "GROUP",
        "objectItem_parentId_s": "1",
        "objectItem_parentName_s": "Directory",
        "changedValues_s": '[{"fieldName":"é","changedFrom":"a","changedTo":"b"}]',
        "associatedItems_s": '[{"id":"5","name":"x","typeName":"USER"}]',
    }


@pytest.mark.parametrize(
    ("fields", "columns"),
    [
        # Absent, null and empty.
        ({}, {}),
        (
            dict.fromkeys([*PLAIN, "objectItem", "changedValues", "associatedItems"]),
            {},
        ),
        ({"summary": ""}, {"summary_s": ""}),
        ({"objectItem": {}}, {}),
        ({"changedValues": []}, {"changedValues_s": "[]"}),
        # A group or permission has no id; an added value has no `changedFrom`.
        (
            {"objectItem": {"name": "admins", "typeName": "GROUP", "id": None}},
            {"objectItem_name_s": "admins", "objectItem_typeName_s": "GROUP"},
        ),
        (
            {"changedValues": [{"fieldName": "Name", "changedTo": "x"}]},
            {"changedValues_s": '[{"fieldName":"Name","changedTo":"x"}]'},
        ),
        # Values of a wrong type are written as JSON.
        ({"summary": 7}, {"summary_s": "7"}),
        ({"summary": True}, {"summary_s": "true"}),
        ({"category": {"a": [1]}}, {"Category": '{"a":[1]}'}),
        ({"authorKey": 2**70}, {"authorKey_s": "1180591620717411303424"}),
        ({"objectItem": {"id": 7}}, {"objectItem_id_s": "7"}),
        ({"changedValues": {"a": 1}}, {"changedValues_s": '{"a":1}'}),
        ({"changedValues": "text"}, {"changedValues_s": '"text"'}),
        ({"associatedItems": 0}, {"associatedItems_s": "0"}),
        # Fields unknown to this version.
        ({"eventType": "x"}, {"extra_s": '{"eventType":"x"}'}),
        ({"eventType": None}, {"extra_s": '{"eventType":null}'}),
        (
            {"objectItem": {"name": "a", "url": "u"}, "actor": {"b": 1}},
            {"objectItem_name_s": "a", "extra_s": '{"actor":{"b":1},"objectItem":{"url":"u"}}'},
        ),
        ({"objectItem": "a text"}, {"extra_s": '{"objectItem":"a text"}'}),
        ({"objectItem": [1]}, {"extra_s": '{"objectItem":[1]}'}),
        ({"objectItem": False}, {"extra_s": '{"objectItem":false}'}),
        (
            {"site_s": "evil", "TimeGenerated": 1},
            {"extra_s": '{"site_s":"evil","TimeGenerated":1}'},
        ),
        ({"new": 2**64 + 1}, {"extra_s": '{"new":18446744073709551617}'}),
    ],
)
def test_row_follows_the_shape_of_the_record(
    fields: dict[str, Any], columns: dict[str, Any]
) -> None:
    row = row_of(LEAST | fields)
    assert parse_strictly(row.line) == FIXED | columns
    assert row.whole


@pytest.mark.parametrize("number", [0, -1, 2**53 + 1, 2**63 - 1, -(2**63)])
def test_row_has_an_exact_64_bit_id(number: int) -> None:
    row = row_of({"id": number, "created": CREATED})
    assert parse_strictly(row.line)["id_d"] == number
    assert row.identity.id == number


def test_row_keeps_the_exact_record() -> None:
    record = LEAST | {"summary": "\ud83d" * 70_000, "new": 2**70}
    assert repr(loads(row_of(record).received)) == repr(record)
    assert loads(row_of(LEAST).received) == LEAST


def check_mapping(record: Any) -> None:
    """Any input becomes a row within the limits with the same content, or a rejection."""
    try:
        row = row_of(record)
    except RecordRejected:
        return
    line = parse_strictly(row.line)
    assert len(row.line) <= 1_048_574
    kinds = {"string": str, "real": int, "datetime": str, "boolean": bool}
    for name, value in line.items():
        assert [type(value)] == [kinds[COLUMNS[name]]]
        if COLUMNS[name] == "string":
            assert len(value.encode()) <= 65_536
        if COLUMNS[name] == "datetime":
            assert datetime.fromisoformat(value).tzinfo is not None
    for name in ("changedValues_s", "associatedItems_s", "extra_s"):
        if name in line:
            parse_with_repeats(line[name], repeats=not row.whole)
    if "truncated_b" in line:
        assert line["truncated_b"] is True
        assert not row.whole
    if row.whole:
        check_row_is_complete(record, line)
    assert loads(row.received) == record


def parse_with_repeats(text: str, *, repeats: bool) -> Any:
    """Two names that differ only in a lone surrogate become the same once it is replaced."""
    return json.loads(text) if repeats else parse_strictly(text)


def check_row_is_complete(record: dict[str, Any], line: dict[str, Any]) -> None:
    """Independent of the mapping: removes fields from both until none is left."""
    left, row = dict(record), dict(line)

    def check_same(value: Any, column: str, *, text: bool = True) -> None:
        if value is not None:
            said = row.pop(column)  # repr distinguishes 1 from 1.0 and true
            assert repr(said if text and isinstance(value, str) else parse_strictly(said)) == repr(
                value
            )

    assert row.pop("TimeGenerated") == "2023-11-14T22:13:20.123Z"
    assert row.pop("site_s") == SITE
    assert row.pop("id_d") == left.pop("id")
    created = datetime.fromisoformat(left.pop("created"))
    assert datetime.fromisoformat(row.pop("created_t")) == created
    for name, column in PLAIN.items():
        check_same(left.pop(name, None), column)
    for name in ("changedValues", "associatedItems"):
        check_same(left.pop(name, None), f"{name}_s", text=False)
    item = left.pop("objectItem", None)
    if isinstance(item, dict):
        item = dict(item)
        for name in ITEM:
            check_same(item.pop(name, None), f"objectItem_{name}_s")
    if item not in ({}, None):
        left["objectItem"] = item
    if left:
        check_same(left, "extra_s")
    assert row == {}


@settings(deadline=None, max_examples=100)
@given(records)
def test_row_of_any_record_is_complete_or_rejected(record: Any) -> None:
    check_mapping(record)


@settings(deadline=None)
@given(values | objects)
@example({"id": 1})
@example([LEAST])
def test_row_of_any_json_is_valid_or_rejected(value: Any) -> None:
    check_mapping(value)


LONG = st.builds(
    lambda text, times: text * times,
    st.sampled_from(["x", "\x01", '"', "\\", "€", "\U0001f600", "\ud83d", "é\n"]),
    st.sampled_from([1, 63, 16_384, 21_846, 65_536, 65_537]),
)

LONG_JSON = st.recursive(
    LONG | st.integers(-(2**70), 2**70),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(LONG, inner, max_size=2)
        | st.builds(lambda item, times: [item] * times, inner, st.sampled_from([2, 5]))
    ),
    max_leaves=3,
)


@settings(deadline=None, max_examples=30)
@given(
    st.dictionaries(
        st.sampled_from([*PLAIN, "changedValues", "associatedItems", "new"]), LONG_JSON
    ),
    st.dictionaries(st.sampled_from([*ITEM, "new"]), LONG_JSON),
)
@example(dict.fromkeys([*PLAIN, "changedValues", "associatedItems", "new"], "\x01" * 70_000), {})
@example({"changedValues": [["x" * 60] * 3] * 9_000}, {"new": {"x" * 70_000: 1}})
def test_row_of_any_large_record_keeps_both_limits(
    fields: dict[str, Any], item: dict[str, Any]
) -> None:
    check_mapping(LEAST | fields | {"objectItem": item})


def fits_columns(record: Any) -> bool:
    """Whether the columns can hold the whole record: it is short and valid Unicode."""
    text = json.dumps(record, ensure_ascii=False)
    in_utf8 = text.encode("utf-8", "replace")
    return len(in_utf8) <= STRING_LIMIT and in_utf8.decode() == text


def test_row_of_every_written_record_is_complete(audit_page: Page) -> None:
    rows = [row_of(record) for record in audit_page.records]

    assert [row.identity.id for row in rows] == [record["id"] for record in audit_page.records]
    for record, row in zip(audit_page.records, rows, strict=True):
        assert row.whole or not fits_columns(record)
        check_mapping(record)


# Times


@pytest.mark.parametrize(
    ("created", "column"),
    [
        ("2021-01-20T12:40:01.903+0000", "2021-01-20T12:40:01.903Z"),
        ("2021-01-20T12:40:01.903Z", "2021-01-20T12:40:01.903Z"),
        ("2021-01-20T14:40:01.903+02:00", "2021-01-20T12:40:01.903Z"),
        ("2021-01-20T01:40:01.9-1100", "2021-01-20T12:40:01.900Z"),
        ("2021-01-20T12:40:01+0000", "2021-01-20T12:40:01.000Z"),
    ],
)
def test_created_is_normalised_to_utc(created: str, column: str) -> None:
    assert columns_of({"id": 1, "created": created})["created_t"] == column


@given(
    st.text("0123456789TWZ:.,+- ", min_size=28, max_size=28)
    | st.datetimes().map(lambda at: at.isoformat(timespec="milliseconds") + "+0000")
    | st.from_regex(r"20\d\d-[W01]\d-\d\dT[012]\d:\d\d:\d\d[.,]\d{3}[+-]0000", fullmatch=True)
    | st.from_regex(r"20\d\d-W[0-4]\d-[1-7][T ]1\d:\d\d:\d\d\.\d{3}\+0000", fullmatch=True)
)
@example("2021-W03-4T12:40:01.903+0000")
@example("2021-01-20 12:40:01.903+0000")
def test_created_keeps_its_moment_in_any_notation(created: str) -> None:
    record = {"id": 1, "created": created}
    try:
        identity = identify(record)
    except RecordRejected:
        return
    assert parse_strictly(row_of(record).line)["created_t"] == timestamps.text(identity.created)


def test_time_generated_is_the_argument() -> None:
    row = to_row(LEAST, identify(LEAST), site="other.example", generated=timestamps.text(0))
    assert parse_strictly(row.line)["TimeGenerated"] == "1970-01-01T00:00:00.000Z"
    assert parse_strictly(row.line)["site_s"] == "other.example"


# Rejections


@pytest.mark.parametrize(
    ("received", "text", "reason"),
    [
        (b'{"id": NaN}', '{"id": NaN}', "not JSON; the record is its text"),
        (b'{"id": "\xff"}', "eyJpZCI6ICL/In0=", "not JSON; the record is its bytes in base64"),
    ],
)
def test_record_that_is_raw_is_rejected(received: bytes, text: str, reason: str) -> None:
    record = RawRecord.of(received, "not JSON")
    assert record == text
    with pytest.raises(RecordRejected, match=f"^{reason}$"):
        identify(record)
    with pytest.raises(RecordRejected, match="text, not an object"):
        identify(loads(dumps(record)))


@pytest.mark.parametrize(
    "record",
    [
        {"created": CREATED},
        {"id": None, "created": CREATED},
        {"id": "10001", "created": CREATED},
        {"id": 10_001.0, "created": CREATED},
        {"id": True, "created": CREATED},
        {"id": 2**63, "created": CREATED},
        *(None, 7, [], {}),
    ],
)
def test_record_without_an_integer_id_is_rejected(record: Any) -> None:
    with pytest.raises(RecordRejected, match=r"^the record has no integer id$"):
        identify(record)


@pytest.mark.parametrize(
    "created", [None, "", 1_611_146_401_903, "2021-01-20T12:40:01.903", "soon", "\ud83d", [CREATED]]
)
def test_record_without_a_readable_created_is_rejected(created: Any) -> None:
    with pytest.raises(RecordRejected, match=r"^the record has no readable created time$"):
        identify({"id": 1, "created": created})
    with pytest.raises(RecordRejected):
        identify({"id": 1})


def test_rejection_quotes_nothing_of_the_record() -> None:
    with pytest.raises(RecordRejected) as raised:
        identify({"id": "secret-1", "created": "secret-2", "summary": "secret-3"})
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("levels", [100, 253, 254, 255, 600, 900])
@pytest.mark.parametrize("field", ["summary", "changedValues", "objectItem", "new"])
def test_nesting_is_written_as_deep_as_python_can(levels: int, field: str) -> None:
    deep: Any = []
    for _ in range(levels):
        deep = {"a": deep}
    row = row_of(LEAST | {field: deep})
    assert row.whole
    check_row_is_complete(LEAST | {field: deep}, parse_strictly(row.line))


@pytest.mark.parametrize("field", ["summary", "changedValues", "objectItem", "new"])
def test_nesting_too_deep_to_write_is_a_rejection(field: str) -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RecordRejected, match="nested too deeply"):
        row_of(LEAST | {field: deep})


# Truncation


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("\ud83d", "\ufffd"),
        ("a\ud83db\udc00c", "a\ufffdb\ufffdc"),
        ("\ufeffx\ud83d", "\ufeffx\ufffd"),
        ("\ud83d\U0001f600", "\ufffd\U0001f600"),
    ],
)
def test_truncation_is_set_for_a_replaced_lone_surrogate(text: str, column: str) -> None:
    row = row_of(LEAST | {"summary": text, "new": {text: text}, "changedValues": [text]})
    line = parse_strictly(row.line)
    assert line["summary_s"] == column
    assert parse_strictly(line["extra_s"]) == {"new": {column: column}}
    assert parse_strictly(line["changedValues_s"]) == [column]
    assert not row.whole
    assert "truncated_b" not in line


def test_truncation_leaves_a_string_at_the_limit() -> None:
    row = row_of(LEAST | {"summary": "x" * 65_536})
    assert row.whole
    assert parse_strictly(row.line) == FIXED | {"summary_s": "x" * 65_536}


def test_truncation_begins_one_byte_over_the_limit() -> None:
    row = row_of(LEAST | {"summary": "x" * 65_537, "description": "short"})
    assert not row.whole
    assert parse_strictly(row.line) == FIXED | {
        "summary_s": "x" * 65_536,
        "description_s": "short",
        "truncated_b": True,
    }


def test_truncation_leaves_whole_characters() -> None:
    line = columns_of(LEAST | {"summary": "x" + "€" * 30_000})
    assert line["summary_s"] == "x" + "€" * 21_845  # 65,536 bytes
    line = columns_of(LEAST | {"summary": "€" * 30_000})
    assert line["summary_s"] == "€" * 21_845  # 65,535 bytes; another would be 65,538


def test_truncation_of_json_shortens_long_strings_first() -> None:
    changes = [{"fieldName": str(number), "changedTo": "y" * 30_000} for number in range(10)]
    row = row_of(LEAST | {"changedValues": changes})
    line = parse_strictly(row.line)
    kept = parse_strictly(line["changedValues_s"])
    assert [change["fieldName"] for change in kept] == [str(number) for number in range(10)]
    assert {len(change["changedTo"]) for change in kept} == {4_096}
    assert line["truncated_b"] is True
    assert not row.whole


def test_truncation_of_json_then_drops_the_last_items() -> None:
    changes = [{"fieldName": str(number)} for number in range(10_000)]
    line = columns_of(LEAST | {"changedValues": changes})
    kept = parse_strictly(line["changedValues_s"])
    assert kept == changes[: len(kept)]
    assert 65_536 - 21 < len(line["changedValues_s"]) <= 65_536
    assert line["truncated_b"] is True


@pytest.mark.parametrize(
    ("items", "kept"),
    [
        ([10] * 30_000, 21_845),  # 3 bytes each with its comma: 65,536 in all
        (["€€€€"] * 9_000, 4_369),  # 15 bytes each with its comma: 65,536 in all
        ([[1]] * 30_000, 16_383),  # 65,533; another would be 65,537
    ],
)
def test_truncation_of_json_keeps_all_items_that_fit(items: list[Any], kept: int) -> None:
    line = columns_of(LEAST | {"changedValues": items})
    assert parse_strictly(line["changedValues_s"]) == items[:kept]


def test_truncation_of_unknown_fields_leaves_an_object() -> None:
    line = columns_of(LEAST | {f"field{number:05}": number for number in range(10_000)})
    kept = parse_strictly(line["extra_s"])
    assert kept == {f"field{number:05}": number for number in range(len(kept))}
    assert len(line["extra_s"].encode()) <= 65_536


def test_truncation_of_a_row_shortens_its_longest_columns() -> None:
    # A control character takes one byte in the column and six in the row's JSON.
    long = dict.fromkeys(("summary", "description", "category", "authorKey"), "\x01" * 60_000)
    row = row_of(LEAST | long | {"remoteAddress": "10.0.0.1"})
    line = parse_strictly(row.line)
    assert len(row.line) <= 1_048_574
    assert len(row.line) > 500_000
    assert line["remoteAddress_s"] == "10.0.0.1"
    assert line["truncated_b"] is True
    assert not row.whole
    lengths = [len(line[name]) for name in ("summary_s", "description_s", "Category")]
    assert set(lengths) <= {60_000, 30_000}
