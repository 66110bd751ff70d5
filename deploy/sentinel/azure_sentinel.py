"""The files for a contribution to Microsoft's own solution AtlassianJiraAudit and its ASIM parsers,
by their paths in https://github.com/Azure/Azure-Sentinel

Nothing in them calls our function JiraAuditRecords, which a workspace without this content lacks:
each has the function's query in itself.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from typing import Any

import yaml
from sources import FOLDER, PARSER, Body

from jira_audit.core import records

THEIRS = "Solutions/AtlassianJiraAudit/Parsers/JiraAudit.yaml"
THEIR_ID = "4ed36a9b-accd-491d-b22b-2454c137d90d"
"""The id that their parser has; a new one would be another parser."""

THEIR_VERSION = "3.1.0"
UPDATED = "2026-11-27"
CUSTOM_TABLE = ".script/tests/KqlvalidationsTests/CustomTables/Jira_Audit_CL.json"
ASIM = ("AuditEvent", "UserManagement")
OWN_COLUMNS = ("IngestionTime", "Actor", "ActorUrl", "Address")
"""Those that only our own content reads."""

# Their table's file declares them, though the connector writes neither.
DECLARED = {"EventVendor": "string", "EventProduct": "string"}
TYPES = {"datetime": "DateTime", "string": "String", "real": "Double", "boolean": "Boolean"}
GENERATED = "2026-01-14T00:00:00.000Z"


def files() -> dict[str, str]:
    return {
        THEIRS: parser(),
        CUSTOM_TABLE: _json(custom_table()),
        **{
            path: text
            for schema in ASIM
            for kind in ("ASim", "vim")
            for path, text in asim(schema, f"{kind}{schema}AtlassianJira").items()
        },
        "Sample Data/Custom/Jira_Audit_CL.json": _json(sample()),
        **{
            f"Sample Data/ASIM/Atlassian_Jira_{schema}_IngestedLogs.csv": _csv(
                list(columns()), [[_cell(row.get(name)) for name in columns()] for row in sample()]
            )
            for schema in ASIM
        },
        "Sample Data/ASIM/Jira_Audit_CL_Schema.csv": _csv(
            ["ColumnName", "ColumnOrdinal", "DataType", "ColumnType"],
            [
                [name, str(place), _net(kind), kind]
                for place, (name, kind) in enumerate(columns().items())
            ],
        ),
    }


def parser() -> str:
    """Their function: one row a record, whichever of the two tables there are. The columns are
    theirs, in their order, and then Site and Truncated.
    """
    query = _standalone(_query(f"{PARSER}.yaml"))
    body = f"{query.rstrip()}\n| project-away {', '.join(OWN_COLUMNS)}\n"
    return (
        f"id: {THEIR_ID}\n"
        "Function:\n"
        "  Title: Parser for Jira Audit Logs\n"
        f"  Version: '{THEIR_VERSION}'\n"
        f"  LastUpdated: '{UPDATED}'\n"
        "Category: Microsoft Sentinel Parser\n"
        "FunctionName: JiraAudit\n"
        "FunctionAlias: JiraAudit\n"
        f"FunctionQuery: |\n{_indented(body, 4)}"
    )


def _query(file: str) -> str:
    body = yaml.safe_load((FOLDER / "Parsers" / file).read_text(encoding="utf-8"))
    return str(body.get("FunctionQuery") or body["ParserQuery"])


def _standalone(query: str) -> str:
    """Without the time range, which a function without parameters has no names for."""
    ranged = re.compile(r"^ *\| where \(isnull\(starttime\).*\n", re.MULTILINE)
    lines, removed = ranged.subn("", query)
    told = "// The time range bounds what is read of both tables; materialize reads it once."
    if removed != 2 or told not in lines:
        message = f"{PARSER}.yaml is not as the contribution takes it: look at its time range"
        raise ValueError(message)
    return lines.replace(told, "// materialize reads each table once.")


def asim(schema: str, name: str) -> dict[str, str]:
    """An ASIM parser that has JiraAuditRecords in itself, and its change log."""
    text = (FOLDER / f"Parsers/{name}.yaml").read_text(encoding="utf-8")
    head, _ = text.split("ParserQuery: |\n")
    inner = _indented(_query(f"{PARSER}.yaml"), 4)
    given = "starttime: datetime = datetime(null), endtime: datetime = datetime(null)"
    query = f"let {PARSER} = ({given}) {{\n{inner}}};\n{_query(f'{name}.yaml')}"
    version = yaml.safe_load(text)["Parser"]["Version"]
    log = f"# Changelog for {name}.yaml\n\n## Version {version}\n\n- ({UPDATED}) First version.\n"
    return {
        f"Parsers/ASim{schema}/Parsers/{name}.yaml": f"{head}ParserQuery: |\n{_indented(query, 2)}",
        f"Parsers/ASim{schema}/CHANGELOG/{name}.md": log,
    }


def columns() -> Mapping[str, str]:
    return records.COLUMNS


def custom_table() -> Body:
    """The columns that Microsoft's validation of queries knows."""
    listed = {**DECLARED, **columns()}
    return {
        "Name": records.TABLE,
        "Properties": [{"Name": name, "Type": TYPES[kind]} for name, kind in listed.items()],
    }


def sample() -> list[dict[str, Any]]:
    """Rows of invented records, as the connector writes them."""
    text = (FOLDER / "Sample Data/records.json").read_text(encoding="utf-8")
    invented = json.loads(text)
    return [
        json.loads(
            records.to_row(
                record, records.identify(record), site=invented["site"], generated=GENERATED
            ).line
        )
        for record in invented["records"]
    ]


def _net(kind: str) -> str:
    """The type's name in .NET, as `getschema` gives it."""
    names = {"datetime": "DateTime", "string": "String", "real": "Double", "boolean": "SByte"}
    return f"System.{names[kind]}"


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _csv(header: list[str], rows: list[list[str]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def _indented(text: str, by: int) -> str:
    lines = text.rstrip("\n").split("\n")
    return "".join(f"{' ' * by}{line}\n" if line else "\n" for line in lines)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
