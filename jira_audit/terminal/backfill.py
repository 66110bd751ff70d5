"""The command that fills in what lies before the checkpoint, and how far it has come.

What happens is in `backfill.py`. Needs the extra `terminal`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from jira_audit import INTERRUPTED, wiring
from jira_audit.core.clock import Deadline
from jira_audit.core.outcome import Outcome, Tally
from jira_audit.core.window import Window
from jira_audit.operations.backfill import backfill as fill
from jira_audit.operations.backfill import bounds
from jira_audit.settings.table import EVERYTHING
from jira_audit.terminal.console import (
    LocalFolder,
    Place,
    SettingsFile,
    SiteHost,
    moment_given,
    place_at,
    say,
    utc,
)


def backfill(
    begin: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="TIME|all",
            help="Read from this moment on: an ISO time with its zone, such as "
            "2026-03-01T00:00:00Z, or all that Jira still has.",
        ),
    ],
    end: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="TIME",
            help="Read up to this moment.  [dim]default: where the checkpoint begins[/]",
        ),
    ] = None,
    site: SiteHost = None,
    folder: LocalFolder = None,
    settings: SettingsFile = None,
) -> None:
    """Fill in what lies before the checkpoint, where collecting began.

    Has a checkpoint and a lease of its own, so that the running schedule goes
    on meanwhile, and nothing is delivered twice. Interrupt it at any time: the
    same command goes on where it was.

    For example:

      jira-audit backfill --from 2026-03-01T00:00:00Z
    """
    with place_at(folder, settings, site, EVERYTHING) as place:
        now = wiring.CLOCK.now()
        start = moment_given(begin, now, "--from")
        until = None if end is None else moment_given(end, now, "--to")
        if until is not None and until < start:
            message = "is before --from"
            raise typer.BadParameter(message, param_hint="--to")
        reading = bounds(place.site, place.ports.checkpoints, start, until)
        say(place.err, f"{place.site}: from {utc(reading.start)} to {utc(reading.end)}")
        outcome = _run(place, reading)
        say(place.out, _sentence(outcome, reading))
        if outcome.error:
            say(place.err, Text(str(outcome.error), "bold red"))
        if outcome.result != "ok":
            raise typer.Exit(1)


def _run(place: Place, reading: Window) -> Outcome:
    deadline = Deadline.never(wiring.CLOCK)
    with wiring.site_run(place.settings, place.chosen, deadline, kind="backfills") as run:
        try:
            with _shown(place, reading, run.tally):
                return fill(run, reading)
        except KeyboardInterrupt:
            say(
                place.err,
                f"Interrupted after {run.tally.rows:,} rows. What was delivered is in the "
                "backfill's own checkpoint: run the same command again to go on.",
            )
            raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _shown(place: Place, reading: Window, tally: Tally) -> Iterator[None]:
    """Where somebody looks, a bar that says how far the tally has come."""
    if not (place.err.is_terminal and place.out.is_terminal):
        yield
        return
    columns = BarColumn(), TextColumn("{task.description}"), _Records(tally), TimeRemainingColumn()
    with _Reached(*columns, console=place.err, transient=True) as progress:
        progress.follow(reading, tally)
        yield


class _Reached(Progress):
    """A bar over a range of time that follows a tally's position."""

    def follow(self, reading: Window, tally: Tally) -> None:
        self._reading, self._tally = reading, tally
        self._range = self.add_task(utc(reading.start)[:10], total=reading.length)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Asked for each time the bar is drawn."""
        if self.task_ids and self._tally.position is not None:
            at = self._tally.position
            self.update(self._range, completed=at - self._reading.start, description=utc(at)[:10])
        return super().get_renderables()


class _Records(ProgressColumn):
    """How many records were read, and how many a second."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def render(self, task: Task) -> Text:
        """Said anew each time the bar is drawn."""
        rate = self._tally.records / max(task.elapsed or 0.0, 1.0)
        return Text(f"{self._tally.records:,} records, {rate:,.0f} a second")


def _sentence(outcome: Outcome, reading: Window) -> str:
    """How it went, for a person."""
    number = f"{outcome.tally.rows:,} rows" if outcome.tally.rows != 1 else "1 row"
    kept = outcome.tally.letters
    text = {
        "ok": f"{number} filled in, complete from {utc(reading.start)} to {utc(reading.end)}.",
        "skipped": "left alone, as another backfill of this site is under way.",
    }.get(
        outcome.result,
        f"failed after {number}; nothing is lost: run the same command again to go on.",
    )
    letters = f" Records kept aside in dead-letters: {kept}." if kept else ""
    return f"{outcome.site}: {text}{letters}"
