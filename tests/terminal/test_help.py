"""That a newcomer is told what there is, and what is missing."""

import subprocess
import sys

import pytest

from jira_audit import __version__
from tests.terminal.conftest import ROOT, Run

COMMANDS = ("demo", "collect", "check", "status", "verify", "report")


def test_the_help_names_every_command_the_settings_and_the_exit_codes(run: Run) -> None:
    ended = run("--help")

    assert ended.code == 0
    for word in (
        *COMMANDS,
        *("JIRA_SITE_URL", "JIRA_USERNAME", "JIRA_API_TOKEN"),
        *("DATA_COLLECTION_ENDPOINT", "LOGS_DCR_RULE_ID", "AzureWebJobsStorage"),
        *("Exit codes", "collect --to ./out", "--settings local.settings.json"),
    ):
        assert word in ended.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_of_at_most_80_columns(run: Run, command: str) -> None:
    ended = run(command, "--help")

    assert ended.code == 0
    assert f"{command} [OPTIONS]" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80


def test_without_a_command_the_help_is_shown(run: Run) -> None:
    ended = run()

    assert ended.code == 2
    assert "Begin here" in ended.out + ended.err


def test_an_unknown_command_is_a_usage_error(run: Run) -> None:
    ended = run("frobnicate")

    assert ended.code == 2
    assert "frobnicate" in ended.err


def test_the_version_is_told(run: Run) -> None:
    assert run("--version").out == f"{__version__}\n"


@pytest.mark.parametrize("missing", ["typer", "rich", "filelock"])
def test_one_sentence_says_how_to_install_what_the_terminal_needs(missing: str) -> None:
    begin = "runpy.run_module('jira_audit', run_name='__main__')"
    code = f"import runpy, sys; sys.modules[{missing!r}] = None; {begin}"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert missing in ended.stderr
    assert "pip install -e '.[terminal]'" in ended.stderr


def test_the_function_never_imports_what_only_the_terminal_has() -> None:
    code = "import function_app, sys; print({'typer', 'rich', 'filelock'} & set(sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert ended.stdout == "set()\n"
