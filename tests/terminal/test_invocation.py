"""What people are told to type is what runs, from where they are."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jira_audit import __version__
from jira_audit.terminal import invocation
from tests.docs import checkout as checkouts
from tests.terminal.conftest import ROOT, Ended, Site

STUB = '#!/bin/sh\necho "ran $@"\n'
HINT = re.compile(r"The command line needs (\w+), which is not installed: run (.*)\n")


def typed(line: str, folder: Path, path: str = "") -> Ended:
    """What a shell makes of a line, in a folder, with nothing on its path but the system's."""
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", line],
        cwd=folder,
        env={**os.environ, "PATH": ":".join(filter(None, (path, "/usr/bin", "/bin")))},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def program(path: Path) -> Path:
    """A program that says with what it was called."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(STUB)
    path.chmod(0o755)
    return path


class Stand:
    """Where one is: the Python that runs, how it was called, the current folder, and the path."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.checkout = folder / "connector"
        self.programs = self.checkout / ".venv" / "bin"
        self.monkeypatch = monkeypatch
        program(self.programs / "python")
        (self.checkout / "pyproject.toml").touch()
        monkeypatch.setattr(invocation, "CHECKOUT", self.checkout)
        self.runs(self.programs / "python")
        self.goes_to(self.checkout)
        self.has_on_its_path()

    def runs(self, python: Path, *, base: bool = False) -> None:
        self.monkeypatch.setattr(sys, "executable", str(python))
        self.monkeypatch.setattr(sys, "argv", ["/somewhere/jira_audit/__main__.py"])
        self.monkeypatch.setattr(sys, "prefix", "/usr" if base else str(python.parents[1]))
        self.monkeypatch.setattr(sys, "base_prefix", "/usr")

    def goes_to(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.monkeypatch.chdir(folder)

    def has_on_its_path(self, *folders: Path) -> None:
        path = os.pathsep.join(map(str, (*folders, "/usr/bin", "/bin")))
        self.monkeypatch.setenv("PATH", path)

    def command(self) -> str:
        """What is printed, which has run as it is."""
        line = invocation.command()
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-c", f"{line} collect --to ./out"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("collect --to ./out\n")
        return line


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """In a checkout whose environment has the command, and is not activated."""
    made = Stand(tmp_path, monkeypatch)
    program(made.programs / "jira-audit")
    return made


# What runs the command line


def test_command_in_the_checkout_is_its_path(stand: Stand) -> None:
    assert stand.command() == ".venv/bin/jira-audit"


def test_command_in_an_activated_environment_is_its_name(stand: Stand) -> None:
    stand.has_on_its_path(stand.programs)

    assert stand.command() == "jira-audit"


def test_command_linked_on_the_path_is_its_name(stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "jira-audit").symlink_to(stand.programs / "jira-audit")
    stand.has_on_its_path(tmp_path / "links")

    assert stand.command() == "jira-audit"


def test_command_of_the_same_name_on_the_path_is_not_taken(stand: Stand, tmp_path: Path) -> None:
    program(tmp_path / "other" / "jira-audit")
    stand.has_on_its_path(tmp_path / "other")

    assert stand.command() == ".venv/bin/jira-audit"


def test_command_from_elsewhere_is_a_whole_path_and_quoted(stand: Stand, tmp_path: Path) -> None:
    stand.goes_to(tmp_path / "elsewhere")
    assert stand.command() == f"{stand.programs}/jira-audit"

    moved = program(tmp_path / "a place" / "bin" / "python")
    program(moved.with_name("jira-audit"))
    stand.runs(moved)
    assert stand.command() == f"'{moved.with_name('jira-audit')}'"
    stand.goes_to(tmp_path)
    assert stand.command() == "'a place/bin/jira-audit'"


def test_command_beside_itself_is_not_looked_for_on_the_path(stand: Stand) -> None:
    stand.goes_to(stand.programs)

    assert stand.command() == "./jira-audit"


def test_command_not_beside_its_python_is_named_as_called(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for_the_user = program(tmp_path / "home" / ".local" / "bin" / "jira-audit")
    stand.runs(program(tmp_path / "usr" / "bin" / "python3"), base=True)
    monkeypatch.setattr(sys, "argv", [str(for_the_user)])

    assert stand.command() == str(for_the_user)
    stand.has_on_its_path(for_the_user.parent)
    assert stand.command() == "jira-audit"


@pytest.mark.parametrize("spelling", ["python", "python3"])
def test_command_that_is_not_installed_is_the_running_python(spelling: str, stand: Stand) -> None:
    (stand.programs / "jira-audit").unlink()
    (stand.programs / "python").rename(stand.programs / spelling)
    stand.runs(stand.programs / spelling)

    assert stand.command() == f".venv/bin/{spelling} -m jira_audit"
    stand.has_on_its_path(stand.programs)
    assert stand.command() == f"{spelling} -m jira_audit"


def test_command_of_a_python_that_shares_its_program_is_not_taken(
    stand: Stand, tmp_path: Path
) -> None:
    (stand.programs / "jira-audit").unlink()
    (stand.programs / "python").unlink()
    (stand.programs / "python").symlink_to(program(tmp_path / "base" / "python"))
    stand.has_on_its_path(tmp_path / "base")

    assert stand.command() == ".venv/bin/python -m jira_audit"


# What to do where a package of the terminal is missing


def remedy(*arguments: str) -> str:
    told = invocation.remedy(arguments)
    assert told.startswith("run ")
    return told.removeprefix("run ")


def test_remedy_in_an_environment_installs_into_it(stand: Stand, tmp_path: Path) -> None:
    install = "python -m pip install -e"

    assert remedy("status") == f".venv/bin/{install} '.[terminal]'"
    stand.goes_to(tmp_path)
    assert remedy("status") == f"connector/.venv/bin/{install} './connector[terminal]'"
    stand.goes_to(tmp_path / "elsewhere")
    assert remedy("status") == f"{stand.programs}/{install} '{stand.checkout}[terminal]'"
    stand.goes_to(stand.checkout)
    stand.has_on_its_path(stand.programs)
    assert remedy("status") == f"{install} '.[terminal]'"
    program(stand.programs / "pip")
    assert remedy("status") == "pip install -e '.[terminal]'"


def test_remedy_names_no_pip_of_another_python(stand: Stand, tmp_path: Path) -> None:
    program(tmp_path / "other" / "pip")
    stand.has_on_its_path(tmp_path / "other")

    assert remedy() == ".venv/bin/python -m pip install -e '.[terminal]'"


def test_remedy_names_the_command_that_make_demo_installed(stand: Stand, tmp_path: Path) -> None:
    stand.runs(program(tmp_path / "usr" / "python3"), base=True)

    assert remedy("collect", "--to", "my out") == ".venv/bin/jira-audit collect --to 'my out'"


def test_remedy_without_an_environment_makes_one(stand: Stand, tmp_path: Path) -> None:
    stand.runs(program(tmp_path / "usr" / "python3"), base=True)
    stand.has_on_its_path(tmp_path / "usr")
    shutil.rmtree(stand.checkout / ".venv")

    assert remedy("collect", "--to", "my out") == (
        "python3 -m venv .venv && .venv/bin/python -m pip install -e '.[terminal]' && "
        ".venv/bin/jira-audit collect --to 'my out'"
    )


@pytest.mark.parametrize("version", [(3, 9, 6, "final", 0), (3, 14, 0, "final", 0)])
def test_remedy_on_an_unsupported_python_says_so(
    version: tuple[object, ...], stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.runs(program(tmp_path / "usr" / "python3"), base=True)
    monkeypatch.setattr(sys, "version_info", version)

    assert remedy("status") == ".venv/bin/jira-audit status"
    (stand.programs / "jira-audit").unlink()
    assert invocation.remedy(["status"]) == (
        "use Python 3.11, 3.12 or 3.13, which the connector needs as well."
    )


def test_remedy_without_a_checkout_names_the_extra_only(
    stand: Stand,
) -> None:
    (stand.checkout / "pyproject.toml").unlink()

    assert invocation.remedy(["demo"]) == (
        "install it again from where it came, with its extra terminal."
    )


# In processes of their own


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a space in its path, as `make demo` leaves it."""
    folder = checkouts.copy(tmp_path_factory.mktemp("some where") / "connector")
    checkouts.install(folder, folder / ".venv")
    return folder


def test_demo_prints_a_collect_command_that_runs(checkout: Path, site: Site) -> None:
    shown = typed(".venv/bin/python -m jira_audit demo", checkout)
    line = shown.out.splitlines()[-1].strip()

    ended = typed(line, checkout)

    assert line == ".venv/bin/jira-audit collect --to ./out"
    assert ended.code == 0, ended.err
    rows = (checkout / "out" / "Jira_Audit_CL.jsonl").read_bytes().splitlines()
    assert len(rows) == len(site.records)


def test_demo_names_a_report_on_its_rows(checkout: Path, tmp_path: Path) -> None:
    to = shlex.quote(str(tmp_path / "a b"))
    shown = typed(f"jira-audit demo --dir {to}", checkout, str(checkout / ".venv" / "bin"))
    (line,) = [each.strip() for each in shown.out.splitlines() if " report " in each]

    assert line == f"jira-audit report --folder {to}"
    assert typed(line, checkout, str(checkout / ".venv" / "bin")).code == 0
    assert (checkout / "jira-audit-report.html").is_file()


def test_help_and_errors_name_the_command_as_called(checkout: Path) -> None:
    script = typed(".venv/bin/jira-audit frobnicate", checkout)
    module = typed(".venv/bin/python -m jira_audit frobnicate", checkout)

    assert (script.code, module.code) == (2, 2)
    assert "Usage: jira-audit [OPTIONS]" in script.err
    assert "Try 'jira-audit -h' for help" in script.err
    assert module.err == script.err.replace("jira-audit", "python -m jira_audit")


def test_packages_that_are_missing_have_a_remedy_that_runs(checkout: Path) -> None:
    ended = typed(f"{checkouts.base_python()} -S -m jira_audit --version", checkout)

    hint = HINT.fullmatch(ended.err)
    assert (ended.code, ended.out) == (2, "")
    assert hint, ended.err
    assert typed(hint[2], checkout) == Ended(0, f"{__version__}\n", "")


def test_packages_missing_beside_an_installed_command_are_named(tmp_path: Path) -> None:
    programs = checkouts.install(ROOT, tmp_path / "env", terminal=False)

    ended = typed("jira-audit demo", ROOT, str(programs))

    assert ended == Ended(
        2,
        "",
        "The command line needs typer, which is not installed: run "
        "python -m pip install -e '.[terminal]'\n",
    )
