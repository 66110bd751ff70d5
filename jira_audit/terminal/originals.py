"""`originals`: lists and shows the full records of truncated rows."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from jira_audit.settings.table import STORED
from jira_audit.terminal.command import Command
from jira_audit.terminal.console import print_json, show_lines
from jira_audit.terminal.context import SiteContext, context, listing, site_context
from jira_audit.terminal.letters import Name, OnOneLine, short_name, show_letter
from jira_audit.terminal.options import AsJson, Place, SiteHost, SiteHosts, placed

group = typer.Typer(
    help="List and show the full records of truncated rows. They are never sent.",
    no_args_is_help=True,
)


@group.command("list", cls=Command)
@placed()
def list_originals(*, as_json: AsJson = False, hosts: SiteHosts = None, place: Place) -> None:
    """List originals: of which site, and their names.

    If the output is not a terminal, each is a tab-separated line: site, name.
    """
    with context(place, STORED, hosts or ()) as ctx, listing(ctx, _names, "originals") as names:
        if as_json:
            for host, name in names:
                print_json({"site": host, "name": name})
        else:
            lines = [(host, short_name(host, name)) for host, name in names]
            show_lines(ctx.out, ("site", "name"), lines)


def _names(ctx: SiteContext) -> Sequence[str]:
    return ctx.ports.letters.names("originals", ctx.host)


@group.command("show", cls=Command)
@placed()
def show_original(
    name: Name, *, as_json: OnOneLine = False, host: SiteHost = None, place: Place
) -> None:
    """Show one original: the full record, exactly as received from Jira.

    The record may contain personal data.
    """
    with site_context(place, host, STORED) as ctx:
        show_letter(ctx, "originals", name, on_one_line=as_json)
