"""No test reads a file outside the checkout: what passes here has to pass in a fresh clone as well.

Every read is seen, by whichever module, as Python announces it to its audit hooks:
https://docs.python.org/3/library/audit_events.html. Other processes are not watched.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# Where an operating system keeps its own: libraries, devices, time zones, certificates.
_SYSTEM = (
    *("/bin", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr"),
    *("/nix/store", "/opt/homebrew", "/Library", "/System", "/var/db"),
)
# What commands of the Makefile make inside the checkout. Each may be a link to another checkout's;
# a link anywhere else in the checkout leads outside.
_MADE = (".venv*", "build", "dist", "tests/setup/node_modules")


class ReadRefused(AssertionError):
    """No OSError: what takes those for a file that is absent must not swallow this."""


class ReadGuard:
    """A plugin of pytest that fails whatever reads outside the checkout: a test in any of its
    phases, or a module while it is collected.

    The folders of the interpreter and of the operating system may be read, and what `tempfile`
    makes while the guard is installed. Of such a folder that holds the checkout itself, all may be
    read but the part in which the checkout is.

    * `checkout`: the folder whose files may be read.
    * `others`: further folders that may be read.
    """

    def __init__(self, checkout: Path, others: Iterable[Path] = ()) -> None:
        self._checkout = os.path.realpath(checkout)
        self._folders = [(self._checkout, "")]  # each with the part of it that is left out
        self._listings: set[str] = set()
        self._watches = False
        self._refused: list[str] = []
        for pattern in _MADE:
            for made in checkout.glob(pattern):
                self.allow(made)
        for folder in (*_interpreter(), *_SYSTEM, *map(str, others)):
            self.allow(folder)
        for searched in map(os.path.realpath, filter(None, sys.path)):
            # Where tests are started from may be searched for modules, and its files not be read.
            if _within(self._checkout, searched):
                self._listings.add(searched)
            else:
                self.allow(searched)

    def install(self) -> None:
        """Watch this process for as long as it lives: no audit hook can be taken away again."""
        tempfile.gettempdir()  # is searched for once, in folders that may not be read
        sys.addaudithook(self._see)

    def allow(self, folder: str | Path) -> None:
        real, without = os.path.realpath(folder), ""
        if real != self._checkout and _within(self._checkout, real):
            without = str(Path(real) / Path(self._checkout).relative_to(real).parts[0])
        self._folders.append((real, without))

    def may_read(self, path: str | Path) -> bool:
        """Whether that file or folder may be read; links in the path are followed first."""
        real = os.path.realpath(path)
        return real in self._listings or any(
            _within(real, folder) and not (without and _within(real, without))
            for folder, without in self._folders
        )

    def take(self) -> list[str]:
        """What was refused since the last call; it fails nothing any more."""
        refused, self._refused = self._refused, []
        return refused

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Refuse reads outside the checkout. Raises `ReadRefused` at the end as well, for a block
        that has swallowed the first one.
        """
        self._watches = True
        try:
            yield
        finally:
            self._watches = False
            if refused := self.take():
                raise ReadRefused(_refusal(refused))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let anything be read, in the middle of what is watched."""
        self._watches, watched = False, self._watches
        try:
            yield
        finally:
            self._watches = watched

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in {"tempfile.mkdtemp", "tempfile.mkstemp"}:
            self.allow(os.fsdecode(arguments[0]))
        elif self._watches and event in {"open", "os.listdir", "os.scandir"}:
            path = "." if arguments[0] is None else arguments[0]
            if isinstance(path, int):
                return  # it is open, so it was seen before
            name = os.fsdecode(path)
            if event == "open" and not _reads(name, arguments[2]):
                return
            if not self.may_read(name):
                self._refused.append(name)
                raise ReadRefused(_refusal([name]))

    # What pytest calls. A hook that comes first wraps all others, and so the fixtures.

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self) -> Generator[None, object, object]:
        with self.watching():
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        with self.watching():
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        with self.watching():
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(
        self,
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        # An exception here would end pytest; a failed report is told like any other.
        report = None
        try:
            with self.watching():
                report = yield
        except ReadRefused as refused:
            if report is None:
                raise
            if report.outcome != "failed":
                report.outcome, report.longrepr, report.result = "failed", str(refused), []
        return report


def _interpreter() -> list[str]:
    """Where Python and what is installed for it live, in an environment or not."""
    prefixes = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]
    caches = [sys.pycache_prefix] if sys.pycache_prefix else []
    return [*prefixes, *sysconfig.get_paths().values(), *caches]


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _reads(name: str, flags: int) -> bool:
    """Whether a file opened with these flags shows what was there before it was opened."""
    access = flags & os.O_ACCMODE
    new = flags & os.O_TRUNC or (flags & os.O_CREAT and flags & os.O_EXCL)
    # `tempfile` opens a folder for reading and writing to get a file without a name.
    folder = access == os.O_RDWR and Path(name).is_dir()
    return access != os.O_WRONLY and not new and not folder


def _refusal(paths: list[str]) -> str:
    several = ", ".join(dict.fromkeys(paths))
    return f"a test read outside the checkout, which a fresh clone has not: {several}"
