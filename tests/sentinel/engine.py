"""Runs KQL, on DuckDB: a workspace with tables, rows in them, the saved functions, and a clock.

What the engine cannot do it refuses; that it is right about what we use is in `test_engine.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import duckdb_kql
from duckdb_kql.stored_functions import ResolvedFunctions, StoredFunction, parse_functions
from duckdb_kql.translate import CLOCK_SLOT

from jira_audit.core import timestamps
from tests.deploy.kql import Columns
from tests.sentinel.content import FUNCTIONS, without_comments
from tests.sentinel.workspace_schemas import TELEMETRY, WORLDS

NOW = timestamps.parse("2026-11-25T12:00:00Z")
"""When a query is run unless it is said."""

_DUCKDB = {
    "string": "VARCHAR",
    "long": "BIGINT",
    "int": "INTEGER",
    "real": "DOUBLE",
    "bool": "BOOLEAN",
    "datetime": "TIMESTAMP",
    "dynamic": "JSON",
}
_IF_EXISTS = re.compile(r"""column_ifexists\(\s*(['"])(\w+)\1\s*,\s*((?:[^()]|\([^()]*\))*)\)""")
_LITERAL_TEXT = re.compile(r"""\btostring\((['"])(\w*)\1\)""")
_OR_NOTHING = re.compile(r"""coalesce\((tostring\(\w+\)), ""\)""")
_WATCHLIST = re.compile(r"""_GetWatchlist\((['"])(\w+)\1\)""")
_TO_TEXT = re.compile(
    r"""coalesce\(CASE typeof\("(\w+)"\) WHEN 'JSON' THEN (?:(?!coalesce\().)*?"""
    r""" ELSE CAST\("\1" AS VARCHAR\) END ELSE CAST\("\1" AS VARCHAR\) END, ''\)"""
)
"""What `tostring` of a column becomes: a thousand characters for whatever type it may have."""
_PREFIX = re.compile(r"has_any_ipv4_prefix\((\w+), (\w+)\)")
_BEGINS_WITH_ANY = (
    r"""\1 matches regex strcat("(^|[^0-9])(", replace_string(replace_string(replace_string("""
    r"""replace_string(tostring(\2), "[\"", ""), "\"]", ""), "\",\"", "|"), ".", "[.]"), ")")"""
)
"""Addresses among the text that begin with one of a list of prefixes such as `10.1.`"""

INGESTED = "ingested_at"
"""What the engine keeps a row's `ingestion_time()` in; a row that says nothing of it came at its
`TimeGenerated`."""

WATCHLISTS = ("JiraAdministrators", "JiraConnectorApps", "JiraServiceAccounts")
"""Those that content asks for by `_GetWatchlist`; a table each, with the column that all have."""

_KINDS = [kinds for tables in (*WORLDS.values(), TELEMETRY) for kinds in tables.values()]
_TEXTS = {name for kinds in _KINDS for name, kind in kinds.items() if kind == "string"} - {
    name for kinds in _KINDS for name, kind in kinds.items() if kind != "string"
}
"""Columns that hold text in every table."""

Row = Mapping[str, Any]


class Workspace:
    """A workspace of these tables, given with the Kusto types of their columns.

    Those of our tables that it has not are empty here: a fuzzy union leaves the leg of a missing
    table out, which comes to the same. That nothing else names a missing table, the analyser sees.
    """

    def __init__(self, tables: Mapping[str, Columns]) -> None:
        self._tables = tables
        self._connection = duckdb_kql.connect()
        watchlists = {f"Watchlist_{name}": {"SearchKey": "string"} for name in WATCHLISTS}
        self._schema = {
            name: {**columns, INGESTED: "datetime"}
            for name, columns in {**WORLDS["both"], **TELEMETRY, **tables, **watchlists}.items()
        }
        for name, columns in self._schema.items():
            typed = (f'"{column}" {_DUCKDB[kind]}' for column, kind in columns.items())
            self._connection.execute(f'CREATE TABLE "{name}" ({", ".join(typed)})')

    def load(self, table: str, rows: Iterable[Row]) -> None:
        """Put rows into a table; a column it has not is left out, as the service does."""
        columns = self._schema[table]
        sent = [{INGESTED: row.get("TimeGenerated"), **row} for row in rows]
        values = [[_value(row.get(name), kind) for name, kind in columns.items()] for row in sent]
        if values:
            places = ", ".join("?" * len(columns))
            self._connection.executemany(f'INSERT INTO "{table}" VALUES ({places})', values)

    def empty(self) -> None:
        """Take all rows out again."""
        for table in self._schema:
            self._connection.execute(f'DELETE FROM "{table}"')

    def run(self, query: str, at: int = NOW) -> list[dict[str, Any]]:
        """The rows a query gives, run `at` this time.

        Raises duckdb_kql.KqlError for what the engine cannot do.
        """
        # A table that the workspace has not is empty here, so its columns may be read.
        there = frozenset(column for columns in self._schema.values() for column in columns)
        called = [f for f in FUNCTIONS.values() if f.name in query or f.name == "JiraAuditRecords"]
        sql, parameters = _translated(
            _known(query, there),
            tuple(
                f"function {f.name}{f.parameters} {{{_known(f.query, there)}\n}}" for f in called
            ),
            tuple((name, tuple(columns)) for name, columns in self._schema.items()),
        )
        clock = {
            name: datetime.fromtimestamp(at / 1000, UTC).replace(tzinfo=None) for name in parameters
        }
        result = self._connection.execute(sql, clock)
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _known(text: str, there: frozenset[str]) -> str:
    """What the engine has not, said in what it has: which columns are there is known here."""
    text = _IF_EXISTS.sub(lambda m: m[2] if m[2] in there else m[3], without_comments(text))
    text = _OR_NOTHING.sub(r"\1", _LITERAL_TEXT.sub(r"\1\2\1", text))
    text = _WATCHLIST.sub(r"Watchlist_\2", text).replace("ingestion_time()", INGESTED)
    return _PREFIX.sub(_BEGINS_WITH_ANY, text)


# To translate a query takes longer than to run it.


@cache
def _translated(
    query: str, functions: tuple[str, ...], schema: tuple[tuple[str, tuple[str, ...]], ...]
) -> tuple[str, list[str]]:
    """The query in DuckDB's SQL, its functions expanded, and the name that its clock has there."""
    parsed: ResolvedFunctions = {None: {f.name: f for f in map(_parsed, functions)}}
    sql = duckdb_kql.to_sql(
        query,
        {name: list(columns) for name, columns in schema},
        query_now=datetime.fromtimestamp(NOW / 1000, UTC),
        functions=parsed,
    )
    assert set(sql.parameters) <= {CLOCK_SLOT}
    return _TO_TEXT.sub(_to_text, sql), list(sql.parameters)


def _to_text(found: re.Match[str]) -> str:
    """Half of the time to run a query went into the types that a text has not."""
    if found[1] not in _TEXTS:
        return found[0]
    text, refused = f"coalesce(\"{found[1]}\", '')", f"error('{found[1]} is no text')"
    return f"CASE typeof(\"{found[1]}\") WHEN 'VARCHAR' THEN {text} ELSE {refused} END"


@cache
def _parsed(function: str) -> StoredFunction:
    parsed = parse_functions([function])
    assert parsed is not None
    ((_, found),) = parsed[None].items()
    return found


def _value(value: Any, kind: str) -> Any:
    if value is None or (value == "" and kind == "datetime"):
        return None
    if kind == "datetime" and isinstance(value, str):
        return datetime.fromtimestamp(timestamps.parse(value) / 1000, UTC).replace(tzinfo=None)
    return json.dumps(value) if kind == "dynamic" else value
