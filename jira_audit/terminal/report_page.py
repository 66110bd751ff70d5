"""The report: one HTML page that holds everything it shows, for people who would rather look.

No script, no other resource, and a policy that lets none in: what records say is text, whatever it
looks like. What is shown was counted in `core/activity.py`. Needs the extra `terminal`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import chain

from jira_audit import __version__
from jira_audit.core.activity import DELAYS, Activity, Aspect
from jira_audit.core.moments import DAY, HOUR
from jira_audit.operations.status import Status
from jira_audit.terminal.console import printable, span, utc

TOP_N = 12
"""So many of a list are shown."""

NAME_LIMIT = 120
"""Characters of a name; the whole of it is in its tooltip, up to `TOOLTIP_LIMIT`."""
TOOLTIP_LIMIT = 1_000

UNITS: Mapping[int, str] = {
    HOUR: "an hour",
    3 * HOUR: "3 hours",
    6 * HOUR: "6 hours",
    DAY: "a day",
    7 * DAY: "7 days",
    30 * DAY: "30 days",
}
COLUMNS_UP_TO = 100
"""The chart's columns are of the smallest unit that gives no more than so many."""

MAX_COLOURS = 6
"""So many categories have a colour of their own; the others share one."""

TITLES: Mapping[Aspect, tuple[str, str]] = {
    "category": ("By category", "none named"),
    "event": ("What happened", "nothing said"),
    "actor": ("Who did it", "Jira itself, or nobody named"),
    "object": ("To what", "nothing named"),
}
"""What a list is called, and what the empty name in it stands for."""


@dataclass(frozen=True)
class Health:
    """How one site is: its status, and what people are told of it by name."""

    status: Status
    summary: Mapping[str, str]


def page(activity: Activity, health: Sequence[Health], source: str, made: int) -> str:
    """The whole page. `source` says where the rows were read, `made` is the moment of now."""
    window = activity.window
    sites = ", ".join(sorted(filter(None, activity.sites))) or "no site"
    body = [
        "<header><h1>Jira audit log</h1>",
        f"<p>{_text(sites)}<br>{utc(window.start)} to {utc(window.end)}</p></header>",
        *_figures(activity),
    ]
    if activity.rows:
        body += [*_over_time(activity), "<div class=lists>"]
        body += chain.from_iterable(_list(activity, aspect) for aspect in TITLES)
        body += [*_sites(activity), *_delays(activity), "</div>"]
    body += _health(health)
    body.append(
        f"<footer><p>Made {utc(made)} by the Jira audit connector {__version__} from "
        f"{_text(source)}. Rows are counted: one that was delivered twice counts twice. All times "
        "are UTC. <strong>This page holds personal data</strong>, as the audit log does.</p>"
        "</footer>"
    )
    return "\n".join([_HEAD, *body, "</main></body></html>", ""])


def _figures(activity: Activity) -> Iterator[str]:
    """What can be said in one number each."""
    by_time: Counter[int] = Counter()
    for (at, _), rows in activity.over_time.items():
        by_time[at] += rows
    unit = "hour" if activity.unit == HOUR else "day"
    figures = [(f"{activity.rows:,}", "row" if activity.rows == 1 else "rows")]
    if by_time:
        [(busiest, most)] = by_time.most_common(1)
        when = utc(busiest)[: 16 if unit == "hour" else 10]
        figures += [
            (f"{_distinct(activity, 'actor'):,}", "actors"),
            (f"{_distinct(activity, 'object'):,}", "objects"),
            (f"{most:,}", f"{'in' if unit == 'hour' else 'on'} the busiest {unit}, {when}"),
        ]
    yield "<section class=figures>"
    yield from (f"<p><b>{number}</b> {what}</p>" for number, what in figures)
    yield "</section>"
    if not activity.rows:
        yield "<section><p>There are no rows in this range.</p></section>"


def _distinct(activity: Activity, aspect: Aspect) -> int:
    return len(activity.aspects[aspect]) - ("" in activity.aspects[aspect])


# Over time.


def _over_time(activity: Activity) -> Iterator[str]:
    fitting = (
        unit
        for unit in UNITS
        if unit >= activity.unit and activity.window.length <= unit * COLUMNS_UP_TO
    )
    unit = next(fitting, max(UNITS))
    columns: dict[int, Counter[str]] = {}
    for (at, category), rows in activity.over_time.items():
        columns.setdefault(at - at % unit, Counter())[category] += rows
    ranked = [name for name, _ in activity.aspects["category"].most_common()]
    first = activity.window.start - activity.window.start % unit
    places = list(range(first, activity.window.end + 1, unit))
    top = _round_up(max(each.total() for each in columns.values()))
    yield f"<section><h2>Over time</h2><p class=note>Rows in {UNITS[unit]}, by category</p>"
    yield from _legend(ranked)
    yield f"<div class=chart><div class=scale><span>{top:,}</span><span>{top / 2:,g}</span>"
    yield "<span>0</span></div><div class=plot>"
    yield (
        f'<svg viewBox="0 0 {len(places)} {top}" preserveAspectRatio="none" role="img" '
        f'aria-label="Rows over time, by category">'
    )
    for place, at in enumerate(places):
        if found := columns.get(at):
            yield from _column(place, top, at, found, ranked)
    yield "</svg></div>"
    middle = places[len(places) // 2]
    yield "<div class=dates>"
    yield from (f"<span>{_when(at, unit)}</span>" for at in (places[0], middle, places[-1]))
    yield "</div></div>"
    yield from _as_table(places, columns, unit)
    yield "</section>"


def _column(
    place: int, top: int, at: int, found: Counter[str], ranked: Sequence[str]
) -> Iterator[str]:
    """One column of the chart: the coloured categories as they are ranked, the others above."""
    said = ", ".join(
        f"{_named(name, 'category')[:NAME_LIMIT]} {rows:,}"
        for name, rows in found.most_common(TOP_N)
    )
    yield f"<g><title>{utc(at)}: {found.total():,} rows. {_text(said)}</title>"
    heights = [found[name] for name in ranked[:MAX_COLOURS]]
    y = top
    for colour, rows in enumerate([*heights, found.total() - sum(heights)]):
        if rows:
            y -= rows
            yield (f'<rect class=c{colour} x="{place}.07" y="{y}" width=".86" height="{rows}"/>')
    yield "</g>"


def _legend(ranked: Sequence[str]) -> Iterator[str]:
    yield "<ul class=legend>"
    for rank, name in enumerate(ranked[:MAX_COLOURS]):
        yield f"<li><i class=b{_colour(rank)}></i>{_name(_named(name, 'category'))}</li>"
    if len(ranked) > MAX_COLOURS:
        yield f"<li><i class=b{MAX_COLOURS}></i>others</li>"
    yield "</ul>"


def _as_table(
    places: Sequence[int], columns: Mapping[int, Counter[str]], unit: int
) -> Iterator[str]:
    """The same in numbers, for whoever cannot see the chart, or wants to know exactly."""
    yield "<details><summary>In numbers</summary><table><tr><th>from<th>rows"
    for at in places:
        if found := columns.get(at):
            yield f"<tr><td>{_when(at, unit)}<td>{found.total():,}"
    yield "</table></details>"


def _colour(rank: int) -> int:
    return min(rank, MAX_COLOURS)


def _when(at: int, unit: int) -> str:
    return utc(at)[: 16 if unit < DAY else 10]


def _round_up(number: int) -> int:
    """To a number that a scale, and its half, can be read by."""
    power: int = 10 ** (len(str(number)) - 1)
    return next(each * power for each in (1, 2, 4, 6, 8, 10) if each * power >= number)


# Lists.


def _list(activity: Activity, aspect: Aspect) -> Iterator[str]:
    title, _ = TITLES[aspect]
    named = [(_named(name, aspect), rows) for name, rows in activity.aspects[aspect].most_common()]
    colours = range(len(named)) if aspect == "category" else None
    yield from _bars(title, named[:TOP_N], colours)
    if rest := named[TOP_N:]:
        rows = sum(number for _, number in rest)
        yield f"<p class=note>and {len(rest):,} more, with {rows:,} rows</p>"
    yield "</section>"


def _sites(activity: Activity) -> Iterator[str]:
    if len(activity.sites) > 1:
        named = [(name or "none named", rows) for name, rows in activity.sites.most_common()]
        yield from _bars("By site", named[:TOP_N])
        yield "</section>"


def _delays(activity: Activity) -> Iterator[str]:
    names = [f"within {span(bound)}" for bound in DELAYS] + [f"over {span(DELAYS[-1])}"]
    named = [(name, activity.delays[place]) for place, name in enumerate(names)]
    yield from _bars("How soon a row was written", named)
    yield "<p class=note>From created_t to TimeGenerated, which is the time of sending unless "
    yield "TIME_GENERATED_SOURCE says otherwise.</p></section>"


def _bars(
    title: str, named: Sequence[tuple[str, int]], colours: Sequence[int] | None = None
) -> Iterator[str]:
    """A list of names with a number and a bar each. The section is left open."""
    most = max((rows for _, rows in named), default=0) or 1
    yield f"<section><h2>{title}</h2><ol class=bars>"
    for place, (name, rows) in enumerate(named):
        colour = _colour(colours[place]) if colours is not None else 0
        yield (
            f"<li><span>{_name(name)}</span><b>{rows:,}</b>"
            f'<svg viewBox="0 0 1000 1" preserveAspectRatio="none" aria-hidden=true>'
            f'<rect class=c{colour} width="{rows * 1000 // most}" height="1"/></svg></li>'
        )
    yield "</ol>"


def _named(name: str, aspect: Aspect) -> str:
    return name or f"({TITLES[aspect][1]})"


# The connector.


def _health(health: Sequence[Health]) -> Iterator[str]:
    yield "<section><h2>The connector</h2>"
    if not health:
        yield "<p>There is no checkpoint, so nothing has been collected.</p>"
    for each in health:
        state = each.status.state
        mood = "good" if state == "ok" else "bad" if each.status.needs_attention else "fair"
        yield f"<h3>{_name(each.status.site)} <span class={mood}>{_text(state)}</span></h3>"
        if each.status.problem:
            yield f"<p>{_text(each.status.problem)}</p>"
        yield "<dl>"
        for name, value in each.summary.items():
            if value and name != "site":
                yield f"<div><dt>{_text(name)}<dd>{_text(value)}</div>"
        yield "</dl>"
    yield "<p class=note>Records: delivered, or kept as letters. Late: of those, what runs before "
    yield "had missed. Gaps: ids between those that Jira has not shown, a diagnostic and no proof "
    yield "of anything; verify tells whether every record is there.</p></section>"


# Texts: records' own are foreign, and may be anything.


def _text(foreign: str) -> str:
    return escape(printable(foreign))


def _name(foreign: str) -> str:
    """A name on its own: isolated, so that it orders no other text, and cut where it is long."""
    text = printable(foreign)
    if len(text) <= NAME_LIMIT:
        return f"<bdi>{escape(text)}</bdi>"
    whole = text if len(text) <= TOOLTIP_LIMIT else text[:TOOLTIP_LIMIT] + "…"
    return f'<bdi title="{escape(whole)}">{escape(text[:NAME_LIMIT])}…</bdi>'


_HEAD = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>Jira audit log</title>
<style>
:root { --page: #f4f5f7; --card: #fff; --ink: #1c2430; --soft: #5b6675; --line: #dfe3e8;
  --good: #1a7f37; --fair: #8a6100; --bad: #c0362c;
  --c0: #3b6fb6; --c1: #e0763a; --c2: #2f9e8f; --c3: #b5539c; --c4: #c9a227; --c5: #6b7fd7;
  --c6: #a3acb8 }
@media (prefers-color-scheme: dark) { :root { --page: #12161c; --card: #1b2129; --ink: #e6eaf0;
  --soft: #9aa6b5; --line: #303946; --good: #57c878; --fair: #e0b34a; --bad: #ff7b6e;
  --c0: #6ea3ec; --c1: #f09a63; --c2: #4fc3b2; --c3: #d981c0; --c4: #e3c14f; --c5: #98a8f5;
  --c6: #6c7684 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, "Segoe UI", "Noto Sans", sans-serif }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; display: grid; gap: 1rem }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1rem; margin: 0 0 .6rem }
h3 { font-size: .95rem; margin: 1rem 0 .4rem } h2 + h3 { margin-top: 0 }
header p, .note, footer { color: var(--soft); margin: .2rem 0 0; overflow-wrap: anywhere }
.note, footer { font-size: .85rem } .note { margin: .5rem 0 0 }
h2 + .note { margin: -.5rem 0 .6rem } h3 + p { margin-bottom: .6rem }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: 1rem; min-width: 0 } section > p { overflow-wrap: anywhere; margin-top: 0 }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(7rem, 1fr)); gap: 1rem }
.figures p { margin: 0; color: var(--soft) }
.figures b { display: block; font-size: 1.7rem; line-height: 1.2; color: var(--ink) }
.lists { columns: 20rem; column-gap: 1rem }
.lists section { break-inside: avoid } .lists section + section { margin-top: 1rem }
ul, ol { list-style: none; margin: 0; padding: 0 }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; font-size: .85rem; margin-bottom: .6rem }
.legend li { display: flex; align-items: baseline; min-width: 0; overflow-wrap: anywhere }
.legend i { flex: none; width: .7rem; height: .7rem; border-radius: .15rem; margin-right: .4rem }
.chart { display: grid; grid-template-columns: auto 1fr; gap: .3rem .5rem;
  font-size: .75rem; color: var(--soft) }
.scale { display: flex; flex-direction: column; justify-content: space-between; text-align: right;
  margin: -.55em 0 }
.plot { height: 14rem; border-bottom: 1px solid var(--line);
  background: linear-gradient(var(--line), var(--line)) 0 0 / 100% 1px no-repeat,
    linear-gradient(var(--line), var(--line)) 0 50% / 100% 1px no-repeat }
.plot svg { width: 100%; height: 100%; display: block }
.plot g:hover { opacity: .7 }
.dates { grid-column: 2; display: flex; justify-content: space-between; gap: .5rem }
details { margin-top: .6rem; font-size: .85rem } summary { cursor: pointer; color: var(--soft) }
table { border-collapse: collapse; margin-top: .4rem; font-variant-numeric: tabular-nums }
th, td { padding: .1rem 1.2rem .1rem 0; text-align: left } td:last-child, th:last-child {
  text-align: right }
.bars li { display: grid; grid-template-columns: 1fr auto; gap: 0 1rem; padding: .18rem 0 }
.bars span { min-width: 0; overflow-wrap: anywhere }
.bars b { font-weight: 600; font-variant-numeric: tabular-nums }
.bars svg { grid-column: 1 / -1; width: 100%; height: .4rem; background: var(--page);
  border-radius: .2rem }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(13rem, 100%), 1fr));
  gap: .5rem 1rem; margin: 0 }
dt { font-size: .8rem; color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere }
.good { color: var(--good) } .fair { color: var(--fair) } .bad { color: var(--bad) }
.c0 { fill: var(--c0) } .c1 { fill: var(--c1) } .c2 { fill: var(--c2) } .c3 { fill: var(--c3) }
.c4 { fill: var(--c4) } .c5 { fill: var(--c5) } .c6 { fill: var(--c6) }
.b0 { background: var(--c0) } .b1 { background: var(--c1) } .b2 { background: var(--c2) }
.b3 { background: var(--c3) } .b4 { background: var(--c4) } .b5 { background: var(--c5) }
.b6 { background: var(--c6) }
@media print { body { background: none } section { break-inside: avoid } }
</style></head><body><main>"""
