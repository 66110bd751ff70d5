"""The benchmark's plot: how long pulls last, and what work costs as it grows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from matplotlib import rcParams
from matplotlib.figure import Figure

OURS, OTHER, TARGET = "#1f5fa8", "#b0651d", "#888888"


class Run(Protocol):
    """What is drawn of one run."""

    @property
    def records(self) -> int: ...
    @property
    def wall(self) -> float: ...
    @property
    def cpu(self) -> float: ...
    @property
    def megabytes(self) -> float: ...


def draw(file: Path, pulls: Sequence[tuple[str, Run, Run]], grown: Sequence[Run]) -> None:
    """Draw both into an SVG file."""
    rcParams["svg.hashsalt"] = "the same picture for the same figures"
    figure = Figure(figsize=(13, 3.8), layout="tight")
    left, middle, right = figure.subplots(1, 3)
    thousands = [ours.records / 1_000 for _, ours, _ in pulls]
    left.plot(thousands, [other.wall for *_, other in pulls], "o-", color=OTHER, label="classic")
    left.plot(thousands, [ours.wall for _, ours, _ in pulls], "o-", color=OURS, label="ours")
    left.plot(thousands, [0.1 * each for each in thousands], ":", color=TARGET, label="target")
    _name(left, "A pull of 250 ms a page, 100 ms a call", "thousand records", "seconds")
    left.legend(frameon=False)
    records = [run.records for run in grown]
    middle.plot(records, [run.megabytes for run in grown], "o-", color=OURS)
    middle.axhline(120, linestyle=":", color=TARGET)
    middle.set_xscale("log")
    _name(middle, "Peak memory", "records in one run", "MB")
    right.plot(records, [run.cpu / run.records * 1e6 for run in grown], "o-", color=OURS)
    right.set_xscale("log")
    _name(right, "CPU a record, start of the process included", "records in one run", "µs")
    figure.savefig(file, metadata={"Date": None})


def _name(axes: Any, title: str, along: str, up: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(along)
    axes.set_ylabel(up)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
