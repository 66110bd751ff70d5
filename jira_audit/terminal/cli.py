"""The command line: assembles the commands, one file each.

Needs the extra `terminal`; nothing that runs in Azure may import it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from jira_audit import __version__
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

EPILOG = """\
[bold]Begin here[/]
  jira-audit demo                   needs no account and no settings
  jira-audit check                  check the setup for Sentinel
  jira-audit collect --to ./out     from your site into files
  jira-audit collect                from your site into Sentinel
  jira-audit status                 verdict, watermark, last run, dead letters
  jira-audit verify --from …        prove that every record is there
  jira-audit backfill --from …      deliver what is older than the first run
  jira-audit dead-letters list      records that could not be delivered
  jira-audit originals list         full records of truncated rows
  jira-audit checkpoint show        where the next run begins
  jira-audit report --folder ./out  an HTML page with charts

[bold]Settings[/], from the environment or --settings local.settings.json
  JIRA_SITE_URL             https://contoso.atlassian.net
  JIRA_USERNAME             e-mail address of an account that administers Jira
  JIRA_API_TOKEN            an API token of that account
and, except for collect --to,
  DATA_COLLECTION_ENDPOINT  logs ingestion endpoint of the data collection rule
  LOGS_DCR_RULE_ID          the rule's immutable id, dcr-…
  AzureWebJobsStorage       connection string of the account for checkpoints
To send, run az login first (in Azure, the app's identity sends). README.md
lists all settings.

[bold]Exit codes[/]
    0  ok; also if collect used up its time budget, or skipped a site because
       another run holds its lease
    1  failed, or needs someone: the message says what to do
    2  wrong settings or usage; nothing was requested
    3  cannot be known: for verify, some records; for status, storage does
       not answer
  130  interrupted
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


cli = typer.Typer(
    cls=_AsRegistered,
    help="Collect Jira Cloud's audit log into Microsoft Sentinel's table Jira_Audit_CL.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
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
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


for _name, _command in COMMANDS.items():
    if isinstance(_command, typer.Typer):
        cli.add_typer(_command, name=_name)
    else:
        cli.command(_name)(_command)
