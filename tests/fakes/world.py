"""A world in memory: time, one journal of effects, and the three services that a run uses.

A run can be made to crash before or after any effect; every later effect then crashes as well, as
in a process that no longer exists. Only leases and stored data survive.
"""

from __future__ import annotations

import copy
import io
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from threading import RLock
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.auth import HTTPBasicAuth
from urllib3 import HTTPResponse

from jira_audit.core import timestamps
from jira_audit.core.address import is_site_host
from jira_audit.core.batches import BATCH_LIMIT
from jira_audit.core.checkpoint import Checkpoint, decode
from jira_audit.core.clock import Clock, Deadline
from jira_audit.core.cloud_id import TENANT_PATH, StoredTenant
from jira_audit.core.completeness import TableInventory
from jira_audit.core.errors import BatchRefused, LeaseLost, SiteError
from jira_audit.core.ledger import Ledger
from jira_audit.core.letters import Folder, Letter, is_name
from jira_audit.core.outcome import Outcome, Tally
from jira_audit.core.plan import Schedule
from jira_audit.core.policy import Policy
from jira_audit.core.records import COLUMNS
from jira_audit.core.window import Window
from jira_audit.edge.access import DirectRoute
from jira_audit.edge.jira import JiraSource
from jira_audit.edge.tenant import SiteTenant
from jira_audit.flow.collect import collect
from jira_audit.flow.memory import BATCH_BYTES, RESPONSE_BYTES, ByteBudget
from jira_audit.flow.ports import Pools, Ports, Run, Sink
from jira_audit.operations.backfill import backfill, bounds
from jira_audit.operations.replay import Replayed, replay
from jira_audit.operations.verify import Lookup, Repaired, Verified, read, repair, verify
from jira_audit.simulator.site import FakeJira, Response

HOST = "contoso.atlassian.net"
USERNAME, TOKEN = "auditor@example.com", "jira-token-that-nobody-may-see"
START = timestamps.parse("2026-11-20T12:00:00Z")
LEASE_SECONDS = 60


class Crash(BaseException):
    """The process no longer exists. A BaseException, so that no `except Exception` survives it."""


class Time:
    """The fake clock. Only sleeping and waiting move it."""

    def __init__(self, now: int = START, seed: int = 0) -> None:
        self.now, self.slept = now, [0.0]
        self.skew = 0  # milliseconds by which the connector's own clock is wrong
        self._chance = random.Random(seed)
        self.clock = Clock(
            now=lambda: self.now + self.skew,
            monotonic=lambda: self.now / 1000,
            sleep=self.sleep,
            random=self._chance.random,
        )

    def sleep(self, seconds: float) -> None:
        assert 0 <= seconds < 3600
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self.now += round(seconds * 1000)


@dataclass
class Journal:
    """The outside effects, in order.

    `die` says before or after which effect the process crashes. `meanwhile` has what another
    process does just before an effect.
    """

    entries: list[str] = field(default_factory=list)
    die: tuple[int, Literal["before", "after"]] | None = None
    dead: bool = False
    meanwhile: dict[int, Callable[[], object]] = field(default_factory=dict)
    lock: RLock = field(default_factory=RLock)

    @contextmanager
    def effect(self, name: str) -> Iterator[None]:
        with self.lock:
            if self.dead:
                raise Crash
            number = len(self.entries)
            self.entries.append(name)
            if number in self.meanwhile:
                self.meanwhile.pop(number)()
            if self.die == (number, "before"):
                self.dead = True
                raise Crash
        yield
        with self.lock:
            if self.die == (number, "after"):
                self.dead = True
            if self.dead:
                raise Crash


Fault = Callable[[Callable[[], Any]], Any]
"""Receives the call that would succeed, and does something else: another response, an exception,
or the call and then an exception."""


@dataclass
class Faults:
    """What goes wrong: `script` for the next calls in turn (None: the call succeeds), `at` for the
    calls with these numbers, `always` for all others.
    """

    script: list[Fault | None] = field(default_factory=list)
    always: Fault | None = None
    at: dict[int, Fault] = field(default_factory=dict)
    calls: int = 0

    def run(self, call: Callable[[], Any]) -> Any:
        number, self.calls = self.calls, self.calls + 1
        fault = self.at.get(number) or (self.script.pop(0) if self.script else self.always)
        return fault(call) if fault else call()


class JiraTransport(BaseAdapter):
    """The simulated site behind the real `JiraSource` and `SiteTenant`, as a transport of
    `requests`.

    The site answers at its `hosts`; its `former` hosts redirect to the first of these. `tamper`
    changes a record in the response, for records that Jira should not write. A response takes
    `seconds`. `tenant_faults` are those of the requests for the cloud id, which `tenant_asked`
    counts by host.
    """

    def __init__(self, journal: Journal, time: Time, page_cap: int = 1000) -> None:
        super().__init__()
        self.site = FakeJira(USERNAME, TOKEN, page_cap)
        self._page_cap = page_cap
        self.faults, self.tamper = Faults(), dict[int, Callable[[dict], Any]]()
        self.seconds = 0.05
        self.requests: list[Mapping[str, str]] = []
        self.hosts, self.former = [HOST], list[str]()
        self.tenant_faults, self.tenant_asked = Faults(), Counter[str]()
        self._journal, self._time = journal, time

    def rename(self, host: str) -> None:
        """The site gets another host; every former one redirects there, path and all."""
        self.former = [each for each in (*self.former, *self.hosts) if each != host]
        self.hosts = [host]

    def send(self, request: Any, *_: Any, **__: Any) -> requests.Response:
        url = urlsplit(request.url)
        assert url.scheme == "https"
        assert url.netloc in (*self.hosts, *self.former)
        query = dict(parse_qsl(url.query, strict_parsing=bool(url.query)))

        def answer() -> Response:
            if url.netloc in self.former:
                location = f"https://{self.hosts[0]}{url.path}"
                return Response(301, {"Location": location}, b"")
            return self._tamper_records(
                self.site.answer(url.path, query, request.headers, self._time.now)
            )

        if url.path == TENANT_PATH:
            assert "Authorization" not in request.headers
            with self._journal.effect("ask"):
                self.tenant_asked[url.netloc] += 1
                return response_to(request, self.tenant_faults.run(answer))
        with self._journal.effect("fetch"):
            self.requests.append(query)
            self._time.advance(self.seconds)
            found: Response = self.faults.run(answer)
        return response_to(request, found)

    def close(self) -> None:
        """Nothing to close."""

    def forget(self, ids: set[int]) -> None:
        """Remove records, as retention does."""
        kept = [known for known in self.site.records if known["id"] not in ids]
        self.site = FakeJira(USERNAME, TOKEN, self._page_cap, cloud_id=self.site.cloud_id)
        self.site.add(kept)

    def _tamper_records(self, answer: Response) -> Response:
        if not self.tamper or b'"records"' not in answer.body:
            return answer
        page = json.loads(answer.body)
        page["records"] = [self.tamper.get(r["id"], lambda r: r)(r) for r in page["records"]]
        return replace(answer, body=json.dumps(page).encode())


def response_to(request: Any, answer: Response) -> requests.Response:
    response = requests.Response()
    response.status_code, response.request, response.url = answer.status, request, request.url
    response.headers.update(answer.headers)
    response.raw = HTTPResponse(io.BytesIO(answer.body), preload_content=False)
    return response


class FakeSink:
    """An ingestion service that keeps the accepted rows, in order.

    It refuses rows with an id in `poison`. `sent` has the ids of each accepted batch.
    """

    def __init__(self, journal: Journal, time: Time) -> None:
        self.table: list[dict[str, Any]] = []
        self.sent: list[list[int]] = []
        self.poison: set[int] = set()
        self.refuses_everything = False
        self.limit = BATCH_LIMIT
        self.faults, self.seconds, self.calls = Faults(), 0.0, 0
        self._journal, self._time = journal, time

    def prepare(self) -> None:
        """Nothing to prepare."""

    def send(self, body: bytes) -> None:
        with self._journal.effect("send"):
            self.calls += 1
            self._time.advance(self.seconds)
            self.faults.run(lambda: self.accept(body))

    def accept(self, body: bytes) -> None:
        rows = json.loads(body)
        assert isinstance(rows, list)
        ids = [row["id_d"] for row in rows]
        if len(body) > self.limit:
            raise BatchRefused("ContentLengthLimitExceeded", status=413)
        if self.refuses_everything or self.poison & set(ids):
            raise BatchRefused("InvalidPayload", status=400)
        assert all(set(row) <= set(COLUMNS) for row in rows)
        self.table += rows
        if ids:
            self.sent.append(ids)


class FakeTable:
    """The table as it is read back: the rows that the sink accepted, after a delay.

    A row appears `seconds` after its `TimeGenerated`; it is deleted `retention` milliseconds after
    it. A row with an id in `dropped` never appears. `others` are rows of other writers: of another
    site, or of the classic connector, without a site or an id. With `deduplicates`, the service
    keeps one row of each id, whatever its site. A query meets `faults`, and is an effect.
    """

    def __init__(self, journal: Journal, sink: FakeSink, time: Time) -> None:
        self.seconds, self.dropped, self.asked = 0.0, set[int](), 0
        self.retention = 30 * timestamps.DAY
        self.deduplicates = False
        self.others: list[dict[str, Any]] = []
        self.faults = Faults()
        self._journal, self._sink, self._time = journal, sink, time

    def held(self, site: str, window: Window, former: Sequence[str] = ()) -> TableInventory:
        with self._journal.effect("query"):
            self.asked += 1
            return self.faults.run(lambda: self._held({site, *former}, window))

    def oldest(self) -> int | None:
        with self._journal.effect("query"):
            self.asked += 1
            return min(
                (timestamps.parse(row["TimeGenerated"]) for row in self._rows()), default=None
            )

    def _held(self, hosts: set[str], window: Window) -> TableInventory:
        seen = Counter(
            row["id_d"]
            for row in self._rows()
            if row.get("site_s") in hosts
            and window.start <= timestamps.parse(row["created_t"]) <= window.end
            and row.get("id_d") is not None
        )
        copies = {number: times for number, times in seen.items() if times > 1}
        return TableInventory(Ledger().with_ids(seen), copies)

    def _rows(self) -> list[dict[str, Any]]:
        until = self._time.now - round(self.seconds * 1000)
        rows = [
            row
            for row in [*self.others, *self._sink.table]
            if until - self.retention <= timestamps.parse(row["TimeGenerated"]) <= until
            and row.get("id_d") not in self.dropped
        ]
        if self.deduplicates:
            return list({row.get("id_d"): row for row in reversed(rows)}.values())
        return rows


class MemoryStore:
    """Checkpoints and letters in memory, as bytes, with leases that expire."""

    def __init__(self, journal: Journal, time: Time) -> None:
        self.blobs: dict[str, bytes] = {}
        self.leases: dict[str, tuple[int, float]] = {}
        self.faults = Faults()
        self._journal, self._time, self._numbers = journal, time, count(1)
        self._kind = "checkpoints"

    def backfills(self) -> MemoryStore:
        """The same store, with the checkpoints of backfills."""
        other = copy.copy(self)
        other._kind = "backfills"
        return other

    def take(self, first: Checkpoint) -> MemoryLease | None:
        name = f"{self._kind}/{first.site}.json"
        with self._journal.effect("take"):
            _, until = self.leases.get(name, (0, 0.0))
            if until > self._time.clock.monotonic():
                return None
            created = name not in self.blobs
            if created:
                self.blobs[name] = first.encode(self._time.now)
            number = next(self._numbers)
            self.leases[name] = number, 0.0
            lease = MemoryLease(self, first.site, name, number, created=created)
            lease.renew()
            return lease

    def keep(self, letter: Letter) -> bool:
        return self.put(letter.name, letter.encode(self._time.now))

    def put(self, name: str, content: bytes) -> bool:
        self._check(name)
        with self._journal.effect("keep"):
            return self.faults.run(lambda: self._put(name, content))

    def _put(self, name: str, content: bytes) -> bool:
        return self.blobs.setdefault(name, content) == content

    def tenants(self) -> list[StoredTenant]:
        start, end = f"{self._kind}/", ".json"
        with self._journal.effect("tenants"):
            return [
                StoredTenant.of(name.removeprefix(start).removesuffix(end), self.blobs[name])
                for name in sorted(self.blobs)
                if name.startswith(start)
            ]

    def is_leased(self, site: str) -> bool:
        with self._journal.effect("is_leased"):
            _, until = self.leases.get(f"{self._kind}/{site}.json", (0, 0.0))
            return until > self._time.clock.monotonic()

    def stored(self, site: str) -> bytes | None:
        with self._journal.effect("stored"):
            return self.blobs.get(f"{self._kind}/{site}.json")

    def names(self, folder: Folder, site: str) -> list[str]:
        with self._journal.effect("names"):
            return sorted(n for n in self.blobs if n.startswith(f"{folder}/{site}/") and is_name(n))

    def read(self, name: str) -> bytes | None:
        self._check(name)
        with self._journal.effect("read"):
            return self.blobs.get(name)

    def delete(self, name: str) -> None:
        self._check(name)
        with self._journal.effect("delete"):
            self.faults.run(lambda: self.blobs.pop(name, None))

    def _check(self, name: str) -> None:
        if not is_name(name):
            raise SiteError(f"{name!r} is not the name of a letter")

    def checkpoint(self, site: str = HOST) -> Checkpoint:
        return decode(self.blobs[f"{self._kind}/{site}.json"], site)

    def letters(self, folder: str = "dead-letters") -> list[dict[str, Any]]:
        return [json.loads(b) for name, b in self.blobs.items() if name.startswith(folder)]


class MemoryLease:
    def __init__(
        self, store: MemoryStore, site: str, name: str, number: int, *, created: bool
    ) -> None:
        self.created = created
        self._store, self._site, self._name, self._number = store, site, name, number
        self._until = 0.0

    def load(self) -> Checkpoint:
        with self._store._journal.effect("load"):
            return decode(self._store.blobs[self._name], self._site)

    def save(self, checkpoint: Checkpoint) -> None:
        self.hold(10)
        with self._store._journal.effect("save"):
            self._store.faults.run(lambda: self._save(checkpoint))

    def _save(self, checkpoint: Checkpoint) -> None:
        """Fails if *through* decreases without a reset, another *from* or a former name."""
        self._check()
        before = decode(self._store.blobs[self._name], self._site)
        is_begun_anew = checkpoint.reset != before.reset or checkpoint.start != before.start
        is_renamed = checkpoint.former != before.former
        assert checkpoint.through >= before.through or is_begun_anew or is_renamed
        self._store.blobs[self._name] = checkpoint.encode(self._store._time.now)

    def hold(self, seconds: float) -> None:
        if self._until - self._store._time.clock.monotonic() >= seconds:
            return
        with self._store._journal.effect("renew"):
            self.renew()

    def renew(self) -> None:
        self._check()
        self._until = self._store._time.clock.monotonic() + LEASE_SECONDS
        self._store.leases[self._name] = (self._number, self._until)

    def release(self) -> None:
        with self._store._journal.effect("release"):
            self._check()
            self._store.leases.pop(self._name, None)

    def delete(self) -> None:
        self.hold(10)
        with self._store._journal.effect("delete"):
            self._store.faults.run(self._delete)

    def _delete(self) -> None:
        self._check()
        self._store.blobs.pop(self._name, None)
        self._store.leases.pop(self._name, None)

    def _check(self) -> None:
        """As in Azure, an expired lease can be renewed unless another holder has taken it since."""
        holder, _ = self._store.leases.get(self._name, (0, 0.0))
        if holder != self._number:
            raise LeaseLost("another run took over the site")


class Lazy(Executor):
    """Runs submitted calls only when a result is requested, in the given `order`.

    So several batches are in flight and end in a chosen order, without threads.
    """

    def __init__(self, order: Literal["first", "last", "only", "any"] = "first") -> None:
        self._order, self._waiting = order, list[_LazyFuture]()
        self._chance = random.Random(7)

    def submit(self, call: Callable, /, *arguments: Any, **_: Any) -> Future:
        future = _LazyFuture(self, lambda: call(*arguments))
        self._waiting.append(future)
        return future

    def first_done(self, futures: Sequence[Future]) -> None:
        assert futures
        assert not any(future.done() for future in futures)
        self._next().run()

    def run_until(self, wanted: _LazyFuture) -> None:
        if self._order == "only":
            self._waiting.remove(wanted)
            wanted.run()
            return
        while not wanted.done():
            self._next().run()

    def _next(self) -> _LazyFuture:
        place = {"first": 0, "last": -1, "any": self._chance.randrange(len(self._waiting))}
        return self._waiting.pop(place[self._order])


class Shuffled(Lazy):
    """Runs calls in a random order, the same each time."""

    def __init__(self) -> None:
        super().__init__("any")


class Eager(Executor):
    """Runs each call when it is submitted, even if its result is never needed."""

    def submit(self, call: Callable, /, *arguments: Any, **_: Any) -> Future:
        future: Future = Future()
        try:
            future.set_result(call(*arguments))
        except Exception as error:  # noqa: BLE001  as an executor does
            future.set_exception(error)
        return future

    def first_done(self, futures: Sequence[Future]) -> None:
        raise AssertionError(futures)  # every call has finished when it was submitted


class _LazyFuture(Future):
    def __init__(self, executor: Lazy, call: Callable[[], Any]) -> None:
        super().__init__()
        self._executor, self._call = executor, call

    def run(self) -> None:
        if not self.set_running_or_notify_cancel():
            return
        try:
            self.set_result(self._call())
        except Exception as error:  # noqa: BLE001  as an executor does
            self.set_exception(error)

    def result(self, timeout: float | None = None) -> Any:
        if not self.done():
            self._executor.run_until(self)
        return super().result(timeout)


Fetcher = Lazy | Eager


class WatchedTally(Tally):
    """A tally that records the values of its progress fields."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.waited_for: list[int] = []
        super().__init__()

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "position" and value is not None:
            self.positions.append(value)
        if name == "waiting_for" and value:
            self.waited_for.append(value)
        super().__setattr__(name, value)


class World:
    """Everything outside the connector, and methods to run it.

    The connector is set up for the sites at `hosts`, and an operation works on the first of them.
    `FETCHER` runs the prefetched requests: Lazy those that are needed, Eager all of them.
    """

    FETCHER: Callable[[], Fetcher] = Lazy

    def __init__(self, *, page_size: int = 20, page_cap: int = 1000, **policy: Any) -> None:
        self.time, self.journal = Time(), Journal()
        self.jira = JiraTransport(self.journal, self.time, page_cap)
        self.sink = FakeSink(self.journal, self.time)
        self.sink_in_use: Sink = self.sink
        self.table = FakeTable(self.journal, self.sink, self.time)
        self.store = MemoryStore(self.journal, self.time)
        self.page_size = page_size
        self.hosts: Sequence[str] = [HOST]
        self._tenants: dict[str, SiteTenant] = {}
        self.policy = Policy(**policy)
        self.budget = 480.0
        self.executor: Callable[[], Executor] = Lazy
        self.fetcher: Callable[[], Fetcher] = self.FETCHER
        self.outcomes: list[Outcome] = []
        self.tally = WatchedTally()
        self.memory = ByteBudget(RESPONSE_BYTES), ByteBudget(BATCH_BYTES)

    def run(self, host: str | None = None, **policy: Any) -> Outcome:
        """One run of a site, with the world in its current state."""
        run = self.new_run(Deadline.after(self.time.clock, self.budget), host)
        run = replace(run, policy=replace(run.policy, **policy))
        outcome = collect(run, Schedule(run.policy))
        self.outcomes.append(outcome)
        return outcome

    def new_run(self, deadline: Deadline | None = None, host: str | None = None) -> Run:
        """A new run, without a deadline unless one is given."""
        deadline, host = deadline or Deadline.never(self.time.clock), host or self.hosts[0]
        policy = replace(self.policy, hosts=tuple(self.hosts))
        self.tally = WatchedTally()
        return Run(host, self.ports(host), policy, deadline, self.pools(), self.tally)

    def backfills(self) -> Ports:
        """The ports of a backfill."""
        return replace(self.ports(), checkpoints=self.store.backfills())

    def backfill(self, start: int, end: int | None = None) -> Outcome:
        """Backfill from `start` to `end`, or to *from* without an end."""
        reading = bounds(self.hosts[0], self.store, start, end)
        outcome = backfill(replace(self.new_run(), ports=self.backfills()), reading)
        self.outcomes.append(outcome)
        return outcome

    def verify(
        self, start: int, end: int | None = None, *, table: bool = False, wait: float = 900.0
    ) -> Verified:
        """Verify a range, up to now without an end; with `table`, compare with the table too."""
        window, run = Window(start, self.time.now if end is None else end), self.new_run()
        lookup = Lookup(self.backfills(), self.table if table else None, wait)
        return verify(run, lookup, window, read(run, window))

    def repair(self, verified: Verified) -> Repaired:
        return repair(self.new_run(), self.backfills(), verified)

    def replay(self, *names: str) -> Replayed:
        """Replay these dead letters, or all of them."""
        return replay(self.new_run(Deadline.after(self.time.clock, self.budget)), names or None)

    def pools(self) -> Pools:
        fetcher = self.fetcher()
        return Pools(fetcher, self.executor(), fetcher.first_done, *self.memory)

    def ports(self, host: str | None = None) -> Ports:
        host = host or self.hosts[0]
        source = JiraSource(
            host,
            DirectRoute(f"https://{host}", HTTPBasicAuth(USERNAME, TOKEN)),
            self.time.clock,
            self.page_size,
        )
        source._session.mount("https://", self.jira)
        if host not in self._tenants:
            tenant = SiteTenant(f"https://{host}", None, is_site_host, self.time.clock)
            tenant._session.mount("https://", self.jira)
            self._tenants[host] = tenant
        backfills = self.store.backfills()
        table = self.table if self.policy.audits else None
        return Ports(
            source, self.sink_in_use, self.store, self.store, backfills, self._tenants[host], table
        )

    def run_until_crash(self, act: Callable[[], object] | None = None) -> None:
        """A run, or `act`, that crashes where the journal says; then its lease expires."""
        try:
            (act or self.run)()
        except Crash:
            pass
        finally:
            self.journal.die, self.journal.dead = None, False
            self.time.advance(LEASE_SECONDS + 1)

    def rows(self) -> list[int]:
        return [row["id_d"] for row in self.sink.table]

    def duplicates(self) -> set[int]:
        return {record_id for record_id, times in Counter(self.rows()).items() if times > 1}

    def duplicate_bytes(self) -> int:
        """The bytes of JSON of the duplicates accepted."""
        sizes: dict[int, list[int]] = {}
        for row in self.sink.table:
            sizes.setdefault(row["id_d"], []).append(len(json.dumps(row, separators=(",", ":"))))
        return sum(sum(several[1:]) for several in sizes.values())

    def dealt_with(self) -> set[int]:
        """The ids in the table or in a dead letter."""
        return {*self.rows(), *(letter["record"]["id"] for letter in self.store.letters())}

    def missing(self, ids: Iterable[int]) -> set[int]:
        return set(ids) - self.dealt_with()


def record(record_id: int, created: int, **more: Any) -> dict[str, Any]:
    """A small record in Jira's format."""
    text = timestamps.text(created).replace("Z", "+0000")
    return {"id": record_id, "created": text, "summary": f"Thing {record_id} changed", **more}
