"""deploy/rehearse on the local Azure: it tries, reports, and leaves nothing behind."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import needed
from tests.deploy import checks
from tests.deploy.local_azure import (
    JIRA,
    PACKAGE,
    REGION,
    SUBSCRIPTION,
    TOKEN,
    Installer,
    at_a_shell,
    everything,
    new_azure,
)
from tests.servers.azure.app import Run
from tests.servers.azure.commands import parse

pytestmark = pytest.mark.servers

SCRIPT = checks.ROOT / "deploy" / "rehearse"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourcegroups/rehearsal"


@pytest.fixture
def installer(tmp_path: Path) -> Iterator[Installer]:
    needed(shutil.which("bash"), "bash is not installed")
    with at_a_shell(tmp_path, new_azure(delay=2)) as one:
        yield one


def rehearse(installer: Installer, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *("bash", str(SCRIPT), "--location", REGION, "--resource-group", "rehearsal"),
            *("--jira-url", JIRA["jiraSiteUrl"], "--username", JIRA["jiraUsername"]),
            *("--package", str(installer.folder / "package.zip"), *more),
        ],
        env=installer.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


def test_rehearsal_passes_shellcheck() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    needed(shellcheck.exists(), "shellcheck is not installed: make setup")

    done = subprocess.run([shellcheck, SCRIPT], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_rehearsal_tries_all_that_it_can_and_leaves_nothing(installer: Installer) -> None:
    azure = installer.azure
    azure.packages[checks.PACKAGE] = PACKAGE
    before = everything(azure)

    done = rehearse(installer, "--package-uri", checks.PACKAGE)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 points work, 0 failed" in done.stdout
    assert everything(azure) == before
    assert azure.deleted_vaults == {}
    calls = "\n".join(installer.programs.calls)
    assert TOKEN not in done.stdout + done.stderr + calls


@pytest.mark.long
@pytest.mark.timeout(300)
def test_rehearsal_of_a_connector_that_does_not_run_says_so_and_removes_it(
    installer: Installer,
) -> None:
    azure = installer.azure
    azure.runner = lambda azure, app, at: Run(at, ok=False, message="the token is wrong")
    before = everything(azure)

    done = rehearse(installer)

    assert done.returncode == 1
    assert "failed   Any deployment at all: first, by deploy.sh" in done.stdout
    assert "its runs fail: the token is wrong" in done.stdout
    assert "failed   the host logs the canonical line" in done.stdout
    assert everything(azure) == before
    assert azure.deleted_vaults == {}


def test_group_that_is_there_is_not_touched(installer: Installer) -> None:
    installer.azure.put_group(GROUP, REGION)
    before = everything(installer.azure)

    done = rehearse(installer)

    assert done.returncode == 1
    assert "is there already, and is not touched" in done.stderr
    assert everything(installer.azure) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--nonsense"], "there is no --nonsense"),
        (["--package", "missing.zip"], "make package builds it"),
        (["--jira-url", ""], "--jira-url is missing"),
    ],
)
def test_arguments_that_are_wrong_exit_with_2_before_any_call(
    installer: Installer, arguments: list[str], says: str
) -> None:
    done = rehearse(installer, *arguments)

    assert (done.returncode, installer.programs.calls) == (2, [])
    assert says in done.stderr


def test_group_that_is_kept_is_removed_by_hand(installer: Installer) -> None:
    """Cut short at its first refusal: what is made is told with the command that removes it."""
    installer.azure.person = new_azure().person
    installer.azure.registered.clear()
    for namespace in ("Microsoft.OperationalInsights", "Microsoft.SecurityInsights"):
        installer.azure.register(SUBSCRIPTION, namespace)
    (installer.folder / "sleep").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")

    done = rehearse(installer, "--keep")

    assert done.returncode == 1
    [command] = re.findall(r"az (group delete .*)", done.stdout)
    assert parse(command.split()).options == {"--name": "rehearsal", "--yes": ""}
    assert GROUP in installer.azure.groups


def test_points_that_were_not_tested_are_each_tried_or_named() -> None:
    """Each line of docs/not-tested.md on deployment has a point of the rehearsal in it."""
    page = (checks.ROOT / "docs" / "not-tested.md").read_text(encoding="utf-8")
    part = page.split("## Deployment")[1].split("\n## ")[0]
    script = SCRIPT.read_text(encoding="utf-8")
    points = set(re.findall(r'(?:try|report untried) "((?:[^"\\]|\\.)+)"', script))
    points = {point.replace("\\`", "`") for point in points}

    lines = [line for line in part.splitlines() if line.startswith("* ")]
    assert len(lines) > 10
    for line in lines:
        assert [point for point in points if point.lower() in line.lower()], line
    assert [point for point in points if point.lower() not in page.lower()] == []
