"""What every command of the terminal shares: where settings come from, and how things are said.

Needs the extra `terminal`.
"""

from __future__ import annotations

import json
import logging
import os
import re
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

from jira_audit import wiring
from jira_audit.core import moments
from jira_audit.core.errors import ConnectorError, SettingsError
from jira_audit.core.moments import DAY, HOUR, MINUTE, SECOND
from jira_audit.core.policy import Reset
from jira_audit.core.window import Window
from jira_audit.flow.ports import Ports
from jira_audit.settings.load import BEGINNING_OF_ALL, load
from jira_audit.settings.table import Needs
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
        help="The folder that was given to collect --to, instead of Azure.",
    ),
]

SiteHost = Annotated[
    str | None,
    typer.Option(
        "--site",
        metavar="HOST",
        help="Which site, where JIRA_SITES has several, such as contoso.atlassian.net.",
    ),
]

# Settings, and the place they name.


@dataclass(frozen=True)
class SetUp:
    """What is set up, and where it is shown."""

    settings: Settings
    out: Console
    err: Console


@dataclass(frozen=True)
class Place(SetUp):
    """One site that is set up, or was chosen among several; `site` is its host."""

    site: str
    chosen: Site
    ports: Ports

    @property
    def pending(self) -> Reset | None:
        """CHECKPOINT_RESET as it is set here, for this site."""
        return self.settings.policy_for(self.chosen).reset


@contextmanager
def set_up_at(folder: Path | None, file: Path | None, needs: Needs) -> Iterator[SetUp]:
    """What the settings say that the command `needs`; a failure is one sentence and exit code 1.

    Of a folder the sites are told that are in it, too, unless Jira is asked.
    """
    out, err = consoles()
    with logged(err, logging.INFO), failures_said(err):
        settings = load(environment(file), wiring.CLOCK.now(), folder, needs)
        if folder and "jira" not in needs:
            settings = settings.with_stored(_stored(folder))
            if not settings.sites and not settings.invalid:
                message = f"no site was collected into {folder}"
                raise typer.BadParameter(message, param_hint="--folder")
        yield SetUp(settings, out, err)


@contextmanager
def place_at(
    folder: Path | None, file: Path | None, host: str | None, needs: Needs
) -> Iterator[Place]:
    """The place of the one site there is, or of the one of this host; else as `set_up_at`."""
    with set_up_at(folder, file, needs) as place:
        site = _chosen(place.settings, host, _stored(folder) if folder else ())
        ports = wiring.ports(place.settings.destination, site)
        yield Place(place.settings, place.out, place.err, site.host, site, ports)


def _stored(folder: Path) -> Sequence[str]:
    """The sites that were collected into a folder."""
    return wiring.local_places(folder)[0].sites()


def _chosen(settings: Settings, host: str | None, stored: Sequence[str]) -> Site:
    """The site of a host; where none is named, the only one that is stored, or the only one.

    Raises SettingsError for an entry that is wrong, BadParameter where a site is to be named.
    """
    name, sites = host and host.lower(), settings.sites
    for entry in settings.invalid:
        if name == entry.site or not sites:
            raise entry.error
    if name:
        candidates = [site for site in sites if site.host == name]
    else:
        candidates = [site for site in sites if site.host in stored] or list(sites)
    if len(candidates) != 1 or (settings.invalid and not name):
        message = f"name one of {', '.join(site.host for site in sites)}"
        raise typer.BadParameter(message, param_hint="--site")
    return candidates[0]


def environment(file: Path | None) -> Mapping[str, str]:
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
def problems_listed(err: Console) -> Iterator[None]:
    """Where settings are wrong, each problem on a line of its own, and exit code 2."""
    try:
        yield
    except SettingsError as error:
        for problem in error.problems:
            name, _, rest = problem.partition(" ")
            say(err, Text.assemble((name, "bold red"), " ", rest))
        raise typer.Exit(2) from None


@contextmanager
def failures_said(err: Console) -> Iterator[None]:
    """A foreseen failure is one sentence and exit code 1; wrong settings are listed, and 2."""
    with problems_listed(err):
        try:
            yield
        except SettingsError:
            raise
        except ConnectorError as error:
            say(err, Text(str(error), "bold red"))
            raise typer.Exit(1) from None


def range_given(begin: str | None, end: str | None, now: int, default: int) -> Window:
    """The range that --from and --to name: from the moment `default`, to now."""
    start = default if begin is None else moment_given(begin, now, "--from")
    until = now if end is None else moment_given(end, now, "--to")
    if until < start:
        message = "is before --from"
        raise typer.BadParameter(message, param_hint="--to")
    return Window(start, until)


def moment_given(text: str, now: int, option: str) -> int:
    """The moment that an option names: a time with its zone, not after `now`, or `all`."""
    try:
        moment = BEGINNING_OF_ALL if text == "all" else moments.parse(text)
    except ValueError:
        message = f"{text!r} is no time with its zone, such as 2026-09-14T00:00:00Z, nor all"
        raise typer.BadParameter(message, param_hint=option) from None
    if moment > now:
        message = f"{text} lies in the future"
        raise typer.BadParameter(message, param_hint=option)
    return moment


# Showing.


def consoles() -> tuple[Console, Console]:
    """Standard output and standard error; rich knows whether they are terminals, and NO_COLOR."""
    return Console(highlight=False, emoji=False), Console(stderr=True, highlight=False, emoji=False)


def say(console: Console, sentence: str | Text) -> None:
    """One sentence; a line of its own where nobody looks, for whoever reads lines."""
    text = Text(sentence) if isinstance(sentence, str) else sentence
    console.print(text, soft_wrap=not console.is_terminal)


def show_lines(out: Console, header: Sequence[str] | None, lines: Iterable[Sequence[str]]) -> None:
    """A table where somebody looks, else a line each, with tabs between."""
    if not out.is_terminal:
        for line in lines:
            typer.echo("\t".join(line))
        return
    table = Table(box=box.SIMPLE_HEAD if header else None, show_header=bool(header), pad_edge=False)
    for name in header or ("", ""):
        table.add_column(name, header_style="bold", overflow="fold")
    for line in lines:
        table.add_row(*map(Text, line))
    if table.row_count:
        out.print(table)


# What a terminal could take for a command, or for another order of the letters; and halves of
# characters, which cannot be written.
_UNPRINTABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def escaped(text: str) -> str:
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def printable(text: str) -> str:
    """On one line."""
    return escaped(" ".join(text.split()))


def utc(moment: int) -> str:
    """A moment for a person."""
    text = moments.text(moment)
    return f"{text[:10]} {text[11:19]} UTC"


def span(milliseconds: int) -> str:
    """A length of time, roughly."""
    if milliseconds < SECOND:
        return f"{milliseconds} ms"
    for unit, name, smaller, its_name in (
        (DAY, "d", HOUR, "h"),
        (HOUR, "h", MINUTE, "min"),
        (MINUTE, "min", SECOND, "s"),
    ):
        if milliseconds >= unit:
            rest = milliseconds % unit // smaller
            return f"{milliseconds // unit:,} {name}" + (f" {rest} {its_name}" if rest else "")
    return f"{milliseconds // SECOND} s"


@contextmanager
def logged(err: Console, level: int) -> Iterator[None]:
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
def shown_while_it_runs(
    console: Console, other: Console, words: Callable[[], str]
) -> Iterator[None]:
    """Where somebody looks, a line on `console` that says what goes on, and goes with it.

    What is printed meanwhile must go to `console`, which puts it above the line.
    """
    if not (console.is_terminal and other.is_terminal):
        yield
        return
    spinner, began = Spinner("dots"), wiring.CLOCK.monotonic()

    def line() -> Spinner:
        minutes, seconds = divmod(int(wiring.CLOCK.monotonic() - began), 60)
        spinner.update(text=Text(f"{words()}  {minutes}:{seconds:02}"))
        return spinner

    with Live(get_renderable=line, console=console, transient=True, refresh_per_second=10):
        yield
