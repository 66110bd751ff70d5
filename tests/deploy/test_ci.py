"""CI's script, with a stand-in for `make`: what it runs, where, in which environment, and that it
leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import needed

ROOT = Path(__file__).parents[2]
SCRIPT = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

MAKE = f"""\
#!{sys.executable} -IS
import json, os, pathlib, sys, time
told = {{"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": os.getcwd(),
        "files": sorted(os.listdir())}}
pathlib.Path(os.environ["TMPDIR"], "left behind").touch()
here = pathlib.Path(__file__).parent
with (here / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps(told) + "\\n")
print("said by", sys.argv[2])
if (here / "slow").exists():
    (here / "started").write_text(str(os.getpid()))
    time.sleep(60)
sys.exit((here / ("fails " + sys.argv[2].replace("/", " "))).exists())
"""


@dataclass
class Machine:
    """A checkout, a folder for temporary ones, and what is first on the path."""

    checkout: Path
    temporary: Path
    programs: Path

    def start(self, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", str(self.checkout / ".ci" / "run")],
            env={
                "PATH": f"{self.programs}:{os.environ['PATH']}",
                "HOME": str(self.programs),
                "TMPDIR": str(self.temporary),
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, **environment: str) -> tuple[int, str]:
        with self.start(**environment) as process:
            said, _ = process.communicate(timeout=60)
        return process.returncode, said

    def calls(self) -> list[Mapping[str, Any]]:
        lines = (self.programs / "calls.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    needed(shutil.which("bash"), "bash is not installed")
    needed(shutil.which("git"), "git is not installed")
    made = Machine(tmp_path / "home" / "connector", tmp_path / "tmp", tmp_path / "programs")
    (made.checkout / ".ci").mkdir(parents=True)
    (made.checkout / "tests" / "setup").mkdir(parents=True)
    made.temporary.mkdir()
    made.programs.mkdir()
    (made.checkout / ".ci" / "run").write_text(SCRIPT)
    (made.checkout / "tests" / "setup" / "find_python").write_text('echo "/the/python$1"')
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=no"]
    for arguments in (["init", "-q"], ["add", "--all"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *arguments], cwd=made.checkout, check=True)
    (made.programs / "make").write_text(MAKE)
    (made.programs / "make").chmod(0o755)
    return made


def test_targets_run_on_each_python_and_the_deployed_one_last(
    machine: Machine,
) -> None:
    code, said = machine.run()

    assert code == 0, said
    targets = [
        (each["arguments"][1], each["arguments"][2].removeprefix("PYTHON=/the/python"))
        for each in machine.calls()
    ]
    of_older = [each for each in targets if each[0].startswith(".venv-")]
    assert of_older == [(".venv-3.11/.ready-dev", "3.11"), (".venv-3.12/.ready-dev", "3.12")]
    assert max(map(targets.index, of_older)) < targets.index(("test", "3.11"))
    assert [each for each in targets if each not in of_older] == [
        (".venv/.ready-dev", "3.13"),
        ("setup", "3.13"),
        ("lint", "3.13"),
        ("test", "3.11"),
        ("test", "3.12"),
        ("test", "3.13"),
        ("test-rest", "3.13"),
    ]
    assert [each["arguments"][3:] for each in machine.calls()[-2:]] == [[], []]
    assert said.endswith("said by test-rest\n")


def test_clone_runs_in_a_folder_that_is_deleted_afterwards(machine: Machine) -> None:
    (machine.checkout / "not committed").touch()

    assert machine.run()[0] == 0

    for each in machine.calls():
        assert each["files"] == [".ci", ".git", "tests"]
        assert Path(each["folder"]).parent.parent == machine.temporary
        assert Path(each["environment"]["TMPDIR"]).is_relative_to(machine.temporary)
    assert list(machine.temporary.iterdir()) == []


def test_clone_of_a_detached_commit_runs(machine: Machine) -> None:
    subprocess.run(["git", "checkout", "-q", "--detach"], cwd=machine.checkout, check=True)
    for branch in ("master", "main"):
        subprocess.run(
            ["git", "branch", "-D", branch], cwd=machine.checkout, check=False, capture_output=True
        )

    code, said = machine.run()

    assert code == 0, said


def test_environment_of_other_tools_is_not_passed_on(machine: Machine) -> None:
    stray = {
        "JIRA_API_TOKEN": "a",
        "REAL_AUDIT_PAGES": "/somewhere",
        "AzureWebJobs.collect_site.Disabled": "1",
        "ARGS": "-k nothing",
        "MAKEFLAGS": "--dry-run",
        "PYTEST_ADDOPTS": "--co",
        "PYTHONPATH": "/somewhere",
        "CI": "false",
    }

    assert machine.run(**stray, PIP_INDEX_URL="https://packages.example")[0] == 0

    for each in machine.calls():
        assert each["environment"].keys() & stray.keys() == {"CI"}
        assert each["environment"]["CI"] == "true"
        assert each["environment"]["PIP_INDEX_URL"] == "https://packages.example"


def test_environment_names_real_pages_if_there_are_any(machine: Machine) -> None:
    [beside] = re.findall(r"^pages=\$checkout/(.*)$", SCRIPT, re.MULTILINE)
    pages = Path(os.path.normpath(machine.checkout / beside))
    pages.mkdir(parents=True)

    assert machine.run()[0] == 0

    for each in machine.calls():
        assert each["environment"]["REAL_AUDIT_PAGES"] == str(pages)


@pytest.mark.parametrize("target", ["setup", ".venv-3.12/.ready-dev", "lint", "test"])
def test_failure_ends_the_run_at_once_and_leaves_no_files(machine: Machine, target: str) -> None:
    (machine.programs / f"fails {target.replace('/', ' ')}").touch()

    code, said = machine.run()

    assert code == 1
    assert f"said by {target}\n" in said
    assert "said by test-rest" not in said
    assert ("said by test\n" in said) == (target == "test")
    assert list(machine.temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_ends_the_run_and_leaves_no_files(
    machine: Machine, number: signal.Signals
) -> None:
    (machine.programs / "slow").touch()
    started = machine.programs / "started"
    with machine.start() as process:
        while not started.exists() or not started.read_text():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        process.communicate(timeout=60)

    assert process.returncode == 130
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)
    assert list(machine.temporary.iterdir()) == []


def test_missing_python_is_found_before_anything_runs(machine: Machine) -> None:
    find = machine.checkout / "tests" / "setup" / "find_python"
    find.write_text('[ "$1" != 3.12 ] && echo "/the/python$1"')

    code, said = machine.run()

    assert code == 1
    assert "3.12 is missing" in said
    assert not (machine.programs / "calls.jsonl").exists()
