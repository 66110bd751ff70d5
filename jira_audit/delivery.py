"""Delivery: the sending half of a run, and the only place where the checkpoint changes.

The order that the promise rests on lives here: a batch is sent, then its ids are in the ledger,
then the checkpoint is saved, and only then is its place among those in flight free again;
*through* passes a window only when every row handed over up to its end has been dealt with.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from types import TracebackType
from typing import Self

from jira_audit.core import encoding
from jira_audit.core.batches import Batch, Batcher
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.clock import TRYING_AGAIN, Deadline, RetryPolicy, retry
from jira_audit.core.errors import (
    BatchRefused,
    ConnectorError,
    OutOfTime,
    SiteError,
    TransientError,
)
from jira_audit.core.letters import Letter
from jira_audit.core.outcome import Tally, ending, remembered
from jira_audit.core.records import Identity, Row
from jira_audit.ports import Lease, Ports, Sink

log = logging.getLogger(__name__)

PROBE = b"[]"
"""An empty batch: accepted wherever rows would be, and nothing comes of it."""

REFUSED_LIMIT = 20
"""More rows than this refused in a run, and none accepted: it is the configuration after all."""

TOO_LARGE = 413

Update = Callable[[Checkpoint], Checkpoint]


@dataclass
class _Receipt:
    """What became of one batch; with an `error`, rows in neither list are still to be sent."""

    accepted: list[Row] = field(default_factory=list)
    refused: list[tuple[Row, BatchRefused]] = field(default_factory=list)
    tries: int = 0
    batches: int = 0
    bytes: int = 0
    error: BaseException | None = None


class Delivery:
    """One site's rows on their way, under its lease.

    Leaving the `with` waits for every send begun, saves, and gives the lease back; if what was
    accepted could not be saved, the lease is left to run out instead. All but the sends themselves
    runs on the caller's thread.

    `checkpoint` is what the site is remembered by, were it saved now, `saved` what is stored, and
    `loaded` what was when the run began; `in_flight` batches of at
    most `batch_bytes` and `send_seconds` each may be under way or unsaved at once. `complete` is to
    be set once all was read: how the run ended is stored with its last save.
    """

    def __init__(
        self,
        lease: Lease,
        checkpoint: Checkpoint,
        ports: Ports,
        executor: Executor,
        deadline: Deadline,
        tally: Tally,
        *,
        in_flight: int,
        batch_bytes: int,
        send_seconds: float,
    ) -> None:
        self.checkpoint = self.loaded = self.saved = checkpoint
        self.complete = False
        self._lease, self._ports, self._executor = lease, ports, executor
        self._deadline, self._tally = deadline, tally
        self._slots, self._send_seconds = in_flight, send_seconds
        self._batcher = Batcher(batch_bytes)
        self._on_the_way: set[int] = set()
        self._started = 0
        self._in_flight: dict[int, Future[_Receipt]] = {}
        self._unsettled: set[int] = set()
        self._closing: deque[tuple[int, Update]] = deque()
        self._error: BaseException | None = None
        self._lock = Lock()
        self._refused = 0
        self._any_accepted = False

    @property
    def moved(self) -> bool:
        """Whether what is stored has come forward: *through*, the ledger, or the sweep."""
        return _place(self.loaded) != _place(self.saved)

    def knows(self, record_id: int) -> bool:
        """Whether a record was dealt with or is on its way."""
        return record_id in self._on_the_way or record_id in self.checkpoint.ledger

    def update(self, update: Update) -> None:
        """Change what is remembered, now; it is stored with the next save."""
        self.checkpoint = update(self.checkpoint)

    def keep(self, letter: Letter, identity: Identity | None) -> None:
        """Keep a record aside; one with an identity has then been dealt with."""
        if self._ports.letters.keep(letter) and letter.is_dead:
            self._tally.letters += 1
            log.error("%s: a record was kept as %s: %s", letter.site, letter.name, letter.reason)
        if identity:
            self.update(lambda place: place.dealt_with([identity]))

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows on; every batch that is full is sent.

        Raises what has come of sends begun before: TransientError or SiteError.
        """
        for row in rows:
            if not row.whole:
                self.keep(Letter.original(self.checkpoint.site, encoding.loads(row.received)), None)
        self._on_the_way.update(row.identity.id for row in rows)
        for batch in self._batcher.add(rows):
            self._start(batch)
        if any(sent.done() and sent.result().error for sent in self._in_flight.values()):
            self.settle()  # else when room is needed: every save takes its time
        self._raise()

    def flush(self) -> None:
        """Send what has been gathered, full or not, as no more seems to come. Raises as `add`."""
        for batch in self._batcher.rest():
            self._start(batch)

    def close(self, update: Update) -> None:
        """Change what is remembered once every row handed over until now has been dealt with."""
        self._closing.append((self._started + (not self._batcher.is_empty), update))
        self._close_what_can_be()

    def __enter__(self) -> Self:
        """Nothing is done until rows come."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """End what was begun. Raises what went wrong with it, unless `error` is on its way."""
        if error is None or (isinstance(error, ConnectorError) and not self._error):
            for batch in self._batcher.rest():  # where the source failed, what it gave is good
                self._make_room()
                if not self._error:
                    self._submit(batch)
        while self._in_flight:
            self.settle(wait=True)
        self._note_the_end(self._worse(error))
        self._save()
        if self.checkpoint == self.saved:
            give_back(self._lease)
        worse = self._worse(error)
        if worse is not None and worse is not error:
            raise worse from error
        if self._error and self._error is not error:
            log.warning("%s: besides: %s", self.checkpoint.site, self._error)

    def _worse(self, error: BaseException | None) -> BaseException | None:
        """The error to be told of: `error`, which is on its way, or what the sends have raised.

        What someone must do comes before what heals by itself.
        """
        first = isinstance(self._error, SiteError) and isinstance(error, TransientError)
        return self._error if error is None or first else error

    def _note_the_end(self, error: BaseException | None) -> None:
        """Remember how the run ended, unless the process is being stopped."""
        if error is not None and not isinstance(error, Exception):
            return
        moved = _place(self.loaded) != _place(self.checkpoint)
        result, why = ending(self.checkpoint.site, error, complete=self.complete, moved=moved)
        last = remembered(result, why, self._tally, self._deadline.clock.now())
        late = self._tally.late_found
        self.update(lambda place: place.ended(last, late))

    def _raise(self) -> None:
        if self._error:
            raise self._error

    def _fail(self, error: BaseException) -> None:
        """Remember the first thing that went wrong: no send is begun after it."""
        self._error = self._error or error

    # A batch's way: submitted, in flight, settled; on the caller's thread but for `_deliver`.

    def _start(self, batch: Batch) -> None:
        self._make_room()
        self._raise()
        self._submit(batch)

    def _make_room(self) -> None:
        while len(self._in_flight) >= self._slots:
            self.settle(wait=True)

    def _submit(self, batch: Batch) -> None:
        self._in_flight[self._started] = self._executor.submit(self._deliver, batch)
        self._unsettled.add(self._started)
        self._started += 1

    def settle(self, *, wait: bool = False) -> None:
        """Account for the batches that are done, in one save; with `wait`, for one at least."""
        if wait:
            self._in_flight[min(self._in_flight)].result()
        done = [number for number, sent in self._in_flight.items() if sent.done()]
        for number in done:
            self._account(number, self._in_flight[number].result())
            del self._in_flight[number]  # only now: whatever interrupts this, it is done again
        if done:
            self._close_what_can_be()
        if done and not self._error:  # after an error, one save at the end is enough
            self._save()

    def _account(self, number: int, receipt: _Receipt) -> None:
        self._deal_with(receipt.accepted)
        self._tally.rows += len(receipt.accepted)
        self._tally.batches += receipt.batches
        self._tally.bytes += receipt.bytes
        if receipt.error:
            self._fail(receipt.error)
            if not isinstance(receipt.error, OutOfTime):
                return  # it may be the configuration: then nothing is given up
        site = self.checkpoint.site
        try:
            for row, refusal in receipt.refused:
                record = encoding.loads(row.received)
                letter = Letter("refused", str(refusal), site, record, refusal.status)
                self.keep(letter, row.identity)
        except ConnectorError as error:
            self._fail(error)
        else:
            self._deal_with([row for row, _ in receipt.refused])
            if not receipt.error:
                self._unsettled.discard(number)

    def _deal_with(self, rows: Iterable[Row]) -> None:
        identities = [row.identity for row in rows]
        self._on_the_way.difference_update(identity.id for identity in identities)
        self.update(lambda place: place.dealt_with(identities))

    def _close_what_can_be(self) -> None:
        settled = min(self._unsettled, default=self._started)
        while self._closing and self._closing[0][0] <= settled:
            self.update(self._closing.popleft()[1])

    def _save(self) -> None:
        if self.checkpoint == self.saved:
            return
        try:
            self._lease.save(self.checkpoint)
        except ConnectorError as error:
            self._fail(error)
        else:
            self.saved = self.checkpoint

    # On the executor's threads.

    def _deliver(self, batch: Batch) -> _Receipt:
        """Send a batch, in halves where it is refused, down to the rows nobody takes."""
        receipt, parts, probed = _Receipt(), [batch], False
        try:
            while parts:
                if receipt.tries:
                    self._see_that_there_is_time()
                receipt.tries += 1
                part = parts.pop()
                body = part.body
                try:
                    self._send(body)
                except BatchRefused as refusal:
                    if not probed and refusal.status != TOO_LARGE:
                        probe(refusal, self._send)
                        probed = True
                    if len(part.rows) > 1:
                        parts.extend(reversed(part.halves()))
                    else:
                        receipt.refused.append((part.rows[0], refusal))
                        self._count_refused(refusal)
                else:
                    self._any_accepted = True
                    receipt.accepted.extend(part.rows)
                    receipt.batches += 1
                    receipt.bytes += len(body)
        except BaseException as error:  # noqa: BLE001  raised again on the caller's thread
            receipt.error = error
        return receipt

    def _see_that_there_is_time(self) -> None:
        if self._deadline.left() <= 0:
            message = f"{self.checkpoint.site}: time was up while a refused batch was halved"
            raise OutOfTime(message)

    def _send(self, body: bytes) -> None:
        send(body, self._ports.sink, self._lease, self._deadline, seconds=self._send_seconds)

    def _count_refused(self, refusal: BatchRefused) -> None:
        with self._lock:
            self._refused += 1
            if self._refused > REFUSED_LIMIT and not self._any_accepted:
                raise _misconfigured(refusal) from refusal


def send(body: bytes, sink: Sink, lease: Lease, deadline: Deadline, *, seconds: float) -> None:
    """Send one body, again as long as the deadline allows; no try outlasts the lease.

    `seconds` is what a try takes at most. Raises BatchRefused, TransientError or SiteError.
    """

    def attempt() -> None:
        sink.prepare()
        lease.hold(seconds)
        sink.send(body)

    on_wait = partial(log.warning, TRYING_AGAIN)
    retry(attempt, policy=RetryPolicy(), deadline=deadline, on_wait=on_wait)


def probe(refusal: BatchRefused, send: Callable[[bytes], None]) -> None:
    """Tell refused rows from a place that refuses everything, which is the configuration.

    Raises SiteError if it is; to return is to say that the rows are what was refused.
    """
    try:
        send(PROBE)
    except BatchRefused:
        raise _misconfigured(refusal) from refusal


def _place(checkpoint: Checkpoint) -> tuple[object, ...]:
    """What has changed when a site has come forward."""
    read = checkpoint.through, checkpoint.reread, checkpoint.sweep, checkpoint.swept
    return *read, checkpoint.ledger


def give_back(lease: Lease) -> None:
    """Release a lease; where that fails, say so and let it run out, which it does by itself."""
    try:
        lease.release()
    except ConnectorError as error:
        log.warning("the lease could not be given back: %s", error)


def _misconfigured(refusal: BatchRefused) -> SiteError:
    return SiteError(
        f"the ingestion service refuses everything, so the data collection rule, its stream or its "
        f"columns are wrong; nothing was given up, the checkpoint waits: {refusal}"
    )
