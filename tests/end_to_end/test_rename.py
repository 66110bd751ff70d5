"""A site that is renamed over HTTP, collected into a folder and into Azure's parts."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from jira_audit import app, wiring
from jira_audit.core import timestamps
from jira_audit.core.records import TABLE_FILE
from jira_audit.core.timestamps import DAY, HOUR, MINUTE
from jira_audit.simulator.server import serve
from jira_audit.simulator.site import FakeJira, Response
from jira_audit.terminal.cli import cli
from tests.end_to_end.conftest import Installation, now
from tests.fakes.world import record

OLD, NEW = "127.0.0.1", "localhost"
DAYS, COUNT = 5, 600


class Renamed(FakeJira):
    """A site at two names of this machine. Once it `is_renamed`, the first redirects."""

    is_renamed = False

    def answer(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str], now_ms: int
    ) -> Response:
        host, port = headers["Host"].split(":")
        if self.is_renamed and host == OLD:
            return Response(301, {"Location": f"http://{NEW}:{port}{path}"}, b"")
        return super().answer(path, query, headers, now_ms)


@dataclass
class Site:
    """The site, its records of five days, and the settings for each of its names."""

    jira: Renamed
    settings: Callable[[str], dict[str, str]]
    begins: int
    at: int

    def write(self) -> None:
        """What the site has written by now."""
        gap = DAYS * DAY // COUNT
        written = (record(10_000 + n, self.begins + n * gap) for n in range(COUNT))
        self.jira.add(each for each in written if timestamps.parse(each["created"]) <= self.at)

    def tick(self, host: str, hours: float, folder: Path | None, **more: str) -> str:
        """A run under one of the names, after some time."""
        self.at += round(hours * HOUR)
        self.write()
        clock = replace(wiring.CLOCK, now=lambda: self.at)
        (outcome,) = app.run(self.settings(host) | more, folder=folder, clock=clock)
        return outcome.result


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    begins = now() - DAYS * DAY
    jira = Renamed("auditor@example.com", "a-token")
    made = Site(jira, lambda _: {}, begins, begins)
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    logging.getLogger("jira_audit").setLevel(logging.CRITICAL)
    with serve(jira, clock_ms=lambda: made.at) as url:
        made.settings = lambda host: {
            "JIRA_SITE_URL": url.replace(OLD, host),
            "JIRA_USERNAME": "auditor@example.com",
            "JIRA_API_TOKEN": "a-token",
        }
        yield made
    logging.getLogger("jira_audit").setLevel(logging.NOTSET)


def five_days(site: Site, folder: Path | None, **more: str) -> None:
    """Two days, a rename, an hour until the setting follows, and the rest."""
    for _ in range(24):
        assert site.tick(OLD, 2, folder, **more) == "ok"
    site.jira.is_renamed = True
    assert site.tick(OLD, 1, folder, **more) == "failed"
    while site.at + 2 * HOUR <= site.begins + DAYS * DAY:
        assert site.tick(NEW, 2, folder, **more) == "ok"
    assert site.tick(NEW, (site.begins + DAYS * DAY - site.at) / HOUR, folder, **more) == "ok"


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / TABLE_FILE).read_bytes().splitlines()]


def once(rows: list[dict[str, Any]]) -> None:
    """Every record is there, once; those before the change under the old name."""
    assert sorted(row["id_d"] for row in rows) == list(range(10_000, 10_000 + COUNT))
    names = Counter(row["site_s"] for row in rows)
    assert set(names) == {OLD, NEW}
    assert min(names.values()) > COUNT // 4


def test_a_renamed_site_in_a_folder_is_complete_and_verified(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    five_days(site, tmp_path)
    once(rows_of(tmp_path))
    for name, value in site.settings(NEW).items():
        monkeypatch.setenv(name, value)
    begins = timestamps.text(site.begins - MINUTE)
    arguments = ["verify", "--folder", str(tmp_path), "--from", begins]

    for more in [], ["--repair"]:
        ended = CliRunner().invoke(cli, [*arguments, *more, "--out", str(tmp_path / "report")])
        (report,) = json.loads((tmp_path / "report").read_bytes())["sites"]

        assert (ended.exit_code, report["missing"]["count"]) == (0, 0), ended.output
    once(rows_of(tmp_path))
    assert not list(tmp_path.glob(f"*/{OLD}*.json"))


@pytest.mark.servers
def test_a_renamed_site_in_azures_parts_is_complete(
    site: Site, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setitem(os.environ, name, installation.environment[name])
    more = {
        name: value
        for name, value in installation.environment.items()
        if not name.startswith("JIRA_")
    }

    five_days(site, None, **more)

    once(installation.rows())
    names = [blob.name for blob in installation.container.list_blobs("checkpoints/")]
    assert names == [f"checkpoints/{NEW}.json"]
