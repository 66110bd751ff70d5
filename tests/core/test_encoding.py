"""JSON is read and written exactly, even if orjson refuses or rounds it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jira_audit.core import encoding
from tests.core.json_strategies import values


def is_same(one: Any, other: Any) -> bool:
    """Equal in value and type: 1 is neither 1.0 nor true. Works at any depth of nesting."""
    pairs = [(one, other)]
    while pairs:
        one, other = pairs.pop()
        if type(one) is not type(other):
            return False
        if isinstance(one, dict):
            if list(one) != list(other):
                return False
            pairs += zip(one.values(), other.values(), strict=True)
        elif isinstance(one, list):
            if len(one) != len(other):
                return False
            pairs += zip(one, other, strict=True)
        elif one != other:
            return False
    return True


@settings(deadline=None)
@given(values)
def test_values_are_read_as_they_were_written(value: Any) -> None:
    assert is_same(encoding.loads(encoding.dumps(value)), value)


@settings(deadline=None)
@given(values)
def test_values_are_read_as_json_reads_them(value: Any) -> None:
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        assert is_same(encoding.loads(text), value)


@settings(deadline=None)
@given(values)
def test_values_are_written_as_compact_utf_8(value: Any) -> None:
    text = encoding.dumps(value).decode("utf-8")
    assert is_same(json.loads(text), value)
    assert "\n" not in text
    assert text == text.strip()


@pytest.mark.parametrize(
    "number",
    [
        *(2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**64 + 1, 10**40 + 7),
        *(-(2**63), -(2**63) - 1, -(10**40) - 7, 10**18, 10**18 + 1),
    ],
)
def test_integers_are_not_rounded(number: int) -> None:
    for text in (b"%d", b"[%d]", b'{"id":%d}', b'{"a":"b","c":[1.5,%d]}'):
        read = encoding.loads(text % number)
        assert encoding.dumps(read) == text % number
    assert encoding.loads(b"%d" % number) == number
    assert isinstance(encoding.loads(b"%d" % number), int)


def test_lone_surrogates_are_kept() -> None:
    assert encoding.loads(b'{"a":"\\ud83d x"}') == {"a": "\ud83d x"}
    assert encoding.dumps({"a": "\ud83d x"}) == b'{"a":"\\ud83d x"}'
    assert encoding.loads(b'"\\ud83d\\ude00"') == "\U0001f600"


def test_nesting_of_a_few_hundred_levels_is_read_and_written() -> None:
    text = b"[" * 600 + b"]" * 600
    assert encoding.dumps(encoding.loads(text)) == text


@pytest.mark.parametrize("levels", [100_000, 1_000_000])
@pytest.mark.parametrize(("opened", "closed"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_too_deep_to_read_is_refused(levels: int, opened: bytes, closed: bytes) -> None:
    with pytest.raises(ValueError, match="deep"):
        encoding.loads(opened * levels + b"1" + closed * levels)


@pytest.mark.parametrize("levels", [5_000, 100_000])
def test_nesting_too_deep_to_read_is_still_written(levels: int) -> None:
    value: Any = ["\ud83d", {"a": 10**30, "b": float("inf"), "\ud83d": [None, True, 1.5]}, {}]
    inner = b'["\\ud83d",{"a":%d,"b":null,"\\ud83d":[null,true,1.5]},{}]' % 10**30
    for _ in range(levels):
        value = [1, {"x": value}, []]
    assert encoding.dumps(value) == b'[1,{"x":' * levels + inner + b"},[]]" * levels


@pytest.mark.parametrize("text", [b"[1e999,-1e999]", b'[1e999,-1e999,"\\ud83d"]'])
def test_number_beyond_the_range_of_a_double_is_written_as_null(text: bytes) -> None:
    written = encoding.dumps(encoding.loads(text))
    assert written == text.replace(b"-1e999", b"null").replace(b"1e999", b"null")


@given(values | st.sampled_from([float("inf"), [float("-inf"), "\ud83d"], {"a": float("inf")}]))
def test_writer_without_recursion_writes_the_same_json(value: Any) -> None:
    assert json.loads(encoding.dumps(value)) == json.loads(encoding._without_recursion(value))


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b" ", b"nul", b"{", b"[1,]", b"{'a':1}", b"[1] [2]", b"<html>", b"1 000"),
        *(b"NaN", b"[Infinity]", b'{"a":-Infinity}', b"[1234567890123456789012,NaN]"),
        *(b"\xff", b'"\xff"', b"01"),
    ],
)
def test_text_that_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the text is Python's
        encoding.loads(text)


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes", {"a": 1j}])
def test_values_that_json_cannot_hold_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON"):
        encoding.dumps(value)
