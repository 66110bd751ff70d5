"""The function that takes the canonical line apart, and the queries saved with it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from jira_audit.core.errors import SiteError
from jira_audit.core.outcome import Outcome, Tally
from tests.conftest import needed
from tests.deploy import arm, checks, kql
from tests.sentinel.engine import Workspace

# https://learn.microsoft.com/azure/azure-monitor/reference/tables/apptraces
APP_TRACES = {
    "AppTraces": {
        "TimeGenerated": "datetime",
        "Message": "string",
        "SeverityLevel": "int",
        "OperationId": "string",
        "AppRoleName": "string",
        "Properties": "dynamic",
    }
}
APP = "jira-audit-contoso"
OUTCOME = Outcome(
    site="contoso.atlassian.net",
    result="failed",
    tally=Tally(*range(1, 10)),
    through=1_700_000_000_123,
    now=1_700_000_090_123,
    duration_ms=250,
    error=SiteError("a sentence = with anything in it"),
)
"""One that says all that a line can say."""

KINDS = {"string": str, "long": int, "datetime": str}


@pytest.fixture(scope="module")
def saved_searches() -> dict[str, Any]:
    """What is saved in the workspace, by its name there."""
    resources = arm.deploy(checks.load(), checks.ANSWERS | {"functionAppName": APP})
    kind = "Microsoft.OperationalInsights/workspaces/savedSearches"
    return {
        each.name.rsplit("/", 1)[1]: each.body["properties"]
        for each in checks.of_type(resources, kind)
    }


@pytest.fixture(scope="module")
def function(saved_searches: dict[str, Any]) -> str:
    properties = saved_searches["jira-audit-runs"]
    assert properties["functionAlias"] == "JiraAuditRuns"
    return str(properties["query"])


def declared_keys(function: str) -> dict[str, str]:
    """The keys that the function takes out of a line, and their types."""
    [keys] = re.findall(r"parse-kv Line as \((.*?)\)", function)
    return dict(re.findall(r"(\w+): (\w+)", keys))


def test_function_takes_exactly_the_keys_of_the_line(function: str) -> None:
    line = OUTCOME.line()
    keys = [pair.partition("=")[0] for pair in line.split(" ")[1:]]

    assert list(declared_keys(function)) == keys


def test_function_types_each_key_as_its_value(function: str) -> None:
    pair, between = re.findall(r"pair_delimiter='(.)', kv_delimiter='(.)'", function)[0]
    start = len("jira_audit ")
    values = dict(each.split(between) for each in OUTCOME.line()[start:].split(pair))

    for key, kind in declared_keys(function).items():
        assert re.fullmatch(r"\d+", values[key]) if kind == "long" else values[key], key
    assert declared_keys(function)["through"] == "datetime"
    assert values["through"] == "2023-11-14T22:13:20.123Z"


def test_function_reads_canonical_lines_only(function: str) -> None:
    [start] = re.findall("Message startswith '([^']*)'", function)
    [cut] = re.findall(r"substring\(Message, strlen\('([^']*)'\)\)", function)

    assert OUTCOME.line().startswith(start)
    assert start.startswith(cut)
    assert OUTCOME.line()[len(cut) :].startswith("site=")


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({}, 1),
        ({"Properties": {"Category": "Function.collect_site.User"}}, 1),
        ({"AppRoleName": APP.upper()}, 1),
        ({"AppRoleName": "another-app"}, 0),
        ({"AppRoleName": None}, 0),
        ({"Properties": {"Category": "Function.other.User"}}, 0),
        ({"Properties": {"Category": "Host.General"}}, 0),
        ({"Properties": None}, 0),
        ({"SeverityLevel": 2}, 0),
    ],
)
def test_function_reads_lines_of_the_app_only(
    change: dict[str, Any], counts: int, function: str
) -> None:
    workspace = Workspace(APP_TRACES)
    line = {
        "TimeGenerated": "2026-11-25T11:00:00.000Z",
        "Message": OUTCOME.line(),
        "SeverityLevel": 1,
        "AppRoleName": APP,
        "Properties": {"Category": "Function.poll.User"},
    }
    workspace.load("AppTraces", [line | change])
    until_parsed = function.split("\n| parse-kv", maxsplit=1)[0]  # the engine has no parse-kv

    assert len(workspace.run(until_parsed)) == counts


def analyse_with_function(function: str, *queries: str) -> list[kql.Analysis]:
    """Each query, as it is read where the function is saved."""
    needed(kql.is_installed(), "Kusto's analyser is not installed: make setup")
    return kql.analyse(APP_TRACES, queries, {"JiraAuditRuns": ("()", function)})


def test_function_returns_the_lines_keys_and_their_source(function: str) -> None:
    [runs] = analyse_with_function(function, "JiraAuditRuns")

    assert runs.problems == []
    assert runs.columns == {
        "TimeGenerated": "datetime",
        "AppRoleName": "string",
        "OperationId": "string",
        **declared_keys(function),
    }


def test_saved_queries_are_valid_and_use_the_function(
    saved_searches: dict[str, Any], function: str
) -> None:
    queries = {
        name: each["query"] for name, each in saved_searches.items() if "functionAlias" not in each
    }

    assert {name.removeprefix("jira-audit-") for name in queries} == {
        *("now", "lag", "failures", "late", "throughput"),
    }
    for (name, query), analysis in zip(
        queries.items(), analyse_with_function(function, *queries.values()), strict=True
    ):
        assert analysis.problems == [], name
        assert query.startswith("JiraAuditRuns\n"), name
        assert "site" in analysis.columns, name


def test_saved_queries_have_unique_titles_and_places(saved_searches: dict[str, Any]) -> None:
    titles = {each["displayName"] for each in saved_searches.values()}

    assert len(titles) == len(saved_searches)
    assert all(title.startswith("Jira audit: ") for title in titles)
    assert {each["category"] for each in saved_searches.values()} == {"Jira audit connector"}


def metrics() -> list[tuple[str, str]]:
    """The metrics that the page for operators tells of, and the query of each."""
    page = (checks.ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    section = page.split("\n## Add your own alerts\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|[^|]*\| `([^`]*)` \|", section, re.MULTILINE)


def test_metrics_on_the_page_are_numbers_by_site(
    function: str,
) -> None:
    told = metrics()
    queries = [f"JiraAuditRuns | {query.replace(chr(92) + '|', '|')}" for _, query in told]

    assert {name for name, _ in told} == {
        *("lag_seconds", "failed", "late_found", "letters", "rows", "silent_seconds"),
    }
    for (name, _), analysis in zip(told, analyse_with_function(function, *queries), strict=True):
        assert analysis.problems == [], name
        assert analysis.columns["site"] == "string", name
        assert analysis.columns[name] in {"long", "real"}, name


def test_saved_queries_are_all_named_in_the_steps_to_remove(saved_searches: dict[str, Any]) -> None:
    page = (checks.ROOT / "docs" / "upgrade.md").read_text(encoding="utf-8")
    [names] = re.findall(r"for name in ([\w ]+); do", page)

    assert {f"jira-audit-{name}" for name in names.split()} == set(saved_searches)
