"""What the report's two charts show, as values in percent; `page/report.html` draws them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt

from jira_audit.core import timestamps
from jira_audit.core.activity import Activity
from jira_audit.core.timestamps import DAY, HOUR
from jira_audit.terminal.format import utc

CATEGORIES = (
    "permissions",
    "group management",
    "user management",
    "auditing",
    "system",
    "projects",
    "workflows",
    "fields",
    "notifications",
    "status",
    "issue types",
)
"""Each has its own colour in every report, and its place in a column, from the bottom up."""

OTHER = len(CATEGORIES)
"""The colour that all further categories share."""

UNITS: Mapping[int, str] = {
    HOUR: "an hour",
    3 * HOUR: "3 hours",
    6 * HOUR: "6 hours",
    DAY: "a day",
    7 * DAY: "7 days",
    30 * DAY: "30 days",
}
COLUMNS_UP_TO = 100
"""The most columns of the chart, which uses the smallest unit that fits."""

TICKS_UP_TO = 5
"""The most lines above zero."""

LABELS_UP_TO = 6
"""The most dates below a chart: so many are legible on a phone."""

LAST_LABEL = 88
"""Percent: what begins further right does not fit."""

STRIDES = (1, 2, 3, 4, 6, 8, 12, 24, 48)
"""Columns between two dates."""

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def colour(category: str) -> int:
    """The number of a category's colour, which depends on its name alone."""
    name = category.lower()
    return CATEGORIES.index(name) if name in CATEGORIES else OTHER


@dataclass(frozen=True)
class Bar:
    """A part of a column: `y` is its upper edge."""

    colour: int
    y: float
    height: float


@dataclass(frozen=True)
class Column:
    """One unit of time that has rows."""

    at: int
    when: str
    x: float
    rows: int
    counts: Sequence[tuple[str, int]]
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Label:
    """A date below the chart."""

    text: str
    x: float


@dataclass(frozen=True)
class Chart:
    """Rows over time, by category. `ticks` are the numbers at its lines, the largest first."""

    unit: str
    width: float
    columns: Sequence[Column]
    ticks: Sequence[int]
    labels: Sequence[Label]


def chart(activity: Activity) -> Chart:
    """The chart of an activity that has rows."""
    unit = _unit(activity)
    counts: dict[int, Counter[str]] = {}
    for (at, category), rows in activity.over_time.items():
        counts.setdefault(at - at % unit, Counter())[category] += rows
    first = activity.window.start - activity.window.start % unit
    times = range(first, activity.window.end + 1, unit)
    step = tick_step(max(each.total() for each in counts.values()))
    top = step * ceil(max(each.total() for each in counts.values()) / step)
    width = 100 / len(times)
    columns = [
        Column(
            at,
            utc(at)[: 16 if unit < DAY else 10],
            index * width,
            counts[at].total(),
            counts[at].most_common(),
            _bars(counts[at], top),
        )
        for index, at in enumerate(times)
        if at in counts
    ]
    return Chart(UNITS[unit], width, columns, range(top, -1, -step), _labels(times, unit, width))


def _unit(activity: Activity) -> int:
    """The time span of one column."""
    length = activity.window.length
    fitting = (unit for unit in UNITS if unit >= activity.unit and length <= unit * COLUMNS_UP_TO)
    return next(fitting, max(UNITS))


def _bars(counts: Counter[str], top: int) -> Sequence[Bar]:
    by_colour: Counter[int] = Counter()
    for category, rows in counts.items():
        by_colour[colour(category)] += rows
    bars, y = [], 100.0
    for number, rows in sorted(by_colour.items()):
        height = rows * 100 / top
        y -= height
        bars.append(Bar(number, y, height))
    return bars


def tick_step(most: int) -> int:
    """The distance between two lines: 1, 2 or 5 times a power of ten, for at most 5 lines."""
    power = 1
    while True:
        for digit in (1, 2, 5):
            if ceil(most / (digit * power)) <= TICKS_UP_TO:
                return digit * power
        power *= 10


def _labels(times: Sequence[int], unit: int, width: float) -> Sequence[Label]:
    stride = next((each for each in STRIDES if len(times) <= each * LABELS_UP_TO), len(times))
    places = ((times[index], index * width) for index in range(0, len(times), stride))
    return [Label(_label(at, unit), x) for at, x in places if x <= LAST_LABEL]


def _label(at: int, unit: int) -> str:
    text = timestamps.text(at)
    if unit < DAY and text[11:16] != "00:00":
        return text[11:16]
    return text[:7] if unit > 7 * DAY else f"{int(text[8:10])} {_MONTHS[int(text[5:7]) - 1]}"


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Cell:
    """One hour of a weekday: `opacity` grows with its events."""

    x: float
    y: float
    opacity: float
    title: str


def heat_map(heat: Mapping[tuple[int, int], int]) -> Sequence[Cell]:
    """A cell for each hour of the week (UTC); the busiest is opaque."""
    most = max(heat.values(), default=0) or 1
    return [
        Cell(
            hour * 100 / 24,
            day * 100 / 7,
            round(0.12 + 0.88 * sqrt(events / most), 2) if events else 0.0,
            f"{name} {hour:02}:00: {events:,}",
        )
        for day, name in enumerate(WEEKDAYS)
        for hour in range(24)
        for events in [heat.get((day, hour), 0)]
    ]
