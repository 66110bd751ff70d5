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
from jira_audit.core import timestamps
from jira_audit.core.clock import Deadline
from jira_audit.core.outcome import Outcome, Tally
from jira_audit.core.text import escaped
from jira_audit.core.window import Window
from jira_audit.operations import backfill
from jira_audit.operations.exit_codes import ExitCode
from jira_audit.settings.table import EVERYTHING
from jira_audit.terminal.console import exit_on_interrupt, print_json, print_message
from jira_audit.terminal.context import SiteContext, site_context
from jira_audit.terminal.format import utc
from jira_audit.terminal.options import (
    AsJson,
    Place,
    SiteHost,
    from_option,
    placed,
    to_option,
)
from jira_audit.terminal.times import parse_from, parse_to, require_order


@placed()
def command(
    begin: Annotated[str, from_option("Read")],
    end: Annotated[str | None, to_option("Read", "where the checkpoint begins")] = None,
    *,
    as_json: AsJson = False,
    host: SiteHost = None,
    place: Place,
) -> None:
    """Deliver what is older than the checkpoint, which began with the first run.

    Has its own checkpoint and lease: the schedule continues, and nothing is delivered twice. If
    interrupted, the same command resumes it.

    For example:

      jira-audit backfill --from 2026-03-01
      jira-audit backfill --from all
    """
    with site_context(place, host, EVERYTHING) as ctx:
        now = wiring.CLOCK.now()
        start = parse_from(begin, now)
        until = None if end is None else parse_to(end, now)
        require_order(start, until)
        window = backfill.bounds(ctx.host, ctx.ports.checkpoints, start, until)
        print_message(ctx.err, f"{ctx.host}: from {utc(window.start)} to {utc(window.end)}")
        outcome = _run(ctx, window)
        if as_json:
            print_json(_payload(outcome, window))
        else:
            print_message(ctx.out, _summary(outcome, window))
        if outcome.error:
            print_message(ctx.err, Text(escaped(str(outcome.error)), "bold red"))
        if outcome.result != "ok":
            raise typer.Exit(ExitCode.FAILED)


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


def _payload(outcome: Outcome, window: Window) -> dict[str, object]:
    start, end = timestamps.text(window.start), timestamps.text(window.end)
    return outcome.payload() | {"from": start, "to": end}


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
