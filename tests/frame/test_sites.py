"""Several sites: their settings, and that they run side by side without touching one another."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from requests.auth import HTTPBasicAuth

from jira_audit import app, wiring
from jira_audit.core import timestamps
from jira_audit.core.clock import Clock, Deadline
from jira_audit.core.errors import SettingsError
from jira_audit.core.letters import Letter
from jira_audit.core.outcome import Outcome
from jira_audit.core.plan import Plan
from jira_audit.core.records import TABLE_FILE
from jira_audit.core.timestamps import DAY, MINUTE
from jira_audit.edge.access import DirectRoute
from jira_audit.edge.jira import JiraSource
from jira_audit.edge.local import LocalLetters
from jira_audit.flow.collect import collect
from jira_audit.flow.ports import Run
from jira_audit.operations.replay import replay
from jira_audit.settings.azure import DEVELOPMENT_STORAGE
from jira_audit.settings.load import load
from jira_audit.settings.values import ApiToken, OAuthClient, Secret, Settings, Site
from jira_audit.simulator.server import serve
from jira_audit.simulator.site import FakeJira, Response
from jira_audit.terminal.check import check_results
from tests.fakes.world import record
from tests.servers.azurite import AT_ONCE
from tests.servers.many_sites import cloud_id_of

NOW = timestamps.parse("2026-11-20T12:00:00Z")
ONE = {
    "url": "https://contoso.atlassian.net",
    "username": "auditor@contoso.example",
    "api_token_setting": "CONTOSO_TOKEN",
}
OTHER = {
    "url": "https://fabrikam.atlassian.net",
    "oauth_client_id": "fabrikam-client",
    "oauth_client_secret_setting": "FABRIKAM_SECRET",
    "cloud_id": "11111111-2222-4333-8444-555555555555",
    "token_expires": "2027-03-31",
}
SECRETS = {"CONTOSO_TOKEN": "a-token-nobody-may-see", "FABRIKAM_SECRET": "a-secret-nobody-may-see"}


def settings_of(*entries: Any, **more: str) -> Settings:
    environment = {"JIRA_SITES": json.dumps(entries), **SECRETS, **more}
    return load(environment, NOW, Path("somewhere"))


def only_problem(*entries: Any, **more: str) -> tuple[str, str]:
    """The name and the problem of the only entry that is wrong."""
    (found,) = settings_of(*entries, **more).invalid
    (problem,) = found.error.problems
    return found.site, problem


# Settings


def test_credentials_of_each_site_come_from_named_settings() -> None:
    one, other = settings_of(ONE, OTHER).sites

    assert one.host == "contoso.atlassian.net"
    assert one.credentials == ApiToken(ONE["username"], Secret(SECRETS["CONTOSO_TOKEN"]))
    assert (one.gateway, one.secret_setting) == (False, "CONTOSO_TOKEN")
    assert other.credentials == OAuthClient("fabrikam-client", Secret(SECRETS["FABRIKAM_SECRET"]))
    assert (other.gateway, other.cloud_id) == (True, OTHER["cloud_id"])
    assert other.token_expires == date(2027, 3, 31)


def test_credentials_of_a_service_account_use_the_gateway() -> None:
    (site,) = settings_of({**ONE, "username": "bot@serviceaccount.atlassian.com"}).sites

    assert site.gateway
    assert site.cloud_id is None


@pytest.mark.parametrize(
    ("change", "name", "said"),
    [
        ({"url": "https://evil.example"}, "evil.example", "url names evil.example, which is not"),
        ({"url": ""}, "JIRA_SITES[2]", "url is missing"),
        ({"username": ""}, "fabrikam.atlassian.net", "username is missing"),
        ({"api_token_setting": ""}, "fabrikam.atlassian.net", "api_token_setting is missing"),
        (
            {"api_token_setting": "ATATT3x-pasted"},
            "fabrikam.atlassian.net",
            "api_token_setting, which names no setting that is set, is missing",
        ),
        ({"api_token": "ATATT3x-pasted"}, "fabrikam.atlassian.net", "api_token is not known"),
        ({"token_expires": "soon"}, "fabrikam.atlassian.net", "token_expires must be a date"),
        ({"cloud_id": "mine"}, "fabrikam.atlassian.net", "cloud_id must be an id"),
    ],
)
def test_entry_that_is_wrong_is_named_and_the_others_stay(
    change: dict[str, str], name: str, said: str
) -> None:
    entry = {**ONE, "url": "https://fabrikam.atlassian.net", **change}

    site, problem = only_problem(ONE, entry)

    assert site == name
    assert problem.startswith("JIRA_SITES[2]: ")
    assert said in problem
    assert "pasted" not in problem
    assert [each.host for each in settings_of(ONE, entry).sites] == ["contoso.atlassian.net"]


def test_entry_with_an_unresolved_reference_names_its_setting() -> None:
    _, problem = only_problem(ONE, CONTOSO_TOKEN="@Microsoft.KeyVault(SecretUri=https://v/s)")

    assert problem.startswith("JIRA_SITES[1]: CONTOSO_TOKEN is a Key Vault reference that did")


@pytest.mark.parametrize("entry", ["contoso", 7, None, [], {"url": 7}])
def test_entry_that_is_no_object_is_named_by_its_position(entry: Any) -> None:
    assert only_problem(ONE, entry) == (
        "JIRA_SITES[2]",
        "JIRA_SITES[2] must be an object of texts",
    )


def test_entry_of_the_same_site_is_refused_the_second_time() -> None:
    site, problem = only_problem(ONE, {**ONE, "url": "https://CONTOSO.atlassian.net/"})

    assert site == "JIRA_SITES[2]"
    assert "an earlier entry has" in problem


def test_entry_cannot_share_a_cloud_id() -> None:
    cloud_id = OTHER["cloud_id"]

    site, problem = only_problem({**ONE, "cloud_id": cloud_id.upper()}, OTHER)

    assert site == "fabrikam.atlassian.net"
    assert problem == (
        "JIRA_SITES[2]: cloud_id is that of contoso.atlassian.net; each site has its own"
    )


@pytest.mark.parametrize("sound_first", [True, False])
def test_entry_that_is_wrong_never_takes_a_sound_ones_name(sound_first: bool) -> None:
    wrong = {**ONE, "api_token_setting": "MISSPELT"}
    entries = [ONE, wrong] if sound_first else [wrong, ONE]

    loaded = settings_of(*entries)

    assert [site.host for site in loaded.sites] == ["contoso.atlassian.net"]
    assert [entry.site for entry in loaded.invalid] == [f"JIRA_SITES[{2 if sound_first else 1}]"]


def test_entry_has_a_name_without_spaces() -> None:
    loaded = settings_of(ONE, ONE, {**ONE, "username": ""}, "x", {"url": "a b"})

    names = [entry.site for entry in loaded.invalid]
    assert len(set(names)) == 4
    assert not [name for name in names if " " in name]


@pytest.mark.parametrize("setting", ["AzureWebJobsStorage", "IDENTITY_HEADER", "WEBSITE_KEY"])
def test_entry_cannot_send_a_secret_of_the_host_to_jira(setting: str) -> None:
    _, problem = only_problem({**ONE, "api_token_setting": setting}, **{setting: "a-key-of-azures"})

    assert "names a setting of the host's" in problem
    assert "a-key-of-azures" not in problem


def test_entry_with_half_a_character_in_its_secret_fails_alone() -> None:
    loaded = settings_of({**ONE, "api_token_setting": "HALF"}, OTHER, HALF="ATATT\ud83d")

    assert [site.host for site in loaded.sites] == ["fabrikam.atlassian.net"]
    (entry,) = loaded.invalid
    assert "not text: copy it again" in str(entry.error)
    assert "ATATT" not in repr(entry)


@pytest.mark.parametrize("value", ["contoso", "{}", "[]", "[", '"x"'])
def test_list_that_is_invalid_fails_all_sites(value: str) -> None:
    with pytest.raises(SettingsError, match="JIRA_SITES must be a list in JSON"):
        load({"JIRA_SITES": value}, NOW, Path("somewhere"))


def test_list_beside_the_settings_of_one_site_fails_all() -> None:
    with pytest.raises(SettingsError) as raised:
        settings_of(ONE, JIRA_SITE_URL="https://x.atlassian.net", JiraAccessToken="nobody-may-see")

    assert len(raised.value.problems) == 2
    assert "nobody-may-see" not in str(raised.value)


def test_reset_may_name_any_listed_site_and_concerns_no_other() -> None:
    checked = settings_of(
        ONE, OTHER, CHECKPOINT_RESET="fabrikam.atlassian.net=2026-11-01T00:00:00Z"
    )

    assert [checked.policy_for(site).reset is None for site in checked.sites] == [True, False]


def test_reset_of_a_removed_site_stops_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    checked = settings_of(ONE, OTHER, CHECKPOINT_RESET="tailspin.atlassian.net=all")

    assert [checked.policy_for(site).reset for site in checked.sites] == [None, None]
    assert "resets nothing" in caplog.text


def test_credentials_are_printed_as_stars() -> None:
    assert "nobody-may-see" not in repr(settings_of(ONE, OTHER))


def test_credentials_are_either_an_oauth_client_or_a_token() -> None:
    with pytest.raises(SettingsError, match="JIRA_USERNAME is set beside an OAuth client"):
        load(
            {
                "JIRA_SITE_URL": "https://contoso.atlassian.net",
                "JIRA_USERNAME": "a@b.example",
                "JIRA_OAUTH_CLIENT_ID": "x",
                "JIRA_OAUTH_CLIENT_SECRET": "y",
            },
            NOW,
            Path("somewhere"),
        )


# Running


class FailingJira(FakeJira):
    """A site that may be told to answer everything with one status, or to wait for another."""

    status: int | None = None
    waits_for: threading.Event | None = None

    def answer(self, *request: Any) -> Response:
        if self.waits_for:
            assert self.waits_for.wait(20), "the other site was held up"
        if self.status:
            return Response(self.status, {}, b"<html>")
        return super().answer(*request)


@pytest.fixture
def two_sites(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FailingJira, FailingJira]]:
    """Two sites with the same ids, at two names of this machine, and the settings for both."""
    sites = FailingJira("auditor", "one"), FailingJira("auditor", "two", cloud_id=cloud_id_of(2))
    now = wiring.CLOCK.now()
    for number, site in enumerate(sites):
        site.add(
            record(10_000 + n, now - 5 * MINUTE - n, summary=f"of site {number}") for n in range(40)
        )
    with (
        serve(sites[0], clock_ms=wiring.CLOCK.now) as one,
        serve(sites[1], clock_ms=wiring.CLOCK.now) as two,
    ):
        entries = [
            {"url": one, "username": "auditor", "api_token_setting": "TOKEN_ONE"},
            {
                "url": two.replace("127.0.0.1", "localhost"),
                "username": "auditor",
                "api_token_setting": "TOKEN_TWO",
            },
        ]
        monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
        monkeypatch.setenv("JIRA_SITES", json.dumps(entries))
        monkeypatch.setenv("TOKEN_ONE", "one")
        monkeypatch.setenv("TOKEN_TWO", "two")
        yield sites
    for cached in (wiring.source, wiring.tenant, wiring.route, wiring.gateway):
        cached.cache_clear()


def run(folder: Path) -> dict[str, Outcome]:
    return {outcome.site: outcome for outcome in app.run(os.environ, folder=folder)}


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / TABLE_FILE).read_text().splitlines()]


def test_sites_that_share_ids_never_mix(
    two_sites: tuple[FailingJira, FailingJira], tmp_path: Path
) -> None:
    first, second = run(tmp_path), run(tmp_path)

    assert {site: outcome.result for site, outcome in first.items()} == {
        "127.0.0.1": "ok",
        "localhost": "ok",
    }
    assert [outcome.tally.rows for outcome in first.values()] == [40, 40]
    assert [outcome.tally.rows for outcome in second.values()] == [0, 0]
    for row in rows(tmp_path):
        assert row["summary_s"] == f"of site {int(row['site_s'] == 'localhost')}"
    for host in ("127.0.0.1", "localhost"):
        checkpoint = json.loads((tmp_path / f"checkpoints/{host}.json").read_text())
        assert (checkpoint["site"], checkpoint["ledger"]) == (host, [[10_000, 10_039]])


def test_sites_never_mix_their_letters_and_replays(
    two_sites: tuple[FailingJira, FailingJira], tmp_path: Path
) -> None:
    run(tmp_path)
    lost = record(777, wiring.CLOCK.now() - 2 * DAY)
    letters = LocalLetters(tmp_path, wiring.CLOCK)
    for host in ("127.0.0.1", "localhost"):
        assert letters.keep(Letter("refused", "for the test", host, lost, 400))
    checked = load(os.environ, wiring.CLOCK.now(), tmp_path)
    one, _ = checked.sites

    with wiring.site_run(checked, one, Deadline.after(wiring.CLOCK, 60)) as its_run:
        replayed = replay(its_run)

    assert len(replayed.sent) == 1
    assert [row["site_s"] for row in rows(tmp_path) if row["id_d"] == 777] == ["127.0.0.1"]
    assert len(letters.names("dead-letters", "localhost")) == 1


def test_sites_are_all_collected_before_a_failure_is_raised(
    two_sites: tuple[FailingJira, FailingJira],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    two_sites[0].status = 403
    entries = json.loads(os.environ["JIRA_SITES"])
    monkeypatch.setenv("JIRA_SITES", json.dumps([*entries, {"url": "https://evil.example"}]))

    outcomes = run(tmp_path)

    assert {site: outcome.result for site, outcome in outcomes.items()} == {
        "evil.example": "failed",
        "127.0.0.1": "failed",
        "localhost": "ok",
    }
    assert {row["site_s"] for row in rows(tmp_path)} == {"localhost"}
    assert "JIRA_SITES[3]" in caplog.text
    lines = [r.getMessage() for r in caplog.records if r.getMessage().startswith("jira_audit ")]
    assert len(lines) <= 3


def test_sites_do_not_wait_for_one_that_does_not_answer(
    two_sites: tuple[FailingJira, FailingJira], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()
    two_sites[0].waits_for = done

    def collect_and_tell(run: Run, plan: Plan) -> Outcome:
        outcome = collect(run, plan)
        if run.site == "localhost":
            done.set()
        return outcome

    monkeypatch.setattr("jira_audit.app.collect", collect_and_tell)

    assert {outcome.result for outcome in run(tmp_path).values()} == {"ok"}


def test_sites_are_all_collected_before_a_bug_is_raised(
    two_sites: tuple[FailingJira, FailingJira], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def collect_or_break(run: Run, plan: Plan) -> Outcome:
        if run.site == "127.0.0.1":
            raise ZeroDivisionError
        return collect(run, plan)

    monkeypatch.setattr("jira_audit.app.collect", collect_or_break)

    with pytest.raises(ZeroDivisionError):
        run(tmp_path)

    assert {row["site_s"] for row in rows(tmp_path)} == {"localhost"}


def test_sites_each_warn_of_their_tokens_expiry(
    two_sites: tuple[FailingJira, FailingJira],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    entries = json.loads(os.environ["JIRA_SITES"])
    soon, late = (timestamps.day(wiring.CLOCK.now() + days * DAY) for days in (14, 15))
    entries[0]["token_expires"], entries[1]["token_expires"] = soon, late
    monkeypatch.setenv("JIRA_SITES", json.dumps(entries))
    caplog.set_level(logging.WARNING)

    run(tmp_path)

    (warning,) = [r.getMessage() for r in caplog.records if "expires" in r.getMessage()]
    assert warning.startswith(f"127.0.0.1: the token or secret expires on {soon}, in 14 days")
    assert "set TOKEN_ONE" in warning


def test_sites_beyond_the_pool_are_all_collected(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = FakeJira("auditor", "one")
    site.add(record(10_000 + n, wiring.CLOCK.now() - 5 * MINUTE - n) for n in range(3))
    with serve(site, clock_ms=wiring.CLOCK.now) as address:
        entries = [
            {
                "url": address.replace("127.0.0.1", f"127.0.1.{n}"),
                "username": "auditor",
                "api_token_setting": "TOKEN_ONE",
            }
            for n in range(1, 1 + wiring.MAX_CONCURRENT_SITES * 2)
        ]
        # Loopback is one machine whatever the last numbers: a server at one of them stands for all.
        monkeypatch.setattr(
            "jira_audit.wiring.source", lambda one, clock=wiring.CLOCK: _source(one, address, clock)
        )
        monkeypatch.setenv("JIRA_SITES", json.dumps(entries))
        monkeypatch.setenv("TOKEN_ONE", "one")
        outcomes = run(tmp_path)

    assert {outcome.result for outcome in outcomes.values()} == {"ok"}
    assert len(rows(tmp_path)) == 3 * 2 * wiring.MAX_CONCURRENT_SITES


def _source(site: Site, address: str, clock: Clock) -> JiraSource:
    return JiraSource(site.host, DirectRoute(address, HTTPBasicAuth("auditor", "one")), clock)


# The check


def test_check_asks_every_site_and_names_wrong_entries(
    two_sites: tuple[FailingJira, FailingJira], monkeypatch: pytest.MonkeyPatch
) -> None:
    two_sites[1].status = 403
    entries = json.loads(os.environ["JIRA_SITES"])
    monkeypatch.setenv("JIRA_SITES", json.dumps([*entries, {"url": "https://evil.example"}]))
    monkeypatch.setenv("DATA_COLLECTION_ENDPOINT", "https://127.0.0.1:1")
    monkeypatch.setenv("LOGS_DCR_RULE_ID", "dcr-0")
    monkeypatch.setenv("AzureWebJobsStorage", DEVELOPMENT_STORAGE.replace("10000", "1"))

    monkeypatch.setattr(wiring, "container", partial(wiring.container, retries=AT_ONCE))

    answers = [each for each in check_results(os.environ) if each.part in {"settings", "Jira"}]

    assert [(each.part, each.ok) for each in answers[:3]] == [
        ("settings", True),
        ("settings", True),
        ("settings", False),
    ]
    assert sorted((each.part, each.ok) for each in answers[3:]) == [("Jira", False), ("Jira", True)]
    assert answers[2].sentence.startswith("evil.example: JIRA_SITES[3]: ")


@pytest.mark.parametrize("value", ["true", "True", "1", " true "])
@pytest.mark.parametrize("dot", [".", "_"])  # a Linux app finds the one as the other
def test_queue_is_refused_if_its_function_is_disabled(
    two_sites: tuple[FailingJira, FailingJira],
    monkeypatch: pytest.MonkeyPatch,
    dot: str,
    value: str,
) -> None:
    monkeypatch.setenv("DATA_COLLECTION_ENDPOINT", "https://127.0.0.1:1")
    monkeypatch.setenv("LOGS_DCR_RULE_ID", "dcr-0")
    monkeypatch.setenv("AzureWebJobsStorage", DEVELOPMENT_STORAGE.replace("10000", "1"))
    monkeypatch.setenv("QUEUE_SITES_ABOVE", "1")
    monkeypatch.setenv(f"AzureWebJobs{dot}collect_site{dot}Disabled", value)

    with pytest.raises(SettingsError, match="queued sites would not be collected"):
        app.tick(os.environ, wiring.Threads())
