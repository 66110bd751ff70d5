"""The command line: every command, in the order of a user's day.

A command reads its arguments and shows what came of them; it decides nothing. Needs the extra
`terminal`, so that nothing that runs in Azure may import it.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from jira_audit import INTERRUPTED, __version__, app, wiring
from jira_audit.core.outcome import Outcome, Tally
from jira_audit.core.records import TABLE_FILE
from jira_audit.settings.load import load
from jira_audit.terminal import demo as demo_
from jira_audit.terminal.backfill import backfill
from jira_audit.terminal.check import Answer
from jira_audit.terminal.check import check as check_
from jira_audit.terminal.checkpoint import checkpoint
from jira_audit.terminal.console import (
    SettingsFile,
    consoles,
    environment,
    logged,
    problems_listed,
    say,
    shown_while_it_runs,
    utc,
)
from jira_audit.terminal.letters import dead_letters, originals
from jira_audit.terminal.report import report
from jira_audit.terminal.status import status
from jira_audit.terminal.verify import verify

EPILOG = """\
[bold]Begin here[/]
  jira-audit demo                   no account, no settings needed
  jira-audit check                  is everything set up for Sentinel?
  jira-audit collect --to ./out     from your site into files
  jira-audit collect                from your site into Sentinel
  jira-audit status                 how far, what went wrong?
  jira-audit verify --from …        is every record there?
  jira-audit backfill --from …      what was before the first run
  jira-audit dead-letters list      what could not be delivered?
  jira-audit originals list         the whole of rows that were cut
  jira-audit checkpoint show        where the next run begins
  jira-audit report --folder ./out  a page to look at

[bold]Settings[/], from the environment or --settings local.settings.json
  JIRA_SITE_URL             https://contoso.atlassian.net
  JIRA_USERNAME             e-mail address of an account that administers Jira
  JIRA_API_TOKEN            an API token of that account
and, unless collecting with --to,
  DATA_COLLECTION_ENDPOINT  the data collection rule's logs ingestion endpoint
  LOGS_DCR_RULE_ID          the rule's immutable id, dcr-…
  AzureWebJobsStorage       connection string of the account for checkpoints
and to send, az login (in Azure, the app's identity). README.md has them all.

[bold]Exit codes[/]
    0  all is well; also when a collect ran out of time, or left the site
       to another run
    1  failed: the message says what to do
    2  a setting or the command line is wrong; nothing was requested
  130  interrupted
"""


class _AsRegistered(TyperGroup):
    """Lists commands and groups of commands in one order, where typer lists all groups last."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        ordered = {name: self.commands[name] for name in COMMANDS if name in self.commands}
        self.commands = {**ordered, **self.commands}  # what is in no order yet comes last


cli = typer.Typer(
    cls=_AsRegistered,
    help="Bring Jira Cloud's audit log into the table Jira_Audit_CL of Microsoft Sentinel.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # they would show local variables, and with them records
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:  # noqa: FBT001  typer calls it so
    if asked:
        print(__version__)
        raise typer.Exit


@cli.callback()
def main(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


def demo(
    folder: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            file_okay=False,
            help="Where rows and checkpoint go; a new or empty folder.  [dim]default: a new "
            "temporary one[/]",
        ),
    ] = None,
) -> None:
    """See it work: a simulated Jira site, two runs, and a look at the rows.

    Needs no account, no settings and no network: the site is served on this
    machine, and a folder stands for the table.
    """
    if folder and folder.exists() and any(folder.iterdir()):
        message = f"{folder} is not empty: name a new folder"
        raise typer.BadParameter(message, param_hint="--dir")
    with logged(Console(stderr=True), logging.ERROR):
        target = folder or Path(tempfile.mkdtemp(prefix="jira-audit-demo-"))
        if not demo_.play(target, Console(highlight=False, emoji=False)):
            raise typer.Exit(1)


def collect(
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="DIR",
            file_okay=False,
            help=f"Write rows to {TABLE_FILE} in this folder, with the checkpoint beside it, "
            "instead of to Azure; only Jira's settings are needed then.",
        ),
    ] = None,
    settings: SettingsFile = None,
) -> None:
    """Collect once: everything that is new since the last run.

    The first run begins 24 hours ago (INITIAL_LOOKBACK_HOURS). A run may be
    interrupted at any time: the next one goes on from there.

    For example:

      jira-audit collect --to ./out
      INITIAL_LOOKBACK_HOURS=720 jira-audit collect --to ./out
      jira-audit collect --settings local.settings.json
    """
    out, err = consoles()
    with logged(err, logging.INFO), problems_listed(err):
        checked = load(environment(settings), wiring.CLOCK.now(), to)
        tallies = {site.host: Tally() for site in checked.sites}
        try:
            with shown_while_it_runs(err, out, lambda: _so_far(tallies)):
                outcomes = app.run_settings(checked, tallies=tallies)
        except KeyboardInterrupt:
            say(err, "Interrupted. What was delivered is in the checkpoint: run it again to go on.")
            raise typer.Exit(INTERRUPTED) from None
    table = str(to / TABLE_FILE) if to else "Jira_Audit_CL"
    for outcome in outcomes:
        say(out, _sentence(outcome, table))
    if any(outcome.result == "failed" for outcome in outcomes):
        raise typer.Exit(1)


def check(settings: SettingsFile = None) -> None:
    """Is everything set up? Settings, Jira, ingestion and storage, each tried by itself.

    Sends an empty batch, which leaves no row, and makes the container for
    checkpoints if it is missing, as the first run would.
    """
    out, err = consoles()
    answers = []
    asking = shown_while_it_runs(out, err, lambda: "asking Jira, the rule and storage")
    with logged(err, logging.CRITICAL), problems_listed(err), asking:
        for answer in check_(environment(settings)):
            _show(out, answer)
            answers.append(answer)
    if not all(answer.ok for answer in answers):
        raise typer.Exit(1)


# Registering.

COMMANDS: Mapping[str, Callable[..., None] | typer.Typer] = {
    "demo": demo,
    "check": check,
    "collect": collect,
    "status": status,
    "verify": verify,
    "backfill": backfill,
    "dead-letters": dead_letters,
    "originals": originals,
    "checkpoint": checkpoint,
    "report": report,
}
"""Every command, in the order in which a user's day needs them; help lists them so."""

for _name, _command in COMMANDS.items():
    if isinstance(_command, typer.Typer):
        cli.add_typer(_command, name=_name)
    else:
        cli.command(_name)(_command)


# Showing.


def _so_far(tallies: Mapping[str, Tally]) -> str:
    who = next(iter(tallies)) if len(tallies) == 1 else f"{len(tallies)} sites"
    each = tallies.values()
    windows, pages = sum(tally.windows for tally in each), sum(tally.pages for tally in each)
    records, rows = sum(tally.records for tally in each), sum(tally.rows for tally in each)
    return f"{who}: {windows:,} windows, {pages:,} pages, {records:,} records, {rows:,} rows"


def _sentence(outcome: Outcome, table: str) -> Text:
    """How a run went, for a person."""
    tally = outcome.tally
    late = f" ({tally.late_found} of them late)" if tally.late_found else ""
    number = f"{tally.rows:,}" if tally.rows else "no"
    rows = f"{number} new {'row' if tally.rows == 1 else 'rows'} in {table}{late}"
    place = "" if outcome.through is None else utc(outcome.through)
    when = f"; nothing is lost, the next run goes on from {place}" if place else " to begin"
    text = {
        "ok": f"{rows}, complete up to {place}.",
        "partial": f"{rows}, complete up to {place}; time was up: run it again to go on.",
        "skipped": "left alone, as another run is collecting it.",
        "failed": f"failed{f' after {rows}' if tally.rows else ''}{when}.",
    }[outcome.result]
    if tally.letters:
        text += f" Records kept aside in dead-letters: {tally.letters}."
    style = {"ok": "bold green", "failed": "bold red"}.get(outcome.result, "bold yellow")
    return Text.assemble((outcome.site, style), f": {text}")


def _show(out: Console, answer: Answer) -> None:
    mark = ("ok", "green") if answer.ok else ("failed", "bold red")
    if not out.is_terminal:
        say(out, f"{mark[0]:<6}  {answer.part:<9}  {answer.sentence}")
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=6)
    table.add_column(width=9)
    table.add_column()
    table.add_row(Text(*mark), Text(answer.part, "bold"), Text(answer.sentence))
    out.print(table)
