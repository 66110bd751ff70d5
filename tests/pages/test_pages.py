"""Which pages the tests run on: the written one, and real ones where a folder is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.pages import VARIABLE, PagesUnusable, pages

RECORD = {"id": 10_000, "created": "2026-03-10T10:00:05.407+0000"}


def write(folder: Path, name: str, content: Any) -> None:
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def test_pages_without_a_folder_are_the_written_one() -> None:
    (page,) = pages({})

    assert page.name == "written"
    assert page.records


def test_pages_of_a_folder_come_beside_the_written_one(tmp_path: Path) -> None:
    write(tmp_path, "second.json", {"records": []})
    write(tmp_path, "first.json", {"offset": 0, "records": [RECORD], "total": 1})
    (tmp_path / "README.md").write_text("how they were fetched")

    _, *real = pages({VARIABLE: str(tmp_path)})

    assert [(page.name, page.records) for page in real] == [("first", [RECORD]), ("second", [])]


@pytest.mark.parametrize("folder", ["", "absent", "first.json"])
def test_folder_that_does_not_exist_is_refused(folder: str, tmp_path: Path) -> None:
    write(tmp_path, "first.json", {"records": [RECORD]})

    with pytest.raises(PagesUnusable, match=rf"^{VARIABLE} must name a folder that exists, not '"):
        pages({VARIABLE: folder and str(tmp_path / folder)})


def test_folder_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PagesUnusable, match="holds a record"):
        pages({VARIABLE: str(tmp_path)})
    write(tmp_path, "last.json", {"records": []})
    with pytest.raises(PagesUnusable, match="holds a record"):
        pages({VARIABLE: str(tmp_path)})


@pytest.mark.parametrize(
    "content", [[], "text", {}, {"records": None}, {"records": {}}, {"records": [RECORD, 7]}]
)
def test_file_that_is_not_a_page_is_refused_by_name(content: Any, tmp_path: Path) -> None:
    write(tmp_path, "first.json", {"records": [RECORD]})
    write(tmp_path, "other.json", content)

    with pytest.raises(PagesUnusable, match=r"other\.json is not a page"):
        pages({VARIABLE: str(tmp_path)})


@pytest.mark.parametrize("text", [b"", b'{"records": [', b"\xff\xfe", b'{"records": [NaN]}'])
def test_file_that_is_not_json_is_refused_by_name(text: bytes, tmp_path: Path) -> None:
    write(tmp_path, "first.json", {"records": [RECORD]})
    (tmp_path / "other.json").write_bytes(text)

    with pytest.raises(PagesUnusable, match=r"other\.json is not JSON"):
        pages({VARIABLE: str(tmp_path)})
