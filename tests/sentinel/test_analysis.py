"""Every query is sound, in every world, for Microsoft's own analyser, and gives what is named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

import pytest

from tests.conftest import needed
from tests.deploy import kql
from tests.sentinel.content import (
    FUNCTIONS,
    HUNTS,
    RULES,
    WORKBOOK_QUERIES,
    Source,
    saved_functions,
)
from tests.sentinel.test_parser import COLUMNS
from tests.sentinel.workspace_schemas import TELEMETRY, WORLDS

ALL = {
    **{rule.name: rule.query for rule in RULES},
    **{hunt.name: hunt.query for hunt in HUNTS},
    **{f"workbook: {name}": query for name, query in WORKBOOK_QUERIES.items()},
    **{name: f"{name}()" for name in FUNCTIONS},
}
EVERYWHERE = {
    **WORLDS,
    **{f"{name}, with telemetry": tables | TELEMETRY for name, tables in WORLDS.items()},
}
FUZZY = re.compile(r"Warning: The fuzzy name '(\w+)' does not refer to any known")


@pytest.fixture(autouse=True)
def analyser() -> None:
    needed(kql.is_installed(), "Kusto's analyser is not installed: make setup")


@cache
def analyse_queries(world: str) -> Mapping[str, kql.Analysis]:
    found = kql.analyse(EVERYWHERE[world], list(ALL.values()), saved_functions())
    return dict(zip(ALL, found, strict=True))


@pytest.mark.parametrize("world", EVERYWHERE)
def test_queries_are_valid_except_for_missing_tables(world: str) -> None:
    missing = {*WORLDS["both"], *TELEMETRY} - set(EVERYWHERE[world])
    for name, analysis in analyse_queries(world).items():
        for problem in analysis.problems:
            found = FUZZY.match(problem)
            assert found, f"{name}: {problem}"
            assert found[1] in missing, f"{name}: {problem}"


def used_columns(rule: Source) -> set[str]:
    """Every column that a rule's or hunt's other parts speak of."""
    body = rule.body
    columns = {m["columnName"] for e in body["entityMappings"] for m in e["fieldMappings"]}
    columns |= set(body.get("customDetails", {}).values())
    title = body.get("alertDetailsOverride", {}).get("alertDisplayNameFormat", "")
    return columns | set(re.findall(r"\{\{(\w+)\}\}", title))


@pytest.mark.parametrize("world", EVERYWHERE)
@pytest.mark.parametrize("source", [*RULES, *HUNTS], ids=lambda source: source.name)
def test_queries_return_every_column_that_is_named(source: Source, world: str) -> None:
    assert used_columns(source) <= set(analyse_queries(world)[source.name].columns)


@pytest.mark.parametrize("source", [*RULES, *HUNTS], ids=lambda source: source.name)
def test_columns_have_one_type_in_every_workspace(source: Source) -> None:
    kinds = [analyse_queries(world)[source.name].columns for world in EVERYWHERE]

    assert all(each == kinds[0] for each in kinds)
    assert "unknown" not in kinds[0].values()


@pytest.mark.parametrize("source", [*RULES, *HUNTS], ids=lambda source: source.name)
def test_queries_read_no_more_than_their_period(source: Source) -> None:
    period = re.search(r"let Period = (\w+);", source.query)

    assert period
    if "queryPeriod" in source.body:
        assert source.body["queryPeriod"] == period[1]
        frequency = re.search(r"let Frequency = (\w+);", source.query)
        assert frequency is None or frequency[1] == source.body["queryFrequency"]
    reads = re.findall(r"\b(JiraAudit\w*)(.*)|\b(App\w+)\n\s*\|([^\n]*)", source.query)
    assert reads
    for function, call, table, first in reads:
        if table:
            assert "TimeGenerated > ago(Period)" in first
        else:
            assert function == "JiraAuditRecords"
            assert call.startswith("(ago(Period))")


MICROSOFTS = list(COLUMNS)[:18]


@pytest.mark.parametrize("world", WORLDS)
def test_content_stands_with_microsofts_function_in_place(world: str) -> None:
    # Of two functions of one name neither can be called; theirs has no column Site.
    columns = ", ".join(MICROSOFTS)
    theirs = {"JiraAudit": ("()", f"JiraAuditRecords() | project {columns}")}
    tables = WORLDS[world] | TELEMETRY
    ours = {name: query for name, query in ALL.items() if name != "JiraAudit"}

    for name, found in zip(
        ours, kql.analyse(tables, list(ours.values()), saved_functions() | theirs), strict=True
    ):
        assert not [each for each in found.problems if each.startswith("Error")], name


def test_content_reads_no_function_that_microsoft_owns() -> None:
    for name, query in ALL.items():
        if name != "JiraAudit":
            assert not re.search(r"\bJiraAudit\b", query), name
    for name, function in FUNCTIONS.items():
        assert not re.search(r"\bJiraAudit\b", function.query), name
