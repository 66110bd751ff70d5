"""What the pages say to type is typed, from top to bottom, in a checkout and a home of its own.

Neither the project's environment nor a setting of the person who runs the tests is in reach. The
Jira site is simulated, and Azure's services are the tests' stand-ins (tests/end_to_end).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import certifi
import pytest

from jira_audit import wiring
from jira_audit.core.letters import Letter
from jira_audit.edge.blobs import BlobLetters
from jira_audit.simulator.records import Record, sample_records
from tests.conftest import needed
from tests.deploy.package_command import git, package
from tests.docs import checkout as checkouts
from tests.docs import listed, session, shell
from tests.end_to_end.conftest import Installation, installation, now

__all__ = ["installation"]  # a fixture, at home in tests/end_to_end

pytestmark = pytest.mark.servers

HOST = "127.0.0.1"
HOUR_MS = 3_600_000
OF_THE_MACHINE = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "SSL_CERT_")
"""How packages are reached from here."""


def runnable(page: str, *, network: bool) -> list[shell.Command]:
    """What is run of a page."""
    lists = listed.NOT_RUN if network else {**listed.NOT_RUN, **listed.NEEDS_THE_NETWORK}
    return [each for each in shell.commands(page) if not listed.matching_entries(lists, each)]


def names(page: str, words: str) -> bool:
    return any(words in each.text for each in shell.commands(page))


BEFORE_OTHERS = "docs/point-the-terminal.md"
"""What pages for operators tell their readers to do first."""

AFTER_OTHERS = "docs/backfill.md"
"""It ends with a reset, after which a run has to come before anything else."""

PAGES = [page for page in shell.pages() if runnable(page, network=False)]
FROM_NOTHING = [page for page in PAGES if names(page, "bin/activate")]
"""Those that say how to make the environment."""

AFTER_ANOTHER = [page for page in PAGES if names(page, "jira-audit ") and page not in FROM_NOTHING]
ALONE = [page for page in PAGES if page not in AFTER_ANOTHER]


def may_end_with(command: shell.Command, code: int | None) -> bool:
    """Whether a command of a page has ended well."""
    judges = listed.matching_entries(listed.JUDGES, command)
    return code == 0 or (code == 1 and bool(judges))


@dataclass(frozen=True)
class Newcomer:
    """A checkout that was just made, and what a shell in it has in its environment."""

    checkout: Path
    environment: dict[str, str]
    in_place_of: Mapping[str, str]
    notes: Path

    def follows(self, pages: Sequence[str], *, network: bool, seconds: float) -> None:
        """Type what pages say, in one shell, and look at what is left in the checkout after it."""
        environment = {**self.environment}
        typed = [each for page in pages for each in runnable(page, network=network)]
        # A page that makes no environment, or sets no site, stands on the tutorial, which does.
        if not any("bin/activate" in each.text for each in typed):
            programs = self.checkout / ".venv" / "bin"
            environment["PATH"] = f"{programs}:{environment['PATH']}"
        if any("export JIRA_SITE_URL" in each.text for each in typed):
            environment = {
                name: value for name, value in environment.items() if not name.startswith("JIRA_")
            }
        ended = session.run(
            typed, self.checkout, environment, self.in_place_of, self.notes, seconds
        )
        failed = [each for each in ended if not may_end_with(each.command, each.code)]
        assert not failed, "\n".join(
            f"{each.command}\nended with {each.code}:\n{each.output[-3000:]}" for each in failed
        )
        self.commits_and_deploys_nothing_of_it()

    def commits_and_deploys_nothing_of_it(self) -> None:
        """Nothing that was written here would go where all can see it."""
        status = ["status", "--porcelain", "--untracked-files=all"]
        assert self._git(*status) == [], "git add --all would commit these"
        left = self._git("ls-files", "--others", "--ignored", "--exclude-standard")
        assert left
        patterns = package.patterns((self.checkout / ".funcignore").read_text(encoding="utf-8"))
        deployed = [
            name
            for name in left
            if not package.is_ignored(name, patterns) and not name.startswith(".python_packages/")
        ]
        assert deployed == [], "func azure functionapp publish would deploy these"

    def _git(self, *arguments: str) -> list[str]:
        done = subprocess.run(
            ["git", "-c", "core.excludesFile=", "-c", "core.quotePath=off", *arguments],
            cwd=self.checkout,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()


@pytest.fixture
def newcomer(installation: Installation, tmp_path: Path) -> Newcomer:
    """With a site that has a day of records, and the letters that the pages' examples name."""
    for program in ("bash", "git", "make"):
        needed(shutil.which(program), f"{program} is not installed")
    installation.site.add(
        sample_records(200, first_id=20_000, end_ms=now() - 2_000, span_ms=20 * HOUR_MS, seed=7)
    )
    installation.container.create_container()
    letters = BlobLetters(installation.container, wiring.CLOCK)
    for letter in (
        Letter("refused", "the rows are refused (HTTP 400)", HOST, record(10_017), 400),
        Letter("refused", "the rows are refused (HTTP 400)", HOST, record(10_019), 400),
        Letter.original(HOST, record(10_018)),
    ):
        assert letters.keep(letter)

    checkout = checkouts.copy(tmp_path / "connector")
    git(checkout, "init", "--quiet")
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message", "as it is")

    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("python3", f"python{'.'.join(map(str, sys.version_info[:2]))}"):
        # Not a link: a Python finds its library from where it is.
        (programs / name).write_text(f'#!/bin/sh\nexec "{checkouts.base_python()}" "$@"\n')
        (programs / name).chmod(0o755)
    for folder in ("home", "tmp"):
        (tmp_path / folder).mkdir()
    return Newcomer(
        checkout,
        {
            "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(tmp_path / "home"),
            "TMPDIR": str(tmp_path / "tmp"),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "NO_PROXY": "localhost,127.0.0.1",
            **installation.environment,
        },
        {
            listed.ADDRESS: installation.environment["JIRA_SITE_URL"],
            listed.USERNAME: installation.environment["JIRA_USERNAME"],
        },
        tmp_path / "notes",
    )


def record(record_id: int) -> Record:
    return {"id": record_id, "created": "2026-11-20T12:00:00.000+0000", "summary": "User added"}


def install(newcomer: Newcomer) -> None:
    environment = newcomer.checkout / ".venv"
    checkouts.install(newcomer.checkout, environment)
    (environment / ".ready-terminal").touch()  # the Makefile's word for it


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", ALONE)
def test_page_runs_in_a_checkout_with_the_packages(page: str, newcomer: Newcomer) -> None:
    install(newcomer)

    newcomer.follows([page], network=False, seconds=270)


@pytest.mark.timeout(300)
def test_pages_for_operators_run_one_after_another(newcomer: Newcomer) -> None:
    install(newcomer)
    between = [page for page in AFTER_ANOTHER if page not in {BEFORE_OTHERS, AFTER_OTHERS}]
    assert len(between) > 3

    newcomer.follows([BEFORE_OTHERS, *between, AFTER_OTHERS], network=False, seconds=270)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", FROM_NOTHING)
def test_page_runs_in_a_checkout_with_only_a_python(
    page: str, newcomer: Newcomer, tmp_path: Path
) -> None:
    certificates = tmp_path / "certificates.pem"
    certificates.write_text(
        Path(newcomer.environment["REQUESTS_CA_BUNDLE"]).read_text(encoding="ascii")
        + Path(certifi.where()).read_text(encoding="utf-8"),
        encoding="utf-8",
    )
    newcomer.environment.update(
        {name: value for name, value in os.environ.items() if name.startswith(OF_THE_MACHINE)},
        REQUESTS_CA_BUNDLE=str(certificates),
    )

    newcomer.follows([page], network=True, seconds=800)
