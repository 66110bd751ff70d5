"""`collect`: runs the connector once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated

import typer
from rich.text import Text

from jira_audit import app, wiring
from jira_audit.core.outcome import Outcome, Tally
from jira_audit.core.records import TABLE_FILE
from jira_audit.operations.exit_codes import ExitCode
from jira_audit.terminal.console import (
    consoles,
    exit_on_interrupt,
    exit_on_settings_error,
    logging_to,
    print_json,
    print_message,
    progress_line,
)
from jira_audit.terminal.context import load_settings, only
from jira_audit.terminal.format import utc
from jira_audit.terminal.options import Place, SiteHosts, flag, json_flag, placed

INTERRUPTED_ADVICE = "What was delivered is in the checkpoint: run it again to resume."

STYLES = {"ok": "bold green", "failed": "bold red"}


@placed(folder="new")
def command(
    *,
    hosts: SiteHosts = None,
    quiet: Annotated[
        bool, flag("--quiet", "-q", help="Print only the sites that are not ok.")
    ] = False,
    verbose: Annotated[
        bool, flag("--verbose", "-v", help="Log each site's line with all counts as well.")
    ] = False,
    as_json: Annotated[bool, json_flag("one object per line and site")] = False,
    place: Place,
) -> None:
    """Collect once: everything since the last run.

    The first run begins 24 hours ago (INITIAL_LOOKBACK_HOURS). If interrupted, the next run
    resumes.

    For example:

      jira-audit collect --folder ./out
      INITIAL_LOOKBACK_HOURS=720 jira-audit collect --folder ./out
      jira-audit collect --settings local.settings.json
    """
    out, err = consoles()
    level = logging.INFO if verbose else logging.ERROR if quiet else logging.WARNING
    with logging_to(err, level), exit_on_settings_error(err):
        settings = only(load_settings(place), hosts or ())
        tallies = {site.host: Tally() for site in settings.sites}
        progress = Progress(tallies, wiring.CLOCK.now())
        with exit_on_interrupt(err, INTERRUPTED_ADVICE), progress_line(err, out, progress.text):
            outcomes = app.run_settings(settings, tallies=tallies)
    table = str(place.folder / TABLE_FILE) if place.folder else "Jira_Audit_CL"
    for outcome in outcomes:
        if quiet and outcome.result == "ok":
            continue
        if as_json:
            print_json(outcome.payload())
        else:
            print_message(out, summary(outcome, table))
    if any(outcome.result == "failed" for outcome in outcomes):
        raise typer.Exit(ExitCode.FAILED)


class Progress:
    """How far the sites' runs are between where each began to read and `now`."""

    def __init__(self, tallies: Mapping[str, Tally], now: int) -> None:
        self._tallies, self._now = tallies, now
        self._begins: dict[str, int] = {}

    def text(self) -> str:
        """The progress now, as one line."""
        tallies = self._tallies.values()
        records, rows = (sum(getattr(each, name) for each in tallies) for name in COUNTED)
        return f"{self._position()}, {records:,} records, {rows:,} rows"

    def _position(self) -> str:
        reached = {
            host: tally.position
            for host, tally in self._tallies.items()
            if tally.position is not None
        }
        for host, position in reached.items():
            self._begins[host] = min(position, self._begins.get(host, position))
        several = len(self._tallies) > 1
        sites = f"{len(self._tallies)} sites" if several else "".join(self._tallies)
        if not reached:
            return f"{sites}: connecting"
        host = min(reached, key=lambda each: reached[each])
        start, position = self._begins[host], reached[host]
        share = (position - start) / max(1, self._now - start)
        least = f"{len(reached)} begun, the furthest behind {host}: " if several else ""
        return (
            f"{sites}: {least}at {utc(position)}, {share:.0%} of {utc(start)} to {utc(self._now)}"
        )


COUNTED = "records", "rows"


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
