"""`verify`: proves a range of time complete, of every site.

`operations/verify.py` compares and repairs; `verify_report.py` has the auditor's report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from jira_audit import wiring
from jira_audit.core import encoding
from jira_audit.core.clock import Deadline
from jira_audit.core.errors import ConnectorError
from jira_audit.core.outcome import Tally
from jira_audit.core.records import TABLE_FILE
from jira_audit.core.text import escaped
from jira_audit.core.window import Window
from jira_audit.flow.ports import Ports, Table
from jira_audit.operations import verify
from jira_audit.operations.certificate import statement
from jira_audit.operations.exit_codes import ExitCode, worst
from jira_audit.operations.verify import Lookup, Repaired, Verified
from jira_audit.settings.table import EVERYTHING
from jira_audit.terminal import certificate, verify_report
from jira_audit.terminal.console import (
    exit_on_interrupt,
    print_json,
    print_message,
    progress_line,
    show_lines,
)
from jira_audit.terminal.context import (
    Context,
    SiteContext,
    context,
    for_each_site,
    of_stored,
)
from jira_audit.terminal.format import utc
from jira_audit.terminal.options import (
    Place,
    SiteHosts,
    flag,
    from_option,
    json_flag,
    placed,
    require_workspace_id,
    to_option,
    workspace_option,
)
from jira_audit.terminal.times import parse_range

EXIT_CODES = {
    "missing": ExitCode.FAILED,
    "failed": ExitCode.FAILED,
    # Nothing is known to be missing, but some records cannot be checked, or not yet.
    "unknown": ExitCode.UNKNOWN,
    "delayed": ExitCode.UNKNOWN,
}
"""By the report's answer; OK for all others."""

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
    hosts: SiteHosts = None,
    place: Place,
) -> None:
    """Prove that every record is there: read Jira again and look up each record.

    Looks in the ledger and the dead letters; with --workspace also in the table, with --folder in
    the folder's rows. Without a table, records older than the checkpoint's from, or pruned from its
    ledger, are unknown. Changes nothing without --repair; ticks keep running.

    Verifies all sites side by side, or those of --site. The JSON has the worst answer and each
    site's report, the worst first. Of several sites, each is a tab-separated line if the output is
    not a terminal:
    site, answer, and the numbers of records in Jira, delivered, dead-lettered, missing, unknown. A
    site that cannot be verified is in both as failed, and stops no other.

    Exit code 0 if nothing is missing (or --repair has sent it), 1 if something is, 3 if nothing is
    known to be missing, but some records cannot be checked yet, or at all.

    For example:

      jira-audit verify --from 30d
      jira-audit verify --from 2026-03-01 --workspace … --out report.json
      jira-audit verify --from 90d --workspace … --certificate certificate.html
    """
    require_workspace_id(workspace)
    needs = EVERYTHING if repair else EVERYTHING - {"ingestion"}
    with context(place, needs, hosts or ()) as whole:
        ctx = whole if hosts else of_stored(whole, place)
        if not ctx.settings.sites:
            raise ctx.settings.invalid[0].error
        now = wiring.CLOCK.now()
        window = parse_range(begin, end, now, now)
        work = _Work(window, wiring.table(ctx.settings, workspace), 0 if place.folder else wait)
        results = _results(ctx, work, repair=repair)
        table = _table_name(place.folder, workspace)
        reports = verify_report.worst_first(
            {
                host: verify_report.failed(host, its)
                if isinstance(its, ConnectorError)
                else verify_report.payload(host, window, now, table, *its)
                for host, its in results.items()
            }
        )
        overall = verify_report.of_all([*reports.values()], window)
        _write(ctx, reports, overall, as_json=as_json, output=output)
        for host, its in results.items():
            if certificate_file and not isinstance(its, ConnectorError):
                file = _of_host(certificate_file, host) if len(results) > 1 else certificate_file
                said = _certify(ctx, file, reports[host], its[0], work.table)
                print_message(ctx.err if as_json else ctx.out, said)
        repairs = [its[1] for its in results.values() if not isinstance(its, ConnectorError)]
        errors = [its.error for its in repairs if its and its.error]
        for error in errors:
            print_message(ctx.err, Text(escaped(str(error)), "bold red"))
        codes = [EXIT_CODES.get(report["answer"], ExitCode.OK) for report in reports.values()]
        if code := ExitCode.FAILED if errors else worst(codes):
            raise typer.Exit(code)


SiteResult = tuple[Verified, Repaired | None]


class _Work:
    """The verification of every site, and how far it is."""

    def __init__(self, window: Window, table: Table | None, wait: int) -> None:
        self.window, self.table, self.wait = window, table, wait
        self.tallies: dict[str, Tally] = {}

    def verify(self, ctx: SiteContext) -> Verified:
        """Read the site's log again and look up each record."""
        table, backfills = self.table, _backfills(ctx)
        with wiring.site_run(ctx.settings, ctx.site, Deadline.never(wiring.CLOCK)) as run:
            self.tallies[ctx.host] = run.tally
            if table:  # fails for a forbidden table now, not after hours of reading
                table.held(ctx.host, Window(self.window.end, self.window.end))
            shown = verify.read(run, self.window)
            lookup = Lookup(backfills, table, self.wait * 60.0)
            return verify.verify(run, lookup, self.window, shown)

    def repair(self, ctx: SiteContext, verified: Verified) -> Repaired:
        """Send what is missing of the site."""
        with wiring.site_run(ctx.settings, ctx.site, Deadline.never(wiring.CLOCK)) as run:
            self.tallies[ctx.host] = run.tally
            repaired = verify.repair(run, _backfills(ctx), verified)
        error = repaired.error and repaired.error.with_site(ctx.host)
        return replace(repaired, error=error)

    def text(self) -> str:
        """The progress now: of the site that is furthest behind."""
        tallies = dict(self.tallies)
        waiting = sum(tally.waiting_for for tally in tallies.values())
        if waiting:
            return f"waiting for {waiting:,} rows to show in the table"
        start = self.window.start
        reached = [start if its.position is None else its.position for its in tallies.values()]
        records = sum(tally.records for tally in tallies.values())
        return f"read up to {utc(min(reached, default=start))}, {records:,} records"


def _results(
    ctx: Context, work: _Work, *, repair: bool
) -> Mapping[str, SiteResult | ConnectorError]:
    """What was found of each site. Raises a single site's failure."""

    def of_site(its: SiteContext) -> SiteResult:
        verified = work.verify(its)
        return verified, work.repair(its, verified) if repair else None

    with (
        exit_on_interrupt(ctx.err, "What a repair sent is in the ledger: verify again."),
        progress_line(ctx.err, ctx.out, work.text),
    ):
        results = dict(for_each_site(ctx, of_site))
    if len(results) == 1:
        for its in results.values():
            if isinstance(its, ConnectorError):
                raise its
    return results


def _backfills(ctx: SiteContext) -> Ports:
    return wiring.ports(ctx.settings.destination, ctx.site, kind="backfills")


def _of_host(file: Path, host: str) -> Path:
    """The file of one of several sites."""
    return file.with_stem(f"{file.stem}-{host}")


def _certify(
    ctx: Context, file: Path, report: dict[str, Any], verified: Verified, table: Table | None
) -> str:
    """Write a site's certificate; returns what to say."""
    (holder,) = [site.holder for site in ctx.settings.sites if site.host == report["site"]]
    oldest = table.oldest() if table else None
    stated = statement(report, verified, oldest, certificate.issue(holder))
    return f"{file}: SHA-256 {certificate.write(file, stated, verify_report.COUNTS)}"


def _table_name(folder: Path | None, workspace: str | None) -> str | None:
    """The table that was queried."""
    if folder:
        return str(folder / TABLE_FILE)
    return workspace and f"Jira_Audit_CL of workspace {workspace}"


def _write(
    ctx: Context,
    reports: Mapping[str, dict[str, Any]],
    overall: dict[str, Any],
    *,
    as_json: bool,
    output: Path | None,
) -> None:
    if as_json:
        print_json(overall)
    elif len(reports) == 1:
        for report in reports.values():
            show_lines(ctx.out, None, verify_report.counts(report))
            print_message(ctx.out, verify_report.sentence(report))
    else:
        lines = [verify_report.line(report) for report in reports.values()]
        show_lines(ctx.out, verify_report.COLUMNS, lines)
        for report in reports.values():
            if report["answer"] != "complete":
                print_message(ctx.err, verify_report.sentence(report))
        print_message(ctx.err, verify_report.counted(overall))
    if output:
        wiring.write_file(output, encoding.dumps(overall) + b"\n")
