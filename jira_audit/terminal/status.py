"""The command that tells how every site is.

What is told is in `status.py`. Needs the extra `terminal`.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer
from rich.console import Console

from jira_audit import app, wiring
from jira_audit.core import encoding, moments
from jira_audit.operations.status import Status, lag
from jira_audit.terminal.console import (
    LocalFolder,
    SettingsFile,
    say,
    set_up_at,
    show_lines,
    span,
    utc,
)
from jira_audit.terminal.statuses import statuses

TABLE_COLUMNS = "site", "last run", "behind", "records", "letters", "late", "gaps", "token"
"""What fits side by side, where several sites are a table."""


def status(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON for programs, one object a line for each site.")
    ] = False,
    folder: LocalFolder = None,
    settings: SettingsFile = None,
) -> None:
    """How is every site? How far, how its last run went, what waits.

    "Records" are those dealt with since the checkpoint's beginning: delivered,
    or kept as letters; "late" those of them that runs before had missed.
    "Gaps" are ids between those dealt with, which Jira has not shown: a
    diagnostic, and no proof of anything; for that there is verify.

    Where the output is no terminal, each site is a line with tabs between.
    Exit code 1 if a site has failed or cannot be told of.
    """
    with set_up_at(folder, settings) as place:
        now = wiring.CLOCK.now()
        found = statuses(place.settings)
        if as_json:
            for each, expires in found:
                typer.echo(encoding.dumps(each.payload(now, expires)))
        else:
            _show(place.out, [summary(each, expires, now) for each, expires in found])
            for each, _ in found:
                if each.problem:
                    say(place.err, each.problem)
        if any(each.needs_attention for each, _ in found):
            raise typer.Exit(1)


def _show(out: Console, sites: list[dict[str, str]]) -> None:
    if out.is_terminal and len(sites) == 1:
        show_lines(out, None, [each for each in sites[0].items() if each[1]])
    elif out.is_terminal:
        show_lines(out, TABLE_COLUMNS, [[each[name] for name in TABLE_COLUMNS] for each in sites])
    else:
        show_lines(out, None, [list(each.values()) for each in sites])


def summary(each: Status, expires: date | None, now: int) -> dict[str, str]:
    """What people are told of a site, by its name; empty where it is not known."""
    known, filled = each.checkpoint, each.backfill
    ago = "" if each.saved is None else f", {span(max(0, now - each.saved))} ago"
    return {
        "site": each.site,
        "last run": f"{each.state}{ago}",
        "from": utc(known.start) if known else "",
        "through": utc(known.through) if known else "",
        "behind": span(lag(known, now)) if known else "",
        "records": f"{known.ledger.count:,}" if known else "",
        "letters": "" if each.letters is None else f"{each.letters:,}",
        "late": f"{known.late_found:,}" if known else "",
        "gaps": f"{known.ledger.gaps.count:,}" if known else "",
        "backfill": f"{utc(filled.start)} to {utc(filled.through)}" if filled else "",
        "token": _token(expires, now),
    }


def _token(expires: date | None, now: int) -> str:
    if expires is None:
        return ""
    days = (expires - date.fromisoformat(moments.day(now))).days
    return f"{expires}" if days > app.TOKEN_WARNING_DAYS else f"{expires}, in {days} days"
