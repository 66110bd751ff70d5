"""Sending: one batch to the sink, retried and, where it is refused, in halves.

What was accepted is accounted for elsewhere (`delivery.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Lock

from jira_audit.core.batches import Batch
from jira_audit.core.clock import TRYING_AGAIN, RetryPolicy, retry
from jira_audit.core.errors import BatchRefused, OutOfTime, SiteError
from jira_audit.core.records import Row
from jira_audit.flow.ports import Lease, Run

log = logging.getLogger(__name__)

PROBE = b"[]"
"""An empty batch: accepted wherever rows would be, and nothing comes of it."""

REFUSED_LIMIT = 20
"""More rows than this refused in a run, and none accepted: it is the configuration after all."""

TOO_LARGE = 413


@dataclass
class Receipt:
    """What became of one batch; with an `error`, rows in neither list are still to be sent."""

    accepted: list[Row] = field(default_factory=list)
    refused: list[tuple[Row, BatchRefused]] = field(default_factory=list)
    batches: int = 0
    bytes: int = 0
    error: BaseException | None = None


class Sender:
    """Sends one run's batches, under the site's lease; from several threads.

    A row that is refused alone is the row's fault only where others are accepted: the sender counts
    both over the whole run.
    """

    def __init__(self, run: Run, lease: Lease) -> None:
        self._run, self._lease = run, lease
        self._lock = Lock()
        self._refused = 0
        self._any_accepted = False

    def deliver(self, batch: Batch) -> Receipt:
        """Send a batch, in halves where it is refused, down to the rows nobody takes.

        Never raises: what went wrong is in the receipt.
        """
        receipt = Receipt()
        try:
            self._deliver(batch, receipt)
        except BaseException as error:  # noqa: BLE001  raised again on the caller's thread
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
            message = f"{self._run.site}: time was up while a refused batch was halved"
            raise OutOfTime(message)

    def _count_refused(self, refusal: BatchRefused) -> None:
        with self._lock:
            self._refused += 1
            if self._refused > REFUSED_LIMIT and not self._any_accepted:
                raise _misconfigured(refusal) from refusal


def send(body: bytes, run: Run, lease: Lease) -> None:
    """Send one body, again as long as the deadline allows; no try outlasts the lease.

    Raises BatchRefused, TransientError or SiteError.
    """
    sink, seconds = run.ports.sink, run.policy.send_seconds

    def attempt() -> None:
        sink.prepare()
        lease.hold(seconds)
        sink.send(body)

    on_wait = partial(log.warning, TRYING_AGAIN)
    retry(attempt, policy=RetryPolicy(), deadline=run.deadline, on_wait=on_wait)


def probe(refusal: BatchRefused, send: Callable[[bytes], None]) -> None:
    """Tell refused rows from a place that refuses everything, which is the configuration.

    Raises SiteError if it is; to return is to say that the rows are what was refused.
    """
    try:
        send(PROBE)
    except BatchRefused:
        raise _misconfigured(refusal) from refusal


def _misconfigured(refusal: BatchRefused) -> SiteError:
    return SiteError(
        f"the ingestion service refuses everything, so the data collection rule, its stream or its "
        f"columns are wrong; nothing was given up, the checkpoint waits: {refusal}"
    )
