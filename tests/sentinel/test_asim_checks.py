"""The ASIM parsers before Microsoft's own checks of parsers, and that the checks find faults."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from tests.conftest import needed
from tests.deploy import kql
from tests.pages import Page
from tests.sentinel import asim
from tests.sentinel.content import FUNCTIONS, saved_functions, sources
from tests.sentinel.engine import Row
from tests.sentinel.stories import ANNA, BEN, act, deactivated, joins, leaves, user
from tests.sentinel.stories.rights import channel, scheme
from tests.sentinel.workspace_fixtures import workspace
from tests.sentinel.workspace_schemas import ALL_WORLDS, WORLDS

PARSERS = {source.name: source.body for source in sources("Parsers") if "ParserName" in source.body}
STORY = [
    scheme(60, ("", "Anyone on the web"), ("", "Browse Projects")),
    channel("Custom email channel turned on", 50),
    act(40, "Project created", "projects", at="198.51.100.7, 10.0.0.1"),
    user(30, "User created", BEN, by=ANNA),
    joins(25, BEN, "jira-administrators"),
    joins(24, "addon_clock", "atlassian-addons", by="addon_clock"),
    leaves(20, BEN, "jira-administrators", by=ANNA),
    deactivated(10, BEN),
    act(5, "Group deleted", "group management", on=("GROUP", "crew")),
    act(4, "Something nobody has seen yet", "new things", on=("NEW", "Thing")),
]


def schema_of(parser: str) -> asim.Schema:
    return asim.SCHEMAS[PARSERS[parser]["Normalization"]["Schema"]]


def test_parsers_are_all_checked() -> None:
    assert set(PARSERS) == {name for name in FUNCTIONS if name.startswith(("ASim", "vim"))}
    assert {body["Normalization"]["Schema"] for body in PARSERS.values()} == set(asim.SCHEMAS)


@pytest.mark.parametrize("parser", PARSERS)
def test_file_of_the_parser_is_as_microsoft_checks_it(parser: str) -> None:
    assert asim.template_problems(PARSERS[parser]) == []
    assert PARSERS[parser]["ParserName"] == parser


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("parser", PARSERS)
def test_columns_pass_microsofts_schema_test(parser: str, world: str) -> None:
    needed(kql.is_installed(), "Kusto's analyser is not installed: make setup")
    (analysis,) = kql.analyse(WORLDS[world], [parser], saved_functions())

    assert not [each for each in analysis.problems if each.startswith("Error")]
    assert asim.schema_problems(schema_of(parser), analysis.columns) == []


def check_rows(parser: str, rows: list[dict[str, Any]]) -> None:
    schema = schema_of(parser)

    assert rows
    assert asim.data_problems(schema, rows) == []
    # Jira does not say who changes a membership in the organization.
    assert asim.empty_mandatory(schema, rows) <= {"ActorUsername"}


@pytest.mark.parametrize("world", ALL_WORLDS)
@pytest.mark.parametrize("parser", PARSERS)
def test_rows_of_stories_pass_microsofts_data_test(parser: str, world: str) -> None:
    check_rows(parser, workspace(world, STORY).run(parser))


@pytest.mark.parametrize("parser", [name for name in PARSERS if name.startswith("ASim")])
def test_rows_of_a_page_pass_microsofts_data_test(parser: str, audit_page: Page) -> None:
    check_rows(parser, workspace("classic", audit_page.records).run(parser))


COLUMNS: Mapping[str, str] = {
    name: asim.KINDS.get(name, "string")
    for schema in [asim.SCHEMAS["UserManagement"]]
    for name in {*schema.mandatory, *schema.conditional, *schema.aliases, "ActorUserId"}
    | {"DvcDomain", "DvcHostname", "RuleName", "SrcIpAddr", "EventSubType", "TargetUserId"}
    | {"TargetUsername"}
}


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({}, []),
        ({"Dvc": None}, ["Dvc is mandatory"]),
        ({"User": None}, ["User goes with ActorUsername"]),
        ({"ActorUsernameType": None}, ["ActorUsernameType goes with ActorUsername"]),
        ({"UpdatedPropertyName": None}, ["UpdatedPropertyName goes with EventSubType"]),
        ({"EventCount": "long"}, ["EventCount is long"]),
        ({"TargetUser": "string"}, ["TargetUser is no field of the schema"]),
    ],
)
def test_fault_in_columns_is_found(columns: Mapping[str, str | None], found: list[str]) -> None:
    changed = {**COLUMNS, **columns}
    given = {name: kind for name, kind in changed.items() if kind is not None}

    assert asim.schema_problems(asim.SCHEMAS["UserManagement"], given) == found


@pytest.fixture(scope="module")
def row() -> Row:
    found: Row = workspace("classic", [user(30, "User created", BEN, by=ANNA)]).run(
        "ASimUserManagementAtlassianJira"
    )[0]
    return found


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({}, []),
        ({"EventType": "UserPromoted"}, ["EventType is 'UserPromoted'"]),
        ({"EventSchemaVersion": "0.1.1"}, ["EventSchemaVersion is '0.1.1'"]),
        ({"User": "somebody"}, ["User is not ActorUsername"]),
        (
            {"SrcIpAddr": "a", "IpAddr": "a"},
            ["IpAddr is no address: 'a'", "SrcIpAddr is no address: 'a'"],
        ),
        ({"TargetUsernameType": "Key"}, ["TargetUsernameType is 'Key'"]),
    ],
)
def test_fault_in_a_row_is_found(values: Mapping[str, Any], found: list[str], row: Row) -> None:
    assert asim.data_problems(asim.SCHEMAS["UserManagement"], [{**row, **values}]) == found


def test_fault_of_an_empty_mandatory_field_is_found(row: Row) -> None:
    schema = asim.SCHEMAS["UserManagement"]

    assert asim.empty_mandatory(schema, [row]) == set()
    assert asim.empty_mandatory(schema, [row, {**row, "Dvc": ""}]) == {"Dvc"}


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        (["EquivalentBuiltInParser"], "", "EquivalentBuiltInParser"),
        (
            ["EquivalentBuiltInParser"],
            "_ASim_UserManagement_AtlassianJira",
            "EquivalentBuiltInParser",
        ),
        (["ParserName"], "vimAuditEventAtlassianJira", "ParserName"),
        (["Parser", "Title"], "", "Title"),
        (["Parser", "Version"], "1.0", "Version"),
        (["Parser", "LastUpdated"], "2026-11-27", "LastUpdated"),
        (["Normalization", "Schema"], "UserManagment", "Schema"),
        (["Normalization", "Version"], "0.1.1", "version of the schema"),
        (["References"], [], "reference to the schema"),
        (["ParserQuery"], "JiraAuditRecords()", "EventVendor is not in the query"),
    ],
)
def test_fault_in_a_parsers_file_is_found(path: list[str], value: Any, found: str) -> None:
    body: dict[str, Any] = copy.deepcopy(dict(PARSERS["vimUserManagementAtlassianJira"]))
    *parents, last = path
    place = body
    for parent in parents:
        place = place[parent]
    place[last] = value

    assert found in asim.template_problems(body)
