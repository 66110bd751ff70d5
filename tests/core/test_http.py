"""What services say in headers is read in every form they use, and garbage says nothing."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jira_audit.core.http import date, retry_after

NOW = 1_445_412_480_000  # Wed, 21 Oct 2015 07:28:00 GMT


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Wed, 21 Oct 2015 07:28:00 GMT", NOW),
        ("21 Oct 2015 07:28:00 GMT", NOW),
        ("Wed, 21 Oct 2015 09:28:00 +0200", NOW),
        ("Wednesday, 21-Oct-15 07:28:00 GMT", NOW),
        ("Wed Oct 21 07:28:00 2015", NOW),
        ("Wed, 21 Oct 2015 07:28:00 -0000", NOW),
    ],
)
def test_an_http_date_is_read_as_a_moment_in_utc(text: str, moment: int) -> None:
    assert date(text) == moment


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
def test_what_is_no_http_date_is_none(text: str | None) -> None:
    assert date(text) is None


@pytest.mark.parametrize("text", ["Wed Oct 21 07:28:00 2015", "Wed, 21 Oct 2015 07:28:00 -0000"])
def test_a_date_without_a_zone_is_in_utc_wherever_this_runs(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
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
def test_the_seconds_to_wait_are_read_in_every_form(
    headers: dict[str, str], seconds: float
) -> None:
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
def test_garbage_says_nothing(headers: dict[str, str]) -> None:
    assert retry_after(headers, NOW) is None


header = st.text() | st.text("0123456789 :,+-GMTWedOct.ZA", max_size=40)


@given(header, header)
def test_no_header_whatever_it_says_does_harm(one: str, other: str) -> None:
    seconds = retry_after({"Retry-After": one, "X-RateLimit-Reset": other}, NOW)
    assert seconds is None or seconds >= 0
    assert date(one) is None or isinstance(date(one), int)
