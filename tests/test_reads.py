"""That no test can read a file outside the checkout, whatever the way and wherever it is."""

from __future__ import annotations

import contextlib
import glob
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.reads import ReadGuard, ReadRefused

ROOT = Path(__file__).parents[1]

CONFTEST = """
from pathlib import Path
import pytest
from tests.reads import ReadGuard

guard = ReadGuard(Path(__file__).parent)

def pytest_configure(config):
    guard.install()
    config.pluginmanager.register(guard)

@pytest.fixture(scope="session", autouse=True)
def temporary_folder(tmp_path_factory):
    with guard.paused():
        guard.allow(tmp_path_factory.getbasetemp())
"""

TESTS = """
import contextlib, os, shutil, tempfile, threading
from pathlib import Path
import pytest

ABOVE = Path(__file__).parents[1]

def test_reads_beside_the_checkout():
    (ABOVE / "beside/page.json").read_text()

def test_reads_relatively():
    open("../beside/page.json")

def test_takes_a_refusal_for_an_absent_file():
    with contextlib.suppress(OSError):
        open(ABOVE / "absent.json")

def test_swallows_everything():
    with contextlib.suppress(BaseException):
        open(ABOVE / "beside/page.json")

def test_skips_itself_for_want_of_the_file():
    try:
        open(ABOVE / "beside/page.json")
    except BaseException:
        pytest.skip("not here")

def test_reads_in_a_thread():
    def read():
        with contextlib.suppress(BaseException):
            open(ABOVE / "beside/page.json")
    thread = threading.Thread(target=read)
    thread.start()
    thread.join()

def test_lists_what_is_above():
    os.listdir(ABOVE)

def test_follows_a_link_out_of_the_checkout():
    (Path(__file__).parent / "link" / "page.json").read_text()

@pytest.fixture
def reads_before():
    with contextlib.suppress(BaseException):
        open(ABOVE / "beside/page.json")

def test_has_a_fixture_that_reads(reads_before):
    pass

@pytest.fixture
def reads_after():
    yield
    with contextlib.suppress(BaseException):
        open(ABOVE / "beside/page.json")

def test_has_a_fixture_that_reads_at_its_end(reads_after):
    pass

def test_good_reads_its_own_folder():
    assert "guard" in (Path(__file__).parent / "conftest.py").read_text()
    assert "conftest.py" in os.listdir(Path(__file__).parent)

def test_good_reads_what_it_has_written(tmp_path):
    (tmp_path / "x").write_text("x")
    assert [each.read_text() for each in tmp_path.iterdir()] == ["x"]

def test_good_uses_temporary_files():
    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile() as named:
        Path(folder, "x").write_text("x")
        assert Path(folder, "x").read_text() == "x"
        assert Path(named.name).read_bytes() == b""
    with tempfile.TemporaryFile() as file, tempfile.SpooledTemporaryFile(1) as spooled:
        file.write(b"x")
        spooled.write(b"xx")

def test_good_imports_and_looks_at_the_system():
    import colorsys, wave
    assert Path(os.__file__).read_text()
    assert Path(pytest.__file__).read_text()
    assert os.listdir("/dev")

def test_good_reads_what_was_linked_into_the_checkout():
    assert (Path(__file__).parent / "build" / "x").read_text() == "x"

def test_good_asks_whether_a_file_is_there():
    assert (ABOVE / "beside/page.json").exists()
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small one, in a folder that holds other things too."""
    made = tmp_path / "above" / "checkout"
    for folder in (made, tmp_path / "above" / "beside", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
    (tmp_path / "above" / "beside" / "page.json").write_text('{"records": []}')
    (tmp_path / "elsewhere" / "x").write_text("x")
    (made / "link").symlink_to(tmp_path / "above" / "beside")
    (made / "build").symlink_to(tmp_path / "elsewhere")
    (made / "file").write_text("")
    return made


def run(*arguments: str, cwd: Path) -> dict[str, set[str]]:
    """Run tests of a checkout; which of them passed, failed, and so on."""
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    outcomes: dict[str, set[str]] = {}
    for outcome, name in re.findall(
        r"^([A-Z]+) \S*(test_\w+(?:\.py(?!:))?)", done.stdout, re.MULTILINE
    ):
        outcomes.setdefault(outcome, set()).add(name)
    assert outcomes, done.stdout + done.stderr
    return outcomes


def test_read_outside_fails_the_test_whatever_it_does(checkout: Path) -> None:
    (checkout / "conftest.py").write_text(CONFTEST)
    (checkout / "test_it.py").write_text(TESTS)

    outcomes = run("test_it.py", cwd=checkout)

    names = set(re.findall(r"def (test_\w+)", TESTS))
    good = {name for name in names if name.startswith("test_good_")}
    at_its_ends = {"test_has_a_fixture_that_reads", "test_has_a_fixture_that_reads_at_its_end"}
    assert len(good) > 5
    # The test itself was good, and its teardown was not.
    assert outcomes["PASSED"] == good | {"test_has_a_fixture_that_reads_at_its_end"}
    assert outcomes["ERROR"] == at_its_ends
    assert outcomes["FAILED"] == names - good - at_its_ends
    assert outcomes.keys() == {"PASSED", "ERROR", "FAILED"}


def test_read_outside_at_collection_fails_the_module(checkout: Path) -> None:
    (checkout / "conftest.py").write_text(CONFTEST)
    swallowed = "with contextlib.suppress(BaseException):\n    open('../beside/page.json')\n"
    (checkout / "test_swallows.py").write_text(f"import contextlib\n{swallowed}")
    (checkout / "test_reads.py").write_text("open('../beside/page.json')")
    (checkout / "test_good.py").write_text("def test_good():\n    open('conftest.py').close()\n")

    outcomes = run(
        *("test_swallows.py", "test_reads.py", "test_good.py", "--continue-on-collection-errors"),
        cwd=checkout,
    )

    assert outcomes == {"PASSED": {"test_good"}, "ERROR": {"test_swallows.py", "test_reads.py"}}


def test_session_started_from_above_may_read_no_more(checkout: Path) -> None:
    (checkout / "conftest.py").write_text(CONFTEST)
    (checkout / "test_it.py").write_text(
        "def test_reads():\n    open('beside/page.json')\n"
        "def test_good():\n    open('checkout/conftest.py').close()\n    import colorsys\n"
    )

    outcomes = run("checkout/test_it.py", cwd=checkout.parent)

    assert outcomes == {"PASSED": {"test_good"}, "FAILED": {"test_reads"}}


# Every way of reading, in this process.


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReadGuard, Path]:
    """A guard of a checkout, and what is beside it; installed once, as it stays for good."""
    above = tmp_path_factory.mktemp("above")
    (above / "checkout").mkdir()
    (above / "beside").mkdir()
    (above / "beside" / "file").write_text("x")
    guard = ReadGuard(above / "checkout")
    guard.install()
    return guard, above / "beside"


READS: dict[str, Callable[[Path], Any]] = {
    "open": lambda folder: open(folder / "file"),  # noqa: PTH123, SIM115
    "open by bytes": lambda folder: open(os.fsencode(folder / "file"), "rb"),  # noqa: PTH123, SIM115
    "open to change": lambda folder: open(folder / "file", "r+"),  # noqa: PTH123, SIM115
    "open to add and read": lambda folder: open(folder / "file", "a+"),  # noqa: PTH123, SIM115
    "open what is absent": lambda folder: open(folder / "absent"),  # noqa: PTH123, SIM115
    "io.FileIO": lambda folder: io.FileIO(folder / "file"),
    "io.open_code": lambda folder: io.open_code(str(folder / "file")),  # noqa: SIM115
    "os.open": lambda folder: os.open(folder / "file", os.O_RDONLY),
    "os.open a folder": lambda folder: os.open(folder, os.O_RDONLY),
    "Path.read_text": lambda folder: (folder / "file").read_text(),
    "Path.read_bytes": lambda folder: (folder / "file").read_bytes(),
    "os.listdir": os.listdir,
    "os.scandir": os.scandir,
    "os.walk": lambda folder: list(os.walk(folder)),
    "Path.iterdir": lambda folder: list(folder.iterdir()),
    "Path.rglob": lambda folder: list(folder.rglob("*")),
    "glob.glob": lambda folder: glob.glob(f"{folder}/*"),  # noqa: PTH207
    "shutil.copy": lambda folder: shutil.copy(folder / "file", folder / "copy"),
    "shutil.copytree": lambda folder: shutil.copytree(folder, folder.parent / "copies"),
}


@pytest.mark.parametrize("way", READS)
def test_read_is_refused_by_every_way_of_reading(way: str, watched: tuple[ReadGuard, Path]) -> None:
    guard, folder = watched

    with guard.watching():
        with pytest.raises(ReadRefused, match="outside the checkout"):
            READS[way](folder)
        assert guard.take()


def test_write_is_not_a_read(watched: tuple[ReadGuard, Path]) -> None:
    guard, folder = watched

    with guard.watching():
        (folder / "written").write_text("x")
        with (folder / "written").open("a") as file:
            file.write("y")
        with (folder / "written").open("w+") as file:
            file.write("z")
        with (folder / "new").open("x+") as file:
            file.write("z")


def test_refusal_that_was_swallowed_is_reported_at_the_end(watched: tuple[ReadGuard, Path]) -> None:
    guard, folder = watched

    with (
        pytest.raises(ReadRefused, match=re.escape(str(folder / "file"))),
        guard.watching(),
        contextlib.suppress(BaseException),
    ):
        (folder / "file").read_text()
    with guard.watching():
        pass


def test_read_in_a_thread_is_seen(watched: tuple[ReadGuard, Path]) -> None:
    guard, folder = watched
    raised: list[BaseException] = []

    def read() -> None:
        try:
            (folder / "file").read_text()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test looks at it
            raised.append(error)

    with guard.watching():
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        assert guard.take() == [str(folder / "file")]
    assert [type(each) for each in raised] == [ReadRefused]


def test_read_is_not_refused_while_nothing_is_watched(watched: tuple[ReadGuard, Path]) -> None:
    guard, folder = watched

    assert (folder / "file").read_text() == "x"
    with guard.watching(), guard.paused():
        assert (folder / "file").read_text() == "x"
    assert guard.take() == []


# What may be read, wherever the checkout is.


def test_checkout_may_be_read_and_nothing_beside_or_above(checkout: Path) -> None:
    guard = ReadGuard(checkout)

    assert guard.may_read(checkout)
    assert guard.may_read(checkout / "a" / "b")
    assert guard.may_read(checkout / ".." / "checkout" / "a")
    assert not guard.may_read(checkout.parent)
    assert not guard.may_read(checkout.parent / "beside" / "page.json")
    assert not guard.may_read(checkout / ".." / "beside")
    assert not guard.may_read(f"{checkout}-other/a")
    assert not guard.may_read("/of/somebody/else")
    assert not guard.may_read("/")


def test_link_is_judged_by_its_target(checkout: Path) -> None:
    (checkout.parent / "name").symlink_to(checkout)
    (checkout.parent / "back").symlink_to(checkout / "file")
    guard = ReadGuard(checkout.parent / "name")

    assert guard.may_read(checkout / "file")
    assert guard.may_read(checkout.parent / "name" / "file")
    assert guard.may_read(checkout.parent / "back")
    assert not guard.may_read(checkout / "link")
    assert not guard.may_read(checkout / "link" / "page.json")


@pytest.mark.parametrize("name", [".venv", ".venv-3.12", "build", "tests/setup/node_modules"])
def test_link_to_what_was_installed_may_be_read(name: str, tmp_path: Path) -> None:
    installed, checkout = tmp_path / "other" / "installed", tmp_path / "checkout"
    installed.mkdir(parents=True)
    (checkout / name).parent.mkdir(parents=True)
    (checkout / name).symlink_to(installed)

    guard = ReadGuard(checkout)

    assert guard.may_read(checkout / name / "a")
    assert guard.may_read(installed / "a")
    assert not guard.may_read(installed.parent / "a")


def test_folder_that_was_given_may_be_read(checkout: Path) -> None:
    guard = ReadGuard(checkout, [checkout.parent / "beside"])

    assert guard.may_read(checkout.parent / "beside" / "page.json")
    assert not guard.may_read(checkout.parent / "other")


def test_folder_that_contains_the_checkout_is_allowed_in_part(
    tmp_path: Path,
) -> None:
    checkout = tmp_path / "environment" / "src" / "checkout"
    guard = ReadGuard(checkout, [tmp_path / "environment"])

    assert guard.may_read(tmp_path / "environment" / "lib" / "a.py")
    assert guard.may_read(checkout / "a")
    assert not guard.may_read(tmp_path / "environment" / "src" / "beside")


def test_checkout_in_a_system_folder_leaves_it_readable() -> None:
    guard = ReadGuard(Path("/usr/src/app"))

    assert guard.may_read("/usr/share/zoneinfo/UTC")
    assert guard.may_read("/usr/src/app/a")
    assert not guard.may_read("/usr/src/beside/a")


def test_folder_on_the_module_path_is_searched_but_not_read(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(checkout.parent)
    monkeypatch.syspath_prepend(checkout.parent.parent / "elsewhere")

    guard = ReadGuard(checkout)

    assert guard.may_read(checkout.parent)
    assert not guard.may_read(checkout.parent / "beside")
    assert guard.may_read(checkout.parent.parent / "elsewhere" / "module.py")


@pytest.mark.parametrize("folder", [sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib")])
def test_interpreter_may_be_read_beside_the_checkout(folder: str, read_guard: ReadGuard) -> None:
    with read_guard.paused():  # it looks into the checkout
        guard = ReadGuard(Path(folder).parent / "checkout")

    assert guard.may_read(Path(folder) / "a")


def test_temporary_files_may_be_read_but_not_their_folder(
    watched: tuple[ReadGuard, Path],
) -> None:
    guard, _ = watched

    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile() as file:
        assert guard.may_read(f"{folder}/a")
        assert guard.may_read(file.name)
    assert not guard.may_read(Path(tempfile.gettempdir()) / "of-somebody-else")


# This session.


def test_session_is_watched(read_guard: ReadGuard) -> None:
    with pytest.raises(ReadRefused):
        Path("/of/somebody/else").read_text()

    assert read_guard.take() == ["/of/somebody/else"]


@pytest.fixture
def refused_in_a_fixture(read_guard: ReadGuard) -> list[str]:
    with contextlib.suppress(ReadRefused):
        Path("/of/somebody/else").read_text()
    return read_guard.take()


def test_session_is_watched_in_fixtures(refused_in_a_fixture: list[str]) -> None:
    assert refused_in_a_fixture == ["/of/somebody/else"]


def test_session_watches_this_checkout(read_guard: ReadGuard, tmp_path: Path) -> None:
    assert read_guard.may_read(ROOT / "a")
    assert read_guard.may_read(tmp_path / "a")
    assert not read_guard.may_read("/of/somebody/else")
