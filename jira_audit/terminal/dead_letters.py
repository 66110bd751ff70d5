"""`dead-letters`: lists, shows, replays and discards records that could not be delivered.

`operations/replay.py` does the replay, `operations/discard.py` the discarding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import typer
from rich.text import Text

from jira_audit import wiring
from jira_audit.core import timestamps
from jira_audit.core.clock import Deadline
from jira_audit.core.errors import SiteError
from jira_audit.core.letters import decode
from jira_audit.core.text import printable
from jira_audit.operations import discard, replay
from jira_audit.operations.discard import Discarded
from jira_audit.operations.exit_codes import ExitCode
from jira_audit.operations.replay import Replayed
from jira_audit.settings.table import STORED, Needs
from jira_audit.terminal.command import Command
from jira_audit.terminal.console import (
    exit_on_interrupt,
    print_json,
    print_message,
    progress_line,
    show_lines,
)
from jira_audit.terminal.context import SiteContext, context, listing, site_context
from jira_audit.terminal.letters import Name, OnOneLine, parse_name, short_name, show_letter
from jira_audit.terminal.options import (
    AsJson,
    Place,
    SiteHost,
    SiteHosts,
    flag,
    json_flag,
    placed,
)

REPLAY_NEEDS: Needs = STORED | {"ingestion", "run"}
DISCARD_NEEDS: Needs = STORED | {"run"}

group = typer.Typer(
    help="List, show, replay and discard records that could not be delivered.", no_args_is_help=True
)


KEPT = (
    "{host}: a letter that is kept cannot be sent by this version, for the reason above. To delete "
    "it on purpose, run jira-audit dead-letters discard NAME --site {host} --reason TEXT"
)

COLUMNS = "site", "name", "kind", "kept", "reason"


@group.command("list", cls=Command)
@placed()
def list_dead_letters(
    *,
    as_json: Annotated[bool, json_flag("one object per line and letter")] = False,
    hosts: SiteHosts = None,
    place: Place,
) -> None:
    """List dead letters: which records, since when, and why.

    If the output is not a terminal, each is a tab-separated line: site, name, kind, time of
    storing, reason.
    """
    with context(place, STORED, hosts or ()) as ctx:
        read: list[str] = []
        with (
            progress_line(ctx.err, ctx.out, lambda: f"{len(read):,} dead letters read"),
            listing(ctx, partial(_read_all, read=read), "dead letters") as letters,
        ):
            if as_json:
                for _, letter in letters:
                    print_json(letter)
            else:
                show_lines(ctx.out, COLUMNS, [_line(letter) for _, letter in letters])


def _line(letter: Mapping[str, Any]) -> Sequence[str]:
    return (
        letter["site"],
        short_name(letter["site"], letter["name"]),
        letter["kind"] or "garbled",
        letter["kept"] or "",
        printable(letter["reason"]),
    )


def _read_all(ctx: SiteContext, read: list[str]) -> Sequence[dict[str, Any]]:
    """All fields of a site's dead letters except their records; adds each name to `read`."""
    letters: list[dict[str, Any]] = []
    for name in ctx.ports.letters.names("dead-letters", ctx.host):
        content = ctx.ports.letters.read(name)
        if content is not None:  # else a replay has deleted it since
            letters.append({"site": ctx.host, **_payload(content, name)})
        read.append(name)
    return letters


def _payload(content: bytes, name: str) -> dict[str, Any]:
    try:
        stored = decode(content, name)
    except SiteError as error:
        return {"name": name, "kind": None, "status": None, "kept": None, "reason": str(error)}
    letter = stored.letter
    return {
        "name": name,
        "kind": letter.kind,
        "status": letter.status,
        "kept": timestamps.text(stored.kept),
        "reason": letter.reason,
    }


@group.command("show", cls=Command)
@placed()
def show_dead_letter(
    name: Name, *, as_json: OnOneLine = False, host: SiteHost = None, place: Place
) -> None:
    """Show one dead letter, with the record exactly as received from Jira.

    The record may contain personal data.
    """
    with site_context(place, host, STORED) as ctx:
        show_letter(ctx, "dead-letters", name, on_one_line=as_json)


@group.command("replay", cls=Command)
@placed()
def replay_dead_letters(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="As listed or logged, or use --all."),
    ] = None,
    *,
    everything: Annotated[bool, flag("--all", help="Replay all dead letters of the site.")] = False,
    as_json: AsJson = False,
    host: SiteHost = None,
    place: Place,
) -> None:
    """Send dead letters again; delete each once it is accepted.

    A letter that is refused again, or still unreadable, stays unchanged. Ticks skip the site during
    a replay. If interrupted, run it again to resume. After a reset, ticks may have delivered a dead
    letter's record; a replay then duplicates it.

    Exit code 0 if every letter was sent, else 1.

    For example:

      jira-audit dead-letters replay 2026-11-20/10017
      jira-audit dead-letters replay --all
    """
    if bool(names) == everything:
        raise typer.BadParameter("name letters, or use --all", param_hint="NAME")
    with site_context(place, host, REPLAY_NEEDS) as ctx:
        full_names = [parse_name(name, "dead-letters", ctx.host) for name in names or ()]
        replayed = _replay(ctx, full_names or None)
        if as_json:
            print_json(_replayed_payload(ctx.host, replayed))
        else:
            print_message(ctx.out, _summary(ctx.host, replayed))
            if replayed.kept:
                print_message(ctx.err, KEPT.format(host=ctx.host))
        if replayed.error:
            raise replayed.error
        if replayed.kept or replayed.skipped:
            raise typer.Exit(ExitCode.FAILED)


def _replay(ctx: SiteContext, names: list[str] | None) -> Replayed:
    deadline = Deadline.after(wiring.CLOCK, ctx.settings.budget_seconds)
    with (
        exit_on_interrupt(ctx.err, "Accepted letters are deleted: run it again to resume."),
        wiring.site_run(ctx.settings, ctx.site, deadline) as run,
    ):
        return replay.replay(run, names)


def _replayed_payload(host: str, replayed: Replayed) -> dict[str, Any]:
    return {
        "site": host,
        "sent": replayed.sent,
        "gone": replayed.gone,
        "kept": [{"name": name, "reason": reason} for name, reason in replayed.kept],
        "skipped": replayed.skipped,
        "error": None if replayed.error is None else str(replayed.error),
    }


def _summary(host: str, replayed: Replayed) -> Text:
    """One sentence on a replay's result."""
    if replayed.skipped:
        text = "nothing was sent: another run holds the lease. Retry in a few minutes."
        return Text.assemble((host, "bold yellow"), f": {text}")
    parts = [f"{_dead_letters(replayed.sent)} sent again and deleted"] if replayed.sent else []
    if replayed.gone:
        parts.append(f"{len(replayed.gone)} deleted, because a run had delivered the record")
    if replayed.kept:
        parts.append(f"{len(replayed.kept)} kept")
    return _sentence(
        host,
        parts or ["no dead letter was sent" if replayed.error else "there are no dead letters"],
        failed=replayed.error is not None,
        any_left=bool(replayed.kept),
    )


def _dead_letters(names: Sequence[str]) -> str:
    return f"{len(names)} dead {'letter' if len(names) == 1 else 'letters'}"


def _sentence(host: str, parts: Sequence[str], *, failed: bool, any_left: bool) -> Text:
    """What was done with a site's letters, in the colour of how it ended."""
    style = "bold red" if failed else "bold yellow" if any_left else "bold green"
    end = "; an error stopped the rest." if failed else "."
    return Text.assemble((host, style), f": {'; '.join(parts)}{end}")


@group.command("discard", cls=Command)
@placed()
def discard_dead_letters(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="As listed or logged.")],
    *,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; it is logged.", show_default=False)
    ],
    as_json: AsJson = False,
    host: SiteHost = None,
    place: Place,
) -> None:
    """Delete dead letters on purpose, unsent.

    The record is then nowhere but in Jira, and no run delivers it. Read it first
    with show. Until the command ends, ticks skip the site.

    Exit code 0 if every letter was deleted, else 1.

    For example:

      jira-audit dead-letters discard 2026-11-20/10017 --reason "a test"
    """
    try:
        reason = discard.check_reason(reason)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--reason") from None
    with site_context(place, host, DISCARD_NEEDS) as ctx:
        full_names = [parse_name(name, "dead-letters", ctx.host) for name in names]
        deadline = Deadline.after(wiring.CLOCK, ctx.settings.budget_seconds)
        with (
            exit_on_interrupt(ctx.err, "Letters that were said to be discarded are."),
            wiring.site_run(ctx.settings, ctx.site, deadline) as run,
        ):
            done = discard.discard(run, full_names, reason)
        if as_json:
            print_json(_discarded_payload(ctx.host, done))
        else:
            print_message(ctx.out, _discarded_summary(ctx.host, done))
        if done.error:
            raise done.error
        if done.absent or done.skipped:
            raise typer.Exit(ExitCode.FAILED)


def _discarded_payload(host: str, done: Discarded) -> dict[str, Any]:
    return {
        "site": host,
        "discarded": done.discarded,
        "absent": done.absent,
        "skipped": done.skipped,
        "error": None if done.error is None else str(done.error),
    }


def _discarded_summary(host: str, done: Discarded) -> Text:
    """One sentence on the result."""
    if done.skipped:
        text = "nothing was deleted: another run holds the lease. Retry in a few minutes."
        return Text.assemble((host, "bold yellow"), f": {text}")
    parts = [f"{_dead_letters(done.discarded)} discarded"] if done.discarded else []
    if done.absent:
        parts.append(f"{len(done.absent)} not found")
    return _sentence(
        host,
        parts or ["no dead letter was discarded"],
        failed=done.error is not None,
        any_left=bool(done.absent),
    )
