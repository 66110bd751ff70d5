"""The YAML by Sentinel's rules, and that the checks find what is wrong.

https://learn.microsoft.com/azure/sentinel/sentinel-analytic-rules-creation
https://github.com/Azure/Azure-Sentinel/wiki/Query-Style-Guide

Most are Microsoft's own checks, rebuilt; the page of this content says which is whose.
"""

from __future__ import annotations

import copy
import re
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.sentinel.content import (
    FOLDER,
    FUNCTIONS,
    HUNTS,
    RULES,
    WORKBOOK_QUERIES,
    Source,
    sources,
    without_comments,
)

# The tactics of each technique that is used here, by Sentinel's names for them, as Microsoft's
# own table has them: T1098 stands under Persistence alone.
# https://github.com/Azure/Azure-Sentinel/blob/master/.script/tests/detectionTemplateSchemaValidation/Models/ModelValidationAttributes/KillChainTechniquesHelper.cs
TECHNIQUES: Mapping[str, set[str]] = {
    "T1070": {"DefenseEvasion"},
    "T1078": {"DefenseEvasion", "InitialAccess", "Persistence", "PrivilegeEscalation"},
    "T1098": {"Persistence"},
    "T1114": {"Collection"},
    "T1136": {"Persistence"},
    "T1213": {"Collection"},
    "T1484": {"DefenseEvasion", "PrivilegeEscalation"},
    "T1485": {"Impact"},
    "T1531": {"Impact"},
    "T1556": {"CredentialAccess", "DefenseEvasion", "Persistence"},
    "T1562": {"DefenseEvasion"},
    "T1567": {"Exfiltration"},
}
# https://learn.microsoft.com/azure/sentinel/entities-reference
IDENTIFIERS: Mapping[str, set[str]] = {
    "Account": {"Name", "FullName", "NTDomain", "DnsDomain", "UPNSuffix", "Sid", "AadUserId"}
    | {"AadTenantId", "PUID", "IsDomainJoined", "DisplayName", "ObjectGuid"},
    "IP": {"Address"},
    "URL": {"Url"},
    "CloudApplication": {"AppId", "Name", "InstanceName"},
}
# One of them must be there, or Sentinel makes no entity:
# https://github.com/Azure/Azure-Sentinel/blob/master/.script/tests/detectionTemplateSchemaValidation/Models/EntityMappingIdentifiers.cs
REQUIRED: Mapping[str, set[str]] = {
    "Account": {"FullName", "Sid", "Name", "AadUserId", "PUID", "ObjectGuid"},
    "IP": {"Address"},
    "URL": {"Url"},
    "CloudApplication": {"AppId", "Name"},
}
COLUMN = re.compile("[A-Za-z_][A-Za-z0-9_]*")
UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
LEAST, MOST = timedelta(minutes=5), timedelta(days=14)

Body = Mapping[str, Any]


def length(text: str) -> timedelta | None:
    found = re.fullmatch("([0-9]+)([mhd])", text)
    return int(found[1]) * UNITS[found[2]] if found else None


def is_guid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def tactics_of(body: Body) -> set[str]:
    return set().union(*(TECHNIQUES.get(each, set()) for each in techniques_of(body)))


def techniques_of(body: Body) -> list[str]:
    """Without what a sub-technique adds: T1098.003 is one of T1098."""
    return [each.partition(".")[0] for each in body["relevantTechniques"]]


def are_legal(entity: Body) -> bool:
    """One to three identifiers of the entity, none of them twice."""
    used = [mapping["identifier"] for mapping in entity["fieldMappings"]]
    known = IDENTIFIERS.get(entity["entityType"], set())
    return 0 < len(used) <= 3 and len(set(used)) == len(used) and set(used) <= known


def has_what_is_required(entity: Body) -> bool:
    used = {mapping["identifier"] for mapping in entity["fieldMappings"]}
    return bool(used & REQUIRED.get(entity["entityType"], set()))


def names_columns(entity: Body) -> bool:
    return all(is_column(mapping["columnName"]) for mapping in entity["fieldMappings"])


def is_column(name: str) -> bool:
    return bool(COLUMN.fullmatch(name)) and len(name) <= 500


def has_legal_period(body: Body) -> bool:
    frequency, period = length(body["queryFrequency"]), length(body["queryPeriod"])
    return period is not None and (frequency or MOST) <= period <= MOST


def is_too_often(body: Body) -> bool:
    frequency, period = length(body["queryFrequency"]), length(body["queryPeriod"])
    return (period or LEAST) >= timedelta(days=2) and (frequency or MOST) < timedelta(hours=1)


def groups_by_what_is_mapped(body: Body) -> bool:
    grouping = body["incidentConfiguration"]["groupingConfiguration"]
    mapped = {entity["entityType"] for entity in body["entityMappings"]}
    return grouping["matchingMethod"] == "Selected" and set(grouping["groupByEntities"]) <= mapped


def looks_back_as_far_as_it_may(body: Body) -> bool:
    """Five minutes to seven days, in ISO 8601."""
    lookback = body["incidentConfiguration"]["groupingConfiguration"]["lookbackDuration"]
    found = re.fullmatch("P(?:T([0-9]+[MH])|([0-9]+D))", lookback)
    given = length((found[1] or found[2]).lower()) if found else None
    return given is not None and LEAST <= given <= timedelta(days=7)


def title(body: Body) -> str:
    return str(body["alertDetailsOverride"]["alertDisplayNameFormat"])


FOR_ALL: Mapping[str, Callable[[Body], bool]] = {
    "id": lambda body: is_guid(body["id"]),
    "version": lambda body: (
        bool(re.fullmatch("[0-9]+[.][0-9]+[.][0-9]+", body["version"]))
        and len(body["version"]) <= 20
    ),
    "name": lambda body: body["name"].startswith("Jira - ") and len(body["name"]) <= 256,
    "description": lambda body: 100 < len(body["description"]) < 5_000,
    "requiredDataConnectors": lambda body: (
        body["requiredDataConnectors"]
        == [{"connectorId": "JiraAuditAPI", "dataTypes": ["JiraAudit"]}]
    ),
    "techniques": lambda body: set(techniques_of(body)) <= set(TECHNIQUES),
    "a technique without its tactic": lambda body: all(
        TECHNIQUES.get(each, set()) & set(body["tactics"]) for each in techniques_of(body)
    ),
    "a tactic without its technique": lambda body: set(body["tactics"]) <= tactics_of(body),
    "length of the query": lambda body: len(body["query"]) <= 10_000,
    "ASCII": lambda body: str(body).isascii(),
    "entityMappings": lambda body: 1 <= len(body["entityMappings"]) <= 10,
    "identifiers": lambda body: all(map(are_legal, body["entityMappings"])),
    "required identifiers": lambda body: all(map(has_what_is_required, body["entityMappings"])),
    "columns of entities": lambda body: all(map(names_columns, body["entityMappings"])),
}
# Microsoft's maintainers hold hunts to 255: https://github.com/Azure/Azure-Sentinel/issues/9385
FOR_HUNTS: Mapping[str, Callable[[Body], bool]] = {
    "length of the description": lambda body: len(body["description"].strip()) <= 255,
}
FOR_RULES: Mapping[str, Callable[[Body], bool]] = {
    "queryFrequency": lambda body: LEAST <= (length(body["queryFrequency"]) or MOST * 2) <= MOST,
    "queryPeriod": has_legal_period,
    "a long period, too often": lambda body: not is_too_often(body),
    "kind": lambda body: body["kind"] == "Scheduled",
    "severity": lambda body: body["severity"] in {"High", "Medium", "Low", "Informational"},
    "trigger": lambda body: (
        body["triggerOperator"] in {"gt", "lt", "eq", "ne"}
        and 0 <= body["triggerThreshold"] <= 10_000
    ),
    "eventGroupingSettings": lambda body: (
        body["eventGroupingSettings"]["aggregationKind"] in {"AlertPerResult", "SingleAlert"}
    ),
    "customDetails": lambda body: (
        len(body["customDetails"]) <= 20
        and all(name.isalnum() and len(name) <= 20 for name in body["customDetails"])
        and all(name[0].isalpha() for name in body["customDetails"])
        and all(map(is_column, body["customDetails"].values()))
    ),
    "alertDetailsOverride": lambda body: (
        len(title(body)) <= 256 and len(re.findall(r"\{\{\w+\}\}", title(body))) <= 3
    ),
    "groupingConfiguration": groups_by_what_is_mapped,
    "lookbackDuration": looks_back_as_far_as_it_may,
    "thresholds without a name": lambda body: bool(
        re.search(r"^\s*let \w+ = (dynamic|[0-9])", body["query"], re.MULTILINE)
    ),
}


def failed_checks(body: Body, checks: Mapping[str, Callable[[Body], bool]]) -> list[str]:
    """What is wrong with a rule or a hunt; a field that is missing is named itself."""
    found = []
    for name, holds in checks.items():
        try:
            if not holds(body):
                found.append(name)
        except KeyError as missing:
            found.append(str(missing.args[0]))
    return found


def duplicate_values(bodies: Sequence[Body], field: str) -> set[str]:
    """Values that two of them share, whatever their case."""
    seen = Counter(str(body[field]).casefold() for body in bodies)
    return {value for value, times in seen.items() if times > 1}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_is_valid_for_sentinel(rule: Source) -> None:
    assert failed_checks(rule.body, {**FOR_ALL, **FOR_RULES}) == []


@pytest.mark.parametrize("hunt", HUNTS, ids=lambda hunt: hunt.name)
def test_hunt_is_valid_for_sentinel(hunt: Source) -> None:
    assert failed_checks(hunt.body, {**FOR_ALL, **FOR_HUNTS}) == []


def test_ids_and_names_are_unique() -> None:
    named = [each.body for each in [*RULES, *HUNTS]]
    identified = [*named, *(each.body for each in sources("Parsers") if "id" in each.body)]

    assert duplicate_values(named, "name") == set()
    assert duplicate_values(identified, "id") == set()
    assert duplicate_values([*named, dict(named[0])], "name") == {named[0]["name"].casefold()}


# Of Microsoft's advice to who contributes queries, what costs or misleads at any size. Not held to
# are: `=~` and `in~`, as the case of Jira's words differs between its versions; hints for joins and
# summaries of many rows; and filters on columns of one's own making.
# https://github.com/Azure/Azure-Sentinel/blob/master/.script/tests/KqlvalidationsTests/KqlBestPracticesChecker.cs
ADVICE = {
    "a number as a time": r"\bunixtime_\w+_todatetime\(",
    "contains": r"\bcontains(_cs)?\b",
    "a search of all columns": r"\bsearch\b|\*\s*(has|contains|==|=~)",
    "a comparison in lower case": r"\bto(lower|upper)\(",
}
AGAINST_ADVICE = {
    ("JiraAdministratorGranted", "contains"): "a colon is no term that `has` could find",
    ("JiraGrantsByAccount", "contains"): "an entry of a list, with the commas around it",
}


def disregarded(query: str) -> set[str]:
    bare = without_comments(query)
    return {name for name, pattern in ADVICE.items() if re.search(pattern, bare)}


def test_queries_follow_microsofts_advice_but_for_what_is_listed() -> None:
    queries = {
        **{each.name: each.query for each in [*RULES, *HUNTS]},
        **{name: function.query for name, function in FUNCTIONS.items()},
        **WORKBOOK_QUERIES,
    }

    found = {(name, advice) for name, query in queries.items() for advice in disregarded(query)}
    assert found == set(AGAINST_ADVICE)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("T | where a contains 'b'", {"contains"}),
        ("T | where a contains_cs 'b'", {"contains"}),
        ("T | where a == unixtime_seconds_todatetime(5)", {"a number as a time"}),
        ("search 'b'", {"a search of all columns"}),
        ("T | where * has 'b'", {"a search of all columns"}),
        ("T | where tolower(a) == 'b'", {"a comparison in lower case"}),
        ("T | summarize arg_max(TimeGenerated, *) by a\n// contains nothing", set()),
    ],
)
def test_fault_against_advice_is_found(query: str, found: set[str]) -> None:
    assert disregarded(query) == found


# https://github.com/Azure/Azure-Sentinel/blob/master/.script/tests/NonAsciiValidationsTests/NonAsciiValidationsTests.cs
@pytest.mark.parametrize("folder", ["Analytic Rules", "Hunting Queries", "Parsers"])
def test_sources_are_ascii_to_the_last_comment(folder: str) -> None:
    files = sorted((FOLDER / folder).iterdir())

    assert files
    assert [file.name for file in files if not file.read_bytes().isascii()] == []
    assert {file.suffix for file in files} == {".yaml"}


def set_to(body: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    place: Any = body
    for parent in parents:
        place = place[int(parent) if parent.isdigit() else parent]
    place[last] = value


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("id", "not-a-guid", "id"),
        ("version", "1", "version"),
        ("version", f"1.0.{'0' * 17}", "version"),
        ("name", "Something", "name"),
        ("description", "Bad.", "description"),
        ("requiredDataConnectors", [], "requiredDataConnectors"),
        ("relevantTechniques", ["T9999"], "techniques"),
        ("tactics", ["Impact"], "a technique without its tactic"),
        ("tactics", ["Persistence", "Impact"], "a tactic without its technique"),
        ("entityMappings.0.entityType", "Person", "identifiers"),
        ("entityMappings.0.fieldMappings", [], "identifiers"),
        ("entityMappings.0.fieldMappings.0.identifier", "Nickname", "identifiers"),
        (
            "entityMappings.0.fieldMappings",
            [{"identifier": "Name", "columnName": name} for name in ("Actor", "Target")],
            "identifiers",
        ),
        ("entityMappings.0.fieldMappings.0.identifier", "NTDomain", "required identifiers"),
        ("entityMappings.0.fieldMappings.0.columnName", "the actor", "columns of entities"),
        ("entityMappings.0.fieldMappings.0.columnName", "x" * 501, "columns of entities"),
        ("queryFrequency", "1m", "queryFrequency"),
        ("queryFrequency", "PT1H", "queryFrequency"),
        ("queryPeriod", "15d", "queryPeriod"),
        ("queryPeriod", "10m", "queryPeriod"),
        ("kind", "NRT", "kind"),
        ("severity", "Critical", "severity"),
        ("triggerOperator", ">", "trigger"),
        ("eventGroupingSettings", {"aggregationKind": "Each"}, "eventGroupingSettings"),
        (
            "alertDetailsOverride.alertDisplayNameFormat",
            "{{a}}{{b}}{{c}}{{d}}",
            "alertDetailsOverride",
        ),
        (
            "incidentConfiguration.groupingConfiguration.groupByEntities",
            ["Host"],
            "groupingConfiguration",
        ),
        (
            "incidentConfiguration.groupingConfiguration.lookbackDuration",
            "8d",
            "lookbackDuration",
        ),
        (
            "incidentConfiguration.groupingConfiguration.lookbackDuration",
            "P8D",
            "lookbackDuration",
        ),
        ("customDetails", {"What was done": "EventMessage"}, "customDetails"),
        ("customDetails", {"A" * 21: "EventMessage"}, "customDetails"),
        ("customDetails", {"2nd": "EventMessage"}, "customDetails"),
        ("customDetails", {"What": "Event.Message"}, "customDetails"),
        ("customDetails", {f"A{n}": "EventMessage" for n in range(21)}, "customDetails"),
        ("triggerThreshold", 10_001, "trigger"),
        ("entityMappings", [{"entityType": "IP", "fieldMappings": []}] * 11, "entityMappings"),
        (
            "requiredDataConnectors",
            [{"connectorId": "JiraAudit", "dataTypes": ["JiraAudit"]}],
            "requiredDataConnectors",
        ),
        ("name", "Jira - " + "x" * 250, "name"),
        ("description", "x" * 5_000, "description"),
        ("query", "JiraAuditRecords() | where Actor == '\u2192'", "ASCII"),
        ("query", "//" + "x" * 10_000, "length of the query"),
        ("description", "x" * 256, "length of the description"),
        ("relevantTechniques", ["T9999.001"], "techniques"),
        ("entityMappings", [], "entityMappings"),
        ("triggerThreshold", -1, "trigger"),
        ("query", "JiraAudit | where 1 == 1", "thresholds without a name"),
    ],
)
def test_fault_is_found(path: str, value: Any, found: str) -> None:
    (rule,) = (each for each in RULES if each.name == "JiraAdministratorGranted")
    body = copy.deepcopy(dict(rule.body))
    set_to(body, path, value)

    assert found in failed_checks(body, {**FOR_ALL, **FOR_RULES, **FOR_HUNTS})


@pytest.mark.parametrize(
    "field",
    [
        *("id", "name", "version", "kind", "description", "severity", "requiredDataConnectors"),
        *("queryFrequency", "queryPeriod", "triggerOperator", "triggerThreshold", "tactics"),
        *("relevantTechniques", "query", "entityMappings", "customDetails"),
        *("alertDetailsOverride", "eventGroupingSettings", "incidentConfiguration"),
    ],
)
def test_fault_of_a_missing_field_is_named(field: str) -> None:
    body = dict(RULES[0].body)
    del body[field]

    assert field in failed_checks(body, {**FOR_ALL, **FOR_RULES})


def test_fault_of_a_long_period_too_often_is_found() -> None:
    (rule,) = (each for each in RULES if each.name == "JiraOddHours")
    body = dict(rule.body) | {"queryFrequency": "30m"}

    assert failed_checks(body, FOR_RULES) == ["a long period, too often"]


def test_page_lists_exactly_the_detections_and_hunts() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (Jira - [^|]+) \| (\w+) \|", page, re.MULTILINE)
    hunts = re.findall(r"^\* \*\*(Jira - [^*]+)\*\*", page, re.MULTILINE)

    assert sorted(told) == sorted((rule.body["name"], rule.body["severity"]) for rule in RULES)
    assert sorted(hunts) == sorted(hunt.body["name"] for hunt in HUNTS)


def test_checks_of_microsoft_on_the_page_are_tests_that_exist() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+[.]py)::(test_\w+)`", page)

    assert len(named) > 10
    for file, name in named:
        text = (Path(__file__).parent / file).read_text(encoding="utf-8")
        assert f"def {name}(" in text, f"{file}::{name}"
