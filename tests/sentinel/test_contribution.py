"""The files for Microsoft's own solution: they work alone, in a workspace without our content."""

from __future__ import annotations

import csv
import json
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
import yaml

from jira_audit.core import records
from tests.conftest import needed
from tests.deploy import kql
from tests.sentinel.asim import template_problems
from tests.sentinel.content import FOLDER, saved_functions
from tests.sentinel.stories import BEN, act, joins
from tests.sentinel.test_parser import COLUMNS
from tests.sentinel.workspace_fixtures import workspace
from tests.sentinel.workspace_schemas import WORLDS

CONTRIBUTION = FOLDER / "contribution"
SCHEMAS = ("AuditEvent", "UserManagement")
ASIM = [(schema, f"{kind}{schema}AtlassianJira") for schema in SCHEMAS for kind in ("ASim", "vim")]
DOCUMENTATION = [ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")]


def body_of(path: str) -> Any:
    return yaml.safe_load((CONTRIBUTION / path).read_text(encoding="utf-8"))


PARSER = body_of("Solutions/AtlassianJiraAudit/Parsers/JiraAudit.yaml")


@pytest.mark.parametrize("world", WORLDS)
def test_parser_gives_microsofts_columns_with_any_of_the_tables(world: str) -> None:
    needed(kql.is_installed(), "Kusto's analyser is not installed: make setup")
    (analysis,) = kql.analyse(WORLDS[world], [PARSER["FunctionQuery"]])

    assert list(analysis.columns.items()) == list(COLUMNS.items())
    assert not [each for each in analysis.problems if each.startswith("Error")]


@pytest.mark.parametrize("world", WORLDS)
def test_parser_returns_the_rows_of_ours(world: str) -> None:
    made = workspace(world, [joins(30, BEN, "jira-administrators"), act(9, "Project created", "x")])
    expected = made.run("JiraAudit | order by EventId asc")

    assert made.run(f"{PARSER['FunctionQuery']}\n| order by EventId asc") == expected
    assert len(expected) == 2


def test_parser_keeps_the_id_and_names_of_microsofts_with_a_newer_version() -> None:
    # As of their version 3.0.0:
    # https://github.com/Azure/Azure-Sentinel/blob/master/Solutions/AtlassianJiraAudit/Parsers/JiraAudit.yaml
    assert PARSER["id"] == "4ed36a9b-accd-491d-b22b-2454c137d90d"
    assert PARSER["FunctionName"] == PARSER["FunctionAlias"] == "JiraAudit"
    assert PARSER["Function"]["Version"] > "3.0.0"


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("schema", "name"), ASIM)
def test_asim_parser_works_without_our_function(schema: str, name: str, world: str) -> None:
    needed(kql.is_installed(), "Kusto's analyser is not installed: make setup")
    body = body_of(f"Parsers/ASim{schema}/Parsers/{name}.yaml")
    given = ", ".join(
        f"{p['Name']}: {p['Type']} = {str(p['Default']).replace('False', 'false')}"
        for p in body["ParserParams"]
    )
    alone = {body["ParserName"]: (f"({given})", body["ParserQuery"])}
    (theirs,) = kql.analyse(WORLDS[world], [f"{name}()"], alone)
    (ours,) = kql.analyse(WORLDS[world], [f"{name}()"], saved_functions())

    assert not [each for each in theirs.problems if each.startswith("Error")]
    assert theirs.columns == ours.columns
    assert len(theirs.columns) > 30


@pytest.mark.parametrize(("schema", "name"), ASIM)
def test_asim_parser_has_what_microsofts_repository_asks_of_it(schema: str, name: str) -> None:
    # https://learn.microsoft.com/azure/sentinel/normalization-develop-parsers
    body = body_of(f"Parsers/ASim{schema}/Parsers/{name}.yaml")
    log = (CONTRIBUTION / f"Parsers/ASim{schema}/CHANGELOG/{name}.md").read_text("utf-8")

    assert body["ParserName"] == name
    assert template_problems(body) == []
    assert f"## Version {body['Parser']['Version']}\n" in log


def test_table_has_the_columns_of_microsofts_and_every_column_of_the_connector() -> None:
    path = CONTRIBUTION / ".script/tests/KqlvalidationsTests/CustomTables/Jira_Audit_CL.json"
    table = json.loads(path.read_text(encoding="utf-8"))
    types = {each["Name"]: each["Type"] for each in table["Properties"]}

    assert table["Name"] == "Jira_Audit_CL"
    assert set(types) == {"EventVendor", "EventProduct", *records.COLUMNS}
    assert types["site_s"] == "String"
    assert types["truncated_b"] == "Boolean"
    assert types["id_d"] == "Double"


def test_sample_data_is_invented_and_has_the_connectors_columns() -> None:
    path = CONTRIBUTION / "Sample Data/Custom/Jira_Audit_CL.json"
    rows = json.loads(path.read_text(encoding="utf-8"))

    assert len(rows) >= 4
    for row in rows:
        assert set(row) <= set(records.COLUMNS)
        assert row["site_s"] == "example.atlassian.net"
        if address := row.get("remoteAddress_s"):
            known = ip_address(address)
            assert any(known in each for each in DOCUMENTATION if each.version == known.version)
        for name in ("authorKey_s", "authorAccountId_s"):
            assert "00000000-0000-4000-8000-00000000000" in row.get(
                name, "00000000-0000-4000-8000-00000000000"
            )


@pytest.mark.parametrize("name", SCHEMAS)
def test_ingested_logs_are_the_sample_rows_with_the_table_in_one_schema(name: str) -> None:
    folder = CONTRIBUTION / "Sample Data/ASIM"
    with (folder / f"Atlassian_Jira_{name}_IngestedLogs.csv").open(encoding="utf-8") as file:
        logs = list(csv.DictReader(file))
    with (folder / "Jira_Audit_CL_Schema.csv").open(encoding="utf-8") as file:
        schema = list(csv.DictReader(file))
    rows = json.loads((CONTRIBUTION / "Sample Data/Custom/Jira_Audit_CL.json").read_text("utf-8"))

    assert [each["ColumnName"] for each in schema] == list(records.COLUMNS) == list(logs[0])
    assert [{k: v for k, v in log.items() if v} for log in logs] == [
        {k: str(v) for k, v in row.items() if v != ""} for row in rows
    ]
