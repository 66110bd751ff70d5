"""The workbook: every query runs, and gives the columns that its visual shows; its verdicts are
those of `status`; and drawn from its own results in a real browser, each tab can be read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jira_audit.core.audit import Proof
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.timestamps import DAY, MINUTE
from jira_audit.operations.judgement import VERDICTS, judge
from jira_audit.operations.status import Status
from tests.deploy.kql import analyse
from tests.sentinel import workbook_page
from tests.sentinel.content import WORKBOOK, WORKBOOK_QUERIES, fill_parameters, saved_functions
from tests.sentinel.engine import NOW, Workspace
from tests.sentinel.stories import ANNA, BEN, SITE, act, forged, joins, key_of, line, lines
from tests.sentinel.stories.habits import days_of_work, deleted
from tests.sentinel.stories.rights import made_administrator, scheme
from tests.sentinel.workspace_fixtures import workspace
from tests.sentinel.workspace_schemas import ALL_WORLDS, TELEMETRY, WORLDS
from tests.servers.browser import Browser, View
from tests.servers.legibility import faults

BEYOND_THE_ENGINE = {"countries": "geo_info_from_ip_address asks a database of the service"}
QUERIES = {name: query for name, query in WORKBOOK_QUERIES.items() if name not in BEYOND_THE_ENGINE}
VISUALS: dict[str, Any] = {
    item["name"]: item["content"] for item in WORKBOOK["items"] if "query" in item["content"]
}
HEALTH = [name for name, query in QUERIES.items() if "AppTraces" in query]
"""Those that read the connector's lines, and no table of records."""

EXPORTS = {
    visual["exportParameterName"]: name
    for name, visual in VISUALS.items()
    if "exportParameterName" in visual
}
"""The visual whose chosen row sets a parameter, by the parameter's name."""

OF_NOW = {"tiles", "verdicts"}
"""Visuals that do not go by the time chosen: a verdict is of now."""

TABS = {each["subTarget"]: each["linkLabel"] for each in workbook_page.tabs(WORKBOOK)}


def proof(
    minutes_ago: float, *, site: str = SITE, missing: int = 0, duplicated: int = 0
) -> dict[str, Any]:
    """The line of a daily proof, as Application Insights has it."""
    at = NOW - round(minutes_ago * MINUTE)
    found = Proof(
        at - 3 * DAY,
        at - 2 * DAY,
        at,
        jira=100,
        ledger=100,
        letters=0,
        table=100 - missing,
        absent=0,
        missing=missing,
        duplicated=duplicated,
    )
    return {**line(minutes_ago), "Message": found.line(site)}


def sample_activity() -> dict[str, Any]:
    records = [
        *days_of_work(2, 2),
        *made_administrator(created=300, granted=200, removed=100),
        scheme(50, ("", "Anyone"), ("", "Browse Projects")),
        deleted(3),
    ]
    told = lines(line(5, records=9, rows=9), line(9, "failed"), proof(60))
    return {"records": records, "telemetry": told}


def filled(name: str, found: Workspace, sites: str = "'*'") -> str:
    """The query of a visual or parameter. If it waits for a row to be chosen, that is the first."""
    if name not in VISUALS:
        return WORKBOOK_QUERIES[name]
    query = VISUALS[name]["query"]
    chosen = {}
    for parameter, source in EXPORTS.items():
        if f"{{{parameter}}}" in query:
            (first, *_) = found.run(fill_parameters(VISUALS[source]["query"]))
            chosen[parameter] = first[VISUALS[source]["exportFieldName"]]
    return fill_parameters(query, sites, chosen)


@pytest.mark.parametrize("name", QUERIES)
def test_queries_return_rows_after_activity(name: str) -> None:
    found = workspace("classic", **sample_activity())

    assert found.run(filled(name, found))


@pytest.mark.parametrize("world", ALL_WORLDS)
@pytest.mark.parametrize("name", [name for name in QUERIES if name not in HEALTH])
def test_queries_run_without_activity(name: str, world: str) -> None:
    assert workspace(world).run(QUERIES[name]) == []


@pytest.mark.parametrize("name", HEALTH)
def test_queries_of_health_run_without_telemetry(name: str) -> None:
    assert workspace("classic").run(QUERIES[name]) == []


@pytest.mark.parametrize("name", [name for name in VISUALS if name in QUERIES])
def test_site_filter_hides_the_other_sites(name: str) -> None:
    found = workspace("classic", **sample_activity())

    assert found.run(filled(name, found, f"'{SITE}'"))
    assert found.run(filled(name, found, "'other.atlassian.net'")) == []


@pytest.fixture(scope="module")
def columns() -> dict[str, set[str]]:
    """The columns of each visual's query."""
    queries = [WORKBOOK_QUERIES[name] for name in VISUALS]
    found = analyse({**WORLDS["both"], **TELEMETRY}, queries, saved_functions())
    return {name: set(each.columns) for name, each in zip(VISUALS, found, strict=True)}


@pytest.mark.parametrize("name", VISUALS)
def test_visual_shows_columns_of_its_query(name: str, columns: dict[str, set[str]]) -> None:
    visual = VISUALS[name]
    chart, tiles = visual.get("chartSettings", {}), visual.get("tileSettings", {})
    shown = {chart.get("xAxis"), chart.get("group"), *chart.get("yAxis", [])}
    shown |= {each["columnMatch"] for each in visual.get("gridSettings", {}).get("formatters", [])}
    shown |= {each["columnMatch"] for each in tiles.values() if isinstance(each, dict)}
    shown = (shown | {visual.get("exportFieldName")}) - {None}

    assert shown <= columns[name]
    assert shown or visual["visualization"] == "table"
    if name in OF_NOW:
        assert visual["timeContext"] == {"durationMs": 30 * DAY}
    else:
        assert visual["timeContextFromParameter"] == "TimeRange"


# The parts


def test_workbook_has_a_tab_for_each_question() -> None:
    assert list(TABS.values()) == ["Overview", "Activity", "Administrators", "Connector"]
    assert {each["cellValue"] for each in workbook_page.tabs(WORKBOOK)} == {"Tab"}
    for value in TABS:
        shown = {
            item["name"]
            for item in WORKBOOK["items"]
            if workbook_page.is_visible(item, {"Tab": value}) and "query" in item["content"]
        }
        assert len(shown) >= 3, value


def test_visuals_are_each_in_one_tab() -> None:
    assert len({item["name"] for item in WORKBOOK["items"]}) == len(WORKBOOK["items"])
    everything_chosen = dict.fromkeys(EXPORTS, "x")
    for item in WORKBOOK["items"]:
        places = [
            value
            for value in TABS
            if workbook_page.is_visible(item, {**everything_chosen, "Tab": value})
        ]
        assert len(places) == (1 if item["type"] in {1, 3} and item["name"] != "title" else 4)
    assert set(BEYOND_THE_ENGINE) <= set(VISUALS)
    assert len(BEYOND_THE_ENGINE) <= 3


@pytest.mark.parametrize("parameter", EXPORTS)
def test_chosen_row_leads_to_its_records_in_the_same_tab(parameter: str) -> None:
    items = {item["name"]: item for item in WORKBOOK["items"]}
    (target,) = (name for name, each in VISUALS.items() if f"{{{parameter}}}" in each["query"])
    tab = next(
        value
        for value in TABS
        if workbook_page.is_visible(items[EXPORTS[parameter]], {"Tab": value})
    )

    assert not workbook_page.is_visible(items[target], {"Tab": tab})
    assert workbook_page.is_visible(items[target], {"Tab": tab, parameter: "x"})


def test_chosen_text_cannot_change_the_query() -> None:
    hostile = "x' or 1 == 1 //\" | take 1"
    records = [act(5, "Project created", "projects", by=hostile, key=hostile), deleted(9)]
    found = workspace("classic", records)

    (row,) = (each for each in found.run(QUERIES["accounts"]) if each["Actor"] == hostile)
    query = fill_parameters(
        VISUALS["records of an account"]["query"], chosen={"Account": row["Key"]}
    )

    assert [each["EventMessage"] for each in found.run(query)] == ["Project created"]
    assert hostile not in query


# Administrators


def test_administrators_are_those_the_log_itself_shows() -> None:
    granted = {"Permission": ("", "Administer Jira"), "Group": ("", "helpdesk-t3")}
    records = [
        act(
            90,
            "Global permission added",
            "permissions",
            by=None,
            on=("PERMISSIONS", "Global Permissions"),
            changed=granted,
        ),
        joins(60, BEN, "helpdesk-t3", by=None),
        joins(50, ANNA, "trusted-users-6c4aa501-ace5-401f-aa34-81147b376ed0", by=None),
        joins(40, ANNA, "jira-software-users", by=None),
    ]

    found = workspace("classic", records).run(QUERIES["administrators"])

    assert [(row["What"], row["Group"].split("-")[0], row["Account"]) for row in found] == [
        ("member", "trusted", key_of(ANNA)),
        ("member", "helpdesk", key_of(BEN)),
        ("Administer Jira", "helpdesk", ""),
    ]


# The connector


def tiles(*told: dict[str, Any]) -> dict[str, str]:
    found = workspace("classic", telemetry=lines(*told)).run(QUERIES["tiles"])
    return {row["Title"]: row["Value"] for row in found}


def verdicts(*told: dict[str, Any]) -> dict[str, str]:
    found = workspace("classic", telemetry=lines(*told)).run(QUERIES["verdicts"])
    return {row["Site"]: row["Verdict"] for row in found}


def test_tiles_are_of_the_site_that_is_furthest_behind() -> None:
    told = [line(5, letters=2), line(6, lag=7200, site="b.example", letters=1), proof(60)]

    assert tiles(*told) == {
        "Complete up to": "2026-11-25 09:54",
        "Lag": "126 min",
        "Dead letters": "3",
        "Proof": "1 of 2 sites",
    }


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([], "none yet"),
        ([proof(60)], "complete"),
        ([proof(60, missing=2, duplicated=1)], "2 missing, 1 duplicated"),
        ([proof(60), proof(1500, missing=2)], "complete"),
        ([proof(60, duplicated=4), proof(1500)], "0 missing, 4 duplicated"),
    ],
)
def test_proof_is_the_latest_of_each_site(told: list[dict[str, Any]], expected: str) -> None:
    assert tiles(line(5), *told)["Proof"] == expected


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ([line(5)], "ok"),
        ([line(5, "partial"), line(10, "failed")], "ok"),
        ([line(5, "failed"), line(10)], "failed"),
        ([line(3, "skipped", lag=None), line(5, "failed")], "failed"),
        ([line(3, "skipped", lag=None), line(90)], "late"),
        ([line(14 * 24 * 60)], "late"),
        ([line(5), line(3000, letters=1)], "dead letters"),
        ([line(90, letters=1)], "late"),
    ],
)
def test_verdict_is_the_worst_of_a_site(told: list[dict[str, Any]], verdict: str) -> None:
    assert verdicts(*told) == {SITE: verdict}
    assert verdict in VERDICTS


def test_worst_site_comes_first() -> None:
    told = [
        line(5),
        line(5, "failed", site="a.example"),
        line(99, site="d.example"),
        line(5, letters=1, site="c.example"),
    ]

    found = list(verdicts(*told).values())

    assert (
        found
        == sorted(found, key=list[str](VERDICTS).index)
        == ["failed", "late", "dead letters", "ok"]
    )


@pytest.mark.parametrize("minutes", [5, 9, 21, 60 * 24, 60 * 24 * 14])
def test_verdict_of_silence_is_that_of_status(minutes: int) -> None:
    saved = NOW - minutes * MINUTE
    status = Status(SITE, "ok", Checkpoint.first(SITE, saved, saved), saved)

    assert verdicts(line(minutes)) == {SITE: judge(status, NOW).verdict}


def test_charts_of_health_read_the_connectors_lines_only() -> None:
    genuine = [line(5, records=9, rows=9), proof(60)]
    health = [name for name in HEALTH if "{ChosenSite}" not in VISUALS[name]["query"]]
    assert len(health) == 6

    found = workspace("classic", telemetry=lines(*forged(*genuine)))
    assert [found.run(QUERIES[name]) for name in health] == [[]] * 6
    found = workspace("classic", telemetry=lines(*genuine))
    assert all(found.run(QUERIES[name]) for name in health)


# In a browser


@pytest.mark.parametrize("tab", TABS)
def test_tab_can_be_read(tab: str, browser: Browser, tmp_path: Path) -> None:
    found = workspace("classic", **sample_activity())
    parameters = {"Tab": tab, "TimeRange": "Last 7 days", "Site": "All"}
    parameters |= dict.fromkeys(EXPORTS, "the first row")

    def run(name: str) -> list[dict[str, Any]] | None:
        return found.run(filled(name, found)) if name in QUERIES else None

    with browser.show(workbook_page.draw(WORKBOOK, parameters, run), View(1400)) as shown:
        (tmp_path / f"{tab}.png").write_bytes(shown.screenshot())

        assert faults(shown) == []
        assert shown.complaints == []
        assert TABS[tab] in shown.evaluate("document.querySelector('.tabs b').textContent")
        assert shown.evaluate("document.querySelectorAll('rect, td, .tiles div').length") > 10
