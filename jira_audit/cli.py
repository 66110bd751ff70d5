"""The command line: what is asked for, and how what came of it is shown.

Every decision is elsewhere (`app.py`, `check.py`, `demo.py`). Needs the extra `terminal`, so that
nothing that runs in Azure may import it.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.highlighter import NullHighlighter
from rich.live import Live
from rich.logging import RichHandler
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from jira_audit import __version__, app
from jira_audit import demo as demo_
from jira_audit import settings as settings_
from jira_audit.check import Answer
from jira_audit.check import check as check_
from jira_audit.core import moments
from jira_audit.core.errors import SettingsError
from jira_audit.core.outcome import Outcome, Tally
from jira_audit.edge.local import TABLE
from jira_audit.settings import Settings

EPILOG = """\
[bold]Begin here[/]
  python -m jira_audit demo                 no account, no settings needed
  python -m jira_audit collect --to ./out   from your site into files
  python -m jira_audit check                is everything set up?
  python -m jira_audit collect              from your site into Sentinel

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
    0  all is well; also when time was up, or another run had the site
    1  failed: the message says what to do
    2  a setting or the command line is wrong; nothing was requested
  130  interrupted
"""

cli = typer.Typer(
    help="Bring Jira Cloud's audit log into the table Jira_Audit_CL of Microsoft Sentinel.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # they would show local variables, and with them records
    context_settings={"help_option_names": ["-h", "--help"]},
)

SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        "--env-file",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Read settings from the Values of a local.settings.json; the environment wins.",
    ),
]


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


@cli.command()
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
    """See it work: an imaginary Jira site, two runs, and a look at the rows.

    Needs no account, no settings and no network: the site is served on this
    machine, and a folder stands for the table.
    """
    if folder and folder.exists() and any(folder.iterdir()):
        message = f"{folder} is not empty: name a new folder"
        raise typer.BadParameter(message, param_hint="--dir")
    with _logging(Console(stderr=True), logging.ERROR):
        target = folder or Path(tempfile.mkdtemp(prefix="jira-audit-demo-"))
        if not demo_.play(target, Console(highlight=False, emoji=False)):
            raise typer.Exit(1)


@cli.command()
def collect(
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="DIR",
            file_okay=False,
            help=f"Write rows to {TABLE} in this folder, with the checkpoint beside it, instead of "
            "to Azure; only Jira's settings are needed then.",
        ),
    ] = None,
    settings: SettingsFile = None,
) -> None:
    """Collect once: everything that is new since the last run.

    The first run begins 24 hours ago (INITIAL_LOOKBACK_HOURS). A run may be
    interrupted at any time: the next one goes on from there.

    For example:

      python -m jira_audit collect --to ./out
      INITIAL_LOOKBACK_HOURS=720 python -m jira_audit collect --to ./out
      python -m jira_audit collect --settings local.settings.json
    """
    out, err = _consoles()
    with _logging(err, logging.INFO), _problems_listed(err):
        checked = settings_.load(_environment(settings), app.CLOCK.now(), to)
        tally = Tally()
        try:
            with _shown_while_it_runs(err, out, lambda: _so_far(checked, tally)):
                outcomes = app.run_settings(checked, tally=tally)
        except KeyboardInterrupt:
            _say(
                err, "Interrupted. What was delivered is in the checkpoint: run it again to go on."
            )
            raise typer.Exit(130) from None
    table = str(to / TABLE) if to else "Jira_Audit_CL"
    for outcome in outcomes:
        _say(out, _sentence(outcome, table))
    if any(outcome.result == "failed" for outcome in outcomes):
        raise typer.Exit(1)


@cli.command()
def check(settings: SettingsFile = None) -> None:
    """Is everything set up? Settings, Jira, ingestion and storage, each tried by itself.

    Sends an empty batch, which leaves no row, and makes the container for
    checkpoints if it is missing, as the first run would.
    """
    out, err = _consoles()
    answers = []
    asking = _shown_while_it_runs(out, err, lambda: "asking Jira, the rule and storage")
    with _logging(err, logging.CRITICAL), _problems_listed(err), asking:
        for answer in check_(_environment(settings)):
            _show(out, answer)
            answers.append(answer)
    if not all(answer.ok for answer in answers):
        raise typer.Exit(1)


# Settings.


def _environment(file: Path | None) -> Mapping[str, str]:
    """The process's environment, with what it lacks filled in from a settings file.

    Filled in where it is, as the Functions host does: Azure's libraries look there as well. Raises
    SettingsError if the file cannot be read as one.
    """
    if file:
        for name, value in _values(file).items():
            if not os.environ.get(name):
                os.environ[name] = value
    return os.environ


def _values(file: Path) -> Mapping[str, str]:
    """What stands under Values: https://learn.microsoft.com/azure/azure-functions/functions-develop-local#local-settings-file"""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        values = content["Values"]
        if content.get("IsEncrypted") is True:
            raise SettingsError([f"--settings {file} is encrypted: run func settings decrypt"])
        if all(isinstance(value, str) for value in values.values()):
            return dict(values)
    except OSError as error:
        raise SettingsError([f"--settings {file} cannot be read: {error.strerror}"]) from error
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise SettingsError(
        [f'--settings {file} must be JSON such as {{"Values": {{"NAME": "text"}}}}']
    )


@contextmanager
def _problems_listed(err: Console) -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        for problem in error.problems:
            name, _, rest = problem.partition(" ")
            _say(err, Text.assemble((name, "bold red"), " ", rest))
        raise typer.Exit(2) from None


# Showing.


def _consoles() -> tuple[Console, Console]:
    """Standard output and standard error; rich knows whether they are terminals, and NO_COLOR."""
    return Console(highlight=False, emoji=False), Console(stderr=True, highlight=False, emoji=False)


def _say(console: Console, sentence: str | Text) -> None:
    """One sentence; a line of its own where nobody looks, for whoever reads lines."""
    text = Text(sentence) if isinstance(sentence, str) else sentence
    console.print(text, soft_wrap=not console.is_terminal)


@contextmanager
def _logging(err: Console, level: int) -> Iterator[None]:
    """Our log from `level` up on standard error; of everyone else's, warnings at most."""
    handler: logging.Handler
    if err.is_terminal:
        handler = RichHandler(
            console=err, show_time=False, show_path=False, highlighter=NullHighlighter()
        )
    else:
        handler = logging.StreamHandler(err.file)
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    root, ours = logging.getLogger(), logging.getLogger("jira_audit")
    before = ours.level
    handler.setLevel(level)
    root.addHandler(handler)
    ours.setLevel(level)
    try:
        yield
    finally:
        root.removeHandler(handler)
        ours.setLevel(before)


@contextmanager
def _shown_while_it_runs(
    console: Console, other: Console, words: Callable[[], str]
) -> Iterator[None]:
    """Where somebody looks, a line on `console` that says what goes on, and goes with it.

    What is printed meanwhile must go to `console`, which puts it above the line.
    """
    if not (console.is_terminal and other.is_terminal):
        yield
        return
    spinner, began = Spinner("dots"), app.CLOCK.monotonic()

    def line() -> Spinner:
        minutes, seconds = divmod(int(app.CLOCK.monotonic() - began), 60)
        spinner.update(text=Text(f"{words()}  {minutes}:{seconds:02}"))
        return spinner

    with Live(get_renderable=line, console=console, transient=True, refresh_per_second=10):
        yield


def _so_far(checked: Settings, tally: Tally) -> str:
    return (
        f"{', '.join(site.host for site in checked.sites)}: {tally.windows:,} windows, "
        f"{tally.pages:,} pages, {tally.records:,} records, {tally.rows:,} rows"
    )


def _sentence(outcome: Outcome, table: str) -> Text:
    """How a run went, for a person."""
    tally = outcome.tally
    late = f" ({tally.late_found} of them late)" if tally.late_found else ""
    number = f"{tally.rows:,}" if tally.rows else "no"
    rows = f"{number} new {'row' if tally.rows == 1 else 'rows'} in {table}{late}"
    through = "" if outcome.through is None else moments.text(outcome.through)
    place = f"{through[:10]} {through[11:19]} UTC"
    when = f"; nothing is lost, the next run goes on from {place}" if through else " to begin"
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
        _say(out, f"{mark[0]:<6}  {answer.part:<9}  {answer.sentence}")
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=6)
    table.add_column(width=9)
    table.add_column()
    table.add_row(Text(*mark), Text(answer.part, "bold"), Text(answer.sentence))
    out.print(table)
