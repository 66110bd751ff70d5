"""Processes of the connector to start, freeze and kill, and servers that say what these do to them.

What a process sent is told apart by its name, which stands in the User-Agent of its sends. What
is right or wrong is the tests' business.
"""

from __future__ import annotations

import gzip
import itertools
import json
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from azure.storage.blob import BlobClient

from tests.end_to_end.conftest import ROOT, Installation
from tests.servers.ingestion import Answer

ENDS_WITHIN = 100.0
"""Seconds; no promise, but the bound on every wait for a process."""

Kind = Literal["asked", "sent", "accepted"]
"""Jira was asked; a batch came; it was accepted, and its sender does not know it yet."""


@dataclass(frozen=True)
class Send:
    """One accepted ingestion call. `size` is its JSON's in bytes."""

    run: str
    ids: tuple[int, ...]
    size: int


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it said; `outcome` is empty for one that was killed."""

    name: str
    returncode: int
    outcome: Mapping[str, Any]
    log: str
    begun: float
    ended: float

    @property
    def result(self) -> str:
        return self.outcome.get("result", f"no outcome, exit code {self.returncode}: {self.log}")

    @property
    def seconds(self) -> float:
        return self.ended - self.begun

    @property
    def error(self) -> str:
        return str(self.outcome.get("error"))


class Collector:
    """One process, running once. It is killed on leaving the `with`, if it has not ended."""

    def __init__(self, name: str, environment: Mapping[str, str], log: Path) -> None:
        self.name, self._log = name, log
        self.begun = time.monotonic()
        with log.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.end_to_end.collector"],
                cwd=ROOT,
                env={
                    **environment,
                    "AZURE_HTTP_USER_AGENT": f"run/{name}",
                    "PYTHONFAULTHANDLER": "1",
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )

    def ready(self) -> None:
        """Waits until everything is imported and `finish` has nothing to do but to begin."""
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], ENDS_WITHIN)[0], "it never got ready"

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def finish(self, within: float = ENDS_WITHIN) -> Ended:
        try:
            said, _ = self.process.communicate(timeout=within)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # it then says where each thread stands
            self.process.communicate(timeout=ENDS_WITHIN)
            pytest.fail(f"it did not end: {self._log.read_text(encoding='utf-8')}")
        lines = [line for line in said.splitlines() if line.startswith("{")]
        log = self._log.read_text(encoding="utf-8")
        outcome = json.loads(lines[0]) if lines else {}
        return Ended(self.name, self.process.returncode, outcome, log, self.begun, time.monotonic())

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate(timeout=ENDS_WITHIN)


@dataclass
class Watched:
    """An installation whose servers tell `listener` what happens, in their own threads.

    `pauses` tells how many seconds the next answer of either kind takes. `sends` holds every
    accepted call, in order, from before its sender could know.
    """

    installation: Installation
    environment: dict[str, str]
    folder: Path
    sends: list[Send] = field(default_factory=list)
    asked: int = 0
    listener: Callable[[Kind, str], None] = lambda kind, run: None
    pauses: Callable[[Kind], float] = lambda kind: 0.0
    _names: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _started: list[Collector] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, **environment: str) -> Collector:
        name = f"{next(self._names):03}"
        started = Collector(name, self.environment | environment, self.folder / f"{name}.log")
        self._started.append(started)
        return started

    def run(self, **environment: str) -> Ended:
        """One run, from its start to its end."""
        collector = self.start(**environment)
        collector.go()
        return collector.finish()

    def times(self) -> dict[int, int]:
        """How often each id was accepted."""
        counted: dict[int, int] = {}
        for send in list(self.sends):
            for record_id in send.ids:
                counted[record_id] = counted.get(record_id, 0) + 1
        return counted

    @property
    def blob(self) -> BlobClient:
        return self.installation.container.get_blob_client("checkpoints/127.0.0.1.json")

    def checkpoint(self) -> bytes:
        return self.blob.download_blob().readall()

    def ledger(self) -> set[int]:
        ranges = json.loads(self.checkpoint())["ledger"]
        return {record_id for first, last in ranges for record_id in range(first, last + 1)}

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        receive, answer = self.installation.ingestion.receive, self.installation.site.answer

        def watched_receive(target: str, headers: Mapping[str, str], raw: bytes) -> Answer:
            run = headers.get("User-Agent", "").rpartition("run/")[2]
            self.listener("sent", run)
            time.sleep(self.pauses("sent"))
            given = receive(target, headers, raw)
            if given.status == 204:
                content = gzip.decompress(raw)
                ids = tuple(row["id_d"] for row in json.loads(content))
                with self._lock:
                    self.sends.append(Send(run, ids, len(content)))
                self.listener("accepted", run)
            return given

        def watched_answer(*arguments: Any) -> Any:
            with self._lock:
                self.asked += 1
            self.listener("asked", "")
            time.sleep(self.pauses("asked"))
            return answer(*arguments)

        monkeypatch.setattr(self.installation.ingestion, "receive", watched_receive)
        monkeypatch.setattr(self.installation.site, "answer", watched_answer)

    def end(self) -> None:
        for collector in self._started:
            collector.end()


@contextmanager
def watching(
    installation: Installation, folder: Path, monkeypatch: pytest.MonkeyPatch, **environment: str
) -> Iterator[Watched]:
    watched = Watched(installation, installation.environment | environment, folder)
    watched.watch(monkeypatch)
    try:
        yield watched
    finally:
        watched.end()


class FreezeAt:
    """A listener: the `number`-th time that `kind` happens, the servers stand still, and it acts.

    Until that is done nothing else is taken or answered, so that how far a process had come by
    then does not depend on how fast it is. What the servers still do for another process than
    `run`, such as one that was killed, is let through; without it, all is meant.
    """

    def __init__(
        self, kind: Kind, number: int, act: Callable[[], object], run: str | None = None
    ) -> None:
        self._kind, self._left, self._act, self._run = kind, number, act, run
        self._lock, self._over = threading.Lock(), threading.Event()

    def __call__(self, kind: Kind, run: str) -> None:
        if self._run is not None and run not in {"", self._run}:
            return
        with self._lock:
            self._left -= kind == self._kind
            due, past = kind == self._kind and self._left == 0, self._left <= 0
        if due:
            try:
                self._act()
            finally:
                self._over.set()
        elif past:
            self._over.wait(ENDS_WITHIN)
