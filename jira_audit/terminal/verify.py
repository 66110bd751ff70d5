"""`verify`: proves a range of time complete, and writes the auditor's report.

`operations/verify.py` compares and repairs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from jira_audit import __version__, wiring
from jira_audit.core import encoding, timestamps
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.clock import Deadline
from jira_audit.core.completeness import Findings, RecordStatus
from jira_audit.core.ledger import Ledger
from jira_audit.core.records import TABLE_FILE
from jira_audit.core.window import Window
from jira_audit.flow.ports import Table
from jira_audit.operations import verify
from jira_audit.operations.certificate import statement
from jira_audit.operations.exit_codes import ExitCode
from jira_audit.operations.verify import Lookup, Repaired, Verified
from jira_audit.settings.table import EVERYTHING
from jira_audit.terminal import certificate
from jira_audit.terminal.console import (
    exit_on_interrupt,
    print_json,
    print_message,
    progress_line,
    show_lines,
)
from jira_audit.terminal.context import SiteContext, site_context
from jira_audit.terminal.format import utc
from jira_audit.terminal.options import (
    Place,
    SiteHost,
    flag,
    from_option,
    json_flag,
    placed,
    require_workspace_id,
    to_option,
    workspace_option,
)
from jira_audit.terminal.times import parse_range

VERSION = 1
"""The version of the JSON; it changes when a field's meaning does."""

EXIT_CODES = {
    "missing": ExitCode.FAILED,
    # Nothing is known to be missing, but some records cannot be checked, or not yet.
    "unknown": ExitCode.UNKNOWN,
    "delayed": ExitCode.UNKNOWN,
}
"""By the report's answer; OK for all others."""

RANGES_SHOWN = 10

METHOD = (
    "Every record that Jira's audit log shows now for this range of created times was looked up "
    "by its id. delivered: the connector's ledger has it, and it has no dead letter. in_table: "
    "the table has a row with its id, whatever the ledger says. kept: it has a dead letter and "
    "is not in the table. to_come: it was created after the checkpoint's through, or shown so "
    "late that the next overlap or sweep reads it. delayed: it was delivered, was created in the "
    "last 24 hours, and the table has neither it nor the newest records that were delivered. "
    "missing: it should be in the table (in the ledger, if no table was queried), and is neither "
    "there nor a dead letter. unknown: no "
    "ledger covers the time when it was created, and no table was queried. Records delivered but "
    "not in the table were queried again for the time of the option --wait after the ledger's "
    "last save. Records deleted from Jira cannot be verified; rows deleted by the table's "
    "retention count as missing."
)

WorkspaceId = Annotated[
    str | None,
    workspace_option("Query the table as well"),
]


@placed()
def command(
    begin: Annotated[str, from_option("Verify")],
    end: Annotated[str | None, to_option("Verify", "now")] = None,
    *,
    workspace: WorkspaceId = None,
    wait: Annotated[
        int,
        typer.Option(
            "--wait",
            metavar="MINUTES",
            min=0,
            max=24 * 60,
            help="How long accepted rows may take to show in a workspace's table before they are "
            "missing.",
        ),
    ] = 15,
    repair: Annotated[
        bool, flag("--repair", help="Send missing records, under the site's lease.")
    ] = False,
    as_json: Annotated[bool, json_flag("the whole report, with all ids as ranges")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", dir_okay=False, help="Write that JSON to this file as well."
        ),
    ] = None,
    certificate_file: Annotated[
        Path | None,
        typer.Option(
            "--certificate",
            metavar="FILE",
            dir_okay=False,
            help="Write a certificate for an auditor to this HTML file, with the same JSON in it, "
            "and its SHA-256 to a file beside it.",
        ),
    ] = None,
    host: SiteHost = None,
    place: Place,
) -> None:
    """Prove that every record is there: read Jira again and look up each record.

    Looks in the ledger and the dead letters; with --workspace also in the table, with --folder in
    the folder's rows. Without a table, records older than the checkpoint's from, or pruned from its
    ledger, are unknown. Changes nothing without --repair; ticks keep running.

    Exit code 0 if nothing is missing (or --repair has sent it), 1 if something is, 3 if nothing is
    known to be missing, but some records cannot be checked yet, or at all.

    For example:

      jira-audit verify --from 30d
      jira-audit verify --from 2026-03-01 --workspace … --out report.json
      jira-audit verify --from 90d --workspace … --certificate certificate.html
    """
    require_workspace_id(workspace)
    needs = EVERYTHING if repair else EVERYTHING - {"ingestion"}
    with site_context(place, host, needs) as ctx:
        now = wiring.CLOCK.now()
        window = parse_range(begin, end, now, now)
        table = wiring.table(ctx.settings, workspace)
        with exit_on_interrupt(ctx.err, "What a repair sent is in the ledger: verify again."):
            verified = _verify(ctx, window, table, 0 if place.folder else wait)
            repaired = _repair(ctx, verified) if repair else None
        name = _table_name(place.folder, workspace)
        payload = _payload(ctx.host, window, now, name, verified, repaired)
        _write(ctx, payload, as_json=as_json, output=output)
        if certificate_file:
            oldest = table.oldest() if table else None
            issue = certificate.issue(ctx.site.holder)
            stated = statement(payload, verified, oldest, issue)
            digest = certificate.write(certificate_file, stated, COUNTS)
            print_message(ctx.err if as_json else ctx.out, f"{certificate_file}: SHA-256 {digest}")
        if repaired and repaired.error:
            raise repaired.error
        if code := EXIT_CODES.get(payload["answer"]):
            raise typer.Exit(code)


def _table_name(folder: Path | None, workspace: str | None) -> str | None:
    """The table that was queried."""
    if folder:
        return str(folder / TABLE_FILE)
    return workspace and f"Jira_Audit_CL of workspace {workspace}"


def _verify(ctx: SiteContext, window: Window, table: Table | None, wait: int) -> Verified:
    backfills = wiring.ports(ctx.settings.destination, ctx.site, kind="backfills")
    with wiring.site_run(ctx.settings, ctx.site, Deadline.never(wiring.CLOCK)) as run:

        def status_text() -> str:
            if run.tally.waiting_for:
                return f"waiting for {run.tally.waiting_for:,} rows to show in the table"
            position = window.start if run.tally.position is None else run.tally.position
            return f"read up to {utc(position)}, {run.tally.records:,} records"

        with progress_line(ctx.err, ctx.out, status_text):
            if table:  # fails for a forbidden table now, not after hours of reading
                table.held(ctx.host, Window(window.end, window.end))
            shown = verify.read(run, window)
            return verify.verify(run, Lookup(backfills, table, wait * 60.0), window, shown)


def _repair(ctx: SiteContext, verified: Verified) -> Repaired:
    backfills = wiring.ports(ctx.settings.destination, ctx.site, kind="backfills")
    with (
        wiring.site_run(ctx.settings, ctx.site, Deadline.never(wiring.CLOCK)) as run,
        progress_line(ctx.err, ctx.out, lambda: f"{run.tally.rows:,} rows sent"),
    ):
        return verify.repair(run, backfills, verified)


def _write(
    ctx: SiteContext, payload: dict[str, Any], *, as_json: bool, output: Path | None
) -> None:
    if as_json:
        print_json(payload)
    else:
        show_lines(ctx.out, None, _counts(payload))
        print_message(ctx.out, _summary(ctx.host, payload))
    if output:
        wiring.write_file(output, encoding.dumps(payload) + b"\n")


# The report.


def _payload(
    host: str,
    window: Window,
    began: int,
    table: str | None,
    verified: Verified,
    repaired: Repaired | None,
) -> dict[str, Any]:
    """The whole report. The table's fields are null if none was queried."""
    findings, stored = verified.findings, verified.stored
    return {
        "v": VERSION,
        "connector": __version__,
        "site": host,
        "from": timestamps.text(window.start),
        "to": timestamps.text(window.end),
        "began": timestamps.text(began),
        "asked": timestamps.text(verified.asked),
        "ended": timestamps.text(verified.ended),
        "complete_up_to": timestamps.text(min(window.end, stored.ticks.through)),
        "table": table,
        "table_through": (
            None if findings.table_through is None else timestamps.text(findings.table_through)
        ),
        "checkpoint": _reach(stored.ticks),
        "backfill": stored.backfill and _reach(stored.backfill),
        "method": METHOD,
        "answer": _answer(verified, repaired),
        "in_jira": _ids(findings.in_jira)
        | {"count": findings.in_jira.count + len(findings.nameless)},
        "delivered": _ids(findings.accepted.without(findings.by_status["dead letter"])),
        "in_table": _records(findings, "in table") if table else None,
        "kept": _records(findings, "dead letter"),
        "to_come": _records(findings, "pending"),
        "delayed": _records(findings, "delayed") if table else None,
        "missing": _records(findings, "missing"),
        "unknown": _records(findings, "unknown"),
        "doubled": _duplicates(findings) if table else None,
        "only_in_table": _ids(findings.only_in_table) if table else None,
        "repaired": repaired and _repaired_payload(repaired),
    }


def _records(findings: Findings, status: RecordStatus) -> dict[str, Any]:
    letters = [letter for letter, its in findings.nameless.items() if its == status]
    records = _ids(findings.by_status[status]) | {"count": findings.count(status)}
    return records | ({"without_id": letters} if letters else {})


def _duplicates(findings: Findings) -> dict[str, Any]:
    extra = sum(findings.copies.values()) - len(findings.copies)
    return _ids(Ledger().with_ids(findings.copies)) | {"rows_too_many": extra}


def _repaired_payload(repaired: Repaired) -> dict[str, Any]:
    return {
        "sent": _ids(repaired.sent),
        "left": _ids(repaired.left),
        "skipped": repaired.skipped,
        "error": None if repaired.error is None else str(repaired.error),
    }


def _answer(verified: Verified, repaired: Repaired | None) -> str:
    """The verdict; `repaired` if every missing record was sent, and none is unknown."""
    findings = verified.findings
    if findings.verdict != "missing" or repaired is None:
        return findings.verdict
    if repaired.left.ranges or "missing" in findings.nameless.values():
        return "missing"
    if findings.count("unknown"):
        return "unknown"
    return "delayed" if findings.count("delayed") else "repaired"


def _ids(ledger: Ledger) -> dict[str, Any]:
    return {"count": ledger.count, "ids": ledger.ranges}


def _reach(checkpoint: Checkpoint) -> dict[str, Any]:
    pruned = None if checkpoint.pruned is None else timestamps.text(checkpoint.pruned)
    start, through = timestamps.text(checkpoint.start), timestamps.text(checkpoint.through)
    return {"from": start, "through": through, "pruned": pruned}


# For people.

COUNTS = {
    "in_jira": "in Jira",
    "in_table": "in the table",
    "delivered": "delivered",
    "kept": "dead letters",
    "to_come": "pending",
    "delayed": "delayed",
    "missing": "missing",
    "unknown": "unknown",
    "doubled": "duplicated",
    "only_in_table": "no longer in Jira",
}
"""The report's counts, and their names for people."""

WITH_IDS = frozenset({"delayed", "missing", "unknown", "doubled"})


def _counts(payload: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [(name, payload[name]) for name in ("site", "from", "to")]
    for name, label in COUNTS.items():
        if records := payload[name]:
            lines.append((label, _count(records, with_ids=name in WITH_IDS)))
    if repaired := payload["repaired"]:
        lines.append(("repaired", _count(repaired["sent"], with_ids=True)))
    return lines


def _count(records: dict[str, Any], *, with_ids: bool) -> str:
    """The number of records and, on request, their first ids."""
    details = []
    if with_ids and records["ids"]:
        details.append(Ledger(tuple(records["ids"])).sample(RANGES_SHOWN))
    if with_ids and "without_id" in records:
        details.append(f"{len(records['without_id']):,} without an id")
    return f"{records['count']:,}" + (f": {'; '.join(details)}" if details else "")


def _summary(host: str, payload: dict[str, Any]) -> Text:
    """The result in one or two sentences."""
    answer = payload["answer"]
    number, missing = f"{payload['in_jira']['count']:,}", f"{payload['missing']['count']:,}"
    if answer == "complete":
        place = "in the table" if payload["table"] else "delivered"
        text = (
            f"nothing is missing. Of {number} records, every one that was created up to "
            f"{utc(timestamps.parse(payload['complete_up_to']))} is {place} or a dead letter."
        )
    elif answer == "repaired":
        text = (
            f"{missing} of {number} records were missing, and were sent now. Verify again to check "
            "that they arrive."
        )
    elif answer == "unknown":
        text = (
            f"nothing is known to be missing, but {payload['unknown']['count']:,} of {number} "
            "records cannot be checked: no ledger covers them. Use --workspace to look for them in "
            "the table."
        )
    elif answer == "delayed":
        text = f"nothing is known to be missing, but the table is behind. {_delay(payload)}"
    else:
        text = f"{missing} of {number} records are MISSING.{_repair_result(payload['repaired'])}"
        if payload["delayed"] and payload["delayed"]["count"]:
            text += f" The table is behind, too. {_delay(payload)}"
    style = {"missing": "bold red", "unknown": "bold yellow", "delayed": "bold yellow"}.get(
        answer, "bold green"
    )
    return Text.assemble((host, style), f": {text}")


def _delay(payload: dict[str, Any]) -> str:
    through = payload["table_through"]
    newest = "none of this range" if through is None else utc(timestamps.parse(through))
    return (
        f"The newest record in it: {newest}. {payload['delayed']['count']:,} that were delivered "
        "are not there yet. --repair leaves them: verify again later."
    )


def _repair_result(repaired: dict[str, Any] | None) -> str:
    if repaired is None:
        return " --repair sends them."
    skipped = " Another run holds the lease: retry in a few minutes." if repaired["skipped"] else ""
    return f" {repaired['sent']['count']:,} of them were sent now.{skipped}"
