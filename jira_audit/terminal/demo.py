"""The demo: a simulated Jira site, two real runs into a local folder, and a look at the rows.

Only the site and the clock's five minutes between the runs are made up: requests go over HTTP on
loopback, and what collects them is what runs in Azure. No account or setting plays a part.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jira_audit import app, wiring
from jira_audit.core.clock import Clock
from jira_audit.core.moments import DAY, HOUR, MINUTE
from jira_audit.core.outcome import Outcome
from jira_audit.core.policy import Policy
from jira_audit.core.records import TABLE_FILE
from jira_audit.settings.values import ApiToken, Secret, Settings, Site
from jira_audit.simulator.records import Record, sample_records
from jira_audit.simulator.server import serve
from jira_audit.simulator.site import FakeJira
from jira_audit.terminal import invocation

HOST = "fernmoor.atlassian.example"
"""No one can own it: https://www.rfc-editor.org/rfc/rfc2606#section-2"""

USERNAME, TOKEN = "auditor@fernmoor.example", "simulated"

TICK = 5 * MINUTE
"""Between the two runs, as the timer would leave."""

FIRST_ID = 48_213
DAY_SEED, LATE_SEED, LATER_SEED = 25, 1, 164
"""Chosen by eye: with these, the latest rows are of several kinds and by several people."""

LATEST_ROWS, CATEGORIES = 8, 3


@dataclass(frozen=True)
class Story:
    """The site's records: those of a day, those of the next minutes, and one that Jira shows late.

    The late one was created before the first run, and is there only for the second.
    """

    day: list[Record]
    late: Record
    later: list[Record]

    @classmethod
    def until(cls, now: int) -> Story:
        """A story whose second run is at the moment `now`, one tick after the first."""
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


def play(folder: Path, console: Console) -> bool:
    """Collect a simulated site twice into an empty folder, and show what came of it.

    True if both runs went well and every record of the site is a row, once.
    """
    story = Story.until(wiring.CLOCK.now())
    site = FakeJira(USERNAME, TOKEN)
    console.print(f"Simulated Jira site [bold]{HOST}[/], {len(story.day)} audit records in a day")
    console.print()
    site.add(story.day)
    first = _run(site, folder, replace(wiring.CLOCK, now=lambda: wiring.CLOCK.now() - TICK))
    _show_run(console, "First run", first)
    site.add([*story.later, story.late])
    console.print(
        f"[dim]             five minutes later: {len(story.later)} new records, and a late one[/]"
    )
    second = _run(site, folder, wiring.CLOCK)
    _show_run(console, "Second run", second)
    if failed := next((run for run in (first, second) if run.result != "ok"), None):
        console.print(Text(f"{failed.result}: {failed.error}", "red"))
        return False
    rows = [orjson.loads(line) for line in (folder / TABLE_FILE).read_bytes().splitlines()]
    console.print()
    _show_rows(console, rows)
    complete = sorted(row["id_d"] for row in rows) == sorted(each["id"] for each in site.records)
    _show_end(console, folder, len(rows), complete=complete)
    return complete


def _run(site: FakeJira, folder: Path, clock: Clock) -> Outcome:
    with serve(site, clock_ms=clock.now) as address:
        connected = Site(HOST, address, ApiToken(USERNAME, Secret(TOKEN)))
        settings = Settings((connected,), (), folder, Policy(), reset_site=None, budget_seconds=60)
        (outcome,) = app.run_settings(settings, clock=clock)
    return outcome


def _show_run(console: Console, name: str, outcome: Outcome) -> None:
    tally = outcome.tally
    late = f", {tally.late_found} late" if tally.late_found else ""
    again = f", {tally.duplicates_skipped} known skipped" if tally.duplicates_skipped else ""
    console.print(
        f"[bold]{name:<11}[/]  [green]{tally.rows} new rows[/]{late}"
        f"[dim] · {tally.records} records read{again} · {outcome.duration_ms} ms[/]"
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
            _cut(row["summary_s"]),
            Text(_who(row)[:8]),
            _cut(row.get("objectItem_name_s", "")),
        )
    console.print(table)
    counts = Counter(row["Category"] for row in rows).most_common()
    shown = [f"{name} {count}" for name, count in counts[:CATEGORIES]]
    if len(counts) > CATEGORIES:
        shown.append(f"{len(counts) - CATEGORIES} more")
    console.print(Text.assemble(("By category  ", "bold"), " · ".join(shown)))


def _cut(text: str) -> Text:
    """On one line, however narrow it is."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def _who(row: dict[str, Any]) -> str:
    """The author as briefly as the row knows it; what the site does itself has none."""
    key = str(row.get("authorKey_s", ""))
    return str(row.get("authorAccountId_s", "")) if key.startswith("ug:") else key


def _show_end(console: Console, folder: Path, rows: int, *, complete: bool) -> None:
    console.print()
    if complete:
        console.print(f"[green]{rows} rows, {rows} records:[/] every one of the site's, each once")
    else:
        console.print("[red]These are not the site's records: this is a bug, please report it[/]")
    for name, path in (
        ("rows", folder / TABLE_FILE),
        ("checkpoint", folder / "checkpoints" / f"{HOST}.json"),
    ):
        console.print(Text(f"  {name:<12}{path}"), soft_wrap=True)
    command = invocation.command()
    for heading, line in (
        ("These rows as a page", f"{command} report --folder {shlex.quote(str(folder))}"),
        (
            "Your own site, with JIRA_SITE_URL, JIRA_USERNAME and JIRA_API_TOKEN set",
            f"{command} collect --to ./out",
        ),
    ):
        console.print()
        console.print(Text(heading, "bold"))
        console.print(Text(f"  {line}"), soft_wrap=True)
