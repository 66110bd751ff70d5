"""The local file of rows, read back: as it was written, and nothing a crash has left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jira_audit.core import timestamps
from jira_audit.core.completeness import TableInventory
from jira_audit.core.errors import SiteError, TransientError
from jira_audit.core.ledger import Ledger
from jira_audit.core.records import TABLE_FILE
from jira_audit.core.timestamps import HOUR
from jira_audit.core.window import Window
from jira_audit.edge.local import LocalSink, LocalTable

SITE = "contoso.atlassian.net"
NOW = timestamps.parse("2026-11-20T12:00:00Z")
RANGE = Window(NOW - HOUR, NOW)


def row(number: int, created: int = NOW, site: str = SITE) -> dict[str, Any]:
    return {"id_d": number, "created_t": timestamps.text(created), "site_s": site}


def write_rows(folder: Path, *rows: dict[str, Any]) -> LocalTable:
    LocalSink(folder).send(json.dumps(rows).encode())
    return LocalTable(folder)


def test_table_counts_the_rows_of_a_site_and_range(
    tmp_path: Path,
) -> None:
    table = write_rows(
        tmp_path,
        *(row(1), row(2, RANGE.start), row(3, RANGE.start - 1), row(4, NOW + 1), row(2, NOW)),
        row(5, site="other.atlassian.net"),
    )

    assert table.held(SITE, RANGE) == TableInventory(Ledger().with_ids([1, 2]), {2: 2})


def test_rows_under_a_former_name_count_as_well(tmp_path: Path) -> None:
    table = write_rows(
        tmp_path, row(1), row(2, site="old.net"), row(1, site="old.net"), row(3, site="x")
    )

    assert table.held(SITE, RANGE, ("old.net",)) == TableInventory(
        Ledger().with_ids([1, 2]), {1: 2}
    )


def test_table_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert LocalTable(tmp_path).held(SITE, RANGE) == TableInventory()


def test_table_that_is_unreadable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / TABLE_FILE).mkdir()

    with pytest.raises(TransientError, match="rows could not be read"):
        LocalTable(tmp_path).held(SITE, RANGE)


def test_line_truncated_by_a_crash_is_no_row(tmp_path: Path) -> None:
    table = write_rows(tmp_path, row(1))
    with (tmp_path / TABLE_FILE).open("ab") as file:
        file.write(b'{"id_d":2,"site_s":"')

    assert table.held(SITE, RANGE) == TableInventory(Ledger(((1, 1),)))


@pytest.mark.parametrize(
    "line", [b"no JSON", b"[]", b'{"id_d": 1}', b'{"id_d": "1", "site_s": "x", "created_t": ""}']
)
def test_line_that_is_no_row_is_named_by_its_number(line: bytes, tmp_path: Path) -> None:
    table = write_rows(tmp_path, row(1))
    with (tmp_path / TABLE_FILE).open("ab") as file:
        file.write(line + b"\n")

    with pytest.raises(SiteError, match=r"^line 2 of .* is not a row"):
        table.held(SITE, RANGE)
