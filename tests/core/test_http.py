"""What services say in headers is read in every form they use, and garbage says nothing."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jira_audit.core.clock import Clock, Deadline, RetryPolicy, retry
from jira_audit.core.errors import (
    BatchRefused,
    ConnectorError,
    CredentialsRefused,
    OutOfTime,
    SiteError,
    TransientError,
)
from jira_audit.core.http import (
    Meaning,
    StatusTable,
    date,
    duration_text,
    error_for,
    retry_after,
)

ABSURD_WAITS = [
    {"Retry-After": "1000000000"},
    {"Retry-After": "10000000000"},
    {"Retry-After": "99999999999999999999"},
    {"Retry-After": "9" * 400},
    {"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"},
    {"X-RateLimit-Reset": "9999-12-31T23:59Z"},
    {"X-RateLimit-Reset": "9999-12-31T23:59:59.999999+00:00"},
]

NOW = 1_445_412_480_000  # Wed, 21 Oct 2015 07:28:00 GMT


@pytest.mark.parametrize(
    ("text", "timestamp_ms"),
    [
        ("Wed, 21 Oct 2015 07:28:00 GMT", NOW),
        ("21 Oct 2015 07:28:00 GMT", NOW),
        ("Wed, 21 Oct 2015 09:28:00 +0200", NOW),
        ("Wednesday, 21-Oct-15 07:28:00 GMT", NOW),
        ("Wed Oct 21 07:28:00 2015", NOW),
        ("Wed, 21 Oct 2015 07:28:00 -0000", NOW),
    ],
)
def test_date_is_read_as_a_moment_in_utc(text: str, timestamp_ms: int) -> None:
    assert date(text) == timestamp_ms


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " ",
        "garbage",
        "-5",
        "Wed, 99 Oct 2015 07:28:00 GMT",
        "2015-10-21",
        "\0",
        "Wed, 21 Oct 99999999999999999999 07:28:00 GMT",
    ],
)
def test_date_that_is_invalid_is_none(text: str | None) -> None:
    assert date(text) is None


@pytest.mark.parametrize("text", ["Wed Oct 21 07:28:00 2015", "Wed, 21 Oct 2015 07:28:00 -0000"])
def test_date_without_a_zone_is_in_utc(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as here:
        here.setenv("TZ", "JST-9")
        time.tzset()
        assert date(text) == NOW
    time.tzset()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": " 7 "}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT"}, 30.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:27:30 GMT"}, 0.0),
        ({"X-RateLimit-Reset": "2015-10-21T07:29:00Z"}, 60.0),
        ({"X-RateLimit-Reset": "2015-10-21T07:29Z"}, 60.0),
        ({"X-RateLimit-Reset": "2015-10-21T09:28:01.500+02:00"}, 1.5),
        ({"X-RateLimit-Reset": "2015-10-21T07:27:00Z"}, 0.0),
        ({"Retry-After": "5", "X-RateLimit-Reset": "2015-10-21T07:29:00Z"}, 5.0),
        ({"Retry-After": "soon", "X-RateLimit-Reset": "2015-10-21T07:29:00Z"}, 60.0),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float) -> None:
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Retry-After": ""},
        {"Retry-After": "-5"},
        {"Retry-After": "1.5"},
        {"Retry-After": "1e3"},
        {"Retry-After": "٣"},
        {"Retry-After": "²"},
        {"Retry-After": "soon"},
        {"X-RateLimit-Reset": "2015-10-21T07:29:00"},
        {"X-RateLimit-Reset": "1445412480"},
        {"X-RateLimit-Reset": ""},
    ],
)
def test_retry_after_that_is_invalid_is_ignored(headers: dict[str, str]) -> None:
    assert retry_after(headers, NOW) is None


header = st.text() | st.text("0123456789 :,+-GMTWedOct.ZA", max_size=40)


@given(header, header)
def test_retry_after_of_any_content_raises_nothing(one: str, other: str) -> None:
    seconds = retry_after({"Retry-After": one, "X-RateLimit-Reset": other}, NOW)
    assert seconds is None or seconds >= 0
    assert date(one) is None or isinstance(date(one), int)


TABLE = StatusTable.of(
    {
        400: Meaning(BatchRefused, "it refuses the rows"),
        401: Meaning(CredentialsRefused, "it refuses the token"),
        403: Meaning(SiteError, "it lacks the role"),
        429: Meaning(TransientError, "it asks for fewer requests", pause=True),
        503: Meaning(TransientError, "it is unavailable"),
    },
    undocumented="its answer is not documented",
)


def error(status: int, wait: str = "", detail: str = "") -> ConnectorError:
    headers = {"Retry-After": wait} if wait else {}
    return error_for(status, TABLE, headers=headers, now=NOW, detail=detail)


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (400, BatchRefused, "it refuses the rows (HTTP 400)"),
        (401, CredentialsRefused, "it refuses the token (HTTP 401)"),
        (403, SiteError, "it lacks the role (HTTP 403)"),
        (429, TransientError, "it asks for fewer requests (HTTP 429; wait: 7 seconds)"),
        (503, TransientError, "it is unavailable (HTTP 503; wait: 7 seconds)"),
        (0, SiteError, "its answer is not documented (HTTP 0)"),
        (204, SiteError, "its answer is not documented (HTTP 204)"),
        (418, SiteError, "its answer is not documented (HTTP 418)"),
        (499, SiteError, "its answer is not documented (HTTP 499)"),
        (500, TransientError, "its answer is not documented (HTTP 500; wait: 7 seconds)"),
        (599, TransientError, "its answer is not documented (HTTP 599; wait: 7 seconds)"),
    ],
)
def test_status_decides_who_must_act(status: int, kind: type[ConnectorError], message: str) -> None:
    found = error(status, wait="7")

    assert (type(found), str(found)) == (kind, message)


@pytest.mark.parametrize("status", [429, 503, 500])
def test_status_that_may_pass_has_the_time_to_wait(status: int) -> None:
    for wait, seconds in (("7", 7.0), ("", None), ("soon", None)):
        found = error(status, wait)
        assert isinstance(found, TransientError)
        assert found.retry_after == seconds


def test_status_meant_for_every_caller_pauses_them_all() -> None:
    assert [getattr(error(status), "pause", None) for status in (429, 503, 500)] == [
        True,
        False,
        False,
    ]


def test_status_that_is_not_listed_has_a_default() -> None:
    later, someone = Meaning(TransientError, "later"), Meaning(SiteError, "someone")
    table = StatusTable({}, server_error=later, other=someone)

    assert [table.meaning(status) for status in (200, 404, 499, 500, 599)] == [
        *(someone, someone, someone),
        *(later, later),
    ]


def test_error_of_refused_rows_has_the_status() -> None:
    found = error(400)
    assert isinstance(found, BatchRefused)
    assert found.status == 400


def test_error_has_the_services_code_beside_the_status() -> None:
    assert str(error(403, detail="InvalidRule")) == "it lacks the role (HTTP 403: InvalidRule)"
    assert str(error(403, detail="")) == "it lacks the role (HTTP 403)"


# Waits and reasons


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 second"),
        (1, "1 second"),
        (1.5, "2 seconds"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (1_800, "30 minutes"),
        (7_199, "120 minutes"),
        (7_200, "2 hours"),
        (172_800, "2 days"),
        (86_400_000, "1000 days"),
        (86_400_001, "more than 1000 days"),
        (float("inf"), "more than 1000 days"),
    ],
)
def test_wait_is_named_in_its_largest_unit(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        (
            {"Retry-After": "1800", "RateLimit-Reason": "jira-quota-tenant-based"},
            "HTTP 429; reason: jira-quota-tenant-based; wait: 30 minutes",
        ),
        (
            {"RateLimit-Reason": " a\r\nERROR b\x1b[2J\u202e "},
            "HTTP 429; reason: a ERROR b\\u001b[2J\\u202e",
        ),
        ({"RateLimit-Reason": "x" * 5_000}, "HTTP 429; reason: " + "x" * 99 + "…"),
        ({"Retry-After": "0", "RateLimit-Reason": ""}, "HTTP 429"),
    ],
)
def test_wait_and_reason_are_in_the_message(headers: dict[str, str], said: str) -> None:
    found = error_for(429, TABLE, headers=headers, now=NOW)
    assert str(found) == f"it asks for fewer requests ({said})"
    assert str(found).isprintable()


@pytest.mark.parametrize("headers", ABSURD_WAITS)
def test_wait_that_is_absurd_is_named_and_not_waited(headers: dict[str, str]) -> None:
    slept: list[float] = []
    clock = Clock(lambda: NOW, lambda: 0.0, slept.append, lambda: 0.5)

    def call() -> None:
        raise error_for(429, TABLE, headers=headers, now=NOW)

    def collect_once(deadline: Deadline) -> TransientError:
        with pytest.raises(TransientError) as raised:
            retry(call, policy=RetryPolicy(), deadline=deadline, on_wait=lambda *_: None)
        return raised.value

    within, without = (
        collect_once(Deadline.after(clock, 480)),
        collect_once(Deadline.never(clock)),
    )
    assert isinstance(within, OutOfTime)
    assert not isinstance(without, OutOfTime)
    assert "days" in str(without)
    assert "try again later" in str(without)
    assert slept == []
