"""No test, script or document names a path that leads out of the checkout: a clone has none.

What the tests' own process reads is watched as well (tests/reads.py); this is for what other
processes and readers of the documents would follow.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from posixpath import dirname, join, normpath

import pytest

ROOT = Path(__file__).parents[2]

LEFT_BEHIND = (
    *(".git", ".venv*", "node_modules", "build", "dist", "*.egg-info", "__pycache__", ".*_cache"),
    *(".hypothesis", ".python_packages", "__blobstorage__", ".idea", ".vscode"),
)
"""What .gitignore leaves out, and git's own."""


def files() -> Iterator[str]:
    """Every file of the checkout but what tools have left behind, from its root."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [each for each in folders if not _left_behind(each)]
        yield from (
            (Path(folder) / name).relative_to(ROOT).as_posix()
            for name in names
            if not _left_behind(name)
        )


def _left_behind(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in LEFT_BEHIND)


def is_outside(path: str | None) -> bool:
    """Whether a path from the checkout's root leads out of it."""
    return path is not None and (path == ".." or path.startswith("../"))


# Python: expressions that start from __file__, from a path that is written out, or from a name that
# stands for one.


class PythonPaths:
    """Where the paths of one module lead: each from the root, None where that is not to be seen."""

    def __init__(self, file: str, text: str) -> None:
        self.file, self.tree = file, ast.parse(text)
        self.values: dict[str, str | None] = {}
        self.imports: dict[str, tuple[str, str]] = {}
        for statement in self.tree.body:
            match statement:
                case ast.Assign(targets=[ast.Name(name)], value=value):
                    self.values[name] = self.path_of(value)
                case ast.AnnAssign(target=ast.Name(name), value=ast.expr() as value):
                    self.values[name] = self.path_of(value)
                case ast.ImportFrom(module=str(module), names=names, level=0):
                    source = f"{module.replace('.', '/')}.py"
                    self.imports |= {
                        each.asname or each.name: (source, each.name) for each in names
                    }

    def outside_paths(self) -> list[str]:
        nodes = [node for node in ast.walk(self.tree) if isinstance(node, ast.expr)]
        return [ast.unparse(node) for node in nodes if is_outside(self.path_of(node))]

    def path_of(self, node: ast.expr) -> str | None:
        lead = None
        match node:
            case ast.Name(name):
                lead = self.name(name)
            case ast.Attribute(value, "parent"):
                lead = joined_path(self.path_of(value), "..")
            case ast.Subscript(ast.Attribute(value, "parents"), ast.Constant(int(number))):
                lead = joined_path(self.path_of(value), *[".."] * (number + 1))
            case ast.BinOp(left, ast.Div(), right):
                lead = joined_path(self.path_of(left), literal_text(right))
            case ast.Call(ast.Attribute(value, "resolve" | "absolute")):
                lead = self.path_of(value)
            case ast.Call(ast.Attribute(value, "joinpath"), parts):
                lead = joined_path(self.path_of(value), *map(literal_text, parts))
            case ast.Call(function, [first, *rest]):
                lead = self._called(ast.unparse(function).split(".")[-1], first, rest)
        return lead

    def name(self, name: str) -> str | None:
        if name == "__file__":
            return self.file
        if name in self.values:
            return self.values[name]
        source, original = self.imports.get(name, ("", ""))
        return module(source).name(original) if source and (ROOT / source).is_file() else None

    def _called(self, name: str, first: ast.expr, rest: list[ast.expr]) -> str | None:
        # A path that is written out is taken from the root, where everything is started.
        start = self.path_of(first) or literal_text(first)
        if start is None or start.startswith("/"):
            return None
        if name in {"Path", "PurePath", "join"}:
            return joined_path(start, *map(literal_text, rest))
        if name == "dirname":
            return joined_path(start, "..")
        taking_one = {"abspath", "realpath", "normpath", "open", "listdir", "scandir", "walk"}
        return normpath(start) if name in taking_one else None


@cache
def module(file: str) -> PythonPaths:
    return PythonPaths(file, (ROOT / file).read_text(encoding="utf-8"))


def joined_path(start: str | None, *parts: str | None) -> str | None:
    """The path with further parts; one that is not written out counts as some name."""
    return None if start is None else normpath(join(start, *(part or "_" for part in parts)))


def literal_text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


# Everything else: each `..` between blanks, quotes and slashes, with what stands before it.

_CLIMB = re.compile(
    r"""(?P<base>[$)}"']?)(?P<path>(?:[\w.-]*/)*(?<![\w.])\.\.(?:/[\w.-]+)*)(?![\w.])"""
)
_FROM_ITSELF = (".md", ".js")

# A link of a page to another part of the repository on GitHub, relative to its address there.
_ON_GITHUB = re.compile(r"\]\((?:\.\./){2,}(?:actions|tree)/[\w./-]+\)")


def outside_paths_in_text(file: str, text: str) -> list[str]:
    """Links and imports go from the file's own folder, and so does what follows a variable, as in
    `$here/..`; any other path goes from the root, where everything is started.
    """
    found = []
    if file.endswith(".md"):
        text = _ON_GITHUB.sub("]()", text)
    for match in _CLIMB.finditer(text):
        base, path = match["base"], match["path"]
        after_variable = base == "$" or (base in {")", "}"} and path.startswith("/"))
        if base == "$":
            path = path.partition("/")[2]
        elif path.startswith("/") and not after_variable and base != '"':
            continue  # absolute: it climbs to no higher than the machine's root
        own = after_variable or path.startswith("/") or file.endswith(_FROM_ITSELF)
        start = dirname(file) if own else ""
        if is_outside(normpath(join(start, path.lstrip("/")))):
            found.append(match[0])
    return found


def outside_paths(file: str, text: str) -> list[str]:
    first_line = text.partition("\n")[0]
    if file.endswith(".py") or (first_line.startswith("#!") and "python" in first_line):
        return PythonPaths(file, text).outside_paths()
    return outside_paths_in_text(file, text)


def test_files_name_no_path_outside_the_checkout() -> None:
    seen = list(files())

    assert {"README.md", "Makefile", ".ci/run", "deploy/package", "tests/conftest.py"} <= set(seen)
    for file in seen:
        text = (ROOT / file).read_text(encoding="utf-8", errors="replace")
        assert outside_paths(file, text) == [], file


@pytest.mark.parametrize(
    "text",
    [
        'Path(__file__).parents[3] / "beside/data/page.json"',
        'Path(__file__).parents[2] / ".." / "beside"',
        'Path(__file__).resolve().parents[2].joinpath("..", "beside")',
        "Path(__file__).parent.parent.parent.parent",
        'ROOT = Path(__file__).parents[2]\nPAGE = ROOT.parent / "beside"',
        'ROOT: Path = Path(__file__).parents[2]\ndef real():\n    return open(ROOT / "../x")',
        'ROOT = Path(__file__).parents[2]\nROOT = ROOT.parent\nROOT / "beside"',
        'from tests.end_to_end.conftest import ROOT as TOP\nTOP / "tests/../../beside"',
        'open("../beside/page.json", encoding="utf-8")',
        'Path("../beside/page.json").read_text()',
        'Path("tests", "..", "..", "beside")',
        'os.listdir("..")',
        'os.path.join(os.path.dirname(__file__), "..", "..", "..", "beside")',
        "os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))",
    ],
)
def test_python_path_outside_the_checkout_is_reported(text: str) -> None:
    assert outside_paths("tests/core/test_it.py", text)
    assert outside_paths("tests/core/command", f"#!/usr/bin/env python3\n{text}")


@pytest.mark.parametrize(
    "text",
    [
        'Path(__file__).parents[2] / "beside"',
        'Path(__file__).parent / ".." / "servers"',
        'ROOT = Path(__file__).parents[2]\n(ROOT / "tests").parent',
        'from tests.end_to_end.conftest import ROOT\nROOT / "tests/../deploy"',
        'open("tests/x", "..")',
        "path.parent.parent.parent.parent",
        '(tmp_path / "..").resolve()',
        'Letter("unreadable", "../../x")',
        'os.path.join(os.path.dirname(__file__), "..", "..")',
    ],
)
def test_python_path_inside_the_checkout_is_allowed(text: str) -> None:
    assert outside_paths("tests/core/test_it.py", text) == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("README.md", "see [the facts](../beside/NOTES.md)"),
        ("docs/deploy.md", "see [the facts](../../NOTES.md#here)"),
        ("README.md", "[tests](../../actions) and ![badge](../beside/tree/badge.svg)"),
        ("Makefile", "\tcat ../beside/data/page.json"),
        ("Makefile", "pages := $(CURDIR)/../beside"),
        ("deploy/deploy.sh", 'cat "$here/../../beside"'),
        ("deploy/deploy.sh", 'cd "${here}/../.."'),
        ("deploy/deploy.sh", "cd .."),
        (".ci/run", 'cd "$(dirname "${BASH_SOURCE[0]}")/../.."'),
        (".github/workflows/ci.yml", "run: ls ../beside"),
        ("pyproject.toml", 'pythonpath = [".", "../other"]'),
        ("tests/deploy/kql.js", 'require("../../../other")'),
        ("host.json", '{"a": "deploy/../../x"}'),
    ],
)
def test_text_path_outside_the_checkout_is_reported(file: str, text: str) -> None:
    assert outside_paths(file, text)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("docs/deploy.md", "see [README](../README.md#operating), and so on..."),
        ("README.md", "[![badge](../../actions/a/badge.svg)](../../tree/release)"),
        ("tests/bench/README.md", "[many-sites.md](../../docs/many-sites.md)"),
        ("deploy/deploy.sh", "package=${package:-$here/../dist/released-package.zip}"),
        ("deploy/deploy.sh", 'cd "${here}/.."; refuse "az account set --subscription ..."'),
        (".ci/run", 'cd "$(dirname "${BASH_SOURCE[0]}")/.."'),
        ("tests/setup/find_python", "make PYTHON=/path/to/python ... v1..v2 /usr/../etc"),
        ("tests/deploy/kql.js", 'require("../setup/other")'),
    ],
)
def test_text_path_inside_the_checkout_is_allowed(file: str, text: str) -> None:
    assert outside_paths(file, text) == []
