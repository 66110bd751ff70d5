"""The registered commands, and command lines read by typer's own parser, which runs nothing."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command


def registered_commands(app: typer.Typer) -> dict[str, Any]:
    """Every command and every group of commands by its words, such as `checkpoint show`.

    In the order in which help lists them.
    """
    return dict(_below(get_command(app), ()))


def commands(app: typer.Typer) -> dict[str, Any]:
    """Those of them that do something."""
    return {
        name: command
        for name, command in registered_commands(app).items()
        if not isinstance(command, TyperGroup)
    }


def _below(group: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield " ".join((*words, name)), command
        if isinstance(command, TyperGroup):
            yield from _below(command, (*words, name))


_NOT_THERE = re.compile(r"(dir|file|path) '([^/'][^']*)' does not exist")


def parse_command(app: typer.Typer, arguments: Sequence[str]) -> str:
    """The words of the command that arguments are for; empty for an option such as --version.

    Raises what the parser raises if they are for none, or not as it takes them. What is to be there
    is there: a file or folder that the parser looks for is made, in a folder that goes again.
    """
    reached: list[str] = []
    root = get_command(app)
    for name, command in _below(root, ()):
        if not isinstance(command, TyperGroup):
            command.callback = lambda _name=name, **_: reached.append(_name)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        while True:
            try:
                root.main(list(arguments), prog_name="jira-audit", standalone_mode=False)
            except Exception as refused:
                missing = _NOT_THERE.search(str(refused))
                if missing is None or Path(missing[2]).exists():
                    raise
                path = Path(missing[2])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch() if missing[1] == "file" else path.mkdir()
            else:
                return "".join(reached)
