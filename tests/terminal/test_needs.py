"""A command asks only for the settings it uses: with exactly those, whatever the others are, it
works.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from jira_audit import wiring
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.letters import Letter
from jira_audit.edge.local import LocalCheckpoints, LocalLetters
from tests.terminal.conftest import TOKEN, USERNAME, Ended, Run, Site, now_ms
from tests.terminal.test_operate import HOST, ORIGINAL, PATH, REFUSED, UNREADABLE, Place, blobs

VAULT = "@Microsoft.KeyVault(SecretUri=https://contoso.vault.azure.net/secrets/jira)"
DEMO = "fernmoor.atlassian.example"

LOOKING = [
    ("status",),
    ("status", "--json"),
    ("checkpoint", "show"),
    ("dead-letters", "list"),
    ("dead-letters", "show", "2026-03-01/17"),
    ("originals", "list"),
    ("originals", "show", "2026-03-01/19"),
]
"""The commands that read what runs have stored, and nothing else."""

STORAGE = ("AzureWebJobsStorage", "CHECKPOINT_CONTAINER")
SITE = "JIRA_SITE_URL"

WRONG: Mapping[str, str] = {
    "JIRA_USERNAME": VAULT,
    "JIRA_API_TOKEN": VAULT,
    "JIRA_CLOUD_ID": "mine",
    "DATA_COLLECTION_ENDPOINT": VAULT,
    "LOGS_DCR_RULE_ID": "<rule>",
    "LOGS_DCR_STREAM_NAME": "jira",
    "LOGS_INGESTION_AUDIENCE": "azure",
    "CHECKPOINT_RESET": "yesterday",
    "POLL_SCHEDULE": "often",
    "INITIAL_LOOKBACK_HOURS": "0",
    "OVERLAP_MINUTES": "soon",
    "RUN_BUDGET_SECONDS": "541",
    "QUEUE_SITES_ABOVE": "11",
    "LEASE_SECONDS": "61",
    "AUDIT_WORKSPACE_ID": "ours",
    "TIME_GENERATED_SOURCE": "none",
}
"""What no command that only looks has a use for, and each of them wrong."""


SETTINGS_BEGIN = ("JIRA", "AzureWebJobs", "LOGS_", "DATA_", "CHECKPOINT_")


def set_only(*names: str, **changes: str) -> None:
    """Take every setting away but these, and set others."""
    for name in list(os.environ):
        if name.startswith(SETTINGS_BEGIN) and name not in names:
            del os.environ[name]
    os.environ |= changes


def run_read_only(run: Run, command: tuple[str, ...], *more: str | Path) -> Ended:
    """What a command that looks has shown. It is to work; `status` judges what it sees."""
    ended = run(*command, *more)
    if command[0] == "status":
        assert ended.code in {0, 1}
        assert all(": " in line for line in ended.err.splitlines())
    else:
        assert (ended.code, ended.err) == (0, "")
    assert TOKEN not in ended.out
    return ended


@pytest.fixture
def azure(request: pytest.FixtureRequest, site: Site) -> Place:
    """Storage with a checkpoint and letters, and all settings."""
    place = blobs(request)
    place.put(PATH, Checkpoint(HOST, 0, now_ms()).encode(now_ms()))
    return place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The same in a folder, and no settings."""
    lease = LocalCheckpoints(tmp_path, wiring.CLOCK).take(Checkpoint(HOST, 0, now_ms()))
    assert lease
    lease.release()
    for letter in (REFUSED, UNREADABLE, ORIGINAL):
        assert LocalLetters(tmp_path, wiring.CLOCK).keep(letter)
    return tmp_path


# Blobs


@pytest.mark.servers
@pytest.mark.parametrize("command", LOOKING)
def test_blobs_need_the_site_and_storage(
    command: tuple[str, ...], azure: Place, site: Site
) -> None:
    set_only(SITE, *STORAGE)

    assert run_read_only(azure.run, command).out
    assert site.asked == 0


@pytest.mark.servers
@pytest.mark.parametrize("command", LOOKING)
def test_blobs_are_read_whatever_other_settings_hold(
    command: tuple[str, ...], azure: Place
) -> None:
    set_only(SITE, *STORAGE, **WRONG)

    assert run_read_only(azure.run, command).out


@pytest.mark.servers
@pytest.mark.parametrize("secret", [None, VAULT, "a-token"])
@pytest.mark.parametrize("command", LOOKING)
def test_blobs_of_several_sites_need_no_secrets(
    command: tuple[str, ...], secret: str | None, azure: Place
) -> None:
    entry = {"username": USERNAME, "api_token_setting": "CONTOSO_TOKEN"}
    sites = [{"url": os.environ[SITE], **entry}, {"url": "https://jira.contoso.com", **entry}]
    set_only(*STORAGE, JIRA_SITES=json.dumps(sites))
    if secret:
        os.environ["CONTOSO_TOKEN"] = secret

    more = () if command[0] == "status" else ("--site", HOST)
    ended = run_read_only(azure.run, command, *more)

    assert (command[0] == "status") == ("jira.contoso.com" in ended.out)


@pytest.mark.servers
def test_needs_are_asked_for_and_no_other_settings(azure: Place) -> None:
    for command in LOOKING:
        set_only()
        ended = azure.run(*command)
        assert ended.code == 2
        assert [line.split()[0] for line in ended.err.splitlines()] == [SITE, STORAGE[0]]

    for name in (SITE, STORAGE[0]):
        set_only(SITE, *STORAGE, **{name: VAULT})
        ended = azure.run("status")
        assert ended.code == 2
        assert f"{name} is a Key Vault reference that did not resolve" in ended.err


@pytest.mark.servers
@pytest.mark.usefixtures("azure")
def test_replay_needs_storage_and_rule_but_not_jira(azure: Place, site: Site) -> None:
    set_only(SITE, *STORAGE, "DATA_COLLECTION_ENDPOINT", "LOGS_DCR_RULE_ID", JIRA_API_TOKEN=VAULT)

    ended = azure("dead-letters", "replay", "2026-03-01/17")

    assert ended.code == 0
    assert azure.rows() == 1
    assert site.asked == 0


@pytest.mark.servers
def test_replay_asks_for_the_rule(azure: Place) -> None:
    set_only(SITE, *STORAGE)

    ended = azure("dead-letters", "replay", "--all")

    assert ended.code == 2
    names = [line.split()[0] for line in ended.err.splitlines()]
    assert names == ["DATA_COLLECTION_ENDPOINT", "LOGS_DCR_RULE_ID"]


@pytest.mark.servers
def test_reset_needs_storage_and_where_the_next_run_begins(azure: Place) -> None:
    set_only(SITE, *STORAGE, LOGS_DCR_RULE_ID=VAULT, JIRA_API_TOKEN=VAULT)

    assert azure("checkpoint", "reset", "--from", "all", "--yes").code == 0

    set_only(SITE, *STORAGE, CHECKPOINT_RESET="yesterday")
    assert azure("checkpoint", "reset", "--from", "all", "--yes").code == 2


@pytest.mark.servers
def test_verify_without_repair_needs_no_rule_and_sends_nothing(azure: Place) -> None:
    since = "2026-03-01T00:00:00Z"
    set_only(SITE, "JIRA_USERNAME", "JIRA_API_TOKEN", *STORAGE, LOGS_DCR_RULE_ID=VAULT)

    verified = azure("verify", "--from", since)
    repaired = azure("verify", "--from", since, "--repair")

    assert verified.code == 0
    assert "nothing is missing" in verified.out
    assert repaired.code == 2
    names = [line.split()[0] for line in repaired.err.splitlines()]
    assert names == ["DATA_COLLECTION_ENDPOINT", "LOGS_DCR_RULE_ID"]


@pytest.mark.servers
@pytest.mark.parametrize("command", [("backfill", "--from", "all"), ("collect",), ("check",)])
def test_collect_needs_every_setting(command: tuple[str, ...], azure: Place) -> None:
    set_only(SITE, *STORAGE)

    ended = azure.run(*command)

    assert ended.code == 2
    assert {line.split()[0] for line in ended.err.splitlines()} == {
        "JIRA_USERNAME",
        "JIRA_API_TOKEN",
        "DATA_COLLECTION_ENDPOINT",
        "LOGS_DCR_RULE_ID",
    }


# A local folder


@pytest.mark.parametrize("command", LOOKING)
def test_folder_needs_no_settings(command: tuple[str, ...], run: Run, folder: Path) -> None:
    assert run_read_only(run, command, "--folder", folder).out


@pytest.mark.parametrize(
    "settings",
    [
        {SITE: f"https://{DEMO}"},
        {SITE: VAULT},
        {SITE: "<your site>"},
        {"JIRA_SITES": "["},
        {"JIRA_SITES": VAULT},
        {SITE: "https://other.atlassian.net"},
        {**WRONG, SITE: "https://contoso.atlassian.net/jira", "AzureWebJobsStorage": "contoso"},
    ],
)
@pytest.mark.parametrize("command", LOOKING)
def test_folder_is_read_whatever_is_set(
    command: tuple[str, ...], settings: dict[str, str], run: Run, folder: Path
) -> None:
    set_only(**settings)

    assert run_read_only(run, command, "--folder", folder).out


def test_folder_with_one_site_is_replayed_without_settings(run: Run, folder: Path) -> None:
    ended = run("dead-letters", "replay", "2026-03-01/17", "--folder", folder)

    assert ended.code == 0
    assert ended.out == f"{HOST}: 1 dead letter sent again and deleted.\n"


@pytest.mark.parametrize("url", [None, f"https://{DEMO}"])
def test_folder_of_the_demo_can_be_read(url: str | None, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    assert run("demo", "--folder", folder).code == 0
    if url:
        os.environ[SITE] = url

    status = run_read_only(run, ("status",), "--folder", folder)
    assert status.out.startswith(f"{DEMO}\tok\tok, ")
    assert len(status.out.splitlines()) == 1
    checkpoint = run_read_only(run, ("checkpoint", "show"), "--folder", folder)
    assert f"site\t{DEMO}" in checkpoint.out
    for letters in ("dead-letters", "originals"):
        assert run(letters, "list", "--folder", folder).code == 0


def test_folder_with_several_sites_needs_one_named_except_for_status(
    run: Run, folder: Path
) -> None:
    other = LocalCheckpoints(folder, wiring.CLOCK).take(Checkpoint("b.example", 0, now_ms()))
    assert other
    other.release()

    status = run_read_only(run, ("status",), "--folder", folder)
    unnamed = run("checkpoint", "show", "--folder", folder)
    named = run_read_only(run, ("checkpoint", "show"), "--folder", folder, "--site", "B.example")
    strange = run("checkpoint", "show", "--folder", folder, "--site", "c.example")

    assert [line.split("\t")[0] for line in status.out.splitlines()] == [HOST, "b.example"]
    assert (unnamed.code, strange.code) == (2, 2)
    for ended in (unnamed, strange):
        assert "b.example" in ended.err
    assert "site\tb.example" in named.out


def test_folder_without_a_site_means_the_one_that_is_set_up(run: Run, tmp_path: Path) -> None:
    set_only(**{SITE: "https://contoso.atlassian.net"})

    assert run_read_only(run, ("status",), "--folder", tmp_path).out.startswith(
        "contoso.atlassian.net\tnew"
    )
    ended = run("dead-letters", "list", "--folder", tmp_path)
    assert (ended.code, ended.err) == (0, "contoso.atlassian.net: no dead letters.\n")


@pytest.mark.parametrize("command", LOOKING)
def test_folder_without_any_site_is_reported(
    command: tuple[str, ...], run: Run, tmp_path: Path
) -> None:
    ended = run(*command, "--folder", tmp_path)

    assert (ended.code, ended.out) == (2, "")
    assert "--folder" in ended.err
    assert "no site was collected into" in ended.err


@pytest.mark.parametrize(
    "command", [("verify", "--from", "all"), ("backfill", "--from", "all"), ("collect",)]
)
def test_folder_needs_jiras_settings_to_ask_jira(
    command: tuple[str, ...], run: Run, folder: Path
) -> None:
    ended = run(*command, "--folder", folder)

    assert ended.code == 2
    assert [line.split()[0] for line in ended.err.splitlines()] == [
        "JIRA_SITE_URL",
        "JIRA_USERNAME",
        "JIRA_API_TOKEN",
    ]


LISTS = ("dead-letters", "list"), ("originals", "list")


@pytest.mark.parametrize("command", [each for each in LOOKING[2:] if each not in LISTS])
def test_site_must_be_named_beside_a_wrong_entry(
    command: tuple[str, ...], run: Run, folder: Path
) -> None:
    entry = {"username": USERNAME, "api_token_setting": "CONTOSO_TOKEN"}
    sites = [{"url": f"http://{HOST}:1", **entry}, {"url": "https://contoso.atlassian.net"}]
    set_only(JIRA_SITES=json.dumps(sites))

    unnamed = run(*command, "--folder", folder)
    wrong = run(*command, "--folder", folder, "--site", "contoso.atlassian.net")

    assert (unnamed.code, wrong.code) == (2, 2)
    assert f"name one of {HOST}" in unnamed.err
    assert wrong.err.startswith("JIRA_SITES[2]: ")
    assert run_read_only(run, command, "--folder", folder, "--site", HOST).out


@pytest.mark.parametrize("command", LISTS)
def test_lists_are_of_every_site_and_a_wrong_entry_stops_no_other(
    command: tuple[str, ...], run: Run, folder: Path
) -> None:
    entry = {"username": USERNAME, "api_token_setting": "CONTOSO_TOKEN"}
    wrong, other = "contoso.atlassian.net", "b.example"
    urls = f"http://{HOST}:1", f"https://{other}"
    sites = [*({"url": url, **entry} for url in urls), {"url": f"https://{wrong}"}]
    set_only(JIRA_SITES=json.dumps(sites))
    stored = Letter.original(other, {"id": 23, "created": "2026-03-02T12:00:00.000+0000"})
    assert LocalLetters(folder, wiring.CLOCK).keep(stored)

    ended = run(*command, "--folder", folder)
    chosen = run_read_only(run, command, "--folder", folder, "--site", HOST, "--site", other)

    named = {line.split("\t")[0] for line in ended.out.splitlines()}
    assert named == {HOST, other} if command[0] == "originals" else {HOST}
    assert ended.code == 1
    assert len(ended.err.splitlines()) == 1
    assert ended.err.startswith(f"{wrong}: ")
    assert "username is missing" in ended.err
    assert chosen.out == ended.out
