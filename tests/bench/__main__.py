"""`make bench`: what the connector costs, beside what a user would otherwise run.

Every server is in a process of its own, so that the measured process is the connector alone. Times
are this machine's; the ratios within one run are what to compare. Method and a dated result:
`tests/bench/README.md`.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal
from urllib.parse import urlsplit

from azure.storage.blob import ContainerClient

from jira_audit.core.batches import BATCH_LIMIT
from jira_audit.core.checkpoint import Checkpoint, decode
from jira_audit.core.ledger import Ledger
from jira_audit.core.timestamps import DAY, MINUTE
from tests.bench.plot import draw
from tests.bench.servers import ADDRESSES, TOKEN, USERNAME
from tests.servers import azurite
from tests.servers.ingestion import RULE, STREAM

PAGE_SECONDS, CALL_SECONDS = 0.25, 0.1
HOST, FIRST_ID = "127.0.0.1", 10_000
BLOB = f"checkpoints/{HOST}.json"

Kind = Literal["connector", "list", "classic"]


def now() -> int:
    return time.time_ns() // 1_000_000


class Server:
    """A server in a process of its own: `told` is the line it begins with, `tell` speaks to it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.told = self._line()

    def tell(self, **wanted: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told


@contextmanager
def server(*arguments: str) -> Iterator[Server]:
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        yield Server(process)
        process.stdin.close()


@dataclass(frozen=True)
class Measured:
    """One run of a process, and what the servers saw of it."""

    records: int
    wall: float
    cpu: float
    loading: float
    megabytes: float
    imported: list[str]
    asked: int
    most: int
    sizes: list[int]
    first_row_seconds: float | None

    @property
    def fill(self) -> float:
        """How full batches were on the average, the last one left out: it has what is left."""
        return sum(self.sizes[:-1]) / (len(self.sizes) - 1) / BATCH_LIMIT


@dataclass(frozen=True)
class Bench:
    """Everything that runs are measured with."""

    servers: Server
    environment: Mapping[str, str]

    def site(
        self,
        records: int,
        hours: float,
        *,
        page_seconds: float = 0.0,
        call_seconds: float = 0.0,
        text_bytes: int = 0,
        seed: int = 7,
    ) -> None:
        """From now on, a site with so many records within so many hours, each that much longer."""
        self.servers.tell(
            records=records,
            hours=hours,
            page_seconds=page_seconds,
            call_seconds=call_seconds,
            text_bytes=text_bytes,
            seed=seed,
        )

    def store(self, checkpoint: Checkpoint | None) -> str:
        """A new container, with this checkpoint in it if there is one."""
        name = uuid.uuid4().hex
        with self._container(name) as container:
            container.create_container()
            if checkpoint:
                container.upload_blob(BLOB, checkpoint.encode(now()))
        return name

    def stored(self, name: str) -> int:
        """How large the checkpoint in a container is, in bytes."""
        with self._container(name) as container, container.get_blob_client(BLOB) as blob:
            return int(blob.get_blob_properties().size)

    def make_sweep_due(self, name: str) -> None:
        """As if the last sweep of the site in a container had been made a day ago."""
        with self._container(name) as container:
            checkpoint = decode(container.download_blob(BLOB).readall(), HOST)
            due = replace(checkpoint, swept=now() - DAY - MINUTE)
            container.upload_blob(BLOB, due.encode(now()), overwrite=True)

    def _several(self, sites: int) -> dict[str, str]:
        port = urlsplit(self.environment["JIRA_SITE_URL"]).port
        account = {"username": USERNAME, "api_token_setting": "TOKEN_OF_ALL"}
        entries = [{"url": f"https://{each}:{port}", **account} for each in ADDRESSES[:sites]]
        one = {"JIRA_SITE_URL", "JIRA_USERNAME", "JIRA_API_TOKEN"}
        rest = {name: value for name, value in self.environment.items() if name not in one}
        return {**rest, "JIRA_SITES": json.dumps(entries), "TOKEN_OF_ALL": TOKEN}

    def _container(self, name: str) -> ContainerClient:
        connection = self.environment["AzureWebJobsStorage"]
        return ContainerClient.from_connection_string(connection, name)

    def run(
        self, kind: Kind, records: int, hours: int, container: str | None = None, *, sites: int = 1
    ) -> Measured:
        """One run in a fresh process, with a checkpoint of its own unless one is named.

        With several `sites`, each has these records.
        """
        environment = {
            **(self._several(sites) if sites > 1 else self.environment),
            **{k: v for k, v in os.environ.items() if k.startswith("MALLOC")},
            "CHECKPOINT_CONTAINER": container or uuid.uuid4().hex,
            "INITIAL_LOOKBACK_HOURS": str(hours),
        }
        self.servers.tell()
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.measure_one_run", kind],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, done.stderr
        seen, cost = self.servers.tell(), json.loads(done.stdout)
        assert seen["distinct"] == records, seen["distinct"]
        assert seen["rows"] == records * sites, seen["rows"]
        return Measured(
            records,
            cost["wall_seconds"],
            cost["cpu_seconds"],
            cost["loading_seconds"],
            cost["peak_bytes"] / 1e6,
            cost["imported"],
            seen["asked"],
            seen["most_under_way"],
            seen["sizes"],
            seen["first_row_seconds"],
        )


@contextmanager
def bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        certificate = folder / "ca.pem"
        connection = stack.enter_context(azurite.run())
        identity = stack.enter_context(server("tests.servers.identity"))
        servers = stack.enter_context(server("tests.bench.servers", "--ca", str(certificate)))
        yield Bench(
            servers,
            {
                "PATH": os.environ["PATH"],
                **identity.told,
                "REQUESTS_CA_BUNDLE": str(certificate),
                "JIRA_SITE_URL": servers.told["jira"],
                "JIRA_USERNAME": USERNAME,
                "JIRA_API_TOKEN": TOKEN,
                "DATA_COLLECTION_ENDPOINT": servers.told["ingestion"],
                "LOGS_DCR_RULE_ID": RULE,
                "LOGS_DCR_STREAM_NAME": STREAM,
                "AzureWebJobsStorage": connection,
            },
        )


def ledgers() -> Iterator[tuple[str, Checkpoint]]:
    """Checkpoints of sites with ten million delivered ids, none of which is to be met again."""
    at = now()
    start, ids = at - 366 * DAY, 10_000_000
    plain = Checkpoint.first(HOST, start, at).read_through(at - 5 * MINUTE).sweep_done(at)
    for every in (None, 1_000, 200, 100):
        gaps = range(FIRST_ID + 1, FIRST_ID + ids, every) if every else ()
        missing = Ledger().with_ids(gaps)
        full = replace(plain, ledger=Ledger(((FIRST_ID, FIRST_ID + ids - 1),)).without(missing))
        for day in range(366):
            mark = start + day * DAY
            full = full.marked(mark, mark, FIRST_ID + day * ids // 366)
        name = "none missing" if every is None else f"every {every:,}th missing for ever"
        yield name, full.pruned_to_size(at - 3 * DAY)


TIMES = 10
"""Runs of each long pull, each of other records and at another minute."""


@dataclass(frozen=True)
class Pull:
    """Runs of ours over sites of one kind, and one of the classic connector."""

    name: str
    records: int
    ours: list[Measured]
    classic: Measured

    @property
    def ratios(self) -> list[float]:
        """Wall time, of that of the pages one after the other."""
        floor = math.ceil(self.records / 1_000) * PAGE_SECONDS
        return [each.wall / floor for each in self.ours]

    @property
    def needed(self) -> int:
        """The requests that one window without a limit takes, with the empty page."""
        return math.ceil(self.records / 1_000) + 1


def long_pulls(it: Bench) -> Iterator[Pull]:
    """Pulls as long as their answers take: ours and the classic one's."""
    for records, hours, span, name in (
        (10_000, 24, 23.7, "10,000 over a day"),
        (20_000, 24, 23.7, "20,000 over a day"),
        (40_000, 24, 23.7, "40,000 over a day"),
        (40_000, 72, 71.7, "40,000 over three days"),
        (40_000, 168, 167.5, "40,000 over a week"),
        (40_000, 168, 144.0, "40,000 in the last 6 of 7 days"),
        (40_000, 24, 6.0, "40,000 in the last 6 of 24 hours"),
    ):
        ours = []
        for seed in range(TIMES):
            it.site(records, span, page_seconds=PAGE_SECONDS, call_seconds=CALL_SECONDS, seed=seed)
            ours.append(it.run("connector", records, hours))
        yield Pull(name, records, ours, it.run("classic", records, hours))


CPU_TIMES = 3


def processor_time(it: Bench) -> dict[Kind, list[Measured]]:
    """Runs over 100,000 records of each kind, in turn."""
    it.site(100_000, 22.7)
    kinds: tuple[Kind, ...] = ("connector", "list", "classic")
    runs: dict[Kind, list[Measured]] = {kind: [] for kind in kinds}
    for _ in range(CPU_TIMES):
        for kind in kinds:
            runs[kind].append(it.run(kind, 100_000, 23))
    return runs


def first_rows(it: Bench) -> Iterator[tuple[str, Measured]]:
    """Ticks with three new records: how long after Jira's first answer their rows are sent."""
    container = it.store(None)
    it.site(40_000, 47.0)
    it.run("connector", 40_000, 48, container)
    it.servers.tell(new=3, page_seconds=PAGE_SECONDS, call_seconds=CALL_SECONDS)
    yield "an ordinary tick", it.run("connector", 3, 48, container)
    it.make_sweep_due(container)
    it.servers.tell(new=3)
    yield "a tick with a sweep over 40,000 records", it.run("connector", 3, 48, container)


def growth(it: Bench) -> Iterator[Measured]:
    """The same density, for longer and longer; nothing takes time but the work itself."""
    for records, hours in ((10_000, 3), (100_000, 23), (300_000, 69), (1_000_000, 230)):
        it.site(records, hours - 0.3)
        yield it.run("connector", records, hours)


def memory(it: Bench) -> Iterator[tuple[str, Measured]]:
    """Runs of records far larger than ordinary ones, and of several sites side by side."""
    it.site(8_000, 0.5, text_bytes=64_000)
    yield "one site, 8,000 records of 64 KB in half an hour", it.run("connector", 8_000, 2)
    it.site(5_000, 1.0, text_bytes=5_000)
    several = it.run("connector", 5_000, 2, sites=10)
    yield "ten sites side by side, 5,000 records of 5 KB each in an hour", several


def main() -> None:
    said = MarkdownLog()
    with bench() as it:
        said.heading("Long pulls: 250 ms a page, 100 ms a call")
        said.row(
            *("", "ours, s", "of one page after the other", "the most", "classic, s"),
            *("requests", "needed", "beyond"),
        )
        pulls = []
        for pull in long_pulls(it):
            pulls.append(pull)
            asked = [each.asked for each in pull.ours]
            said.row(
                pull.name,
                f"{median(each.wall for each in pull.ours):.2f}",
                f"{median(pull.ratios):.2f}",
                f"{max(pull.ratios):.2f}",
                f"{pull.classic.wall:.2f}",
                f"{min(asked)} to {max(asked)}",
                str(pull.needed),
                f"{max(asked) / pull.needed - 1:.0%}",
            )
        most = max(each.most for pull in pulls for each in pull.ours)
        said.line(f"At most {most} requests were under way.")

        said.heading("First row: 250 ms a page, 100 ms a call, three new records")
        said.row("", "first row sent, s after the first page", "whole run, s", "requests")
        for name, m in first_rows(it):
            said.row(name, f"{m.first_row_seconds or 0:.2f}", f"{m.wall:.2f}", str(m.asked))

        said.heading("CPU for 100,000 records, whole process")
        said.row("", "CPU, s", "least", "most", "ours, of it", "peak, MB")
        runs = processor_time(it)
        ours_cpu = median(each.cpu for each in runs["connector"])
        names: tuple[tuple[Kind, str], ...] = (
            ("connector", "ours"),
            ("list", "`upload(list)`"),
            ("classic", "classic"),
        )
        for kind, name in names:
            cpu = [each.cpu for each in runs[kind]]
            said.row(
                name,
                f"{median(cpu):.2f}",
                f"{min(cpu):.2f}",
                f"{max(cpu):.2f}",
                f"{ours_cpu / median(cpu):.2f}",
                f"{max(each.megabytes for each in runs[kind]):.0f}",
            )
        alone = median(each.cpu - each.loading for each in runs["list"])
        said.line(f"Without reading rows back: {ours_cpu / alone:.2f} of `upload(list)`.")

        said.heading("As work grows")
        said.row("records", "CPU, s", "µs a record", "peak, MB", "requests", "calls", "fullness")
        grown = []
        for m in growth(it):
            grown.append(m)
            said.row(
                f"{m.records:,}",
                f"{m.cpu:.2f}",
                f"{m.cpu / m.records * 1e6:.1f}",
                f"{m.megabytes:.1f}",
                str(m.asked),
                str(len(m.sizes)),
                f"{m.fill:.1%}",
            )

        said.heading("Memory")
        said.row("", "peak, MB", "s", "requests")
        for name, m in memory(it):
            said.row(name, f"{m.megabytes:.1f}", f"{m.wall:.1f}", str(m.asked))

        said.heading("An idle tick, after so many deliveries")
        said.row("ids", "checkpoint, bytes", "CPU, s", "peak, MB", "requests", "imported")
        it.site(0, 1)
        for name, checkpoint in [("a new site", None), *ledgers()]:
            container = it.store(checkpoint)
            if checkpoint is None:
                it.run("connector", 0, 1, container)
            idle = it.run("connector", 0, 1, container)
            said.row(
                name if checkpoint is None else f"10 million, {name}",
                f"{it.stored(container):,}",
                f"{idle.cpu:.2f}",
                f"{idle.megabytes:.1f}",
                str(idle.asked),
                ", ".join(idle.imported) or "nothing it does not need",
            )
    folder = Path("build/bench")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.md").write_text(said.text, encoding="utf-8")
    drawn = [(each.name, each.ours[0], each.classic) for each in pulls[:3]]
    draw(folder / "result.svg", drawn, grown)
    print(f"\nAlso in {folder}/result.md, and drawn in {folder}/result.svg.")


class MarkdownLog:
    """What is printed as it is measured, and kept: Markdown."""

    def __init__(self) -> None:
        self.text = ""
        self._begins = False

    def heading(self, text: str) -> None:
        self.line(f"\n### {text}\n")
        self._begins = True

    def row(self, *cells: str) -> None:
        self.line(f"| {' | '.join(cells)} |")
        if self._begins:
            self.line("| --- " * len(cells) + "|")
        self._begins = False

    def line(self, text: str) -> None:
        print(text, flush=True)
        self.text += f"{text}\n"


if __name__ == "__main__":
    main()
