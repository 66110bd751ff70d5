"""What the documents say is what the code does: settings, columns, and the tests that are named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from jira_audit.core.errors import SettingsError
from jira_audit.core.records import COLUMNS
from jira_audit.settings.load import load

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TESTS_README = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")

HOSTS_OWN = {"IDENTITY_ENDPOINT", "FUNCTIONS_WORKER_RUNTIME"}
"""Set by Azure or for its host; nobody sets them for us."""


class Recording(Mapping[str, str]):
    """Settings that are all empty, and remember what was asked for."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self.given, self.asked = given, set[str]()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self.given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.given)

    def __len__(self) -> int:
        return len(self.given)


def settings_read() -> set[str]:
    """Every name that the code asks for, whatever else is set."""
    asked: set[str] = set()
    for given in ({}, {"JIRA_SITE_URL": "https://jira.example.org"}):
        environment = Recording(given)
        with pytest.raises(SettingsError):
            load(environment, 0)
        asked |= environment.asked
    return asked - HOSTS_OWN


def table(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading of the README."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_settings_table_has_every_setting_that_the_code_reads_and_no_other() -> None:
    documented = {name for row in table("Settings") for name in re.findall(r"`(\w+)`", row[0])}
    aliases = set(re.findall(r"alias `(\w+)`", README))

    assert documented | aliases == settings_read()


def test_the_columns_table_is_the_table() -> None:
    documented = {row[0].strip("`"): row[1] for row in table("Columns")}

    assert documented == dict(COLUMNS)


def test_the_sample_of_local_settings_has_only_settings_there_are() -> None:
    sample = json.loads((ROOT / "local.settings.sample.json").read_text(encoding="utf-8"))

    assert set(sample["Values"]) <= settings_read() | HOSTS_OWN
    assert {"JIRA_SITE_URL", "POLL_SCHEDULE", "AzureWebJobsStorage"} <= set(sample["Values"])


def test_every_test_that_the_promise_rests_on_is_there() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", TESTS_README)

    assert len(named) > 20
    for file, name in named:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), name


@pytest.mark.parametrize("command", sorted(set(re.findall(r"^make (\w+)", README, re.MULTILINE))))
def test_every_make_target_in_the_readme_is_there(command: str) -> None:
    assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
