"""Whatever a service answers is a page or a foreseen error, and its words are quoted safely.

Bounded fuzzing: bytes of any kind, and pages of a real shape with faults in them. `make test` tries
a few hundred answers, `make test-all` thousands.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jira_audit.core.errors import ConnectorError, SiteError, TransientError
from jira_audit.core.http import RawResponse, StatusTable, date, error_for, retry_after
from jira_audit.core.letters import decode, is_name
from jira_audit.core.mapper import UNREADABLE_LIMIT, Mapper
from jira_audit.core.pages import Page, PageRequest, RecordsPage
from jira_audit.core.records import COLUMNS
from jira_audit.core.text import SENTENCE_LENGTH, quoted, secrets_in
from jira_audit.core.window import Window
from jira_audit.edge import access, identity, ingestion, jira, workspace
from jira_audit.edge.jira import JiraSource, parse_page
from jira_audit.edge.transport import quoted_code, secrets_of
from tests.core.json_strategies import parse_strictly, records, values
from tests.pages import written

NOW = 1_700_000_000_123
SITE = "contoso.atlassian.net"
TOKEN = "ATATT3xFfGF0T0k3nW1thAll/0f+1t="
AUTHORIZATION = "Basic " + base64.b64encode(f"anna@contoso.com:{TOKEN}".encode()).decode()
OUR_LINES = ("jira_audit", "WARNING", "ERROR")

FEW = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
MANY = settings(max_examples=2_000, suppress_health_check=[HealthCheck.too_slow])

TOKENS = [
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b",",
        b":",
        b"\\",
        b"\\ud83d",
        b"\\u0000",
        b"\xff",
        b"\xef\xbb\xbf",
    ),
    *(b"NaN", b"-Infinity", b"1e999", b"-0", b"9" * 30, b"9" * 5_000, b"null", b"true", b" " * 50),
    *(b'"records":', b'"records":[]', b'"id":', b'"id":null,', b'"created":', b'"created":"",'),
    *(b"[" * 300, b"{}," * 300, b"<html>", b"\r\njira_audit site=x outcome=ok", b"\x1b[2J"),
]


@st.composite
def spoilt_pages(draw: st.DrawFn) -> bytes:
    """A page of a real shape, of which parts are cut out, repeated, replaced or put in."""
    every = written.page()["records"]
    some = draw(st.lists(st.sampled_from(every) | records | values, max_size=6))
    body = json.dumps({"offset": 0, "limit": 1_000, "total": len(some), "records": some}).encode()
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.sampled_from([0, 1, 2, 8, 64, 1_024])))
        insert = draw(st.sampled_from(TOKENS) | st.binary(max_size=8) | st.just(body[start:end]))
        body = body[:start] + insert + body[end:]
    return body


any_text = st.text(st.characters(codec=None)) | st.sampled_from(
    [TOKEN, AUTHORIZATION, "\r\njira_audit site=x outcome=ok", "\x1b]0;owned\x07", "x" * 5_000]
)
bodies = (
    spoilt_pages()
    | st.binary(max_size=200)
    | st.builds(
        lambda name, said: json.dumps({name: said}).encode(),
        st.sampled_from(["errorMessages", "message", "records", "error"]),
        any_text | st.lists(any_text | values, max_size=30) | values,
    )
)
statuses = st.sampled_from([200, 200, 200, *range(100, 600)])
header_names = st.sampled_from(
    [
        *("Date", "Retry-After", "X-RateLimit-Reset", "RateLimit-Reason", "Location"),
        *("X-Seraph-LoginReason", "X-Authentication-Denied-Reason"),
    ]
)
headers = st.dictionaries(header_names, any_text | st.sampled_from(["OK", "CAPTCHA", "0"]))


def check_text(text: str) -> None:
    """What may stand in a log: one printable, bounded line that is not one of ours."""
    assert text.isprintable()
    text.encode()
    assert len(text) <= SENTENCE_LENGTH
    assert not text.startswith(OUR_LINES)
    assert TOKEN not in text
    assert AUTHORIZATION.removeprefix("Basic ") not in text


def check_answer(status: int, headers: Mapping[str, str], body: bytes, limit: int) -> None:
    request = PageRequest(Window(0, NOW), 0, limit)
    answer = RawResponse(status, headers, body, NOW, AUTHORIZATION)
    JiraSource.peek(answer)
    try:
        page = parse_page(answer, request)
    except (TransientError, SiteError) as error:  # of these, PageUnreadable and CredentialsRefused
        check_text(str(error))
        return
    assert status == 200
    assert len(page.records) <= limit
    check_mapping(page)


def check_mapping(parsed: RecordsPage) -> None:
    """Each record is a row or a letter, unless none of many can be read."""
    page = Page(parsed.records, parsed.date, ended=False, moved=False)
    fresh = list(page.identified.values())
    try:
        rows, rejected = Mapper(SITE, False, lambda: NOW).take(page, fresh)
    except SiteError as error:
        assert not page.identified
        assert len(page.unidentified) > UNREADABLE_LIMIT
        check_text(str(error))
        return
    assert len(rows) + len(rejected) == len(fresh) + len(page.unidentified)
    dealt_with = [row.identity for row in rows] + [each for _, each in rejected if each]
    assert {identity.id for identity in dealt_with} == page.identified.keys()
    for row in rows:
        sent = parse_strictly(row.line)
        assert sent["site_s"] == SITE
        assert sent.keys() <= set(COLUMNS)
    for letter, _ in rejected:
        assert is_name(letter.name)
        assert decode(letter.encode(NOW), letter.name).letter.reason == letter.reason
        check_text(letter.reason)


answers = given(statuses, headers, bodies, st.sampled_from([1, 2, 5, 1_000]))


@FEW
@answers
def test_any_answer_of_jira_is_a_page_or_a_foreseen_error(
    status: int, headers: dict[str, str], body: bytes, limit: int
) -> None:
    check_answer(status, headers, body, limit)


@pytest.mark.long
@MANY
@answers
def test_any_answer_of_many_is_a_page_or_a_foreseen_error(
    status: int, headers: dict[str, str], body: bytes, limit: int
) -> None:
    check_answer(status, headers, body, limit)


TABLES: Mapping[str, StatusTable] = {
    "Jira": jira.STATUS,
    "tenant": access.TENANT_STATUS,
    "token service": access.TOKEN_STATUS,
    "identity": identity.STATUS,
    "ingestion": ingestion.STATUS,
    "workspace": workspace.STATUS,
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
@given(st.integers(100, 599), headers, any_text)
def test_any_error_text_begins_with_a_sentence_of_ours(
    table: StatusTable, status: int, headers: dict[str, str], said: str
) -> None:
    sent = requests.Request(headers={"Authorization": AUTHORIZATION})
    for detail in (quoted(said, secrets_in(AUTHORIZATION)), quoted_code(said, sent)):
        error = error_for(
            status, table, headers=headers, now=NOW, detail=detail, secrets=secrets_of(sent)
        )

        assert isinstance(error, ConnectorError)
        check_text(str(error))
        assert str(error).startswith(table.meaning(status).sentence)


numbers = st.integers(-(10**20), 10**20) | st.integers(0, 99) | st.integers(9_990, 10_010)
dates = st.builds("{}, {} Oct {} {}:28:00 {}".format, any_text, numbers, numbers, numbers, any_text)
dates |= st.builds("{}-10-{:02}T{}:28:00.000Z".format, numbers, numbers, numbers)
dates |= st.builds("Wed, 21 Oct {} 07:28:00 {:+}".format, numbers, numbers)


@FEW
@given(dates | any_text | st.text("0123456789 :,+-.eEGMTWedOctZ/\t\n\x00²٣", max_size=60))
def test_any_header_is_a_moment_a_wait_or_nothing(text: str) -> None:
    found: list[Any] = [date(text)]
    found += [retry_after({name: text}, NOW) for name in ("Retry-After", "X-RateLimit-Reset")]

    assert found[0] is None or isinstance(found[0], int)
    assert all(wait is None or wait >= 0 for wait in found[1:])
