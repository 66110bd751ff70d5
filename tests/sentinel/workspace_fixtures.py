"""Stories told to a workspace: records through the connector's own mapping into its tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import orjson

from jira_audit.core import timestamps
from jira_audit.core.records import identify, to_row
from jira_audit.core.timestamps import MINUTE
from tests.deploy import checks
from tests.deploy.data_flows import flows
from tests.sentinel.engine import Workspace
from tests.sentinel.stories import SITE, Record
from tests.sentinel.workspace_schemas import CLASSIC, TELEMETRY, WORLDS

TO_V2 = next(
    flow["transformKql"]
    for flow, _, _ in flows(checks.load())
    if flow["outputStream"].endswith("_v2_CL")
)
"""What the data collection rule makes of a row for the newer table."""


def rows(records: Iterable[Record], site: str = SITE) -> list[dict[str, Any]]:
    """What the connector sends, a minute after each record was created."""
    made = []
    for record in records:
        identity = identify(record)
        row = to_row(
            record, identity, site=site, generated=timestamps.text(identity.created + MINUTE)
        )
        made.append(orjson.loads(row.line))
    return made


def as_v2_rows(sent: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows as the data collection rule writes them into the newer table."""
    stream = _stream()
    stream.empty()
    stream.load("source", sent)
    return [with_dynamic_columns(row) for row in stream.run(TO_V2)]


def with_dynamic_columns(row: dict[str, Any]) -> dict[str, Any]:
    dynamic = ("objectItem", "ChangedValues", "AssociatedItems")
    return {
        name: orjson.loads(value) if name in dynamic and isinstance(value, str) else value
        for name, value in row.items()
    }


def workspace(
    world: str,
    records: Iterable[Record] = (),
    telemetry: Mapping[str, list[dict[str, Any]]] | None = None,
    *,
    site: str = SITE,
    watchlists: Mapping[str, list[str]] | None = None,
) -> Workspace:
    """A workspace of one of the worlds, with these records in each of its tables.

    Without `telemetry` there are no tables for it: Application Insights is elsewhere.
    """
    made = _workspace(world, with_telemetry=bool(telemetry))
    made.empty()
    tables = WORLDS[world]
    sent = rows(records, site)
    if "Jira_Audit_CL" in tables:
        made.load("Jira_Audit_CL", sent)
    if "Jira_Audit_v2_CL" in tables:
        made.load("Jira_Audit_v2_CL", as_v2_rows(sent))
    for table, found in (telemetry or {}).items():
        made.load(table, found)
    for name, keys in (watchlists or {}).items():
        made.load(f"Watchlist_{name}", [{"SearchKey": key} for key in keys])
    return made


# Making a workspace takes longer than emptying one.


@cache
def _workspace(world: str, *, with_telemetry: bool) -> Workspace:
    return Workspace({**WORLDS[world], **(TELEMETRY if with_telemetry else {})})


@cache
def _stream() -> Workspace:
    return Workspace({"source": CLASSIC})
