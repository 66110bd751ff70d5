"""`status`: shows each site's health."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated

import typer
from rich.console import Console

from jira_audit import app, wiring
from jira_audit.core import timestamps
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.operations.status import Status, lag
from jira_audit.settings.table import STORED
from jira_audit.terminal.console import (
    LocalFolder,
    SettingsFile,
    context,
    print_json,
    print_message,
    show_lines,
)
from jira_audit.terminal.format import format_duration, utc
from jira_audit.terminal.statuses import statuses

TABLE_COLUMNS = "site", "last run", "lag", "records", "dead letters", "late", "gaps", "token"
"""The columns that fit on a terminal for several sites."""


def command(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, one object per line and site.")
    ] = False,
    folder: LocalFolder = None,
    settings_file: SettingsFile = None,
) -> None:
    """Show each site's health: watermark, last run, dead letters.

    "Records": delivered or dead-lettered since the checkpoint began. "Late": those of them that an
    earlier run had missed. "Gaps": ids in between that Jira has not shown; a hint, not a proof: use
    verify for that.

    If the output is not a terminal, each site is a tab-separated line. Exit code 1 if a site has
    failed or its status cannot be read.
    """
    with context(folder, settings_file, STORED) as ctx:
        now = wiring.CLOCK.now()
        sites = statuses(ctx.settings)
        if as_json:
            for site, expires in sites:
                print_json(site.payload(now, expires))
        else:
            _show(ctx.out, [summary(site, expires, now) for site, expires in sites])
            for site, _ in sites:
                if site.problem:
                    print_message(ctx.err, site.problem)
        if any(site.needs_attention for site, _ in sites):
            raise typer.Exit(1)


def _show(out: Console, sites: Sequence[Mapping[str, str]]) -> None:
    if not out.is_terminal:
        show_lines(out, None, [list(site.values()) for site in sites])
    elif len(sites) == 1:
        show_lines(out, None, [line for line in sites[0].items() if line[1]])
    else:
        show_lines(out, TABLE_COLUMNS, [[site[name] for name in TABLE_COLUMNS] for site in sites])


def summary(status: Status, expires: date | None, now: int) -> dict[str, str]:
    """A site's status for people, by name; an unknown value is empty."""
    ago = "" if status.saved is None else f", {format_duration(max(0, now - status.saved))} ago"
    values = _progress(status.checkpoint, now) if status.checkpoint else {}
    backfill = status.backfill
    return {
        "site": status.site,
        "last run": f"{status.state}{ago}",
        "from": values.get("from", ""),
        "complete up to": values.get("complete up to", ""),
        "lag": values.get("lag", ""),
        "records": values.get("records", ""),
        "dead letters": "" if status.letters is None else f"{status.letters:,}",
        "late": values.get("late", ""),
        "gaps": values.get("gaps", ""),
        "backfill": f"{utc(backfill.start)} to {utc(backfill.through)}" if backfill else "",
        "token": _token(expires, now),
    }


def _progress(checkpoint: Checkpoint, now: int) -> dict[str, str]:
    return {
        "from": utc(checkpoint.start),
        "complete up to": utc(checkpoint.through),
        "lag": format_duration(lag(checkpoint, now)),
        "records": f"{checkpoint.ledger.count:,}",
        "late": f"{checkpoint.late_found:,}",
        "gaps": f"{checkpoint.ledger.gaps.count:,}",
    }


def _token(expires: date | None, now: int) -> str:
    if expires is None:
        return ""
    days = (expires - date.fromisoformat(timestamps.day(now))).days
    return f"{expires}" if days > app.TOKEN_WARNING_DAYS else f"{expires}, in {days} days"
