"""The check, against real parts: four plain answers, and what each says when its part is broken."""

import json
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from azure.storage.blob import ContainerClient

from jira_audit import wiring
from jira_audit.simulator.site import Response
from jira_audit.terminal.check import check_results
from tests.servers.azurite import AT_ONCE
from tests.servers.identity import Identity
from tests.servers.ingestion import RULE, STREAM, Fault, Ingestion
from tests.terminal.conftest import (
    TOKEN,
    USERNAME,
    Ended,
    Run,
    Site,
    TwoNames,
    as_two_sites,
    set_up,
)

pytestmark = pytest.mark.servers

WRONG_KEY = "d3Jvbmc="
IN_FORCE = (
    "polls at 0 */5 * * * *, overlap 15 min, sweep 2 d, a first run looks back 1 d, a run takes "
    "480 s at most"
)


@pytest.fixture(autouse=True)
def installation(
    site: Site,
    azurite: str,
    blob_container: ContainerClient,
    identity: Identity,
    ingestion: Ingestion,
) -> None:
    """Everything set up, as it should be."""
    os.environ |= {
        **identity.environment,
        "DATA_COLLECTION_ENDPOINT": ingestion.endpoint,
        "LOGS_DCR_RULE_ID": RULE,
        "AzureWebJobsStorage": azurite,
        "CHECKPOINT_CONTAINER": str(blob_container.container_name),
    }


def only_failure(ended: Ended, part: str) -> str:
    """The sentence of the one part that is broken; the others must be well."""
    answers = {line.split()[1]: line.split(maxsplit=2) for line in ended.out.splitlines()}
    assert list(answers) == ["settings", "Jira", "ingestion", "storage"]
    assert {name for name, (mark, *_) in answers.items() if mark == "failed"} == {part}
    assert ended.code == 1
    assert TOKEN not in ended.out + ended.err
    assert ended.err == ""
    return answers[part][2]


def test_check_prints_a_line_for_each_part_and_exits_with_0(
    run: Run, site: Site, ingestion: Ingestion
) -> None:
    ended = run("check")

    assert (ended.code, ended.err) == (0, "")
    container = os.environ["CHECKPOINT_CONTAINER"]
    assert ended.out.splitlines() == [
        f"ok       settings   complete: from 127.0.0.1 to {STREAM} of {RULE}",
        f"ok       settings   in force: {IN_FORCE}",
        f"ok       Jira       {USERNAME} can read the audit log of 127.0.0.1",
        f"ok       ingestion  accepts data for {STREAM} of {RULE}",
        f"ok       storage    the container {container} exists and can be written",
    ]
    assert site.asked == 1
    assert [(call.status, call.rows) for call in ingestion.calls] == [(204, 0)]


def test_jira_with_a_wrong_token_is_named(run: Run) -> None:
    os.environ["JIRA_API_TOKEN"] = "wrong"

    sentence = only_failure(run("check"), "Jira")

    assert "the token is wrong, revoked or expired" in sentence
    assert len(sentence) < 300


@pytest.mark.parametrize(
    ("administers", "said", "unsaid"),
    [
        (False, f"127.0.0.1: {USERNAME} lacks the global permission Administer Jira", "Free plan"),
        (True, "are on the Free plan, which has no audit log", "allow-list"),
        (None, "or the site's IP allow-list does not include this address", "jira-audit check"),
    ],
)
def test_jira_that_refuses_is_asked_for_the_permission(
    run: Run, site: Site, administers: bool | None, said: str, unsaid: str
) -> None:
    site.refusal, site.administers = 403, administers

    sentence = only_failure(run("check"), "Jira")

    assert said in sentence
    assert unsaid not in sentence


class Slow(TwoNames):
    """At localhost, it answers only once it is told to."""

    def __init__(self) -> None:
        super().__init__(USERNAME, TOKEN)
        self.told = threading.Event()

    def answer(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str], now_ms: int
    ) -> Response:
        if headers["Host"].startswith("localhost") and not self.told.wait(60):
            return Response(503, {}, b"")
        return super().answer(path, query, headers, now_ms)


def test_site_that_hangs_holds_up_the_result_of_no_other() -> None:
    slow = Slow()
    with set_up(slow):
        as_two_sites()
        entries = json.loads(os.environ["JIRA_SITES"])
        os.environ["JIRA_SITES"] = json.dumps(entries[::-1])
        seen = []
        for result in check_results(os.environ):
            if result.site:
                seen.append((result.site, result.ok))
                slow.told.set()

    assert seen == [("127.0.0.1", True), ("localhost", True)]


def test_sites_are_counted_and_those_that_fail_are_named_by_host(run: Run, site: Site) -> None:
    as_two_sites(
        {"url": "https://contoso.atlassian.net", "username": "nobody"},
        {"url": "https://b.atlassian.net", "username": "nobody", "api_token_setting": "B_TOKEN"},
    )

    ended = run("check")
    told = [json.loads(line) for line in run("check", "--json").out.splitlines()]

    assert ended.code == 1
    count = "4 sites: 2 ok, 2 failed: b.atlassian.net, contoso.atlassian.net"
    assert ended.err == f"{count}\n"
    assert "contoso.atlassian.net: JIRA_SITES[3]: api_token_setting is missing" in ended.out
    assert "b.atlassian.net: JIRA_SITES[4]: B_TOKEN is missing" in ended.out
    assert {each["site"]: each["result"] for each in told if each["site"]} == {
        "127.0.0.1": "ok",
        "localhost": "ok",
        "contoso.atlassian.net": "failed",
        "b.atlassian.net": "failed",
    }


def test_sites_that_are_named_are_checked_alone(run: Run, site: Site) -> None:
    as_two_sites({"url": "https://contoso.atlassian.net", "username": "nobody"})

    ended = run("check", "--site", "LOCALHOST")

    assert ended.code == 0
    assert [line for line in ended.out.splitlines() if "  Jira  " in line] == [
        f"ok       Jira       {USERNAME} can read the audit log of localhost"
    ]
    assert run("check", "--site", "other.atlassian.net").code == 2


def test_token_that_has_expired_is_a_warning_with_the_days(run: Run) -> None:
    ended_on = (datetime.now(UTC) - timedelta(days=7)).date()
    os.environ["JIRA_TOKEN_EXPIRES"] = str(ended_on)

    ended = run("check")

    assert ended.code == 0
    warning = (
        f"warning  Jira       127.0.0.1: the token or secret expired on {ended_on}, 7 days ago"
    )
    assert warning in ended.out


def test_rule_that_is_wrong_is_named(run: Run) -> None:
    os.environ["LOGS_DCR_RULE_ID"] = "dcr-ffffffffffffffffffffffffffffffff"

    assert "check LOGS_DCR_RULE_ID" in only_failure(run("check"), "ingestion")


def test_rule_without_the_stream_is_named(run: Run) -> None:
    os.environ["LOGS_DCR_STREAM_NAME"] = "Custom-Other_CL"

    sentence = only_failure(run("check"), "ingestion")

    assert "LOGS_DCR_STREAM_NAME (Custom-Other_CL) must be a stream" in sentence
    assert "InvalidStream" in sentence


def test_rule_without_the_role_is_named(run: Run, ingestion: Ingestion) -> None:
    ingestion.script(Fault(403))

    assert "the role Monitoring Metrics Publisher" in only_failure(run("check"), "ingestion")


def test_identity_that_is_missing_is_named(run: Run, identity: Identity) -> None:
    identity.client_ids = frozenset({"another"})
    os.environ["AZURE_CLIENT_ID"] = "11111111-1111-1111-1111-111111111111"

    assert "AZURE_CLIENT_ID must be the client id" in only_failure(run("check"), "ingestion")


def test_storage_with_a_wrong_key_is_named(run: Run) -> None:
    name, _, rest = os.environ["AzureWebJobsStorage"].partition("AccountKey=")
    os.environ["AzureWebJobsStorage"] = f"{name}AccountKey={WRONG_KEY};{rest.partition(';')[2]}"

    assert "storage refuses" in only_failure(run("check"), "storage")


def test_storage_that_cannot_be_reached_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "container", partial(wiring.container, retries=AT_ONCE))
    at = "http://127.0.0.1:1/devstoreaccount1"  # port 1: nothing listens there
    os.environ["AzureWebJobsStorage"] = (
        f"AccountName=devstoreaccount1;AccountKey={WRONG_KEY};BlobEndpoint={at};"
    )

    assert "storage could not be reached" in only_failure(run("check"), "storage")


def test_storage_without_the_container_gets_it(run: Run, azurite: str) -> None:
    os.environ["CHECKPOINT_CONTAINER"] += "-new"

    assert run("check").code == 0
    container = ContainerClient.from_connection_string(azurite, os.environ["CHECKPOINT_CONTAINER"])
    with container:
        assert container.exists()


def test_check_reports_every_broken_part(run: Run, site: Site, ingestion: Ingestion) -> None:
    site.refusal = 403
    ingestion.script(Fault(403))

    ended = run("check")

    assert [line.split()[0] for line in ended.out.splitlines()] == [
        *("ok", "ok", "failed", "failed", "ok")
    ]
    assert ended.code == 1


def test_parts_with_their_settings_are_checked_alone(
    run: Run, site: Site, ingestion: Ingestion
) -> None:
    del os.environ["JIRA_API_TOKEN"], os.environ["LOGS_DCR_RULE_ID"]

    ended = run("check")

    assert ended.code == 2
    assert [line.split()[:2] for line in ended.out.splitlines()] == [["ok", "storage"]]
    named = [line.split()[0] for line in ended.err.splitlines()]
    assert named == ["JIRA_API_TOKEN", "LOGS_DCR_RULE_ID"]
    assert (site.asked, ingestion.calls) == (0, [])


def test_jira_is_checked_before_azure_is_set_up(run: Run, site: Site) -> None:
    for name in ("DATA_COLLECTION_ENDPOINT", "LOGS_DCR_RULE_ID", "AzureWebJobsStorage"):
        del os.environ[name]

    ended = run("check")

    assert ended.code == 2
    assert [line.split()[:2] for line in ended.out.splitlines()] == [["ok", "Jira"]]
    assert len(ended.err.splitlines()) == 3
    assert site.asked == 1


def test_misspelt_setting_is_a_warning(run: Run) -> None:
    os.environ |= {"INITIAL_LOOKBACK_HOUR": "720", "JIRA_COLOUR": "red"}

    ended = run("check")

    assert ended.code == 0
    warnings = [line for line in ended.out.splitlines() if line.startswith("warning")]
    assert "did you mean INITIAL_LOOKBACK_HOURS?" in warnings[0]
    assert "JIRA_COLOUR is not known" in warnings[1]


def test_check_in_json_has_every_result(run: Run, site: Site) -> None:
    site.refusal = 403
    del os.environ["LOGS_DCR_RULE_ID"]

    ended = run("check", "--json")

    told = [json.loads(line) for line in ended.out.splitlines()]
    assert (ended.code, ended.err) == (2, "")
    assert [(each["part"], each["result"]) for each in told] == [
        ("settings", "failed"),
        ("Jira", "failed"),
        ("storage", "ok"),
    ]
    assert told[0]["sentence"].startswith("LOGS_DCR_RULE_ID is missing")
