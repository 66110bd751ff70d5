"""The programs of a shell script under test, on the local Azure: az, sleep, which moves its clock,
and date, which tells it.

A script can be cut off: it, and all that it has started, is killed before or after a call.
"""

from __future__ import annotations

import json
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from tests.servers.azure.commands import Commands

PYTHON = getattr(sys, "_base_executable", sys.executable)
"""Without the environment's packages, and started with -IS: it is started often."""

Moment = Literal["before", "after"]


@dataclass
class Programs:
    """`cut` says of a call, before or after its effect, whether all ends there."""

    commands: Commands
    cut: Callable[[str, Moment], bool] = lambda line, moment: False
    calls: list[str] = field(default_factory=list)
    slept: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def installed(self, folder: Path, *, az: bool = True) -> Iterator[dict[str, str]]:
        """Put the programs into a folder; yield the variables that they need."""
        source = Path(__file__).with_name("stand_in.py").read_text(encoding="utf-8")
        names = ("az", "sleep", "date") if az else ("sleep", "date")
        for name in names:
            (folder / name).write_text(f"#!{PYTHON} -IS\n{source}", encoding="utf-8")
            (folder / name).chmod(0o755)
        (folder / "python3").write_text(f'#!/bin/sh\nexec {PYTHON} -IS "$@"\n', encoding="utf-8")
        (folder / "python3").chmod(0o755)
        programs = self

        class _Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                asked = json.loads(self.rfile.readline())
                with programs.lock:
                    answer = programs.answer(asked["program"], asked["argv"])
                self.wfile.write(json.dumps(answer).encode() + b"\n")

        with socketserver.TCPServer(("127.0.0.1", 0), _Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield {"LOCAL_AZURE": str(server.server_address[1])}
            finally:
                server.shutdown()
                thread.join()

    def answer(self, program: str, argv: list[str]) -> dict[str, Any]:
        azure = self.commands.azure
        if program == "sleep":
            self.slept += round(float(argv[0]))
            azure.advance(timedelta(seconds=float(argv[0])))
            return _said(0)
        if program == "date":
            return _said(0, f"{azure.now:{argv[-1].removeprefix('+')}}\n")
        line = " ".join(each for each in argv if each != "--only-show-errors")
        self.calls.append(line)
        if self.cut(line, "before"):
            return _said(0) | {"kill": True}
        code, out, err = self.commands.run(argv)
        return _said(code, out, err) | {"kill": self.cut(line, "after")}


def _said(code: int, out: str = "", err: str = "") -> dict[str, Any]:
    return {"exit": code, "out": out, "err": err, "kill": False}
