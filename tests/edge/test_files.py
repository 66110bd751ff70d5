"""Files for their owner alone: their modes, and the places where nothing is written."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from jira_audit.edge import files

pytestmark = pytest.mark.usefixtures("usual_umask")

Write = Callable[[Path, bytes], None]


def append(path: Path, content: bytes) -> None:
    with files.open_to_append(path) as file:
        file.write(content)


@pytest.fixture(params=[files.replace, append], ids=["replace", "append"])
def write(request: pytest.FixtureRequest) -> Write:
    way: Write = request.param
    return way


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a path another user's: by its owner if this user may, else by who asks."""
    if os.geteuid() == 0:
        os.chown(path, 12_345, -1, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12_345)


def test_file_is_for_its_owner_alone(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "file", b"text")

    assert (tmp_path / "file").read_bytes() == b"text"
    assert mode(tmp_path / "file") == 0o600
    assert names(tmp_path) == ["file"]


def test_folder_and_its_new_parents_are_for_their_owner_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    files.make_folder(tmp_path / "a" / "b")
    files.make_folder(tmp_path / "a" / "b")

    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o700
    assert mode(tmp_path) == 0o755


def test_file_that_exists_is_replaced_by_a_private_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")

    files.replace(path, b"after")

    assert (path.read_bytes(), mode(path)) == (b"after", 0o600)


def test_file_that_exists_keeps_its_mode_when_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before ")
    path.chmod(0o640)  # for a program that ships it, say

    append(path, b"after")

    assert (path.read_bytes(), mode(path)) == (b"before after", 0o640)


def test_link_in_the_place_of_a_file_is_not_followed(write: Write, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    (tmp_path / "file").symlink_to(victim)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")

    for name in ("file", "dangling"):
        with pytest.raises(files.PathRefused, match=f"{name} is a symbolic link"):
            write(tmp_path / name, b"text")

    assert victim.read_bytes() == b"untouched"
    assert not (tmp_path / "nowhere").exists()


def test_device_or_pipe_in_the_place_of_a_file_is_left_alone(write: Write, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "file")

    with pytest.raises(files.PathRefused, match="file is not a regular file"):
        write(tmp_path / "file", b"text")

    assert stat.S_ISFIFO((tmp_path / "file").lstat().st_mode)


def test_file_of_another_user_is_not_appended_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"untouched")
    give_away(tmp_path / "file", monkeypatch)

    with pytest.raises(files.PathRefused, match="belongs to another user"):
        append(tmp_path / "file", b"text")

    assert (tmp_path / "file").read_bytes() == b"untouched"


def test_folder_of_another_user_is_not_written_to(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    give_away(folder, monkeypatch)

    with pytest.raises(files.PathRefused, match="folder belongs to another user"):
        write(folder / "file", b"text")
    with pytest.raises(files.PathRefused, match="folder belongs to another user"):
        files.make_folder(folder)
    with pytest.raises(files.PathRefused, match="folder belongs to another user"):
        files.make_folder(folder / "a" / "b")

    assert names(folder) == []


def test_link_of_another_user_to_a_folder_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "ours")
    files.make_folder(tmp_path / "link")  # one's own link to one's own folder

    give_away(tmp_path / "link", monkeypatch)

    with pytest.raises(files.PathRefused, match="link belongs to another user"):
        files.make_folder(tmp_path / "link")


def test_folder_of_root_is_nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        monkeypatch.setattr(os, "geteuid", lambda: 12_345)
        files.make_folder(tmp_path)
    else:
        files.require_own(Path("/"))


def test_write_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"before")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.replace(tmp_path / "file", b"after")

    assert (tmp_path / "file").read_bytes() == b"before"
    assert names(tmp_path) == ["file"]
