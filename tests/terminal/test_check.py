"""The check, against real parts: four plain answers, and what each says when its part is broken."""

import json
import os
from functools import partial

import pytest
from azure.storage.blob import ContainerClient

from jira_audit import wiring
from tests.servers.azurite import AT_ONCE
from tests.servers.identity import Identity
from tests.servers.ingestion import RULE, STREAM, Fault, Ingestion
from tests.terminal.conftest import TOKEN, USERNAME, Ended, Run, Site

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


def test_jira_without_the_permission_is_named(run: Run, site: Site) -> None:
    site.refusal = 403

    assert "lacks the global permission Administer Jira" in only_failure(run("check"), "Jira")


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
