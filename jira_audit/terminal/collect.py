"""`collect`: runs the connector once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from jira_audit import app
from jira_audit.core.outcome import Outcome, Tally
from jira_audit.core.records import TABLE_FILE
from jira_audit.terminal.console import (
    SettingsFile,
    consoles,
    exit_on_interrupt,
    exit_on_settings_error,
    load_settings,
    logging_to,
    print_message,
    progress_line,
)
from jira_audit.terminal.format import utc

INTERRUPTED_ADVICE = "What was delivered is in the checkpoint: run it again to resume."

STYLES = {"ok": "bold green", "failed": "bold red"}


def command(
    folder: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="DIR",
            file_okay=False,
            help=f"Write rows to {TABLE_FILE} and the checkpoint to this folder instead of Azure; "
            "needs only Jira's settings.",
        ),
    ] = None,
    settings_file: SettingsFile = None,
) -> None:
    """Collect once: everything since the last run.

    The first run begins 24 hours ago (INITIAL_LOOKBACK_HOURS). If interrupted, the next run
    resumes.

    For example:

      jira-audit collect --to ./out
      INITIAL_LOOKBACK_HOURS=720 jira-audit collect --to ./out
      jira-audit collect --settings local.settings.json
    """
    out, err = consoles()
    with logging_to(err, logging.INFO), exit_on_settings_error(err):
        settings = load_settings(settings_file, folder)
        tallies = {site.host: Tally() for site in settings.sites}
        with (
            exit_on_interrupt(err, INTERRUPTED_ADVICE),
            progress_line(err, out, lambda: _status_text(tallies)),
        ):
            outcomes = app.run_settings(settings, tallies=tallies)
    table = str(folder / TABLE_FILE) if folder else "Jira_Audit_CL"
    for outcome in outcomes:
        print_message(out, summary(outcome, table))
    if any(outcome.result == "failed" for outcome in outcomes):
        raise typer.Exit(1)


def _status_text(tallies: Mapping[str, Tally]) -> str:
    name = next(iter(tallies)) if len(tallies) == 1 else f"{len(tallies)} sites"
    windows = sum(tally.windows for tally in tallies.values())
    pages = sum(tally.pages for tally in tallies.values())
    records = sum(tally.records for tally in tallies.values())
    rows = sum(tally.rows for tally in tallies.values())
    return f"{name}: {windows:,} windows, {pages:,} pages, {records:,} records, {rows:,} rows"


def summary(outcome: Outcome, table: str) -> Text:
    """One sentence on a run's outcome for a site."""
    style = STYLES.get(outcome.result, "bold yellow")
    letters = outcome.tally.letters
    dead_letters = f" Dead letters: {letters}." if letters else ""
    return Text.assemble((outcome.site, style), f": {_result(outcome, table)}{dead_letters}")


def _result(outcome: Outcome, table: str) -> str:
    rows = _rows(outcome.tally, table)
    until = "" if outcome.through is None else utc(outcome.through)
    if outcome.result == "ok":
        return f"{rows}, complete up to {until}."
    if outcome.result == "partial":
        return (
            f"{rows}, complete up to {until}; the time budget is used up: run it again to continue."
        )
    if outcome.result == "skipped":
        return "skipped: another run holds the lease."
    if not until:
        return "could not start."
    after = f" after {rows}" if outcome.tally.rows else ""
    return f"failed{after}; nothing is lost: the next run continues from {until}."


def _rows(tally: Tally, table: str) -> str:
    number = f"{tally.rows:,}" if tally.rows else "no"
    late = f" ({tally.late_found} of them late)" if tally.late_found else ""
    return f"{number} new {'row' if tally.rows == 1 else 'rows'} in {table}{late}"
