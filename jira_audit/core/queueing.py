"""Which sites a tick puts on the queue, when there are too many for one invocation. Pure rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jira_audit.core.moments import MINUTE

PENDING = 15 * MINUTE
"""A message is counted on for so long: the host tries it three times, a minute apart (host.json).
After that it lies among the poisoned, or was lost, and the site is put on the queue again."""

CLOCKS_APART = MINUTE
"""By how much storage's clock may differ from ours."""


@dataclass(frozen=True, slots=True)
class Held:
    """What storage tells of a checkpoint: when it was `saved`, and whether a run has the lease."""

    saved: int
    leased: bool


def due(
    sites: Iterable[str], held: Mapping[str, Held], queued: Mapping[str, int], now: int
) -> list[str]:
    """Name the sites to put on the queue: those that are neither running nor waiting in it.

    `queued` has the moment at which each was put there last. A site waits while nothing was saved
    since, unless its message is older than any message gets.
    """
    return [site for site in sites if not _is_taken(held.get(site), queued.get(site), now)]


def _is_taken(held: Held | None, queued: int | None, now: int) -> bool:
    if held and held.leased:
        return True
    if queued is None or not 0 <= now - queued < PENDING:
        return False
    return held is None or held.saved < queued - CLOCKS_APART
