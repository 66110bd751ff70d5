"""The options that commands share: each thing has one name in all of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from jira_audit.core.cloud_id import UUID
from jira_audit.terminal.times import FORMS


def flag(*names: str, help: str, hidden: bool = False) -> Any:  # noqa: A002  typer's own name
    """An option without a value; help shows no type beside it."""
    return typer.Option(*names, metavar="", help=help, hidden=hidden)


def json_flag(what: str) -> Any:
    """The option --json; `what` says what the output consists of."""
    return flag("--json", help=f"Print JSON to standard output, {what}.")


AsJson = Annotated[bool, json_flag("one object per line")]

SiteHost = Annotated[
    str | None,
    typer.Option(
        "--site",
        metavar="HOST",
        help="The site, if there are several, such as contoso.atlassian.net.",
    ),
]

SiteHosts = Annotated[
    list[str] | None,
    typer.Option(
        "--site",
        metavar="HOST",
        help="Only this site; several times for several sites.  [dim]default: all[/]",
    ),
]


def require_workspace_id(text: str | None) -> None:
    """Raises BadParameter for what is not a GUID: a name would only fail after requests."""
    if text is not None and not re.fullmatch(UUID, text):
        message = (
            "must be the Workspace ID, a GUID; az monitor log-analytics workspace show --query "
            "customerId prints it"
        )
        raise typer.BadParameter(message, param_hint="--workspace")


def workspace_option(what: str) -> Any:
    """The option --workspace; `what` says what is done with its table."""
    return typer.Option(
        "--workspace",
        metavar="ID",
        help=f"{what}: the Workspace ID of the Log Analytics workspace, a GUID.",
    )


def from_option(verb: str, default: str = "") -> Any:
    """The option --from; `verb` says what is done from that time on."""
    text = f"{verb} from this time on: {FORMS} ago; a date means UTC; all: all that there is."
    if default:
        text += f"  [dim]default: {default}[/]"
    return typer.Option("--from", metavar="TIME|all", help=text)


def to_option(verb: str, default: str) -> Any:
    """The option --to; `verb` says what is done up to that time."""
    return typer.Option(
        "--to",
        metavar="TIME",
        help=f"{verb} up to this time, as in --from; a date includes that day.  "
        f"[dim]default: {default}[/]",
    )


# Where the connector's settings and state are.


@dataclass(frozen=True)
class Place:
    """Where a command finds the connector: its settings, and what runs have stored.

    Settings are this machine's, or those of the deployed `app` in the `resource_group`. What runs
    have stored is in the `folder`, in the `storage_account`, or where the settings say.
    """

    folder: Path | None = None
    app: str | None = None
    resource_group: str | None = None
    storage_account: str | None = None
    settings_file: Path | None = None

    def __post_init__(self) -> None:
        """Raises BadParameter for options that exclude each other."""
        if self.app and self.settings_file:
            raise typer.BadParameter("use either --app or --settings", param_hint="--app")
        if self.folder and self.storage_account:
            message = "use either --folder or --storage-account"
            raise typer.BadParameter(message, param_hint="--storage-account")
        if self.resource_group and not self.app:
            raise typer.BadParameter("name the app, too: --app", param_hint="--resource-group")


Folder = Literal["none", "written", "new"]
"""Whether a command works on a local folder: on one that `collect` wrote, or one that it may make.
"""

_WRITTEN = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="Use a folder that collect --folder has written, instead of Azure.",
    ),
]

_NEW = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        metavar="DIR",
        file_okay=False,
        help="Write rows and checkpoint to this folder, instead of Azure; needs only Jira's "
        "settings.",
    ),
]

_OPTIONS: dict[str, Any] = {
    "app": Annotated[
        str | None,
        typer.Option(
            "--app",
            metavar="NAME",
            help="Use the settings of this Function App, read by az with your own rights.",
        ),
    ],
    "resource_group": Annotated[
        str | None,
        typer.Option(
            "--resource-group",
            "-g",
            metavar="GROUP",
            help="The app's resource group.  [dim]default: that of az configure[/]",
        ),
    ],
    "storage_account": Annotated[
        str | None,
        typer.Option(
            "--storage-account",
            metavar="NAME",
            help="Use what runs have stored in this storage account, with your own rights.",
        ),
    ],
    "settings_file": Annotated[
        Path | None,
        typer.Option(
            "--settings",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Read settings from the Values of a local.settings.json; the environment wins.",
        ),
    ],
}


def placed(folder: Folder = "written") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options that make up a `Place`, as its parameter `place`.

    So every command has the same options for it, and its signature one parameter.
    """
    options = {"folder": _NEW if folder == "new" else _WRITTEN, **_OPTIONS}
    if folder == "none":
        del options["folder"]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def with_options(**given: Any) -> None:
            place = Place(**{name: given.pop(name) for name in options})
            command(**given, place=place)

        signature = inspect.signature(command, eval_str=True)
        parameters = _expanded(signature.parameters.values(), options)
        with_options.__signature__ = signature.replace(parameters=[*parameters])  # type: ignore[attr-defined]
        return with_options

    return decorate


def _expanded(parameters: Any, options: dict[str, Any]) -> Iterator[inspect.Parameter]:
    """A command's parameters, with options in the place of `place`."""
    for parameter in parameters:
        if parameter.name != "place":
            yield parameter
            continue
        for name, annotation in options.items():
            yield inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
            )
