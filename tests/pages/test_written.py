"""The written page has the shapes of real ones, each of which some test relies on it for."""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from jira_audit.core import timestamps
from jira_audit.core.timestamps import SECOND
from tests.pages import written

Record = dict[str, Any]

RECORDS: list[Record] = written.page()["records"]
TEXT = json.dumps(RECORDS, ensure_ascii=False)
DOCUMENTED = {
    *("id", "summary", "remoteAddress", "authorKey", "authorAccountId", "created", "category"),
    *("eventSource", "description", "objectItem", "changedValues", "associatedItems"),
}


def records_with_summary(summary: str) -> list[Record]:
    return [record for record in RECORDS if record["summary"] == summary]


def changes() -> Iterator[Record]:
    for record in RECORDS:
        yield from record.get("changedValues", [])


def test_page_is_one_answer_of_jira() -> None:
    page = written.page()

    assert page.keys() == {"offset", "limit", "total", "records"}
    assert page["total"] == len(page["records"]) < page["limit"]
    assert json.loads(json.dumps(page)) == page


def test_pages_share_no_record() -> None:
    first, second = written.page()["records"], written.page()["records"]

    assert first == second
    first[0]["summary"] = "changed"
    first[0]["objectItem"]["name"] = "changed"
    assert second == RECORDS


def test_ids_descend_with_gaps() -> None:
    ids = [record["id"] for record in RECORDS]

    assert ids == sorted(set(ids), reverse=True)
    assert max(ids) - min(ids) >= len(ids)


def test_ids_include_long_digits_that_are_not_numbers() -> None:
    for identity in (written.GROUP_ID, written.DIRECTORY_ID):
        assert re.fullmatch("[0-9a-f]{32}", identity)
        assert re.search("[0-9]{19}", identity)
        assert identity in TEXT


def test_account_ids_have_every_form() -> None:
    uuid = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    ids = {record["authorAccountId"] for record in RECORDS if "authorAccountId" in record}
    items = {item["id"] for record in RECORDS for item in record.get("associatedItems", [])}

    for form in ("[0-9a-f]{24}", "[0-9]{24}", f"557058:{uuid}", f"712020:{uuid}"):
        assert any(re.fullmatch(form, each) for each in ids)
    for form in (f"qm:{uuid}:{uuid}", f"ug:{uuid}", r"addon_[\w.-]+", "[0-9a-f]{32}"):
        assert any(re.fullmatch(form, each) for each in items)


def test_object_ids_are_absent_for_groups_and_permissions() -> None:
    items = [record["objectItem"] for record in RECORDS if "objectItem" in record]

    assert {item["typeName"] for item in items if "id" not in item} == {"GROUP", "PERMISSIONS"}
    assert len({item["typeName"] for item in items}) > 8


def test_created_descends_in_jiras_notation() -> None:
    created = [record["created"] for record in RECORDS]

    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", at) for at in created)
    assert created == sorted(created, reverse=True)
    assert timestamps.parse(created[0]) == written.NEWEST


def test_created_is_one_millisecond_for_many_records() -> None:
    ((_, most),) = Counter(record["created"] for record in RECORDS).most_common(1)

    assert most >= 24


def test_fields_are_absent_and_never_null() -> None:
    assert "null" not in re.sub(r'"[^"]*"', '""', TEXT)
    for field in DOCUMENTED - {"id", "summary", "created"}:
        assert 0 < sum(field in record for record in RECORDS) < len(RECORDS)


def test_fields_include_unknown_ones() -> None:
    (record,) = [each for each in RECORDS if each.keys() - DOCUMENTED]

    assert record["objectItem"].keys() - {"id", "name", "typeName", "parentId", "parentName"}


def test_fields_are_all_set_in_one_record_and_some_are_described() -> None:
    assert sum("description" in record for record in RECORDS) > 1
    assert sum(record.keys() == DOCUMENTED and all(record.values()) for record in RECORDS) == 1


def test_group_changes_but_one_have_no_author() -> None:
    changed = records_with_summary("User added to group") + records_with_summary(
        "User removed from group"
    )
    (signed,) = [record for record in changed if "authorAccountId" in record]

    assert len(changed) > 4
    assert all("remoteAddress" not in record for record in changed if record is not signed)
    assert signed["associatedItems"][0]["name"] == signed["authorKey"] != signed["authorAccountId"]
    assert any(record["objectItem"]["name"].startswith("trusted-users-") for record in changed)


def test_global_permissions_have_no_author_and_no_object_id() -> None:
    added = records_with_summary("Global permission added")

    assert added
    assert not any(record.keys() & {"authorKey", "authorAccountId"} for record in added)
    assert {tuple(record["objectItem"]) for record in added} == {("name", "typeName")}


def test_project_deletion_leaves_eleven_records_in_one_second() -> None:
    (deleted,) = records_with_summary("Project deleted")
    at, place = timestamps.parse(deleted["created"]), RECORDS.index(deleted)
    story = RECORDS[place : place + 11]

    assert all(record["summary"].endswith(" deleted") for record in story)
    assert at - timestamps.parse(story[-1]["created"]) < SECOND
    assert not any("authorKey" in record or "remoteAddress" in record for record in story)
    assert sum(record["objectItem"]["typeName"] == "SCHEME" for record in story) == 5
    assert not RECORDS[place + 11]["summary"].endswith(" deleted")


def test_deactivation_is_a_user_update() -> None:
    turned_off = {
        "fieldName": "Active / Inactive",
        "changedFrom": "Active",
        "changedTo": "Inactive",
    }
    (record,) = [each for each in RECORDS if each.get("changedValues") == [turned_off]]

    assert record["summary"] == "User updated"
    assert "authorKey" not in record
    assert not records_with_summary("User deactivated")


def test_addresses_are_of_every_kind_and_invented() -> None:
    texts = {record["remoteAddress"] for record in RECORDS if "remoteAddress" in record}
    addresses = [ipaddress.ip_address(part) for text in texts for part in text.split(", ")]

    assert any(", " in text for text in texts)
    assert {address.version for address in addresses} == {4, 6}
    assert any(
        address in ipaddress.ip_network("10.0.0.0/8")
        for address in addresses
        if address.version == 4
    )
    # The ranges for documentation count as private ones in Python.
    assert all(address.is_private for address in addresses)


def test_event_sources_but_one_are_empty_texts() -> None:
    sources = Counter(record["eventSource"] for record in RECORDS if "eventSource" in record)

    assert sources.pop("") > 50
    assert list(sources.values()) == [1]


def test_changed_values_may_lack_the_old_value() -> None:
    lacking = sum("changedFrom" not in change for change in changes())

    assert 0 < lacking < sum(1 for _ in changes())
    assert any(change.get("changedFrom") == "" for change in changes())
    assert any(change["changedTo"] == "" for change in changes())
    assert all("changedTo" in change for change in changes())


def test_sparse_records_have_an_id_a_summary_and_a_time() -> None:
    assert any(record.keys() == {"id", "summary", "created"} for record in RECORDS)


@pytest.mark.parametrize(
    "part", ["Ü", "港", "ق", "\u0301", "👩\u200d✈", "–", "“", '\\"', "\\n", "<b>"]
)
def test_texts_are_in_many_scripts(part: str) -> None:
    assert part in TEXT
