"""`originals`: lists and shows the full records of truncated rows."""

from __future__ import annotations

import typer

from jira_audit.settings.table import STORED
from jira_audit.terminal.console import (
    LocalFolder,
    SettingsFile,
    SiteHost,
    print_message,
    site_context,
)
from jira_audit.terminal.letters import Name, short_name, show_letter

group = typer.Typer(
    help="List and show the full records of truncated rows. They are never sent.",
    no_args_is_help=True,
)


@group.command("list")
def list_originals(
    host: SiteHost = None, folder: LocalFolder = None, settings_file: SettingsFile = None
) -> None:
    """List the names of originals, one a line."""
    with site_context(folder, settings_file, host, STORED) as ctx:
        names = ctx.ports.letters.names("originals", ctx.host)
        for name in names:
            typer.echo(short_name(ctx, name))
        if not names:
            print_message(ctx.err, f"{ctx.host}: no originals.")


@group.command("show")
def show_original(
    name: Name,
    host: SiteHost = None,
    folder: LocalFolder = None,
    settings_file: SettingsFile = None,
) -> None:
    """Show one original: the full record, exactly as received from Jira.

    The record may contain personal data.
    """
    with site_context(folder, settings_file, host, STORED) as ctx:
        show_letter(ctx, "originals", name)
