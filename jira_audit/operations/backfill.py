"""The backfill: what lies before the checkpoint's *from*, read once, beside the running schedule.

It is `collect` over one closed range, with a checkpoint, a ledger and a lease of its own
(`backfills/<site>.json`), so that ticks go on meanwhile, and an interrupted one is gone on with. It
ends where the ticks' checkpoint begins: no record is within the reach of both, so none is doubled.
"""

from __future__ import annotations

from jira_audit.core import moments
from jira_audit.core.checkpoint import decode
from jira_audit.core.errors import SiteError
from jira_audit.core.outcome import Outcome
from jira_audit.core.plan import Backfill
from jira_audit.core.window import Window
from jira_audit.flow.collect import collect
from jira_audit.flow.ports import Checkpoints, Run


def bounds(site: str, ticks: Checkpoints, start: int, end: int | None) -> Window:
    """The range a backfill from the moment `start` (to `end`, inclusive) has to read.

    `ticks` are the checkpoints of the running schedule; where theirs begins, the range ends. Raises
    SiteError where there is nothing before that, or no checkpoint that says where that is.
    """
    content = ticks.stored(site)
    if content is None:
        message = (
            f"{site}: there is no checkpoint, so nothing says where a backfill is to end: let the "
            "connector run once, or collect, and set INITIAL_LOOKBACK_HOURS if that is enough"
        )
        raise SiteError(message)
    begins = decode(content, site).start
    last = begins - 1 if end is None else min(end, begins - 1)
    if start > last:
        message = (
            f"{site}: there is nothing to fill in: from {moments.text(begins)} on the running "
            "schedule has dealt with everything"
        )
        raise SiteError(message)
    return Window(start, last)


def backfill(run: Run, window: Window) -> Outcome:
    """Deliver one site's records of a range that `bounds` gave, and say how it went.

    `run.ports` keep a backfill's place, not the ticks'. A foreseen failure is in the outcome; what
    was interrupted or failed goes on where it was.
    """
    return collect(run, Backfill(window))
