"""`az` for the tests of deploy.sh: answers the calls it knows and refuses every other.

What it knows is a file: a list of [pattern, answers]. A pattern is matched against the whole
command line (`*` stands for anything), the first that fits counts; its answers are given one after
the other, the last one for ever. An answer is {"out": anything, "exit": code, "err": text}, and
`out` is printed as JSON, or as it is if it is text. Every call is written down with its arguments,
what it was given to read, its files, and its environment.
"""

from __future__ import annotations

import fnmatch
import itertools
import json
import os
import sys
from pathlib import Path


def main() -> int:
    folder, argv = Path(os.environ["STAND_IN_AZ"]), sys.argv[1:]
    files = [Path(each[1:]) for each in argv if each.startswith("@")]
    sources = [Path(file) for name, file in itertools.pairwise(argv) if name == "--src"]
    calls = folder / "calls.jsonl"
    earlier = [json.loads(line) for line in calls.read_text().splitlines()]
    line = " ".join(each for each in argv if each != "--only-show-errors")
    answers = json.loads((folder / "answers.json").read_text())
    known = next((each for each in answers if fnmatch.fnmatchcase(line, each[0])), None)
    call = {
        "argv": argv,
        "line": line,
        "pattern": known and known[0],
        "stdin": sys.stdin.read(),
        "files": {str(each): each.read_text() for each in files},
        "sources": {str(each): each.read_bytes().hex() for each in sources},
        "modes": [oct(each.stat().st_mode & 0o777) for each in files],
        "folder_modes": [oct(each.parent.stat().st_mode & 0o777) for each in files],
        "environment": dict(os.environ),
    }
    with calls.open("a") as file:
        file.write(json.dumps(call) + "\n")
    if known is None:
        print(f"the stand-in for az does not know: az {line}", file=sys.stderr)
        return 64
    given = sum(each["pattern"] == known[0] for each in earlier)
    answer = known[1][min(given, len(known[1]) - 1)]
    out = answer.get("out", "")
    print(out if isinstance(out, str) else json.dumps(out))
    print(answer.get("err", ""), file=sys.stderr, end="")
    return int(answer.get("exit", 0))


if __name__ == "__main__":
    sys.exit(main())
