"""What one tick does, call by call: few calls, in the documented order."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import jira_audit
from jira_audit.core.clock import Deadline
from jira_audit.core.plan import Schedule
from jira_audit.core.timestamps import DAY, HOUR
from jira_audit.flow.collect import collect
from tests.fakes.world import Eager, World, record
from tests.flow.test_collect import world_with

PACKAGE = str(Path(jira_audit.__file__).parent)
# Calls in Python 3.11, part of their function since: https://peps.python.org/pep-0709/
COMPREHENSIONS = {"<listcomp>", "<dictcomp>", "<setcomp>"}
SIMULATOR = str(Path(PACKAGE) / "simulator")


@dataclass
class Trace:
    """The calls of the package's own functions, each with its callers."""

    calls: list[list[str]] = field(default_factory=list)

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or frame.f_code.co_name in COMPREHENSIONS:
            return
        if _is_ours(frame) and not _is_of_a_fake(frame):
            self.calls.append(_stack(frame))

    def calls_to(self, *names: str) -> list[list[str]]:
        """The calls of the functions with these names."""
        return [stack for stack in self.calls if stack[0].rpartition(".")[2] in names]


def _is_ours(frame: FrameType | None) -> bool:
    file = frame.f_code.co_filename if frame else ""
    return file.startswith(PACKAGE) and not file.startswith(SIMULATOR)


def _is_of_a_fake(frame: FrameType | None) -> bool:
    """Whether the in-memory store called it for its own checks."""
    while frame:
        if frame.f_code.co_qualname.startswith("Memory"):
            return True
        frame = frame.f_back
    return False


def _stack(frame: FrameType | None) -> list[str]:
    names = []
    while frame:
        if _is_ours(frame):
            module = Path(frame.f_code.co_filename).stem
            names.append(f"{module}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    return names


def trace_calls(act: Callable[[], object]) -> Trace:
    trace = Trace()
    sys.setprofile(trace)
    try:
        act()
    finally:
        sys.setprofile(None)
    return trace


def world_with_one_new_record() -> World:
    world = world_with(100)
    world.executor = Eager  # a send runs on this thread, so that the trace sees it
    world.run()
    world.time.advance(3600)
    world.run()  # so that the overlap has nothing else
    world.time.advance(300)
    world.jira.site.add([record(20_000, world.time.now - 1_000)])
    return world


def test_tick_with_one_new_record_makes_few_calls() -> None:
    world = world_with_one_new_record()
    run = world.new_run(Deadline.after(world.time.clock, 480.0))  # its clients are cached

    trace = trace_calls(lambda: collect(run, Schedule(run.policy)))

    assert world.rows()[-1] == 20_000
    assert len(trace.calls) <= 250


def test_tick_sends_and_saves_outside_readers_and_exits() -> None:
    """A tick with a sweep, several windows and several batches."""
    world = world_with(400, over=47 * HOUR, lookback=48 * HOUR, batch_bytes=4_000)
    world.executor = Eager
    first = trace_calls(world.run)
    world.time.advance(DAY / 1000 + 1)
    world.jira.site.add([record(20_000, world.time.now - 1_000)])
    second = trace_calls(world.run)

    for trace in (first, second):
        acts = trace.calls_to("send", "deliver", "_save", "collect_finished")
        assert len(acts) > 3
        for stack in acts:
            assert any(name.startswith("collect.collect") for name in stack)
            assert not [name for name in stack if name.startswith(("reader.", "fetching."))]
            assert not [name for name in stack if name.endswith("__exit__")]
