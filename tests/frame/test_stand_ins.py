"""Every stand-in is listed, with what it follows; and what the list names is there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
TABLE = (TESTS / "fakes" / "README.md").read_text(encoding="utf-8").split("\n## ")[0]


def test_stand_ins_are_all_listed() -> None:
    modules = {
        f"{folder}/{path.name}"
        for folder in ("fakes", "servers")
        for path in (TESTS / folder).glob("*.py")
        if not path.name.startswith(("test_", "_"))
    }
    listed = {name for line in rows() for name in re.findall(r"`([\w/]+\.py)`", line[0])}

    assert modules - listed == set()


def test_stand_ins_name_what_they_follow() -> None:
    for name, stands_for, follows, _ in rows():
        assert stands_for
        assert follows or "no part" in stands_for, name


def test_stand_ins_list_names_files_that_exist() -> None:
    named = {name for row in rows() for cell in row for name in re.findall(r"`([\w/]+\.py)", cell)}
    elsewhere = {"proxy_worker/dispatcher.py"}  # of the deployed worker

    for name in named - elsewhere:
        assert (TESTS / name).is_file() or (TESTS.parent / name).is_file(), name


def rows() -> list[list[str]]:
    lines = [line for line in TABLE.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
