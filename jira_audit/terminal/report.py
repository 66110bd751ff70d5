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
from jira_audit.terminal.console import consoles, exit_on_error, print_message, progress_line
from jira_audit.terminal.context import context
from jira_audit.terminal.options import Place, from_option, placed, to_option
from jira_audit.terminal.report_page import Health, page
from jira_audit.terminal.status import summary
from jira_audit.terminal.statuses import judgements, local_judgements
from jira_audit.terminal.times import parse_range

DEFAULT_RANGE = 30 * DAY


@placed()
def command(
    *,
    begin: Annotated[str | None, from_option("Count", "30d")] = None,
    end: Annotated[str | None, to_option("Count", "now")] = None,
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
    place: Place,
) -> None:
    """Write an HTML page: what happened, when, by whom, and the connector's health.

    Any browser shows it; it loads nothing else. Its names and account ids are personal data, as in
    the audit log. With --folder, no settings are needed.

    For example:

      jira-audit report --folder ./out
      jira-audit report --workspace 0a0b0c0d-…
    """
    if bool(place.folder) == bool(workspace):
        message = "use either --folder or --workspace"
        raise typer.BadParameter(message, param_hint="--workspace")
    out, err = consoles()
    with exit_on_error(err):
        now = wiring.CLOCK.now()
        window = parse_range(begin, end, now, now - DEFAULT_RANGE)
        if place.folder:
            activity, health = _from_folder(place.folder, window, now, out, err)
            source = f"{TABLE_FILE} in a local folder"
        else:
            activity, health = _from_workspace(str(workspace), window, now, place)
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
    workspace: str, window: Window, now: int, place: Place
) -> tuple[Activity, Sequence[Health]]:
    with context(place, STORED) as ctx:
        table = wiring.workspace(ctx.settings, workspace)
        hosts = [site.host for site in ctx.settings.sites]
        with progress_line(ctx.err, ctx.out, lambda: "querying the workspace"):
            activity = table.activity(hosts, window)
        found = judgements(ctx.settings, now, Limits(ctx.settings.schedule))
        return activity, [Health(each, summary(each)) for each in found]
