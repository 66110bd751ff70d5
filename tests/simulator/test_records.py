"""Sample records look like Jira's."""

from __future__ import annotations

import ipaddress
import json
from collections import Counter
from datetime import datetime

import pytest

from jira_audit.simulator.records import Record, sample_records
from tests.simulator.small_sites import (
    DAY_MS,
    NOW_MS,
    some_records,
)


def created_ms(found: Record) -> int:
    at = datetime.strptime(found["created"], "%Y-%m-%dT%H:%M:%S.%f%z")
    return round(at.timestamp() * 1000)


def test_records_depend_on_the_seed_alone() -> None:
    assert some_records(300, seed=4) == some_records(300, seed=4)
    assert some_records(300, seed=4) != some_records(300, seed=5)


@pytest.mark.parametrize("count", [0, 1, 2, 299])
def test_records_are_as_many_as_asked_for(count: int) -> None:
    assert len(some_records(count)) == count


def test_ids_rise_without_a_gap_together_with_created() -> None:
    made = some_records()
    assert [found["id"] for found in made] == list(range(10_000, 12_000))
    timestamps = [created_ms(found) for found in made]
    assert timestamps == sorted(timestamps)


def test_records_stay_within_their_span_and_fill_it() -> None:
    timestamps = [created_ms(found) for found in some_records()]
    assert NOW_MS - 30 * DAY_MS <= timestamps[0] < NOW_MS - 25 * DAY_MS
    assert NOW_MS - 5 * DAY_MS < timestamps[-1] <= NOW_MS


def test_records_of_an_empty_span_share_its_millisecond() -> None:
    made = sample_records(50, first_id=1, end_ms=NOW_MS, span_ms=0, seed=1)
    assert {found["created"] for found in made} == {"2024-03-05T14:20:45.678+0000"}


@pytest.mark.parametrize("seed", range(5))
def test_authors_and_addresses_are_absent_as_on_a_real_site(seed: int) -> None:
    made = some_records(500, seed)
    authorless = sum("authorKey" not in found for found in made) / len(made)
    addressless = sum("remoteAddress" not in found for found in made) / len(made)
    assert 0.22 < authorless < 0.34
    assert authorless < addressless < authorless + 0.07
    assert all(("authorKey" in found) == ("authorAccountId" in found) for found in made)


def test_ids_are_absent_in_groups_and_permissions_only() -> None:
    items = [found["objectItem"] for found in some_records()]
    assert {"GROUP", "PERMISSIONS", "USER", "PROJECT"} <= {item["typeName"] for item in items}
    assert all(("id" in item) != (item["typeName"] in {"GROUP", "PERMISSIONS"}) for item in items)


def test_changed_from_is_often_absent_and_nothing_is_null() -> None:
    made = some_records()
    changes = [change for found in made for change in found.get("changedValues", ())]
    absent = sum("changedFrom" not in change for change in changes) / len(changes)
    assert 0.2 < absent < 0.6
    assert "null" not in json.dumps(made)
    assert not any(found.get(name) == [] for found in made for name in found)


def test_event_source_is_always_empty() -> None:
    assert {found["eventSource"] for found in some_records()} == {""}


def test_account_ids_have_several_forms() -> None:
    forms = Counter(
        found["authorAccountId"].count(":") for found in some_records() if "authorKey" in found
    )
    assert set(forms) == {0, 1, 2}


def test_records_of_a_burst_share_one_millisecond() -> None:
    _, most = Counter(found["created"] for found in some_records()).most_common(1)[0]
    assert 10 <= most <= 60


def test_categories_include_the_usual_ones() -> None:
    assert {found["category"] for found in some_records()} == {
        "auditing",
        "fields",
        "group management",
        "issue types",
        "notifications",
        "permissions",
        "projects",
        "status",
        "system",
        "user management",
        "workflows",
    }


def test_addresses_are_those_kept_for_documentation() -> None:
    ranges = [
        ipaddress.ip_network(text)
        for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
    ]
    lists = {found["remoteAddress"] for found in some_records() if "remoteAddress" in found}
    for text in (part for addresses in lists for part in addresses.split(", ")):
        assert any(ipaddress.ip_address(text) in kept for kept in ranges), text


def test_records_are_about_as_long_as_real_ones() -> None:
    made = some_records()
    assert 450 < len(json.dumps(made)) / len(made) < 810
