"""The command that makes the package, `deploy/package`, as a module; and git, which it asks."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).parents[2] / "deploy" / "package"


def _load() -> ModuleType:
    loader = SourceFileLoader("package", str(PACKAGE))
    spec = importlib.util.spec_from_loader("package", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    loader.exec_module(module)
    sys.dont_write_bytecode = kept
    return module


package = _load()


def git(folder: Path, *arguments: str) -> None:
    """With nothing of the machine's own configuration."""
    identity = [
        *("-c", "user.name=a", "-c", "user.email=a@example.com"),
        *("-c", "commit.gpgsign=false", "-c", "core.excludesFile="),
    ]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)
