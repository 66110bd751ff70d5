"""Sending: one batch to the sink, with retries; a refused batch is halved."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from threading import Lock

from jira_audit.core.batches import Batch
from jira_audit.core.clock import RETRY_LOG_FORMAT, RetryPolicy, retry
from jira_audit.core.errors import BatchRefused, OutOfTime, SiteError
from jira_audit.core.records import Row
from jira_audit.flow.ports import Lease, Run

log = logging.getLogger(__name__)

PROBE = b"[]"
"""An empty batch: accepted wherever rows are, and stores nothing."""

REFUSED_LIMIT = 20
"""More rows than this refused in a run, and none accepted: the configuration is wrong."""

TOO_LARGE = 413


@dataclass
class Receipt:
    """The result of one batch. After an `error`, rows may be in neither list."""

    accepted: list[Row] = field(default_factory=list)
    refused: list[tuple[Row, BatchRefused]] = field(default_factory=list)
    batches: int = 0
    bytes: int = 0
    error: BaseException | None = None


class Sender:
    """Sends one run's batches under the site's lease, from several threads.

    A refused row is at fault only if others are accepted, so both are counted over the run.
    """

    def __init__(self, run: Run, lease: Lease) -> None:
        self._run, self._lease = run, lease
        self._lock = Lock()
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
            if parts:
                self._check_deadline()

    def _send(self, body: bytes) -> None:
        send(body, self._run, self._lease)

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
    def __init__(self, run: Run, lease: Lease) -> None:
        self._sender, self._pool = Sender(run, lease), run.pools.sends
        self._limit = run.policy.in_flight
        self._in_flight: dict[int, Future[Receipt]] = {}

    def __len__(self) -> int:
        return len(self._in_flight)

    @property
    def is_full(self) -> bool:
        return len(self._in_flight) >= self._limit

    @property
    def any_failed(self) -> bool:
        return any(sent.done() and sent.result().error for sent in self._in_flight.values())

    def begin(self, number: int, batch: Batch) -> None:
        self._in_flight[number] = self._pool.submit(self._sender.deliver, batch)

    def finished(self, *, wait: bool) -> Iterator[tuple[int, Receipt]]:
        """Take out the batches that are done; with `wait`, wait for the oldest first.

        A batch leaves only once the caller has recorded its receipt, so no interrupt loses one.
        """
        if wait:
            self._in_flight[min(self._in_flight)].result()
        done = [number for number, sent in self._in_flight.items() if sent.done()]
        for number in done:
            yield number, self._in_flight[number].result()
            del self._in_flight[number]


def send(body: bytes, run: Run, lease: Lease) -> None:
    """Send one body, with retries. No attempt outlasts the lease.

    Raises BatchRefused, TransientError (the next tick retries) or SiteError (someone must act).
    """
    sink, seconds = run.ports.sink, run.policy.send_seconds

    def attempt() -> None:
        sink.prepare()
        lease.hold(seconds)
        sink.send(body)

    on_wait = partial(log.warning, RETRY_LOG_FORMAT)
    retry(attempt, policy=RetryPolicy(), deadline=run.deadline, on_wait=on_wait)


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
