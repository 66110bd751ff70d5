"""The report page: one HTML file without scripts or other resources.

Its content security policy blocks both: text from records stays text. `core/activity.py` counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import chain

from jira_audit import __version__
from jira_audit.core.activity import DELAYS, Activity, Aspect
from jira_audit.core.text import SENTENCE_LENGTH, one_line
from jira_audit.core.timestamps import DAY, HOUR
from jira_audit.operations.judgement import Judgement
from jira_audit.terminal.format import format_duration, utc

TOP_N = 12
"""The most names in a list."""

NAME_LIMIT = 120
"""The most characters of a name; its tooltip has up to `TOOLTIP_LIMIT`."""
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
"""The most columns of the chart, which uses the smallest unit that fits."""

MAX_COLOURS = 6
"""The most categories with their own colour; the others share one."""

TITLES: Mapping[Aspect, tuple[str, str]] = {
    "category": ("By category", "no category"),
    "event": ("What happened", "no summary"),
    "actor": ("Who did it", "Jira itself, or no author"),
    "object": ("What it was done to", "no object"),
}
"""Each list's title, and its text for an empty name."""


@dataclass(frozen=True)
class Health:
    """A site's judged status, and its summary for people."""

    judged: Judgement
    summary: Mapping[str, str]


def page(activity: Activity, health: Sequence[Health], source: str, made: int) -> str:
    """The page's HTML. `source` names where the rows were read; `made` is the current time."""
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
        f"{_text(source)}. A row that was delivered twice counts twice. All times are UTC. "
        "<strong>This page contains personal data</strong>, as the audit log does.</p>"
        "</footer>"
    )
    return "\n".join([_HEAD, *body, "</main></body></html>", ""])


def _figures(activity: Activity) -> Iterator[str]:
    """The key figures."""
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
    unit = _unit(activity)
    columns: dict[int, Counter[str]] = {}
    for (at, category), rows in activity.over_time.items():
        columns.setdefault(at - at % unit, Counter())[category] += rows
    ranked = [name for name, _ in activity.aspects["category"].most_common()]
    first = activity.window.start - activity.window.start % unit
    times = range(first, activity.window.end + 1, unit)
    yield f"<section><h2>Over time</h2><p class=note>Rows in {UNITS[unit]}, by category</p>"
    yield from _legend(ranked)
    yield "<div class=chart>"
    yield from _plot(times, columns, ranked)
    yield "<div class=dates>"
    shown = times[0], times[len(times) // 2], times[-1]
    yield from (f"<span>{_when(at, unit)}</span>" for at in shown)
    yield "</div></div>"
    yield from _as_table(times, columns, unit)
    yield "</section>"


def _unit(activity: Activity) -> int:
    """The time span of one column."""
    length = activity.window.length
    fitting = (unit for unit in UNITS if unit >= activity.unit and length <= unit * COLUMNS_UP_TO)
    return next(fitting, max(UNITS))


def _plot(
    times: Sequence[int], columns: Mapping[int, Counter[str]], ranked: Sequence[str]
) -> Iterator[str]:
    top = _round_up(max(column.total() for column in columns.values()))
    yield f"<div class=scale><span>{top:,}</span><span>{top / 2:,g}</span>"
    yield "<span>0</span></div><div class=plot>"
    yield (
        f'<svg viewBox="0 0 {len(times)} {top}" preserveAspectRatio="none" role="img" '
        f'aria-label="Rows over time, by category">'
    )
    for index, at in enumerate(times):
        if column := columns.get(at):
            yield from _column(index, top, at, column, ranked)
    yield "</svg></div>"


def _column(
    index: int, top: int, at: int, column: Counter[str], ranked: Sequence[str]
) -> Iterator[str]:
    """One column: the largest categories in their colours, the others above."""
    counts = ", ".join(
        f"{_named(name, 'category')[:NAME_LIMIT]} {rows:,}"
        for name, rows in column.most_common(TOP_N)
    )
    yield f"<g><title>{utc(at)}: {column.total():,} rows. {_text(counts)}</title>"
    heights = [column[name] for name in ranked[:MAX_COLOURS]]
    y = top
    for colour, rows in enumerate([*heights, column.total() - sum(heights)]):
        if rows:
            y -= rows
            yield f'<rect class=c{colour} x="{index}.07" y="{y}" width=".86" height="{rows}"/>'
    yield "</g>"


def _legend(ranked: Sequence[str]) -> Iterator[str]:
    yield "<ul class=legend>"
    for rank, name in enumerate(ranked[:MAX_COLOURS]):
        yield f"<li><i class=b{_colour(rank)}></i>{_name(_named(name, 'category'))}</li>"
    if len(ranked) > MAX_COLOURS:
        yield f"<li><i class=b{MAX_COLOURS}></i>others</li>"
    yield "</ul>"


def _as_table(
    times: Sequence[int], columns: Mapping[int, Counter[str]], unit: int
) -> Iterator[str]:
    """The chart in numbers, for screen readers and exact values."""
    yield "<details><summary>In numbers</summary><table><tr><th>from<th>rows"
    for at in times:
        if column := columns.get(at):
            yield f"<tr><td>{_when(at, unit)}<td>{column.total():,}"
    yield "</table></details>"


def _colour(rank: int) -> int:
    return min(rank, MAX_COLOURS)


def _when(at: int, unit: int) -> str:
    return utc(at)[: 16 if unit < DAY else 10]


def _round_up(number: int) -> int:
    """The next number that suits a scale, and whose half does."""
    power: int = 10 ** (len(str(number)) - 1)
    return next(digit * power for digit in (1, 2, 4, 6, 8, 10) if digit * power >= number)


# Lists.


def _list(activity: Activity, aspect: Aspect) -> Iterator[str]:
    counts = [(_named(name, aspect), rows) for name, rows in activity.aspects[aspect].most_common()]
    note = ""
    if rest := counts[TOP_N:]:
        note = f"and {len(rest):,} more, with {sum(rows for _, rows in rest):,} rows"
    title, _ = TITLES[aspect]
    yield from _bars(title, counts[:TOP_N], note, has_colours=aspect == "category")


def _sites(activity: Activity) -> Iterator[str]:
    if len(activity.sites) > 1:
        counts = [(name or "(no site)", rows) for name, rows in activity.sites.most_common()]
        yield from _bars("By site", counts[:TOP_N])


def _delays(activity: Activity) -> Iterator[str]:
    names = [f"within {format_duration(bound)}" for bound in DELAYS]
    names.append(f"over {format_duration(DELAYS[-1])}")
    counts = [(name, activity.delays[index]) for index, name in enumerate(names)]
    note = (
        "From created_t to TimeGenerated, the time of sending unless TIME_GENERATED_SOURCE is "
        "created."
    )
    yield from _bars("Delay until a row was written", counts, note)


def _bars(
    title: str, counts: Sequence[tuple[str, int]], note: str = "", *, has_colours: bool = False
) -> Iterator[str]:
    """A section: a list of names, each with a number and a bar, and a note below."""
    most = max((rows for _, rows in counts), default=0) or 1
    yield f"<section><h2>{title}</h2><ol class=bars>"
    for rank, (name, rows) in enumerate(counts):
        colour = _colour(rank) if has_colours else 0
        yield (
            f"<li><span>{_name(name)}</span><b>{rows:,}</b>"
            f'<svg viewBox="0 0 1000 1" preserveAspectRatio="none" aria-hidden=true>'
            f'<rect class=c{colour} width="{rows * 1000 // most}" height="1"/></svg></li>'
        )
    yield "</ol>"
    if note:
        yield f"<p class=note>{note}</p>"
    yield "</section>"


def _named(name: str, aspect: Aspect) -> str:
    return name or f"({TITLES[aspect][1]})"


# The connector.


def _health(sites: Sequence[Health]) -> Iterator[str]:
    yield "<section><h2>The connector</h2>"
    if not sites:
        yield "<p>There is no checkpoint: nothing has been collected yet.</p>"
    for site in sites:
        yield from _site(site.judged, site.summary)
    yield "<p class=note>Records: delivered or dead-lettered. Late: those of them that an earlier "
    yield "run had missed. Gaps: ids in between that Jira has not shown: a hint, not a proof; use "
    yield "verify for that.</p></section>"


def _site(judged: Judgement, summary: Mapping[str, str]) -> Iterator[str]:
    mood = {"ok": "good", "new": "fair", "token expires": "fair"}.get(judged.verdict, "bad")
    yield f"<h3>{_name(judged.status.site)} <span class={mood}>{_text(judged.verdict)}</span></h3>"
    for finding in judged.findings:
        yield f"<p>{_text(finding.sentence[:SENTENCE_LENGTH])}</p>"
    yield "<dl>"
    for name, value in summary.items():
        if value and name not in {"site", "verdict"}:
            yield f"<div><dt>{_text(name)}<dd>{_text(value)}</div>"
    yield "</dl>"


# Text from records: it may contain anything.


def _text(text: str) -> str:
    return escape(one_line(text))


def _name(name: str) -> str:
    """A name, truncated, and isolated: right-to-left text must not reorder the rest."""
    text = one_line(name)
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
