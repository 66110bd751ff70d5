"""`jira-audit` and `python -m jira_audit`: run the command line, or name the missing package."""

from __future__ import annotations

import io
import os
import sys

from jira_audit import INTERRUPTED
from jira_audit.terminal import invocation


def main() -> None:
    """Run the command line and exit with its code, or with 2 if a package is missing."""
    for stream in (sys.stdout, sys.stderr):
        # A console that cannot show a character shows a question mark instead of failing.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        from jira_audit.terminal.cli import cli  # noqa: PLC0415  what it imports may not be there

        cli(prog_name=invocation.name())
    except SystemExit as ended:
        if ended.code != INTERRUPTED:
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)  # else it would wait for threads that wait for Jira
    except ModuleNotFoundError as error:
        if (error.name or "jira_audit").startswith("jira_audit"):
            raise
        print(
            f"The command line needs {error.name}, which is not installed: "
            f"{invocation.remedy(sys.argv[1:])}",
            file=sys.stderr,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
