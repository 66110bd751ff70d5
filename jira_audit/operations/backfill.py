"""The backfill: reads what lies before the checkpoint's *from*, beside the schedule.

`collect` over one closed range, with its own checkpoint, ledger and lease
(`backfills/<site>.json`): ticks keep running, and an interrupted backfill resumes. The range ends
where the site's checkpoint begins, so no record is delivered by both.
"""

from __future__ import annotations

from jira_audit.core import timestamps
from jira_audit.core.checkpoint import decode
from jira_audit.core.errors import SiteError
from jira_audit.core.outcome import Outcome
from jira_audit.core.plan import Backfill
from jira_audit.core.window import Window
from jira_audit.flow.collect import collect
from jira_audit.flow.identity import check_moved
from jira_audit.flow.ports import Checkpoints, Run


def bounds(site: str, ticks: Checkpoints, start: int, end: int | None) -> Window:
    """The range of a backfill from the moment `start` (to `end`, inclusive).

    It ends where the checkpoint in `ticks` begins. Raises SiteError if there is no checkpoint, or
    nothing before it.
    """
    content = ticks.stored(site)
    if content is None:
        message = (
            f"{site} has no checkpoint, so the end of a backfill is unknown: run collect once "
            "(INITIAL_LOOKBACK_HOURS sets how far back it begins)"
        )
        raise SiteError(message)
    checkpoint = decode(content, site)
    check_moved(checkpoint)
    begins = checkpoint.start
    last = begins - 1 if end is None else min(end, begins - 1)
    if start > last:
        message = (
            f"{site}: nothing to backfill: the running schedule covers everything from "
            f"{timestamps.text(begins)} on"
        )
        raise SiteError(message)
    return Window(start, last)


def backfill(run: Run, window: Window) -> Outcome:
    """Deliver one site's records in a range from `bounds`.

    `run.ports` are those of the site's backfill. The outcome has any foreseen failure; calling
    again resumes.
    """
    return collect(run, Backfill(window))
