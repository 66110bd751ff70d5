"""The ASIM parsers of AuditEvent: the schema's fields, and filters that filter.

https://learn.microsoft.com/azure/sentinel/normalization-schema-audit
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.kql import analyse
from tests.sentinel.content import FUNCTIONS, saved_functions
from tests.sentinel.stories import ANNA, BEN, ELSEWHERE, OFFICE, SITE, Record, act, joins, key_of
from tests.sentinel.stories.rights import channel, scheme
from tests.sentinel.workspace_fixtures import workspace
from tests.sentinel.workspace_schemas import WORLDS

MANDATORY = {
    "TimeGenerated": "datetime",
    "EventCount": "int",
    "EventStartTime": "datetime",
    "EventEndTime": "datetime",
    "EventType": "string",
    "EventResult": "string",
    "EventProduct": "string",
    "EventVendor": "string",
    "EventSchema": "string",
    "EventSchemaVersion": "string",
    "Dvc": "string",
    "Operation": "string",
    "Object": "string",
    "ObjectType": "string",
}
EVENT_TYPES = {
    *("Set", "Read", "Create", "Delete", "Execute", "Install", "Clear", "Enable", "Disable"),
    *("Initialize", "Start", "Stop", "Other"),
}
OBJECT_TYPES = {
    *("Cloud Resource", "Configuration Atom", "Policy Rule", "Event Log", "Scheduled Task"),
    *("Service", "Directory Service Object", "Other"),
}
ALIASES = {"User": "ActorUsername", "IpAddr": "SrcIpAddr", "Src": "SrcIpAddr", "Value": "NewValue"}

PLAIN, FILTERING = "ASimAuditEventAtlassianJira", "vimAuditEventAtlassianJira"


def sample_records() -> list[Record]:
    return [
        scheme(50, ("", "Anyone on the web"), ("", "Browse Projects")),
        joins(40, BEN, "jira-administrators", by=BEN, at=f"{ELSEWHERE}, 10.0.0.1"),
        channel("Custom email channel turned on", 30),
        act(20, "Workflow scheme deleted", "workflows", by=None, at=None, on=("SCHEME", "Strict")),
        act(10, "Something nobody has seen yet", "new things", on=("NEW", "Thing")),
    ]


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("parser", [PLAIN, FILTERING])
def test_fields_that_are_mandatory_have_their_type(parser: str, world: str) -> None:
    (analysis,) = analyse(WORLDS[world], [parser], saved_functions())

    assert MANDATORY.items() <= analysis.columns.items()
    assert not [each for each in analysis.problems if each.startswith("Error")]


def test_parser_with_filters_returns_the_same_columns() -> None:
    plain, filtering = analyse(WORLDS["classic"], [PLAIN, FILTERING], saved_functions())

    assert plain.columns == filtering.columns


@pytest.mark.parametrize("world", WORLDS)
def test_records_are_normalised_with_the_schemas_values(world: str) -> None:
    found = workspace(world, sample_records()).run(f"{PLAIN} | order by EventStartTime asc")

    assert [row["EventType"] for row in found] == ["Set", "Set", "Enable", "Delete", "Other"]
    assert {row["EventType"] for row in found} <= EVENT_TYPES
    assert {row["ObjectType"] for row in found} <= OBJECT_TYPES
    for row in found:
        assert all(row[name] not in {None, ""} for name in MANDATORY), row
        assert all(row[alias] == row[name] for alias, name in ALIASES.items())
        assert row["EventSchema"] == "AuditEvent"
        assert row["EventSchemaVersion"] == "0.1.2"


def test_fields_hold_values_addresses_and_people_as_the_schema_says() -> None:
    opened, joined, *_ = workspace("classic", sample_records()).run(
        f"{PLAIN} | order by EventStartTime asc"
    )

    assert opened["NewValue"] == "Browse Projects, Anyone on the web"
    assert (opened["Object"], opened["ObjectType"]) == ("Default Permission Scheme", "Policy Rule")
    assert (opened["ActorUserId"], opened["SrcIpAddr"], opened["Dvc"]) == (ANNA, OFFICE, SITE)
    assert (joined["SrcIpAddr"], joined["ObjectType"]) == (ELSEWHERE, "Directory Service Object")
    assert joined["ActorUsername"] == key_of(BEN)
    assert (joined["OldValue"], joined["NewValue"]) == ("", key_of(BEN))
    assert {opened["Dst"], joined["Dst"]} == {SITE}


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ("User added to group", "Set"),
        ("Permission scheme removed from project", "Set"),
        ("Permission scheme added to project", "Set"),
        ("Project archived", "Set"),
        ("Project restored", "Set"),
        ("Project version released", "Set"),
        ("Sprint started", "Start"),
        ("Project created", "Create"),
        ("Project deleted", "Delete"),
        ("Global permission added", "Create"),
    ],
)
def test_sentence_of_jira_is_the_operation_that_it_says(message: str, event: str) -> None:
    record = act(5, message, "projects", items=[("SCHEME", "Strict")])
    (found,) = workspace("classic", [record]).run(PLAIN)

    assert found["EventType"] == event
    assert found["OldValue"] == ("Strict" if "removed from" in message else "")
    assert found["NewValue"] == ("Strict" if "added to" in message else "")


def test_record_without_a_sentence_has_an_operation() -> None:
    record = act(5, "Project created", "projects")
    del record["summary"]
    (found,) = workspace("classic", [record]).run(PLAIN)

    assert (found["Operation"], found["EventType"]) == ("projects", "Other")


@pytest.mark.parametrize("parser", [PLAIN, FILTERING])
def test_parser_that_is_disabled_returns_nothing(parser: str) -> None:
    filled = workspace("classic", sample_records())

    assert len(filled.run(parser)) == 5
    assert filled.run(call_parser(parser, disabled="true")) == []


def call_parser(parser: str, **given: str) -> str:
    """A call with these arguments; by position, as the engine knows no other way."""
    defaults = FUNCTIONS[parser].defaults.items()
    return f"{parser}({', '.join(given.get(name, default) for name, (_, default) in defaults)})"


@pytest.mark.parametrize(
    ("parameter", "value", "events"),
    [
        ("starttime", "datetime(2026-11-25T11:22:00Z)", ["Enable", "Delete", "Other"]),
        ("starttime", "datetime(2026-11-25T13:00:00Z)", []),
        ("endtime", "datetime(2026-11-25T11:22:00Z)", ["Set", "Set"]),
        ("endtime", "datetime(2026-11-25T10:00:00Z)", []),
        ("srcipaddr_has_any_prefix", "dynamic(['198.51.', '192.0.'])", ["Set"]),
        ("srcipaddr_has_any_prefix", "dynamic(['98.51.'])", []),
        ("eventtype_in", "dynamic(['Delete', 'Enable'])", ["Enable", "Delete"]),
        ("eventtype_in", "dynamic(['Execute'])", []),
        ("eventresult", "'Success'", ["Set", "Set", "Enable", "Delete", "Other"]),
        ("eventresult", "'Failure'", []),
        ("actorusername_has_any", f"dynamic(['{BEN}'])", ["Set"]),
        ("actorusername_has_any", "dynamic(['nobody'])", []),
        ("operation_has_any", "dynamic(['scheme', 'channel'])", ["Set", "Enable", "Delete"]),
        ("operation_has_any", "dynamic(['schem'])", []),
        ("object_has_any", "dynamic(['administrators', 'strict'])", ["Set", "Delete"]),
        ("object_has_any", "dynamic(['administrator'])", []),
        ("newvalue_has_any", "dynamic(['anyone', 'mailstore'])", ["Set", "Enable"]),
        ("newvalue_has_any", f"dynamic(['{key_of(BEN)}'])", ["Set"]),
        ("newvalue_has_any", "dynamic(['strict'])", []),
    ],
)
def test_filter_passes_what_it_says_and_nothing_else(
    parameter: str, value: str, events: list[str]
) -> None:
    query = f"{call_parser(FILTERING, **{parameter: value})} | order by EventStartTime asc"

    found: list[dict[str, Any]] = workspace("classic", sample_records()).run(query)

    assert [row["EventType"] for row in found] == events


def test_filters_are_all_tested() -> None:
    assert set(FUNCTIONS[FILTERING].defaults) == {
        *("starttime", "endtime", "srcipaddr_has_any_prefix", "eventtype_in", "eventresult"),
        *("actorusername_has_any", "operation_has_any", "object_has_any", "newvalue_has_any"),
        "disabled",
    }
