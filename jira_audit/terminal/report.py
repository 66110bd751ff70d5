"""The command that writes a page to look at.

What is on it is in `report.py`. Needs the extra `terminal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from jira_audit import wiring
from jira_audit.core.activity import Activity, count
from jira_audit.core.errors import ConnectorError
from jira_audit.core.moments import DAY
from jira_audit.core.records import TABLE_FILE
from jira_audit.core.window import Window
from jira_audit.terminal.console import (
    LocalFolder,
    SettingsFile,
    consoles,
    failures_said,
    range_given,
    say,
    set_up_at,
    shown_while_it_runs,
)
from jira_audit.terminal.report_page import Health, page
from jira_audit.terminal.status import summary
from jira_audit.terminal.statuses import local_statuses, statuses

DEFAULT_RANGE = 30 * DAY


def report(
    begin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME|all",
            help="From this moment on: an ISO time with its zone.  [dim]default: 30 days ago[/]",
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="Up to this moment.  [dim]default: now[/]"),
    ] = None,
    workspace: Annotated[
        str | None,
        typer.Option(
            "--workspace",
            metavar="ID",
            help="Count the rows in the table of this Log Analytics workspace (its Workspace ID, a "
            "GUID).",
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", dir_okay=False, help="Where the page goes."),
    ] = Path("jira-audit-report.html"),
    folder: LocalFolder = None,
    settings: SettingsFile = None,
) -> None:
    """Write one page to look at: what happened, when, by whom, and how the connector is.

    A file that any browser shows, with nothing loaded from elsewhere. It holds
    names and account ids: personal data, as the audit log does. With --folder
    no settings are needed.

    For example:

      jira-audit report --folder ./out
      jira-audit report --workspace 0a0b0c0d-…
    """
    if bool(folder) == bool(workspace):
        message = "say --folder or --workspace"
        raise typer.BadParameter(message, param_hint="--workspace")
    out_, err = consoles()
    health: Sequence[Health]
    with failures_said(err):
        now = wiring.CLOCK.now()
        window = range_given(begin, end, now, now - DEFAULT_RANGE)
        if folder:
            reading = shown_while_it_runs(err, out_, lambda: "reading rows")
            with reading:
                activity = count(wiring.local_table(folder).rows(), window)
            health = [Health(each, summary(each, None, now)) for each in local_statuses(folder)]
            source = f"{TABLE_FILE} in a local folder"
        else:
            activity, health = _from_workspace(str(workspace), window, now, settings)
            source = f"Jira_Audit_CL in the workspace {workspace}"
        _write(out, page(activity, health, source, now))
        say(out_, f"{out}: {activity.rows:,} rows. It holds personal data.")


def _from_workspace(
    workspace: str, window: Window, now: int, settings: Path | None
) -> tuple[Activity, Sequence[Health]]:
    with set_up_at(None, settings) as place:
        table = wiring.workspace(place.settings, workspace)
        sites = place.settings.sites
        asking = shown_while_it_runs(place.err, place.out, lambda: "asking the workspace")
        with asking:
            activity = table.activity([site.host for site in sites], window)
        found = statuses(place.settings)
        return activity, [Health(each, summary(each, expires, now)) for each, expires in found]


def _write(out: Path, text: str) -> None:
    try:
        out.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        message = f"{out} cannot be written: {error.strerror}"
        raise ConnectorError(message) from error
