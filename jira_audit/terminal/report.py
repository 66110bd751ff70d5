"""`report`: writes one HTML page, which `report_page.py` lays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from jira_audit import wiring
from jira_audit.core.activity import Activity, count, span
from jira_audit.core.records import TABLE_FILE
from jira_audit.core.review.review import Review, review
from jira_audit.core.timestamps import DAY
from jira_audit.core.window import Window
from jira_audit.operations.judgement import Limits
from jira_audit.settings.load import BEGINNING_OF_ALL
from jira_audit.settings.table import STORED
from jira_audit.terminal.console import consoles, exit_on_error, print_message, progress_line
from jira_audit.terminal.context import context
from jira_audit.terminal.options import (
    Place,
    from_option,
    placed,
    require_workspace_id,
    to_option,
    workspace_option,
)
from jira_audit.terminal.report_page import Health, page
from jira_audit.terminal.status import summary
from jira_audit.terminal.statuses import judgements, local_judgements
from jira_audit.terminal.times import parse_range

DEFAULT_RANGE = 30 * DAY
"""The longest range of a workspace by default; of a folder, it is all rows."""

HISTORY = 14 * DAY
"""What is usual is learned from this much before the range, as Sentinel's rules do."""

REVIEWED_ROWS = 100_000
"""The most rows of a site that are fetched from a workspace for the findings."""


@placed()
def command(
    *,
    begin: Annotated[str | None, from_option("Show", "first row, or 30d of a workspace")] = None,
    end: Annotated[str | None, to_option("Show", "last row")] = None,
    workspace: Annotated[
        str | None,
        workspace_option("Show the rows of a workspace's table"),
    ] = None,
    output: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", dir_okay=False, help="The file to write."),
    ] = Path("jira-audit-report.html"),
    place: Place,
) -> None:
    """Write an HTML page: what deserves a look, what happened, and the connector's health.

    It shows administrators, what was opened to everyone, removed guards, mass deletions, new
    accounts and addresses, and odd hours; then activity over time, and by whom.

    Any browser shows it; it loads nothing else. Its names and account ids are personal data, as in
    the audit log. With --folder, no settings are needed.

    For example:

      jira-audit report --folder ./out
      jira-audit report --workspace 0a0b0c0d-…
    """
    if bool(place.folder) == bool(workspace):
        message = "use either --folder or --workspace"
        raise typer.BadParameter(message, param_hint="--workspace")
    require_workspace_id(workspace)
    out, err = consoles()
    with exit_on_error(err):
        now = wiring.CLOCK.now()
        longest = now - BEGINNING_OF_ALL if place.folder else DEFAULT_RANGE
        asked = Range(parse_range(begin, end, now, now - longest), begin is None, end is None)
        if place.folder:
            found = _from_folder(place.folder, asked, now, out, err)
            source = f"{TABLE_FILE} in a local folder"
        else:
            found = _from_workspace(str(workspace), asked, now, place)
            source = f"Jira_Audit_CL in the workspace {workspace}"
        text = page(*found, source, now)
        wiring.write_file(output, text.encode(errors="replace"))
        rows = found[0].rows
        print_message(out, f"{output}: {rows:,} rows. It contains personal data.")


@dataclass(frozen=True)
class Range:
    """The range asked for; an end that was not given is moved to where the rows end."""

    window: Window
    fits_start: bool
    fits_end: bool

    def fitted(self, span: Window | None) -> Window:
        if span is None:
            start = max(self.window.start, self.window.end - DEFAULT_RANGE)
            return Window(start if self.fits_start else self.window.start, self.window.end)
        return Window(
            span.start if self.fits_start else self.window.start,
            span.end if self.fits_end else self.window.end,
        )


_Found = tuple[Activity, Review, Sequence[Health]]


def _from_folder(folder: Path, asked: Range, now: int, out: Console, err: Console) -> _Found:
    table = wiring.local_table(folder)
    with progress_line(err, out, lambda: "reading rows"):
        window = asked.fitted(span(table.rows(), asked.window))
        activity, reviewed = count(table.rows(), window), review(table.rows(), window)
    health = [Health(each, summary(each)) for each in local_judgements(folder, now)]
    return activity, reviewed, health


def _from_workspace(workspace: str, asked: Range, now: int, place: Place) -> _Found:
    with context(place, STORED) as ctx:
        table = wiring.workspace(ctx.settings, workspace)
        hosts = [site.host for site in ctx.settings.sites]
        with progress_line(ctx.err, ctx.out, lambda: "querying the workspace"):
            window = asked.fitted(table.span(hosts, asked.window))
            activity = table.activity(hosts, window)
            longer = Window(max(BEGINNING_OF_ALL, window.start - HISTORY), window.end)
            reviewed = review(table.rows(hosts, longer, REVIEWED_ROWS), window)
        judged = judgements(ctx.settings, now, Limits(ctx.settings.schedule))
        return activity, reviewed, [Health(each, summary(each)) for each in judged]
