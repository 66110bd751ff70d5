"""Delivery: the sending half of a run, and the only place where the checkpoint changes.

The guarantees depend on this order: a batch is sent, the ledger gets its ids, the checkpoint is
saved; only then is its slot free for the next batch. `core/progress.py` decides what may be saved
when; `sending.py` sends a batch.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

from jira_audit.core import encoding
from jira_audit.core.batches import Batch, Batcher
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.errors import (
    BatchRefused,
    ConnectorError,
    OutOfTime,
    SiteError,
    TransientError,
)
from jira_audit.core.letters import Letter, is_of_another
from jira_audit.core.mapper import Rejected
from jira_audit.core.outcome import ending, remembered
from jira_audit.core.progress import Change, Progress
from jira_audit.core.records import Row
from jira_audit.flow.ports import Lease, Run
from jira_audit.flow.sending import Receipt, Sends

log = logging.getLogger(__name__)


class Delivery:
    """Delivers one site's rows under its lease.

    Leaving the `with` releases the lease; after an exception, every send begun ends first. If
    accepted rows could not be saved, the lease is left to expire. Only the sends run on other
    threads.

    `loaded` is the checkpoint as the run began, `saved` as stored now. `is_cautious`: a run came to
    grief before, and no batch was accepted and saved since.
    """

    def __init__(self, run: Run, lease: Lease, checkpoint: Checkpoint) -> None:
        self.loaded = self.saved = checkpoint
        self._run, self._lease = run, lease
        self._progress = Progress(checkpoint)
        self._batcher = Batcher(run.policy.batch_bytes)
        # A mark means that a run was killed, or does not know what became of its batches.
        self._sends = Sends(run, lease, is_cautious=checkpoint.began is not None)
        self._error: BaseException | None = None

    def knows(self, record_id: int) -> bool:
        return self._progress.has(record_id)

    @property
    def is_cautious(self) -> bool:
        return self._sends.sender.is_cautious

    @property
    def has_failed(self) -> bool:
        """Whether a send or a save has failed."""
        return self._error is not None

    @property
    def through(self) -> int:
        """The moment up to which everything is dealt with so far."""
        return self._progress.checkpoint.through

    def apply(self, change: Change) -> None:
        """Change the checkpoint now, for the next save."""
        self._progress.apply(change)

    def store(self, change: Change) -> None:
        """Change the checkpoint and save it now. Raises TransientError if that fails."""
        self.apply(change)
        self._save()
        if self._error:
            raise self._error

    def mark(self) -> None:
        """Save once that the run has begun, so that the next run is cautious if this one is killed.

        Raises TransientError or SiteError if that fails: nothing is read or sent then.
        """
        if self.saved.began is None:
            self._mark()
        if self._error:
            raise self._error

    def after_pending(self, change: Change) -> None:
        """Change the checkpoint after every row handed over so far was dealt with."""
        self._progress.apply_later(change, rows_wait=not self._batcher.is_empty)

    def keep(self, rejected: Iterable[Rejected]) -> None:
        """Store records as letters; those with an identity are then dealt with.

        Each dead letter is logged at ERROR and counted: also one that an earlier run stored but did
        not save as dealt with, as nobody may have been told. One without an identity is read again
        by every run, and is new once.
        """
        letters = self._run.ports.letters
        for each, identity in rejected:
            letter = each
            try:
                is_new = letters.keep(letter)
                if not is_new and identity and is_of_another(letters.read(letter.name), letter):
                    letter = replace(letter, by_hash=True)
                    is_new = letters.keep(letter)
            except ConnectorError:
                if letter.is_dead:
                    log.error(  # noqa: TRY400  the exception becomes the run's own error
                        "%s: a record may have been stored as %s: %s",
                        letter.site,
                        letter.name,
                        letter.reason,
                    )
                raise
            if letter.is_dead and (is_new or identity):
                self._run.tally.letters += 1
                log.error(
                    "%s: a record was stored as %s: %s", letter.site, letter.name, letter.reason
                )
            if identity:
                self._progress.deal_with([identity])

    def add(self, rows: Sequence[Row]) -> None:
        """Hand over rows; send each full batch.

        Raises an earlier send's error: TransientError or SiteError.
        """
        for row in rows:
            if not row.whole:
                original = Letter.original(self._run.site, encoding.loads(row.received))
                self.keep([Rejected(original, None)])
        self._progress.hand_over([row.identity.id for row in rows])
        for batch in self._batcher.add(rows):
            self._send(batch)
        if self._sends.any_failed:
            self.collect_finished()  # without an error, only on demand: saves take time
        if self._error:
            raise self._error

    def flush(self) -> None:
        """Send the waiting rows; raises as `add`."""
        self._send_rest()
        if self._error:
            raise self._error

    def collect_finished(self, *, wait: bool = False) -> None:
        """Record the finished batches with one save; with `wait`, wait for the oldest batch."""
        any_finished = any_accepted = False
        for number, receipt in self._sends.finished(wait=wait):
            self._record_receipt(number, receipt)
            any_finished = True
            any_accepted |= bool(receipt.accepted)
        if any_finished and not self._error:  # after an error, the save at the end is enough
            self._save()
            if any_accepted and not self._error:
                self._sends.sender.is_cautious = False  # sending and saving both work

    def finish(self, error: OutOfTime | None, *, complete: bool) -> None:
        """Send the remaining rows, wait for every send, and save the outcome.

        If not everything was read (`complete`), the deadline came; `error` may say how. Leaving the
        `with` raises the sends' errors.
        """
        self._send_rest()
        self._end(error, complete=complete)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Release the lease, after an `error` once every send has ended.

        Raises the sends' error instead if it is more serious.
        """
        if error is not None:
            if isinstance(error, ConnectorError):  # if the source failed, its rows are good
                self._send_rest()
            self._end(error, complete=False)
        if self._progress.checkpoint == self.saved:
            release_quietly(self._lease)
        if error is None and self._error is None:
            return
        worse = more_serious(error, self._error)
        if worse is not None and worse is not error:
            raise worse from error
        if self._error and self._error is not error:
            log.warning("%s: another error: %s", self._run.site, self._error)

    def _end(self, error: BaseException | None, *, complete: bool) -> None:
        """Wait, and save with the outcome; `stopped` after an interruption."""
        while self._sends:
            self.collect_finished(wait=True)
        if not self._sends.sender.is_unsure:
            self.apply(partial(Checkpoint.marked_as_begun, at=None))
        elif self.is_cautious:  # else windows without news would undo the halving
            step = min(self._progress.checkpoint.step, self.loaded.step)
            self.apply(partial(Checkpoint.stepping, step=step))
        error = more_serious(error, self._error)
        run, moved = self._run, partial(self._progress.checkpoint.moved_since, self.loaded)
        stopped = run.deadline.is_stopped
        if error is None or isinstance(error, Exception):
            result, reason = ending(
                run.site, error, complete=complete, moved=moved, stopped=stopped
            )
            stopped = stopped and result == "partial"
        else:
            result, reason, stopped = "partial", None, True
        how = "stopped" if stopped else result
        last = remembered(how, reason, run.tally, run.deadline.clock.now())
        self.apply(partial(Checkpoint.ended, last=last, late_found=run.tally.late_found))
        self._save()

    def _send_rest(self) -> None:
        for batch in self._batcher.rest():
            self._send(batch)

    def _send(self, batch: Batch) -> None:
        """Send a batch when a slot is free; after an error, send nothing more."""
        if self.saved.began is None and not self._error:
            self._mark()  # a store that cannot save is found before anything is sent
        while not self._error:
            if self._sends.has_room(batch):
                self._sends.begin(self._progress.begin(), batch)
                return
            if self._sends:
                self.collect_finished(wait=True)

    def _mark(self) -> None:
        began = self._run.deadline.clock.now()
        self._progress.apply(partial(Checkpoint.marked_as_begun, at=began))
        self._save()

    def _record_receipt(self, number: int, receipt: Receipt) -> None:
        tally = self._run.tally
        self._progress.deal_with(receipt.accepted)
        tally.rows += len(receipt.accepted)
        tally.batches += receipt.batches
        tally.bytes += receipt.bytes
        if receipt.unsure:
            self._announce([identity.id for identity in receipt.unsure])
        self._error = self._error or receipt.error
        if receipt.error and not isinstance(receipt.error, OutOfTime):
            return  # it may be the configuration, so no row is a dead letter
        try:
            self.keep([_refused(self._run.site, *each) for each in receipt.refused])
        except ConnectorError as error:
            self._error = self._error or error
        else:
            if not receipt.error:
                self._progress.settle(number)

    def _announce(self, ids: Sequence[int]) -> None:
        """Say that rows may be in the table several times: the audit does not count them."""
        log.warning(
            "%s: %d rows may be in the table several times: a send had no answer",
            self._run.site,
            len(ids),
        )
        self._progress.apply(partial(Checkpoint.announcing, ids=ids))

    def _save(self) -> None:
        if self._progress.checkpoint == self.saved:
            return
        try:
            self._lease.save(self._progress.checkpoint)
        except ConnectorError as error:
            self._error = self._error or error
        else:
            self.saved = self._progress.checkpoint


def _refused(site: str, row: Row, refusal: BatchRefused) -> Rejected:
    record = encoding.loads(row.received)
    return Rejected(Letter("refused", str(refusal), site, record, refusal.status), row.identity)


def more_serious(
    error: BaseException | None, of_sends: BaseException | None
) -> BaseException | None:
    """The error to report: the raised one, unless only that of the sends needs someone to act."""
    outranked = isinstance(of_sends, SiteError) and isinstance(error, TransientError)
    return of_sends if error is None or outranked else error


def release_quietly(lease: Lease) -> None:
    """Release a lease; on failure, log it and let the lease expire."""
    try:
        lease.release()
    except ConnectorError as error:
        log.warning("%s (the lease will expire)", error)
