"""The engine is right about what our queries use, and refuses the rest."""

from __future__ import annotations

from typing import Any

import duckdb
import duckdb_kql
import pytest

from tests.sentinel.engine import Workspace

ROWS: list[dict[str, Any]] = [
    {
        "s": "Jira-Administrators",
        "n": 1,
        "t": "2026-11-25T11:00:00Z",
        "d": [{"k": "a"}, {"k": "b"}],
    },
    {"s": "jira users", "n": 1, "t": "2026-11-24T23:59:59.999Z", "d": None},
    {"s": None, "n": 2, "t": "2026-11-25T12:00:00Z", "d": {"k": "c"}},
]


@pytest.fixture(scope="module")
def workspace() -> Workspace:
    made = Workspace({"T": {"s": "string", "n": "long", "t": "datetime", "d": "dynamic"}})
    made.load("T", ROWS)
    return made


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # `has` goes by whole words, without case; `contains` by any part.
        ("T | where s has 'administrators'", [{"c": 1}]),
        ("T | where s has 'admin'", [{"c": 0}]),
        ("T | where s contains 'admin'", [{"c": 1}]),
        ("T | where s has_any ('USERS', 'x')", [{"c": 1}]),
        ("T | where s =~ 'JIRA USERS'", [{"c": 1}]),
        ("T | where s == 'JIRA USERS'", [{"c": 0}]),
        ("T | where s in~ ('JIRA USERS')", [{"c": 1}]),
        ("T | where s startswith 'JIRA'", [{"c": 2}]),
        # A text that is not there is empty, and no text.
        ("T | where isempty(s)", [{"c": 1}]),
        ("T | where s != 'jira users'", [{"c": 2}]),
        ("T | where not(s =~ 'jira users')", [{"c": 2}]),
        ("T | where coalesce(s, 'none') == 'none'", [{"c": 1}]),
        # Time.
        ("T | where t > ago(1h)", [{"c": 1}]),
        ("T | where t >= ago(1h)", [{"c": 2}]),
        ("T | where startofday(t) == datetime(2026-11-24)", [{"c": 1}]),
        ("T | where hourofday(t) == 23", [{"c": 1}]),
        ("T | where now() - t <= 1h", [{"c": 2}]),
        # Dynamic values.
        ("T | mv-expand d | where tostring(d.k) in ('a', 'b')", [{"c": 2}]),
        ("T | where tostring(d[0].k) == 'a'", [{"c": 1}]),
        ("T | where array_length(d) == 2", [{"c": 1}]),
        ("T | where isnull(d)", [{"c": 1}]),
    ],
)
def test_engine_selects_as_kusto_does(
    workspace: Workspace, query: str, expected: list[dict[str, Any]]
) -> None:
    assert workspace.run(f"{query} | summarize c = count()") == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("T | summarize arg_max(t, s) by n | where n == 1 | project s", [{"s": ROWS[0]["s"]}]),
        ("T | summarize c = countif(n == 1), d = dcount(n)", [{"c": 2, "d": 2}]),
        ("T | summarize m = make_set(n) | extend c = array_length(m) | project c", [{"c": 2}]),
        (
            "T | join kind=leftanti (T | where n == 1 | project n) on n | project n",
            [{"n": 2}],
        ),
        ("T | join kind=inner (T | where n == 2 | project n) on n | project n", [{"n": 2}]),
        ("T | summarize c = count() by bin(t, 1d) | where c == 2 | project c", [{"c": 2}]),
        ("print a = tostring(split('1.2.3.4, 5.6.7.8', ',')[0])", [{"a": "1.2.3.4"}]),
        ("print a = trim(' ', ' x ')", [{"a": "x"}]),
        ("print a = extract('lag=([0-9]+)', 1, 'lag=17 x=1')", [{"a": "17"}]),
        ("print a = tolong(extract('no=([0-9]+)', 1, 'lag=17'))", [{"a": None}]),
        ("print a = iff(isempty(''), 'yes', 'no')", [{"a": "yes"}]),
        ("print a = (22 + 3) % 24", [{"a": 1}]),
    ],
)
def test_engine_computes_as_kusto_does(
    workspace: Workspace, query: str, expected: list[dict[str, Any]]
) -> None:
    assert workspace.run(query) == expected


def test_engine_gives_a_missing_column_its_default(workspace: Workspace) -> None:
    there, missing = "b = column_ifexists('n', 0)", "a = tostring(column_ifexists('no', 'x'))"
    query = f"T | where n == 2 | project {missing}, {there}"

    assert workspace.run(query) == [{"a": "x", "b": 2}]


@pytest.mark.parametrize(
    ("address", "prefix", "found"),
    [
        ("10.1.2.3", "10.1.", True),
        ("110.1.2.3", "10.1.", False),
        ("10.11.2.3", "10.1.", False),
        ("192.0.2.1, 10.1.2.3", "10.1.", True),
        ("10x1.2.3", "10.1.", False),
    ],
)
def test_engine_matches_whole_parts_of_address_prefixes(
    workspace: Workspace, address: str, prefix: str, found: bool
) -> None:
    given = f"let p = dynamic(['192.168.', '{prefix}']); let a = '{address}'; "
    query = f"{given} print r = has_any_ipv4_prefix(a, p)"

    assert workspace.run(query) == [{"r": found}]


@pytest.mark.parametrize(
    "query",
    [
        "T | evaluate bag_unpack(d)",
        "T | summarize make_set_if(s, n == 1)",
        "T | mv-apply d on (take 1)",
        "T | extend g = geo_info_from_ip_address(s)",
        "Unheard_Of | take 1",
        "T | extend x = no_such_function(s)",
    ],
)
def test_engine_refuses_what_it_cannot_do(workspace: Workspace, query: str) -> None:
    with pytest.raises((duckdb_kql.KqlError, duckdb.Error)):
        workspace.run(query)
