"""The command that writes a page: from a folder without settings, and from a workspace."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from jira_audit.core.records import TABLE_FILE
from jira_audit.settings.azure import PUBLIC_CLOUD
from tests.servers.ingestion import Ingestion
from tests.servers.workspace import FORBIDDEN, WORKSPACE, QueryService
from tests.terminal.conftest import Run, Site, as_two_sites
from tests.terminal.test_operate import HOST, Place, blobs


@pytest.fixture
def demo_folder(run: Run, tmp_path: Path) -> Path:
    """What the demo leaves behind: rows and a checkpoint."""
    folder = tmp_path / "out"
    assert run("demo", "--folder", folder).code == 0
    return folder


def test_folder_is_reported_without_settings(run: Run, demo_folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"

    ended = run("report", "--folder", demo_folder, "--out", page)

    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"{page}: 315 rows. It contains personal data.\n"
    html = page.read_text(encoding="utf-8")
    assert "<b>315</b> rows" in html
    assert "fernmoor.atlassian.example" in html
    assert "<span class=good>ok</span>" in html
    assert '<a class="verdict good" href="#connector">ok</a>' in html


def test_page_is_written_to_the_current_folder(
    run: Run, demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert run("report", "--folder", demo_folder).code == 0

    assert (tmp_path / "jira-audit-report.html").stat().st_size > 5_000


def test_range_limits_the_rows(run: Run, demo_folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    timestamp_ms = "2026-01-01T00:00:00Z"

    ended = run(
        "report",
        "--folder",
        demo_folder,
        "--out",
        page,
        "--from",
        timestamp_ms,
        "--to",
        timestamp_ms,
    )

    assert ended.out == f"{page}: 0 rows. It contains personal data.\n"
    assert "There are no rows in this range." in page.read_text(encoding="utf-8")


def row(created: str, **columns: str) -> bytes:
    at = {"created_t": created, "TimeGenerated": created}
    return json.dumps({"id_d": 1, "site_s": HOST} | at | columns).encode() + b"\n"


@pytest.fixture
def two_days(tmp_path: Path) -> Path:
    """A folder with rows of two days in 2025."""
    folder = tmp_path / "two-days"
    folder.mkdir()
    (folder / TABLE_FILE).write_bytes(
        row("2025-03-01T08:00:00Z") + row("2025-03-02T09:30:00Z", Category="system")
    )
    return folder


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "2025-03-01 08:00:00 UTC to 2025-03-02 09:30:00 UTC"),
        (["--from", "2025-01-01T00:00:00Z"], "2025-01-01 00:00:00 UTC to 2025-03-02 09:30:00 UTC"),
        (["--to", "2025-03-02T00:00:00Z"], "2025-03-01 08:00:00 UTC to 2025-03-02 00:00:00 UTC"),
    ],
)
def test_range_fits_the_rows_unless_it_is_given(
    options: list[str], expected: str, run: Run, two_days: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"

    assert run("report", "--folder", two_days, "--out", page, *options).code == 0

    assert expected in " ".join(page.read_text(encoding="utf-8").split())


@pytest.fixture
def service(
    request: pytest.FixtureRequest,
    authority: tuple[trustme.CA, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[QueryService]:
    """The workspace that the ingestion service's rows go to."""
    ingestion: Ingestion = request.getfixturevalue("ingestion")
    with QueryService(ingestion.rows).serve(authority[0]) as server:
        cloud = replace(PUBLIC_CLOUD, queries=server.endpoint)
        monkeypatch.setattr("jira_audit.settings.azure.PUBLIC_CLOUD", cloud)
        yield server


@pytest.fixture
def azure(request: pytest.FixtureRequest, site: Site) -> Place:
    make: Callable[[pytest.FixtureRequest], Place] = blobs
    return make(request)


@pytest.mark.servers
def test_workspace_is_queried_for_its_rows(
    azure: Place, service: QueryService, tmp_path: Path, site: Site
) -> None:
    os.environ["JIRA_TOKEN_EXPIRES"] = "2999-01-01"
    assert azure("collect").code == 0
    page, asked = tmp_path / "page.html", site.asked

    ended = azure.run("report", "--workspace", WORKSPACE, "--out", page)

    assert (ended.code, ended.err) == (0, "")
    html = page.read_text(encoding="utf-8")
    assert "<b>200</b> rows" in html
    assert HOST in html
    assert "2999-01-01" in html
    assert site.asked == asked


@pytest.mark.servers
def test_sites_that_are_set_up_are_all_on_the_page(
    azure: Place, service: QueryService, tmp_path: Path
) -> None:
    as_two_sites({"url": "https://contoso.atlassian.net", "username": "nobody"})
    assert azure.run("collect").code == 1
    page = tmp_path / "page.html"

    assert azure.run("report", "--workspace", WORKSPACE, "--out", page).code == 0

    html = page.read_text(encoding="utf-8")
    assert "<b>400</b> rows" in html
    assert "By site" in html
    assert "<bdi>contoso.atlassian.net</bdi> <span class=bad>failed</span>" in html


@pytest.mark.servers
def test_workspace_that_may_not_be_read_leaves_no_page(
    azure: Place, service: QueryService, tmp_path: Path
) -> None:
    service.script(FORBIDDEN)

    ended = azure.run("report", "--workspace", WORKSPACE, "--out", tmp_path / "page.html")

    assert (ended.code, ended.out) == (1, "")
    assert "needs the role Log Analytics Reader" in ended.err
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("both", [False, True])
def test_source_is_either_a_folder_or_a_workspace(both: bool, run: Run, demo_folder: Path) -> None:
    arguments = ["--folder", demo_folder, "--workspace", WORKSPACE] if both else []

    ended = run("report", *arguments)

    assert (ended.code, ended.out) == (2, "")


def test_page_that_cannot_be_written_exits_with_1(
    run: Run, demo_folder: Path, tmp_path: Path
) -> None:
    ended = run("report", "--folder", demo_folder, "--out", tmp_path / "no" / "page.html")

    assert (ended.code, ended.out) == (1, "")
    assert "page.html cannot be written" in ended.err


def test_folder_with_an_invalid_line_names_it(run: Run, demo_folder: Path, tmp_path: Path) -> None:
    with (demo_folder / TABLE_FILE).open("ab") as table:
        table.write(b"garbled\n")

    ended = run("report", "--folder", demo_folder, "--out", tmp_path / "page.html")

    assert ended.code == 1
    assert f"line 316 of {TABLE_FILE} is not a row" in ended.err
