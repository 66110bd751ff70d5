"""Processes killed for their memory: each makes the next one take less, until all is delivered."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from azure.storage.blob import BlobLeaseClient

from jira_audit.simulator.records import sample_records
from tests.end_to_end.conftest import Installation, now
from tests.end_to_end.connector_process import Collector, Ended, Watched, watching

pytestmark = pytest.mark.servers

MINUTE = 60_000
FIRST_ID, COUNT, TEXT_BYTES = 10_000, 1_500, 32_000
LEASE_SECONDS = 15
RUNS = 12
IN_FLIGHT = 4
ALLOWANCE = 36.0
"""MB that a run may have beside what its process has before it: without a limit, it has 53."""


@pytest.fixture
def watched(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Watched]:
    lease = str(LEASE_SECONDS)
    with watching(installation, tmp_path, monkeypatch, LEASE_SECONDS=lease) as watched:
        yield watched


def fill(watched: Watched) -> None:
    """Large records within half an hour, as a project administrator can have them logged."""
    samples = sample_records(
        COUNT, first_id=FIRST_ID, end_ms=now() - 10 * MINUTE, span_ms=30 * MINUTE, seed=7
    )
    for record in samples:
        text = f"{record['id']:06} " + '"' * (TEXT_BYTES // 4)
        change = {"fieldName": "Description", "changedFrom": text, "changedTo": text}
        record["changedValues"] = [change]
    watched.installation.site.add(samples)


def resident(collector: Collector) -> float:
    """The memory of a process in MB; 0 once it has ended."""
    try:
        status = Path(f"/proc/{collector.process.pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    sizes = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
    return int(sizes[0]) * 1024 / 1e6 if sizes else 0.0


@dataclass
class Limited:
    """How a run ended that was killed above a limit, and the most that it had (MB)."""

    ended: Ended
    idle: float
    peak: float

    @property
    def was_killed(self) -> bool:
        return self.ended.returncode == -signal.SIGKILL


def run_within(watched: Watched, allowance: float) -> Limited:
    """One run, killed once it has so many MB more than before it began."""
    collector = watched.start()
    collector.ready()
    idle = peak = resident(collector)
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, resident(collector))
            if peak > idle + allowance:
                collector.process.kill()
                return

    guard = threading.Thread(target=watch)
    guard.start()
    collector.go()
    try:
        ended = collector.finish()
    finally:
        done.set()
        guard.join()
    return Limited(ended, idle, peak)


@pytest.mark.long  # some six runs of a process
@pytest.mark.timeout(180)
def test_killed_runs_take_less_until_all_is_delivered(watched: Watched) -> None:
    fill(watched)
    delivered = [0]
    ledgers: dict[str, set[int]] = {}

    run = None
    for _ in range(RUNS):
        run = run_within(watched, ALLOWANCE)
        delivered.append(len(watched.times()))
        if not run.was_killed:
            break
        ledgers[run.ended.name] = watched.ledger()
        print(f"{run.idle:.0f} to {run.peak:.0f} MB, {delivered[-1]} delivered")
        # Nobody else has the site: what waits here is only the end of a lease.
        BlobLeaseClient(watched.blob).break_lease(0)

    assert len(delivered) > 2, "the first run needs no more than it may have"
    assert run
    assert run.ended.result == "ok", run.ended.log
    times = watched.times()
    assert times.keys() == {record["id"] for record in watched.installation.site.records}
    # Counted at the end: what a killed process had sent may be accepted after it.
    unsaved = [
        send
        for name, ledger in ledgers.items()
        for send in watched.sends
        if send.run == name and not ledger.issuperset(send.ids)
    ]
    assert len(unsaved) <= IN_FLIGHT * len(ledgers)
    assert sum(times.values()) - COUNT <= sum(len(send.ids) for send in unsaved)
    assert watched.installation.checkpoint()["began"] is None
