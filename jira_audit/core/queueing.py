"""Which sites a tick queues, and which of them no run has saved for too long. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jira_audit.core import timestamps
from jira_audit.core.timestamps import DAY, MINUTE

PENDING = 15 * MINUTE
"""Milliseconds that a message may live: three attempts, a minute apart (host.json). An older one is
poisoned or lost, so its site is queued again."""

CLOCK_SKEW = MINUTE
"""How far storage's clock may differ from ours (milliseconds)."""

UNSAVED_AFTER = DAY
"""Milliseconds without a save: longer than any run, and than an outage over a night."""


@dataclass(frozen=True, slots=True)
class LeaseState:
    """When a checkpoint was `saved`, and whether it is leased."""

    saved: int
    leased: bool


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The messages that a site was sent since its checkpoint was saved: the `first` and the `last`
    moment.
    """

    first: int
    last: int


def stuck_lease(site: str, saved: int) -> str:
    """What to do about a checkpoint that is leased, and was not saved since the moment `saved`."""
    return (
        f"{site}: the checkpoint has been leased, and not saved, since {timestamps.text(saved)}: "
        f"find out what holds it, then break the lease of the blob checkpoints/{site}.json"
    )


def due(
    sites: Iterable[str],
    leases: Mapping[str, LeaseState],
    queued: Mapping[str, Unanswered],
    now: int,
) -> list[str]:
    """The sites to queue: those that are neither running nor queued.

    A site counts as running while its checkpoint is leased, but not if that was last saved more
    than `UNSAVED_AFTER` ago: no run lasts so long, and one that finds it leased fails and says so.
    A site counts as queued until its checkpoint is saved, or until its last message is older than
    `PENDING`.
    """
    return [site for site in sites if not _is_taken(leases.get(site), queued.get(site), now)]


def after_queueing(
    sites: Iterable[str],
    names: Iterable[str],
    leases: Mapping[str, LeaseState],
    queued: Mapping[str, Unanswered],
    now: int,
) -> dict[str, Unanswered]:
    """The messages to remember after `names` were queued. Sites no longer set up are forgotten."""
    after = {site: queued[site] for site in sites if site in queued}
    for name in names:
        before = queued.get(name)
        answered = before is None or _is_answered(leases.get(name), before.first, now)
        after[name] = Unanswered(now if answered or before is None else before.first, now)
    return after


def unsaved(
    sites: Iterable[str],
    leases: Mapping[str, LeaseState],
    queued: Mapping[str, Unanswered],
    now: int,
) -> dict[str, int]:
    """The sites that no run has saved for more than `UNSAVED_AFTER`, whatever the cause, and since
    when.

    That is a checkpoint which is leased for so long, or a message that so long ago was the first
    of those which no save has followed: it was lost or poisoned, or the function for the queue is
    disabled. Not the age of the checkpoint: after a stop of the app, or with a schedule of one tick
    a day, that is older before each run.
    """
    since: dict[str, int] = {}
    for site in sites:
        lease, messages = leases.get(site), queued.get(site)
        if lease and lease.leased and now - lease.saved > UNSAVED_AFTER:
            since[site] = lease.saved
        elif (
            messages
            and now - messages.first > UNSAVED_AFTER
            and not _is_answered(lease, messages.first, now)
        ):
            since[site] = messages.first
    return since


def _is_taken(lease: LeaseState | None, messages: Unanswered | None, now: int) -> bool:
    if lease and lease.leased and now - lease.saved <= UNSAVED_AFTER:
        return True
    if messages is None or not 0 <= now - messages.last < PENDING:
        return False
    return not _is_answered(lease, messages.last, now)


def _is_answered(lease: LeaseState | None, sent: int, now: int) -> bool:
    """Whether a checkpoint was saved since a message was sent.

    A moment far in the future does not count as after it: then one of the clocks is wrong.
    """
    return lease is not None and sent - CLOCK_SKEW <= lease.saved <= now + UNSAVED_AFTER
