"""A letter stores a record exactly, under a name derived from it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from jira_audit.core.encoding import loads
from jira_audit.core.errors import SiteError
from jira_audit.core.letters import Letter, decode, id_in, is_name
from tests.core.json_strategies import objects, records, values

SITE = "contoso.atlassian.net"
KEPT = 1_611_146_401_903


def unreadable_letter(record: Any) -> Letter:
    return Letter("unreadable", "the record has no integer id", SITE, record)


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ({"id": 7, "created": "2021-01-20T12:40:01.903+0000"}, "2021-01-20/7"),
        ({"id": 7, "created": "2021-01-20T23:30:00.000-0100"}, "2021-01-21/7"),
        ({"id": 2**63 - 1, "created": "2021-01-20T12:40Z"}, "2021-01-20/9223372036854775807"),
        ({"id": 7}, "undated/7"),
        ({"id": 7, "created": "2021-01-20T12:40:01.903"}, "undated/7"),
        ({"id": 7, "created": None}, "undated/7"),
        ({"id": 7, "created": 1_611_146_401_903}, "undated/7"),
        # Without an id: the first half of the SHA-256 of the record's JSON.
        ({}, "undated/44136fa355b3678a1146ad16f7e8649e"),
        (None, "undated/74234e98afe7498fb5daf1f36ac2d78a"),
        ({"id": "7"}, "undated/389bf6f649e1a6dca027ed7b7d512445"),
    ],
)
def test_name_comes_from_the_record(record: Any, name: str) -> None:
    assert unreadable_letter(record).name == f"dead-letters/contoso.atlassian.net/{name}.json"


@pytest.mark.parametrize("wrong", [True, 7.0, "7", None, 2**63, [7]])
def test_name_is_a_hash_without_an_integer_id(wrong: Any) -> None:
    letter = unreadable_letter({"id": wrong, "created": "2021-01-20T12:40:01.903Z"})
    folder, _, name = letter.name.rpartition("/")
    assert folder == "dead-letters/contoso.atlassian.net/2021-01-20"
    assert len(name.removesuffix(".json")) == 32
    assert set(name.removesuffix(".json")) <= set("0123456789abcdef")


def test_name_does_not_change_when_the_record_gains_fields() -> None:
    record = {"id": 7, "created": "2021-01-20T12:40:01.903Z"}
    later = record | {"associatedItems": [{"id": "1"}]}
    assert unreadable_letter(record).name == unreadable_letter(later).name


@pytest.mark.parametrize("number", [0, 10_017, -3, 2**63 - 1, -(2**63)])
def test_name_shows_the_records_id(number: int) -> None:
    letter = Letter(
        "refused", "", SITE, {"id": number, "created": "2021-01-20T12:40:01.903+0000"}, 400
    )
    assert is_name(letter.name)
    assert id_in(letter.name) == number


@pytest.mark.parametrize("record", [{}, {"id": "17"}, None, {"id": 2**70}])
def test_name_that_is_a_hash_of_digits_shows_no_id(record: Any) -> None:
    assert id_in(Letter("unreadable", "", SITE, record).name) is None
    assert id_in(f"dead-letters/{SITE}/undated/{'1' * 32}.json") is None


def test_name_differs_between_records_without_an_id() -> None:
    names = {unreadable_letter({"summary": text}).name for text in ("a", "b", "\ud83d", "\ufffd")}
    assert len(names) == 4


def test_original_has_its_own_folder_and_is_no_dead_letter() -> None:
    original = Letter.original(SITE, {"id": 7, "created": "2021-01-20T12:40:01.903Z"})
    assert original.name == "originals/contoso.atlassian.net/2021-01-20/7.json"
    assert original.kind == "truncated"
    assert not original.is_dead


@pytest.mark.parametrize("kind", ["unreadable", "refused"])
def test_dead_letter_is_a_record_not_delivered(kind: Any) -> None:
    letter = Letter(kind, "", SITE, {"id": 7})
    assert letter.is_dead
    assert letter.name == "dead-letters/contoso.atlassian.net/undated/7.json"


def test_letter_holds_what_its_reader_needs() -> None:
    letter = Letter("refused", "HTTP 400", SITE, {"id": 7, "summary": "é"}, 400)
    assert json.loads(letter.encode(KEPT)) == {
        "v": 1,
        "kind": "refused",
        "reason": "HTTP 400",
        "status": 400,
        "record": {"id": 7, "summary": "é"},
        "site": "contoso.atlassian.net",
        "kept": "2021-01-20T12:40:01.903Z",
    }


def test_letter_without_a_status_has_null() -> None:
    assert json.loads(unreadable_letter({}).encode(KEPT))["status"] is None


@settings(deadline=None)
@given(records | values | objects)
def test_letter_keeps_any_record_exactly(record: Any) -> None:
    letter = unreadable_letter(record)
    kept = loads(letter.encode(KEPT))
    assert repr(kept["record"]) == repr(record)  # repr distinguishes 1 from 1.0 and true
    assert letter.name == unreadable_letter(kept["record"]).name
    letter.name.encode()  # the name of a blob cannot have a lone surrogate


def test_letter_keeps_lone_surrogates_and_long_integers() -> None:
    letter = unreadable_letter({"id": 10**40 + 7, "summary": "\ud83d"})
    assert letter.encode(KEPT).endswith(
        b'"record":{"id":10000000000000000000000000000000000000007,"summary":"\\ud83d"}}'
    )


@pytest.mark.parametrize("levels", [5_000, 100_000])
def test_letter_is_stored_at_any_depth_of_nesting(levels: int) -> None:
    record: Any = []
    for _ in range(levels):
        record = [record]
    letter = unreadable_letter(record)
    assert letter.encode(KEPT).endswith(
        b'"record":' + b"[" * (levels + 1) + b"]" * (levels + 1) + b"}"
    )
    assert is_name(letter.name)


def test_letter_of_another_site_is_named_on_one_line() -> None:
    letter = Letter("refused", "a", "b\x1b[2J\n" + "c" * 5_000, {"id": 1}, 400)

    with pytest.raises(SiteError) as raised:
        decode(letter.encode(0), "dead-letters/a/undated/1.json")

    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 500
