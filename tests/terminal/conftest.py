"""Fixtures for the terminal: an environment without settings, the command line run in this process
or in another, and a site to collect from. What commands should do is in the tests.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jira_audit import wiring
from jira_audit.simulator.records import Record, sample_records
from jira_audit.simulator.server import serve
from jira_audit.simulator.site import PERMISSIONS_PATH, TENANT_PATH, FakeJira, Response
from jira_audit.terminal.cli import cli

ROOT = Path(__file__).parents[2]
USERNAME, TOKEN = "auditor@contoso.example", "a-token-nobody-may-see"
HOUR_MS = 3_600_000

_SETTINGS = ("JIRA", "Jira", "AZURE_", "AzureWebJobs", "LOGS_", "DATA_", "IDENTITY_", "CHECKPOINT_")
_ABOUT_COLOURS = {"NO_COLOR", "FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "COLUMNS", "TERM"}


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture(autouse=True)
def no_settings() -> Iterator[None]:
    """Before each test no setting is set, and what it or the command sets is gone after it."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(_SETTINGS) or name in _ABOUT_COLOURS:
            del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def no_warm_clients() -> Iterator[None]:
    """Clients are cached by their settings; the identity's address is not one of them."""
    warm = (wiring.source, wiring.tenant, wiring.sink, wiring.container, wiring.credential)
    yield
    for cached in warm:
        cached.cache_clear()


@pytest.fixture
def run() -> Run:
    """Run the command line in this process; what goes out is not a terminal."""

    def call(*arguments: str | Path) -> Ended:
        ended = CliRunner().invoke(cli, [str(each) for each in arguments])
        if ended.exception and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        return Ended(ended.exit_code, ended.stdout, ended.stderr)

    return call


def begin(*arguments: str | Path, out: int, err: int) -> subprocess.Popen[str]:
    """Begin `python -m jira_audit` in another process, its outputs going to two descriptors."""
    return subprocess.Popen(
        [sys.executable, "-m", "jira_audit", *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        text=True,
        encoding="utf-8",
    )


def end(process: subprocess.Popen[str]) -> Ended:
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return Ended(process.returncode, out or "", err or "")


@pytest.fixture
def run_apart() -> Run:
    """Run the command line in another process, as people do; what goes out is not a terminal."""

    def call(*arguments: str | Path) -> Ended:
        return end(begin(*arguments, out=subprocess.PIPE, err=subprocess.PIPE))

    return call


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class TwoNames(FakeJira):
    """One simulated site that stands for two: at localhost it tells another cloud id."""

    def answer(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str], now_ms: int
    ) -> Response:
        answer = super().answer(path, query, headers, now_ms)
        if path == TENANT_PATH and headers["Host"].startswith("localhost"):
            other = b'{"cloudId":"66666666-2222-4333-8444-555555555555"}'
            return replace(answer, body=other)
        return answer


class Site(TwoNames):
    """A simulated site that can be told to refuse, and counts what it was asked.

    Told so, it still says whether the account administers it.
    """

    def __init__(self, records: list[Record]) -> None:
        super().__init__(USERNAME, TOKEN)
        self.add(records)
        self.refusal: int | None = None
        self.administers: bool | None = None
        self.asked = 0

    def answer(self, *request: object) -> Response:
        self.asked += 1
        if request[0] == PERMISSIONS_PATH and self.administers is not None:
            said = {"permissions": {"ADMINISTER": {"havePermission": self.administers}}}
            return Response(200, {}, json.dumps(said).encode())
        if self.refusal:
            return Response(self.refusal, {"Content-Type": "text/html"}, b"<html>no</html>")
        return super().answer(*request)  # type: ignore[arg-type]


def records(count: int) -> list[Record]:
    """Records of the last hours."""
    return sample_records(
        count, first_id=10_000, end_ms=now_ms() - 2_000, span_ms=20 * HOUR_MS, seed=7
    )


@pytest.fixture
def site(no_settings: None) -> Iterator[Site]:
    """A site with 200 records, and the settings for it in the environment."""
    site = Site(records(200))
    with set_up(site):
        yield site


@contextmanager
def set_up(site: FakeJira) -> Iterator[None]:
    """Serve a site, and set Jira's settings for it."""
    with serve(site, clock_ms=now_ms) as address:
        os.environ |= {
            "JIRA_SITE_URL": address,
            "JIRA_USERNAME": USERNAME,
            "JIRA_API_TOKEN": TOKEN,
            "NO_PROXY": "localhost,127.0.0.1",
        }
        yield


def as_two_sites(*more: object) -> None:
    """The one site that is set up, under two names, and further entries of JIRA_SITES."""
    url, username = os.environ.pop("JIRA_SITE_URL"), os.environ.pop("JIRA_USERNAME")
    os.environ["TOKEN"] = os.environ.pop("JIRA_API_TOKEN")
    entries = [
        {"url": address, "username": username, "api_token_setting": "TOKEN"}
        for address in (url, url.replace("127.0.0.1", "localhost"))
    ]
    os.environ["JIRA_SITES"] = json.dumps([*entries, *more])
