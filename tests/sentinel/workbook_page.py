"""Draws a workbook as a page, from the results of its own queries, to be looked at.

It follows the format that Azure Workbooks exports and what Microsoft says of each part:
https://learn.microsoft.com/azure/azure-monitor/visualize/workbooks-overview. It shows text, tabs,
parameters as they are set, tiles, grids with their icons and hidden columns, and charts as stacked
columns. It does not show the portal's own look, heights and colours, sorting and filters of grids,
the axis of a time chart, and nothing answers a click: a row is chosen by `chosen`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jinja2 import Environment

Row = Mapping[str, Any]
Book = Mapping[str, Any]
Run = Callable[[str], Sequence[Row] | None]
"""Runs the item of that name, and gives its rows; None where it cannot be run."""

HIDDEN, THRESHOLDS = 5, 18
"""Formatters of a grid's column: https://learn.microsoft.com/azure/azure-monitor/visualize/workbooks-grid-visualizations"""

ICONS = {"success": "ok", "2": "warning", "4": "critical"}
"""Representations of a threshold."""


def tabs(book: Book) -> Sequence[Mapping[str, str]]:
    """The tabs: each sets the parameter `cellValue` to its `subTarget`."""
    (found,) = (each["content"]["links"] for each in book["items"] if each["type"] == 11)
    return list(found)


def is_visible(item: Mapping[str, Any], parameters: Mapping[str, str]) -> bool:
    """Whether an item is shown with these parameters; one that is not set is empty."""
    conditions = item.get("conditionalVisibilities") or [item.get("conditionalVisibility")]
    return all(_holds(each, parameters) for each in conditions if each)


def _holds(condition: Mapping[str, str], parameters: Mapping[str, str]) -> bool:
    equals = parameters.get(condition["parameterName"], "") == condition.get("value", "")
    assert condition["comparison"] in {"isEqualTo", "isNotEqualTo"}
    return equals == (condition["comparison"] == "isEqualTo")


def draw(book: Book, parameters: Mapping[str, str], run: Run) -> str:
    """The HTML of what is visible with these parameters."""
    shown = [each for each in book["items"] if is_visible(each, parameters)]
    return _PAGE.render(
        items=[_drawn(each, run) for each in shown],
        tabs=tabs(book),
        parameters=parameters,
    )


def _drawn(item: Mapping[str, Any], run: Run) -> Mapping[str, Any]:
    content, kind = item["content"], item["type"]
    drawn = {"type": kind, "content": content, "width": item.get("customWidth", "100")}
    if kind == 1:
        return {**drawn, "blocks": _markdown(content["json"])}
    if kind != 3:
        assert kind in {9, 11}, f"items of type {kind} are not known here"
        return drawn
    rows = run(item["name"])
    if rows is None:
        return {**drawn, "is_unknown": True}
    return {**drawn, **_DRAWERS[content["visualization"]](content, rows)}


def _markdown(text: str) -> Sequence[tuple[str, str]]:
    """Headings and paragraphs; what is in backticks or asterisks loses them."""
    blocks = []
    for line in text.split("\n"):
        level = re.match("(#*) ?", line)
        tag = f"h{len(level[1])}" if level and level[1] else "p"
        blocks.append((tag, re.sub("[`*]", "", line.lstrip("# "))))
    return blocks


def _tiles(content: Mapping[str, Any], rows: Sequence[Row]) -> Mapping[str, Any]:
    settings = content["tileSettings"]
    parts = ("titleContent", "leftContent", "secondaryContent")
    return {"tiles": [[row[settings[part]["columnMatch"]] for part in parts] for row in rows]}


def _table(content: Mapping[str, Any], rows: Sequence[Row]) -> Mapping[str, Any]:
    formatters = {each["columnMatch"]: each for each in content["gridSettings"]["formatters"]}
    columns = [name for name in (rows[0] if rows else ()) if _formatter(formatters, name) != HIDDEN]
    icons = {
        name: each["formatOptions"]["thresholdsGrid"]
        for name, each in formatters.items()
        if each["formatter"] == THRESHOLDS
    }
    cells = [
        [(_text(row[name]), _icon(icons.get(name), row[name])) for name in columns] for row in rows
    ]
    return {"columns": columns, "cells": cells, "is_table": True}


def _formatter(formatters: Mapping[str, Mapping[str, Any]], column: str) -> int | None:
    return formatters[column]["formatter"] if column in formatters else None


def _icon(thresholds: Sequence[Mapping[str, Any]] | None, value: Any) -> str:
    for each in thresholds or ():
        if each["operator"] == "Default" or each["thresholdValue"] == value:
            return ICONS[each["representation"]]
    return ""


def _chart(content: Mapping[str, Any], rows: Sequence[Row]) -> Mapping[str, Any]:
    settings = content["chartSettings"]
    (number,) = settings["yAxis"]
    times = sorted({row[settings["xAxis"]] for row in rows})
    groups = sorted({str(row[settings["group"]]) for row in rows})
    totals: Counter[Any] = Counter()
    for row in rows:
        totals[row[settings["xAxis"]]] += row[number]
    top = max(totals.values(), default=0) or 1
    heights: Counter[Any] = Counter()
    bars = []
    for row in sorted(rows, key=lambda each: str(each[settings["group"]])):
        at = row[settings["xAxis"]]
        height = row[number] * 100 / top
        heights[at] += height
        bars.append(
            {
                "x": times.index(at) * 100 / len(times),
                "y": 100 - heights[at],
                "width": 90 / len(times),
                "height": height,
                "colour": groups.index(str(row[settings["group"]])) % 6,
                "title": f"{at} {row[settings['group']]}: {row[number]}",
            }
        )
    ends = (times[0], times[-1]) if times else ()
    return {"bars": bars, "groups": groups, "ends": [_text(each) for each in ends], "top": top}


def _text(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


_DRAWERS: Mapping[str, Callable[[Mapping[str, Any], Sequence[Row]], Mapping[str, Any]]] = {
    "tiles": _tiles,
    "table": _table,
    "barchart": _chart,
    "timechart": _chart,
}

_PAGE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Workbook</title>
<style>
:root { --page: #faf9f8; --card: #fff; --ink: #242424; --soft: #5c5c5c; --line: #dedede;
  --c0: #0f6cbd; --c1: #c8501e; --c2: #107c41; --c3: #8661c5; --c4: #a4660a; --c5: #b4338f }
* { box-sizing: border-box }
body { margin: 0; padding: 1rem; background: var(--page); color: var(--ink);
  font: 13px/1.4 "Segoe UI", system-ui, sans-serif; display: flex; flex-wrap: wrap; gap: 1rem 0 }
section { width: 100%; padding: 0 .5rem; min-width: 0 } section.w50 { width: 50% }
h1, h2, h3, p { margin: .2rem 0; overflow-wrap: anywhere } h4 { margin: 0 0 .4rem }
.tabs { display: flex; gap: 1.5rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem }
.tabs b { border-bottom: 2px solid currentColor }
.pills span { border: 1px solid var(--line); border-radius: 1rem; padding: .1rem .7rem }
.tiles { display: flex; flex-wrap: wrap; gap: .6rem }
.tiles div { border: 1px solid var(--line); background: var(--card); padding: .6rem; width: 15rem }
.tiles b { display: block; font-size: 1.5rem } small, .note { color: var(--soft) }
.scroll { overflow-x: auto; max-height: 22rem; border: 1px solid var(--line);
  background: var(--card) }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--line);
  white-space: nowrap }
i { display: inline-block; width: .7rem; height: .7rem; border-radius: 50%; margin-right: .4rem }
.ok { background: #107c41 } .warning { background: #a4660a } .critical { background: #c50f1f }
.c0 { fill: var(--c0) } .c1 { fill: var(--c1) } .c2 { fill: var(--c2) } .c3 { fill: var(--c3) }
.c4 { fill: var(--c4) } .c5 { fill: var(--c5) }
.b0 { background: var(--c0) } .b1 { background: var(--c1) } .b2 { background: var(--c2) }
.b3 { background: var(--c3) } .b4 { background: var(--c4) } .b5 { background: var(--c5) }
svg { width: 100%; height: 10rem; background: var(--card); border: 1px solid var(--line) }
.ends { display: flex; justify-content: space-between }
</style></head><body>
{% for item in items %}
<section class="w{{ item.width }}">
{% if item.type == 1 %}
{% for tag, text in item.blocks %}<{{ tag }}>{{ text }}</{{ tag }}>{% endfor %}
{% elif item.type == 9 %}
<p class=pills>{% for each in item.content.parameters %}<span>{{ each.label or each.name }}: \
{{ parameters.get(each.name, "") }}</span> {% endfor %}</p>
{% elif item.type == 11 %}
<p class=tabs>{% for each in tabs %}\
{% if parameters.get(each.cellValue) == each.subTarget %}<b>{{ each.linkLabel }}</b>\
{% else %}<span>{{ each.linkLabel }}</span>{% endif %}{% endfor %}</p>
{% else %}
<h4>{{ item.content.title }}</h4>
{% if not (item.tiles or item.cells or item.bars) %}
<p class=note>{{ "Not run here." if item.is_unknown else item.content.noDataMessage }}</p>
{% elif item.tiles %}
<div class=tiles>{% for title, value, note in item.tiles %}<div>{{ title }}<b>{{ value }}</b>\
<small>{{ note }}</small></div>{% endfor %}</div>
{% elif item.is_table %}
<div class=scroll><table><tr>{% for each in item.columns %}<th>{{ each }}{% endfor %}
{% for row in item.cells[:50] %}<tr>{% for text, icon in row %}<td>\
{% if icon %}<i class={{ icon }}></i>{% endif %}{{ text }}{% endfor %}{% endfor %}</table></div>
{% else %}
<svg>{% for bar in item.bars %}<rect class=c{{ bar.colour }} x="{{ bar.x }}%" y="{{ bar.y }}%" \
width="{{ bar.width }}%" height="{{ bar.height }}%"><title>{{ bar.title }}</title></rect>\
{% endfor %}</svg>
<p class=ends>{% for each in item.ends %}<small>{{ each }}</small>{% endfor %}</p>
<p>{% for each in item.groups %}<i class=b{{ loop.index0 % 6 }}></i>{{ each }} {% endfor %}</p>
{% endif %}
{% endif %}
</section>
{% endfor %}
</body></html>
""")
