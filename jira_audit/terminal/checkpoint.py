"""`checkpoint`: shows and resets a site's checkpoint.

`operations/reset.py` does the reset.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from jira_audit import wiring
from jira_audit.core import timestamps
from jira_audit.core.checkpoint import Checkpoint, decode, saved_at
from jira_audit.core.errors import SiteError
from jira_audit.core.ledger import Ledger
from jira_audit.core.text import escaped, one_line
from jira_audit.operations import reset
from jira_audit.operations.exit_codes import ExitCode
from jira_audit.settings.table import STORED, Needs
from jira_audit.terminal.command import Command
from jira_audit.terminal.console import print_json, print_message, show_lines
from jira_audit.terminal.context import SiteContext, site_context
from jira_audit.terminal.format import format_duration, utc
from jira_audit.terminal.options import (
    AsJson,
    Place,
    SiteHost,
    flag,
    from_option,
    json_flag,
    placed,
)
from jira_audit.terminal.times import parse_from

RESET_NEEDS: Needs = STORED | {"run"}

LATEST_GAPS = 10
"""The ledger's latest gaps that are shown, at most."""

group = typer.Typer(help="Show and reset a site's checkpoint.", no_args_is_help=True)


@group.command("show", cls=Command)
@placed()
def show_checkpoint(
    *,
    as_json: Annotated[bool, json_flag("which is the blob, unchanged")] = False,
    host: SiteHost = None,
    place: Place,
) -> None:
    """Show a site's checkpoint. Changes nothing."""
    with site_context(place, host, STORED) as ctx:
        content = ctx.ports.checkpoints.stored(ctx.host)
        if content is None:
            print_message(ctx.err, f"{ctx.host}: no checkpoint yet; the next run is the first.")
        elif as_json:
            is_shown = ctx.out.is_terminal
            typer.echo(escaped(content.decode(errors="backslashreplace")) if is_shown else content)
        else:
            checkpoint = decode(content, ctx.host)
            saved = saved_at(content)
            lines = [
                ("site", checkpoint.site),
                *_summary(checkpoint, wiring.CLOCK.now()),
                ("saved", "unknown" if saved is None else utc(saved)),
            ]
            show_lines(ctx.out, None, [(name, one_line(value)) for name, value in lines])


def _summary(checkpoint: Checkpoint, now: int) -> Iterator[tuple[str, str]]:
    through, latest = checkpoint.through, checkpoint.latest
    yield "from", utc(checkpoint.start)
    yield "complete up to", f"{utc(through)}, {format_duration(now - through)} ago"
    yield "latest", "none" if latest is None else utc(latest)
    yield from _ledger(checkpoint.ledger)
    if checkpoint.pruned is not None:
        yield "pruned", f"ids of records created before {utc(checkpoint.pruned)}"
    yield "step", format_duration(checkpoint.step)
    if checkpoint.reread is not None:
        yield "reread", f"overlap read again up to {utc(checkpoint.reread)}"
    yield "sweep", _sweep(checkpoint)
    yield "reset", checkpoint.reset or "none applied"


def _sweep(checkpoint: Checkpoint) -> str:
    if checkpoint.sweep:
        return f"running: {utc(checkpoint.sweep.through)} of {utc(checkpoint.sweep.end)}"
    return "none yet" if checkpoint.swept is None else f"last completed {utc(checkpoint.swept)}"


def _ledger(ledger: Ledger) -> Iterator[tuple[str, str]]:
    ranges = ledger.ranges
    if not ranges:
        yield "ledger", "empty"
        return
    several = f" in {len(ranges):,} ranges" if len(ranges) > 1 else ""
    yield "ledger", f"{len(ledger):,} ids, {ranges[0][0]} to {ranges[-1][1]}{several}"
    if len(ranges) > 1:
        yield "gaps", _gaps(ledger.gaps)


def _gaps(gaps: Ledger) -> str:
    shown = [str(a) if a == b else f"{a} to {b}" for a, b in gaps.ranges[-LATEST_GAPS:]]
    number = gaps.count
    count = f"{number:,} {'id' if number == 1 else 'ids'}"
    latest = f", the latest {LATEST_GAPS}" if len(gaps.ranges) > LATEST_GAPS else ""
    return f"{count}{latest}: {', '.join(shown)}"


@group.command("reset", cls=Command)
@placed()
def reset_checkpoint(
    begin: Annotated[str, from_option("Read again")],
    *,
    yes: Annotated[bool, flag("--yes", "-y", help="Do not ask for confirmation.")] = False,
    as_json: AsJson = False,
    host: SiteHost = None,
    place: Place,
) -> None:
    """Begin again at a time; also replaces an unreadable checkpoint.

    The next run delivers everything that Jira shows from that time on, even if delivered before. A
    CHECKPOINT_RESET that was applied is not applied again.

    For example:

      jira-audit checkpoint reset --from 2026-09-14
    """
    with site_context(place, host, RESET_NEEDS) as ctx:
        now = wiring.CLOCK.now()
        start = parse_from(begin, now)
        for sentence in _consequences(ctx, start, now):
            print_message(ctx.err, sentence)
        if not yes and not _is_confirmed("Reset the checkpoint? [y/N] "):
            print_message(ctx.err, "Nothing was changed.")
            raise typer.Exit(ExitCode.FAILED)
        pending = ctx.pending_reset.value if ctx.pending_reset else None
        checkpoint = reset.reset(
            ctx.host, ctx.ports.checkpoints, start, wiring.CLOCK.now(), pending
        )
        if checkpoint is None:
            message = "nothing was changed: another run holds the lease. Retry in a few minutes."
            print_message(ctx.err, f"{ctx.host}: {message}")
            raise typer.Exit(ExitCode.FAILED)
        if as_json:
            print_json({"site": ctx.host, "from": timestamps.text(checkpoint.start)})
        else:
            sentence = f"{ctx.host}: the next run reads from {utc(checkpoint.start)} on."
            print_message(ctx.out, sentence)


def _is_confirmed(question: str) -> bool:
    """Ask on standard error: click's confirm would add a space to the output. Default: no."""
    typer.echo(question, nl=False, err=True)
    return typer.get_text_stream("stdin").readline().strip().lower() in {"y", "yes"}


def _consequences(ctx: SiteContext, start: int, now: int) -> Iterator[str]:
    """What a reset will do. Raises SiteError if only a newer version may do it."""
    content = ctx.ports.checkpoints.stored(ctx.host)
    checkpoint = None if content is None else _readable(content, ctx.host)
    if content is None:
        yield f"{ctx.host} has no checkpoint yet."
    elif checkpoint is None:
        yield f"The checkpoint of {ctx.host} cannot be read."
    else:
        covered = f"{utc(checkpoint.start)} to {utc(checkpoint.through)}"
        yield f"The checkpoint of {ctx.host} covers {covered}."
    duration = format_duration(now - start)
    yield f"After the reset, everything since {utc(start)} is read ({duration})."
    if checkpoint is None:
        yield "Records in that range that were delivered before will be in the table twice."
    else:
        yield from _affected(checkpoint, start)
    yield from _pending(ctx, checkpoint)


def _readable(content: bytes, host: str) -> Checkpoint | None:
    """The checkpoint; None if it is unreadable. Raises SiteError for a newer version's."""
    try:
        return decode(content, host)
    except SiteError:
        reset.readable(content, host, None)
        return None


def _affected(checkpoint: Checkpoint, start: int) -> Iterator[str]:
    """The records that a reset duplicates or leaves out."""
    through = utc(checkpoint.through)
    if start > checkpoint.through:
        yield (
            f"Records created between {through} and {utc(start)} are NOT read: they will be "
            "missing from the table."
        )
    elif checkpoint.ledger.ranges:
        since = utc(max(start, checkpoint.start))
        yield f"Records delivered of {since} to {through} will be in the table twice."


def _pending(ctx: SiteContext, checkpoint: Checkpoint | None) -> Iterator[str]:
    """Whether the next run would apply CHECKPOINT_RESET after this reset."""
    pending = ctx.pending_reset
    if checkpoint and pending and pending.value != checkpoint.reset:
        yield (
            "CHECKPOINT_RESET is set and not applied yet: the next run applies it after this "
            "reset. Remove it first."
        )
    if not checkpoint and not pending:
        yield (
            "If CHECKPOINT_RESET is set in the Function App, the next run may apply it again: "
            "remove it there first."
        )
