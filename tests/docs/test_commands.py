"""The commands on the pages are commands that there are, and every command is on a page."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator

import pytest
import typer

from jira_audit.terminal.cli import cli
from tests.deploy.package_command import package
from tests.docs import listed, shell
from tests.docs.checkout import IGNORED
from tests.docs.commands import commands, parse_command

PAGES = shell.pages()
ALL = [command for page in PAGES for command in shell.commands(page)]
LINES = [
    *((str(each), each.text) for each in ALL if shell.calls(each.text)),
    *(
        (f"{page}: {text}", text)
        for page in PAGES
        for text in sorted({*shell.inline_commands(page)})
    ),
]
"""Every `jira-audit …` on a page, with its place."""


def test_pages_have_commands() -> None:
    assert PAGES[0] == "README.md"
    assert {"docs/upgrade.md", "deploy/sentinel/README.md", "tests/bench/README.md"} < {*PAGES}
    assert len(ALL) > 30
    assert len(LINES) > 15


@pytest.mark.parametrize("page", PAGES)
def test_blocks_name_their_language(page: str) -> None:
    known = shell.SHELL | shell.POWERSHELL | shell.NOT_COMMANDS

    unknown = [each for each in shell.blocks(page) if each.language not in known]

    assert [f"{each.page}:{each.line}: {each.language!r}" for each in unknown] == []


def test_commands_have_no_comment_that_zsh_would_run() -> None:
    assert [str(each) for each in ALL if shell.has_comment(each.text)] == []


def test_commands_that_ask_for_an_answer_end_their_block() -> None:
    assert [str(each) for each in ALL if listed.answer(each) and not each.last] == []


@pytest.mark.parametrize(("place", "line"), LINES, ids=[place for place, _ in LINES])
def test_commands_on_pages_are_valid(place: str, line: str) -> None:
    for _, *arguments in shell.calls(line):
        assert parse_command(cli, arguments) in {"", *commands(cli)}, place


def undocumented_commands(app: typer.Typer) -> set[str]:
    """The commands of which no page has a line."""
    named = set()
    for _, line in LINES:
        for _, *arguments in shell.calls(line):
            named.add(parse_command(app, arguments))
    return commands(app).keys() - named


def test_commands_are_all_on_a_page() -> None:
    assert undocumented_commands(cli) == set()


def test_commands_on_no_page_are_found() -> None:
    more = copy.copy(cli)
    more.registered_commands = [*cli.registered_commands]
    more.command("vacuum")(lambda: None)

    assert undocumented_commands(more) == {"vacuum"}


def test_pages_name_the_command_and_not_the_module() -> None:
    assert [page for page in PAGES if re.search(r"-m jira_audit \w", shell.text(page))] == []


ENTRIES = [*listed.NOT_RUN, *listed.NEEDS_THE_NETWORK, *listed.JUDGES, *listed.ANSWERS]


@pytest.mark.parametrize("entry", ENTRIES)
def test_list_entry_fits_a_command(entry: str) -> None:
    assert any(listed.matching_entries([entry], each) for each in ALL)


def test_options_of_the_deployment_script_on_pages_exist() -> None:
    script = (shell.ROOT / "deploy" / "deploy.sh").read_text(encoding="utf-8")
    given = {
        word
        for each in ALL
        for words in shell.simple_commands(each.text)
        if "deploy.sh" in words[0] or words[:2] == ["bash", "deploy.sh"]
        for word in words
        if word.startswith("--")
    }

    assert "--workspace" in given
    for option in given:
        assert re.search(rf"^ *([\w-]+ \| )*{option}( \| [\w-]+)*\)", script, re.MULTILINE), option


# What the pages have one write

_FOR_WHAT_IS_WRITTEN = re.compile(r"--(dir|folder|json|location|out|parameters|settings|to)")


def written_paths(command: shell.Command) -> Iterator[str]:
    """The files and folders in the checkout that a command writes, or has one write for it."""
    for words in shell.simple_commands(command.text):
        if words[0] == "az":
            continue  # its --location is a region
        named = [words[-1]] if words[0] in {"cp", "mkdir"} else []
        for option, value in itertools.pairwise(words):
            if _FOR_WHAT_IS_WRITTEN.fullmatch(option) and re.fullmatch(r"(\./)?[\w.-]+", value):
                named.append(value)
        for name in named:
            plain = name.removeprefix("./")
            if not plain.startswith("-") and not re.match(r"\d{4}-", plain):
                # Without an ending it is a folder.
                yield plain if "." in plain[1:] else f"{plain}/file"


WRITTEN = sorted({name for each in ALL for name in written_paths(each)})


def test_files_that_pages_write_are_the_listed_ones() -> None:
    assert {
        *(".azurite/file", "local.settings.json", "mine.json", "moving.json", "out/file"),
        "report.json",
    } <= {*WRITTEN}


@pytest.mark.parametrize("name", WRITTEN)
def test_files_that_pages_write_are_neither_committed_nor_deployed(name: str) -> None:
    funcignore = (shell.ROOT / ".funcignore").read_text(encoding="utf-8")

    assert package.is_ignored(name, IGNORED)
    assert package.is_ignored(name, package.patterns(funcignore))


def test_files_that_git_ignores_are_not_deployed_except_packages() -> None:
    funcignore = (shell.ROOT / ".funcignore").read_text(encoding="utf-8")

    assert {*IGNORED} - {*package.patterns(funcignore)} == {".python_packages/"}
