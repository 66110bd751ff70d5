"""Activity is counted from rows, whatever fields they lack."""

from __future__ import annotations

from typing import Any

import pytest

from jira_audit.core import timestamps
from jira_audit.core.activity import DELAYS, Activity, actor_of, count, span
from jira_audit.core.timestamps import DAY, HOUR, MINUTE
from jira_audit.core.window import Window

NOW = timestamps.parse("2026-11-20T12:30:00Z")
RANGE = Window(NOW - DAY, NOW)


def row(created: int = NOW - HOUR, delay: int = 0, **columns: str) -> dict[str, Any]:
    return {
        "site_s": "contoso.atlassian.net",
        "created_t": timestamps.text(created),
        "TimeGenerated": timestamps.text(created + delay),
        **columns,
    }


def test_rows_are_counted_by_hour_or_by_day() -> None:
    rows = [row(Category="users"), row(NOW - HOUR + 1, Category="users"), row(NOW - 2 * DAY)]

    noon = timestamps.parse("2026-11-20T11:00:00Z")
    assert count(rows, RANGE).over_time == {(noon, "users"): 2}
    days = count(rows, Window(NOW - 9 * DAY, NOW)).over_time
    assert {(timestamps.text(at)[:13], name): times for (at, name), times in days.items()} == {
        ("2026-11-20T00", "users"): 2,
        ("2026-11-18T00", ""): 1,
    }


def test_range_includes_both_ends() -> None:
    rows = [row(RANGE.start), row(RANGE.end), row(RANGE.start - 1), row(RANGE.end + 1)]

    assert count(rows, RANGE).rows == 2


def test_span_is_of_the_rows_in_the_range() -> None:
    rows = [row(NOW - HOUR), row(NOW - 3 * HOUR), row(NOW - 2 * DAY), row(NOW + 1)]

    assert span(rows, RANGE) == Window(NOW - 3 * HOUR, NOW - HOUR)
    assert span([], RANGE) is None


def test_missing_columns_are_not_counted() -> None:
    found = count([row(), row(objectItem_typeName_s="USER"), row(objectItem_name_s="x")], RANGE)

    assert found.aspects["object"] == {"": 1, "USER": 1, "x": 1}
    assert found.aspects["actor"] == {"": 3}


def test_columns_that_are_not_text_are_not_counted() -> None:
    assert actor_of({"authorKey_s": None, "authorAccountId_s": 7}) == ""


def test_no_rows_give_no_activity() -> None:
    assert count([], RANGE) == Activity(RANGE)
    assert Activity(RANGE).rows == 0


def test_object_is_counted_by_type_and_name() -> None:
    found = count([row(objectItem_typeName_s="USER", objectItem_name_s="Ann")], RANGE)

    assert found.aspects["object"] == {"USER · Ann": 1}


@pytest.mark.parametrize(
    ("key", "account", "actor"),
    [
        ("admin", "5b10a2844c", "admin"),
        ("ug:1-2", "5b10a2844c", "5b10a2844c"),
        ("", "5b10a2844c", "5b10a2844c"),
        ("ug:1-2", "", "ug:1-2"),
        ("", "", ""),
    ],
)
def test_actor_is_an_author_key_or_an_account_id(key: str, account: str, actor: str) -> None:
    assert actor_of({"authorKey_s": key, "authorAccountId_s": account}) == actor


@pytest.mark.parametrize(
    ("delay", "place"),
    [(-HOUR, 0), (0, 0), (MINUTE, 0), (MINUTE + 1, 1), (HOUR, 3), (DAY, 4), (DAY + 1, 5)],
)
def test_delays_are_counted_up_to_their_bounds(delay: int, place: int) -> None:
    assert count([row(delay=delay)], RANGE).delays == {place: 1}
    assert place <= len(DELAYS)
