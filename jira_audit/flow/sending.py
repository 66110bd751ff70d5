"""Sending: one batch to the sink, with retries; a refused batch is halved."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from threading import Lock, RLock

from jira_audit.core.batches import Batch
from jira_audit.core.clock import RETRY_LOG_FORMAT, RetryPolicy, retry
from jira_audit.core.errors import (
    BatchRefused,
    ConnectorError,
    MayHaveArrived,
    OutOfTime,
    SiteError,
    TransientError,
)
from jira_audit.core.records import Identity, Row
from jira_audit.flow.memory import WAIT_SECONDS
from jira_audit.flow.ports import Lease, Run

log = logging.getLogger(__name__)

PROBE = b"[]"
"""An empty batch: accepted wherever rows are, and stores nothing."""

REFUSED_LIMIT = 20
"""More rows than this refused in a run, and none accepted: the configuration is wrong."""

TOO_LARGE = 413


@dataclass
class Receipt:
    """The result of one batch. After an `error`, rows may be in neither list.

    `unsure` rows may be in the table several times: they were sent again after a send without an
    answer, or will be by a later run.
    """

    accepted: list[Identity] = field(default_factory=list)
    unsure: list[Identity] = field(default_factory=list)
    refused: list[tuple[Row, BatchRefused]] = field(default_factory=list)
    batches: int = 0
    bytes: int = 0
    error: BaseException | None = None


class Sender:
    """Sends one run's batches under the site's lease, from several threads.

    A row refused on its own is at fault only if other rows are accepted, so the sender counts both
    over the whole run. A batch that may have arrived is sent again by one thread at a time, and by
    none once all its tries failed, so that a lasting fault duplicates few batches. With
    `is_cautious`, it is not sent again at all. `is_unsure`: of at least one batch, it is unknown
    whether it was accepted.
    """

    def __init__(self, run: Run, lease: Lease, *, is_cautious: bool) -> None:
        self.is_cautious, self.is_unsure = is_cautious, False
        self._run, self._lease = run, lease
        self._lock, self._resending = Lock(), RLock()
        self._refused = 0
        self._any_accepted = False

    def deliver(self, batch: Batch) -> Receipt:
        """Send a batch; halve a refused one down to the rows at fault.

        Never raises: the receipt has the error.
        """
        receipt = Receipt()
        try:
            self._deliver(batch, receipt)
        except BaseException as error:  # noqa: BLE001  raised on the caller's thread
            receipt.error = error
        return receipt

    def _deliver(self, batch: Batch, receipt: Receipt) -> None:
        parts, probed = [batch], False
        while parts:
            part = parts.pop()
            body = part.body
            try:
                self._send(body, part, receipt)
            except BatchRefused as refusal:
                if not probed and refusal.status != TOO_LARGE:
                    self._probe(refusal)
                    probed = True
                if len(part.rows) > 1:
                    parts.extend(reversed(part.halves()))
                else:
                    receipt.refused.append((part.rows[0], refusal))
                    self._count_refused(refusal)
            else:
                self._any_accepted = True
                receipt.accepted.extend([row.identity for row in part.rows])
                receipt.batches += 1
                receipt.bytes += len(body)
            if parts:
                self._check_deadline()

    def _probe(self, refusal: BatchRefused) -> None:
        probe(refusal, lambda body: self._send(body, None, Receipt()))

    def _send(self, body: bytes, part: Batch | None, receipt: Receipt) -> None:
        may_have_arrived = False
        with ExitStack() as turn:

            def on_wait(error: TransientError, seconds: float) -> None:
                nonlocal may_have_arrived
                if isinstance(error, MayHaveArrived):
                    may_have_arrived = True
                    self._await_turn(error, turn)
                log_wait(self._run.site, error, seconds)

            try:
                send(body, self._run, self._lease, on_wait)
            except BaseException as error:
                may_have_arrived |= _is_unsure(error)
                self.is_unsure |= may_have_arrived
                raise
            finally:
                if may_have_arrived and part:
                    receipt.unsure.extend([row.identity for row in part.rows])

    def _await_turn(self, error: TransientError, turn: ExitStack) -> None:
        """Wait until no other batch is sent again; raise `error` if this one must not be."""
        if not self.is_cautious:
            turn.enter_context(self._resending)
        if self.is_cautious or self.is_unsure:
            raise error

    def _check_deadline(self) -> None:
        if self._run.deadline.left() <= 0:
            message = f"{self._run.site}: the deadline came while a refused batch was being halved"
            raise OutOfTime(message)

    def _count_refused(self, refusal: BatchRefused) -> None:
        with self._lock:
            self._refused += 1
            if self._refused > REFUSED_LIMIT and not self._any_accepted:
                raise _misconfigured(refusal) from refusal


class Sends:
    """One run's batches in flight: each is sent on a thread of the pool, up to a limit.

    While the `sender` is cautious, one at a time, each tried once.
    """

    def __init__(self, run: Run, lease: Lease, *, is_cautious: bool) -> None:
        self.sender, self._pool = Sender(run, lease, is_cautious=is_cautious), run.pools.sends
        self._limit, self._memory = run.policy.in_flight, run.pools.batches
        self._in_flight: dict[int, Future[Receipt]] = {}
        self._tasks: dict[int, Future[None]] = {}

    def __len__(self) -> int:
        return len(self._in_flight)

    def has_room(self, batch: Batch) -> bool:
        """Whether this batch can begin now; then its bytes count towards the process's budget."""
        limit = 1 if self.sender.is_cautious else self._limit
        if len(self._in_flight) >= limit:
            return False
        # Without a batch in flight here, those of other sites have the room: wait for it.
        seconds = 0.0 if self._in_flight else WAIT_SECONDS
        return self._memory.take(batch.size, seconds)

    @property
    def any_failed(self) -> bool:
        """Whether a batch that is done has an error."""
        return any(map(_has_failed, self._in_flight.values()))

    def begin(self, number: int, batch: Batch) -> None:
        """Send a batch that has room; `number` names it.

        If interrupted, it is either in flight or never sent.
        """
        sent: Future[Receipt] = Future()
        try:
            self._in_flight[number] = sent
            self._tasks[number] = self._pool.submit(self._deliver, sent, batch)
        except BaseException:
            if sent.cancel():
                del self._in_flight[number]
                self._memory.give_back(batch.size)
            raise

    def _deliver(self, sent: Future[Receipt], batch: Batch) -> None:
        if sent.set_running_or_notify_cancel():
            receipt = self.sender.deliver(batch)
            # Here, not when the receipt is recorded: its run may wait for the memory of others.
            self._memory.give_back(batch.size)
            sent.set_result(receipt)

    def finished(self, *, wait: bool) -> Iterator[tuple[int, Receipt]]:
        """Take out the batches that are done; with `wait`, wait for the oldest first.

        A batch leaves only once the caller has recorded its receipt, so no interrupt loses one.
        """
        if wait:
            oldest = min(self._in_flight)
            if oldest in self._tasks:  # else its submission was interrupted after it was queued
                self._tasks[oldest].result()
            self._in_flight[oldest].result()
        done = [number for number, sent in self._in_flight.items() if sent.done()]
        for number in done:
            yield number, self._in_flight[number].result()
            self._tasks.pop(number, None)
            del self._in_flight[number]


def _has_failed(sent: Future[Receipt]) -> bool:
    return sent.done() and sent.result().error is not None


def log_wait(site: str, error: TransientError, seconds: float) -> None:
    """Log an error of a site's run, and the seconds until the next attempt."""
    log.warning(RETRY_LOG_FORMAT, error.with_site(site), seconds)


def send(
    body: bytes,
    run: Run,
    lease: Lease,
    on_wait: Callable[[TransientError, float], None] | None = None,
) -> None:
    """Send one body, with retries within the deadline. No attempt outlasts the lease.

    `on_wait` receives each error and the seconds until the next attempt; by default both are
    logged. Raises BatchRefused, TransientError (the next tick retries) or SiteError (someone must
    act).
    """
    sink, seconds = run.ports.sink, run.policy.send_seconds

    def attempt() -> None:
        sink.prepare()
        lease.hold(seconds)
        sink.send(body)

    on_wait = on_wait or partial(log_wait, run.site)
    retry(attempt, policy=RetryPolicy(), deadline=run.deadline, on_wait=on_wait)


def _is_unsure(error: BaseException) -> bool:
    """Whether a send that ended so may have been accepted; after a bug, nobody knows."""
    of_wait = isinstance(error.__cause__, MayHaveArrived)  # an OutOfTime names what it waited for
    return of_wait or isinstance(error, MayHaveArrived) or not isinstance(error, ConnectorError)


def probe(refusal: BatchRefused, send: Callable[[bytes], None]) -> None:
    """Return if the rows are at fault; raise SiteError if everything is refused.

    Then an administrator corrects the configuration.
    """
    try:
        send(PROBE)
    except BatchRefused:
        raise _misconfigured(refusal) from refusal


def _misconfigured(refusal: BatchRefused) -> SiteError:
    return SiteError(
        f"the ingestion service refuses everything, so the data collection rule, its stream or its "
        f"columns are wrong; no row is lost, the checkpoint stays where it is: {refusal}"
    )
