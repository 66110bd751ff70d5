"""Commands for what was kept aside: dead letters listed, shown and sent again; originals looked at.

What is asked for, and how what came of it is shown; what happens is in `replay.py`. A record's
contents are shown by `show` alone. Needs the extra `terminal`.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.text import Text

from jira_audit import INTERRUPTED, wiring
from jira_audit.core import encoding, moments
from jira_audit.core.clock import Deadline
from jira_audit.core.errors import SiteError
from jira_audit.core.letters import Folder, full_name
from jira_audit.core.letters import decode as decode_letter
from jira_audit.operations.replay import Replayed
from jira_audit.operations.replay import replay as replay_
from jira_audit.settings.table import STORED, Needs
from jira_audit.terminal.console import (
    LocalFolder,
    Place,
    SettingsFile,
    SiteHost,
    escaped,
    place_at,
    printable,
    say,
    show_lines,
    shown_while_it_runs,
)

REPLAY_NEEDS: Needs = STORED | {"ingestion", "run"}

dead_letters = typer.Typer(
    help="Records that could not be delivered: look at them, send them again.",
    no_args_is_help=True,
)
originals = typer.Typer(
    help="The whole of records whose row had to be cut: look at them. They are never sent.",
    no_args_is_help=True,
)
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="As listed or logged, such as 2026-11-20/10017.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs, one object a line.")]


@dead_letters.command("list")
def list_dead_letters(
    *,
    as_json: AsJson = False,
    site: SiteHost = None,
    folder: LocalFolder = None,
    settings: SettingsFile = None,
) -> None:
    """List dead letters: which records, since when, and why.

    Where the output is no terminal, each is a line of name, kind, time of
    keeping and reason, with tabs between.
    """
    with place_at(folder, settings, site, STORED) as place:
        found = _read_all(place)
        if as_json:
            for entry in found:
                typer.echo(encoding.dumps(entry))
            return
        lines = [
            (
                _short(place, entry["name"]),
                entry["kind"] or "garbled",
                entry["kept"] or "",
                printable(entry["reason"]),
            )
            for entry in found
        ]
        show_lines(place.out, ("name", "kind", "kept", "reason"), lines)
        if not lines:
            say(place.err, f"{place.site}: no dead letters.")


def _read_all(place: Place) -> list[dict[str, Any]]:
    """What is known of every dead letter but its record."""
    found: list[dict[str, Any]] = []
    reading = shown_while_it_runs(place.err, place.out, lambda: f"{len(found):,} letters read")
    with reading:
        for name in place.ports.letters.names("dead-letters", place.site):
            content = place.ports.letters.read(name)
            if content is None:  # it was sent again just now
                continue
            entry: dict[str, Any] = {"name": name, "kind": None, "status": None, "kept": None}
            try:
                kept = decode_letter(content, name)
            except SiteError as error:
                found.append({**entry, "reason": str(error)})
                continue
            letter = kept.letter
            entry |= {"kind": letter.kind, "status": letter.status, "kept": moments.text(kept.kept)}
            found.append({**entry, "reason": letter.reason})
    return found


@dead_letters.command("show")
def show_dead_letter(
    name: Name, site: SiteHost = None, folder: LocalFolder = None, settings: SettingsFile = None
) -> None:
    """Show one dead letter, with the record exactly as Jira gave it.

    The record may hold personal data.
    """
    with place_at(folder, settings, site, STORED) as place:
        _show_letter(place, "dead-letters", name)


@dead_letters.command()
def replay(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="As listed or logged, or else --all."),
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Send all dead letters.")] = False,
    as_json: AsJson = False,
    site: SiteHost = None,
    folder: LocalFolder = None,
    settings: SettingsFile = None,
) -> None:
    """Send dead letters again; each is deleted once it was accepted.

    A letter that is refused again, or still cannot be read, stays as it is.
    The timer leaves the site alone meanwhile. May be interrupted at any time:
    run it again to go on. After a reset, the timer may have delivered records
    of which there is a letter: those would be doubled.

    Exit code 0 if nothing that was to be sent is left, else 1.

    For example:

      jira-audit dead-letters replay 2026-11-20/10017
      jira-audit dead-letters replay --all
    """
    if bool(names) == everything:
        raise typer.BadParameter("name letters, or say --all", param_hint="NAME")
    with place_at(folder, settings, site, REPLAY_NEEDS) as place:
        named = [_named(name, "dead-letters", place.site) for name in names or ()]
        deadline = Deadline.after(wiring.CLOCK, place.settings.budget_seconds)
        try:
            with wiring.site_run(place.settings, place.chosen, deadline) as run:
                done = replay_(run, None if everything else named)
        except KeyboardInterrupt:
            say(place.err, "Interrupted. What was accepted is deleted: run it again to go on.")
            raise typer.Exit(INTERRUPTED) from None
        if as_json:
            typer.echo(encoding.dumps(_as_json(place.site, done)))
        else:
            say(place.out, _sentence(place, done))
        if done.error:
            raise done.error
        if done.kept or done.skipped:
            raise typer.Exit(1)


def _as_json(site: str, done: Replayed) -> dict[str, Any]:
    return {
        "site": site,
        "sent": done.sent,
        "gone": done.gone,
        "kept": [{"name": name, "reason": reason} for name, reason in done.kept],
        "skipped": done.skipped,
        "error": None if done.error is None else str(done.error),
    }


def _sentence(place: Place, done: Replayed) -> Text:
    """How a replay went, for a person."""
    if done.skipped:
        text, style = "nothing was sent: another run has the site. Try again soon.", "bold yellow"
    else:
        style = "bold red" if done.error else "bold yellow" if done.kept else "bold green"
        count = len(done.sent)
        text = f"{count} dead {'letter' if count == 1 else 'letters'} sent again and deleted"
        if done.gone:
            text += f"; {len(done.gone)} deleted, delivered already"
        if done.kept:
            text += f"; {len(done.kept)} kept"
        text += "; then it stopped." if done.error else "."
    return Text.assemble((place.site, style), f": {text}")


@originals.command("list")
def list_originals(
    site: SiteHost = None, folder: LocalFolder = None, settings: SettingsFile = None
) -> None:
    """List the names of originals, one a line."""
    with place_at(folder, settings, site, STORED) as place:
        names = place.ports.letters.names("originals", place.site)
        for name in names:
            typer.echo(_short(place, name))
        if not names:
            say(place.err, f"{place.site}: no originals.")


@originals.command("show")
def show_original(
    name: Name, site: SiteHost = None, folder: LocalFolder = None, settings: SettingsFile = None
) -> None:
    """Show one original: the whole record, exactly as Jira gave it.

    The record may hold personal data.
    """
    with place_at(folder, settings, site, STORED) as place:
        _show_letter(place, "originals", name)


def _show_letter(place: Place, folder: Folder, given: str) -> None:
    name = _named(given, folder, place.site)
    content = place.ports.letters.read(name)
    if content is None:
        message = f"there is no {name}"
        raise SiteError(message)
    typer.echo(_legible(content))
    decode_letter(content, name)


def _named(given: str, folder: Folder, site: str) -> str:
    try:
        return full_name(given, folder, site)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="NAME") from None


def _short(place: Place, name: str) -> str:
    """A letter's name as far as it tells it from the site's others."""
    return name.split(f"/{place.site}/", 1)[-1].removesuffix(".json")


def _legible(content: bytes) -> str:
    """JSON on several lines, and still JSON; what is none as it is."""
    try:
        text = json.dumps(encoding.loads(content), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = content.decode(errors="backslashreplace")
    return escaped(text)
