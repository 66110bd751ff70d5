"""The parser JiraAuditRecords: one row a record, whichever table it is in and however old."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from jira_audit.core.timestamps import MINUTE
from tests.deploy.kql import analyse
from tests.pages import Page
from tests.sentinel.content import saved_functions
from tests.sentinel.engine import INGESTED, NOW, Workspace
from tests.sentinel.stories import ANNA, BEN, OFFICE, SITE, act, joins, key_of
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
"""Of Microsoft's function JiraAudit, in its order, and two more."""

OURS = {"IngestionTime": "datetime", "Actor": "string", "ActorUrl": "string", "Address": "string"}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(
    ("called", "columns"),
    [("JiraAuditRecords()", COLUMNS | OURS), ("JiraAudit", COLUMNS)],
)
def test_columns_are_those_of_the_shipped_parser_and_more(
    called: str, columns: dict[str, str], world: str
) -> None:
    (analysis,) = analyse(WORLDS[world], [called], saved_functions())

    assert list(analysis.columns.items()) == list(columns.items())
    assert not [each for each in analysis.problems if each.startswith("Error")]


@pytest.mark.parametrize("world", WORLDS)
def test_alias_for_microsofts_content_returns_the_same_rows(world: str) -> None:
    made = workspace(world, [joins(30, BEN, "jira-administrators"), act(9, "Project created", "x")])
    columns = ", ".join(COLUMNS)

    expected = made.run(f"JiraAuditRecords() | project {columns} | order by EventId asc")

    assert made.run("JiraAudit | order by EventId asc") == expected
    assert len(expected) == 2


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
    found = workspace(world, audit_page.records).run("JiraAuditRecords()")

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
    given = joins(50, BEN, "jira-administrators", by=ANNA)

    (found,) = workspace(world, [given]).run(
        "JiraAuditRecords() | extend Member = tostring(AssociatedItems[0].name)"
    )

    assert found["EventId"] == given["id"]
    assert found["EventMessage"] == "User added to group"
    assert (found["UserSid"], found["UserName"]) == (ANNA, key_of(ANNA))
    assert (found["SrcIpAddr"], found["EventCategoryType"]) == (OFFICE, "group management")
    assert (found["ObjectItemName"], found["ObjectItemTypeName"]) == (
        "jira-administrators",
        "GROUP",
    )
    assert found["EventCreationTime"].isoformat() == "2026-11-25T11:10:00"
    assert found["Member"] == key_of(BEN)
    assert found["Site"] == (SITE if world in {"classic", "both"} else "")


@pytest.mark.parametrize("world", WORLDS)
def test_duplicates_are_removed(world: str) -> None:
    record = act(9, "Project created", "projects")

    assert len(workspace(world, [record, record]).run("JiraAuditRecords()")) == 1


def two_sites(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> Workspace:
    made = workspace("classic", first)
    made.load("Jira_Audit_CL", rows(second, "fabrikam.atlassian.net"))
    return made


def test_ids_shared_by_two_sites_are_two_records() -> None:
    record = act(9, "Project created", "projects")

    assert len(two_sites([record], [record]).run("JiraAuditRecords()")) == 2


def test_ids_that_began_again_lose_no_record() -> None:
    before, after = act(900, "Project created", "projects"), act(9, "Project deleted", "projects")
    after["id"] = before["id"]

    assert len(workspace("classic", [before, after]).run("JiraAuditRecords()")) == 2


def as_old_connector_rows(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As the old connector sent them: no site, and GUIDs in columns of their own."""
    sent = rows(records)
    for row in sent:
        row.pop("site_s")
        row.pop("objectItem_id_s")
        row["authorAccountId_g"] = row.pop("authorAccountId_s")
        row["objectItem_id_g"] = "0b0c2f5e-6a43-4e7e-9f0a-5b1d5d1c7c11"
    return sent


def test_rows_without_a_site_give_way_to_one_that_names_it() -> None:
    record = act(9, "Project created", "projects")
    made = Workspace({"Jira_Audit_CL": {**CLASSIC, **OLD_CLASSIC}})
    made.load("Jira_Audit_CL", [*as_old_connector_rows([record]), *rows([record])])

    (found,) = made.run("JiraAuditRecords()")

    assert found["Site"] == SITE


def test_columns_for_guids_are_read_as_their_texts() -> None:
    made = Workspace({"Jira_Audit_CL": OLD_CLASSIC})
    made.load("Jira_Audit_CL", as_old_connector_rows([act(9, "Project created", "projects")]))

    (found,) = made.run("JiraAuditRecords()")

    assert found["UserSid"] == ANNA
    assert found["ObjectItemId"] == "0b0c2f5e-6a43-4e7e-9f0a-5b1d5d1c7c11"


def test_rows_of_the_v2_table_are_read_beside_the_classic_ones() -> None:
    made = Workspace(WORLDS["both"])
    made.load("Jira_Audit_CL", rows([act(9, "Project created", "projects")]))
    made.load("Jira_Audit_v2_CL", as_v2_rows(rows([act(8, "Project deleted", "projects")])))

    found = made.run("JiraAuditRecords() | order by EventId asc")

    assert [row["EventMessage"] for row in found] == ["Project created", "Project deleted"]


def test_columns_of_the_early_v2_table_are_read_as_texts() -> None:
    made = Workspace({"Jira_Audit_v2_CL": EARLY_V2})
    made.load("Jira_Audit_v2_CL", as_v2_rows(rows([act(9, "Project created", "projects")])))

    (found,) = made.run("JiraAuditRecords() | where ObjectItemName has 'demo'")

    assert found["ObjectItemTypeName"] == "PROJECT"


def test_time_range_is_that_of_arrival() -> None:
    made = workspace("classic", [act(50, "Project created", "projects")])

    assert len(made.run("JiraAuditRecords() | where TimeGenerated > ago(50m)")) == 1
    assert made.run("JiraAuditRecords() | where TimeGenerated > ago(48m)") == []
    assert NOW % MINUTE == 0


def test_time_range_is_given_to_the_parser() -> None:
    made = workspace("classic", [act(50, "Project created", "projects")])

    assert len(made.run("JiraAuditRecords(ago(50m))")) == 1
    assert made.run("JiraAuditRecords(ago(48m))") == []
    assert made.run("JiraAuditRecords(datetime(null), ago(50m))") == []
    assert len(made.run("JiraAuditRecords(ago(1d), ago(48m))")) == 1


def test_duplicate_came_when_its_first_row_did() -> None:
    record = act(920, "Project created", "projects")
    (sent,) = rows([record])
    made = Workspace(WORLDS["classic"])
    again = sent | {"TimeGenerated": "2026-11-25T11:59:00Z", "summary_s": "Project updated"}
    made.load("Jira_Audit_CL", [sent, again])

    (found,) = made.run("JiraAuditRecords()")

    assert found["IngestionTime"] == found["TimeGenerated"]
    assert found["TimeGenerated"].isoformat() == "2026-11-24T20:41:00"
    assert found["EventMessage"] == "Project updated"


@pytest.mark.parametrize("world", WORLDS)
def test_ingestion_time_is_the_tables_own(world: str) -> None:
    (sent,) = rows([act(900, "Project created", "projects")])
    made = workspace(world)
    ingested = {INGESTED: "2026-11-25T11:58:00Z"}
    if "Jira_Audit_CL" in WORLDS[world]:
        made.load("Jira_Audit_CL", [sent | ingested])
    if "Jira_Audit_v2_CL" in WORLDS[world]:
        made.load("Jira_Audit_v2_CL", [as_v2_rows([sent])[0] | ingested])

    (found,) = made.run("JiraAuditRecords()")

    assert found["IngestionTime"].isoformat() == "2026-11-25T11:58:00"


def test_actor_is_named_by_the_key_and_linked_by_the_account() -> None:
    (found,) = workspace("classic", [act(9, "Project created", "projects", key="ug:1")]).run(
        "JiraAuditRecords()"
    )

    assert (found["Actor"], found["Address"]) == ("ug:1", OFFICE)
    assert found["ActorUrl"] == f"https://{SITE}/jira/people/{ANNA}"
