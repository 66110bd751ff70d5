"""`python -m jira_audit`: begins the command line, or says how to install what it needs."""

from __future__ import annotations

import io
import os
import sys

from jira_audit import INTERRUPTED


def main() -> None:
    """Run the command line; exits with its code, or with 2 and one sentence if parts of it miss."""
    for stream in (sys.stdout, sys.stderr):
        # A console that cannot show a character shows a question mark; it is no reason to end.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        from jira_audit.cli import cli  # noqa: PLC0415  what it imports may not be there

        cli(prog_name="python -m jira_audit")
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
            f"The command line needs {error.name}, which is not installed: run "
            "pip install -e '.[terminal]' in the folder of pyproject.toml.",
            file=sys.stderr,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
