"""Asks Microsoft's own Kusto analyser about queries. It comes from tests/setup, Node.js from the
virtual environment.
"""

from __future__ import annotations

import atexit
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
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
    asked = {"tables": tables, "functions": functions or {}, "queries": queries}
    analyser = _analyser()
    assert analyser.stdin is not None
    assert analyser.stdout is not None
    analyser.stdin.write(json.dumps(asked) + "\n")
    analyser.stdin.flush()
    answer = analyser.stdout.readline()
    if not answer:
        _analyser.cache_clear()
        raise RuntimeError(f"Kusto's analyser ended with {analyser.wait()}; it said why above")
    return [Analysis(**each) for each in json.loads(answer)]


@cache
def _analyser() -> subprocess.Popen[str]:
    """One for all tests of this process: it takes two seconds to load."""
    process = subprocess.Popen(
        [str(node()), str(Path(__file__).with_name("kql.js")), str(PACKAGE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    atexit.register(process.communicate)  # the end of its input is its end, however ours comes
    return process
