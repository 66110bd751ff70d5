"""What `dead-letters` and `originals` share: names of letters, and showing one.

Only `show` prints a record's contents.
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from jira_audit.core import encoding
from jira_audit.core.errors import SiteError
from jira_audit.core.letters import Folder, decode, full_name
from jira_audit.core.text import escaped
from jira_audit.terminal.context import SiteContext
from jira_audit.terminal.options import json_flag

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="As listed or logged, such as 2026-11-20/10017.")
]

OnOneLine = Annotated[bool, json_flag("on one line")]


def show_letter(ctx: SiteContext, folder: Folder, given: str, *, on_one_line: bool) -> None:
    """Print a stored letter, then raise SiteError if there is none or it is unreadable."""
    name = parse_name(given, folder, ctx.host)
    content = ctx.ports.letters.read(name)
    if content is None:
        message = f"there is no {name}: run jira-audit {folder} list --site {ctx.host}"
        raise SiteError(message)
    typer.echo(_text(content, indent=None if on_one_line else 2))
    decode(content, name)


def parse_name(given: str, folder: Folder, host: str) -> str:
    """The full name of a letter of this site. Raises BadParameter."""
    try:
        return full_name(given, folder, host)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="NAME") from None


def short_name(host: str, name: str) -> str:
    """A letter's name without the part that all of a site's letters share."""
    return name.split(f"/{host}/", 1)[-1].removesuffix(".json")


def _text(content: bytes, indent: int | None) -> str:
    """The content as JSON, indented or on one line; what is not JSON stays unchanged."""
    try:
        text = json.dumps(encoding.loads(content), indent=indent, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = content.decode(errors="backslashreplace")
    return escaped(text)
