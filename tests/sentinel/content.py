"""Sentinel's content as its readable sources have it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

APP = "jira-audit"
"""The connector's Function App, as the deployment puts it into the sources."""

FOLDER = Path(__file__).parents[2] / "deploy" / "sentinel"


@dataclass(frozen=True)
class Source:
    """One YAML file: `name` is the file's, without its ending."""

    name: str
    body: Mapping[str, Any]

    @property
    def query(self) -> str:
        return str(self.body["query"]).replace("<app>", APP)


@dataclass(frozen=True)
class Function:
    """A saved function; `defaults` has its parameters, each with its type and default."""

    name: str
    defaults: Mapping[str, tuple[str, str]]
    query: str

    @property
    def parameters(self) -> str:
        """As Kusto declares them, brackets included."""
        each = (f"{name}: {kind} = {default}" for name, (kind, default) in self.defaults.items())
        return f"({', '.join(each)})"


def sources(folder: str) -> list[Source]:
    files = sorted((FOLDER / folder).glob("*.yaml"))
    assert files
    return [Source(f.stem, yaml.safe_load(f.read_text(encoding="utf-8"))) for f in files]


RULES = sources("Analytic Rules")
HUNTS = sources("Hunting Queries")


def functions() -> dict[str, Function]:
    """Every parser by its name; JiraAuditRecords, which the others call, comes first."""
    found = {}
    for source in sources("Parsers"):
        body = source.body
        name = body.get("FunctionName") or body["ParserName"]
        query = body.get("FunctionQuery") or body["ParserQuery"]
        given = {
            each["Name"]: (each["Type"], _kusto(each["Default"]))
            for each in body.get("ParserParams", [])
        }
        found[name] = Function(name, given, query)
    return dict(sorted(found.items(), key=lambda item: item[0] != "JiraAuditRecords"))


def _kusto(default: Any) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


FUNCTIONS = functions()


def saved_functions() -> dict[str, tuple[str, str]]:
    """The functions as the analyser takes them, and Sentinel's own that the content calls."""
    # The columns that every watchlist has: https://learn.microsoft.com/azure/sentinel/watchlists-queries
    watchlist = ("(watchlistAlias: string)", "datatable(SearchKey: string) []")
    ours = {each.name: (each.parameters, each.query) for each in FUNCTIONS.values()}
    return {**ours, "_GetWatchlist": watchlist}


def workbook_queries(book: Mapping[str, Any]) -> dict[str, str]:
    """Every query of a workbook by its item's name, with something chosen for its parameters."""
    found = {}
    for item in book["items"]:
        content = item["content"]
        for parameter in content.get("parameters", []):
            if "query" in parameter:
                found[f"parameter {parameter['name']}"] = parameter["query"]
        if "query" in content:
            found[item["name"]] = content["query"]
    return {name: fill_parameters(query) for name, query in found.items()}


_CHOSEN = re.compile(r"\{(\w+)\}")


def fill_parameters(
    query: str, sites: str = "'*'", chosen: Mapping[str, str] = MappingProxyType({})
) -> str:
    """As the workbook puts it to the service; `*` stands for all sites. `chosen` has what a chosen
    row exports; of an item that waits for a choice it is empty.
    """
    query = query.replace("{TimeRange:grain}", "1h").replace("{Site}", sites)
    return _CHOSEN.sub(lambda match: chosen.get(match[1], ""), query)


WORKBOOK = json.loads(
    (FOLDER / "Workbooks/JiraAudit.json").read_text(encoding="utf-8").replace("<app>", APP)
)
WORKBOOK_QUERIES = workbook_queries(WORKBOOK)


def without_comments(query: str) -> str:
    return re.sub(r"^\s*//.*$", "", query, flags=re.MULTILINE)
