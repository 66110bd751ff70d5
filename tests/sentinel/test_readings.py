"""What the detections read: each table once in a run, and no more a month than the page says.

Kusto evaluates a `let` at each use unless it is materialized:
https://learn.microsoft.com/kusto/query/materialize-function
"""

from __future__ import annotations

import re

import pytest

from tests.sentinel.content import (
    FOLDER,
    FUNCTIONS,
    HUNTS,
    RULES,
    WORKBOOK_QUERIES,
    Source,
    without_comments,
)
from tests.sentinel.test_sources import UNITS, length

TABLES = (
    "Jira_Audit_CL",
    "Jira_Audit_v2_CL",
    "AppTraces",
    "AppRequests",
    "AtlassianAuditEvents_CL",
)


def readings(query: str, table: str) -> int:
    """How often a query reads a table; a function of ours reads as its own query does."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"|(?<!:)//.*', "", without_comments(query))
    *lets, last = bare.split(";")
    bodies: list[tuple[str, str]] = []
    for each in lets:
        found = re.match(r"\s*let (\w+) =\s*(.*)", each, re.DOTALL)
        assert found, each
        bodies.append((found[1], found[2]))
    materialized: set[str] = set()

    def count(text: str, known: int) -> int:
        """Readings by a text that sees so many of the lets."""
        times = len(re.findall(rf"\b{table}\b", text))
        for name, function in FUNCTIONS.items():
            called = len(re.findall(rf"\b{name}\b", text))
            times += called * readings(function.query, table) if called else 0
        for number, (name, body) in enumerate(bodies[:known]):
            for _ in re.findall(rf"\b{name}\b", text):
                if name not in materialized:
                    times += count(body, number)
                if body.startswith("materialize("):
                    materialized.add(name)
        return times

    return count(last, len(bodies))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("AppTraces | where a == 1", 1),
        ("let T = AppTraces | where a == 1; T | join T on a", 2),
        ("let T = AppTraces; let U = union T, T; U | join U on a", 4),
        ("let T = materialize(AppTraces | where a == 1); T | join T on a", 1),
        ("let T = materialize(AppTraces); let U = union T, T; U | join U on a", 1),
        ("let T = AppTraces; print 1", 0),
    ],
)
def test_readings_are_counted_as_kusto_evaluates(query: str, expected: int) -> None:
    assert readings(query, "AppTraces") == expected


@pytest.mark.parametrize("source", [*RULES, *HUNTS], ids=lambda source: source.name)
def test_query_reads_each_table_at_most_once(source: Source) -> None:
    # Behind and Failing read an hour of the connector's own lines.
    allowed = 2 if source.name == "JiraConnectorBehind" else 1
    counts = {table: readings(source.query, table) for table in TABLES}

    assert any(counts.values())
    assert max(counts.values()) <= allowed, counts


@pytest.mark.parametrize("name", WORKBOOK_QUERIES)
def test_chart_reads_each_table_at_most_twice(name: str) -> None:
    assert max(readings(WORKBOOK_QUERIES[name], table) for table in TABLES) <= 2


def test_page_states_what_is_read_in_a_month() -> None:
    days = 0.0
    for rule in RULES:
        runs = 30 * UNITS["d"] / (length(rule.body["queryFrequency"]) or UNITS["d"])
        period = (length(rule.body["queryPeriod"]) or UNITS["d"]) / UNITS["d"]
        days += runs * period * readings(rule.query, "Jira_Audit_CL")
    page = (FOLDER / "README.md").read_text(encoding="utf-8")

    # A day of 1,000 records of 1 KB is 1 MB.
    assert f"| 1,000 | 30 MB | 0.16 USD | {days / 1000:.0f} GB |" in page
    assert f"| 100,000 | 3 GB | 15.60 USD | {days / 10_000:.1f} TB |" in page
