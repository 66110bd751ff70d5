"""Which sites a tick queues. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jira_audit.core.timestamps import MINUTE

PENDING = 15 * MINUTE
"""Milliseconds that a message may live: three attempts, a minute apart (host.json). An older one is
poisoned or lost, so its site is queued again."""

CLOCK_SKEW = MINUTE
"""How far storage's clock may differ from ours (milliseconds)."""


@dataclass(frozen=True, slots=True)
class LeaseState:
    """When a checkpoint was `saved`, and whether it is leased."""

    saved: int
    leased: bool


def due(
    sites: Iterable[str], leases: Mapping[str, LeaseState], queued: Mapping[str, int], now: int
) -> list[str]:
    """The sites to queue: those that are neither running nor queued.

    `queued` has the moment when each site was last queued. It counts until its checkpoint is saved
    or its message is older than `PENDING`.
    """
    return [site for site in sites if not _is_taken(leases.get(site), queued.get(site), now)]


def _is_taken(lease: LeaseState | None, queued: int | None, now: int) -> bool:
    if lease and lease.leased:
        return True
    if queued is None or not 0 <= now - queued < PENDING:
        return False
    return lease is None or lease.saved < queued - CLOCK_SKEW
