"""What commands write is their owner's: its modes, the links they do not follow, and settings that
others can read.
"""

import json
import os
import stat
from pathlib import Path

import pytest

from jira_audit.core.records import TABLE_FILE
from jira_audit.simulator.site import FakeJira, Response
from tests.terminal.conftest import TOKEN, USERNAME, Run, Site, records, set_up

pytestmark = pytest.mark.usefixtures("usual_umask")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of the user's own that others may read, as mkdir makes it."""
    folder = tmp_path / "out"
    folder.mkdir(0o755)
    return folder


def modes(folder: Path) -> set[tuple[str, int]]:
    """The modes of all files and folders below a folder."""
    paths = list(folder.rglob("*"))
    assert paths
    return {
        ("folder" if path.is_dir() else "file", stat.S_IMODE(path.lstat().st_mode))
        for path in paths
    }


ONLY_THE_OWNERS = {("folder", 0o700), ("file", 0o600)}


class UnreadableRecord(FakeJira):
    """A site of one record whose id is no number: it becomes a dead letter."""

    def answer(self, *request: object) -> Response:
        answer = super().answer(*request)  # type: ignore[arg-type]
        return Response(answer.status, answer.headers, answer.body.replace(b":10000,", b':"x",'))


def test_files_of_collect_are_for_their_owner_alone(
    run: Run, site: Site, tmp_path: Path, folder: Path
) -> None:
    assert run("collect", "--folder", folder).code == 0
    assert run("collect", "--folder", tmp_path / "new").code == 0

    assert modes(folder) == modes(tmp_path / "new") == ONLY_THE_OWNERS
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_files_of_dead_letters_are_for_their_owner_alone(run: Run, folder: Path) -> None:
    site = UnreadableRecord(USERNAME, TOKEN)
    site.add(records(2))
    with set_up(site):
        run("collect", "--folder", folder)

    assert list((folder / "dead-letters").rglob("*.json"))
    assert modes(folder) == ONLY_THE_OWNERS


def test_files_of_demo_and_the_reports_are_for_their_owner_alone(
    run: Run, site: Site, tmp_path: Path, folder: Path
) -> None:
    assert run("demo", "--folder", folder).code == 0
    assert run("collect", "--folder", folder / "site").code == 0
    written = tmp_path / "written"
    written.mkdir()

    assert run("report", "--folder", folder, "--out", written / "page.html").code == 0
    verify = ("verify", "--from", "all", "--folder", folder / "site")
    assert run(*verify, "--out", written / "a.json").code == 0

    assert modes(folder) == ONLY_THE_OWNERS
    assert {path.name for path in written.iterdir()} == {"page.html", "a.json"}
    assert modes(written) == {("file", 0o600)}


def test_files_that_links_lead_to_are_not_written(run: Run, site: Site, folder: Path) -> None:
    (folder / "checkpoints").mkdir()
    victim = folder / "victim"
    for name in (TABLE_FILE, "checkpoints/127.0.0.1.new", "page.html", "report.json"):
        (folder / name).symlink_to(victim)

    collected = run("collect", "--folder", folder)
    reported = run("report", "--folder", folder, "--out", folder / "page.html")
    verified = run("verify", "--from", "all", "--folder", folder, "--out", folder / "report.json")

    assert not victim.exists()
    assert collected.code == reported.code == verified.code == 1
    assert f"{TABLE_FILE} is a symbolic link" in collected.err
    assert "page.html is a symbolic link" in reported.err
    assert "report.json is a symbolic link" in verified.err


def test_files_are_not_written_into_another_users_folder(
    run: Run, site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() == 0:
        os.chown(folder, 12_345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12_345)

    collected = run("collect", "--folder", folder)
    shown = run("demo", "--folder", folder)
    reported = run("report", "--folder", folder, "--out", folder / "page.html")

    assert list(folder.iterdir()) == []
    assert collected.code == shown.code == reported.code == 1
    assert "belongs to another user: name a folder of your own" in collected.err
    assert "belongs to another user: name a folder of your own" in reported.err


@pytest.mark.parametrize(
    ("permissions", "said"), [(0o600, False), (0o640, True), (0o604, True), (0o400, False)]
)
def test_settings_file_that_others_can_read_is_reported(
    run: Run, tmp_path: Path, permissions: int, said: bool
) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text(json.dumps({"Values": {"JIRA_API_TOKEN": TOKEN}}))
    file.chmod(permissions)

    for command in (("status",), ("check",)):
        ended = run(*command, "--settings", file)

        assert (f"other users can read {file}" in ended.err) is said
        assert (f"chmod 600 {file}" in ended.err) is said
        assert TOKEN not in ended.out + ended.err
