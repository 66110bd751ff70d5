"""The discarding: deletes one site's dead letters on purpose, unsent.

For an operator who has decided that a record is not needed, or was dealt with elsewhere. Knows
neither Azure nor files.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.errors import ConnectorError, RecordRejected, SiteError
from jira_audit.core.letters import decode, full_name
from jira_audit.core.records import Identity, identify
from jira_audit.flow.delivery import release_quietly
from jira_audit.flow.ports import Run
from jira_audit.operations.replay import LedgerWriter

log = logging.getLogger(__name__)

LONGEST_REASON = 200
"""Characters of a reason, at most: it goes into one log line."""


@dataclass(frozen=True)
class Discarded:
    """The result, by the letters' names.

    `discarded`: deleted. `absent`: there was no such letter. `error` is what stopped the command
    early. `skipped`: another run holds the lease, so nothing was tried.
    """

    discarded: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    error: ConnectorError | None = None
    skipped: bool = False


def check_reason(reason: str) -> str:
    """The reason without surrounding space. Raises ValueError if it is not one printable line."""
    reason = reason.strip()
    if not reason:
        message = "a reason is needed: it is all that the log keeps of the decision"
        raise ValueError(message)
    if not reason.isprintable() or len(reason) > LONGEST_REASON:
        message = f"the reason must be one printable line of at most {LONGEST_REASON} characters"
        raise ValueError(message)
    return reason


def discard(run: Run, names: Sequence[str], reason: str) -> Discarded:
    """Delete these dead letters of a site, under its lease. Each is logged at WARNING, with why.

    The record's id is in the ledger before the letter is deleted, so no run delivers the record. A
    letter that cannot be read is deleted too. A foreseen failure is returned, and does not undo
    what was done before it. Raises ValueError, before anything is changed, for a name that is not
    one of a dead letter of this site, and for a reason that `check_reason` refuses.
    """
    site, reason = run.site, check_reason(reason)
    full = dict.fromkeys(full_name(name, "dead-letters", site) for name in names)
    now = run.deadline.clock.now()
    discarded: list[str] = []
    absent: list[str] = []
    error: ConnectorError | None = None
    try:
        lease = run.ports.checkpoints.take(Checkpoint.first(site, now - run.policy.lookback, now))
        if lease is None:
            return Discarded(skipped=True)
        ledger: LedgerWriter | None = None
        try:
            ledger = LedgerWriter(lease, lease.load())
            for name in full:
                if _discard(name, run, ledger):
                    log.warning("%s is discarded: %s", name, reason)
                    discarded.append(name)
                else:
                    log.warning("there is no %s to discard", name)
                    absent.append(name)
        finally:
            if ledger is None or ledger.is_saved:
                release_quietly(lease)
    except ConnectorError as failure:
        error = failure
    return Discarded(tuple(discarded), tuple(absent), error)


def _discard(name: str, run: Run, ledger: LedgerWriter) -> bool:
    content = run.ports.letters.read(name)
    if content is None:
        return False
    identity = _identity(content, name)
    if identity:
        ledger.add(identity)
    run.ports.letters.delete(name)
    return True


def _identity(content: bytes, name: str) -> Identity | None:
    """The record's identity, if it was stored with one: only then does a run go by its id."""
    try:
        stored = decode(content, name)
        return identify(stored.letter.record) if stored.was_identified else None
    except (SiteError, RecordRejected):
        return None
