"""Makes the pages of the commands and of the template's parameters, and the demo's picture.

`make docs` runs it; `tests/docs/test_reference.py` compares what is there with what it makes.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch
from xml.etree import ElementTree as ET

import rich._export_format
from rich.console import Console
from rich.text import Text
from typer.core import TyperArgument
from typer.main import get_command

from jira_audit.terminal import demo, invocation
from jira_audit.terminal.cli import COMMANDS, cli
from jira_audit.terminal.console import logging_to
from tests.docs.commands import registered_commands

DOCS = Path(__file__).parents[2] / "docs"

HEAD = """\
# Commands

<!-- Made from the commands' own help by `make docs`. -->

[Install the command](tutorial.md#2-install-the-command) first. In a terminal, `--help` shows
the same. [Exit codes](exit-codes.md) are those of all commands.
"""

PARAMETERS_HEAD = """\
# Template parameters

<!-- Made from deploy/azuredeploy.json by `make docs`. -->

Give them in a parameters file, `--parameters mine.json` of the script, or in the portal's form.
Give all of them again with every deployment: what is left out goes back to its default.

```json
{"parameters": {"jiraTokenExpires": {"value": "2027-03-31"}, "sweepHours": {"value": 72}}}
```

| parameter | default | |
| --- | --- | --- |
"""

COLUMNS = 96
"""The picture's width, in characters."""


def cli_page() -> str:
    """The page of all commands."""
    registered = registered_commands(cli)
    table = ["| command | |", "| --- | --- |"]
    sections = []
    for name in COMMANDS:
        summary = _paragraphs(registered[name].help)[0]
        anchor = f"jira-audit-{name}".lower()
        table.append(f"| [`{name}`](#{anchor}) | {summary} |")
    for name, command in registered.items():
        level = "#" * (2 + name.count(" "))
        sections.append(f"{level} jira-audit {name}\n\n{_body(command)}")
    own = "\n".join(["| option | |", "| --- | --- |", *_parameters(get_command(cli))])
    return "\n\n".join([HEAD.rstrip(), "\n".join(table), own, *sections]) + "\n"


def parameters_page() -> str:
    """The page of the template's parameters."""
    template = json.loads((DOCS.parent / "deploy" / "azuredeploy.json").read_text("utf-8"))
    rows = []
    for name, parameter in template["parameters"].items():
        shown = _default(parameter.get("defaultValue"))
        description = _escaped(parameter["metadata"]["description"])
        if choices := parameter.get("allowedValues"):
            description += f" One of {', '.join(f'`{each}`' for each in choices)}."
        rows.append(f"| `{name}` | {shown} | {description} |\n")
    return PARAMETERS_HEAD + "".join(rows)


def _default(value: object) -> str:
    if value is None:
        return "*required*"
    if value in ("", [], {}):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _body(command: Any) -> str:
    parts = _paragraphs(command.help)
    if rows := list(_parameters(command)):
        parts.append("\n".join(["| option | |", "| --- | --- |", *rows]))
    return "\n\n".join(parts)


def _paragraphs(help_text: str) -> list[str]:
    """Its paragraphs as Markdown; what is indented is shown as it is typed."""
    found = []
    for paragraph in _plain(help_text).split("\n\n"):
        if paragraph.startswith("  "):
            lines = [line.strip() for line in paragraph.splitlines()]
            found.append("\n".join(["```text", *lines, "```"]))
        else:
            found.append(_escaped(" ".join(paragraph.split())))
    return found


def _parameters(command: Any) -> Iterator[str]:
    """The rows of a command's arguments and options."""
    for each in command.params:
        names = [each.metavar or each.name] if isinstance(each, TyperArgument) else each.opts
        value = "" if isinstance(each, TyperArgument) or each.is_flag else f" {each.metavar}"
        shown = ", ".join(f"`{name}{value}`".replace("|", "\\|") for name in names)
        told = [_escaped(" ".join(_plain(each.help or "").split()))]
        if each.required:
            told.append("*Required.*")
        if each.default not in (None, False):
            told.append(f"*Default: `{each.default}`.*")
        yield f"| {shown} | {' '.join(told)} |"


def _plain(text: str) -> str:
    """Without Rich's markup."""
    return Text.from_markup(text).plain


def _escaped(text: str) -> str:
    """What Markdown would take for markup, escaped."""
    return re.sub(r"([|<*])", r"\\\1", text)


# The font is whatever the reader has: a picture on a page loads nothing.
PICTURE_FORMAT = re.sub(
    r"@font-face \{\{.*?\}\}\s*", "", rich._export_format.CONSOLE_SVG_FORMAT, flags=re.DOTALL
).replace("Fira Code, monospace", "Menlo, Consolas, 'DejaVu Sans Mono', monospace")


def demo_picture() -> str:
    """A picture of a terminal in which the demo was run."""
    console = Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
        emoji=False,
    )
    console.print("$ make demo")
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        # Where the command is installed here is nothing that others have.
        patch.object(invocation, "command", lambda: invocation.COMMAND),
        logging_to(Console(stderr=True), logging.ERROR),
    ):
        if not demo.run_demo(Path("out"), console):
            message = "the demo failed"
            raise RuntimeError(message)
    picture = console.export_svg(
        title=invocation.COMMAND, code_format=PICTURE_FORMAT, unique_id="demo"
    )
    return "\n".join(line.rstrip() for line in picture.splitlines() if line.strip()) + "\n"


def texts_in(picture: str) -> list[str]:
    """The texts of a picture, all numbers alike: times and durations differ each time."""
    elements = ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")
    return [re.sub(r"\d+", "0", each.text or "") for each in elements]


def main() -> None:
    (DOCS / "cli.md").write_text(cli_page(), encoding="utf-8")
    (DOCS / "parameters.md").write_text(parameters_page(), encoding="utf-8")
    file, picture = DOCS / "images" / "demo.svg", demo_picture()
    if not file.exists() or texts_in(file.read_text(encoding="utf-8")) != texts_in(picture):
        file.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
