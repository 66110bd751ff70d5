"""What all commands share: messages, errors, tables, logs, progress."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import typer
from rich import box
from rich.console import Console
from rich.highlighter import NullHighlighter
from rich.live import Live
from rich.logging import RichHandler
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from jira_audit import wiring
from jira_audit.app import stop_on_sigterm
from jira_audit.core import encoding
from jira_audit.core.errors import ConnectorError, SettingsError
from jira_audit.core.outcome import Tally
from jira_audit.core.text import escaped, one_line
from jira_audit.operations.exit_codes import ExitCode

# Errors: a message for whoever acts, and an exit code.


@contextmanager
def exit_on_settings_error(err: Console) -> Iterator[None]:
    """Print each problem of the settings on its own line; exit with 2."""
    try:
        yield
    except SettingsError as error:
        for problem in error.problems:
            name, _, rest = problem.partition(" ")
            print_message(err, Text.assemble((escaped(name), "bold red"), " ", escaped(rest)))
        raise typer.Exit(ExitCode.USAGE) from None


@contextmanager
def exit_on_error(err: Console) -> Iterator[None]:
    """Print a foreseen error; exit with 1, or 2 if the settings are wrong."""
    with exit_on_settings_error(err):
        try:
            yield
        except SettingsError:
            raise
        except ConnectorError as error:
            print_message(err, Text(escaped(str(error)), "bold red"))
            raise typer.Exit(ExitCode.FAILED) from None


@contextmanager
def exit_on_interrupt(err: Console, advice: str, tally: Tally | None = None) -> Iterator[None]:
    """On Ctrl-C or SIGTERM, print the advice, after the tally's rows if any, and exit with 130.

    Enclose the run in it: what the run began must end first.
    """
    try:
        with stop_on_sigterm():
            yield
    except KeyboardInterrupt:
        progress = "" if tally is None else f" after {tally.rows:,} rows"
        print_message(err, f"Interrupted{progress}. {advice}")
        raise typer.Exit(ExitCode.INTERRUPTED) from None


# Output.


def consoles() -> tuple[Console, Console]:
    """Standard output and error. Rich detects terminals and NO_COLOR."""
    return Console(highlight=False, emoji=False), Console(stderr=True, highlight=False, emoji=False)


def print_message(console: Console, message: str | Text) -> None:
    """Print one message, wrapped only on a terminal: programs read one line.

    Text from outside in a `Text` must be `escaped`.
    """
    text = Text(escaped(message)) if isinstance(message, str) else message
    console.print(text, soft_wrap=not console.is_terminal)


SHORT = 18
"""The longest value, in characters, that a table does not wrap if there is room."""


def show_lines(
    out: Console, header: Sequence[str] | None, lines: Iterable[Sequence[str | Text]]
) -> None:
    """Print a table on a terminal, else tab-separated lines without the header.

    A `Text` is the program's own; text from outside is a string. Short values are not wrapped.
    """
    if not out.is_terminal:
        for line in lines:
            typer.echo("\t".join(one_line(str(cell)) for cell in line))
        return
    rows = [
        [Text(one_line(each)) if isinstance(each, str) else each for each in line] for line in lines
    ]
    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD if header else None, show_header=bool(header), pad_edge=False)
    for name, cells in zip(header or ("", ""), zip(*rows, strict=True), strict=True):
        is_short = max(map(len, cells)) <= SHORT
        table.add_column(name, header_style="bold", overflow="fold", no_wrap=is_short)
    for row in rows:
        table.add_row(*row)
    out.print(table)


def print_json(value: object) -> None:
    """Print JSON on one line. Unprintable characters are escaped, which changes no value."""
    typer.echo(escaped(encoding.dumps(value).decode()))


class _EscapingFormatter(logging.Formatter):
    """For lines of libraries, too, which may quote what a service says."""

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record))


@contextmanager
def logging_to(err: Console, level: int) -> Iterator[None]:
    """Log to standard error: our loggers from `level` up, others from WARNING up."""
    handler: logging.Handler
    if err.is_terminal:
        handler = RichHandler(
            console=err, show_time=False, show_path=False, highlighter=NullHighlighter()
        )
        handler.setFormatter(_EscapingFormatter("%(message)s"))
    else:
        handler = logging.StreamHandler(err.file)
        handler.setFormatter(_EscapingFormatter("%(levelname)s %(message)s"))
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
def progress_line(
    console: Console, other: Console, status_text: Callable[[], str]
) -> Iterator[None]:
    """Show the current status as a line on `console`, if both are terminals.

    Print only to `console` within: it puts the output above the line.
    """
    if not (console.is_terminal and other.is_terminal):
        yield
        return
    spinner, began = Spinner("dots"), wiring.CLOCK.monotonic()

    def line() -> Spinner:
        minutes, seconds = divmod(int(wiring.CLOCK.monotonic() - began), 60)
        spinner.update(text=Text(f"{status_text()}  {minutes}:{seconds:02}"))
        return spinner

    with Live(get_renderable=line, console=console, transient=True, refresh_per_second=10):
        yield
