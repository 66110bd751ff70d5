"""The reference pages say what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from jira_audit.core import checkpoint, timestamps
from jira_audit.core.errors import SiteError
from jira_audit.core.letters import Letter
from jira_audit.core.mapper import Mapper
from jira_audit.core.outcome import Outcome, Tally
from jira_audit.core.records import Identity, created_of, id_of
from jira_audit.operations.exit_codes import MEANINGS
from jira_audit.operations.judgement import VERDICTS
from tests.docs import pages, reference, shell

IMAGES = sorted((shell.ROOT / "docs" / "images").glob("*.svg"))


def test_command_page_is_made_from_the_help() -> None:
    assert shell.text("docs/cli.md") == reference.cli_page(), "run make docs"


def test_page_of_parameters_is_made_from_the_template() -> None:
    assert shell.text("docs/parameters.md") == reference.parameters_page(), "run make docs"


def test_picture_of_the_demo_is_made_by_the_demo() -> None:
    """But for times, durations and their widths."""
    committed = (shell.ROOT / "docs" / "images" / "demo.svg").read_text(encoding="utf-8")
    texts = reference.texts_in(committed)

    assert "every record of the site, once" in " ".join(texts).replace("\xa0", " ")
    assert texts == reference.texts_in(reference.demo_picture()), "run make docs"


@pytest.mark.parametrize("picture", IMAGES, ids=lambda path: path.name)
def test_pictures_load_nothing(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)

    assert not re.search(r"https?:|//|@import|<image|<script|@font-face", text)


def test_drawn_picture_has_colours_for_light_and_dark() -> None:
    text = (shell.ROOT / "docs" / "images" / "architecture.svg").read_text(encoding="utf-8")
    light, _, dark = text.partition("@media (prefers-color-scheme: dark)")
    coloured = r"^ +(\.?[\w-]+) \{[^}]*(?:fill|stroke): #"

    classes = {*re.findall(coloured, light, re.MULTILINE)}
    assert classes == {*re.findall(coloured, dark.split("</style>")[0], re.MULTILINE)}
    assert {".page", "text"} < classes


def test_sample_row_is_made_from_the_sample_record() -> None:
    record, row = (json.loads(each.text) for each in shell.blocks("docs/columns.md")[:2])
    created = created_of(record)
    record_id = id_of(record)
    assert created is not None
    assert record_id is not None
    now = timestamps.parse(row["TimeGenerated"])

    made = Mapper(row["site_s"], event_time=False, now=lambda: now).row(
        record, Identity(record_id, created)
    )

    assert list(json.loads(made.line).items()) == list(row.items())


def code_names(page: str, heading: str | None = None, table: int = 0) -> list[str]:
    """What stands as code in the first column of a table."""
    return [row[0].strip("`") for row in pages.tables(page, heading)[table]]


def test_log_line_is_documented_key_by_key() -> None:
    outcome = Outcome("a", "failed", Tally(), 0, 0, 0, SiteError("b"))
    keys = re.findall(r"(\w+)=", outcome.line())
    [sample, *_] = shell.blocks("docs/log-line.md")

    assert code_names("docs/log-line.md") == keys
    assert re.findall(r"(\w+)=", sample.text) == keys[:-1]


def test_checkpoint_is_documented_field_by_field() -> None:
    names = {"v", "saved", *(field.name for field in checkpoint.FIELDS)}

    assert {*code_names("docs/blobs.md", "Checkpoint")} == names


def test_dead_letter_is_documented_field_by_field() -> None:
    blob = json.loads(Letter("refused", "why", "a", {"id": 1}, 400).encode(0))

    assert code_names("docs/blobs.md", "Dead letter") == list(blob)


def test_verdicts_are_documented_from_the_worst_on() -> None:
    assert tuple(code_names("docs/point-the-terminal.md", "Look")) == VERDICTS


def test_exit_codes_are_those_of_the_commands_and_the_script() -> None:
    commands, script = pages.tables("docs/exit-codes.md")
    usage = (shell.ROOT / "deploy" / "deploy.sh").read_text(encoding="utf-8")
    usage = usage.split("Exit codes: ")[1].split("\nEND")[0]

    assert [row[0] for row in commands] == [str(int(code)) for code in MEANINGS]
    assert [row[0] for row in script] == re.findall(r"\b(\d) ", usage)
