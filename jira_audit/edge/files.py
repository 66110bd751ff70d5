"""Files and folders that only their owner can read, written where no other user can interfere.

A folder that another user owns is not written to, and a link in the place of a file is not
followed: its owner chose where it leads. Windows has access control lists instead of modes and
owners; there, only links are refused.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from itertools import takewhile
from pathlib import Path
from typing import IO

FILE_MODE = 0o600
FOLDER_MODE = 0o700

ROOT = 0
"""May change every folder anyway, and owns /tmp, where only its owner may replace a file."""


class PathRefused(Exception):
    """Nothing is written there; the message says why, and what to name instead."""


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents for their owner alone; an existing one is kept.

    Raises PathRefused if another user owns the folder, or the one that the first is created in.
    """
    missing = list(takewhile(lambda each: not each.exists(), [folder, *folder.parents]))
    if missing:
        require_own(missing[-1].parent)
    for each in reversed(missing):
        each.mkdir(FOLDER_MODE, exist_ok=True)
    require_own(folder)


def require_own(folder: Path) -> None:
    """Raises PathRefused if another user owns a folder, or a link in its place."""
    _require_owner(folder, folder.lstat())
    _require_owner(folder, folder.stat())


def replace(path: Path, content: bytes) -> None:
    """Replace a file, or create it, atomically; only its owner can read it.

    Raises PathRefused for another user's folder, a link or a device, and OSError.
    """
    require_own(path.parent)
    _require_file(path)
    # A name that nobody can foresee, and a file that did not exist: there is no link to follow.
    descriptor, name = tempfile.mkstemp(".new", ".", path.parent)
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def open_to_append(path: Path) -> IO[bytes]:
    """Open a file to read and append, unbuffered; a new one is readable by its owner alone.

    An existing one keeps its mode, which may be set for a program that reads it. Raises PathRefused
    as `replace`, and for another user's file.
    """
    require_own(path.parent)
    _require_file(path)
    # Windows has no O_NOFOLLOW, and needs O_BINARY.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags, FILE_MODE)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _is_link(path) from error
        raise
    file = os.fdopen(descriptor, "ab+", buffering=0)
    try:
        _require_owner(path, os.fstat(descriptor))
    except PathRefused:
        file.close()
        raise
    return file


def _require_file(path: Path) -> None:
    """Raises PathRefused unless a path is free or a regular file."""
    if path.is_symlink():
        raise _is_link(path)
    if path.exists() and not path.is_file():
        message = f"{path} is not a regular file: name another"
        raise PathRefused(message)


def _is_link(path: Path) -> PathRefused:
    return PathRefused(f"{path} is a symbolic link: remove it, or name the file itself")


def _require_owner(path: Path, status: os.stat_result) -> None:
    if sys.platform == "win32":
        return
    if status.st_uid not in {ROOT, os.geteuid()}:
        message = f"{path} belongs to another user: name a folder of your own"
        raise PathRefused(message)
