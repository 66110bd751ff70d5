"""The process that is measured: one run, then its cost as a line of JSON.

The argument says of what: `connector` is one tick of the function app as it is deployed; `list` the
same with only the sink replaced, by the library's own `upload(list)`; `classic` the algorithm that
came before.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

NOT_ALWAYS_NEEDED = (
    "azure.identity",
    "azure.monitor.ingestion",
    "jira_audit.edge.workspace",
    "jira_audit.flow.audit",
    "typer",
    "rich",
    "filelock",
)


def peak_bytes() -> int:
    """The peak of this process alone; `ru_maxrss` may include its parent's."""
    [line] = [
        line
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) * 1024


class ListSink:
    """Sends rows as the library's documentation does; counts what it takes to have them as such."""

    def __init__(self, ours: Any) -> None:
        self.loading_seconds = 0.0
        self._ours = ours

    def prepare(self) -> None:
        self._ours.prepare()

    def send(self, body: bytes) -> None:
        import orjson

        began = time.thread_time()
        rows = orjson.loads(body)
        self.loading_seconds += time.thread_time() - began
        self._ours._client.upload(self._ours._rule, self._ours._stream, rows)


def main() -> None:
    kind, loading = sys.argv[1], 0.0
    if kind == "classic":
        from tests.bench import classic

        invoked = time.perf_counter()
        classic.collect(os.environ)
    else:
        import function_app
        from jira_audit import app, wiring

        assert function_app.poll
        sinks: list[ListSink] = []
        if kind == "list":
            ours = wiring.sink

            def sink(azure: Any) -> ListSink:
                if not sinks:
                    sinks.append(ListSink(ours(azure)))
                return sinks[0]

            wiring.sink = sink  # type: ignore[assignment]
        invoked = time.perf_counter()
        app.tick(os.environ, wiring.Threads())
        loading = sum(sink.loading_seconds for sink in sinks)
    ended = time.perf_counter()
    used = resource.getrusage(resource.RUSAGE_SELF)
    report = {
        "wall_seconds": ended - invoked,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "loading_seconds": loading,
        "peak_bytes": peak_bytes(),
        "imported": [name for name in NOT_ALWAYS_NEEDED if name in sys.modules],
    }
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
