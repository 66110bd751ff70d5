"""The command line: assembles the commands, one file each.

Needs the extra `terminal`; nothing that runs in Azure may import it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from textwrap import wrap
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from jira_audit import __version__
from jira_audit.operations.exit_codes import MEANINGS
from jira_audit.terminal import (
    backfill,
    check,
    checkpoint,
    collect,
    dead_letters,
    demo,
    originals,
    report,
    status,
    verify,
)
from jira_audit.terminal.command import Command, without_type


def _exit_codes() -> str:
    """The table of exit codes, as indented lines."""
    lines = []
    for code, meaning in MEANINGS.items():
        first, *rest = wrap(meaning, 70)
        lines += [f"  {code.value:>3}  {first}", *(f"       {line}" for line in rest)]
    return "\n".join(lines)


EPILOG = f"""\
[bold]Begin here[/]
  jira-audit demo                    needs no account and no settings
  jira-audit check                   check the setup for Sentinel
  jira-audit collect --folder ./out  from your site into files
  jira-audit collect                 from your site into Sentinel
  jira-audit status                  the health of every site
  jira-audit verify --from 30d       prove that every record is there
  jira-audit backfill --from all     deliver what is older than the first run
  jira-audit dead-letters list       records that could not be delivered
  jira-audit originals list          full records of truncated rows
  jira-audit checkpoint show         where the next run begins
  jira-audit report --folder ./out   an HTML page with charts

[bold]Settings[/], from the environment or --settings local.settings.json
  JIRA_SITE_URL             https://contoso.atlassian.net
  JIRA_USERNAME             e-mail address of an account that administers Jira
  JIRA_API_TOKEN            an API token of that account
and, except for collect --folder,
  DATA_COLLECTION_ENDPOINT  the data collection rule's ingestion endpoint
  LOGS_DCR_RULE_ID          the rule's immutable id, dcr-…
  AzureWebJobsStorage       connection string of the account for checkpoints
To send, run az login first (in Azure, the app's identity sends).
docs/settings.md lists all settings.

[bold]Exit codes[/], of every command
{_exit_codes()}
"""

COMMANDS: Mapping[str, Callable[..., None] | typer.Typer] = {
    "demo": demo.command,
    "check": check.command,
    "collect": collect.command,
    "status": status.command,
    "verify": verify.command,
    "backfill": backfill.command,
    "dead-letters": dead_letters.group,
    "originals": originals.group,
    "checkpoint": checkpoint.group,
    "report": report.command,
}
"""Every command, in the order of a user's day, as in help."""


class _AsRegistered(TyperGroup):
    """Lists commands and groups in one order; typer lists groups last."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        ordered = {name: self.commands[name] for name in COMMANDS if name in self.commands}
        self.commands = {**ordered, **self.commands}  # a command outside COMMANDS is last
        for option in self.params:  # typer's own, for completion
            without_type(option)

    def get_help_option(self, ctx: Any) -> Any:
        """The option --help, without a type beside it."""
        return without_type(super().get_help_option(ctx))


cli = typer.Typer(
    cls=_AsRegistered,
    help="Collect Jira Cloud's audit log into Microsoft Sentinel's table Jira_Audit_CL.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # they would show local variables, including records
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:  # noqa: FBT001  typer calls it so
    if value:
        typer.echo(__version__)
        raise typer.Exit


@cli.callback()
def main(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            metavar="",
            callback=_show_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    pass


for _name, _command in COMMANDS.items():
    if isinstance(_command, typer.Typer):
        cli.add_typer(_command, name=_name)
    else:
        cli.command(_name, cls=Command)(_command)
