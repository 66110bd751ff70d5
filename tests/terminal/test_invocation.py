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


def run_in_shell(line: str, folder: Path, path: str = "") -> Ended:
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


def make_program(path: Path) -> Path:
    """A program that says with what it was called."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(STUB)
    path.chmod(0o755)
    return path


class Installation:
    """Where one is: the Python that runs, how it was called, the current folder, and the path."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.checkout = folder / "connector"
        self.programs = self.checkout / ".venv" / "bin"
        self.monkeypatch = monkeypatch
        make_program(self.programs / "python")
        (self.checkout / "pyproject.toml").touch()
        monkeypatch.setattr(invocation, "CHECKOUT", self.checkout)
        self.set_python(self.programs / "python")
        self.set_folder(self.checkout)
        self.set_path()

    def set_python(self, python: Path, *, base: bool = False) -> None:
        self.monkeypatch.setattr(sys, "executable", str(python))
        self.monkeypatch.setattr(sys, "argv", ["/somewhere/jira_audit/__main__.py"])
        self.monkeypatch.setattr(sys, "prefix", "/usr" if base else str(python.parents[1]))
        self.monkeypatch.setattr(sys, "base_prefix", "/usr")

    def set_folder(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.monkeypatch.chdir(folder)

    def set_path(self, *folders: Path) -> None:
        path = os.pathsep.join(map(str, (*folders, "/usr/bin", "/bin")))
        self.monkeypatch.setenv("PATH", path)

    def command(self) -> str:
        """What is printed, which has run as it is."""
        line = invocation.command()
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-c", f"{line} collect --folder ./out"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("collect --folder ./out\n")
        return line


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """In a checkout whose environment has the command, and is not activated."""
    made = Installation(tmp_path, monkeypatch)
    make_program(made.programs / "jira-audit")
    return made


# What runs the command line


def test_command_in_the_checkout_is_its_path(installation: Installation) -> None:
    assert installation.command() == ".venv/bin/jira-audit"


def test_command_in_an_activated_environment_is_its_name(installation: Installation) -> None:
    installation.set_path(installation.programs)

    assert installation.command() == "jira-audit"


def test_command_linked_on_the_path_is_its_name(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "jira-audit").symlink_to(installation.programs / "jira-audit")
    installation.set_path(tmp_path / "links")

    assert installation.command() == "jira-audit"


def test_command_of_the_same_name_on_the_path_is_not_taken(
    installation: Installation, tmp_path: Path
) -> None:
    make_program(tmp_path / "other" / "jira-audit")
    installation.set_path(tmp_path / "other")

    assert installation.command() == ".venv/bin/jira-audit"


def test_command_from_elsewhere_is_a_whole_path_and_quoted(
    installation: Installation, tmp_path: Path
) -> None:
    installation.set_folder(tmp_path / "elsewhere")
    assert installation.command() == f"{installation.programs}/jira-audit"

    moved = make_program(tmp_path / "a place" / "bin" / "python")
    make_program(moved.with_name("jira-audit"))
    installation.set_python(moved)
    assert installation.command() == f"'{moved.with_name('jira-audit')}'"
    installation.set_folder(tmp_path)
    assert installation.command() == "'a place/bin/jira-audit'"


def test_command_beside_itself_is_not_looked_for_on_the_path(installation: Installation) -> None:
    installation.set_folder(installation.programs)

    assert installation.command() == "./jira-audit"


def test_command_not_beside_its_python_is_named_as_called(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for_the_user = make_program(tmp_path / "home" / ".local" / "bin" / "jira-audit")
    installation.set_python(make_program(tmp_path / "usr" / "bin" / "python3"), base=True)
    monkeypatch.setattr(sys, "argv", [str(for_the_user)])

    assert installation.command() == str(for_the_user)
    installation.set_path(for_the_user.parent)
    assert installation.command() == "jira-audit"


@pytest.mark.parametrize("spelling", ["python", "python3"])
def test_command_that_is_not_installed_is_the_running_python(
    spelling: str, installation: Installation
) -> None:
    (installation.programs / "jira-audit").unlink()
    (installation.programs / "python").rename(installation.programs / spelling)
    installation.set_python(installation.programs / spelling)

    assert installation.command() == f".venv/bin/{spelling} -m jira_audit"
    installation.set_path(installation.programs)
    assert installation.command() == f"{spelling} -m jira_audit"


def test_command_of_a_python_that_shares_its_program_is_not_taken(
    installation: Installation, tmp_path: Path
) -> None:
    (installation.programs / "jira-audit").unlink()
    (installation.programs / "python").unlink()
    (installation.programs / "python").symlink_to(make_program(tmp_path / "base" / "python"))
    installation.set_path(tmp_path / "base")

    assert installation.command() == ".venv/bin/python -m jira_audit"


# What to do where a package of the terminal is missing


def remedy(*arguments: str) -> str:
    told = invocation.remedy(arguments)
    assert told.startswith("run ")
    return told.removeprefix("run ")


def test_remedy_in_an_environment_installs_into_it(
    installation: Installation, tmp_path: Path
) -> None:
    install = "python -m pip install -e"

    assert remedy("status") == f".venv/bin/{install} '.[terminal]'"
    installation.set_folder(tmp_path)
    assert remedy("status") == f"connector/.venv/bin/{install} './connector[terminal]'"
    installation.set_folder(tmp_path / "elsewhere")
    assert (
        remedy("status") == f"{installation.programs}/{install} '{installation.checkout}[terminal]'"
    )
    installation.set_folder(installation.checkout)
    installation.set_path(installation.programs)
    assert remedy("status") == f"{install} '.[terminal]'"
    make_program(installation.programs / "pip")
    assert remedy("status") == "pip install -e '.[terminal]'"


def test_remedy_names_no_pip_of_another_python(installation: Installation, tmp_path: Path) -> None:
    make_program(tmp_path / "other" / "pip")
    installation.set_path(tmp_path / "other")

    assert remedy() == ".venv/bin/python -m pip install -e '.[terminal]'"


def test_remedy_names_the_command_that_make_demo_installed(
    installation: Installation, tmp_path: Path
) -> None:
    installation.set_python(make_program(tmp_path / "usr" / "python3"), base=True)

    assert (
        remedy("collect", "--folder", "my out") == ".venv/bin/jira-audit collect --folder 'my out'"
    )


def test_remedy_without_an_environment_makes_one(
    installation: Installation, tmp_path: Path
) -> None:
    installation.set_python(make_program(tmp_path / "usr" / "python3"), base=True)
    installation.set_path(tmp_path / "usr")
    shutil.rmtree(installation.checkout / ".venv")

    assert remedy("collect", "--folder", "my out") == (
        "python3 -m venv .venv && .venv/bin/python -m pip install -e '.[terminal]' && "
        ".venv/bin/jira-audit collect --folder 'my out'"
    )


@pytest.mark.parametrize("version", [(3, 9, 6, "final", 0), (3, 14, 0, "final", 0)])
def test_remedy_on_an_unsupported_python_says_so(
    version: tuple[object, ...],
    installation: Installation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installation.set_python(make_program(tmp_path / "usr" / "python3"), base=True)
    monkeypatch.setattr(sys, "version_info", version)

    assert remedy("status") == ".venv/bin/jira-audit status"
    (installation.programs / "jira-audit").unlink()
    assert invocation.remedy(["status"]) == (
        "use Python 3.11, 3.12 or 3.13, which the connector needs as well."
    )


def test_remedy_without_a_checkout_names_the_extra_only(
    installation: Installation,
) -> None:
    (installation.checkout / "pyproject.toml").unlink()

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
    shown = run_in_shell(".venv/bin/python -m jira_audit demo", checkout)
    line = shown.out.splitlines()[-1].strip()

    ended = run_in_shell(line, checkout)

    assert line == ".venv/bin/jira-audit collect --folder ./out"
    assert ended.code == 0, ended.err
    rows = (checkout / "out" / "Jira_Audit_CL.jsonl").read_bytes().splitlines()
    assert len(rows) == len(site.records)


def test_demo_names_a_report_on_its_rows(checkout: Path, tmp_path: Path) -> None:
    to = shlex.quote(str(tmp_path / "a b"))
    shown = run_in_shell(
        f"jira-audit demo --folder {to}", checkout, str(checkout / ".venv" / "bin")
    )
    (line,) = [each.strip() for each in shown.out.splitlines() if " report " in each]

    assert line == f"jira-audit report --folder {to}"
    assert run_in_shell(line, checkout, str(checkout / ".venv" / "bin")).code == 0
    assert (checkout / "jira-audit-report.html").is_file()


def test_help_and_errors_name_the_command_as_called(checkout: Path) -> None:
    script = run_in_shell(".venv/bin/jira-audit frobnicate", checkout)
    module = run_in_shell(".venv/bin/python -m jira_audit frobnicate", checkout)

    assert (script.code, module.code) == (2, 2)
    assert "Usage: jira-audit [OPTIONS]" in script.err
    assert "Try 'jira-audit -h' for help" in script.err
    assert module.err == script.err.replace("jira-audit", "python -m jira_audit")


def test_packages_that_are_missing_have_a_remedy_that_runs(checkout: Path) -> None:
    ended = run_in_shell(f"{checkouts.base_python()} -S -m jira_audit --version", checkout)

    hint = HINT.fullmatch(ended.err)
    assert (ended.code, ended.out) == (2, "")
    assert hint, ended.err
    assert run_in_shell(hint[2], checkout) == Ended(0, f"{__version__}\n", "")


def test_packages_missing_beside_an_installed_command_are_named(tmp_path: Path) -> None:
    programs = checkouts.install(ROOT, tmp_path / "env", terminal=False)

    ended = run_in_shell("jira-audit demo", ROOT, str(programs))

    assert ended == Ended(
        2,
        "",
        "The command line needs typer, which is not installed: run "
        "python -m pip install -e '.[terminal]'\n",
    )
