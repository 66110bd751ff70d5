"""How the command line is called: the name that help shows, and what runs it from where one is.

Imports nothing but the standard library: it also speaks where the extra `terminal` is missing.
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
"""Where `pyproject.toml` is, unless the package was installed without its checkout."""


def name() -> str:
    """What usage and errors call the command line: the way in which it was called."""
    return f"python -m {MODULE}" if Path(sys.argv[0]).name == "__main__.py" else COMMAND


def command() -> str:
    """What runs the command line from the current folder, with this Python, quoted for a shell."""
    for script in (_beside(Path(sys.executable).parent), sys.argv[0]):
        if script and Path(script).stem == COMMAND and os.access(script, os.X_OK):
            on_path = shutil.which(COMMAND)
            if on_path and Path(on_path).samefile(script):
                return COMMAND
            return shlex.quote(_from_here(Path(script)))
    return f"{_python()} -m {MODULE}"


def remedy(arguments: Sequence[str]) -> str:
    """What to do where a package of the extra `terminal` is missing, as the end of a sentence.

    `arguments` are those of the command that could not run. The remedy repeats it where another
    Python is to run it.
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
    # Not into this Python: Debian, Ubuntu and Homebrew refuse that.
    # https://packaging.python.org/specifications/externally-managed-environments/
    make = f"{_python()} -m venv {shlex.quote(_from_here(environment).removeprefix('./'))}"
    python = shlex.quote(_from_here(binaries / "python"))
    return f"run {make} && {python} -m {install} && {again}"


def _beside(folder: Path) -> str | None:
    """The installed command in a folder of programs."""
    return shutil.which(COMMAND, path=str(folder))


def _python() -> str:
    """This Python: by its name if PATH has it first, else by its path."""
    executable = Path(sys.executable)
    for spelling in ("python", "python3"):
        on_path = shutil.which(spelling)
        # Not samefile: the Python of a virtual environment is a link to one without its packages.
        if on_path and Path(on_path).absolute() == executable:
            return spelling
    return shlex.quote(_from_here(executable))


def _from_here(path: Path) -> str:
    """A path relative to the current folder if it is in it, else whole; always with a slash."""
    here = Path.cwd()
    if path == here:
        return "."
    if not path.is_relative_to(here):
        return path.as_posix()
    relative = path.relative_to(here).as_posix()
    return relative if "/" in relative else f"./{relative}"
