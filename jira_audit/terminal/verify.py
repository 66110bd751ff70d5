"""The command that verifies a range of time, and the report that an auditor can file.

What is compared and repaired is in `verify.py`. Needs the extra `terminal`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from jira_audit import INTERRUPTED, __version__, wiring
from jira_audit.core import encoding, moments
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.clock import Deadline
from jira_audit.core.completeness import RecordStatus
from jira_audit.core.ledger import Ledger
from jira_audit.core.records import TABLE_FILE
from jira_audit.core.window import Window
from jira_audit.operations.verify import Lookup, Repaired, Table, Verified, read
from jira_audit.operations.verify import repair as repair_
from jira_audit.operations.verify import verify as verify_
from jira_audit.terminal.console import (
    LocalFolder,
    Place,
    SettingsFile,
    SiteHost,
    place_at,
    range_given,
    say,
    show_lines,
    shown_while_it_runs,
    utc,
)

VERSION = 1
"""Of the JSON; changes when what it says changes its meaning."""

UNKNOWN = 3
"""The exit code where nothing is missing as far as can be known, and not all can be known."""

RANGES_SHOWN = 10

METHOD = (
    "Every record that Jira's audit log shows now for this range, as it says when it was created, "
    "was looked for by its id. delivered: the connector's ledger has it, and no dead letter of it "
    "waits. in_table: the table has a row with its id, whatever the ledger says. kept: a dead "
    "letter of it waits, and it is not in the table. to_come: it was created after the "
    "checkpoint's through, or shown so late that the next overlap or sweep reads it. missing: it "
    "should be in the table, or in the ledger where no table was asked, and is in neither that nor "
    "a letter. unknown: it was created where no ledger says anything, and no table was asked. What "
    "was delivered and not in the table was asked for again for as long as the option --wait says "
    "after the ledger's last save. What Jira has deleted cannot be verified; what the table's own "
    "retention has deleted is missing."
)

WorkspaceId = Annotated[
    str | None,
    typer.Option(
        "--workspace",
        metavar="ID",
        help="Look in the table, too: the Workspace ID of the Log Analytics workspace, a GUID.",
    ),
]


def verify(
    begin: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="TIME|all",
            help="Verify from this moment on: an ISO time with its zone, such as "
            "2026-03-01T00:00:00Z, or all that Jira still has.",
        ),
    ],
    end: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="TIME", help="Verify up to this moment.  [dim]default: now[/]"
        ),
    ] = None,
    *,
    workspace: WorkspaceId = None,
    wait: Annotated[
        int,
        typer.Option(
            "--wait",
            metavar="MINUTES",
            min=0,
            max=24 * 60,
            help="How long what was accepted may take to show in a workspace's table, before it is "
            "called missing.",
        ),
    ] = 15,
    repair: Annotated[
        bool, typer.Option("--repair", help="Send what is missing, under the site's lease.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="FILE",
            dir_okay=False,
            allow_dash=True,
            help="Write the report to this file as JSON, with all ids as ranges.  "
            "[dim]-: to standard output[/]",
        ),
    ] = None,
    site: SiteHost = None,
    folder: LocalFolder = None,
    settings: SettingsFile = None,
) -> None:
    """Is every record there? Reads Jira again, and looks for each one it shows.

    In the ledger and among the dead letters; with --workspace in the table as
    well, with --folder in its rows. What lies before the checkpoint's from, or
    was pruned from its ledger, is unknown unless there is a table to look in.
    Nothing is changed but with --repair; ticks go on meanwhile.

    Exit code 0 if nothing is missing (or --repair has sent it), 1 if something
    is, 3 if nothing is as far as can be known, but not all can be known.

    For example:

      jira-audit verify --from 2026-03-01T00:00:00Z --workspace …
    """
    with place_at(folder, settings, site) as place:
        now = wiring.CLOCK.now()
        window = range_given(begin, end, now, now)
        table = wiring.table(place.settings, workspace)
        where = _where(folder, workspace)
        try:
            verified = _verify(place, window, table, 0 if folder else wait)
            repaired = _repair(place, verified) if repair else None
        except KeyboardInterrupt:
            say(place.err, "Interrupted. What a repair has sent is in the ledger: verify again.")
            raise typer.Exit(INTERRUPTED) from None
        told = _as_json(place.site, window, now, where, verified, repaired)
        if report and str(report) == "-":
            typer.echo(encoding.dumps(told))
        else:
            if report:
                report.write_bytes(encoding.dumps(told) + b"\n")
            show_lines(place.out, None, [line for line in _facts(told) if line[1]])
            say(place.out, _sentence(place.site, told))
        if repaired and repaired.error:
            raise repaired.error
        if code := {"missing": 1, "unknown": UNKNOWN}.get(told["answer"]):
            raise typer.Exit(code)


def _where(folder: Path | None, workspace: str | None) -> str | None:
    """What table was looked in."""
    if folder:
        return str(folder / TABLE_FILE)
    return workspace and f"Jira_Audit_CL of workspace {workspace}"


def _verify(place: Place, window: Window, table: Table | None, wait: int) -> Verified:
    """Read Jira again and compare; where somebody looks, it says how far that is."""
    site = place.chosen
    lookup = Lookup(wiring.ports(place.settings.target, site, kind="backfills"), table, wait * 60.0)
    with wiring.site_run(place.settings, site, Deadline.never(wiring.CLOCK)) as run:

        def words() -> str:
            if run.tally.waiting_for:
                return f"waiting for {run.tally.waiting_for:,} rows to show in the table"
            at = window.start if run.tally.position is None else run.tally.position
            return f"read up to {utc(at)}, {run.tally.records:,} records"

        with shown_while_it_runs(place.err, place.out, words):
            if table:  # what may not be asked shall fail now, and not after hours of reading
                table.held(place.site, Window(window.end, window.end))
            return verify_(run, lookup, window, read(run, window))


def _repair(place: Place, verified: Verified) -> Repaired:
    site = place.chosen
    backfills = wiring.ports(place.settings.target, site, kind="backfills")
    with (
        wiring.site_run(place.settings, site, Deadline.never(wiring.CLOCK)) as run,
        shown_while_it_runs(place.err, place.out, lambda: f"{run.tally.rows:,} rows sent"),
    ):
        return repair_(run, backfills, verified)


# The report.


def _as_json(
    site: str,
    window: Window,
    began: int,
    table: str | None,
    verified: Verified,
    repaired: Repaired | None,
) -> dict[str, Any]:
    """The whole report. What concerns a table is null where none was asked."""
    found, stored = verified.findings, verified.stored

    def fate(name: RecordStatus) -> dict[str, Any]:
        letters = [letter for letter, its in found.nameless.items() if its == name]
        told = _ids(found.by_status[name]) | {"count": found.count(name)}
        return told | ({"without_id": letters} if letters else {})

    return {
        "v": VERSION,
        "connector": __version__,
        "site": site,
        "from": moments.text(window.start),
        "to": moments.text(window.end),
        "began": moments.text(began),
        "asked": moments.text(verified.asked),
        "ended": moments.text(verified.ended),
        "complete_up_to": moments.text(min(window.end, stored.ticks.through)),
        "table": table,
        "checkpoint": _reach(stored.ticks),
        "backfill": stored.backfill and _reach(stored.backfill),
        "method": METHOD,
        "answer": _answer(verified, repaired),
        "in_jira": _ids(found.in_jira) | {"count": found.in_jira.count + len(found.nameless)},
        "delivered": _ids(found.accepted.without(found.by_status["dead letter"])),
        "in_table": fate("in table") if table else None,
        "kept": fate("dead letter"),
        "to_come": fate("pending"),
        "missing": fate("missing"),
        "unknown": fate("unknown"),
        "doubled": {
            **_ids(Ledger().with_ids(found.copies)),
            "rows_too_many": sum(found.copies.values()) - len(found.copies),
        }
        if table
        else None,
        "only_in_table": _ids(found.only_in_table) if table else None,
        "repaired": repaired
        and {
            "sent": _ids(repaired.sent),
            "left": _ids(repaired.left),
            "skipped": repaired.skipped,
            "error": None if repaired.error is None else str(repaired.error),
        },
    }


def _answer(verified: Verified, repaired: Repaired | None) -> str:
    """As found; `repaired` where all that was missing has been sent since, and no more is open."""
    found = verified.findings
    nameless = found.nameless.values()
    if found.verdict != "missing" or not repaired or repaired.left.ranges or "missing" in nameless:
        return found.verdict
    return "unknown" if found.count("unknown") else "repaired"


def _ids(ledger: Ledger) -> dict[str, Any]:
    return {"count": ledger.count, "ids": ledger.ranges}


def _reach(checkpoint: Checkpoint) -> dict[str, Any]:
    pruned = None if checkpoint.pruned is None else moments.text(checkpoint.pruned)
    start, through = moments.text(checkpoint.start), moments.text(checkpoint.through)
    return {"from": start, "through": through, "pruned": pruned}


# For people.


def _facts(told: dict[str, Any]) -> list[tuple[str, str]]:
    names = {
        "in_jira": "in Jira",
        "in_table": "in the table",
        "delivered": "delivered",
        "kept": "kept as letters",
        "to_come": "still to come",
        "missing": "missing",
        "unknown": "unknown",
        "doubled": "doubled",
        "only_in_table": "no more in Jira",
    }
    listed = {"missing", "unknown", "doubled"}
    facts = [(says, _count(told[name], listed=name in listed)) for name, says in names.items()]
    if repaired := told["repaired"]:
        facts.append(("repaired", _count(repaired["sent"], listed=True)))
    return [("site", told["site"]), ("from", told["from"]), ("to", told["to"]), *facts]


def _count(told: dict[str, Any] | None, *, listed: bool) -> str:
    """How many, and which; empty where nobody asked."""
    if told is None:
        return ""
    ranges = [str(a) if a == b else f"{a} to {b}" for a, b in told["ids"][:RANGES_SHOWN]]
    more = len(told["ids"]) - RANGES_SHOWN
    which = ", ".join([*ranges, *([f"and {more:,} more ranges"] if more > 0 else [])])
    letters = [f"{len(told['without_id']):,} without an id"] if "without_id" in told else []
    said = "; ".join([*([which] if which else []), *letters])
    return f"{told['count']:,}" + (f": {said}" if listed and said else "")


def _sentence(site: str, told: dict[str, Any]) -> Text:
    """What it comes to, for a person."""
    answer, repaired = told["answer"], told["repaired"]
    number, missing = f"{told['in_jira']['count']:,}", f"{told['missing']['count']:,}"
    if answer == "complete":
        place = "in the table" if told["table"] else "delivered"
        text = (
            f"nothing is missing. Of {number} records, every one that was created up to "
            f"{utc(moments.parse(told['complete_up_to']))} is {place} or kept as a dead letter."
        )
    elif answer == "repaired":
        text = (
            f"{missing} of {number} records were missing, and have been sent just now. Verify "
            "again to see them arrive."
        )
    elif answer == "unknown":
        text = (
            f"nothing is missing as far as can be known. Of {told['unknown']['count']:,} of "
            f"{number} records nothing is known: no ledger reaches so far. Name the workspace "
            "(--workspace) to look for them in the table."
        )
    else:
        text = f"{missing} of {number} records are MISSING."
        if repaired is None:
            text += " --repair sends them."
        else:
            text += f" {repaired['sent']['count']:,} of them have been sent just now."
            text += " Another run has the site: try again soon." if repaired["skipped"] else ""
    style = {"missing": "bold red", "unknown": "bold yellow"}.get(answer, "bold green")
    return Text.assemble((site, style), f": {text}")
