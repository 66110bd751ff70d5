"""A process that does what the timer does: `python -m tests.end_to_end.collector`.

It says when it is ready, waits for a line on its standard input, so that several can begin at
once, runs on its own environment, and prints every outcome as a line of JSON. Logs go to standard
error.
"""

from __future__ import annotations

import json
import logging
import os
import sys

from jira_audit.app import run


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    print("ready", flush=True)
    if not sys.stdin.readline():  # whoever started this is gone
        return
    for outcome in run(os.environ):
        said = {
            "result": outcome.result,
            "error": outcome.error and str(outcome.error),
            "kind": outcome.error and type(outcome.error).__name__,
            "rows": outcome.tally.rows,
            "line": outcome.line(),
        }
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
