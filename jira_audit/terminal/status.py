"""`status`: judges each site's health."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from jira_audit import wiring
from jira_audit.core import expiry
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.operations.exit_codes import worst
from jira_audit.operations.judgement import VERDICTS, Judgement, Limits, Verdict
from jira_audit.operations.status import lag
from jira_audit.settings.table import STORED
from jira_audit.terminal.console import print_json, print_message, show_lines
from jira_audit.terminal.context import context
from jira_audit.terminal.format import format_duration, utc
from jira_audit.terminal.options import Place, SiteHosts, flag, json_flag, placed
from jira_audit.terminal.statuses import judgements
from jira_audit.terminal.times import parse_duration

TABLE_COLUMNS = "site", "verdict", "last run", "lag", "dead letters", "token"
"""The columns that fit on a terminal for several sites, if they have a value."""

STYLES: Mapping[Verdict, str] = {"ok": "green", "new": "yellow", "token expires": "yellow"}
"""The colour of a verdict; red for all others."""


@placed()
def command(
    *,
    hosts: SiteHosts = None,
    failing: Annotated[
        bool, flag("--failing", help="Show only the sites whose verdict is not ok.")
    ] = False,
    max_lag: Annotated[
        str | None,
        typer.Option(
            "--max-lag",
            metavar="DURATION",
            help="Call a site late that is complete up to longer ago than this, such as 30m, 6h, "
            "2d.",
        ),
    ] = None,
    as_json: Annotated[bool, json_flag("one object per line and site")] = False,
    place: Place,
) -> None:
    """Judge each site's health: verdict, watermark, last run, dead letters.

    The verdict, the worst first: failed; unknown, if storage does not answer; token expired; late,
    if nothing was saved for three polls or --max-lag is exceeded; missing, if the daily audit has
    found the table incomplete, or duplicates in it; dead letters, if some wait; unproven, if it has
    not succeeded for three days; new; token expires; ok.

    "Records": delivered or dead-lettered since the checkpoint began. "Late": those of them that an
    earlier run had missed. "Gaps": ids in between that Jira has not shown; a hint, not a proof: use
    verify for that.

    If the output is not a terminal, each site is a tab-separated line: site, verdict, last run,
    from, complete up to, lag, records, dead letters, late, gaps, backfill, token, running since, in
    the table up to. Exit code 0 if every site is ok, 1 if one needs someone, else 3 if one cannot
    be known.
    """
    limit = None if max_lag is None else parse_duration(max_lag, "--max-lag")
    with context(place, STORED, hosts or ()) as ctx:
        now = wiring.CLOCK.now()
        found = judgements(ctx.settings, now, Limits(ctx.settings.schedule, limit))
        shown = [each for each in found if each.findings or not failing]
        if as_json:
            for each in shown:
                print_json(each.payload())
        else:
            _show(ctx.out, shown)
            for each in shown:
                for finding in each.findings:
                    print_message(ctx.err, finding.sentence)
            if len(found) > 1:
                print_message(ctx.err, _counts(found))
        if code := worst(each.exit_code for each in found):
            raise typer.Exit(code)


def _counts(found: Sequence[Judgement]) -> str:
    """`60 sites: 4 failed, 2 late, 54 ok`."""
    counts = Counter(each.verdict for each in found)
    parts = [f"{counts[verdict]:,} {verdict}" for verdict in VERDICTS if counts[verdict]]
    return f"{len(found):,} sites: {', '.join(parts)}"


def _show(out: Console, found: Sequence[Judgement]) -> None:
    lines = [{**summary(each)} for each in found]
    if not out.is_terminal:
        show_lines(out, None, [list(line.values()) for line in lines])
        return
    cells: list[dict[str, str | Text]] = [
        {**line, "verdict": Text(each.verdict, STYLES.get(each.verdict, "bold red"))}
        for line, each in zip(lines, found, strict=True)
    ]
    if len(cells) == 1:
        show_lines(out, None, [line for line in cells[0].items() if line[1]])
    else:
        names = [
            name
            for name in TABLE_COLUMNS
            if any(str(line[name]) not in {"", "0"} for line in cells)
        ]
        for line, each in zip(cells, found, strict=True):
            line["last run"] = _last_run(each, rounded=True)
        show_lines(out, names, [[line[name] for name in names] for line in cells])


def summary(judged: Judgement) -> Mapping[str, str]:
    """A site's status for people, by name; an unknown value is empty."""
    status, now = judged.status, judged.now
    values = _progress(status.checkpoint, now) if status.checkpoint else {}
    backfill, since = status.backfill, judged.running_since
    return {
        "site": status.site,
        "verdict": judged.verdict,
        "last run": _last_run(judged),
        "from": values.get("from", ""),
        "complete up to": values.get("complete up to", ""),
        "lag": values.get("lag", ""),
        "records": values.get("records", ""),
        "dead letters": "" if status.letters is None else f"{status.letters:,}",
        "late": values.get("late", ""),
        "gaps": values.get("gaps", ""),
        "backfill": f"{utc(backfill.start)} to {utc(backfill.through)}" if backfill else "",
        "token": _token(judged),
        "running since": "" if since is None else utc(since),
        "in the table up to": _proof(status.checkpoint),
    }


def _proof(checkpoint: Checkpoint | None) -> str:
    """`2026-11-19 12:00 UTC, proven 2026-11-20 12:00 UTC`, and what the daily audit has found."""
    audit = checkpoint and checkpoint.audit
    if not audit:
        return ""
    if audit.proof is None:
        return "not compared yet"
    found = [
        f"{number:,} {name}"
        for number, name in (
            (audit.proof.missing, "missing"),
            (audit.proof.duplicated, "duplicated"),
            (audit.proof.absent, "not there yet"),
        )
        if number
    ]
    return ", ".join([utc(audit.proof.end), f"proven {utc(audit.proof.at)}", *found])


def _last_run(judged: Judgement, *, rounded: bool = False) -> str:
    """`ok, 2 min 3 s ago`; rounded, `ok, 2 min ago`."""
    status = judged.status
    if status.saved is None:
        return status.state
    words = format_duration(max(0, judged.now - status.saved)).split()
    return f"{status.state}, {' '.join(words[:2] if rounded else words)} ago"


def _progress(checkpoint: Checkpoint, now: int) -> dict[str, str]:
    return {
        "from": utc(checkpoint.start),
        "complete up to": utc(checkpoint.through),
        "lag": format_duration(lag(checkpoint, now)),
        "records": f"{checkpoint.ledger.count:,}",
        "late": f"{checkpoint.late_found:,}",
        "gaps": f"{checkpoint.ledger.gaps.count:,}",
    }


def _token(judged: Judgement) -> str:
    expires = judged.expires
    if expires is None:
        return ""
    days = expiry.days_left(expires, judged.now)
    return f"{expires}" if days > expiry.WARNING_DAYS else f"{expires}, {expiry.when(days)}"
