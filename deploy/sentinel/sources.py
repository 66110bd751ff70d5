"""What every build of this folder's content shares: the sources, and the forms that the API has for
their words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent

APP = "<app>"
"""What stands for the connector's Function App in the sources."""

PARSER = "JiraAuditRecords"
"""The function that everything else reads."""

OPERATORS = {"gt": "GreaterThan", "lt": "LessThan", "eq": "Equal", "ne": "NotEqual"}

Body = Mapping[str, Any]


def files(folder: str) -> list[Path]:
    """The sources of a folder; the parser that the others read comes first."""
    found = (FOLDER / folder).glob("*.yaml")
    return sorted(found, key=lambda file: (file.stem != PARSER, file.stem))


def bodies(folder: str) -> Iterator[Body]:
    """What the sources of a folder say; `stem` is the file's name without its ending."""
    for file in files(folder):
        yield {"stem": file.stem, **yaml.safe_load(file.read_text(encoding="utf-8"))}


def book() -> Body:
    text = (FOLDER / "Workbooks/JiraAudit.json").read_text(encoding="utf-8")
    found: Body = json.loads(text)
    return found


def serialized(content: Body) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def function_parameters(body: Body) -> str:
    """A parser's parameters as a saved function has them."""
    given = (
        f"{p['Name']}:{p['Type']}={_default(p['Default'])}" for p in body.get("ParserParams", [])
    )
    return ", ".join(given)


def _default(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def techniques(body: Body) -> list[str]:
    """Without what a sub-technique adds: the API takes techniques only."""
    return list(dict.fromkeys(each[:5] for each in body["relevantTechniques"]))


def duration(short: str) -> str:
    """`1h` as ISO 8601 has it."""
    found = re.fullmatch("([0-9]+)([mhd])", short)
    if not found:
        message = f"{short!r} is no duration such as 1h"
        raise ValueError(message)
    number, unit = found.groups()
    return f"P{number}D" if unit == "d" else f"PT{number}{unit.upper()}"
