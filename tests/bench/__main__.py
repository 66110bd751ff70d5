"""`make bench`: what a tick costs, idle and with much to do, against the real client libraries.

Every server runs in a process of its own (the Jira site in this one), so that the measured process
is the connector alone. Times are this machine's; the ratios within one run are what to compare.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from jira_audit.imaginary import ImaginarySite, believable_records, serve
from tests.servers import azurite
from tests.servers.ingestion import RULE, STREAM

USERNAME, TOKEN = "auditor@example.com", "a-token"
HOUR = 3_600_000


def now() -> int:
    return time.time_ns() // 1_000_000


@contextmanager
def process(*arguments: str) -> Iterator[dict[str, Any]]:
    """A stand-in server in a process of its own; yields the line of JSON it begins with."""
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        yield json.loads(server.stdout.readline())
        server.stdin.close()


def tick(environment: Mapping[str, str]) -> dict[str, Any]:
    """One tick in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.measured"],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=900,
    )
    return json.loads(done.stdout)


class CountingSite(ImaginarySite):
    """A site that counts what it is asked."""

    asked = 0

    def answer(self, *arguments: Any, **named: Any) -> Any:
        self.asked += 1
        return super().answer(*arguments, **named)


def measure(count: int, environment: dict[str, str]) -> list[tuple[str, dict[str, Any], int]]:
    """A first tick over `count` records of the last day, and then an idle one."""
    site = CountingSite(USERNAME, TOKEN)
    site.add(
        believable_records(count, first_id=10_000, end_ms=now() - HOUR, span_ms=22 * HOUR, seed=7)
    )
    figures = []
    with serve(site, clock_ms=now) as url:
        mine = environment | {"JIRA_SITE_URL": url, "CHECKPOINT_CONTAINER": uuid.uuid4().hex}
        for name in (f"first tick, {count:,} records", "next tick, nothing new"):
            site.asked = 0
            figures.append((name, tick(mine), site.asked))
    return figures


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        certificate = folder / "ca.pem"
        connection = stack.enter_context(azurite.running())
        identity = stack.enter_context(process("tests.servers.identity"))
        ingestion = stack.enter_context(
            process("tests.servers.ingestion", "--ca", str(certificate))
        )
        environment = {
            **identity,
            "REQUESTS_CA_BUNDLE": str(certificate),
            "JIRA_USERNAME": USERNAME,
            "JIRA_API_TOKEN": TOKEN,
            "DATA_COLLECTION_ENDPOINT": ingestion["endpoint"],
            "LOGS_DCR_RULE_ID": RULE,
            "LOGS_DCR_STREAM_NAME": STREAM,
            "AzureWebJobsStorage": connection,
        }
        print(f"{'':34}{'wall s':>8}{'CPU s':>8}{'peak MB':>9}{'asked':>7}  imported")
        for count in (2_000, 100_000):
            for name, cost, asked in measure(count, environment):
                print(
                    f"{name:34}{cost['wall_seconds']:8.2f}{cost['cpu_seconds']:8.2f}"
                    f"{cost['peak_bytes'] / 1e6:9.1f}{asked:7}  {', '.join(cost['imported'])}"
                )


if __name__ == "__main__":
    main()
