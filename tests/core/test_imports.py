"""Imports point inward (frame → flow → core ← edge), and importing anything has no effect."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "jira_audit"
FLOW = {"backfill", "collect", "delivery", "fetching", "ports", "reader", "replay", "reset"}
FLOW |= {"sending", "status", "verify"}
EDGE_MAY = {"azure", "filelock", "isal", "orjson", "requests", "urllib3"}
MEETS_THE_EDGE = {"app", "check", "cli", "cli_report", "cli_verify", "demo"}
# What tells the time, chance or the environment; `datetime` and `email` are for values.
IMPURE = {"os", "random", "secrets", "socket", "subprocess", "time"}


def layer(module: str) -> str:
    """`core`, `edge`, `flow` or `frame`, of a module named as in `jira_audit.core.pages`."""
    first = module.split(".")[1] if "." in module else ""
    return first if first in {"core", "edge"} else "flow" if first in FLOW else "frame"


def modules() -> dict[str, ast.Module]:
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def imported(tree: ast.Module) -> set[str]:
    """Full names of what is imported anywhere in a module, `from x import y` as `x.y`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


MODULES = modules()
IMPORTS = [(module, name) for module, tree in MODULES.items() for name in sorted(imported(tree))]


def top(name: str) -> str:
    return name.partition(".")[0]


def own(module: str) -> list[str]:
    """What a module imports of this package."""
    return [name for user, name in IMPORTS if user == module and top(name) == "jira_audit"]


def foreign(module: str) -> set[str]:
    """The packages it imports that are neither this one nor Python's own."""
    names = {top(name) for user, name in IMPORTS if user == module}
    return names - {"jira_audit"} - sys.stdlib_module_names


def of(*layers: str) -> list[str]:
    return [module for module in MODULES if layer(module) in layers]


def test_every_layer_is_looked_at() -> None:
    assert {layer(module) for module in MODULES} == {"core", "edge", "flow", "frame"}
    assert {module for module in MODULES if layer(module) == "flow"} == {
        f"jira_audit.{name}" for name in FLOW
    }
    assert len(of("core")) >= 13


@pytest.mark.parametrize("module", of("core"))
def test_core_imports_core_orjson_and_python(module: str) -> None:
    assert {layer(name) for name in own(module)} <= {"core"}
    assert foreign(module) <= {"orjson"}


@pytest.mark.parametrize("module", of("flow"))
def test_flow_imports_core_and_flow_and_python(module: str) -> None:
    assert {layer(name) for name in own(module)} <= {"core", "flow"}
    assert foreign(module) == set()


@pytest.mark.parametrize("module", of("edge"))
def test_edge_imports_core_and_its_client_libraries(module: str) -> None:
    assert {layer(name) for name in own(module)} <= {"core"}
    assert foreign(module) <= EDGE_MAY


@pytest.mark.parametrize("module", of("frame"))
def test_only_the_wiring_and_the_terminal_know_the_edge(module: str) -> None:
    knows = "edge" in {layer(name) for name in own(module)}
    assert not knows or module in {f"jira_audit.{name}" for name in MEETS_THE_EDGE}


@pytest.mark.parametrize("module", of("core", "flow"))
def test_core_and_flow_read_no_clock_chance_or_environment(module: str) -> None:
    assert not {top(name) for user, name in IMPORTS if user == module} & IMPURE
    called = {node.attr for node in ast.walk(MODULES[module]) if isinstance(node, ast.Attribute)}
    assert not called & {"utcnow", "today", "environ", "getenv"}
    # `clock.now()` is an argument; `datetime.now()` would be a clock.
    assert "datetime.now" not in ast.unparse(MODULES[module])


EFFECTS = """
import importlib, os, sys
watched = []

def audit(event, args):
    if event in {"socket.connect", "socket.sendto", "socket.getaddrinfo", "subprocess.Popen"}:
        watched.append(event)

class Environment(dict):
    def _read(self, name):
        frame = sys._getframe(2)
        if frame.f_globals.get("__name__", "").partition(".")[0] in {"jira_audit", "function_app"}:
            watched.append(f"environment {name}")
    def __getitem__(self, name):
        self._read(name)
        return super().__getitem__(name)
    def get(self, name, default=None):
        self._read(name)
        return super().get(name, default)
    def __contains__(self, name):
        self._read(name)
        return super().__contains__(name)
    def __iter__(self):
        self._read("all of it")
        return super().__iter__()

os.environ = Environment(os.environ)
os.getenv = os.environ.get
sys.addaudithook(audit)
for name in sys.argv[1:]:
    importlib.import_module(name)
print("\\n".join([*watched, *(name for name in sys.modules if name in {
    "azure.identity", "azure.monitor.ingestion", "azure.monitor.query",
    "filelock", "typer", "rich"})]))
"""


def effects(*names: str) -> list[str]:
    """What is seen while they are imported by a Python of their own."""
    run = subprocess.run(
        [sys.executable, "-c", EFFECTS, *names],
        cwd=PACKAGE.parent,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return run.stdout.split()


def test_a_function_app_starts_without_asking_anything_or_loading_what_a_quiet_tick_spares() -> (
    None
):
    assert effects("function_app") == []


def test_importing_any_module_reads_no_setting_and_opens_no_connection() -> None:
    seen = effects(*MODULES)
    assert [each for each in seen if each not in {"filelock", "typer", "rich"}] == []
