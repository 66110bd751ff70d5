"""What the documents say is what the code does: settings, columns, and the tests that are named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from jira_audit.core.errors import SettingsError
from jira_audit.core.records import COLUMNS
from jira_audit.core.timestamps import HOUR, MINUTE, SECOND
from jira_audit.settings.environment import SettingsReader
from jira_audit.settings.load import load
from jira_audit.settings.table import SETTINGS, Setting
from tests.docs import shell
from tests.docs.pages import tables

ROOT = Path(__file__).parents[2]
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
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


def read_setting_names() -> set[str]:
    """Every name that the code asks for, whatever else is set."""
    asked: set[str] = set()
    for given in ({}, {"JIRA_SITE_URL": "https://jira.example.org"}):
        environment = Recording(given)
        with pytest.raises(SettingsError):
            load(environment, 0)
        asked |= environment.asked
    return asked - HOSTS_OWN


def documented_default(row: Setting) -> str:
    """The default as the table in `docs/settings.md` is to have it."""
    if row.derived:
        return row.derived
    if isinstance(row.default, str):
        return f"`{row.default}`"
    if row.default is not None:
        return str(row.default)
    return "required" if row.missing and not row.optional else ""


def test_settings_table_matches_the_code() -> None:
    documented = tables("docs/settings.md")[0]

    assert documented == [[f"`{row.name}`", documented_default(row), row.help] for row in SETTINGS]


def test_settings_that_the_code_reads_are_those_of_the_table() -> None:
    names = [name for row in SETTINGS for name in (row.name, *row.aliases)]

    assert len(set(names)) == len(names)
    assert read_setting_names() == set(names)


def test_settings_without_a_row_cannot_be_read() -> None:
    with pytest.raises(KeyError, match="JIRA_NEW"):
        SettingsReader({"JIRA_NEW": "x"}).text("JIRA_NEW")


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.name)
def test_settings_do_what_their_help_says(row: Setting) -> None:
    assert tuple(re.findall(r"alias `(\w+)`", row.help)) == row.aliases
    assert [int(most) for most in re.findall(r"at most (\d+)", row.help)] in ([], [row.at_most])
    for least, most in re.findall(r"(\d+) to (\d+)", row.help):
        assert (int(least), int(most)) == (row.at_least, row.at_most)
    assert all(f"`{choice}`" in documented_default(row) + row.help for choice in row.choices)


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.name)
def test_settings_have_consistent_rows(row: Setting) -> None:
    units = {"HOURS": HOUR, "MINUTES": MINUTE, "SECONDS": SECOND}

    assert row.unit == units.get(row.name.rpartition("_")[2])
    assert bool(row.pattern) == bool(row.must)
    assert (row.kind == "choice") == bool(row.choices)
    if row.kind == "number":
        assert row.at_least <= int(row.default or 0) <= row.at_most
    else:
        assert (row.at_least, row.at_most) == (0, 0)
    if row.choices:
        assert row.default in row.choices
    if row.secret:
        assert row.default is None
    if row.default and row.pattern:
        assert re.fullmatch(row.pattern, str(row.default))


def test_settings_refuse_a_number_one_beyond_its_bounds() -> None:
    for row in SETTINGS:
        if row.kind == "number":
            for value, is_right in (
                (row.at_least, True),
                (row.at_most, True),
                (row.at_least - 1, False),
                (row.at_most + 1, False),
            ):
                read = SettingsReader({row.name: str(value)})
                number = read.number(row.name)
                assert (read.problems == []) == is_right
                assert number == value or not is_right


def test_columns_table_matches_the_code() -> None:
    documented = {row[0].strip("`"): row[1] for row in tables("docs/columns.md")[0]}

    assert documented == dict(COLUMNS)


def test_settings_in_the_local_sample_exist() -> None:
    sample = json.loads((ROOT / "local.settings.sample.json").read_text(encoding="utf-8"))

    assert set(sample["Values"]) <= read_setting_names() | HOSTS_OWN
    assert {"JIRA_SITE_URL", "POLL_SCHEDULE", "AzureWebJobsStorage"} <= set(sample["Values"])


def test_guarantees_name_tests_that_exist() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", TESTS_README)

    assert len(named) > 20
    for file, name in named:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), name


def test_defences_name_tests_and_documents_that_exist() -> None:
    named = re.findall(r"\[`(test_\w+)`\]\(([\w/]+\.py)\)", SECURITY)

    assert len(named) > 20
    for name, file in named:
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), name
    links = re.findall(r"\]\((?!https://)([^)#]*)", SECURITY)
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_defences_are_each_shown_by_a_test() -> None:
    table = SECURITY.split("\n## What is defended")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")][2:]

    claims = [row for row in rows if not row[0].strip().startswith("**")]
    assert len(claims) > 10
    assert [what for what, whom, shown in claims if not whom.strip() or "`test_" not in shown] == []


def test_make_targets_on_pages_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {*re.findall(r"^([\w-]+):", makefile, re.MULTILINE)}
    named = {
        target
        for page in shell.pages()
        for target in re.findall(r"(?:^|`)make ([a-z][\w-]*)", shell.text(page), re.MULTILINE)
    }

    assert {"demo", "test", "package"} < named
    assert named - targets == set()
