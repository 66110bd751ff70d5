"""The parser JiraAudit: one row a record, whichever table it is in and however old."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from jira_audit.core.timestamps import MINUTE
from tests.deploy.kql import analyse
from tests.pages import Page
from tests.sentinel.content import FUNCTIONS
from tests.sentinel.engine import NOW, Workspace
from tests.sentinel.stories import ANNA, BEN, OFFICE, SITE, act, joins
from tests.sentinel.workspace_fixtures import as_v2_rows, rows, workspace
from tests.sentinel.workspace_schemas import CLASSIC, EARLY_V2, OLD_CLASSIC, WORLDS

COLUMNS = {
    "TimeGenerated": "datetime",
    "EventVendor": "string",
    "EventProduct": "string",
    "EventId": "long",
    "EventMessage": "string",
    "SrcIpAddr": "string",
    "UserName": "string",
    "UserSid": "string",
    "EventCreationTime": "datetime",
    "EventSource": "string",
    "ObjectItemId": "string",
    "ObjectItemName": "string",
    "ObjectItemTypeName": "string",
    "ChangedValues": "dynamic",
    "AssociatedItems": "dynamic",
    "ObjectItemParentId": "string",
    "ObjectItemParentName": "string",
    "EventCategoryType": "string",
    "Site": "string",
    "Truncated": "bool",
}


@pytest.mark.parametrize("world", WORLDS)
def test_columns_are_those_of_the_shipped_parser_and_two_more(world: str) -> None:
    (analysis,) = analyse(WORLDS[world], [FUNCTIONS["JiraAudit"].query])

    assert list(analysis.columns.items()) == list(COLUMNS.items())
    assert not [each for each in analysis.problems if each.startswith("Error")]


def record_as_row(record: dict[str, Any]) -> dict[str, Any]:
    """What the parser has to say of a record in its columns that are not dynamic."""
    item = record.get("objectItem") or {}
    texts = {
        "EventMessage": record.get("summary"),
        "SrcIpAddr": record.get("remoteAddress"),
        "UserName": record.get("authorKey"),
        "UserSid": record.get("authorAccountId"),
        "EventSource": record.get("eventSource"),
        "EventCategoryType": record.get("category"),
        "ObjectItemId": item.get("id"),
        "ObjectItemName": item.get("name"),
        "ObjectItemTypeName": item.get("typeName"),
        "ObjectItemParentId": item.get("parentId"),
        "ObjectItemParentName": item.get("parentName"),
    }
    created = datetime.fromisoformat(record["created"]).astimezone(UTC)
    return {
        "EventCreationTime": created.replace(tzinfo=None),
        **{column: text or "" for column, text in texts.items()},
    }


@pytest.mark.parametrize("world", WORLDS)
def test_record_becomes_one_row_that_says_the_same(world: str, audit_page: Page) -> None:
    found = workspace(world, audit_page.records).run("JiraAudit")

    assert len(found) == len(audit_page.records)
    by_id = {row["EventId"]: row for row in found}
    for record in audit_page.records:
        row = by_id[record["id"]]
        assert {column: row[column] for column in record_as_row(record)} == record_as_row(record)
        for column, field in {
            "ChangedValues": "changedValues",
            "AssociatedItems": "associatedItems",
        }.items():
            assert json.loads(row[column] or "null") == record.get(field)


@pytest.mark.parametrize("world", WORLDS)
def test_record_says_the_same_in_every_workspace(world: str) -> None:
    given = joins(30, BEN, "jira-administrators")

    (found,) = workspace(world, [given]).run(
        "JiraAudit | extend Member = tostring(AssociatedItems[0].name)"
    )

    assert found["EventId"] == given["id"]
    assert found["EventMessage"] == "User added to group"
    assert (found["UserSid"], found["UserName"]) == (ANNA, f"ug:{ANNA}")
    assert (found["SrcIpAddr"], found["EventCategoryType"]) == (OFFICE, "group management")
    assert (found["ObjectItemName"], found["ObjectItemTypeName"]) == (
        "jira-administrators",
        "GROUP",
    )
    assert found["EventCreationTime"].isoformat() == "2026-11-25T11:10:00"
    assert found["Member"] == BEN
    assert found["Site"] == (SITE if world in {"classic", "both"} else "")


@pytest.mark.parametrize("world", WORLDS)
def test_duplicates_are_removed(world: str) -> None:
    record = act(9, "Project created", "projects")

    assert len(workspace(world, [record, record]).run("JiraAudit")) == 1


def two_sites(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> Workspace:
    made = workspace("classic", first)
    made.load("Jira_Audit_CL", rows(second, "fabrikam.atlassian.net"))
    return made


def test_ids_shared_by_two_sites_are_two_records() -> None:
    record = act(9, "Project created", "projects")

    assert len(two_sites([record], [record]).run("JiraAudit")) == 2


def test_ids_that_began_again_lose_no_record() -> None:
    before, after = act(900, "Project created", "projects"), act(9, "Project deleted", "projects")
    after["id"] = before["id"]

    assert len(workspace("classic", [before, after]).run("JiraAudit")) == 2


def as_old_connector_rows(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As the old connector sent them: no site, and GUIDs in columns of their own."""
    sent = rows(records)
    for row in sent:
        row.pop("site_s")
        row["authorAccountId_g"] = row.pop("authorAccountId_s")
        row["objectItem_id_g"] = "0b0c2f5e-6a43-4e7e-9f0a-5b1d5d1c7c11"
    return sent


def test_rows_without_a_site_give_way_to_one_that_names_it() -> None:
    record = act(9, "Project created", "projects")
    made = Workspace({"Jira_Audit_CL": {**CLASSIC, **OLD_CLASSIC}})
    made.load("Jira_Audit_CL", [*as_old_connector_rows([record]), *rows([record])])

    (found,) = made.run("JiraAudit")

    assert found["Site"] == SITE


def test_columns_for_guids_are_read_as_their_texts() -> None:
    made = Workspace({"Jira_Audit_CL": OLD_CLASSIC})
    made.load("Jira_Audit_CL", as_old_connector_rows([act(9, "Project created", "projects")]))

    (found,) = made.run("JiraAudit")

    assert found["UserSid"] == ANNA
    assert found["ObjectItemId"] == "0b0c2f5e-6a43-4e7e-9f0a-5b1d5d1c7c11"


def test_rows_of_the_v2_table_are_read_beside_the_classic_ones() -> None:
    made = Workspace(WORLDS["both"])
    made.load("Jira_Audit_CL", rows([act(9, "Project created", "projects")]))
    made.load("Jira_Audit_v2_CL", as_v2_rows(rows([act(8, "Project deleted", "projects")])))

    found = made.run("JiraAudit | order by EventId asc")

    assert [row["EventMessage"] for row in found] == ["Project created", "Project deleted"]


def test_columns_of_the_early_v2_table_are_read_as_texts() -> None:
    made = Workspace({"Jira_Audit_v2_CL": EARLY_V2})
    made.load("Jira_Audit_v2_CL", as_v2_rows(rows([act(9, "Project created", "projects")])))

    (found,) = made.run("JiraAudit | where ObjectItemName has 'demo'")

    assert found["ObjectItemTypeName"] == "PROJECT"


def test_time_range_is_that_of_arrival() -> None:
    made = workspace("classic", [act(30, "Project created", "projects")])

    assert len(made.run("JiraAudit | where TimeGenerated > ago(50m)")) == 1
    assert made.run("JiraAudit | where TimeGenerated > ago(48m)") == []
    assert NOW % MINUTE == 0
