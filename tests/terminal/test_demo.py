"""The demo, run as a newcomer runs it."""

import json
import os
import pty
from pathlib import Path

import pytest

from jira_audit.terminal.demo import FIRST_ID, HOST
from tests.terminal.conftest import Run, begin

ESCAPE = "\x1b"


def test_demo_adds_only_new_rows_in_its_second_run(run_apart: Run, tmp_path: Path) -> None:
    folder = tmp_path / "new"

    ended = run_apart("demo", "--folder", folder)

    assert (ended.code, ended.err) == (0, "")
    assert "300 new rows" in ended.out
    assert "15 new rows, 1 late" in ended.out
    assert "315 rows, 315 records: every record" in ended.out
    rows = [json.loads(line) for line in (folder / "Jira_Audit_CL.jsonl").read_bytes().splitlines()]
    ids = [row["id_d"] for row in rows]
    assert sorted(ids[:300]) == list(range(FIRST_ID, FIRST_ID + 300))
    assert sorted(ids[300:]) == list(range(FIRST_ID + 300, FIRST_ID + 315))
    assert {row["site_s"] for row in rows} == {HOST}
    checkpoint = json.loads((folder / f"checkpoints/{HOST}.json").read_bytes())
    assert checkpoint["ledger"] == [[FIRST_ID, FIRST_ID + 314]]


def test_demo_says_where_the_files_are_and_what_is_next(run_apart: Run, tmp_path: Path) -> None:
    os.environ["TMPDIR"] = str(tmp_path)

    ended = run_apart("demo")

    table = next(
        line.split()[-1] for line in ended.out.splitlines() if "Jira_Audit_CL.jsonl" in line
    )
    assert Path(table).is_file()
    assert Path(table).is_relative_to(tmp_path)
    assert "collect --folder ./out" in ended.out.splitlines()[-1]


def test_demo_refuses_a_folder_that_is_not_empty(run: Run, tmp_path: Path) -> None:
    tmp_path.joinpath("mine").touch()

    ended = run("demo", "--folder", tmp_path)

    assert ended.code == 2
    said = " ".join(ended.err.replace("│", " ").split())  # the frame breaks lines where it must
    assert "is not empty" in said
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_console_without_unicode_does_not_end_the_demo(run_apart: Run, tmp_path: Path) -> None:
    os.environ["PYTHONIOENCODING"] = "ascii"

    ended = run_apart("demo", "--folder", tmp_path)

    assert (ended.code, ended.err) == (0, "")


def test_console_without_a_terminal_has_no_colours(run_apart: Run, tmp_path: Path) -> None:
    assert ESCAPE not in run_apart("demo", "--folder", tmp_path).out


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_console_on_a_terminal_has_colours_unless_disabled(
    tmp_path: Path, no_color: str, coloured: bool
) -> None:
    os.environ |= {"TERM": "xterm-256color", "NO_COLOR": no_color}

    shown = on_a_terminal("demo", "--folder", tmp_path)

    assert "300 new rows" in shown
    assert (f"{ESCAPE}[32m" in shown) == coloured


def on_a_terminal(*arguments: str | Path) -> str:
    """All that a command shows on a terminal of its own."""
    reader, terminal = pty.openpty()
    process = begin(*arguments, out=terminal, err=terminal)
    os.close(terminal)
    shown = b""
    try:
        while piece := os.read(reader, 65_536):
            shown += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(reader)
        process.wait(60)
    return shown.decode()
