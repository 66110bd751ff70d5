"""The workbook: every query runs, and gives the columns that its visual shows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.kql import analyse
from tests.sentinel.content import WORKBOOK, WORKBOOK_QUERIES, fill_parameters, saved_functions
from tests.sentinel.stories import SITE, forged, line, lines
from tests.sentinel.stories.habits import days_of_work, deleted
from tests.sentinel.stories.rights import made_administrator, scheme
from tests.sentinel.workspace_fixtures import workspace
from tests.sentinel.workspace_schemas import ALL_WORLDS, TELEMETRY, WORLDS

BEYOND_THE_ENGINE = {"countries": "geo_info_from_ip_address asks a database of the service"}
QUERIES = {name: query for name, query in WORKBOOK_QUERIES.items() if name not in BEYOND_THE_ENGINE}
VISUALS: dict[str, Any] = {
    item["name"]: item["content"] for item in WORKBOOK["items"] if "query" in item["content"]
}
PARTS = ("Overview", "Permissions and schemes", "Users and groups", "Projects", "Sources", "health")


def sample_activity() -> dict[str, Any]:
    records = [
        *days_of_work(2, 2),
        *made_administrator(created=300, granted=200, removed=100),
        scheme(50, ("", "Anyone"), ("", "Browse Projects")),
        deleted(3),
    ]
    return {"records": records, "telemetry": lines(line(5, records=9, rows=9), line(9, "failed"))}


@pytest.mark.parametrize("name", QUERIES)
def test_queries_return_rows_after_activity(name: str) -> None:
    assert workspace("classic", **sample_activity()).run(QUERIES[name])


@pytest.mark.parametrize("world", ALL_WORLDS)
@pytest.mark.parametrize("name", QUERIES)
def test_queries_run_without_activity(name: str, world: str) -> None:
    assert workspace(world).run(QUERIES[name]) == []


def test_site_filter_hides_the_other_sites() -> None:
    filled = workspace("classic", **sample_activity())

    for name, visual in VISUALS.items():
        if name in QUERIES:
            assert filled.run(fill_parameters(visual["query"], f"'{SITE}'")), name
            assert filled.run(fill_parameters(visual["query"], "'other.atlassian.net'")) == [], name


@pytest.mark.parametrize("name", VISUALS)
def test_visual_shows_columns_of_its_query(name: str) -> None:
    visual = VISUALS[name]
    chart = visual.get("chartSettings", {})
    shown = {chart.get("xAxis"), chart.get("group"), *chart.get("yAxis", [])} - {None}
    shown |= {each["columnMatch"] for each in visual.get("gridSettings", {}).get("formatters", [])}

    (analysis,) = analyse(
        {**WORLDS["both"], **TELEMETRY}, [fill_parameters(visual["query"])], saved_functions()
    )

    assert shown <= set(analysis.columns)
    assert shown or visual["visualization"] == "table"
    assert visual["timeContextFromParameter"] == "TimeRange"


def test_workbook_has_all_its_parts() -> None:
    headings = " ".join(item["content"].get("json", "") for item in WORKBOOK["items"])

    assert all(part in headings for part in PARTS)
    assert len({item["name"] for item in WORKBOOK["items"]}) == len(WORKBOOK["items"])
    assert set(BEYOND_THE_ENGINE) <= set(VISUALS)
    assert len(BEYOND_THE_ENGINE) <= 3


def test_charts_of_health_read_the_connectors_lines_only() -> None:
    genuine = line(5, records=9, rows=9)
    health = [query for query in QUERIES.values() if "AppTraces" in query]
    assert len(health) == 3

    found = workspace("classic", telemetry=lines(*forged(genuine)))
    assert [found.run(query) for query in health] == [[]] * 3
    found = workspace("classic", telemetry=lines(genuine))
    assert all(found.run(query) for query in health)
