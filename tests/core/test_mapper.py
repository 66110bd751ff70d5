"""Whatever the parser can return becomes a row or a dead letter; nothing is dropped."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jira_audit.core import encoding
from jira_audit.core.letters import decode, is_name
from jira_audit.core.mapper import Mapper
from jira_audit.core.pages import Page
from tests.core.json_strategies import records, values

NOW = 1_700_000_000_123
SITE = "contoso.atlassian.net"
LEAST = '"id": 7, "created": "2021-01-20T12:40:01.903+0000"'

odd_numbers = st.sampled_from(
    ["1e999", "-1e999", "1E+400", "-0", "1e-999", "9" * 400, "-" + "9" * 30]
)
odd_keys = st.sampled_from(
    ["", "id", "created", "objectItem", "\\ud83d", "\\u0000", "a.b", "TimeGenerated"]
)
odd_objects = st.builds(
    lambda key, number: f'{{{LEAST}, "{key}": [{number}, "\\ud83d", {{"{key}": {number}}}]}}',
    odd_keys,
    odd_numbers,
)
texts_of_records = odd_numbers | odd_objects | (records | values).map(json.dumps)


def deep(levels: int, opened: str, closed: str) -> str:
    return opened * levels + "1" + closed * levels


def map_record(text: str) -> None:
    """Map one record as Jira sends it; check that it is a row or a letter, and can be stored."""
    (record,) = encoding.loads(f"[{text}]".encode())
    page = Page([record], NOW, ended=False, moved=False)
    rows, rejected = Mapper(SITE, False, lambda: NOW).take(page, list(page.identified.values()))

    assert len(rows) + len(rejected) == 1
    for row in rows:
        assert json.loads(row.line)["site_s"] == SITE
        encoding.loads(row.received)
    for letter, _ in rejected:
        assert is_name(letter.name)
        assert decode(letter.encode(NOW), letter.name).letter.reason == letter.reason


@settings(deadline=None, max_examples=200)
@given(texts_of_records)
@example(f'{{{LEAST}, "id": "\\ud83d", "created": [1e999]}}')
@example("{" + LEAST + ', "new": [1e999, "\\ud83d"]}')
def test_any_record_becomes_a_row_or_a_dead_letter(text: str) -> None:
    map_record(text)


@pytest.mark.parametrize("levels", [254, 255, 1_000, 1_023, 1_025, 5_000, 20_000, 100_000])
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize(
    "place", ["%s", "{" + LEAST + ', "new": %s}', '{"id": %s}', '{"objectItem": %s}']
)
def test_record_of_any_depth_becomes_a_row_or_a_dead_letter(
    levels: int, opened: str, closed: str, place: str
) -> None:
    text = place % deep(levels, opened, closed)
    try:
        encoding.loads(f"[{text}]".encode())
    except ValueError:  # then the response is no page: see tests/flow/test_unreadable_pages.py
        assert levels > 900
        return
    map_record(text)
