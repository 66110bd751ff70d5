"""Moments are exact to the millisecond, and a time without an offset is not a moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jira_audit.core import timestamps
from jira_audit.core.timestamps import DAY, HOUR, MINUTE, SECOND

FIRST = -62_135_596_800_000  # 0001-01-01T00:00:00.000Z
LAST = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z


@pytest.mark.parametrize(
    ("text", "timestamp_ms"),
    [
        ("1970-01-01T00:00:00.000Z", 0),
        ("1970-01-01T00:00:00.001+0000", 1),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2021-01-20T12:40:01.903+0000", 1_611_146_401_903),
        ("2021-01-20T12:40:01.903+00:00", 1_611_146_401_903),
        ("2021-01-20T12:40:01.903-0000", 1_611_146_401_903),
        ("2021-01-20T13:40:01.903+0100", 1_611_146_401_903),
        ("2021-01-20T13:40:01.903+01:00", 1_611_146_401_903),
        ("2021-01-20T18:10:01.903+0530", 1_611_146_401_903),
        ("2021-01-20T04:40:01.903-08:00", 1_611_146_401_903),
        ("2021-01-20T12:40:01Z", 1_611_146_401_000),
        ("2021-01-20T12:40Z", 1_611_146_400_000),
        ("2021-01-20T12:40:01.9039Z", 1_611_146_401_903),
        ("2021-01-20T12:40:01.903999Z", 1_611_146_401_903),
        ("0001-01-01T00:00:00.000Z", FIRST),
        ("9999-12-31T23:59:59.999Z", LAST),
    ],
)
def test_time_with_an_offset_is_read_to_the_millisecond(text: str, timestamp_ms: int) -> None:
    assert timestamps.parse(text) == timestamp_ms


@pytest.mark.parametrize(
    "text",
    [
        "2021-01-20T12:40:01.903",
        "2021-01-20",
        "12:40:01Z",
        "2021-02-30T12:40:01.903Z",
        "2021-01-20T12:40:01.903+2500",
        "2021-01-20T12:40:01.903 0000",
        "0001-01-01T00:00:00.000+0100",
        "9999-12-31T23:59:59.999-0100",
        "1611146401903",
        "yesterday",
        "\ud83d",
        "",
    ],
)
def test_time_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the text is Python's
        timestamps.parse(text)


def test_time_without_an_offset_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="needs a UTC offset, such as Z"):
        timestamps.parse("2021-01-20T12:40:01.903")


@given(
    st.integers(FIRST + DAY, LAST - DAY),
    st.integers(-23 * 60, 23 * 60),
    st.booleans(),
)
def test_offset_does_not_change_the_moment(timestamp_ms: int, minutes: int, colon: bool) -> None:
    zone = timezone(timedelta(minutes=minutes))
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=timestamp_ms)
    text = at.astimezone(zone).isoformat(timespec="milliseconds")
    if not colon:
        text = text[:-3] + text[-2:]
    assert timestamps.parse(text) == timestamp_ms


@pytest.mark.parametrize(
    ("timestamp_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_611_146_401_903, "2021-01-20T12:40:01.903Z"),
        (1_611_146_401_000, "2021-01-20T12:40:01.000Z"),
        (FIRST, "0001-01-01T00:00:00.000Z"),
        (LAST, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_moment_is_written_with_milliseconds_and_z(timestamp_ms: int, text: str) -> None:
    assert timestamps.text(timestamp_ms) == text


@given(st.integers(FIRST, LAST))
def test_moment_is_read_as_it_was_written(timestamp_ms: int) -> None:
    assert timestamps.parse(timestamps.text(timestamp_ms)) == timestamp_ms


def test_moments_sort_as_their_texts_do() -> None:
    times = [FIRST, -1, 0, 999, 1_000, 1_611_146_401_903, LAST]
    assert sorted(timestamps.text(at) for at in reversed(times)) == [
        timestamps.text(at) for at in times
    ]


def test_day_is_a_day_in_utc() -> None:
    assert timestamps.day(timestamps.parse("2021-01-20T23:59:59.999Z")) == "2021-01-20"
    assert timestamps.day(timestamps.parse("2021-01-20T23:59:59.999-0100")) == "2021-01-21"


def test_units_are_milliseconds() -> None:
    assert (SECOND, MINUTE, HOUR, DAY) == (1_000, 60_000, 3_600_000, 86_400_000)
