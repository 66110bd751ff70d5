"""How help shows a command: paragraphs fill the width, and flags have no type."""

from __future__ import annotations

import inspect
import re
from typing import Any

from typer.core import TyperCommand


class Command(TyperCommand):
    """A command whose docstring is its help: each paragraph is one line, examples stay lines."""

    def __init__(self, *arguments: Any, help: str | None = None, **options: Any) -> None:  # noqa: A002  typer's own name
        super().__init__(*arguments, help=help and reflowed(help), **options)

    def get_help_option(self, ctx: Any) -> Any:
        """The option --help, without a type beside it."""
        return without_type(super().get_help_option(ctx))


def without_type(option: Any) -> Any:
    """The option, its help showing no type."""
    if option is not None:
        option.metavar = ""
    return option


def reflowed(text: str) -> str:
    """The text with each paragraph on one line; indented lines stay as they are.

    Rich wraps lines at the terminal's width, but keeps the docstring's own line breaks.
    """
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(
        each if each.startswith(" ") else re.sub(r"\n(?! )", " ", each) for each in paragraphs
    )
