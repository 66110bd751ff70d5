"""The promise under real processes: killed, frozen, started together, and with storage in trouble.

When something is done to a process is measured in what the servers have seen of it, never in
time. What is killed here is killed for good, as SIGKILL does.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
from azure.storage.blob import BlobLeaseClient

from jira_audit.simulator.records import sample_records
from tests.conftest import needed
from tests.end_to_end.conftest import Installation, now
from tests.end_to_end.connector_process import (
    ENDS_WITHIN,
    Ended,
    FreezeAt,
    Kind,
    Send,
    Watched,
    watching,
)
from tests.servers import azurite as azurite_server

pytestmark = pytest.mark.servers

HOUR = 3_600_000
FIRST_ID = 10_000

LEASE_SECONDS = 15
RENEWED_AFTER = LEASE_SECONDS / 3 + 0.5
"""Seconds after which a send, which may take two thirds of a lease, asks for a new one first."""
LEASE_MARGIN = 5.0
"""Seconds a request that was on its way when its sender was killed may take to be served."""

# The promise.
IN_FLIGHT = 4
BATCH_BYTES = 1_048_576
FAILS_WITHIN = 60.0


@pytest.fixture
def watched(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Watched]:
    lease = str(LEASE_SECONDS)
    with watching(installation, tmp_path, monkeypatch, LEASE_SECONDS=lease) as watched:
        yield watched


@pytest.fixture
def own_storage() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A blob service of the test's own, to be killed: its connection string and its process."""
    needed(azurite_server.is_installed(), "Azurite is not installed: make setup")
    with azurite_server.start() as storage:
        yield storage


def fill(watched: Watched, count: int, seed: int) -> None:
    """Records over nearly all of a first run's look-back."""
    watched.installation.site.add(
        sample_records(count, first_id=FIRST_ID, end_ms=now() - HOUR, span_ms=22 * HOUR, seed=seed)
    )


def missing(watched: Watched) -> set[int]:
    """The ids that *through* has passed, or the ledger has, and the table has not."""
    place = watched.installation.checkpoint()
    through = datetime.fromisoformat(place["through"])
    passed = {
        record["id"]
        for record in watched.installation.site.records
        if datetime.fromisoformat(record["created"]) <= through
    }
    return (passed | watched.ledger()) - watched.times().keys()


def sends_not_in_ledger(sends: list[Send], ledger: set[int]) -> list[Send]:
    """The calls that were accepted and that the checkpoint does not know of."""
    return [send for send in sends if not ledger.issuperset(send.ids)]


def check_in_flight(sends: list[Send]) -> None:
    assert len(sends) <= IN_FLIGHT
    assert sum(send.size for send in sends) <= IN_FLIGHT * BATCH_BYTES


# --- killed ------------------------------------------------------------------------------------

SEED = 12_000


def kills(rng: random.Random) -> Iterator[tuple[Kind, int, float]]:
    """When to kill: after how many events of which kind, and how many seconds after it.

    A fifth send is begun only when something was saved. Twelve thousand records are eight batches,
    of which each kill leaves enough for the next one: at most five, none and two are saved here.
    """
    kinds: tuple[tuple[Kind, int, int], ...] = (
        ("sent", 5, 6),
        ("accepted", 1, 1),
        ("asked", 2, 4),
        ("sent", 1, 1),
    )
    for kind, least, most in kinds:
        yield kind, rng.randint(least, most), rng.choice((0.0, rng.uniform(0, 0.1)))


def run_and_kill(watched: Watched, kind: Kind, number: int, delay: float) -> Ended:
    """One run, killed at that moment, if it comes to it."""
    collector = watched.start()

    def kill() -> None:
        time.sleep(delay)
        collector.process.kill()

    watched.listener = FreezeAt(kind, number, kill, collector.name)
    collector.go()
    return collector.finish()


def run_until_not_skipped(run: Callable[[], Ended], killed_at: float) -> tuple[Ended, int]:
    """Runs until one is not skipped; with it, how many were. None is, once the lease is over."""
    for skipped in range(200):
        ended = run()
        if ended.result != "skipped":
            return ended, skipped
        assert ended.begun < killed_at + LEASE_SECONDS + LEASE_MARGIN, "the lease never ended"
        assert ended.outcome["rows"] == 0
        time.sleep(1)  # at once, another process would find the same lease
    pytest.fail("too many runs within one lease")


@pytest.mark.long  # four leases have to run out
@pytest.mark.timeout(300)
def test_kills_lose_nothing_and_duplicate_only_what_was_in_flight(
    watched: Watched,
) -> None:
    rng = random.Random(SEED)
    fill(watched, 12_000, SEED)
    watched.pauses = lambda kind: random.uniform(0.1, 0.5) if kind == "sent" else 0.01
    ledgers: dict[str, set[int]] = {}
    killed_at = float("-inf")

    for kill in kills(rng):
        ended, skipped = run_until_not_skipped(partial(run_and_kill, watched, *kill), killed_at)
        killed_at = ended.ended
        ledgers[ended.name] = watched.ledger()
        place = watched.installation.checkpoint()
        print(
            f"{skipped} skipped; killed at {kill}; {len(ledgers[ended.name])} of 12,000 in the "
            f"ledger, through {place['through']}"
        )
        assert ended.returncode == -signal.SIGKILL, ended.result
        assert missing(watched) == set()
    watched.listener = lambda kind, run: None
    ended, skipped = run_until_not_skipped(watched.run, killed_at)

    assert ended.result == "ok", ended.error
    assert watched.times().keys() == {record["id"] for record in watched.installation.site.records}
    assert missing(watched) == set()
    in_doubt: Counter[int] = Counter()
    for name, ledger in ledgers.items():
        of_run = sends_not_in_ledger([send for send in watched.sends if send.run == name], ledger)
        check_in_flight(of_run)
        in_doubt.update(record_id for send in of_run for record_id in send.ids)
        print(f"run {name}: {len(of_run)} batches accepted and not saved")
    for record_id, times in watched.times().items():
        assert times <= 1 + in_doubt[record_id]
    print(f"{sum(times - 1 for times in watched.times().values())} doubles")


# --- stopped -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda each: each.name)
def test_stop_by_signal_at_random_moments_duplicates_nothing(
    watched: Watched, number: signal.Signals
) -> None:
    """`docker stop`, systemd and Kubernetes send SIGTERM."""
    rng = random.Random(SEED)
    fill(watched, 12_000, SEED)
    watched.pauses = lambda kind: 0.3 if kind == "sent" else 0.02

    def run_and_stop() -> Ended:
        collector = watched.start()
        collector.ready()
        collector.go()
        time.sleep(rng.uniform(0.3, 1.5))
        collector.process.send_signal(number)
        return collector.finish()

    stops = [run_until_not_skipped(run_and_stop, time.monotonic())[0] for _ in range(4)]
    ended, _ = run_until_not_skipped(
        watched.run, time.monotonic()
    )  # it may have been stopped at the release

    assert stops[0].returncode != 0
    assert ended.result == "ok", ended.error
    assert watched.times() == dict.fromkeys(range(FIRST_ID, FIRST_ID + 12_000), 1)


# --- started together --------------------------------------------------------------------------


def test_first_run_by_three_processes_delivers_each_record_once(
    watched: Watched,
) -> None:
    fill(watched, 3_000, seed=3)
    collectors = [watched.start() for _ in range(3)]
    for collector in collectors:
        collector.ready()
    for collector in collectors:
        collector.go()
    ended = [collector.finish() for collector in collectors]

    print([(each.result, each.outcome["rows"]) for each in ended])
    assert sorted(each.outcome["rows"] for each in ended) == [0, 0, 3_000]
    assert {each.result for each in ended} <= {"ok", "skipped"}
    assert sum("this is a first run" in each.log for each in ended) <= 1
    assert watched.times() == dict.fromkeys(range(FIRST_ID, FIRST_ID + 3_000), 1)
    assert watched.installation.checkpoint()["ledger"] == [[FIRST_ID, FIRST_ID + 2_999]]


# --- frozen ------------------------------------------------------------------------------------


@pytest.mark.timeout(240)
def test_lease_that_expired_in_a_frozen_process_ends_its_sends(
    watched: Watched,
) -> None:
    fill(watched, 12_000, seed=8)
    frozen = watched.start()
    waiting = 0
    lock, all_in_flight, stopped = threading.Lock(), threading.Event(), threading.Event()

    def stop_when_all_are_in_flight(kind: Kind, run: str) -> None:
        nonlocal waiting
        if kind != "accepted" or run != frozen.name:
            return
        with lock:
            waiting += 1
            if waiting == IN_FLIGHT:
                all_in_flight.set()
        stopped.wait(ENDS_WITHIN)

    watched.listener = stop_when_all_are_in_flight
    frozen.go()
    assert all_in_flight.wait(ENDS_WITHIN)
    time.sleep(1)  # if it had no bound, it would begin more sends meanwhile
    frozen.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, frozen.process.pid, os.WSTOPPED)
    frozen_at = time.monotonic()
    stopped.set()  # they are answered, but nobody hears it
    second, skipped = run_until_not_skipped(watched.run, frozen_at)
    sent, place = list(watched.sends), watched.checkpoint()
    frozen.process.send_signal(signal.SIGCONT)
    first = frozen.finish()

    print(f"{skipped} skipped, then {second.outcome['line']}; the frozen one: {first.log}")
    assert second.result == "ok"
    assert first.result == "failed"
    assert "another run took over the site" in first.error
    assert watched.sends == sent
    assert watched.checkpoint() == place
    assert missing(watched) == set()
    of_first = [send for send in sent if send.run == frozen.name]
    check_in_flight(of_first)
    of_both = Counter(record_id for send in of_first for record_id in send.ids)
    of_both.update(range(FIRST_ID, FIRST_ID + 12_000))
    assert watched.times() == of_both


def test_lease_that_is_lost_allows_no_new_send(watched: Watched) -> None:
    fill(watched, 12_000, seed=9)
    frozen = watched.start()
    stopped = threading.Event()

    def stop() -> None:
        frozen.process.send_signal(signal.SIGSTOP)
        stopped.set()

    watched.listener = FreezeAt("asked", 3, stop)  # no batch is full by then
    frozen.go()
    assert stopped.wait(ENDS_WITHIN)
    frozen_at = time.monotonic()
    BlobLeaseClient(watched.blob).break_lease(0)  # in place of waiting for its end
    second = watched.run()
    sent, place = list(watched.sends), watched.checkpoint()
    # By its own count, too, a send must not fit into what is left of the lease.
    time.sleep(max(0.0, frozen_at + RENEWED_AFTER - time.monotonic()))
    frozen.process.send_signal(signal.SIGCONT)
    first = frozen.finish()

    print(f"{second.outcome['line']}; the frozen one: {first.log}")
    assert second.result == "ok"
    assert first.result == "failed"
    assert "another run took over the site" in first.error
    assert watched.sends == sent
    assert {send.run for send in sent} == {second.name}
    assert watched.checkpoint() == place
    assert watched.times() == dict.fromkeys(range(FIRST_ID, FIRST_ID + 12_000), 1)


# --- storage in trouble ------------------------------------------------------------------------


@contextmanager
def unreachable_storage(*, listening: bool) -> Iterator[str]:
    """A blob service that refuses connections; or, `listening`, takes them and never answers."""
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        if listening:
            own.listen(64)
        yield azurite_server.connection_to(own.getsockname()[1])


@dataclass
class Trouble:
    """Something done to storage, and when it was done."""

    act: Callable[[], object]
    wait: float = 0.0
    at: float = 0.0

    def __call__(self) -> None:
        time.sleep(self.wait)
        self.act()
        self.at = time.monotonic()


# The next two tests measure seconds on the wall clock, because the promise is in seconds: processes
# with the settings of production wait out the storage library's own retries.


@pytest.mark.long
def test_storage_that_is_down_fails_the_run_in_time(
    watched: Watched, own_storage: tuple[str, subprocess.Popen[bytes]]
) -> None:
    fill(watched, 12_000, seed=10)
    connection, storage = own_storage
    trouble = Trouble(storage.kill)
    watched.listener = FreezeAt("sent", 1, trouble)
    with (
        unreachable_storage(listening=False) as refusing,
        unreachable_storage(listening=True) as silent,
    ):
        collectors = [
            watched.start(AzureWebJobsStorage=each) for each in (connection, refusing, silent)
        ]
        for collector in collectors:  # side by side, as most of it is waiting
            collector.go()
        dying, *away = [collector.finish() for collector in collectors]

    print(f"{dying.ended - trouble.at:.1f} s: {dying.log}")
    assert dying.result == "failed"
    assert "storage could not be reached" in dying.error
    assert dying.ended - trouble.at < FAILS_WITHIN
    check_in_flight(watched.sends)
    for each in away:
        print(f"{each.seconds:.1f} s: {each.error}")
        assert each.result == "failed"
        assert "the checkpoint could not be leased: storage could not be reached" in each.error
        assert each.seconds < FAILS_WITHIN
        assert "windows=0 pages=0 records=0 rows=0" in each.outcome["line"]
    assert {send.run for send in watched.sends} <= {dying.name}


@pytest.mark.long
def test_storage_that_dies_before_a_renewal_stops_every_send(
    watched: Watched, own_storage: tuple[str, subprocess.Popen[bytes]]
) -> None:
    fill(watched, 12_000, seed=11)
    connection, storage = own_storage
    frozen = partial(storage.send_signal, signal.SIGSTOP)
    trouble = Trouble(frozen, wait=RENEWED_AFTER)
    watched.listener = FreezeAt("asked", 3, trouble)  # no batch is full by then
    collector = watched.start(AzureWebJobsStorage=connection)
    collector.go()

    ended = collector.finish(RENEWED_AFTER + FAILS_WITHIN)

    print(f"{ended.ended - trouble.at:.1f} s: {ended.log}")
    assert ended.result == "failed"
    assert "storage could not be reached" in ended.error
    assert ended.ended - trouble.at < FAILS_WITHIN
    assert watched.sends == []


@pytest.mark.parametrize(
    ("mend", "says"),
    [
        (
            lambda place: b'{"v": 1, "site": "127.0.0',
            "the checkpoint cannot be read (JSONDecodeError)",
        ),
        (lambda place: b"", "the checkpoint cannot be read (JSONDecodeError)"),
        (
            lambda place: place.replace(b'"site":"127.0.0.1"', b'"site":"other.atlassian.net"'),
            "the checkpoint cannot be read (it names another site)",
        ),
        (lambda place: place.replace(b'"v":1', b'"v":2'), "deploy that version again"),
    ],
    ids=["cut off", "empty", "another site's", "of a newer version"],
)
def test_checkpoint_that_is_unusable_stops_the_site_and_is_kept(
    watched: Watched, mend: Callable[[bytes], bytes], says: str
) -> None:
    assert watched.run().result == "ok"
    broken = mend(watched.checkpoint())
    assert broken != watched.checkpoint()
    watched.blob.upload_blob(broken, overwrite=True)
    fill(watched, 100, seed=1)
    asked = watched.asked

    ended = watched.run()

    assert ended.result == "failed"
    assert ended.outcome["kind"] == "SiteError"
    assert says in ended.error
    assert ended.seconds < FAILS_WITHIN
    assert watched.asked == asked
    assert watched.sends == []
    assert watched.checkpoint() == broken
    assert watched.blob.get_blob_properties().lease.state == "available"


def test_checkpoint_that_somebody_else_has_leased_is_left_alone(watched: Watched) -> None:
    assert watched.run().result == "ok"
    new = sample_records(100, first_id=FIRST_ID, end_ms=now(), span_ms=60_000, seed=1)
    watched.installation.site.add(new)
    asked, place = watched.asked, watched.checkpoint()
    lease = watched.blob.acquire_lease(-1)

    ended = watched.run()

    assert ended.result == "skipped"
    assert watched.asked == asked
    assert watched.sends == []
    assert watched.checkpoint() == place
    lease.release()
    assert watched.run().outcome["rows"] == 100


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        (
            lambda watched: (
                BlobLeaseClient(watched.blob).break_lease(0),
                watched.blob.acquire_lease(LEASE_SECONDS),
            ),
            "another run took over the site",
        ),
        (
            lambda watched: watched.installation.container.delete_container(),
            "storage answered HTTP 404 (ContainerNotFound)",
        ),
    ],
    ids=["lease taken by somebody else", "container deleted"],
)
def test_checkpoint_that_is_taken_from_a_run_fails_the_run(
    watched: Watched, trouble: Callable[[Watched], object], says: str
) -> None:
    fill(watched, 12_000, seed=12)
    watched.listener = FreezeAt("sent", 1, partial(trouble, watched))

    ended = watched.run()

    assert ended.result == "failed"
    assert says in ended.error
    assert ended.seconds < FAILS_WITHIN
    check_in_flight(watched.sends)
