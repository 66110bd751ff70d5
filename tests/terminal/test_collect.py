"""Collecting into a folder: what is written, what is said, and with which code it ends."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from jira_audit import wiring
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.errors import SiteError
from jira_audit.core.outcome import Outcome, Result, Tally
from jira_audit.core.records import TABLE_FILE
from jira_audit.edge.local import LocalCheckpoints
from jira_audit.simulator.site import Response
from jira_audit.terminal.collect import summary
from tests.terminal.conftest import (
    TOKEN,
    USERNAME,
    Run,
    Site,
    TwoNames,
    begin,
    end,
    records,
    set_up,
)
from tests.terminal.test_demo import ESCAPE, on_a_terminal


def ids_in(folder: Path) -> list[int]:
    table = folder / "Jira_Audit_CL.jsonl"
    lines = table.read_bytes().splitlines() if table.exists() else []
    return [json.loads(line)["id_d"] for line in lines]


def test_folder_gets_rows_and_checkpoint_and_a_rerun_adds_none(
    run: Run, site: Site, tmp_path: Path
) -> None:
    first, second = (run("collect", "--folder", tmp_path) for _ in range(2))

    assert (first.code, second.code) == (0, 0)
    assert "200 new rows in " in first.out
    assert "no new rows in " in second.out
    assert sorted(ids_in(tmp_path)) == sorted(record["id"] for record in site.records)
    assert (tmp_path / "checkpoints/127.0.0.1.json").is_file()


def test_output_without_a_terminal_is_plain_lines(
    run_apart: Run, site: Site, tmp_path: Path
) -> None:
    ended = run_apart("collect", "--folder", tmp_path, "--verbose")

    assert ESCAPE not in ended.out + ended.err
    assert ended.out.count("\n") == 1
    assert "WARNING 127.0.0.1: no checkpoint, so this is a first run" in ended.err
    assert "INFO jira_audit site=127.0.0.1 outcome=ok windows=" in ended.err


def test_output_on_a_terminal_shows_progress(site: Site, tmp_path: Path) -> None:
    os.environ["TERM"] = "xterm-256color"

    shown = on_a_terminal("collect", "--folder", tmp_path)

    assert f"127.0.0.1: at {time.strftime('%Y-', time.gmtime(time.time() - 86_400))}" in shown
    assert " records, " in shown
    assert "200 new rows" in shown


def test_site_that_refuses_exits_with_1_and_says_what_to_do(
    run: Run, site: Site, tmp_path: Path
) -> None:
    os.environ["JIRA_API_TOKEN"] = "wrong-and-still-secret"

    ended = run("collect", "--folder", tmp_path)

    assert ended.code == 1
    assert "ERROR 127.0.0.1: Jira does not know the credentials" in ended.err
    assert "failed; nothing is lost: the next run continues from " in ended.out
    assert "Traceback" not in ended.out + ended.err
    assert "secret" not in ended.out + ended.err


def test_site_that_another_run_holds_exits_with_0(run: Run, site: Site, tmp_path: Path) -> None:
    lease = LocalCheckpoints(tmp_path, wiring.CLOCK).take(Checkpoint.first("127.0.0.1", 0, 0))
    assert lease

    ended = run("collect", "--folder", tmp_path)
    lease.release()

    assert ended.code == 0
    assert "another run holds the lease" in ended.out
    assert site.asked == 0


def test_settings_that_are_wrong_are_listed_before_any_request(
    run: Run, site: Site, tmp_path: Path
) -> None:
    os.environ |= {"JIRA_USERNAME": "", "OVERLAP_MINUTES": "soon"}

    ended = run("collect", "--folder", tmp_path)

    assert ended.code == 2
    assert ended.out == ""
    named = [line.split()[0] for line in ended.err.splitlines()]
    assert named == ["JIRA_USERNAME", "OVERLAP_MINUTES"]
    assert site.asked == 0
    assert list(tmp_path.iterdir()) == []


def test_settings_of_azure_are_needed_without_a_folder(run: Run, site: Site) -> None:
    ended = run("collect")

    assert ended.code == 2
    named = {line.split()[0] for line in ended.err.splitlines()}
    assert named == {"DATA_COLLECTION_ENDPOINT", "LOGS_DCR_RULE_ID", "AzureWebJobsStorage"}


def test_settings_file_adds_to_the_environment(run: Run, site: Site, tmp_path: Path) -> None:
    del os.environ["JIRA_API_TOKEN"]
    values = {"JIRA_API_TOKEN": TOKEN, "JIRA_USERNAME": "the environment wins"}
    file = tmp_path / "local.settings.json"
    file.write_text(json.dumps({"IsEncrypted": False, "Values": values}), encoding="utf-8-sig")

    ended = run("collect", "--folder", tmp_path / "out", "--settings", file)

    assert ended.code == 0
    assert "200 new rows" in ended.out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("JIRA_SITE_URL=https://contoso.atlassian.net", "must be JSON"),
        ('["Values"]', "must be JSON"),
        ('{"Values": {"OVERLAP_MINUTES": 15}}', "must be JSON"),
        ('{"IsEncrypted": true, "Values": {"A": "B"}}', "func settings decrypt"),
    ],
)
def test_settings_file_that_is_invalid_is_a_problem(
    run: Run, tmp_path: Path, content: str, said: str
) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text(content)

    ended = run("collect", "--folder", tmp_path, "--settings", file)

    assert ended.code == 2
    assert ended.err.startswith(f"--settings {file} ")
    assert said in ended.err


class Halting(TwoNames):
    """Answers for its `first` records, the oldest, and lets requests for later windows wait."""

    def __init__(self, count: int, first: int) -> None:
        super().__init__(USERNAME, TOKEN)
        self.add(records(count))
        self.answers_up_to = self.records[-first]["created"][:23]
        self.halted, self.go_on = threading.Event(), threading.Event()

    def answer(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str], now_ms: int
    ) -> Response:
        if query.get("from", "") > self.answers_up_to:
            self.halted.set()
            self.go_on.wait(60)
        return super().answer(path, query, headers, now_ms)

    def wait_until_halted(self, checkpoint: Path) -> None:
        """Wait until requests wait, and what came before them has been saved: for two seconds no
        more is.

        A window that waits may have been asked for ahead, before the ones before it were read.
        """
        assert self.halted.wait(60)
        saved, same = b"", 0
        for _ in range(1_200):
            now = checkpoint.read_bytes() if checkpoint.exists() else b""
            same = same + 1 if now == saved else 0
            saved = now
            if same >= 40 and saved and json.loads(saved)["ledger"]:
                return
            self.go_on.wait(0.05)
        raise AssertionError("nothing was saved")


def test_ctrl_c_exits_with_130_and_leaves_no_gap_or_duplicate(
    run_apart: Run, tmp_path: Path
) -> None:
    halting = Halting(count=12_000, first=5_000)
    with set_up(halting):
        process = begin("collect", "--folder", tmp_path, out=subprocess.PIPE, err=subprocess.PIPE)
        halting.wait_until_halted(tmp_path / "checkpoints/127.0.0.1.json")
        process.send_signal(signal.SIGINT)
        interrupted = end(process)
        delivered = ids_in(tmp_path)
        checkpoint = json.loads((tmp_path / "checkpoints/127.0.0.1.json").read_bytes())
        halting.go_on.set()

        next_run = run_apart("collect", "--folder", tmp_path)

    assert interrupted.code == 130
    assert interrupted.err.splitlines()[-1].startswith("Interrupted. What was delivered is in")
    assert "Traceback" not in interrupted.err
    assert 0 < len(delivered) < 12_000
    ledger = [at for first, last in checkpoint["ledger"] for at in range(first, last + 1)]
    assert sorted(delivered) == ledger
    assert next_run.code == 0
    assert sorted(ids_in(tmp_path)) == sorted(record["id"] for record in halting.records)


NOON = 1_772_366_400_000  # 2026-03-01T12:00:00Z


@pytest.mark.parametrize(
    ("result", "through", "tally", "sentence"),
    [
        ("ok", NOON, Tally(rows=1), "1 new row in T, complete up to 2026-03-01 12:00:00 UTC."),
        (
            "ok",
            NOON,
            Tally(rows=2_000, late_found=3, letters=1),
            (
                "2,000 new rows in T (3 of them late), complete up to 2026-03-01 12:00:00 UTC. "
                "Dead letters: 1."
            ),
        ),
        (
            "partial",
            NOON,
            Tally(),
            (
                "no new rows in T, complete up to 2026-03-01 12:00:00 UTC; the time budget is used "
                "up: run it again to continue."
            ),
        ),
        ("skipped", None, Tally(), "skipped: another run holds the lease."),
        (
            "failed",
            NOON,
            Tally(rows=7),
            (
                "failed after 7 new rows in T; nothing is lost: the next run continues from "
                "2026-03-01 12:00:00 UTC."
            ),
        ),
        ("failed", None, Tally(), "could not start."),
    ],
)
def test_output_says_how_the_run_went(
    result: Result, through: int | None, tally: Tally, sentence: str
) -> None:
    error = SiteError("it was logged") if result == "failed" else None
    outcome = Outcome("s", result, tally, through, now=NOON, duration_ms=1, error=error)

    assert summary(outcome, "T").plain == f"s: {sentence}"


def test_ctrl_c_saves_what_each_site_has_delivered(run_apart: Run, tmp_path: Path) -> None:
    halting = Halting(count=12_000, first=5_000)
    with set_up(halting):
        url, username = os.environ.pop("JIRA_SITE_URL"), os.environ.pop("JIRA_USERNAME")
        os.environ["TOKEN_OF_ALL"] = os.environ.pop("JIRA_API_TOKEN")
        addresses = url, url.replace("127.0.0.1", "localhost")
        os.environ["JIRA_SITES"] = json.dumps(
            [
                {"url": address, "username": username, "api_token_setting": "TOKEN_OF_ALL"}
                for address in addresses
            ]
        )
        process = begin("collect", "--folder", tmp_path, out=subprocess.PIPE, err=subprocess.PIPE)
        halting.wait_until_halted(tmp_path / "checkpoints/127.0.0.1.json")
        process.send_signal(signal.SIGINT)
        halting.go_on.set()
        interrupted = end(process)
        next_run = run_apart("collect", "--folder", tmp_path)

    assert interrupted.code == 130
    assert "Traceback" not in interrupted.err
    assert next_run.code == 0
    rows = [json.loads(line) for line in (tmp_path / TABLE_FILE).read_text().splitlines()]
    for host in ("127.0.0.1", "localhost"):
        delivered = sorted(row["id_d"] for row in rows if row["site_s"] == host)
        assert delivered == sorted(record["id"] for record in halting.records)
