"""`backfill`: what lies before the checkpoint, in a local folder and in Azure's places."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from azure.storage.blob import ContainerClient

from jira_audit import wiring
from jira_audit.core import timestamps
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.edge.local import LocalCheckpoints
from tests.servers.identity import Identity
from tests.servers.ingestion import RULE, Ingestion
from tests.terminal.conftest import HOUR_MS, Ended, Run, Site, begin, end, now_ms, set_up
from tests.terminal.test_collect import Halting, ids_in
from tests.terminal.test_demo import on_a_terminal

HOST = "127.0.0.1"


def hours_ago(hours: float) -> str:
    return timestamps.text(now_ms() - int(hours * HOUR_MS))


def collect_last_hour(run: Run, folder: Path) -> int:
    """Let the ticks begin an hour ago, and tell how many rows they had."""
    os.environ["INITIAL_LOOKBACK_HOURS"] = "1"
    assert run("collect", "--folder", folder).code == 0
    return len(ids_in(folder))


def test_backfill_delivers_what_precedes_the_checkpoint_once(
    run: Run, site: Site, tmp_path: Path
) -> None:
    recent = collect_last_hour(run, tmp_path)

    first = run("backfill", "--from", hours_ago(30), "--folder", tmp_path)
    second = run("backfill", "--from", "all", "--folder", tmp_path)

    assert (first.code, second.code) == (0, 0)
    assert first.out.startswith(f"{HOST}: {200 - recent} rows delivered, complete from ")
    assert second.out.startswith(f"{HOST}: 0 rows delivered")
    assert sorted(ids_in(tmp_path)) == sorted(record["id"] for record in site.records)
    assert json.loads((tmp_path / f"backfills/{HOST}.json").read_bytes())["site"] == HOST


@pytest.mark.servers
def test_backfill_keeps_its_checkpoint_in_a_blob(
    run: Run,
    site: Site,
    blob_container: ContainerClient,
    azurite: str,
    identity: Identity,
    ingestion: Ingestion,
) -> None:
    os.environ |= {
        **identity.environment,
        "DATA_COLLECTION_ENDPOINT": ingestion.endpoint,
        "LOGS_DCR_RULE_ID": RULE,
        "AzureWebJobsStorage": azurite,
        "CHECKPOINT_CONTAINER": str(blob_container.container_name),
        "INITIAL_LOOKBACK_HOURS": "1",
    }
    assert run("collect").code == 0

    ended = run("backfill", "--from", hours_ago(30))

    assert ended.code == 0
    assert sum(call.rows for call in ingestion.calls if call.status == 204) == 200
    names = {blob.name for blob in blob_container.list_blobs()}
    assert names == {f"backfills/{HOST}.json", f"checkpoints/{HOST}.json"}


def test_backfill_exits_with_130_on_ctrl_c_and_resumes(
    run_apart: Run, run: Run, tmp_path: Path
) -> None:
    halting = Halting(count=12_000, first=5_000)
    with set_up(halting):
        answers_up_to, halting.answers_up_to = halting.answers_up_to, "9999"
        recent = collect_last_hour(run, tmp_path)
        halting.answers_up_to = answers_up_to
        arguments = "backfill", "--from", hours_ago(21), "--folder", tmp_path
        process = begin(*arguments, out=subprocess.PIPE, err=subprocess.PIPE)
        halting.wait_until_halted(tmp_path / "backfills/127.0.0.1.json")
        process.send_signal(signal.SIGINT)
        since = time.monotonic()
        interrupted = end(process)
        seconds = time.monotonic() - since
        delivered = len(ids_in(tmp_path))
        halting.go_on.set()

        again = run_apart(*arguments)

    assert interrupted.code == 130
    assert seconds < 10  # it does not wait for an answer of Jira's that is under way
    assert "run the same command again to resume." in interrupted.err
    assert "Traceback" not in interrupted.err
    assert recent < delivered < 12_000
    assert again.code == 0
    assert sorted(ids_in(tmp_path)) == sorted(record["id"] for record in halting.records)


def test_backfill_shows_a_bar_on_a_terminal(run: Run, site: Site, tmp_path: Path) -> None:
    collect_last_hour(run, tmp_path)
    os.environ["TERM"] = "xterm-256color"

    shown = on_a_terminal("backfill", "--from", hours_ago(30), "--folder", tmp_path)

    assert "records, " in shown
    assert "a second" in shown
    assert "rows delivered" in shown


def test_backfill_that_fails_says_how_to_resume(run: Run, site: Site, tmp_path: Path) -> None:
    collect_last_hour(run, tmp_path)
    site.refusal = 403

    ended = run("backfill", "--from", hours_ago(30), "--folder", tmp_path)

    assert ended.code == 1
    assert "failed after 0 rows; nothing is lost: run the same command again" in ended.out
    assert "Administer Jira" in ended.err


def test_backfill_leaves_alone_one_that_is_running(run: Run, site: Site, tmp_path: Path) -> None:
    collect_last_hour(run, tmp_path)
    lease = LocalCheckpoints(tmp_path, wiring.CLOCK, "backfills").take(Checkpoint.first(HOST, 0, 0))
    assert lease

    ended = run("backfill", "--from", hours_ago(30), "--folder", tmp_path)
    lease.release()

    assert ended.code == 1
    assert "another backfill of this site holds the lease" in ended.out


def run_refused_backfill(run: Run, folder: Path, *arguments: str) -> Ended:
    ended = run("backfill", *arguments, "--folder", folder)
    assert ended.code in {1, 2}
    assert not (folder / "backfills").exists()
    return ended


def test_backfill_without_work_does_nothing(run: Run, site: Site, tmp_path: Path) -> None:
    said = run_refused_backfill(run, tmp_path, "--from", hours_ago(30))
    assert "the end of a backfill is unknown" in said.err

    collect_last_hour(run, tmp_path)
    said = run_refused_backfill(run, tmp_path, "--from", hours_ago(0.5))
    assert "nothing to backfill" in said.err


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["--from", "yesterday"], "--from"),
        (["--from", "2026-03-01T00:00:00"], "--from"),
        (["--from", "2999-03-01T00:00:00Z"], "--from"),
        (["--from", "2026-03-02T00:00:00Z", "--to", "2026-03-01T00:00:00Z"], "--to"),
    ],
)
def test_backfill_refuses_an_invalid_time(
    run: Run, site: Site, tmp_path: Path, arguments: list[str], option: str
) -> None:
    said = run_refused_backfill(run, tmp_path, *arguments)

    assert said.code == 2
    assert option in said.err
