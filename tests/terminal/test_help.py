"""That a newcomer is told what there is, and what is missing."""

import copy
import re
import subprocess
import sys

import pytest
import typer

from jira_audit import __version__
from jira_audit.terminal.cli import cli
from tests.docs.commands import commands, parse_command, registered_commands
from tests.docs.shell import arguments_of
from tests.terminal.conftest import ROOT, Run

DAY = (
    *("demo", "check", "collect", "status", "verify", "backfill"),
    *("dead-letters", "originals", "checkpoint", "report"),
)
"""The order of a user's day: see it, set it up, run it, look at it, prove it, mend it, show it."""

EXAMPLE = re.compile(r"^ *((?:[A-Z_]+=\S+ )?jira-audit .*?)(?:  .*)?$", re.MULTILINE)
"""A command line in a help text; what it is for may stand beside it."""


def shown_in_help(text: str) -> list[str]:
    """The commands that help lists, in its order."""
    (panel,) = re.findall(r"╭─ Commands ─+╮\n(.*?)╰", text, re.DOTALL)
    return re.findall(r"^│ ([a-z][a-z-]*) ", panel, re.MULTILINE)


def test_help_lists_every_command_in_the_order_of_use(run: Run) -> None:
    ended = run("--help")

    assert ended.code == 0
    assert tuple(shown_in_help(ended.out)) == DAY
    assert tuple(name for name in registered_commands(cli) if " " not in name) == DAY


def test_help_begins_with_an_example_of_every_command(run: Run) -> None:
    begin = run("--help").out.split("Begin here")[1].split("Settings,")[0]

    named = [arguments_of(line)[0] for line in EXAMPLE.findall(begin)]

    assert tuple(dict.fromkeys(named)) == DAY


def test_help_lists_a_command_without_a_place_last() -> None:
    more = copy.copy(cli)
    more.registered_commands = [*cli.registered_commands]
    more.command("vacuum")(lambda: None)

    assert [name for name in registered_commands(more) if " " not in name] == [*DAY, "vacuum"]


def test_help_names_the_settings_and_exit_codes(run: Run) -> None:
    ended = run("--help")

    for word in (
        *("JIRA_SITE_URL", "JIRA_USERNAME", "JIRA_API_TOKEN"),
        *("DATA_COLLECTION_ENDPOINT", "LOGS_DCR_RULE_ID", "AzureWebJobsStorage"),
        *("Exit codes", "collect --folder ./out", "--settings local.settings.json"),
    ):
        assert word in ended.out


@pytest.mark.parametrize("name", registered_commands(cli))
def test_help_of_every_command_is_at_most_80_columns(run: Run, name: str) -> None:
    command = registered_commands(cli)[name]

    ended = run(*name.split(), "--help")

    assert ended.code == 0
    assert f" {name} [OPTIONS]" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80
    assert command.help
    assert all(parameter.help for parameter in command.params)


@pytest.mark.parametrize("name", ["", *registered_commands(cli)])
def test_help_examples_are_whole_and_name_known_commands(run: Run, name: str) -> None:
    text = run(*name.split(), "--help").out
    command = registered_commands(cli)[name] if name else typer.main.get_command(cli)
    written = EXAMPLE.findall("\n".join(filter(None, (command.help, command.epilog))))

    for example in written:
        assert parse_command(cli, arguments_of(example)) in commands(cli)
        assert re.search(rf"^ *{re.escape(example)}(  .*)?$", text, re.MULTILINE), example


def test_help_and_messages_name_only_known_commands() -> None:
    named = {
        (path.name, words)
        for path in sorted((ROOT / "jira_audit").rglob("*.py"))
        for words in re.findall(r"\bjira-audit ([a-z][a-z-]*)", path.read_text(encoding="utf-8"))
    }

    assert {word for _, word in named} <= set(DAY)
    assert len(named) > len(DAY)


def test_help_is_shown_without_a_command(run: Run) -> None:
    ended = run()

    assert ended.code == 2
    assert "Begin here" in ended.out + ended.err


def test_command_that_is_unknown_is_a_usage_error(run: Run) -> None:
    ended = run("frobnicate")

    assert ended.code == 2
    assert "frobnicate" in ended.err


def test_version_is_printed(run: Run) -> None:
    assert run("--version").out == f"{__version__}\n"


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [
        ("typer", []),
        ("rich", []),
        ("jinja2", []),
        ("filelock", ["report", "--folder", "."]),  # only a local folder needs it
    ],
)
def test_packages_that_are_missing_are_named_in_one_sentence(
    missing: str, arguments: list[str]
) -> None:
    begin = "runpy.run_module('jira_audit', run_name='__main__')"
    code = f"import runpy, sys; sys.modules[{missing!r}] = None; {begin}"
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert missing in ended.stderr
    assert "pip install -e '.[terminal]'" in ended.stderr


def test_packages_of_the_terminal_are_not_imported_by_the_function() -> None:
    code = "import function_app, sys; print({'typer', 'rich', 'filelock'} & set(sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert ended.stdout == "set()\n"
