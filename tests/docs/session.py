"""One shell in which commands are typed one after the other, as a reader of a page types them."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.docs.listed import answer
from tests.docs.shell import Command


@dataclass(frozen=True)
class Ended:
    """How a command ended; `code` is None if the shell was gone before."""

    command: Command
    code: int | None
    output: str


def run(
    commands: Sequence[Command],
    checkout: Path,
    environment: Mapping[str, str],
    in_place_of: Mapping[str, str],
    notes: Path,
    seconds: float,
) -> list[Ended]:
    """Type commands in a checkout, all of them, whatever one before has ended with.

    `in_place_of` is what is typed where a command names one of its keys. `notes` is a folder for
    what the shell writes down. What was begun in the background ends with the shell.
    """
    notes.mkdir()
    script = []
    for number, command in enumerate(commands):
        typed = command.text
        for name, stand_in in in_place_of.items():
            typed = typed.replace(name, stand_in)
        into = shlex.quote(str(notes / str(number)))
        (notes / f"{number}.in").write_text(answer(command), encoding="utf-8")
        # In braces, not in a shell of its own: what is exported or activated stays so.
        script.append(f"{{\n{typed}\n}} <{into}.in >{into}.out 2>&1\necho $? >{into}.code\n")
    (notes / "script").write_text("".join(script), encoding="utf-8")
    shell = subprocess.Popen(
        ["bash", "--noprofile", "--norc", notes / "script"],
        cwd=checkout,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):  # what has not ended has no code
            shell.wait(seconds)
    finally:
        with contextlib.suppress(ProcessLookupError):  # nothing is left of it
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    return [
        Ended(command, _code(notes / f"{number}.code"), _read(notes / f"{number}.out"))
        for number, command in enumerate(commands)
    ]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _code(path: Path) -> int | None:
    return int(_read(path)) if _read(path).strip() else None
