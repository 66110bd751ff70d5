"""Asks Microsoft's own Kusto analyser about queries. It comes from tests/setup, Node.js from the
virtual environment.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.servers.azurite import node

PACKAGE = Path(__file__).parents[1] / "setup/node_modules/@kusto/language-service-next"

Columns = Mapping[str, str]


@dataclass(frozen=True)
class Analysis:
    """What is wrong with a query, and the columns of its result."""

    problems: list[str]
    columns: dict[str, str]


def is_installed() -> bool:
    return node() is not None and PACKAGE.exists()


def analyse(
    tables: Mapping[str, Columns],
    queries: Sequence[str],
    functions: Mapping[str, tuple[str, str]] | None = None,
) -> list[Analysis]:
    """Each query, against tables given by name, their columns with their Kusto types.

    `functions` are the saved ones by name: parameters, as in `(disabled: bool = false)`, and body.
    """
    done = subprocess.run(
        [str(node()), str(Path(__file__).with_name("kql.js")), str(PACKAGE)],
        input=json.dumps({"tables": tables, "functions": functions or {}, "queries": queries}),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [Analysis(**answer) for answer in json.loads(done.stdout)]
