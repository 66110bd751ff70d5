"""What all commands share: options, settings, messages, errors, progress."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.highlighter import NullHighlighter
from rich.live import Live
from rich.logging import RichHandler
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from jira_audit import INTERRUPTED, wiring
from jira_audit.app import stop_on_sigterm
from jira_audit.core import encoding, timestamps
from jira_audit.core.errors import ConnectorError, SettingsError
from jira_audit.core.outcome import Tally
from jira_audit.core.policy import Reset
from jira_audit.core.text import escaped, one_line
from jira_audit.core.timestamps import DAY, HOUR, MINUTE, SECOND
from jira_audit.core.window import Window
from jira_audit.flow.ports import Ports
from jira_audit.settings.load import BEGINNING_OF_ALL, load
from jira_audit.settings.table import EVERYTHING, Needs
from jira_audit.settings.values import Settings, Site

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

LocalFolder = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="Use the folder that collect --to has written, instead of Azure.",
    ),
]

SiteHost = Annotated[
    str | None,
    typer.Option(
        "--site",
        metavar="HOST",
        help="Host of the site if JIRA_SITES has several, such as contoso.atlassian.net.",
    ),
]

# Settings.


@dataclass(frozen=True)
class Context:
    """A command's settings, and the consoles it writes to."""

    settings: Settings
    out: Console
    err: Console


@dataclass(frozen=True)
class SiteContext(Context):
    """A command's context for one site."""

    site: Site
    ports: Ports

    @property
    def host(self) -> str:
        """The site's host, which names it."""
        return self.site.host

    @property
    def pending_reset(self) -> Reset | None:
        """CHECKPOINT_RESET for this site, from the settings here."""
        return self.settings.policy_for(self.site).reset


@contextmanager
def context(folder: Path | None, settings_file: Path | None, needs: Needs) -> Iterator[Context]:
    """Load the settings that the command `needs`. Prints a foreseen error within, and exits.

    Unless it needs Jira, the sites in a folder count as set up.
    """
    out, err = consoles()
    with logging_to(err, logging.INFO), exit_on_error(err):
        settings = load_settings(settings_file, folder, needs)
        if folder and "jira" not in needs:
            settings = settings.with_stored(_stored(folder))
            if not settings.sites and not settings.invalid:
                message = f"no site was collected into {folder}"
                raise typer.BadParameter(message, param_hint="--folder")
        yield Context(settings, out, err)


@contextmanager
def site_context(
    folder: Path | None, settings_file: Path | None, host: str | None, needs: Needs
) -> Iterator[SiteContext]:
    """As `context`, for the site of this host; None: the only site."""
    with context(folder, settings_file, needs) as ctx:
        site = _site(ctx.settings, host, _stored(folder) if folder else ())
        ports = wiring.ports(ctx.settings.destination, site)
        yield SiteContext(ctx.settings, ctx.out, ctx.err, site, ports)


def load_settings(
    settings_file: Path | None, folder: Path | None, needs: Needs = EVERYTHING
) -> Settings:
    """Load the settings from the environment and a file. Raises SettingsError."""
    return load(environment(settings_file), wiring.CLOCK.now(), folder, needs)


def _stored(folder: Path) -> Sequence[str]:
    """The sites that were collected into a folder."""
    return wiring.local_places(folder)[0].sites()


def _site(settings: Settings, host: str | None, stored: Sequence[str]) -> Site:
    """The site of this host; without one, the only stored site, or the only site.

    Raises SettingsError for an invalid entry, and BadParameter if a site must be named.
    """
    name = host and host.lower()
    for entry in settings.invalid:
        if name == entry.site or not settings.sites:
            raise entry.error
    candidates = _candidates(settings, name, stored)
    if len(candidates) != 1:
        message = f"name one of {', '.join(site.host for site in settings.sites)}"
        raise typer.BadParameter(message, param_hint="--site")
    return candidates[0]


def _candidates(settings: Settings, name: str | None, stored: Sequence[str]) -> Sequence[Site]:
    """The possible sites; none if an invalid entry is possible as well."""
    if name:
        return [site for site in settings.sites if site.host == name]
    if settings.invalid:
        return []
    return [site for site in settings.sites if site.host in stored] or settings.sites


def environment(settings_file: Path | None) -> Mapping[str, str]:
    """The process's environment, plus missing variables from a settings file.

    Changes the process's environment, as the Functions host does: Azure's libraries read it. Raises
    SettingsError if the file is unreadable.
    """
    if settings_file:
        values = _values(settings_file)
        _warn_if_readable(settings_file)
        for name, value in values.items():
            if not os.environ.get(name):
                os.environ[name] = value
    return os.environ


def _warn_if_readable(file: Path) -> None:
    """Say if other users can read the file, which may hold secrets."""
    if sys.platform == "win32" or not file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return
    _, err = consoles()
    advice = f"run chmod 600 {shlex.quote(str(file))}"
    print_message(err, f"WARNING other users can read {file}, which may hold secrets: {advice}")


def _values(file: Path) -> Mapping[str, str]:
    """The Values of
    https://learn.microsoft.com/azure/azure-functions/functions-develop-local#local-settings-file
    """
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


# Options.


def parse_range(begin: str | None, end: str | None, now: int, default: int) -> Window:
    """The range of --from and --to; by default from the moment `default` to now."""
    start = default if begin is None else parse_time(begin, now, "--from")
    until = now if end is None else parse_time(end, now, "--to")
    require_order(start, until)
    return Window(start, until)


def require_order(start: int, until: int | None) -> None:
    """Raises BadParameter if --to is before --from."""
    if until is not None and until < start:
        message = "is before --from"
        raise typer.BadParameter(message, param_hint="--to")


def parse_time(text: str, now: int, option: str) -> int:
    """The moment that an option names. Raises BadParameter, also after `now`."""
    try:
        timestamp_ms = BEGINNING_OF_ALL if text == "all" else timestamps.parse(text)
    except ValueError:
        message = f"{text!r} is not a time with a UTC offset (2026-09-14T00:00:00Z), nor all"
        raise typer.BadParameter(message, param_hint=option) from None
    if timestamp_ms > now:
        message = f"{text} is in the future"
        raise typer.BadParameter(message, param_hint=option)
    return timestamp_ms


_UNITS: Mapping[str, int] = {"s": SECOND, "m": MINUTE, "min": MINUTE, "h": HOUR, "d": DAY}


def parse_duration(text: str, option: str) -> int:
    """The milliseconds of a duration such as 30m, 6h or 2d. Raises BadParameter."""
    if match := re.fullmatch("([0-9]{1,6})(s|m|min|h|d)", text.strip()):
        return int(match[1]) * _UNITS[match[2]]
    message = f"{text!r} is not a duration such as 30m, 6h or 2d"
    raise typer.BadParameter(message, param_hint=option)


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
        raise typer.Exit(2) from None


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
            raise typer.Exit(1) from None


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
        raise typer.Exit(INTERRUPTED) from None


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


def show_lines(
    out: Console, header: Sequence[str] | None, lines: Iterable[Sequence[str | Text]]
) -> None:
    """Print a table on a terminal, else tab-separated lines without the header.

    A `Text` is the program's own; text from outside is a string.
    """
    if not out.is_terminal:
        for line in lines:
            typer.echo("\t".join(one_line(str(cell)) for cell in line))
        return
    table = Table(box=box.SIMPLE_HEAD if header else None, show_header=bool(header), pad_edge=False)
    for name in header or ("", ""):
        table.add_column(name, header_style="bold", overflow="fold")
    for line in lines:
        table.add_row(*(Text(one_line(each)) if isinstance(each, str) else each for each in line))
    if table.row_count:
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
