"""Commands for the checkpoint: how far the site is, and where it is to begin again.

What is asked for, and how what came of it is shown; what happens is in `reset.py`. Needs the extra
`terminal`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from jira_audit import wiring
from jira_audit.core import encoding
from jira_audit.core.checkpoint import Checkpoint, decode
from jira_audit.core.errors import SiteError
from jira_audit.core.ledger import Ledger
from jira_audit.operations import reset as reset_
from jira_audit.settings.table import STORED, Needs
from jira_audit.terminal.console import (
    LocalFolder,
    Place,
    SettingsFile,
    SiteHost,
    moment_given,
    place_at,
    printable,
    say,
    show_lines,
    span,
    utc,
)

RESET_NEEDS: Needs = STORED | {"run"}

LATEST_GAPS = 10
"""So many of the ledger's gaps are shown."""

checkpoint = typer.Typer(
    help="How far the site has been dealt with: look at it, or begin again.",
    no_args_is_help=True,
)


@checkpoint.command("show")
def show_checkpoint(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="The blob as it is.")] = False,
    site: SiteHost = None,
    folder: LocalFolder = None,
    settings: SettingsFile = None,
) -> None:
    """Show how far the site has been dealt with. Changes nothing."""
    with place_at(folder, settings, site, STORED) as place:
        content = place.ports.checkpoints.stored(place.site)
        if content is None:
            say(place.err, f"{place.site}: no checkpoint yet; the next run is the first.")
        elif as_json:
            typer.echo(content)
        else:
            known = decode(content, place.site)
            saved = encoding.loads(content).get("saved")
            facts = [
                ("site", known.site),
                *_facts(known, wiring.CLOCK.now()),
                ("saved", str(saved)),
            ]
            show_lines(place.out, None, [(name, printable(value)) for name, value in facts])


def _facts(known: Checkpoint, now: int) -> Iterator[tuple[str, str]]:
    yield "from", utc(known.start)
    yield "through", f"{utc(known.through)}, {span(now - known.through)} ago"
    yield "latest", "none" if known.latest is None else utc(known.latest)
    ledger, ranges = known.ledger, known.ledger.ranges
    if not ranges:
        yield "ledger", "empty"
    else:
        several = f" in {len(ranges):,} ranges" if len(ranges) > 1 else ""
        yield "ledger", f"{len(ledger):,} ids, {ranges[0][0]} to {ranges[-1][1]}{several}"
    if len(ranges) > 1:
        yield "gaps", _gaps(ledger.gaps)
    if known.pruned is not None:
        yield "pruned", f"ids from before {utc(known.pruned)} are forgotten"
    yield "step", span(known.step)
    if known.reread is not None:
        yield "reread", f"the overlap was read again up to {utc(known.reread)}"
    if known.sweep:
        yield "sweep", f"under way: {utc(known.sweep.through)} of {utc(known.sweep.end)}"
    else:
        yield "sweep", "none yet" if known.swept is None else f"last done {utc(known.swept)}"
    yield "reset", known.reset or "none was applied"


def _gaps(gaps: Ledger) -> str:
    shown = [str(a) if a == b else f"{a} to {b}" for a, b in gaps.ranges[-LATEST_GAPS:]]
    number = gaps.count
    what = f"{number:,} {'id' if number == 1 else 'ids'}"
    latest = f", the latest {LATEST_GAPS}" if len(gaps.ranges) > LATEST_GAPS else ""
    return f"{what}{latest}: {', '.join(shown)}"


@checkpoint.command()
def reset(
    begin: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="TIME|all",
            help="Read again from this moment on: an ISO time with its zone, such as "
            "2026-09-14T00:00:00Z, or all.",
        ),
    ],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
    site: SiteHost = None,
    folder: LocalFolder = None,
    settings: SettingsFile = None,
) -> None:
    """Begin again at a moment: mends a checkpoint that cannot be read.

    Everything that Jira shows from that moment on is read and delivered, what
    was delivered before too. A CHECKPOINT_RESET that was applied before is not
    applied again.

    For example:

      jira-audit checkpoint reset --from 2026-09-14T00:00:00Z
    """
    with place_at(folder, settings, site, RESET_NEEDS) as place:
        now = wiring.CLOCK.now()
        start = moment_given(begin, now, "--from")
        for sentence in _consequences(place, start, now):
            say(place.err, sentence)
        if not yes and not _confirmed("Reset the checkpoint? [y/N] "):
            say(place.err, "Nothing was changed.")
            raise typer.Exit(1)
        applied = place.pending.value if place.pending else None
        again = reset_.reset(
            place.site, place.ports.checkpoints, start, wiring.CLOCK.now(), applied
        )
        if again is None:
            say(
                place.err,
                f"{place.site}: nothing was changed: another run has the site. Try again.",
            )
            raise typer.Exit(1)
        say(place.out, f"{place.site}: the next run reads from {utc(again.start)} on.")


def _confirmed(question: str) -> bool:
    """Ask beside the output (click's own way would leave a space in it); no answer is no."""
    typer.echo(question, nl=False, err=True)
    return typer.get_text_stream("stdin").readline().strip().lower() in {"y", "yes"}


def _consequences(place: Place, start: int, now: int) -> Iterator[str]:
    """What a reset will do, before it is confirmed. Raises SiteError if it may not be done."""
    content = place.ports.checkpoints.stored(place.site)
    known: Checkpoint | None = None
    if content is None:
        yield f"{place.site} has no checkpoint yet."
    else:
        try:
            known = decode(content, place.site)
        except SiteError:
            reset_.readable(content, place.site, None)  # raises for a newer version's
            yield f"The checkpoint of {place.site} cannot be read."
        else:
            yield f"{place.site} was dealt with from {utc(known.start)} to {utc(known.through)}."
    yield f"After the reset, everything since {utc(start)} is read ({span(now - start)})."
    if known and start > known.through:
        yield (
            f"What was created between {utc(known.through)} and then is NOT read: it will be "
            "missing from the table."
        )
    elif known and known.ledger.ranges:
        twice = utc(max(start, known.start))
        yield f"What was delivered of {twice} to {utc(known.through)} will be in the table twice."
    elif not known:
        yield "What was delivered of that already will be in the table twice."
    if known and place.pending and place.pending.value != known.reset:
        yield (
            "CHECKPOINT_RESET is set and was not applied yet: the next run applies it over this "
            "reset. Remove it first."
        )
    if not known and not place.pending:
        yield (
            "If CHECKPOINT_RESET is set in the Function App, it may be applied again: remove it "
            "there first."
        )
