"""`demo`: a simulated Jira site, two real runs into a local folder, and their rows.

Only the site and the five minutes between the runs are simulated. Requests go over HTTP on loopback
to the code that runs in Azure. Needs no account and no settings.
"""

from __future__ import annotations

import logging
import shlex
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jira_audit import app, wiring
from jira_audit.core.clock import Clock
from jira_audit.core.outcome import Outcome
from jira_audit.core.policy import Policy
from jira_audit.core.records import TABLE_FILE
from jira_audit.core.timestamps import DAY, HOUR, MINUTE
from jira_audit.operations.exit_codes import ExitCode
from jira_audit.settings.values import ApiToken, LocalFolder, Secret, Settings, Site
from jira_audit.simulator.records import Record, sample_records
from jira_audit.simulator.server import serve
from jira_audit.simulator.site import FakeJira
from jira_audit.terminal import invocation
from jira_audit.terminal.console import logging_to

HOST = "fernmoor.atlassian.example"
"""Nobody can register this name: https://www.rfc-editor.org/rfc/rfc2606#section-2"""

USERNAME, TOKEN = "auditor@fernmoor.example", "simulated"

TICK = 5 * MINUTE
"""The time between the two runs: the timer's default."""

FIRST_ID = 48_213
DAY_SEED, LATE_SEED, LATER_SEED = 25, 1, 164
"""A seed whose latest rows have several categories and authors."""

LATEST_ROWS, CATEGORIES = 8, 3


@dataclass(frozen=True)
class DemoData:
    """The site's records: a day's, those of the next five minutes, and a late one.

    The late one was created before the first run; Jira shows it only to the second.
    """

    day: list[Record]
    late: Record
    later: list[Record]

    @classmethod
    def until(cls, now: int) -> DemoData:
        """Data for a second run at the moment `now`, one tick after the first."""
        first_run = now - TICK
        day = sample_records(
            300, first_id=FIRST_ID, end_ms=first_run, span_ms=DAY - HOUR, seed=DAY_SEED
        )
        (late,) = sample_records(
            1,
            first_id=FIRST_ID + 300,
            end_ms=first_run - MINUTE,
            span_ms=5 * MINUTE,
            seed=LATE_SEED,
        )
        later = sample_records(
            14, first_id=FIRST_ID + 301, end_ms=now, span_ms=TICK - MINUTE, seed=LATER_SEED
        )
        return cls(day, late, later)


def command(
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="DIR",
            file_okay=False,
            help="A new or empty folder for rows and checkpoint.  [dim]default: a new temporary "
            "one[/]",
        ),
    ] = None,
) -> None:
    """Show how it works: a simulated Jira site, two runs, and the rows.

    Needs no account, settings or network: this machine serves the site, and a folder stands in
    for the table.
    """
    if folder and folder.exists() and any(folder.iterdir()):
        message = f"{folder} is not empty: name a new folder"
        raise typer.BadParameter(message, param_hint="--folder")
    with logging_to(Console(stderr=True), logging.ERROR):
        target = folder or Path(tempfile.mkdtemp(prefix="jira-audit-demo-"))
        if not run_demo(target, Console(highlight=False, emoji=False)):
            raise typer.Exit(ExitCode.FAILED)


def run_demo(folder: Path, console: Console) -> bool:
    """Collect a simulated site twice into an empty folder, and show the result.

    True if both runs ended well and each record is one row.
    """
    data = DemoData.until(wiring.CLOCK.now())
    site = FakeJira(USERNAME, TOKEN)
    console.print(f"Simulated Jira site [bold]{HOST}[/], {len(data.day)} audit records in a day")
    console.print()
    site.add(data.day)
    first = _run(site, folder, replace(wiring.CLOCK, now=lambda: wiring.CLOCK.now() - TICK))
    _show_run(console, "First run", first)
    site.add([*data.later, data.late])
    console.print(
        f"[dim]             five minutes later: {len(data.later)} new records, and a late one[/]"
    )
    second = _run(site, folder, wiring.CLOCK)
    _show_run(console, "Second run", second)
    if failed := next((run for run in (first, second) if run.result != "ok"), None):
        console.print(Text(f"{failed.result}: {failed.error}", "red"))
        return False
    rows = [orjson.loads(line) for line in (folder / TABLE_FILE).read_bytes().splitlines()]
    console.print()
    _show_rows(console, rows)
    is_complete = sorted(row["id_d"] for row in rows) == sorted(
        record["id"] for record in site.records
    )
    _show_end(console, folder, len(rows), is_complete=is_complete)
    return is_complete


def _run(site: FakeJira, folder: Path, clock: Clock) -> Outcome:
    with serve(site, clock_ms=clock.now) as address:
        connected = Site(HOST, address, ApiToken(USERNAME, Secret(TOKEN)))
        settings = Settings(
            (connected,), (), LocalFolder(folder), Policy(), reset_site=None, budget_seconds=60
        )
        (outcome,) = app.run_settings(settings, clock=clock)
    return outcome


def _show_run(console: Console, name: str, outcome: Outcome) -> None:
    tally = outcome.tally
    late = f", {tally.late_found} late" if tally.late_found else ""
    skipped = f", {tally.duplicates_skipped} duplicates skipped" if tally.duplicates_skipped else ""
    console.print(
        f"[bold]{name:<11}[/]  [green]{tally.rows} new rows[/]{late}"
        f"[dim] · {tally.records} records read{skipped} · {outcome.duration_ms} ms[/]"
    )


def _show_rows(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    console.print(f"[bold]The latest of {len(rows)} rows in Jira_Audit_CL[/]")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for name in ("time", "category", "summary", "who", "object"):
        table.add_column(name)
    for row in sorted(rows, key=lambda row: (row["created_t"], row["id_d"]))[-LATEST_ROWS:][::-1]:
        table.add_row(
            Text(row["created_t"][11:19]),
            Text(row["Category"], no_wrap=True),
            _one_line(row["summary_s"]),
            Text(_who(row)[:8]),
            _one_line(row.get("objectItem_name_s", "")),
        )
    console.print(table)
    counts = Counter(row["Category"] for row in rows).most_common()
    shown = [f"{name} {count}" for name, count in counts[:CATEGORIES]]
    if len(counts) > CATEGORIES:
        shown.append(f"{len(counts) - CATEGORIES} more")
    console.print(Text.assemble(("By category  ", "bold"), " · ".join(shown)))


def _one_line(text: str) -> Text:
    """Text that is truncated to its column's width."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def _who(row: dict[str, Any]) -> str:
    """The author's key or account id; the site's own events have none."""
    key = str(row.get("authorKey_s", ""))
    return str(row.get("authorAccountId_s", "")) if key.startswith("ug:") else key


def _show_end(console: Console, folder: Path, rows: int, *, is_complete: bool) -> None:
    console.print()
    if is_complete:
        console.print(f"[green]{rows} rows, {rows} records:[/] every record of the site, once")
    else:
        console.print("[red]The rows differ from the site's records: report this bug[/]")
    for name, path in (
        ("rows", folder / TABLE_FILE),
        ("checkpoint", folder / "checkpoints" / f"{HOST}.json"),
    ):
        console.print(Text(f"  {name:<12}{path}"), soft_wrap=True)
    command = invocation.command()
    for heading, line in (
        ("See these rows as an HTML page", f"{command} report --folder {shlex.quote(str(folder))}"),
        (
            "Collect your own site (set JIRA_SITE_URL, JIRA_USERNAME and JIRA_API_TOKEN)",
            f"{command} collect --folder ./out",
        ),
    ):
        console.print()
        console.print(Text(heading, "bold"))
        console.print(Text(f"  {line}"), soft_wrap=True)
