"""That tests cannot leave the machine, that CI does not skip what it lacks, and that the commands
that run tests run all of them between them.
"""

import http.client
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.conftest import NetworkRefused, needed

ROOT = Path(__file__).parents[2]


def test_network_access_fails_the_test() -> None:
    # 192.0.2.0/24 is for documentation: https://www.rfc-editor.org/rfc/rfc5737
    with pytest.raises(NetworkRefused):
        http.client.HTTPConnection("192.0.2.1", timeout=1).connect()
    with socket.socket() as own, pytest.raises(NetworkRefused):
        own.connect(("192.0.2.1", 80))
    with pytest.raises(NetworkRefused):
        socket.getaddrinfo("contoso.atlassian.net", 443)


def test_missing_part_is_a_skip_for_a_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="no Azurite"):
        needed(False, "no Azurite")


def test_missing_part_is_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="no Azurite"):
        needed(False, "no Azurite")


def collect_tests(*targets: str, given: Iterable[str] = ()) -> list[list[str]]:
    """The ids of the tests that each make target would run."""
    make = shutil.which("make")
    needed(make, "make is not installed")
    processes = []
    for target in targets:
        dry = [str(make), "--dry-run", "--old-file=setup", target, "TESTS=", "JOBS=0"]
        said = subprocess.run(
            [*dry, f"ARGS={shlex.join(given)}"],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        [line] = [line for line in said.stdout.splitlines() if " -m pytest " in line]
        _, *arguments = shlex.split(line)
        processes.append(
            subprocess.Popen(
                [sys.executable, *arguments, "--collect-only", "--quiet"],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    collected = [process.communicate()[0] for process in processes]
    return [[line for line in said.splitlines() if "::" in line] for said in collected]


@pytest.mark.long
def test_make_test_and_make_test_rest_cover_all_tests() -> None:
    usual, rest, all_ = collect_tests("test", "test-rest", "test-all")

    assert usual
    assert rest
    assert sorted(usual + rest) == sorted(all_)


def test_make_test_accepts_further_marks() -> None:
    given = ["-m", "orders", "tests/flow/test_histories.py", "tests/flow/test_status.py"]
    usual, rest = collect_tests("test", "test-rest", given=given)

    assert len(usual) == 4
    assert len(rest) >= 12
    assert not [each for each in usual + rest if "test_status" in each]
