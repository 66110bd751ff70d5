"""The replay: sends a site's dead letters one by one; deletes each once accepted.

For an operator who fixed the cause of the refusal, or deployed a version that can read the records.
The delivery guarantees need the order of `_Replay`: send, save the ledger, delete. Originals are
never sent.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

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
from jira_audit.flow.identity import check_collected
from jira_audit.flow.ports import Lease, Run
from jira_audit.flow.sending import TOO_LARGE, probe, send

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Replayed:
    """The result of a replay, by the letters' names.

    `sent`: accepted and deleted. `gone`: deleted unsent, because a run had delivered the record.
    `kept`: unchanged and undelivered, with the reason. `error` stopped the replay early. `skipped`:
    another run holds the lease; nothing was tried.
    """

    sent: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    error: ConnectorError | None = None
    skipped: bool = False


def replay(run: Run, names: Sequence[str] | None = None) -> Replayed:
    """Send a site's dead letters again: those named, or all.

    Begins no letter after the deadline. The result has a foreseen failure, and what was done before
    it. Raises ValueError for a name that is not a dead letter's of this site, before any change.
    """
    site = run.site
    full = None if names is None else [full_name(name, "dead-letters", site) for name in names]
    now = run.deadline.clock.now()
    letters = _Replay(run)
    error: ConnectorError | None = None
    try:
        check_collected(run)
        lease = run.ports.checkpoints.take(Checkpoint.first(site, now - run.policy.lookback, now))
        if lease is None:
            return Replayed(skipped=True)
        letters.replay(full, lease)
    except ConnectorError as failure:
        error = failure
    return Replayed(tuple(letters.sent), tuple(letters.gone), tuple(letters.kept), error)


@dataclass
class _Replay:
    """One replay, and its result so far."""

    run: Run
    sent: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    kept: list[tuple[str, str]] = field(default_factory=list)

    def replay(self, names: Sequence[str] | None, lease: Lease) -> None:
        """Replay these letters, or all, and release the lease.

        If an accepted id could not be saved, the lease expires instead, as in a run.
        """
        ledger: LedgerWriter | None = None
        try:
            ledger = LedgerWriter(lease, lease.load())
            if names is None:
                names = self.run.ports.letters.names("dead-letters", self.run.site)
            for name in dict.fromkeys(names):
                if self.run.deadline.left() <= 0:
                    message = f"{self.run.site}: the time budget is used up; replay the rest again"
                    raise OutOfTime(message)
                self._replay_one(name, ledger)
        finally:
            if ledger is None or ledger.is_saved:
                release_quietly(lease)

    def _replay_one(self, name: str, ledger: LedgerWriter) -> None:
        letters = self.run.ports.letters
        content = letters.read(name)
        if content is None:
            self._keep(name, "there is no such letter")
            return
        try:
            stored = decode(content, name)
            row = self._row(stored)
        except (SiteError, RecordRejected) as reason:  # concerns this letter only
            self._keep(name, str(reason))
            return
        if ledger.has(row.identity) and not stored.was_identified:
            # A letter adds no id to the ledger, so a delivery did.
            letters.delete(name)
            self.gone.append(name)
            log.info("%s was delivered by a run since, and is deleted", name)
            return
        if not row.whole:
            letters.keep(Letter.original(self.run.site, stored.letter.record))
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
                f"{name} was accepted but could not be deleted: delete it by hand, because "
                f"another replay would duplicate it ({error})"
            )
            raise SiteError(message) from error
        self.sent.append(name)
        log.info("%s was accepted, and is deleted", name)

    def _row(self, stored: StoredLetter) -> Row:
        """The row that this version makes. Raises RecordRejected if it cannot."""
        record, policy = stored.letter.record, self.run.policy
        mapper = Mapper(self.run.site, policy.event_time, self.run.deadline.clock.now)
        return mapper.row(record, identify(record))

    def _send(self, row: Row, lease: Lease) -> None:
        """Send one row. Raises SiteError if the configuration is refused, not the row."""
        try:
            send(Batch((row,)).body, self.run, lease)
        except BatchRefused as refusal:
            if refusal.status != TOO_LARGE:
                probe(refusal, lambda body: send(body, self.run, lease))
            raise

    def _keep(self, name: str, reason: str) -> None:
        self.kept.append((name, reason))
        log.warning("%s is kept: %s", name, reason)


class LedgerWriter:
    """Adds replayed ids to the site's ledger, under its lease.

    Ignores records from before *from*: after a reset, another record may have the same id.
    """

    def __init__(self, lease: Lease, checkpoint: Checkpoint) -> None:
        self.lease, self.is_saved = lease, True
        self._checkpoint = checkpoint

    def has(self, identity: Identity) -> bool:
        """Whether the ledger has this record."""
        return self._covers(identity) and identity.id in self._checkpoint.ledger

    def add(self, identity: Identity) -> None:
        """Save an accepted id: no tick delivers it again. Raises TransientError or SiteError."""
        if not self._covers(identity) or self.has(identity):
            return
        self.is_saved = False
        self._checkpoint = self._checkpoint.dealt_with([identity])
        self.lease.save(self._checkpoint)
        self.is_saved = True

    def _covers(self, identity: Identity) -> bool:
        return identity.created >= self._checkpoint.start
