"""The daily audit within a run: one query, its proof in the log and in the checkpoint.

`core/audit.py` has the rules. Nothing is repaired: an operator decides that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from jira_audit.core import timestamps
from jira_audit.core.audit import Audit
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.clock import RetryPolicy, retry
from jira_audit.core.comparison import (
    Compared,
    Places,
    compare,
    may_be_deleted,
    without_deleted,
)
from jira_audit.core.errors import ConnectorError
from jira_audit.core.ledger import Ledger
from jira_audit.core.letters import id_in
from jira_audit.core.window import Window
from jira_audit.flow.delivery import Delivery
from jira_audit.flow.ports import Lease, Run, Table
from jira_audit.flow.sending import log_wait

log = logging.getLogger(__name__)

T = TypeVar("T")

RANGES_NAMED = 10
"""Ranges of ids in a message."""


def audit(run: Run, lease: Lease, delivery: Delivery, now: int) -> bool:
    """Compare the days that wait with the table, if that is due at the moment `now`; whether the
    table was compared.

    A query that fails proves nothing, and is logged; the run is as good as without. Raises
    TransientError if the result cannot be saved.
    """
    checkpoint, table = delivery.saved, run.ports.table
    kept = checkpoint.audit
    if table is None or kept is None or not kept.is_due(now):
        return False
    if delivery.has_failed or run.deadline.left() <= 0:
        return False
    try:
        compared = _compare(run, table, lease, checkpoint, kept, now)
    except ConnectorError as error:
        _log_failure(run.site, kept, error, now)
        delivery.store(partial(Checkpoint.auditing, audit=kept.failed(now)))
        return False
    if compared is None:
        delivery.store(partial(Checkpoint.auditing, audit=replace(kept, days=(), asked=None)))
        return False
    log.info("%s", compared.proof.line(run.site))  # before the save: else a crash could hide it
    _log_findings(run.site, compared)
    through = compared.proof.end
    delivery.store(partial(Checkpoint.audited_through, timestamp_ms=through, audit=compared.audit))
    return True


def _compare(
    run: Run, table: Table, lease: Lease, checkpoint: Checkpoint, kept: Audit, now: int
) -> Compared | None:
    """None if the table keeps nothing of these days any more."""
    start, end = min(day.start for day in kept.days), max(day.end for day in kept.days)

    def ask(query: Callable[[], T]) -> T:
        def attempt() -> T:
            lease.hold(run.policy.send_seconds)
            return query()

        on_wait = partial(log_wait, run.site)
        return retry(attempt, policy=RetryPolicy(), deadline=run.deadline, on_wait=on_wait)

    held = ask(lambda: table.held(run.site, Window(start, end), checkpoint.former))
    if any(may_be_deleted(day, held.ids, now) for day in kept.days):
        oldest = ask(table.oldest)
        judged = without_deleted(kept, held.ids, oldest, now)
        if len(judged.days) < len(kept.days):
            log.warning(
                "%s: the table keeps rows since %s only, so earlier days were not audited",
                run.site,
                "now" if oldest is None else timestamps.text(oldest),
            )
        kept = judged
    if not any(not day.is_asked for day in kept.days):
        return None
    absent = any(day.ids.without(held.ids).ranges for day in kept.days)
    names = run.ports.letters.names("dead-letters", run.site) if absent else ()
    letters = Ledger().with_ids(number for name in names if (number := id_in(name)) is not None)
    several = Ledger().with_ids(held.copies)
    return compare(kept, Places(checkpoint.ledger, held.ids, several, letters), now)


def _log_findings(site: str, compared: Compared) -> None:
    missing, duplicated = compared.missing, compared.duplicated
    if missing.ranges:
        days = [*compared.audit.days]
        since = min([compared.proof.start, *(day.start for day in days)])
        log.error(
            "%s: %d records are not in the table, although they should be: %s. Run jira-audit "
            "verify --site %s --from %s --to %s --workspace ID; with --repair, it sends them",
            site,
            missing.count,
            missing.sample(RANGES_NAMED),
            site,
            timestamps.text(since),
            timestamps.text(compared.proof.end),
        )
    if duplicated.ranges:
        log.warning(
            "%s: %d records are in the table several times, although no run has announced it: %s. "
            "Look for a second copy of the connector that sends to this table",
            site,
            duplicated.count,
            duplicated.sample(RANGES_NAMED),
        )


def _log_failure(site: str, kept: Audit, error: ConnectorError, now: int) -> None:
    """At ERROR once nothing was proven for days."""
    since = timestamps.text(kept.since)
    if kept.is_unproven(now):
        log.error(
            "%s: the table has not been compared with the ledger since %s, so a loss in it would "
            "not be seen: %s",
            site,
            since,
            error,
        )
    else:
        log.warning("%s: the table could not be compared with the ledger: %s", site, error)
