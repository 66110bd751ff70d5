"""The replay: one site's dead letters sent again, each by itself, and deleted once accepted.

For an operator who has mended what they were refused for, or deployed a version that can read them.
The order that the promise rests on is in `_Replay`: sent, in the ledger and saved, then deleted. As
in `collect.py`, nothing here knows Azure or a file; originals are never sent.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from jira_audit.core import moments
from jira_audit.core.batches import Batch
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.errors import (
    BatchRefused,
    ConnectorError,
    OutOfTime,
    RecordRejected,
    SiteError,
)
from jira_audit.core.letters import Letter, StoredLetter, decode, full_name
from jira_audit.core.mapper import Mapper
from jira_audit.core.records import Identity, Row, identify
from jira_audit.flow.delivery import release_quietly
from jira_audit.flow.ports import Lease, Run
from jira_audit.flow.sending import TOO_LARGE, probe, send

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Replayed:
    """What became of the dead letters that were to be sent again, by their names.

    `sent` were accepted, and deleted; `gone` had been delivered meanwhile, and were deleted unsent;
    `kept` could not be delivered, with why: they are as they were. `error` is what stopped the
    replay before its end; `skipped` says that another run had the site: then nothing was tried.
    """

    sent: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    error: ConnectorError | None = None
    skipped: bool = False


def replay(run: Run, names: Sequence[str] | None = None) -> Replayed:
    """Send a site's dead letters again, those named or all, and say what became of each.

    No letter is begun after the deadline. A foreseen failure is in what is returned, and what was
    done before it stays done. Raises ValueError, before anything is touched, for a name that is
    none of a dead letter of this site.
    """
    site = run.site
    named = None if names is None else [full_name(name, "dead-letters", site) for name in names]
    now = run.deadline.clock.now()
    letters = _Replay(run)
    error: ConnectorError | None = None
    try:
        lease = run.ports.checkpoints.take(Checkpoint.first(site, now - run.policy.lookback, now))
        if lease is None:
            return Replayed(skipped=True)
        letters.send_again(named, lease)
    except ConnectorError as failure:
        error = failure
    return Replayed(tuple(letters.sent), tuple(letters.gone), tuple(letters.kept), error)


@dataclass
class _Replay:
    """One replay under way, and what has become of the letters so far."""

    run: Run
    sent: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    kept: list[tuple[str, str]] = field(default_factory=list)

    def send_again(self, names: Sequence[str] | None, lease: Lease) -> None:
        """Send the letters of these names, or all, and give the lease back.

        Where what was accepted could not be saved, the lease is left to run out, as in a run.
        """
        ledger: LedgerWriter | None = None
        try:
            ledger = LedgerWriter(lease, lease.load())
            if names is None:
                names = self.run.ports.letters.names("dead-letters", self.run.site)
            for name in dict.fromkeys(names):
                if self.run.deadline.left() <= 0:
                    message = f"{self.run.site}: time was up; replay again what is left"
                    raise OutOfTime(message)
                self._deal_with(name, ledger)
        finally:
            if ledger is None or ledger.is_saved:
                release_quietly(lease)

    def _deal_with(self, name: str, ledger: LedgerWriter) -> None:
        letters = self.run.ports.letters
        content = letters.read(name)
        if content is None:
            self._keep(name, "there is no such letter")
            return
        try:
            kept = decode(content, name)
            row = self._row(kept)
        except (SiteError, RecordRejected) as reason:  # a matter of this letter: the others go on
            self._keep(name, str(reason))
            return
        if ledger.has(row.identity) and not kept.was_identified:
            # Its id came into the ledger without it, so by a delivery.
            letters.delete(name)
            self.gone.append(name)
            log.info("%s had been delivered meanwhile, and was deleted", name)
            return
        if not row.whole:
            letters.keep(Letter.original(self.run.site, kept.letter.record))
        try:
            self._send(row, ledger.lease)
        except BatchRefused as refusal:
            self._keep(name, str(refusal))
            return
        try:
            ledger.add(row.identity)
            letters.delete(name)
        except ConnectorError as error:
            message = (
                f"{name} was accepted, but is still there: delete it by hand, for sending it "
                f"again would double it ({error})"
            )
            raise SiteError(message) from error
        self.sent.append(name)
        log.info("%s was accepted, and deleted", name)

    def _row(self, kept: StoredLetter) -> Row:
        """The row as it is made today. Raises RecordRejected if still none can be."""
        record, policy = kept.letter.record, self.run.policy
        mapper = Mapper(self.run.site, policy.event_time, self.run.deadline.clock.now)
        return mapper.row(record, identify(record))

    def _send(self, row: Row, lease: Lease) -> None:
        """Send one row. Raises SiteError where it is not the row that is refused."""
        try:
            send(Batch((row,)).body, self.run, lease)
        except BatchRefused as refusal:
            if refusal.status != TOO_LARGE:
                probe(refusal, lambda body: send(body, self.run, lease))
            raise

    def _keep(self, name: str, reason: str) -> None:
        self.kept.append((name, reason))
        log.warning("%s stays: %s", name, reason)


class LedgerWriter:
    """The site's ledger, under its lease, as far as it speaks of dead letters' records.

    It speaks of those that ticks read, which is none from before *from*: there an id may have been
    another record's, where the site's ids began again.
    """

    def __init__(self, lease: Lease, checkpoint: Checkpoint) -> None:
        self.lease, self.is_saved = lease, True
        self._checkpoint = checkpoint
        if lease.created:
            log.warning(
                "%s: no checkpoint, so one was made, from %s",
                checkpoint.site,
                moments.text(checkpoint.start),
            )

    def has(self, identity: Identity) -> bool:
        """Whether this record has been dealt with."""
        return self._covers(identity) and identity.id in self._checkpoint.ledger

    def add(self, identity: Identity) -> None:
        """See that no tick delivers what was just accepted. Raises TransientError or SiteError."""
        if not self._covers(identity) or identity.id in self._checkpoint.ledger:
            return
        self.is_saved = False
        self._checkpoint = self._checkpoint.dealt_with([identity])
        self.lease.save(self._checkpoint)
        self.is_saved = True

    def _covers(self, identity: Identity) -> bool:
        return identity.created >= self._checkpoint.start
