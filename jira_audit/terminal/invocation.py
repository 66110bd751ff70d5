"""The command line's name in help, and the command that runs it from here.

Imports only the standard library: it also runs where the extra `terminal` is missing.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

COMMAND = "jira-audit"
MODULE = "jira_audit"
EXTRA = "terminal"
CHECKOUT = Path(__file__).parents[2]
"""The folder of `pyproject.toml`, unless the package was installed without its checkout."""


def name() -> str:
    """The command line's name in usage and errors: as it was called."""
    return f"python -m {MODULE}" if Path(sys.argv[0]).name == "__main__.py" else COMMAND


def command() -> str:
    """The quoted command that runs this program with this Python from the current folder."""
    for script in (_beside(Path(sys.executable).parent), sys.argv[0]):
        if script and Path(script).stem == COMMAND and os.access(script, os.X_OK):
            on_path = shutil.which(COMMAND)
            if on_path and Path(on_path).samefile(script):
                return COMMAND
            return shlex.quote(_from_here(Path(script)))
    return f"{_python()} -m {MODULE}"


def remedy(arguments: Sequence[str]) -> str:
    """What to do about a missing package of the extra `terminal`, as the end of a sentence.

    `arguments` are the failed command's, which the remedy repeats if another Python must run it.
    """
    if not (CHECKOUT / "pyproject.toml").is_file():
        return f"install it again from where it came, with its extra {EXTRA}."
    install = f"pip install -e {shlex.quote(f'{_from_here(CHECKOUT)}[{EXTRA}]')}"
    if sys.prefix != sys.base_prefix:
        here = Path(sys.executable).parent
        pip = shutil.which("pip")
        own = pip is not None and Path(pip).parent == here
        return f"run {install if own else f'{_python()} -m {install}'}"
    environment = CHECKOUT / ".venv"
    binaries = environment / ("Scripts" if os.name == "nt" else "bin")
    again = shlex.join([_from_here(binaries / COMMAND), *arguments])
    if _beside(binaries):
        return f"run {again}"
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        return "use Python 3.11, 3.12 or 3.13, which the connector needs as well."
    # Not into this Python: Debian, Ubuntu and Homebrew refuse.
    # https://packaging.python.org/specifications/externally-managed-environments/
    make = f"{_python()} -m venv {shlex.quote(_from_here(environment).removeprefix('./'))}"
    python = shlex.quote(_from_here(binaries / "python"))
    return f"run {make} && {python} -m {install} && {again}"


def _beside(folder: Path) -> str | None:
    """The command installed in this folder, if any."""
    return shutil.which(COMMAND, path=str(folder))


def _python() -> str:
    """This Python's name if PATH finds it first, else its path."""
    executable = Path(sys.executable)
    for spelling in ("python", "python3"):
        on_path = shutil.which(spelling)
        # Not samefile: a virtual environment's Python links to one without its packages.
        if on_path and Path(on_path).absolute() == executable:
            return spelling
    return shlex.quote(_from_here(executable))


def _from_here(path: Path) -> str:
    """A path, relative if inside the current folder, else absolute; always with a slash."""
    here = Path.cwd()
    if path == here:
        return "."
    if not path.is_relative_to(here):
        return path.as_posix()
    relative = path.relative_to(here).as_posix()
    return relative if "/" in relative else f"./{relative}"
