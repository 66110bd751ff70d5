"""The process that is measured: one tick of the function app, then its cost as a line of JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path


def peak_bytes() -> int:
    """The peak of this process alone; `ru_maxrss` may include its parent's."""
    [line] = [
        line
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) * 1024


def main() -> None:
    began = time.perf_counter()
    import function_app
    from jira_audit.app import tick

    assert function_app.poll
    tick(os.environ, lambda: None)
    used = resource.getrusage(resource.RUSAGE_SELF)
    report = {
        "wall_seconds": time.perf_counter() - began,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_bytes": peak_bytes(),
        "imported": sorted(
            name
            for name in ("azure.identity", "azure.monitor.ingestion", "typer", "rich", "filelock")
            if name in sys.modules
        ),
    }
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
