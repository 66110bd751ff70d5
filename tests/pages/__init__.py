"""Pages of audit records for the tests: a written one, and real ones where a folder is named.

No real page is in this repository: a page is full of people's names, addresses and account ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.core.json_strategies import parse_strictly
from tests.pages import written

Record = dict[str, Any]

VARIABLE = "REAL_AUDIT_PAGES"
"""Names a folder of real pages, each a file `*.json` that holds one answer of Jira's."""


class PagesUnusable(Exception):
    """The folder that the variable names is not one of pages; whoever set the variable must act."""


@dataclass(frozen=True)
class Page:
    """One answer's records, as Jira orders them: newest first."""

    name: str
    records: list[Record]


def pages(environment: Mapping[str, str]) -> list[Page]:
    """The written page, and after it every page of the folder that `REAL_AUDIT_PAGES` names.

    Raises `PagesUnusable` where the variable is set and is not a folder with at least one record
    in it, or where a JSON file in it is not a page: a test of real pages must not pass for want of
    them.
    """
    return [Page("written", written.page()["records"]), *_read_folder(environment.get(VARIABLE))]


def _read_folder(folder: str | None) -> list[Page]:
    if folder is None:
        return []
    if not folder or not Path(folder).is_dir():
        raise PagesUnusable(f"{VARIABLE} must name a folder that exists, not {folder!r}")
    read = [_read_page(path) for path in sorted(Path(folder).glob("*.json"))]
    if not any(page.records for page in read):
        raise PagesUnusable(f"{VARIABLE}: no *.json file in {folder} holds a record")
    return read


def _read_page(path: Path) -> Page:
    try:
        answer = parse_strictly(path.read_bytes())
    except ValueError as error:
        raise PagesUnusable(f"{VARIABLE}: {path} is not JSON: {error}") from error
    records = answer.get("records") if isinstance(answer, dict) else None
    if not isinstance(records, list) or not all(isinstance(each, dict) for each in records):
        raise PagesUnusable(f'{VARIABLE}: {path} is not a page: {{"records": [...]}} is needed')
    return Page(path.stem, records)
