"""The template's queries, read by Kusto's own analyser: transformations, alerts, the card's."""

from __future__ import annotations

import re
from typing import Any

import pytest

from jira_audit.core import timestamps
from jira_audit.core.audit import Proof
from jira_audit.core.outcome import Outcome, Result, Tally
from jira_audit.core.records import COLUMNS
from tests.conftest import needed
from tests.deploy import arm, checks, kql
from tests.deploy.data_flows import V2_COLUMNS, flows, in_kusto
from tests.sentinel.engine import NOW, Workspace

# https://learn.microsoft.com/azure/azure-monitor/data-collection/data-collection-transformations-kql
ALLOWED_IN_TRANSFORMATIONS = {
    *("source", "where", "extend", "project", "project-away", "project-rename", "parse"),
    *("pack", "parse_json", "iif", "case", "isempty", "isnotempty", "strcat", "tobool"),
    *("todatetime", "toint", "tolong", "toreal", "tostring"),
}

# https://learn.microsoft.com/azure/azure-monitor/app/data-model-complete
INSIGHTS = {
    "requests": {
        "timestamp": "datetime",
        "name": "string",
        "success": "string",
        "resultCode": "string",
        "duration": "real",
        "cloud_RoleName": "string",
    },
    "traces": {
        "timestamp": "datetime",
        "message": "string",
        "severityLevel": "int",
        "operation_Name": "string",
        "cloud_RoleName": "string",
        "customDimensions": "dynamic",
    },
}


@pytest.fixture(autouse=True)
def analyser() -> None:
    needed(kql.is_installed(), "Kusto's analyser is not installed: make setup")


@pytest.fixture(scope="module")
def template() -> checks.Template:
    return checks.load()


def deploy(template: checks.Template, **given: Any) -> list[arm.Resource]:
    return arm.deploy(template, checks.ANSWERS | given)


def only_properties(resources: list[arm.Resource], kind: str) -> Any:
    """The properties of the only one of a type."""
    (found,) = checks.of_type(resources, kind)
    return found.body["properties"]


def test_transformations_make_exactly_their_tables_columns(
    template: checks.Template,
) -> None:
    found = flows(template)
    assert len(found) == 2

    for flow, stream, table in found:
        (analysis,) = kql.analyse({"source": in_kusto(stream)}, [flow["transformKql"]])

        assert analysis.problems == []
        assert analysis.columns == in_kusto(table)


def test_transformations_use_only_what_is_allowed(template: checks.Template) -> None:
    for flow, _, _ in flows(template):
        query = flow["transformKql"]
        called = set(re.findall(r"(\w+)\(", query)) | set(re.findall(r"\|\s*([\w-]+)", query))

        assert called <= ALLOWED_IN_TRANSFORMATIONS


def test_transformations_fill_the_v2_table_of_microsofts_connector(
    template: checks.Template,
) -> None:
    tables = {flow["outputStream"]: table for flow, _, table in flows(template)}

    assert tables["Custom-Jira_Audit_v2_CL"] == V2_COLUMNS
    assert tables["Custom-Jira_Audit_CL"] == dict(COLUMNS)


def alerts(template: checks.Template, **given: Any) -> dict[str, dict[str, Any]]:
    """The criterion of every alert, by the alert's short name."""
    found = checks.of_type(deploy(template, **given), "Microsoft.Insights/scheduledQueryRules")
    return {
        each.name.rsplit("-", 1)[1]: each.body["properties"]["criteria"]["allOf"][0]
        for each in found
    }


def test_alert_queries_are_valid_and_have_their_dimensions(template: checks.Template) -> None:
    criteria = alerts(template, auditWorkspace=True)
    analyses = kql.analyse(INSIGHTS, [each["query"] for each in criteria.values()])

    assert len(criteria) == 5
    for (name, criterion), analysis in zip(criteria.items(), analyses, strict=True):
        assert analysis.problems == [], name
        for dimension in criterion["dimensions"]:
            assert analysis.columns[dimension["name"]] == "string", name


def test_alert_on_failures_watches_the_functions(template: checks.Template) -> None:
    query = alerts(template)["failing"]["query"]

    assert set(re.findall("'([a-z_]+)'", query)) == checks.functions() - {"report_given_up"}
    assert "<app>" not in query


def request(minutes_ago: int, success: str, app: str = "JiraAudit-Contoso") -> dict[str, Any]:
    """An invocation of the app's timer."""
    at = timestamps.text(NOW - minutes_ago * timestamps.MINUTE)
    return {"timestamp": at, "name": "poll", "success": success, "cloud_RoleName": app}


@pytest.mark.parametrize(
    ("requests", "count"),
    [
        ([], 0),
        ([request(ago, "False") for ago in range(0, 44, 5)], 0),  # roles come into force
        ([request(ago, "False") for ago in range(0, 60, 5)], 2),
        ([request(2_000, "True"), request(20, "False")], 1),
        ([request(2_000, "True"), request(20, "True")], 0),
        ([request(2_000, "True"), request(31, "False")], 0),  # told by an earlier evaluation
        ([request(2_000, "True", "another-app"), request(20, "False")], 0),
    ],
)
def test_alert_on_failures_leaves_a_new_app_time(
    requests: list[dict[str, Any]], count: int, template: checks.Template
) -> None:
    workspace = Workspace({"requests": INSIGHTS["requests"]})
    workspace.load("requests", requests)
    query = alerts(template, functionAppName="jiraaudit-contoso")["failing"]["query"]

    assert len(workspace.run(query)) == count


LINE = Outcome(
    site="contoso.atlassian.net",
    result="partial",
    tally=Tally(letters=7, records=9),
    through=1_700_000_000_000,
    now=1_700_000_090_000,
    duration_ms=5,
    error=None,
).line()


@pytest.mark.parametrize(
    ("alert", "read"),
    [
        ("silent", ["partial", "contoso.atlassian.net"]),
        ("lagging", ["contoso.atlassian.net", "90"]),
        ("letters", ["contoso.atlassian.net", "7"]),
    ],
)
def test_alert_queries_read_the_canonical_line(
    alert: str, read: list[str], template: checks.Template
) -> None:
    query = alerts(template)[alert]["query"]
    starts = set(re.findall("message startswith '([^']*)'", query))
    patterns = re.findall(r"extract\('([^']*)', 1, message", query)

    assert starts - {"jira_audit_expects sites="} == {"jira_audit site="}
    assert LINE.startswith("jira_audit site=")
    assert [found[1] for found in (re.search(each, LINE) for each in patterns) if found] == read


# Silence


def heard(minutes_ago: int, message: str) -> dict[str, Any]:
    """A log line of the app."""
    return {
        "timestamp": timestamps.text(NOW - minutes_ago * timestamps.MINUTE),
        "message": message,
        "severityLevel": 1,
        "cloud_RoleName": "JiraAudit-Contoso",
        "customDimensions": {"Category": "Function.poll.User"},
    }


def expects(minutes_ago: int, *sites: str) -> dict[str, Any]:
    return heard(minutes_ago, f"jira_audit_expects sites={','.join(sites)}")


def ran(minutes_ago: int, site: str, result: Result = "ok") -> dict[str, Any]:
    outcome = Outcome(site, result, Tally(), None, NOW, 5, None)
    return heard(minutes_ago, outcome.line())


TICKS = [expects(ago, "a", "b") for ago in range(4, 24 * 60, 5)]
GOOD_A = [ran(ago, "a") for ago in range(3, 24 * 60, 5)]


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ([*TICKS, *GOOD_A, ran(50, "b")], []),
        ([*TICKS, *GOOD_A, ran(50, "b", "partial")], []),
        ([*TICKS, *GOOD_A, ran(61, "b")], ["b"]),
        ([*TICKS, *GOOD_A], ["b"]),
        ([*TICKS, *GOOD_A, ran(5, "b", "failed"), ran(4, "b", "skipped")], ["b"]),
        (TICKS, ["a", "b"]),
        ([expects(ago, "a", "b") for ago in range(120, 300, 5)], ["a", "b"]),  # stopped
        ([], []),  # deployed a moment ago
        ([expects(5, "a", "b")], []),  # the first tick
        ([*(expects(ago, "a") for ago in range(9, 300, 5)), *GOOD_A, expects(4, "a", "b")], []),
        ([*TICKS[1:], *GOOD_A, expects(4, "a")], []),  # b was taken off JIRA_SITES
        ([*TICKS, expects(4, "c"), *GOOD_A, ran(50, "b")], []),  # a second line of one tick
    ],
)
def test_alert_on_silence_names_each_site(
    lines: list[dict[str, Any]], named: list[str], template: checks.Template
) -> None:
    workspace = Workspace({"traces": INSIGHTS["traces"]})
    workspace.load("traces", lines)
    query = alerts(template, functionAppName="jiraaudit-contoso")["silent"]["query"]

    assert sorted(row["site"] for row in workspace.run(query)) == named


@pytest.mark.parametrize("roles_after", [0, 20, 30])
def test_no_alert_is_raised_by_a_first_deployment(
    roles_after: int, template: checks.Template
) -> None:
    """Each evaluation of the first two hours, whose runs fail until the roles are in force."""
    found = alerts(template, functionAppName="jiraaudit-contoso")
    workspace = Workspace(INSIGHTS)
    for age in range(15, 120, 15):
        ticks = [(age - at, at < roles_after) for at in range(0, age, 5)]  # minutes ago, refused
        workspace.empty()
        lines = [expects(ago, "a") for ago, _ in ticks]
        lines += [ran(ago, "a", "failed" if refused else "ok") for ago, refused in ticks]
        workspace.load("traces", lines)
        workspace.load("requests", [request(ago, str(not refused)) for ago, refused in ticks])
        for name in ("failing", "silent", "letters"):
            assert workspace.run(found[name]["query"]) == [], (age, name)


FORGERIES: list[dict[str, Any]] = [
    {"cloud_RoleName": "another-app"},
    {"cloud_RoleName": None},
    {"customDimensions": {"Category": "Function.other.User"}},
    {"customDimensions": {"Category": "Host.General"}},
    {"customDimensions": None},
    {"severityLevel": 2},
]
"""What sets a line of somebody else's apart from the app's, if its text is the same."""


def forged(*found: dict[str, Any]) -> list[dict[str, Any]]:
    """Each line as every one of the forgeries."""
    return [each | change for each in found for change in FORGERIES]


def alert_rows(
    template: checks.Template, alert: str, lines: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """What an alert's query gives about these lines, or has read where the engine ends."""
    workspace = Workspace({"traces": INSIGHTS["traces"]})
    workspace.load("traces", lines)
    query = alerts(template, functionAppName="jiraaudit-contoso")[alert]["query"]
    return workspace.run(query.split("\n| summarize lag_then = maxif(")[0])


@pytest.mark.parametrize(
    ("genuine", "others", "named"),
    [
        ([*TICKS, *GOOD_A], [ran(12, "b")], ["b"]),
        ([*TICKS, *GOOD_A, ran(5, "b")], [expects(ago, "c") for ago in (200, 100, 4)], []),
    ],
)
def test_alert_on_silence_counts_lines_of_the_app_only(
    genuine: list[dict[str, Any]],
    others: list[dict[str, Any]],
    named: list[str],
    template: checks.Template,
) -> None:
    found = alert_rows(template, "silent", [*genuine, *forged(*others)])

    assert sorted(row["site"] for row in found) == named


def delivered(minutes_ago: int, lag: int, letters: int = 0) -> dict[str, Any]:
    at = NOW - minutes_ago * timestamps.MINUTE
    return heard(
        minutes_ago, Outcome("a", "ok", Tally(letters=letters), at - lag * 1000, at, 5).line()
    )


def test_alert_on_lag_counts_lines_of_the_app_only(template: checks.Template) -> None:
    behind = [delivered(50, 90_000), delivered(5, 90_000)]

    found = alert_rows(template, "lagging", [*behind, *forged(delivered(3, 5))])

    assert [row["lag"] for row in found] == [90_000, 90_000]


def test_alert_on_letters_counts_lines_of_the_app_only(template: checks.Template) -> None:
    assert len(alert_rows(template, "letters", [delivered(5, 5, letters=1)])) == 1
    assert alert_rows(template, "letters", forged(delivered(5, 5, letters=1))) == []


def proof(missing: int, duplicated: int) -> str:
    found = Proof(0, timestamps.DAY, NOW, 9, 9, 0, 9 - missing, 0, missing, duplicated)
    return found.line("a")


def unproven(minutes_ago: int) -> dict[str, Any]:
    since = "2026-11-20T00:00:00.000Z"
    message = f"b: the table has not been compared with the ledger since {since}, so a loss"
    return heard(minutes_ago, message) | {"severityLevel": 3}


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ([heard(9, proof(0, 0))], []),
        ([heard(9, proof(2, 0))], ["a"]),
        ([heard(9, proof(0, 1))], ["a"]),
        ([unproven(9)], ["b"]),
        ([heard(9, f"a: says {proof(2, 0)}")], []),
        (forged(heard(9, proof(2, 0))), []),
    ],
)
def test_alert_on_the_proof_names_each_site(
    lines: list[dict[str, Any]], named: list[str], template: checks.Template
) -> None:
    workspace = Workspace({"traces": INSIGHTS["traces"]})
    workspace.load("traces", lines)
    given = {"functionAppName": "jiraaudit-contoso", "auditWorkspace": True}
    query = alerts(template, **given)["proof"]["query"]

    assert sorted(row["site"] for row in workspace.run(query)) == named


def test_alert_on_the_proof_reads_the_error_that_is_logged(template: checks.Template) -> None:
    query = alerts(template, auditWorkspace=True)["proof"]["query"]
    [said] = re.findall("message contains '([^']*)'", query)

    source = (checks.ROOT / "jira_audit" / "flow" / "audit.py").read_text(encoding="utf-8")
    assert f'"%s{said}%s' in source


def test_alert_on_silence_waits_as_long_as_asked(template: checks.Template) -> None:
    query = alerts(template, silenceAlertAfter="P1D")["silent"]["query"]

    assert query.startswith("let since = ago(1d);")


def test_alerts_look_back_further_than_their_last_evaluation(template: checks.Template) -> None:
    """A line that becomes searchable minutes late is else seen by no evaluation."""
    found = checks.of_type(
        deploy(template, auditWorkspace=True), "Microsoft.Insights/scheduledQueryRules"
    )

    assert {each.body["properties"]["evaluationFrequency"] for each in found} == {"PT15M"}
    assert {each.body["properties"]["windowSize"] for each in found} == {
        *("PT30M", "PT1H", "PT3H", "P2D"),
    }


def test_alert_on_lag_converts_minutes_to_seconds(template: checks.Template) -> None:
    assert "lag_now > 5400 " in alerts(template, lagAlertMinutes=90)["lagging"]["query"]


def test_canonical_line_reaches_application_insights() -> None:
    host = (checks.ROOT / "host.json").read_text(encoding="utf-8")

    assert '"default": "Information"' in host
    assert "Trace" in host.split('"excludedTypes"')[1].split("\n")[0]


@pytest.mark.parametrize("tables", ["classic", "v2", "both"])
def test_card_queries_are_valid_and_read_a_filled_table(
    tables: str, template: checks.Template
) -> None:
    resources = deploy(template, tables=tables)
    card = only_properties(resources, "Microsoft.SecurityInsights/dataConnectorDefinitions")
    ui = card["connectorUiConfig"]
    filled = {
        "classic": {"Jira_Audit_CL": in_kusto(dict(COLUMNS))},
        "v2": {"Jira_Audit_v2_CL": V2_COLUMNS},
        "both": {"Jira_Audit_CL": in_kusto(dict(COLUMNS)), "Jira_Audit_v2_CL": V2_COLUMNS},
    }[tables]
    (connected,) = ui["connectivityCriteria"]
    queries = [
        *connected["value"],
        *(each["baseQuery"] for each in ui["graphQueries"]),
        *(each["query"] for each in ui["sampleQueries"]),
        *(each["lastDataReceivedQuery"] for each in ui["dataTypes"]),
    ]

    analyses = kql.analyse(filled, queries)

    assert [each.problems for each in analyses] == [[]] * 4
    assert analyses[0].columns == {"IsConnected": "bool"}
    assert connected["type"] == "IsConnectedQuery"


def test_analyser_finds_what_is_wrong() -> None:
    wrong = [
        "source | project id_d, nothing_s",
        "source | summarise count()",
        "source | extend a = toint(id_d",
        "sauce",
        "source | where summary_s > 3",
    ]

    analyses = kql.analyse({"source": in_kusto(dict(COLUMNS))}, wrong)

    for query, analysis in zip(wrong, analyses, strict=True):
        assert [each for each in analysis.problems if each.startswith("Error: ")], query
