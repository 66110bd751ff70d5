"""The Function App as in Azure: the real worker library, the real Azure libraries, real blobs."""

from __future__ import annotations

import itertools
import subprocess
import sys
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from jira_audit.simulator.records import sample_records
from tests.conftest import StartWorker
from tests.end_to_end.conftest import ROOT, Installation, now
from tests.fakes import world
from tests.pages import Page
from tests.servers.identity import Fault as IdentityFault
from tests.servers.identity import Identity
from tests.servers.ingestion import Fault

pytestmark = pytest.mark.servers

JSON = {"Content-Type": "application/json"}
ALL = {"CHECKPOINT_RESET": "all"}


def test_import_needs_no_setting_and_opens_no_connection() -> None:
    code = (
        "import sys, function_app; "
        "print(type(function_app.app).__name__, 'azure.identity' in sys.modules, "
        "'azure.monitor' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.stdout.split() == ["FunctionApp", "False", "False"], done.stderr


def test_app_has_a_scheduled_timer_and_a_queue_for_many_sites(
    start_worker: StartWorker, installation: Installation
) -> None:
    worker = start_worker(ROOT, installation.environment)

    assert set(worker.functions) == {"poll", "collect_site", "report_given_up", "report_unsaved"}
    timer = next(each for each in worker.functions["poll"] if each["type"] == "timerTrigger")
    [second_timer] = worker.functions["report_unsaved"]
    assert {name: second_timer[name] for name in ("type", "schedule", "runOnStartup")} == {
        name: timer[name] for name in ("type", "schedule", "runOnStartup")
    }
    out = next(each for each in worker.functions["poll"] if each["type"] == "queue")
    [trigger] = worker.functions["collect_site"]
    [given_up] = worker.functions["report_given_up"]
    assert out["queueName"] == trigger["queueName"]
    assert given_up["queueName"] == trigger["queueName"] + "-poison"
    assert {each["connection"] for each in (out, trigger, given_up)} == {"AzureWebJobsStorage"}
    assert timer["schedule"] == "%POLL_SCHEDULE%"
    assert timer["runOnStartup"] is False
    assert timer["useMonitor"] is True


def runs(ids: set[int]) -> list[list[int]]:
    """First and last of each run of ids without a gap: as the checkpoint keeps them."""
    ordered = sorted(ids)
    gaps = [(before, after) for before, after in pairwise(ordered) if after > before + 1]
    firsts = [ordered[0], *(after for _, after in gaps)]
    lasts = [*(before for before, _ in gaps), ordered[-1]]
    return [[first, last] for first, last in zip(firsts, lasts, strict=True)]


def assert_says_the_same(record: dict[str, Any], row: dict[str, Any]) -> None:
    assert datetime.fromisoformat(row["created_t"]) == datetime.fromisoformat(record["created"])
    item = record.get("objectItem") or {}
    assert row.get("summary_s") == record.get("summary")
    assert row.get("Category") == record.get("category")
    assert row.get("authorKey_s") == record.get("authorKey")
    assert row.get("authorAccountId_s") == record.get("authorAccountId")
    assert row.get("remoteAddress_s") == record.get("remoteAddress")
    assert row.get("objectItem_id_s") == item.get("id")
    assert row.get("objectItem_name_s") == item.get("name")


def test_records_land_once_and_later_ticks_add_only_new_ones(
    start_worker: StartWorker, installation: Installation, audit_page: Page
) -> None:
    ids = {record["id"] for record in audit_page.records}
    installation.site.add(audit_page.records)
    worker = start_worker(ROOT, installation.environment | ALL)

    first = worker.invoke("poll")

    assert first.ok, first.error
    assert len(installation.rows()) == len(audit_page.records)
    seen = installation.ingestion
    assert [*seen.undeclared, *seen.mistyped, *seen.lost, *seen.cut] == []
    by_id = {row["id_d"]: row for row in installation.rows()}
    for record in audit_page.records:
        assert_says_the_same(record, by_id[record["id"]])

    assert worker.invoke("poll").ok
    assert len(installation.rows()) == len(audit_page.records)

    next_id = max(ids, default=9_999) + 1
    new = sample_records(25, first_id=next_id, end_ms=now(), span_ms=60_000, seed=25)
    installation.site.add(new)
    assert worker.invoke("poll").ok
    assert len(installation.rows()) == len(audit_page.records) + len(new)
    assert installation.checkpoint()["ledger"] == runs(ids | {record["id"] for record in new})


def test_log_has_the_canonical_line_in_its_invocation(
    start_worker: StartWorker, installation: Installation
) -> None:
    installation.site.add(sample_records(10, first_id=10_000, end_ms=now(), span_ms=60_000, seed=1))
    worker = start_worker(ROOT, installation.environment)

    tick = worker.invoke("poll")

    lines = [line for line in tick.logs if line.message.startswith("jira_audit site=")]
    assert len(lines) == 1
    assert "outcome=ok" in lines[0].message
    assert "rows=10" in lines[0].message
    assert tick.dropped == ()


def test_log_while_sending_is_in_its_invocation(
    start_worker: StartWorker, installation: Installation
) -> None:
    installation.site.add(sample_records(10, first_id=10_000, end_ms=now(), span_ms=60_000, seed=1))
    installation.ingestion.script(Fault(503))
    worker = start_worker(ROOT, installation.environment)

    tick = worker.invoke("poll")

    [retried] = [line for line in tick.logs if "retrying in" in line.message]
    assert tick.ok
    assert retried.level == "WARNING"
    assert tick.dropped == ()
    assert len(installation.rows()) == 10


def test_log_of_several_sites_is_in_their_invocation(
    start_worker: StartWorker, installation: Installation
) -> None:
    """The canonical lines, a dead letter's ERROR and a retry's WARNING of three sites."""
    installation.site.add(sample_records(10, first_id=10_000, end_ms=now(), span_ms=60_000, seed=1))
    installation.ingestion.script(Fault(503))
    installation.ingestion.poison.add(10_004)
    with installation.several_sites(3) as environment:
        tick = start_worker(ROOT, environment).invoke("poll")

    messages = [(line.level, line.message) for line in tick.logs if line.logger != "azure"]
    canonical = [text for level, text in messages if text.startswith("jira_audit site=")]
    letters = [text for level, text in messages if level == "ERROR" and "dead-letters/" in text]
    retries = [text for level, text in messages if "retrying in" in text]
    assert tick.ok
    assert len({text.split("site=")[1].split(" ")[0] for text in canonical}) == 3
    assert (len(canonical), len(letters), len(retries)) == (3, 3, 1)
    assert tick.dropped == ()


@pytest.mark.long
def test_identity_endpoint_with_one_bad_answer_in_ten_fails_no_tick(
    start_worker: StartWorker, installation: Installation, identity: Identity
) -> None:
    identity.lifetime = 60  # no longer than what the library refreshes: every call asks for a token
    bad = itertools.cycle(
        [
            IdentityFault(500, b'{"statusCode": 500, "message": "x"}', JSON),
            IdentityFault(503),
            IdentityFault(429, b"{}", JSON | {"Retry-After": "1"}),
            IdentityFault(200, b"<html>", {"Content-Type": "text/html"}),
        ]
    )
    identity.faults = [next(bad) if call % 10 == 4 else None for call in range(1_000)]
    worker = start_worker(ROOT, installation.environment)

    for number in range(30):
        installation.site.add([world.record(10_000 + number, now())])
        tick = worker.invoke("poll")
        assert tick.ok, tick.error

    assert len(installation.rows()) == 30
    assert len(identity.calls) >= 30


def test_identity_endpoint_that_stays_down_is_named_in_one_line(
    start_worker: StartWorker, installation: Installation, identity: Identity
) -> None:
    installation.site.add([world.record(10_000, now())])
    identity.faults = [IdentityFault(503, headers={"Retry-After": "600"})] * 100
    worker = start_worker(ROOT, installation.environment)

    tick = worker.invoke("poll")

    lines = [line for line in tick.logs if line.message.startswith("jira_audit site=")]
    [warning] = [
        line.message for line in tick.logs if line.level == "WARNING" and "HTTP" in line.message
    ]
    assert len(lines) == 1
    assert "outcome=partial" in lines[0].message
    assert "the identity endpoint is unavailable (HTTP 503; wait: 10 minutes)" in warning
    assert "AZURE_CLIENT_ID" not in warning


def test_failure_of_a_site_fails_the_invocation_with_what_to_do(
    start_worker: StartWorker, installation: Installation
) -> None:
    worker = start_worker(ROOT, installation.environment | {"JIRA_API_TOKEN": "revoked"})

    tick = worker.invoke("poll")

    assert not tick.ok
    assert "the token is wrong, revoked or expired" in str(tick.error)
    said = [*(line.message for line in tick.logs), str(tick.error), str(tick.trace)]
    assert "Basic " not in "".join(said)


def test_failure_of_settings_names_every_wrong_one(
    start_worker: StartWorker, installation: Installation
) -> None:
    environment = {
        name: value
        for name, value in installation.environment.items()
        if name not in {"JIRA_API_TOKEN", "LOGS_DCR_RULE_ID"}
    }
    worker = start_worker(ROOT, environment | {"SWEEP_HOURS": "lots"})

    tick = worker.invoke("poll")

    assert not tick.ok
    for name in ("JIRA_API_TOKEN", "LOGS_DCR_RULE_ID", "SWEEP_HOURS"):
        assert name in str(tick.error)
