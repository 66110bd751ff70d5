"""Long random histories of a site, an ingestion service, a store, and processes that crash.

A seed determines a history, so that a failing one can be repeated:
`python -m tests.flow.histories SEED`. `make soak` runs them for ten minutes with seeds from the
clock. Nothing here sleeps: the world has a fake clock.
"""

from __future__ import annotations

import argparse
import io
import logging
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from jira_audit.core import timestamps
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.errors import TransientError, Unanswered
from jira_audit.core.policy import Reset
from jira_audit.core.timestamps import HOUR, MINUTE
from jira_audit.simulator.site import Response
from tests.fakes.world import HOST, TOKEN, Crash, Eager, Fetcher, Lazy, Shuffled, World, record

NAMES = [HOST, "fabrikam.atlassian.net", "woodgrove.atlassian.net"]
BATCH_BYTES = 3_000
LEASE = 61.0


@dataclass
class Counts:
    """Counts of what happened in a history."""

    histories: int = 0
    steps: int = 0
    runs: int = 0
    records: int = 0
    faults: int = 0
    crashes: int = 0
    overlaps: int = 0
    takeovers: int = 0
    renames: int = 0
    restarts: int = 0
    lasting: int = 0
    stops: int = 0
    wrong_clocks: int = 0

    def __iadd__(self, other: Counts) -> Self:
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)
        return self


class History:
    """One world with random events. `allowed` is the bound of the duplicates, in bytes."""

    def __init__(self, seed: int) -> None:
        self.seed, self.chance = seed, random.Random(seed)
        self.in_flight = self.chance.choice([1, 2, 4])
        self.world = World(
            page_size=self.chance.choice([5, 12, 50]),
            page_cap=self.chance.choice([4, 12, 1000]),
            in_flight=self.in_flight,
            batch_bytes=BATCH_BYTES,
        )
        self.world.executor = self._executor
        self.counts = Counts(histories=1)
        self.allowed = 0
        self.next_id = 10_000
        self.expected: set[int] = set()
        self.in_time: dict[int, int] = {}

    def run_events(self, steps: int) -> None:
        """Run random events, then three days without any."""
        doings: list[tuple[int, Callable[[], None]]] = [
            (6, self.write),
            (2, self.write_late),
            (1, self.burst),
            (1, self.forget),
            (1, self.write_undeliverable),
            (1, self.rename),
            (2, self.set_address),
            (8, self.run),
            (3, self.run_and_die),
            (3, self.run_with_faults),
            (2, self.run_twice_at_once),
            (1, self.run_while_a_fault_lasts),
            (1, self.run_and_stop),
            (1, self.run_with_a_wrong_clock),
            (1, self.restart_ids),
            (1, self.freeze),
        ]
        weights, calls = zip(*doings, strict=True)
        self.write()
        self.run()
        for _ in range(steps):
            self.counts.steps += 1
            self.world.time.advance(self.chance.choice([1, 60, 300, 300, 3600, 20_000]))
            self.chance.choices(calls, weights)[0]()
            self.check_through()
        self.end_without_faults()

    # What the site does

    def write(self) -> None:
        now = self.world.time.now
        self._add(
            sorted(now - self.chance.randrange(10 * MINUTE) for _ in range(self._random_count(30)))
        )

    def burst(self) -> None:
        """Write many records within a second."""
        self._add([self.world.time.now - self.chance.randrange(1000)] * self._random_count(120))

    def write_late(self) -> None:
        """Records appear behind newer ones, by less than the sweep's hours less a day."""
        now, began = self.world.time.now, self._place().start
        known = set(self.in_time)
        self._add([max(began, now - self.chance.randrange(8 * HOUR)) for _ in range(3)])
        self.in_time = {each: at for each, at in self.in_time.items() if each in known}

    def forget(self) -> None:
        """Retention deletes the oldest records, of those that were collected."""
        oldest = sorted(known["id"] for known in self.world.jira.site.records)[:10]
        self.world.jira.forget(set(oldest) & self.world.dealt_with())

    def write_undeliverable(self) -> None:
        """Write a record that the service refuses, and one that cannot be read."""
        self.write()
        self.world.sink.poison.add(self.next_id - 1)
        self.world.jira.tamper[self.next_id - 2] = lambda known: {**known, "created": "noon"}

    def _add(self, created: list[int]) -> None:
        records = [record(self.next_id + n, at) for n, at in enumerate(created)]
        self.next_id += len(records)
        self.expected |= {known["id"] for known in records}
        through, first = self._through(), self.next_id - len(created)
        self.in_time |= {first + n: at for n, at in enumerate(created) if at > through}
        self.counts.records += len(records)
        self.world.jira.site.add(records)

    def rename(self) -> None:
        """The site gets another of its names; what it had redirects there."""
        self.counts.renames += 1
        self.world.jira.rename(self.chance.choice(NAMES))

    def set_address(self) -> None:
        """The administrator follows."""
        self.world.hosts = self.world.jira.hosts

    def restart_ids(self) -> None:
        """The site is deleted and made anew: ids that were delivered come again, for new records.

        Every run fails, whatever else happens to it, until the reset that its error names.
        """
        world = self.world
        self._clear_faults()
        self.set_address()
        world.time.advance(LEASE)
        if world.run().result != "ok":
            return
        known = self._place().ledger
        ids = [each for each in world.rows() if each in known]
        ids = sorted(set(ids) - world.sink.poison - set(world.jira.tamper))
        if len(ids) < 2:
            return
        self.counts.restarts += 1
        chosen = sorted(self.chance.sample(ids, self.chance.randrange(2, min(len(ids), 40) + 1)))
        world.time.advance(3_600)
        before = {each["id"] for each in world.jira.site.records}
        world.jira.forget(before)
        gone = world.missing(self.expected)  # late records that no sweep had read yet
        self.expected -= gone
        self.in_time = {each: at for each, at in self.in_time.items() if each not in gone}
        begins = world.time.now - 5 * MINUTE
        world.jira.site.add(record(each, begins + n * 1_000) for n, each in enumerate(chosen))
        sent = len(world.sink.table)
        said = ""
        for _ in range(self.chance.randrange(1, 4)):
            if self.chance.random() < 0.3:
                self.run_and_die()
            outcome = world.run()
            said = str(outcome.error)
            assert outcome.result == "failed", f"seed {self.seed}: {outcome}"
            assert "ids have restarted" in said, f"seed {self.seed}: {said}"
            world.time.advance(300)
        assert len(world.sink.table) == sent, f"seed {self.seed}: delivered before the reset"
        moment = said.partition("CHECKPOINT_RESET to ")[2].partition(" ")[0]
        world.policy = replace(world.policy, reset=Reset(moment, timestamps.parse(moment)))
        assert world.run().result == "ok", f"seed {self.seed}"
        again = sorted(row["id_d"] for row in world.sink.table[sent:])
        assert again == chosen, f"seed {self.seed}: {again} instead of {chosen}"
        self.allowed += sum(len(str(row)) for row in world.sink.table[sent:])
        self.expected |= set(chosen)

    # Runs, and what happens to them

    def run(self) -> None:
        self.counts.runs += 1
        self.world.run()

    def run_and_die(self) -> None:
        self.counts.crashes += 1
        self.allowed += self.in_flight * BATCH_BYTES
        number = len(self.world.journal.entries) + self.chance.randrange(40)
        self.world.journal.die = (number, self.chance.choice(["before", "after"]))
        try:
            self.run()
        except Crash:
            self.world.time.advance(LEASE)
        finally:
            self.world.journal.die, self.world.journal.dead = None, False

    def run_with_faults(self) -> None:
        for faults, kinds in (
            (self.world.jira.faults, [self._add_late_record, self._status, self._return_nonsense]),
            (self.world.sink.faults, [self._refuse_send, self._lose_answer]),
            (self.world.store.faults, [self._fail_save]),
        ):
            for _ in range(self.chance.randrange(3)):
                self.counts.faults += 1
                at = faults.calls + self.chance.randrange(15)
                faults.at[at] = self.chance.choice(kinds)
        self.run()
        self.world.time.advance(LEASE)  # after a failed save, the lease is left to expire

    def run_while_a_fault_lasts(self) -> None:
        """After the first run's bound, a lost answer duplicates one batch a run, and a store that
        cannot save none.
        """
        self.counts.lasting += 1
        runs = self.chance.randrange(2, 8)
        if self.chance.random() < 0.5:
            self.world.sink.faults.always = self._accept_unanswered
            # Those in flight, four more tries of one of them, and a batch for each further run.
            self.allowed += (self.in_flight + 4 + runs) * BATCH_BYTES
        else:
            self.world.store.faults.always = self._refuse_save
        for _ in range(runs):
            self.run()
            self.world.time.advance(LEASE)
        self._clear_faults()

    def run_and_stop(self) -> None:
        """Ctrl-C or SIGTERM, at a request to Jira: nothing is duplicated."""
        self.counts.stops += 1
        faults = self.world.jira.faults
        faults.at[faults.calls + self.chance.randrange(15)] = self._interrupt
        with suppress(KeyboardInterrupt):
            self.run()
        self._clear_faults()

    def run_with_a_wrong_clock(self) -> None:
        """The host's clock is hours off, for one run."""
        self.counts.wrong_clocks += 1
        self.world.time.skew = self.chance.choice([-3, 1, 12, 48]) * HOUR
        self.run()
        self.world.time.skew = 0

    def run_twice_at_once(self) -> None:
        """Another process tries to run while this one has the lease."""
        self.counts.overlaps += 1
        self.world.journal.meanwhile[self._next_effect()] = self.run
        self.run()

    def freeze(self) -> None:
        """This process stops for longer than its lease, and another takes over."""
        self.counts.takeovers += 1
        self.allowed += self.in_flight * BATCH_BYTES

        def run_meanwhile() -> None:
            self.world.time.advance(LEASE)
            self.run()

        self.world.journal.meanwhile[self._next_effect()] = run_meanwhile
        self.run()
        self.world.journal.meanwhile.clear()

    def _next_effect(self) -> int:
        return len(self.world.journal.entries) + self.chance.randrange(1, 25)

    def _random_count(self, most: int) -> int:
        return self.chance.randrange(1, most)

    def _executor(self) -> Lazy:
        return Lazy(self.chance.choice(["first", "last", "only"]))

    # Faults

    def _add_late_record(self, call: Callable[[], Any]) -> Any:
        self.write_late()
        return call()

    def _status(self, _: Callable[[], Any]) -> Response:
        status = self.chance.choice([429, 429, 500, 503, 401, 403])
        return Response(status, {"Retry-After": "3"} if status == 429 else {}, b"")

    def _return_nonsense(self, _: Callable[[], Any]) -> Response:
        return Response(200, {}, self.chance.choice([b"", b"<html>", b"{}", b'{"records": 1}']))

    def _refuse_send(self, _: Callable[[], Any]) -> None:
        raise TransientError("503")

    def _lose_answer(self, call: Callable[[], Any]) -> None:
        self.allowed += BATCH_BYTES
        self._accept_unanswered(call)

    def _accept_unanswered(self, call: Callable[[], Any]) -> None:
        call()
        raise Unanswered("the connection dropped")

    def _refuse_save(self, _: Callable[[], Any]) -> None:
        raise TransientError("storage answered HTTP 409")

    def _interrupt(self, _: Callable[[], Any]) -> None:
        raise KeyboardInterrupt

    def _fail_save(self, call: Callable[[], Any]) -> Any:
        self.allowed += self.in_flight * BATCH_BYTES
        if self.chance.random() < 0.5:
            call()
        raise TransientError("storage is away")

    # What must hold

    def check_through(self) -> None:
        """No record up to *through* is missing, unless it appeared later."""
        store, through = self.world.store, self._through()
        passed = {record_id for record_id, at in self.in_time.items() if at <= through}
        lost = self.world.missing(passed)
        assert not lost, f"seed {self.seed}: through has passed {sorted(lost)}"
        if any(name.startswith("checkpoints") for name in store.blobs):
            ledger = self._place().ledger
            lost = {known for known in ledger if known in self.expected} - self.world.dealt_with()
            assert not lost, f"seed {self.seed}: in the ledger, nowhere else: {sorted(lost)}"

    def _through(self) -> int:
        blobs = self.world.store.blobs
        known = any(name.startswith("checkpoints") for name in blobs)
        return self._place().through if known else 0

    def _place(self) -> Checkpoint:
        """The checkpoint that the next run goes on from."""
        hosts = [self.world.hosts[0], *(host for host in NAMES if host != self.world.hosts[0])]
        blobs = self.world.store.blobs
        stored = [
            self.world.store.checkpoint(host)
            for host in hosts
            if f"checkpoints/{host}.json" in blobs
        ]
        return next((each for each in stored if each.cloud_id), stored[0])

    def _clear_faults(self) -> None:
        world = self.world
        for faults in (world.jira.faults, world.sink.faults, world.store.faults):
            faults.__init__()  # type: ignore[misc]
        world.journal.meanwhile.clear()

    def end_without_faults(self) -> None:
        """Without faults, after the sweeps of three days, every record is accounted for."""
        world = self.world
        self._clear_faults()
        self.set_address()
        for _ in range(6):
            world.time.advance(12 * 3600 + 60)
            outcome = world.run()
            assert outcome.result == "ok", f"seed {self.seed}: {outcome.error}"
        missing = world.missing(self.expected)
        assert not missing, f"seed {self.seed}: lost {sorted(missing)}"
        assert set(world.rows()) <= self.expected
        duplicate_bytes = world.duplicate_bytes()
        assert duplicate_bytes <= self.allowed, (
            f"seed {self.seed}: {duplicate_bytes} bytes duplicated"
        )
        kept = {letter["record"]["id"] for letter in world.store.letters()}
        assert kept <= world.sink.poison | set(world.jira.tamper), f"seed {self.seed}"


def run_history(seed: int, steps: int, fetcher: Callable[[], Fetcher] | None = None) -> Counts:
    """Run one history and check its logs for secrets; raises AssertionError with the seed."""
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logger = logging.getLogger("jira_audit")
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        history = History(seed)
        history.world.fetcher = fetcher or World.FETCHER
        history.run_events(steps)
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
    assert TOKEN not in said.getvalue(), f"seed {seed}: a secret was logged"
    assert "Thing" not in said.getvalue(), f"seed {seed}: a record was logged"
    return history.counts


def fetcher_of(seed: int) -> Callable[[], Fetcher]:
    """The order of prefetched requests; the tests run each seed in all three."""
    ways: tuple[Callable[[], Fetcher], ...] = (Lazy, Eager, Shuffled)
    return ways[seed % len(ways)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", help="run this one history")
    parser.add_argument("--seconds", type=float, default=600, help="else: run as many as fit")
    parser.add_argument("--steps", type=int, default=120)
    given = parser.parse_args()
    if given.seed is not None:
        print(run_history(given.seed, given.steps, fetcher_of(given.seed)))
        return 0
    total, until = Counts(), time.monotonic() + given.seconds
    seed = time.time_ns() // 1_000_000
    while time.monotonic() < until:
        total += run_history(seed, given.steps, fetcher_of(seed))
        seed += 1
    print(f"last seed {seed - 1}:", ", ".join(f"{v:,} {k}" for k, v in asdict(total).items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
