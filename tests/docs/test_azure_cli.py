"""The real az takes every `az …` of the pages: its own parser reads them, and runs nothing."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import needed
from tests.docs import shell
from tests.servers.azure import real_cli

pytestmark = [pytest.mark.servers, pytest.mark.long]

# As azure-cli 2.91.0 does before it runs a command: azure/cli/core/commands/__init__.py,
# AzCliCommandInvoker.execute.
READ = """\
import json, sys
from azure.cli.core import get_default_cli


def refusal(arguments):
    cli = get_default_cli()
    invoker = cli.invocation_cls(
        cli_ctx=cli,
        commands_loader_cls=cli.commands_loader_cls,
        parser_cls=cli.parser_cls,
        help_cls=cli.help_cls,
    )
    cli.invocation = invoker
    loader = invoker.commands_loader
    loader.load_command_table(arguments)
    command = invoker._rudimentary_get_command(arguments)
    if command not in loader.command_table:
        return f"there is no {command}"
    invoker.data["command_string"] = loader.command_name = command
    loader.command_table = {command: loader.command_table[command]}
    loader.load_arguments(command)
    invoker.parser.cli_ctx = cli
    invoker.parser.load_command_table(loader)
    try:
        invoker.parser.parse_args(arguments)
    except SystemExit:
        return "refused"
    return ""


print(json.dumps([refusal(each) for each in json.load(sys.stdin)]))
"""


def lines() -> Iterator[tuple[str, list[str]]]:
    """Every command of az on the pages, in blocks and in the text, with its place."""
    for page in shell.pages():
        for command in shell.commands(page):
            for words in shell.simple_commands(command.text):
                if words[0] == "az":
                    yield str(command), words[1:]
        # One without options may only be named.
        for text in re.findall(r"(?<!`)`(az [^`\n…]* --[^`\n…]+)`(?!`)", shell.text(page)):
            yield f"{page}: {text}", shlex.split(text)[1:]


def refusals(commands: Sequence[Sequence[str]], folder: Path) -> list[str]:
    """Why az refuses each; empty if it does not."""
    needed(real_cli.is_installed(), "azure-cli is not installed: make setup")
    done = subprocess.run(
        [str(real_cli.PYTHON), "-c", READ],
        input=json.dumps(commands),
        env={"HOME": str(folder), "AZURE_CONFIG_DIR": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
    )
    return [str(each) for each in json.loads(done.stdout)]


def test_commands_of_az_on_pages_are_valid(tmp_path: Path) -> None:
    written = [*lines(), ("wrong", ["group", "create", "--name", "G", "--region", "R"])]
    assert len(written) > 30

    answers = refusals([words for _, words in written], tmp_path)

    refused = [place for (place, _), why in zip(written, answers, strict=True) if why]
    assert refused == ["wrong"]
