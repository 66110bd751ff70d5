"""Delivery: the sending half of a run, and the only place where the checkpoint changes.

The guarantees depend on this order: a batch is sent, its ids are added to the ledger, the
checkpoint is saved, and only then is its slot in flight free for the next batch. `core/progress.py`
decides what may be saved when; `sending.py` sends a batch.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from jira_audit.core import encoding, moments
from jira_audit.core.batches import Batch, Batcher
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.errors import ConnectorError, OutOfTime, SiteError, TransientError
from jira_audit.core.letters import Letter
from jira_audit.core.mapper import Rejected
from jira_audit.core.outcome import ending, remembered
from jira_audit.core.pages import Page
from jira_audit.core.plan import late_until
from jira_audit.core.progress import Change, Progress
from jira_audit.core.records import Identity, Record, Row
from jira_audit.flow.ports import Lease, Run
from jira_audit.flow.sending import Receipt, Sender

log = logging.getLogger(__name__)


class Delivery:
    """Delivers one site's rows under its lease.

    `finish` sends the remaining rows, waits for every send, and saves. Leaving the `with` releases
    the lease, after an exception only once the sends in flight are completed. If accepted rows
    could not be saved, the lease is left to expire. Only the sends run on other threads.

    `loaded`: the checkpoint as stored when the run began. `saved`: as stored now.
    """

    def __init__(self, run: Run, lease: Lease, checkpoint: Checkpoint) -> None:
        self.loaded = self.saved = checkpoint
        self._run, self._lease = run, lease
        self._progress = Progress(checkpoint)
        self._batcher = Batcher(run.policy.batch_bytes)
        self._sender = Sender(run, lease)
        self._in_flight: dict[int, Future[Receipt]] = {}
        self._error: BaseException | None = None

    @property
    def moved(self) -> bool:
        """Whether the stored checkpoint has made progress: *through*, the ledger, or the sweep."""
        return _position(self.loaded) != _position(self.saved)

    def knows(self, record_id: int) -> bool:
        return self._progress.has(record_id)

    def unknown(self, page: Page) -> Sequence[tuple[Identity, Record]]:
        """The page's records that were neither dealt with nor handed over.

        Raises SiteError if the site's ids have restarted; an administrator resets the checkpoint.
        """
        unknown = [each for each in page.identified.values() if not self._is_known(each[0])]
        until, tally = late_until(self.loaded), self._run.tally
        late = [identity for identity, _ in unknown if identity.created <= until]
        tally.late_found += len(late)
        tally.duplicates_skipped += len(page.records) - len(page.unidentified) - len(unknown)
        return unknown

    def _is_known(self, identity: Identity) -> bool:
        if not self.knows(identity.id):
            return False
        # Compare with the loaded checkpoint: this run may have delivered restarted ids itself.
        latest = self.loaded.latest
        if latest is not None and identity.created > latest and identity.id in self.loaded.ledger:
            message = (
                f"{self._run.site}: record {identity.id} is newer than every delivered record, but "
                "its id was delivered before: the site's ids have restarted. Set CHECKPOINT_RESET "
                f"to {moments.text(self._progress.checkpoint.through)} to continue from there"
            )
            raise SiteError(message)
        return True

    def apply(self, change: Change) -> None:
        """Change the checkpoint now; the next save stores it."""
        self._progress.apply(change)

    def after_pending(self, change: Change) -> None:
        """Change the checkpoint after every row handed over so far was dealt with."""
        self._progress.apply_later(change, rows_wait=not self._batcher.is_empty)

    def keep(self, rejected: Iterable[Rejected]) -> None:
        """Store records as letters. Those with an identity are then dealt with."""
        for letter, identity in rejected:
            if self._run.ports.letters.keep(letter) and letter.is_dead:
                self._run.tally.letters += 1
                log.error(
                    "%s: a record was stored as %s: %s", letter.site, letter.name, letter.reason
                )
            if identity:
                self._progress.deal_with([identity])

    def add(self, rows: Sequence[Row]) -> None:
        """Hand over rows, and send each full batch.

        Raises the error of an earlier send: TransientError or SiteError.
        """
        for row in rows:
            if not row.whole:
                original = Letter.original(self._run.site, encoding.loads(row.received))
                self.keep([Rejected(original, None)])
        self._progress.hand_over([row.identity.id for row in rows])
        for batch in self._batcher.add(rows):
            self._send(batch)
        for sent in self._in_flight.values():
            if sent.done() and sent.result().error:
                self.collect_finished()  # without an error, only on demand: a save takes time
                break
        self._raise_failure()

    def flush(self) -> None:
        """Send the waiting rows, in a full batch or not. Raises as `add` does."""
        for batch in self._batcher.rest():
            self._send(batch)

    def collect_finished(self, *, wait: bool = False) -> None:
        """Record the finished batches with one save; with `wait`, wait for the oldest batch."""
        if wait:
            self._in_flight[min(self._in_flight)].result()
        done = [number for number, sent in self._in_flight.items() if sent.done()]
        for number in done:
            self._record_receipt(number, self._in_flight[number].result())
            del self._in_flight[number]  # last, so that an interrupted receipt is recorded again
        if done and not self._error:  # after an error, the save at the end is enough
            self._save()

    def finish(self, error: OutOfTime | None, *, complete: bool) -> None:
        """Send the remaining rows, wait for every send, and save the run's outcome.

        `complete` means that everything was read; otherwise the deadline came, and `error` may say
        how. Errors of the sends are raised when the `with` is left.
        """
        self.flush()
        self._end(error, complete=complete)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Release the lease; if an `error` was raised, complete the sends in flight first.

        Raises the error of a send or save if it matters more than `error`.
        """
        if error is not None:
            self._abort(error)
        if self._progress.checkpoint == self.saved:
            release_quietly(self._lease)
        worse = self._worse(error)
        if worse is not None and worse is not error:
            raise worse from error
        if self._error and self._error is not error:
            log.warning("%s: another error: %s", self._run.site, self._error)

    def _abort(self, error: BaseException) -> None:
        """Complete the sends in flight. If only the source failed, send its earlier rows too."""
        if isinstance(error, ConnectorError) and not self._error:
            for batch in self._batcher.rest():
                self._wait_for_slot()
                if not self._error:
                    self._submit(batch)
        self._end(error, complete=False)

    def _end(self, error: BaseException | None, *, complete: bool) -> None:
        while self._in_flight:
            self.collect_finished(wait=True)
        self._store_outcome(self._worse(error), complete=complete)
        self._save()

    def _worse(self, error: BaseException | None) -> BaseException | None:
        """The error to report: the raised `error`, or that of the sends.

        An error that someone must act on takes precedence over a temporary one.
        """
        first = isinstance(self._error, SiteError) and isinstance(error, TransientError)
        return self._error if error is None or first else error

    def _store_outcome(self, error: BaseException | None, *, complete: bool) -> None:
        """Put the run's outcome into the checkpoint, unless the process is being stopped."""
        if error is not None and not isinstance(error, Exception):
            return
        moved = _position(self.loaded) != _position(self._progress.checkpoint)
        tally = self._run.tally
        result, why = ending(self._run.site, error, complete=complete, moved=moved)
        last = remembered(result, why, tally, self._run.deadline.clock.now())
        self.apply(lambda checkpoint: checkpoint.ended(last, tally.late_found))

    def _raise_failure(self) -> None:
        if self._error:
            raise self._error

    # The stages of a batch: submitted, in flight, settled.

    def _send(self, batch: Batch) -> None:
        self._wait_for_slot()
        self._raise_failure()
        self._submit(batch)

    def _wait_for_slot(self) -> None:
        while len(self._in_flight) >= self._run.policy.in_flight:
            self.collect_finished(wait=True)

    def _submit(self, batch: Batch) -> None:
        number = self._progress.begin()
        self._in_flight[number] = self._run.pools.sends.submit(self._sender.deliver, batch)

    def _record_receipt(self, number: int, receipt: Receipt) -> None:
        """Add accepted rows to the ledger, and store refused rows as dead letters."""
        tally = self._run.tally
        self._progress.deal_with([row.identity for row in receipt.accepted])
        tally.rows += len(receipt.accepted)
        tally.batches += receipt.batches
        tally.bytes += receipt.bytes
        self._error = self._error or receipt.error
        if receipt.error and not isinstance(receipt.error, OutOfTime):
            return  # the configuration may be wrong: then no row becomes a dead letter
        try:
            self.keep([self._refused(*each) for each in receipt.refused])
        except ConnectorError as error:
            self._error = self._error or error
        else:
            if not receipt.error:
                self._progress.settle(number)

    def _refused(self, row: Row, refusal: Exception) -> Rejected:
        record, status = encoding.loads(row.received), getattr(refusal, "status", None)
        letter = Letter("refused", str(refusal), self._run.site, record, status)
        return Rejected(letter, row.identity)

    def _save(self) -> None:
        if self._progress.checkpoint == self.saved:
            return
        try:
            self._lease.save(self._progress.checkpoint)
        except ConnectorError as error:
            self._error = self._error or error
        else:
            self.saved = self._progress.checkpoint


def _position(checkpoint: Checkpoint) -> tuple[object, ...]:
    """The fields that change when a run makes progress."""
    read = checkpoint.through, checkpoint.reread, checkpoint.sweep, checkpoint.swept
    return *read, checkpoint.ledger


def release_quietly(lease: Lease) -> None:
    """Release a lease; if that fails, log it and let the lease expire."""
    try:
        lease.release()
    except ConnectorError as error:
        log.warning("the lease could not be released; it will expire: %s", error)
