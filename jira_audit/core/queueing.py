"""Which sites a tick puts on the queue, when there are too many for one invocation. Pure rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jira_audit.core.moments import MINUTE

PENDING = 15 * MINUTE
"""How long a queued message is assumed to be alive: three attempts, a minute apart (host.json).
Older ones are poisoned or lost, so the site is queued again."""

CLOCKS_APART = MINUTE
"""By how much storage's clock may differ from ours."""


@dataclass(frozen=True, slots=True)
class LeaseState:
    """What storage says of a checkpoint: when it was `saved`, and whether a run has the lease."""

    saved: int
    leased: bool


def due(
    sites: Iterable[str], leases: Mapping[str, LeaseState], queued: Mapping[str, int], now: int
) -> list[str]:
    """Name the sites to put on the queue: those that are neither running nor waiting in it.

    `queued` has the moment at which each was put there last. A site waits while nothing was saved
    since, unless its message is older than any message gets.
    """
    return [site for site in sites if not _is_taken(leases.get(site), queued.get(site), now)]


def _is_taken(lease: LeaseState | None, queued: int | None, now: int) -> bool:
    if lease and lease.leased:
        return True
    if queued is None or not 0 <= now - queued < PENDING:
        return False
    return lease is None or lease.saved < queued - CLOCKS_APART
