"""Imports point inward: terminal, app, wiring, settings → operations → flow → core ← edge.

The rule applies to folders. Importing anything has no effect.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "jira_audit"

MAY_IMPORT: dict[str, set[str]] = {
    "core": {"core"},
    "flow": {"core", "flow"},
    "edge": {"core", "edge"},
    "operations": {"core", "flow", "operations"},
    "settings": {"core", "settings"},
    "wiring": {"core", "flow", "operations", "edge", "settings"},
    "app": {"core", "flow", "operations", "settings", "wiring"},
    "simulator": {"simulator"},
    "terminal": {
        "core",
        "operations",
        "flow",
        "settings",
        "wiring",
        "app",
        "simulator",
        "terminal",
    },
    "__main__": {"terminal"},
}
"""For each folder, or file beside them, what it may import from this package."""

LIBRARIES: dict[str, set[str]] = {
    "core": {"orjson"},
    "flow": set(),
    "operations": set(),
    "settings": set(),
    "edge": {"azure", "filelock", "isal", "orjson", "requests", "urllib3"},
}
# Modules for time, randomness or the environment; `datetime` and `email` are for values.
IMPURE = {"os", "random", "secrets", "socket", "subprocess", "time"}


TRANSPORT = "jira_audit.edge.transport"


def layer(module: str) -> str:
    """The folder or file of a module named like `jira_audit.core.pages`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def modules() -> dict[str, ast.Module]:
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def imported_names(tree: ast.Module) -> set[str]:
    """The full names of all imports anywhere in a module; `from x import y` is `x.y`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


MODULES = modules()
IMPORTS = [
    (module, name) for module, tree in MODULES.items() for name in sorted(imported_names(tree))
]


def top_package(name: str) -> str:
    return name.partition(".")[0]


def own_imports(module: str) -> list[str]:
    """What a module imports from this package."""
    return [name for user, name in IMPORTS if user == module and top_package(name) == "jira_audit"]


def third_party_imports(module: str) -> set[str]:
    """The third-party packages that a module imports."""
    names = {top_package(name) for user, name in IMPORTS if user == module}
    return names - {"jira_audit"} - sys.stdlib_module_names


def modules_in(*layers: str) -> list[str]:
    return [module for module in MODULES if layer(module) in layers]


def test_modules_are_each_in_a_layer() -> None:
    assert {layer(module) for module in MODULES} - {""} == MAY_IMPORT.keys()


@pytest.mark.parametrize("module", [each for each in MODULES if layer(each)])
def test_imports_point_inward(module: str) -> None:
    inward = {layer(name) for name in own_imports(module)} - {"", "__version__", "INTERRUPTED"}
    assert inward <= MAY_IMPORT[layer(module)]


@pytest.mark.parametrize("module", modules_in(*LIBRARIES))
def test_imports_of_client_libraries_belong_to_their_layer(module: str) -> None:
    assert third_party_imports(module) <= LIBRARIES[layer(module)]


@pytest.mark.parametrize("module", modules_in("edge"))
def test_imports_between_edge_modules_are_of_what_they_share(module: str) -> None:
    edges = {name.split(".")[2] for name in own_imports(module) if layer(name) == "edge"}
    assert edges <= ({"time_limit"} if module == TRANSPORT else {"files", "transport"})


@pytest.mark.parametrize("module", modules_in("edge"))
def test_imports_of_edge_modules_include_the_rules_of_http(module: str) -> None:
    names = {name for user, name in IMPORTS if user == module}
    # The status, the wait and the error it means: error_for. Sessions and bodies: transport.
    assert "jira_audit.core.http.retry_after" not in names
    if module not in {TRANSPORT, "jira_audit.edge.time_limit"}:
        assert "urllib3" not in third_party_imports(module)
        assert "requests.Session" not in ast.unparse(MODULES[module])


def test_imports_of_test_support_include_no_test_module() -> None:
    tests = PACKAGE.parent / "tests"
    support = [path for path in tests.rglob("*.py") if not path.name.startswith("test_")]
    assert [
        f"{path.relative_to(tests)} imports {name}"
        for path in support
        for name in imported_names(ast.parse(path.read_text(encoding="utf-8")))
        if name.startswith("tests.") and ".test_" in name
    ] == []


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
    "azure.identity", "azure.monitor.ingestion", "jira_audit.edge.workspace",
    "jira_audit.flow.audit", "jira_audit.core.audit", "jira_audit.core.comparison",
    "filelock", "typer", "rich"})]))
"""


def import_effects(*names: str) -> list[str]:
    """The effects of importing them in a new Python process."""
    run = subprocess.run(
        [sys.executable, "-c", EFFECTS, *names],
        cwd=PACKAGE.parent,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return run.stdout.split()


def test_imports_read_no_setting_and_open_no_connection() -> None:
    seen = import_effects(*MODULES)
    libraries = {"filelock", "typer", "rich"}
    assert [each for each in seen if each not in {*libraries, *MODULES}] == []


@pytest.mark.parametrize("module", modules_in("core", "flow", "operations"))
def test_core_reads_no_clock_randomness_or_environment(module: str) -> None:
    assert not {top_package(name) for user, name in IMPORTS if user == module} & IMPURE
    called = {node.attr for node in ast.walk(MODULES[module]) if isinstance(node, ast.Attribute)}
    assert not called & {"utcnow", "today", "environ", "getenv"}
    # `clock.now()` is an argument; `datetime.now()` would read the real clock.
    assert "datetime.now" not in ast.unparse(MODULES[module])


def test_function_app_starts_without_effects_or_idle_imports() -> None:
    assert import_effects("function_app") == []
