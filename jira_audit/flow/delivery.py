"""Delivery: the sending half of a run, and the only place where the checkpoint changes.

The order that the guarantees rest on: a batch is sent, then its ids are in the ledger, then the
checkpoint is saved, and only then is its place among those in flight free again. What may be saved
when is in `core/progress.py`, how a batch is sent in `sending.py`.
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
    """One site's rows on their way, under its lease.

    `finish` sends what is left, waits for every send, and saves. Leaving the `with` gives the lease
    back; where something was raised, it ends what was begun first. If what was accepted could not
    be saved, the lease is left to run out instead. All but the sends themselves runs on the
    caller's thread.

    `loaded` is the checkpoint as the run began with it, `saved` as it is stored.
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
        """Whether what is stored has come forward: *through*, the ledger, or the sweep."""
        return _position(self.loaded) != _position(self.saved)

    def knows(self, record_id: int) -> bool:
        """Whether a record was dealt with or is on its way."""
        return self._progress.has(record_id)

    def unknown(self, page: Page) -> Sequence[tuple[Identity, Record]]:
        """The page's records that were not dealt with, and are not on their way.

        Raises SiteError where the site's ids began again.
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
        # By what was stored when the run began: what it delivers itself may be of the new ids.
        latest = self.loaded.latest
        if latest is not None and identity.created > latest and identity.id in self.loaded.ledger:
            message = (
                f"{self._run.site}: record {identity.id} is newer than every record delivered, yet "
                "its id was delivered before: the site's ids began again. Set CHECKPOINT_RESET to "
                f"{moments.text(self._progress.checkpoint.through)} to go on from there"
            )
            raise SiteError(message)
        return True

    def apply(self, change: Change) -> None:
        """Change what is remembered, now; it is stored with the next save."""
        self._progress.apply(change)

    def after_pending(self, change: Change) -> None:
        """Change what is remembered once every row handed over until now was dealt with."""
        self._progress.apply_later(change, rows_wait=not self._batcher.is_empty)

    def keep(self, rejected: Iterable[Rejected]) -> None:
        """Keep records as letters; one with an identity has then been dealt with."""
        for letter, identity in rejected:
            if self._run.ports.letters.keep(letter) and letter.is_dead:
                self._run.tally.letters += 1
                log.error(
                    "%s: a record was kept as %s: %s", letter.site, letter.name, letter.reason
                )
            if identity:
                self._progress.deal_with([identity])

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows on; every batch that is full is sent.

        Raises what has come of sends begun before: TransientError or SiteError.
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
                self.collect_finished()  # else when a slot is needed: every save takes its time
                break
        self._raise_failure()

    def flush(self) -> None:
        """Send what has been gathered, full or not, as no more seems to come. Raises as `add`."""
        for batch in self._batcher.rest():
            self._send(batch)

    def collect_finished(self, *, wait: bool = False) -> None:
        """Account for the batches that are done, in one save; with `wait`, for one at least."""
        if wait:
            self._in_flight[min(self._in_flight)].result()
        done = [number for number, sent in self._in_flight.items() if sent.done()]
        for number in done:
            self._record_receipt(number, self._in_flight[number].result())
            del self._in_flight[number]  # only now: whatever interrupts this, it is done again
        if done and not self._error:  # after an error, one save at the end is enough
            self._save()

    def finish(self, error: OutOfTime | None, *, complete: bool) -> None:
        """Send what is left, wait for every send, and save how the run ended.

        `complete` says that all was read; else the deadline came, with this `error` if it has
        something to say. What has come of the sends is raised when the `with` is left.
        """
        self.flush()
        self._end(error, complete=complete)

    def __enter__(self) -> Self:
        """Nothing is done until rows come."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Give the lease back; where `error` is on its way, end what was begun before.

        Raises what went wrong with that, if it matters more than `error`.
        """
        if error is not None:
            self._abort(error)
        if self._progress.checkpoint == self.saved:
            release_quietly(self._lease)
        worse = self._worse(error)
        if worse is not None and worse is not error:
            raise worse from error
        if self._error and self._error is not error:
            log.warning("%s: besides: %s", self._run.site, self._error)

    def _abort(self, error: BaseException) -> None:
        """End what was begun: where only the source failed, what it gave is good, and is sent."""
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
        """The error to be told of: `error`, which is on its way, or what the sends have raised.

        What someone must do comes before what heals by itself.
        """
        first = isinstance(self._error, SiteError) and isinstance(error, TransientError)
        return self._error if error is None or first else error

    def _store_outcome(self, error: BaseException | None, *, complete: bool) -> None:
        """Remember how the run ended, unless the process is being stopped."""
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

    # A batch's way: submitted, in flight, settled.

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
        """Put what was accepted into the ledger, and what was refused among the dead letters."""
        tally = self._run.tally
        self._progress.deal_with([row.identity for row in receipt.accepted])
        tally.rows += len(receipt.accepted)
        tally.batches += receipt.batches
        tally.bytes += receipt.bytes
        self._error = self._error or receipt.error
        if receipt.error and not isinstance(receipt.error, OutOfTime):
            return  # it may be the configuration: then nothing is given up
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
    """What has changed when a site has come forward."""
    read = checkpoint.through, checkpoint.reread, checkpoint.sweep, checkpoint.swept
    return *read, checkpoint.ledger


def release_quietly(lease: Lease) -> None:
    """Give a lease back; where that fails, say so and let it run out, which it does by itself."""
    try:
        lease.release()
    except ConnectorError as error:
        log.warning("the lease could not be given back: %s", error)
