"""The estimate of a page that is not parsed yet. It only decides what is prefetched."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jira_audit.core import timestamps
from jira_audit.core.http import RawResponse
from jira_audit.core.pages import PageRequest
from jira_audit.core.prefetch import PagePeek
from jira_audit.core.window import Window
from jira_audit.edge.jira import JiraSource, parse_page
from jira_audit.simulator.records import sample_records

START = timestamps.parse("2026-11-20T00:00:00Z")


def answer(body: bytes, status: int = 200) -> RawResponse:
    return RawResponse(status, {}, body, at=START)


def page(*records: dict[str, Any]) -> RawResponse:
    return answer(json.dumps({"offset": 0, "total": 9, "records": records}).encode())


def test_a_peek_counts_the_records_and_finds_the_oldest() -> None:
    records = [{"id": n, "created": timestamps.text(START + n)} for n in range(7)]
    assert JiraSource.peek(page(*records[::-1])) == PagePeek(7, START)


def test_a_peek_agrees_with_the_parsed_page() -> None:
    records = sample_records(50, first_id=1, end_ms=START, span_ms=timestamps.HOUR, seed=3)[::-1]
    whole = page(*records)
    parsed = parse_page(whole, PageRequest(Window(0, START), 0, 50)).records
    oldest = timestamps.parse(parsed[-1]["created"])
    assert JiraSource.peek(whole) == PagePeek(len(parsed), oldest)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b'{"records": []}', b'"created":', b'{"records": [{"created":"x"}]}'],
)
def test_a_peek_without_a_readable_time_has_no_oldest(body: bytes) -> None:
    peek = JiraSource.peek(answer(body))
    assert peek
    assert peek.oldest is None


def test_a_time_in_a_text_of_a_record_is_not_counted() -> None:
    record = {
        "id": 1,
        "created": timestamps.text(START),
        "summary": '"created":"2001-01-01T00:00Z"',
    }
    assert JiraSource.peek(page(record)) == PagePeek(1, START)


@pytest.mark.parametrize("status", [204, 302, 401, 429, 503])
def test_only_status_200_has_a_peek(status: int) -> None:
    whole = page({"id": 1, "created": timestamps.text(START)})
    assert JiraSource.peek(whole)
    assert JiraSource.peek(answer(whole.body, status)) is None


@given(st.binary(max_size=60))
def test_a_peek_never_fails(body: bytes) -> None:
    peek = JiraSource.peek(answer(b'{"created":' + body))
    assert peek
    assert peek.records >= 1
