"""`backfill`: delivers what is older than the checkpoint, with a progress bar.

`operations/backfill.py` does the work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from jira_audit import wiring
from jira_audit.core.clock import Deadline
from jira_audit.core.outcome import Outcome, Tally
from jira_audit.core.text import escaped
from jira_audit.core.window import Window
from jira_audit.operations import backfill
from jira_audit.settings.table import EVERYTHING
from jira_audit.terminal.console import (
    LocalFolder,
    SettingsFile,
    SiteContext,
    SiteHost,
    exit_on_interrupt,
    parse_time,
    print_message,
    require_order,
    site_context,
)
from jira_audit.terminal.format import utc


def command(
    begin: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="TIME|all",
            help="Read from this time on, with a UTC offset, such as 2026-03-01T00:00:00Z, or "
            "all that Jira still has.",
        ),
    ],
    end: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="TIME",
            help="Read up to this time.  [dim]default: where the checkpoint begins[/]",
        ),
    ] = None,
    host: SiteHost = None,
    folder: LocalFolder = None,
    settings_file: SettingsFile = None,
) -> None:
    """Deliver what is older than the checkpoint, which began with the first run.

    Has its own checkpoint and lease: the schedule continues, and nothing is delivered twice. If
    interrupted, the same command resumes it.

    For example:

      jira-audit backfill --from 2026-03-01T00:00:00Z
    """
    with site_context(folder, settings_file, host, EVERYTHING) as ctx:
        now = wiring.CLOCK.now()
        start = parse_time(begin, now, "--from")
        until = None if end is None else parse_time(end, now, "--to")
        require_order(start, until)
        window = backfill.bounds(ctx.host, ctx.ports.checkpoints, start, until)
        print_message(ctx.err, f"{ctx.host}: from {utc(window.start)} to {utc(window.end)}")
        outcome = _run(ctx, window)
        print_message(ctx.out, _summary(outcome, window))
        if outcome.error:
            print_message(ctx.err, Text(escaped(str(outcome.error)), "bold red"))
        if outcome.result != "ok":
            raise typer.Exit(1)


def _run(ctx: SiteContext, window: Window) -> Outcome:
    advice = (
        "What was delivered is in the backfill's checkpoint: run the same command again to resume."
    )
    deadline, tally = Deadline.never(wiring.CLOCK), Tally()
    with (
        exit_on_interrupt(ctx.err, advice, tally),
        wiring.site_run(ctx.settings, ctx.site, deadline, kind="backfills") as run,
        _progress_bar(ctx, window, tally),
    ):
        return backfill.backfill(replace(run, tally=tally), window)


@contextmanager
def _progress_bar(ctx: SiteContext, window: Window, tally: Tally) -> Iterator[None]:
    """Show the tally's position in the range, if both outputs are terminals."""
    if not (ctx.err.is_terminal and ctx.out.is_terminal):
        yield
        return
    columns = BarColumn(), TextColumn("{task.description}"), _Records(tally), TimeRemainingColumn()
    with _RangeProgress(*columns, console=ctx.err, transient=True) as progress:
        progress.follow(window, tally)
        yield


class _RangeProgress(Progress):
    """A bar over a time range that follows a tally's position."""

    def follow(self, window: Window, tally: Tally) -> None:
        self._window, self._tally = window, tally
        self._task = self.add_task(utc(window.start)[:10], total=window.length)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Called for each refresh."""
        position = self._tally.position if self.task_ids else None
        if position is not None:
            completed = position - self._window.start
            self.update(self._task, completed=completed, description=utc(position)[:10])
        return super().get_renderables()


class _Records(ProgressColumn):
    """The records read, and their rate."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def render(self, task: Task) -> Text:
        """Called for each refresh."""
        rate = self._tally.records / max(task.elapsed or 0.0, 1.0)
        return Text(f"{self._tally.records:,} records, {rate:,.0f} a second")


def _summary(outcome: Outcome, window: Window) -> str:
    """One sentence on the outcome."""
    rows = f"{outcome.tally.rows:,} rows" if outcome.tally.rows != 1 else "1 row"
    letters = outcome.tally.letters
    text = {
        "ok": f"{rows} delivered, complete from {utc(window.start)} to {utc(window.end)}.",
        "skipped": "skipped: another backfill of this site holds the lease.",
    }.get(
        outcome.result,
        f"failed after {rows}; nothing is lost: run the same command again to resume.",
    )
    dead_letters = f" Dead letters: {letters}." if letters else ""
    return f"{outcome.site}: {text}{dead_letters}"
