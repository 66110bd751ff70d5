"""A renamed site from the settings on: by settings, by JIRA_SITES, and through the gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from jira_audit import app, wiring
from jira_audit.core.outcome import Outcome
from jira_audit.core.records import TABLE_FILE
from jira_audit.core.timestamps import MINUTE
from jira_audit.settings.load import load
from tests.fakes.atlassian import AUDIT, CLOUD_ID, Atlassian, Token
from tests.fakes.world import START, Time, record

HOST, NEW = "contoso.atlassian.net", "fabrikam.atlassian.net"
DOMAIN = "jira.contoso.com"
USER, TOKEN = "auditor@example.com", "a-token-nobody-may-see"
ACCOUNT = "auditor@serviceaccount.atlassian.com"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Atlassian]:
    """Every session of `requests` ends at this cloud, whatever it is asked for."""
    made = Atlassian(Time())
    made.tokens = [Token(USER, TOKEN), Token(ACCOUNT, TOKEN, AUDIT)]
    made.site.add(record(10_000 + n, START - 60 * MINUTE + n * MINUTE) for n in range(25))
    monkeypatch.setattr(requests.Session, "get_adapter", lambda self, url: made)
    yield made
    forget_clients()


def forget_clients() -> None:
    """As a new process has none."""
    for cached in (wiring.source, wiring.tenant, wiring.route, wiring.gateway):
        cached.cache_clear()


def one(host: str, user: str = USER, **more: str) -> Mapping[str, str]:
    address = {"JIRA_SITE_URL": f"https://{host}", "JIRA_USERNAME": user, "JIRA_API_TOKEN": TOKEN}
    return {**address, **more}


def several(*hosts: str, **more: str) -> Mapping[str, str]:
    entries = [
        {"url": f"https://{host}", "username": USER, "api_token_setting": "TOKEN"} for host in hosts
    ]
    return {"JIRA_SITES": json.dumps(entries), "TOKEN": TOKEN, **more}


WAYS: Mapping[str, Any] = {
    "settings": one,
    "JIRA_SITES": several,
    "scoped token": lambda host: one(host, ACCOUNT),
    "scoped token, cloud id set": lambda host: one(host, ACCOUNT, JIRA_CLOUD_ID=CLOUD_ID.upper()),
}


def collect(
    environment: Mapping[str, str], folder: Path, cloud: Atlassian, seconds: float = 300
) -> dict[str, Outcome]:
    forget_clients()
    cloud.time.advance(seconds)
    outcomes = app.run(environment, folder=folder, clock=cloud.time.clock)
    return {outcome.site: outcome for outcome in outcomes}


def ids(folder: Path) -> list[int]:
    lines = (folder / TABLE_FILE).read_bytes().splitlines()
    return sorted(json.loads(line)["id_d"] for line in lines)


@pytest.mark.parametrize("days", [0.04, 30.0])
@pytest.mark.parametrize("way", WAYS)
def test_a_renamed_site_goes_on_whatever_the_way_in(
    way: str, days: float, cloud: Atlassian, tmp_path: Path
) -> None:
    settings = WAYS[way]
    assert collect(settings(HOST), tmp_path, cloud)[HOST].result == "ok"
    cloud.rename(NEW)
    cloud.site.add([record(10_025, cloud.time.now + MINUTE)])
    before = collect(settings(HOST), tmp_path, cloud)[HOST]
    cloud.time.advance(days * 86_400)
    cloud.site.add([record(10_026, cloud.time.now - MINUTE)])

    assert collect(settings(NEW), tmp_path, cloud)[NEW].result == "ok"

    assert ids(tmp_path) == list(range(10_000, 10_027))
    assert [path.stem for path in (tmp_path / "checkpoints").glob("*.json")] == [NEW]
    if way == "scoped token, cloud id set":  # the gateway knows no address
        assert before.result == "ok"
    else:
        assert f"set JIRA_SITE_URL (or url in JIRA_SITES) to https://{NEW}" in str(before.error)


def test_a_custom_domain_goes_on_where_the_site_was(cloud: Atlassian, tmp_path: Path) -> None:
    allowed = {"JIRA_ALLOWED_HOST_SUFFIXES": "contoso.com"}
    assert collect(one(HOST), tmp_path, cloud)[HOST].result == "ok"
    cloud.rename(DOMAIN)

    assert collect(one(DOMAIN, **allowed), tmp_path, cloud)[DOMAIN].result == "ok"

    assert ids(tmp_path) == list(range(10_000, 10_025))


def test_two_addresses_of_one_tenant_are_refused_by_name(cloud: Atlassian, tmp_path: Path) -> None:
    assert collect(several(HOST), tmp_path, cloud)[HOST].result == "ok"
    cloud.rename(NEW)
    settings = several(HOST, NEW)

    outcomes = collect(settings, tmp_path, cloud)

    assert f"{NEW} and {HOST} are two addresses of one site" in str(outcomes[NEW].error)
    assert ids(tmp_path) == list(range(10_000, 10_025))


def test_an_entry_that_is_wrong_is_set_up_all_the_same(cloud: Atlassian, tmp_path: Path) -> None:
    """Otherwise a secret that is missing for a moment would give its checkpoint away."""
    assert collect(several(HOST), tmp_path, cloud)[HOST].result == "ok"
    entries = json.loads(several(HOST, NEW)["JIRA_SITES"])
    entries[0]["api_token_setting"] = "MISSING"
    cloud.rename(NEW)

    outcomes = collect({"JIRA_SITES": json.dumps(entries), "TOKEN": TOKEN}, tmp_path, cloud)

    assert "two addresses of one site" in str(outcomes[NEW].error)


def test_a_queued_site_knows_all_that_are_set_up(
    cloud: Atlassian, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load(several(HOST, NEW), START, tmp_path)
    ran: list[Any] = []
    monkeypatch.setattr("jira_audit.app.load", lambda *_: settings)

    def run(only: Any, **_: Any) -> tuple[Outcome, ...]:
        ran.append(only)
        return ()

    monkeypatch.setattr("jira_audit.app.run_settings", run)

    app.collect_queued({}, NEW, wiring.PLAIN_THREADS)

    assert [site.host for site in ran[0].sites] == [NEW]
    assert ran[0].policy.hosts == (HOST, NEW)


def test_a_cloud_id_of_another_tenant_is_noticed(cloud: Atlassian, tmp_path: Path) -> None:
    other = "99999999-2222-4333-8444-555555555555"

    outcome = collect(one(HOST, JIRA_CLOUD_ID=other), tmp_path, cloud)[HOST]

    assert f"is another site's: that of https://{HOST} is {CLOUD_ID}" in str(outcome.error)
    assert not (tmp_path / TABLE_FILE).exists()
