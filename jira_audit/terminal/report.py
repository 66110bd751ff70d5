"""`report`: writes one HTML page, which `report_page.py` lays out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from jira_audit import wiring
from jira_audit.core.activity import Activity, count
from jira_audit.core.records import TABLE_FILE
from jira_audit.core.timestamps import DAY
from jira_audit.core.window import Window
from jira_audit.operations.judgement import Limits
from jira_audit.settings.table import STORED
from jira_audit.terminal.console import (
    LocalFolder,
    SettingsFile,
    consoles,
    context,
    exit_on_error,
    parse_range,
    print_message,
    progress_line,
)
from jira_audit.terminal.report_page import Health, page
from jira_audit.terminal.status import summary
from jira_audit.terminal.statuses import judgements, local_judgements

DEFAULT_RANGE = 30 * DAY


def command(
    begin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME|all",
            help="From this time on, with a UTC offset.  [dim]default: 30 days ago[/]",
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="Up to this time.  [dim]default: now[/]"),
    ] = None,
    workspace: Annotated[
        str | None,
        typer.Option(
            "--workspace",
            metavar="ID",
            help="Count the rows in this Log Analytics workspace's table (its Workspace ID, a "
            "GUID).",
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", dir_okay=False, help="The file to write."),
    ] = Path("jira-audit-report.html"),
    folder: LocalFolder = None,
    settings_file: SettingsFile = None,
) -> None:
    """Write an HTML page: what happened, when, by whom, and the connector's health.

    Any browser shows it; it loads nothing else. Its names and account ids are personal data, as in
    the audit log. With --folder, no settings are needed.

    For example:

      jira-audit report --folder ./out
      jira-audit report --workspace 0a0b0c0d-…
    """
    if bool(folder) == bool(workspace):
        message = "use either --folder or --workspace"
        raise typer.BadParameter(message, param_hint="--workspace")
    out, err = consoles()
    with exit_on_error(err):
        now = wiring.CLOCK.now()
        window = parse_range(begin, end, now, now - DEFAULT_RANGE)
        if folder:
            activity, health = _from_folder(folder, window, now, out, err)
            source = f"{TABLE_FILE} in a local folder"
        else:
            activity, health = _from_workspace(str(workspace), window, now, settings_file)
            source = f"Jira_Audit_CL in the workspace {workspace}"
        text = page(activity, health, source, now)
        wiring.write_file(output, text.encode(errors="replace"))
        print_message(out, f"{output}: {activity.rows:,} rows. It contains personal data.")


def _from_folder(
    folder: Path, window: Window, now: int, out: Console, err: Console
) -> tuple[Activity, Sequence[Health]]:
    with progress_line(err, out, lambda: "reading rows"):
        activity = count(wiring.local_table(folder).rows(), window)
    return activity, [Health(each, summary(each)) for each in local_judgements(folder, now)]


def _from_workspace(
    workspace: str, window: Window, now: int, settings_file: Path | None
) -> tuple[Activity, Sequence[Health]]:
    with context(None, settings_file, STORED) as ctx:
        table = wiring.workspace(ctx.settings, workspace)
        hosts = [site.host for site in ctx.settings.sites]
        with progress_line(ctx.err, ctx.out, lambda: "querying the workspace"):
            activity = table.activity(hosts, window)
        found = judgements(ctx.settings, now, Limits(ctx.settings.schedule))
        return activity, [Health(each, summary(each)) for each in found]
