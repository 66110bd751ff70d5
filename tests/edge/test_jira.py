"""That a page is told from everything else that Jira, a proxy or a broken line can answer; that a
failure is never an empty page; and that credentials go to the site and nowhere else.
"""

import base64
import gc
import gzip
import json
import logging
import socket
import struct
import threading
import traceback
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.auth import HTTPBasicAuth
from responses import RequestsMock

from jira_audit import wiring
from jira_audit.core import timestamps
from jira_audit.core.clock import Deadline
from jira_audit.core.errors import (
    AccessRefused,
    ConnectorError,
    CredentialsRefused,
    OutOfTime,
    PageUnreadable,
    SiteError,
    TransientError,
)
from jira_audit.core.http import RawResponse
from jira_audit.core.pages import Page, PageRequest, RecordsPage
from jira_audit.core.window import Window
from jira_audit.edge import jira, transport
from jira_audit.edge.access import DirectRoute
from jira_audit.edge.jira import JiraSource, parse_page
from jira_audit.flow.fetching import MAX_CONCURRENT_REQUESTS
from jira_audit.flow.ports import Pools
from jira_audit.flow.reader import Reader
from jira_audit.settings.values import ApiToken, Secret, Site
from jira_audit.simulator.records import sample_records
from jira_audit.simulator.server import serve
from jira_audit.simulator.site import FakeJira
from tests.fakes.reading import pages_in, run_of
from tests.fakes.world import Time

HOST = "contoso.atlassian.net"
BASE = f"https://{HOST}"
URL = f"{BASE}/rest/api/3/auditing/record"
USERNAME, TOKEN = "auditor@example.com", "ATATT3x-nobody-may-see-this=1A2B3C4D"
BASIC = base64.b64encode(f"{USERNAME}:{TOKEN}".encode()).decode()
NOW = timestamps.parse("2026-11-20T12:00:00Z")
WINDOW = Window(
    timestamps.parse("2026-11-20T11:00:00Z"), timestamps.parse("2026-11-20T11:59:59.999Z")
)
ASKED = PageRequest(WINDOW, 0, 1000)
EMPTY = {"offset": 0, "limit": 1000, "total": 0, "records": []}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")


@pytest.fixture
def time() -> Time:
    return Time(NOW)


@pytest.fixture
def http() -> Iterator[RequestsMock]:
    with RequestsMock() as mock:
        yield mock


def source_at(base_url: str, time: Time, page_size: int = 1000) -> JiraSource:
    return JiraSource(
        HOST, DirectRoute(base_url, HTTPBasicAuth(USERNAME, TOKEN)), time.clock, page_size
    )


@contextmanager
def reading(source: JiraSource, time: Time, seconds: float = 480) -> Iterator[Iterator[Page]]:
    deadline = Deadline.after(time.clock, seconds)
    with (
        ThreadPoolExecutor(MAX_CONCURRENT_REQUESTS, "fetch") as fetches,
        Reader(run_of(source, deadline, Pools(fetches, fetches))) as reader,
    ):
        yield pages_in(reader, WINDOW)


def read(source: JiraSource, time: Time, seconds: float = 480) -> list[Page]:
    with reading(source, time, seconds) as pages:
        return list(pages)


def ids(pages: list[Page]) -> list[int]:
    return [record["id"] for page in pages for record in page.records]


# The request


def test_request_is_the_documented_one_in_utc_milliseconds(http: RequestsMock, time: Time) -> None:
    http.get(URL, json=EMPTY)

    read(source_at(BASE, time), time)

    (call,) = http.calls
    assert call.request.url == (
        f"{URL}?from=2026-11-20T11%3A00%3A00.000Z&to=2026-11-20T11%3A59%3A59.999Z"
        "&offset=0&limit=1000"
    )
    assert call.request.method == "GET"
    assert call.request.body is None
    sent = dict(call.request.headers)
    assert sent["Accept"] == "application/json"
    assert sent["Accept-Language"] == "en"
    assert sent["X-Force-Accept-Language"] == "true"
    assert sent["Authorization"] == f"Basic {BASIC}"


def test_request_has_a_timeout_and_verifies_the_certificate(http: RequestsMock, time: Time) -> None:
    http.get(URL, json=EMPTY)
    read(source_at(BASE, time), time)
    asked: Any = http.calls[0].request
    timeout = asked.req_kwargs["timeout"]
    assert (timeout.connect_timeout, timeout.total) == (transport.CONNECT_SECONDS, 60.0)
    assert asked.req_kwargs["verify"]
    assert asked.req_kwargs["stream"] is True


def test_request_sends_credentials_as_utf_8(http: RequestsMock, time: Time) -> None:
    http.get(URL, json=EMPTY)
    site = Site(HOST, BASE, ApiToken("prüfer@example.com", Secret("t€ken")))
    read(wiring.source(site, time.clock), time)
    sent = http.calls[0].request.headers["Authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")) == "prüfer@example.com:t€ken".encode()


def test_request_ignores_a_netrc_file(
    http: RequestsMock, time: Time, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text(f"machine {HOST} login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    http.get(URL, json=EMPTY)
    read(source_at(BASE, time), time)
    assert http.calls[0].request.headers["Authorization"] == f"Basic {BASIC}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "place", [f"{BASE}/login.jsp", "https://id.atlassian.com/login", "https://evil.com", "/"]
)
def test_request_follows_no_redirect(
    http: RequestsMock, time: Time, status: int, place: str
) -> None:
    http.get(URL, status=status, headers={"Location": place}, json=EMPTY)
    with pytest.raises(SiteError, match=r"redirect.*JIRA_SITE_URL"):
        read(source_at(BASE, time), time)
    assert len(http.calls) == 1


def test_probe_requests_one_record_of_the_last_day_once(http: RequestsMock, time: Time) -> None:
    http.get(URL, json=EMPTY)
    http.get(URL, status=503)
    source = source_at(BASE, time)

    source.probe()
    with pytest.raises(TransientError):
        source.probe()

    assert len(http.calls) == 2
    assert http.calls[0].request.params == {  # type: ignore[attr-defined]
        "from": "2026-11-19T12:00:00.000Z",
        "to": "2026-11-20T12:00:00.000Z",
        "offset": "0",
        "limit": "1",
    }


# What an answer means


def test_page_has_its_records_its_offset_and_jiras_time() -> None:
    headers = {"Date": "Fri, 20 Nov 2026 11:59:58 GMT"}
    found = parse_page(
        RawResponse(200, headers, b'{"records": [{"id": 1}]}', NOW), replace(ASKED, offset=7)
    )
    assert found == RecordsPage(7, [{"id": 1}], timestamps.parse("2026-11-20T11:59:58Z"))


PAGE = json.dumps(EMPTY).encode()


@pytest.mark.parametrize("headers", [{}, {"Date": "now"}, {"Date": ""}])
def test_page_without_a_readable_date_is_valid(headers: Mapping[str, str]) -> None:
    assert parse_page(RawResponse(200, headers, PAGE, NOW), ASKED) == RecordsPage(0, [], None)


SAYS_BUG = "bug in the connector"

SAYS_TOKEN = "wrong, revoked or expired"

SAYS_LATER = "Jira is unavailable"

HTML = b"<html><title>Log in with Atlassian account</title></html>"

FAILED_LOGIN = {"X-Seraph-LoginReason": "AUTHENTICATED_FAILED"}

MEANINGS: list[tuple[int, Mapping[str, str], bytes, type[ConnectorError], tuple[str, ...]]] = [
    # 200 that is no success
    (200, {}, HTML, TransientError, ("not JSON",)),
    (200, {}, b"", TransientError, ("not JSON",)),
    (200, {}, PAGE[:-1], TransientError, ("not JSON",)),
    (200, {}, b'{"records": [NaN]}', PageUnreadable, ("not JSON",)),
    (200, {}, b"\xff\xfe", TransientError, ("not JSON",)),
    (200, {}, b'{"records": [' + b"[" * 200_000, PageUnreadable, ("not JSON",)),
    (200, {}, b"{}", TransientError, ("no list of records",)),
    (200, {}, b"[]", TransientError, ("no list of records",)),
    (200, {}, b"null", TransientError, ("no list of records",)),
    (200, {}, b'"records"', TransientError, ("no list of records",)),
    (200, {}, b'{"Records": []}', TransientError, ("no list of records",)),
    (200, {}, b'{"records": null}', TransientError, ("no list of records",)),
    (200, {}, b'{"records": {}}', TransientError, ("no list of records",)),
    (200, {}, b'{"records": ""}', TransientError, ("no list of records",)),
    (200, {}, b'{"records": 0}', TransientError, ("no list of records",)),
    (200, FAILED_LOGIN, PAGE, CredentialsRefused, (SAYS_TOKEN,)),
    (
        200,
        {"x-seraph-loginreason": "OUT, AUTHENTICATED_FAILED"},
        PAGE,
        CredentialsRefused,
        (SAYS_TOKEN,),
    ),
    (200, FAILED_LOGIN, HTML, CredentialsRefused, (SAYS_TOKEN,)),
    # Success of another kind is none
    (201, {}, PAGE, SiteError, ("not documented", "HTTP 201")),
    (202, {}, PAGE, SiteError, ("not documented", "HTTP 202")),
    (204, {}, b"", SiteError, ("not documented", "HTTP 204")),
    (206, {}, PAGE, SiteError, ("not documented", "HTTP 206")),
    (304, {}, b"", SiteError, ("redirect", "JIRA_SITE_URL")),
    (302, {"Location": "/login.jsp"}, PAGE, SiteError, ("redirect", "JIRA_SITE_URL")),
    (
        301,
        {"Location": f"https://fabrikam.atlassian.net{jira.RECORDS_PATH}?from=1"},
        b"",
        SiteError,
        ("redirect to fabrikam.atlassian.net: ", "to https://fabrikam.atlassian.net; that is all"),
    ),
    (
        308,
        {"Location": "https://jira.contoso.com/"},
        b"",
        SiteError,
        ("https://jira.contoso.com, and add jira.contoso.com to JIRA_ALLOWED_HOST_SUFFIXES",),
    ),
    (
        302,
        {"Location": "https://id.atlassian.com/login?continue=x"},
        b"",
        SiteError,
        ("as login pages and moved sites do",),
    ),
    # Errors
    (
        400,
        {},
        b'{"errorMessages": ["Invalid date 2026"]}',
        SiteError,
        (SAYS_BUG, "Invalid date", "HTTP 400"),
    ),
    (
        403,
        {"X-Authentication-Denied-Reason": "CAPTCHA_CHALLENGE; login-url=https://evil.example"},
        HTML,
        SiteError,
        ("CAPTCHA", "browser", "HTTP 403"),
    ),
    (403, {"X-Authentication-Denied-Reason": "OTHER"}, HTML, AccessRefused, ("Administer Jira",)),
    (401, {}, b"", CredentialsRefused, (SAYS_TOKEN, "a year", "user name", "scoped", "HTTP 401")),
    (
        401,
        {},
        b'{"code":401,"message":"Unauthorized; scope does not match"}',
        CredentialsRefused,
        (SAYS_TOKEN, "scope does not match"),
    ),
    (403, {}, HTML, AccessRefused, ("Administer Jira", "Free plan", "IP allow-list", "HTTP 403")),
    (
        403,
        {},
        b'{"message": "The IP address has been rejected because it is not on the allowed list."}',
        AccessRefused,
        ("IP allow-list", "has been rejected"),
    ),
    (404, {}, HTML, SiteError, ("JIRA_SITE_URL", "HTTP 404")),
    (405, {}, b"", SiteError, ("not documented", "HTTP 405")),
    (410, {}, b"", SiteError, ("not documented", "HTTP 410")),
    (429, {}, b"", TransientError, ("limits the rate", "HTTP 429")),
    (500, {}, b'{"errorMessages": ["Internal"]}', TransientError, (SAYS_LATER, "HTTP 500")),
    (502, {}, HTML, TransientError, (SAYS_LATER, "HTTP 502")),
    (503, {}, PAGE, TransientError, (SAYS_LATER, "HTTP 503")),
    (504, {}, b"", TransientError, (SAYS_LATER, "HTTP 504")),
    (520, {}, HTML, TransientError, ("not documented", "HTTP 520")),
    # An error's body is anybody's
    (400, {}, b"[" * 200_000, SiteError, (SAYS_BUG,)),
    (400, {}, b'"text"', SiteError, (SAYS_BUG,)),
    (400, {}, b'{"errorMessages": [], "message": {"a": [1]}}', SiteError, (SAYS_BUG,)),
    (400, {}, b"\xff", SiteError, (SAYS_BUG,)),
    (400, {}, b'{"message": "' + b"x" * 5_000 + b'"}', SiteError, (SAYS_BUG, "xxx")),
]


@pytest.mark.parametrize(("status", "headers", "body", "kind", "says"), MEANINGS)
def test_page_that_is_invalid_is_an_error_with_the_remedy(
    http: RequestsMock,
    time: Time,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    kind: type[ConnectorError],
    says: tuple[str, ...],
) -> None:
    http.get(URL, status=status, headers=dict(headers), body=body)

    with pytest.raises(ConnectorError) as raised:
        source_at(BASE, time).probe()

    assert type(raised.value) is kind
    text = str(raised.value)
    assert text.startswith(f"{HOST}: ")
    assert all(each in text for each in says), text
    assert "<html>" not in text
    assert len(text) < 1000


OK = "HTTP/1.1 200 OK\nContent-Type: application/json\n"


def test_page_with_a_successful_login_is_no_failed_login() -> None:
    for reason in ("OK", "ok", " OK ", "OK, OK", ""):
        found = parse_page(RawResponse(200, {"X-Seraph-LoginReason": reason}, PAGE, NOW), ASKED)
        assert found.records == []


@pytest.mark.parametrize(
    "reason",
    [
        *("AUTHENTICATED_FAILED", "AUTHENTICATION_DENIED", "AUTHORISATION_FAILED", "OUT"),
        *("OK, AUTHENTICATION_DENIED", "OUT, AUTHENTICATED_FAILED", "NOT OK", "a new one"),
    ],
)
def test_page_with_any_other_login_reason_is_no_page(reason: str) -> None:
    answer = RawResponse(200, {"X-Seraph-LoginReason": reason}, PAGE, NOW)

    assert jira.refuses_credentials(answer)
    with pytest.raises(CredentialsRefused) as raised:
        parse_page(answer, ASKED)
    assert SAYS_TOKEN in str(raised.value)
    assert str(raised.value).endswith(f"(HTTP 200, login reason: {reason})")


def test_page_refused_by_the_quick_parser_is_read(http: RequestsMock, time: Time) -> None:
    body = b'{"records": [{"id": 123456789012345678901, "summary": "\\ud83d", "x": 1}]}'
    http.get(URL, body=body)
    http.get(URL, json=EMPTY)
    (record,) = read(source_at(BASE, time), time)[0].records
    assert record == {"id": 123456789012345678901, "summary": "\ud83d", "x": 1}


ONE = replace(ASKED, limit=1)
RAW = b'{"id": 7, "summary": NaN, "new": [1, {"a": []}]}'


@pytest.mark.parametrize(
    ("body", "record"),
    [
        (b'{"offset":7,"limit":1,"total":9,"records":[' + RAW + b"]}", RAW),
        (b'\xef\xbb\xbf {"records" : [ ' + RAW + b'], "total": 9, "limit" : 1 } \n', RAW),
        (b'{"records":[' + RAW[:-3], RAW[:-3]),  # the end is missing
        (b'{"total":NaN,"records":[{"id":7}]}', b'{"id":7}'),
        (b'{"records":[' + RAW + b'],"more":{"x":1}}', RAW + b'],"more":{"x":1}}'),
        (b'{"total":NaN,"records":[]}', b""),
        (b'{"total":NaN,"records":[ ]}', b""),
        (HTML, b""),
        (b'["records":[' + RAW + b"]", b""),
        (b"", b""),
    ],
)
def test_raw_record_is_taken_from_a_page_of_jiras_only(body: bytes, record: bytes) -> None:
    with pytest.raises(TransientError, match="not JSON") as raised:
        parse_page(RawResponse(200, {}, body, NOW), ONE)

    assert isinstance(raised.value, PageUnreadable) == bool(record)
    assert getattr(raised.value, "record", b"") == record


def test_raw_record_is_empty_if_several_were_requested() -> None:
    with pytest.raises(PageUnreadable) as raised:
        parse_page(RawResponse(200, {}, b'{"records":[' + RAW + b"]}", NOW), replace(ONE, limit=2))
    assert raised.value.record == b""


@pytest.mark.parametrize("limit", [1, 2])
def test_page_with_more_records_than_requested_is_unreadable(limit: int) -> None:
    body = b'{"records": [%s]}' % b",".join([b"{}"] * (limit + 1))
    with pytest.raises(PageUnreadable, match=f"{limit + 1} records, though {limit} ") as raised:
        parse_page(RawResponse(200, {}, body, NOW), replace(ASKED, limit=limit))
    assert raised.value.record == b""


def test_raw_record_that_is_too_long_has_a_fixed_length(
    http: RequestsMock, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jira, "RECORD_LIMIT", 100_000)
    source, starts = source_at(BASE, time), []
    for total in (9, 10_000_000):
        http.get(URL, body=b'{"total":%d,"records":["%s"]}' % (total, b"x" * 150_000))
        with pytest.raises(PageUnreadable, match="too long") as raised:
            source.fetch(ONE, 60)
        starts.append(raised.value.record)
    assert starts == [b'"' + b"x" * (100_000 - jira.ENVELOPE_SIZE - 1)] * 2


def test_page_that_is_too_long_is_not_kept_in_memory(
    http: RequestsMock, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jira, "ANSWER_LIMIT", 10_000_000)
    http.get(URL, body=b'{"records":["' + b"x" * 12_000_000)
    gc.collect()
    tracemalloc.start()
    try:
        with pytest.raises(PageUnreadable, match="too long") as raised:
            source_at(BASE, time).fetch(ASKED, 60)
        http.reset()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 5_000_000
        assert raised.value.record == b""
    finally:
        tracemalloc.stop()


def test_page_that_is_too_slow_is_unreadable(http: RequestsMock, time: Time) -> None:
    http.get(URL, body=requests.ReadTimeout("x"))
    with pytest.raises(PageUnreadable, match=f"^{HOST}: Jira did not answer in time$") as raised:
        source_at(BASE, time).fetch(ONE, 60)
    assert raised.value.record == b""


def test_page_with_records_of_any_json_is_valid() -> None:
    found = parse_page(
        RawResponse(200, {}, b'{"records": [1, null, "x", [], {"id": null}]}', NOW), ASKED
    )
    assert found.records == [1, None, "x", [], {"id": None}]


# Answers over HTTP


Speak = Callable[[socket.socket], None]


@contextmanager
def serve_answers(*answers: Speak) -> Iterator[str]:
    """A server that takes one connection for each answer, reads a request, and says that."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    asked = b""
                    while b"\r\n\r\n" not in asked:
                        asked += connection.recv(65_536)
                    answer(connection)

        server.settimeout(30)
        thread = threading.Thread(target=serve, daemon=True)  # a failed test leaves it waiting
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(30)
        assert not thread.is_alive()


def send_answer(head: str, body: bytes = b"", *, reset: bool = False) -> Speak:
    def speak(connection: socket.socket) -> None:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return speak


FULL = b'{"records": []}'

ZIPPED = gzip.compress(FULL)


@pytest.mark.parametrize(
    "broken",
    [
        send_answer("", reset=True),
        lambda connection: None,
        lambda connection: connection.sendall(b"HTTP/1.1 200"),
        lambda connection: connection.sendall(b"not HTTP at all\r\n\r\n"),
        send_answer(f"{OK}Content-Length: {len(FULL)}", FULL[:-1]),
        # What came is a whole page, and yet not the whole answer.
        send_answer(f"{OK}Content-Length: {len(FULL) + 1}", FULL),
        send_answer(f"{OK}Content-Length: {len(FULL) + 1}", FULL, reset=True),
        send_answer(f"{OK}Transfer-Encoding: chunked", b"f\r\n" + FULL + b"\r\n"),
        send_answer(f"{OK}Transfer-Encoding: chunked", b"f\r\n" + FULL[:-1]),
        send_answer(f"{OK}Transfer-Encoding: chunked", b"f\r\n" + FULL + b"\r\nzz\r\n"),
        send_answer(f"{OK}Content-Encoding: gzip\nContent-Length: {len(FULL)}", FULL),
        send_answer(f"{OK}Content-Encoding: gzip\nContent-Length: {len(ZIPPED)}", ZIPPED[:-9]),
        send_answer(f"{OK}Content-Encoding: gzip\nConnection: close", ZIPPED[:-12]),
        send_answer(f"{OK}Connection: close", FULL[:-1]),
    ],
    ids=[
        *("reset", "closed", "cut in the status", "no HTTP", "cut off", "length beyond the page"),
        *("length and reset", "chunks without an end", "cut in a chunk", "chunk of no size"),
        *("no gzip", "gzip cut off", "gzip cut off without length", "cut off without length"),
    ],
)
def test_answer_that_breaks_off_is_no_page(broken: Speak, time: Time) -> None:
    with serve_answers(broken) as base_url, pytest.raises(TransientError, match=f"^{HOST}: "):
        source_at(base_url, time).probe()


@pytest.mark.parametrize(
    "whole",
    [
        send_answer(f"{OK}Content-Length: {len(FULL)}", FULL),
        send_answer(
            f"{OK}Transfer-Encoding: chunked", b"1\r\n{\r\ne\r\n" + FULL[1:] + b"\r\n0\r\n\r\n"
        ),
        send_answer(f"{OK}Content-Encoding: gzip\nContent-Length: {len(ZIPPED)}", ZIPPED),
        send_answer(f"{OK}Connection: close", FULL),
    ],
    ids=["length", "chunks", "gzip", "closed at its end"],
)
def test_answer_is_read_in_every_http_encoding(whole: Speak, time: Time) -> None:
    with serve_answers(whole) as base_url:
        source_at(base_url, time).probe()


@pytest.mark.parametrize("head", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_answer_that_trickles_is_given_up(
    head: str, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "READ_SECONDS", 5)  # so that a failure of this test comes soon
    given_up = threading.Event()

    def trickle(connection: socket.socket) -> None:
        send_answer(OK + head, b"a\r\n 23456789\r\n")(connection)
        assert given_up.wait(20)

    counting = iter([0.0, *[jira.PROBE_SECONDS + 1] * 9])  # the first starts the count
    clock = replace(time.clock, monotonic=lambda: next(counting))
    with serve_answers(trickle) as base_url:
        source = JiraSource(HOST, DirectRoute(base_url, HTTPBasicAuth(USERNAME, TOKEN)), clock)
        try:
            with pytest.raises(TransientError, match="took too long"):
                source.probe()
        finally:
            given_up.set()


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_answer_without_end_is_given_up_by_its_size(
    encoding: str, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jira, "RECORD_LIMIT", 1_000_000)
    body = b"[" + b" " * 8_000_000
    sent = gzip.compress(body) if encoding == "gzip" else body
    head = f"{OK}Content-Encoding: {encoding}\nContent-Length: {len(sent)}"

    def flood(connection: socket.socket) -> None:
        with suppress(OSError):  # hung up on, as it should be
            send_answer(head, sent)(connection)

    with serve_answers(flood) as base_url, pytest.raises(TransientError, match="too long"):
        source_at(base_url, time).probe()


def test_answer_up_to_the_limit_is_read(
    http: RequestsMock, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jira, "RECORD_LIMIT", len(PAGE))
    http.get(URL, body=PAGE)
    http.get(URL, body=PAGE + b" ")
    source_at(BASE, time).probe()
    with pytest.raises(TransientError, match="too long"):
        source_at(BASE, time).probe()


# Retries


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"Retry-After": "Fri, 20 Nov 2026 12:01:30 GMT"}, 90.0),
        ({"Retry-After": "Fri, 20 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"X-RateLimit-Reset": "2026-11-20T12:02:00Z"}, 120.0),
        ({"X-RateLimit-Reset": "2026-11-20T12:02Z"}, 120.0),
        ({"Retry-After": "5", "X-RateLimit-Reset": "2026-11-20T12:02:00Z"}, 5.0),
        ({"Retry-After": "soon", "X-RateLimit-Reset": "2026-11-20T12:00:10Z"}, 10.0),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "soon", "X-RateLimit-Reset": "1732104000"}, None),
    ],
)
@pytest.mark.parametrize(("status", "pause"), [(429, True), (503, False), (520, False)])
def test_retry_after_is_in_the_error(
    http: RequestsMock,
    time: Time,
    headers: Mapping[str, str],
    seconds: float | None,
    status: int,
    pause: bool,
) -> None:
    http.get(URL, status=status, headers=dict(headers))
    with pytest.raises(TransientError) as raised:
        source_at(BASE, time).probe()
    assert (raised.value.retry_after, raised.value.pause) == (seconds, pause)


def test_retry_is_made_four_times_at_most(
    http: RequestsMock, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    http.get(URL, status=502, body=HTML)

    with pytest.raises(TransientError, match="HTTP 502"):
        read(source_at(BASE, time), time)

    assert len(http.calls) == 5
    waits = time.slept[1:]
    assert all(
        0.7 * best <= wait <= 1.3 * best for best, wait in zip((2, 4, 8, 16), waits, strict=True)
    )
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warned) == 4
    assert all(text.startswith(f"{HOST}: ") and "retrying in" in text for text in warned)


def test_retry_that_succeeds_is_no_failure(http: RequestsMock, time: Time) -> None:
    http.get(URL, body=requests.ConnectionError("reset"))
    http.get(URL, status=429, headers={"Retry-After": "30"})
    http.get(URL, body=HTML)
    http.get(URL, json={"records": [{"id": 1}]})
    http.get(URL, json=EMPTY)

    assert ids(read(source_at(BASE, time), time)) == [1]
    assert time.slept[2] == 30.0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
def test_retry_is_not_for_what_someone_must_mend(
    http: RequestsMock, time: Time, status: int
) -> None:
    http.get(URL, status=status)
    with pytest.raises(SiteError):
        read(source_at(BASE, time), time)
    assert len(http.calls) == 1
    assert time.slept == [0.0]


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectTimeout("x"),
        requests.ConnectionError("x"),
        requests.exceptions.SSLError("x"),
        requests.exceptions.ProxyError("x"),
        requests.exceptions.ChunkedEncodingError("x"),
        requests.exceptions.ContentDecodingError("x"),
        requests.exceptions.InvalidURL("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_retry_is_for_every_connection_error(
    http: RequestsMock, time: Time, error: Exception
) -> None:
    http.get(URL, body=error)
    with pytest.raises(TransientError, match=rf"^{HOST}: Jira could not be reached \({HOST}: "):
        source_at(BASE, time).probe()


def test_retry_uses_a_new_connection(time: Time) -> None:
    broken = send_answer(f"{OK}Content-Length: 99", FULL)
    whole = send_answer(f"{OK}Content-Length: {len(FULL)}\nConnection: close", FULL)
    with serve_answers(broken, send_answer("", reset=True), whole) as base_url:
        pages = read(source_at(base_url, time), time)
    assert [page.ended for page in pages] == [True]
    assert len(time.slept) == 3


@pytest.mark.parametrize("wait", ["61", "100000", "9" * 400])
def test_retry_does_not_wait_past_the_deadline(http: RequestsMock, time: Time, wait: str) -> None:
    http.get(URL, status=429, headers={"Retry-After": wait})
    with pytest.raises(OutOfTime, match="HTTP 429"):
        read(source_at(BASE, time), time, seconds=60)
    assert len(http.calls) == 1
    assert time.slept == [0.0]


def test_retry_ends_with_the_deadline(http: RequestsMock, time: Time) -> None:
    http.get(URL, status=503)
    with pytest.raises(OutOfTime, match=r"HTTP 503.*no time was left"):
        read(source_at(BASE, time), time, seconds=1)
    assert len(http.calls) == 1


# A window of a whole site


def simulated_site(count: int, page_cap: int) -> FakeJira:
    site = FakeJira(USERNAME, TOKEN, page_cap)
    site.add(
        sample_records(count, first_id=10_000, end_ms=WINDOW.end, span_ms=WINDOW.length - 1, seed=3)
    )
    return site


@pytest.mark.parametrize(
    ("count", "asked", "page_cap"),
    [(0, 10, 10), (1, 10, 10), (9, 10, 10), (10, 10, 10), (11, 10, 10), (50, 10, 7), (45, 7, 99)],
)
def test_window_is_read_once_newest_record_first(
    time: Time, count: int, asked: int, page_cap: int
) -> None:
    site = simulated_site(count, page_cap)
    with serve(site, clock_ms=lambda: NOW) as base_url:
        pages = read(source_at(base_url, time, asked), time)
    assert ids(pages) == [record["id"] for record in site.records]
    assert [page.ended for page in pages] == [False] * (len(pages) - 1) + [True]
    assert not any(page.moved for page in pages)
    assert {page.date for page in pages} == {NOW}


def test_window_includes_both_ends_and_nothing_outside(time: Time) -> None:
    site = FakeJira(USERNAME, TOKEN)
    for number, at in enumerate(
        (WINDOW.start - 1, WINDOW.start, WINDOW.end, WINDOW.end + 1), start=1
    ):
        site.add([{"id": number, "created": timestamps.text(at)}])
    with serve(site, clock_ms=lambda: NOW) as base_url:
        assert ids(read(source_at(base_url, time), time)) == [3, 2]


def test_window_with_a_failure_has_no_end(http: RequestsMock, time: Time) -> None:
    http.get(URL, json={"records": [{"id": 2}, {"id": 1}]})
    http.get(URL, status=401)
    with reading(source_at(BASE, time), time) as pages:
        assert not next(pages).ended
        with pytest.raises(SiteError):
            next(pages)


def test_window_with_new_records_between_pages_has_moved(time: Time) -> None:
    site = simulated_site(25, 10)
    with (
        serve(site, clock_ms=lambda: NOW) as base_url,
        reading(source_at(base_url, time, 10), time) as pages,
    ):
        found = [next(pages)]
        site.add([{"id": 99_999, "created": timestamps.text(WINDOW.end)}])
        found += list(pages)
    assert found[-1].ended
    assert found[-1].moved


def test_wrong_token_is_an_error_and_no_empty_page(time: Time) -> None:
    site = simulated_site(25, 10)
    with serve(site, clock_ms=lambda: NOW) as base_url:
        wrong = DirectRoute(base_url, HTTPBasicAuth(USERNAME, "other"))
        with pytest.raises(SiteError, match="wrong, revoked or expired"):
            read(JiraSource(HOST, wrong, time.clock), time)


def test_source_serves_one_run_after_another(time: Time) -> None:
    site = simulated_site(5, 10)
    with serve(site, clock_ms=lambda: NOW) as base_url:
        source = source_at(base_url, time)
        assert ids(read(source, time)) == ids(read(source, time)) != []


# Concurrent requests


def test_concurrent_requests_are_four_at_most_and_end_with_the_read(
    time: Time,
) -> None:
    under_way, most, lock = 0, 0, threading.Lock()

    class Counting(FakeJira):
        def answer(self, *request: Any) -> Any:
            nonlocal under_way, most
            with lock:
                under_way += 1
                most = max(most, under_way)
            together.wait(0.05)  # so that those that may be under way are
            answer = super().answer(*request)
            with lock:
                under_way -= 1
            return answer

    together = threading.Event()
    site = Counting(USERNAME, TOKEN)
    site.add(
        {
            "id": 10_000 + n,
            "created": timestamps.text(WINDOW.start + 50_000 * n).replace("Z", "+0000"),
        }
        for n in range(65)
    )
    before = set(threading.enumerate())
    with serve(site, clock_ms=lambda: NOW) as address:
        pages = read(source_at(address, time, page_size=10), time)
        assert not [each for each in threading.enumerate() if each.name.startswith("fetch")]

    assert ids(pages) == list(range(10_064, 9_999, -1))
    assert 1 < most <= MAX_CONCURRENT_REQUESTS
    for left in set(threading.enumerate()) - before:  # the site's may end a moment later
        left.join(10)
    assert set(threading.enumerate()) <= before


def test_concurrent_requests_end_with_an_abandoned_read(time: Time) -> None:
    site = FakeJira(USERNAME, TOKEN)
    site.add(
        {
            "id": 10_000 + n,
            "created": timestamps.text(WINDOW.start + 50_000 * n).replace("Z", "+0000"),
        }
        for n in range(65)
    )
    with serve(site, clock_ms=lambda: NOW) as address:
        with reading(source_at(address, time, page_size=10), time) as pages:
            next(pages)
            next(pages)

        assert not [each for each in threading.enumerate() if each.name.startswith("fetch")]


# Logs


def test_logs_show_jiras_message_on_one_line(http: RequestsMock, time: Time) -> None:
    said = {"message": "no\r\nERROR forged line\x1b[2Jfrom Jira"}
    http.get(URL, status=403, json=said)
    with pytest.raises(SiteError) as raised:
        source_at(BASE, time).probe()
    assert str(raised.value).isprintable()
    assert "no ERROR forged line\\u001b[2Jfrom Jira" in str(raised.value)


@pytest.mark.parametrize(
    "body",
    [
        {"errorMessages": [f"bad header Authorization: Basic {BASIC}"]},
        {"errorMessages": ["x" * 290, f"{USERNAME}:{TOKEN}"]},
        {"message": f"unknown token {TOKEN}"},
        {"message": f"{TOKEN[:3]} is not {'x' * 250} {TOKEN}"},
        {"errorMessages": [TOKEN, {"a": TOKEN}, [TOKEN]]},
    ],
)
def test_logs_show_no_credentials_that_jira_repeats(
    http: RequestsMock, time: Time, body: dict[str, Any]
) -> None:
    http.get(URL, status=403, json=body)

    with pytest.raises(SiteError) as raised:
        source_at(BASE, time).probe()

    assert BASIC not in str(raised.value)
    assert TOKEN[:8] not in str(raised.value)


def test_logs_show_no_credentials_of_an_answer_alone() -> None:
    said = json.dumps({"errorMessages": [f"bad header Authorization: Basic {BASIC}"]}).encode()

    with pytest.raises(SiteError) as raised:
        parse_page(RawResponse(403, {}, said, NOW), ASKED)

    assert "bad header Authorization: Basic ***" in str(raised.value)


def test_answer_does_not_print_what_was_sent(http: RequestsMock, time: Time) -> None:
    http.get(URL, json=EMPTY)

    answer = source_at(BASE, time).fetch(ASKED, 5)

    assert TOKEN in answer.secrets
    assert TOKEN not in repr(answer)
    assert BASIC not in repr(answer)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"errorMessages": ["a", "b"]}, ": a b)"),
        ({"errorMessages": [], "message": "m"}, ": m)"),
        ({"errorMessages": "text"}, ": text)"),
        ({"errorMessages": [1, None, {"a": 1}]}, "(HTTP 403)"),
        ({"message": ["m"]}, ": m)"),
        ({"message": {"m": 1}}, "(HTTP 403)"),
        ({"errorMessages": ["x" * 400]}, f": {'x' * 299}…)"),
        ({"errorMessages": ["y"] * 400_000}, f": {' '.join('y' * 20)})"),
    ],
)
def test_error_quotes_jiras_message_only(said: dict[str, Any], shown: str) -> None:
    with pytest.raises(SiteError) as raised:
        parse_page(RawResponse(403, {}, json.dumps(said).encode(), NOW), ASKED)

    assert str(raised.value).endswith(shown)


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 401, "json": {"message": "no"}},
        {"status": 400, "body": HTML},
        {"status": 302, "headers": {"Location": "https://evil.com"}},
        {"status": 429, "headers": {"Retry-After": "1"}},
        {"status": 200, "body": HTML},
        {"body": requests.ConnectionError("reset")},
        {"body": requests.exceptions.InvalidURL("bad")},
    ],
    ids=["401", "400", "302", "429", "html", "reset", "invalid"],
)
def test_logs_and_errors_show_no_credentials(
    http: RequestsMock, time: Time, caplog: pytest.LogCaptureFixture, answer: dict[str, Any]
) -> None:
    caplog.set_level(logging.DEBUG)
    http.get(URL, **answer)
    source = source_at(BASE, time)
    with pytest.raises(ConnectorError) as raised:
        read(source, time)
    shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value) + caplog.text
    shown += repr(source) + repr(source._route) + repr(vars(source))
    for secret in (TOKEN, BASIC, "Authorization"):
        assert secret not in shown


def test_logs_of_the_http_library_show_no_credentials(
    time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    # A run of the app in this process has set a level of its own for it.
    caplog.set_level(logging.DEBUG, logger="urllib3.connectionpool")
    with serve_answers(send_answer(f"{OK}Content-Length: {len(FULL)}", FULL)) as base_url:
        source_at(base_url, time).probe()
    assert jira.RECORDS_PATH in caplog.text  # so the library does log
    for secret in (TOKEN, BASIC, "Authorization"):
        assert secret not in caplog.text


# Memory


@pytest.mark.parametrize("element", [b"[]", b"{}", b'{"a":1}', b"[[]]"])
def test_page_of_a_million_containers_is_not_parsed(element: bytes) -> None:
    body = b'{"records":[' + b",".join([element] * 1_000_000) + b"]}"
    with pytest.raises(PageUnreadable, match="objects and arrays"):
        parse_page(RawResponse(200, {}, body, NOW), ASKED)


def test_error_that_is_large_is_not_quoted() -> None:
    body = json.dumps({"errorMessages": ["x" * 3_000_000]}).encode()
    with pytest.raises(SiteError) as raised:
        parse_page(RawResponse(403, {}, body, NOW), ASKED)
    assert "xxx" not in str(raised.value)


# The permission


@pytest.mark.parametrize(
    ("status", "body", "has_it"),
    [
        (200, b'{"permissions": {"ADMINISTER": {"havePermission": true}}}', True),
        (200, b'{"permissions": {"ADMINISTER": {"havePermission": false}}}', False),
        (200, b'{"permissions": {"ADMINISTER": {"havePermission": "no"}}}', None),
        (200, b'{"permissions": {}}', None),
        (200, b"[]", None),
        (200, b"<html>", None),
        (403, b'{"permissions": {"ADMINISTER": {"havePermission": true}}}', None),
        (401, b"", None),
    ],
)
def test_permission_is_what_jira_says_and_otherwise_unknown(
    http: RequestsMock, time: Time, status: int, body: bytes, has_it: bool | None
) -> None:
    address = f"{BASE}/rest/api/3/mypermissions?permissions=ADMINISTER"
    http.get(address, status=status, body=body, match_querystring=None)

    assert source_at(BASE, time).administers() is has_it
