"""The page shows what was counted, and whatever a record says stays text on it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jira_audit.core import timestamps
from jira_audit.core.activity import Activity, count
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.text import one_line
from jira_audit.core.timestamps import DAY, HOUR
from jira_audit.core.window import Window
from jira_audit.operations.judgement import VERDICTS, Judgement, judge
from jira_audit.operations.status import State, Status
from jira_audit.terminal.report_page import COLUMNS_UP_TO, TOP_N, Health, page

NOW = timestamps.parse("2026-11-20T12:00:00Z")
MONTH = Window(NOW - 30 * DAY, NOW)
SITE = "contoso.atlassian.net"

TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "footer", "section"),
    *("h1", "h2", "h3", "p", "br", "b", "i", "bdi", "strong", "span", "div", "ul", "ol", "li"),
    *("svg", "g", "rect", "details", "summary", "table", "tr", "th", "td", "dl", "dt", "dd"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "title", "aria-label"),
    *("aria-hidden", "role", "viewbox", "preserveaspectratio", "x", "y", "width", "height"),
}


class ParsedPage(HTMLParser):
    """What a browser would make of a page: tags, attributes, and texts by the tag they are in."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.attributes = Counter[str](), Counter[str]()
        self.texts: list[tuple[str, str]] = []
        self.rects: list[dict[str, str]] = []
        self.titles: list[str] = []
        self._at = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self._at = tag
        given = {name: value or "" for name, value in attrs}
        self.attributes.update(given.keys())
        if tag == "rect":
            self.rects.append(given)
        if "title" in given:
            self.titles.append(given["title"])

    def handle_data(self, data: str) -> None:
        self.texts.append((self._at, data))

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def names(self) -> list[str]:
        return [text for tag, text in self.texts if tag == "bdi"]

    def visible_text(self) -> str:
        return " ".join(text for tag, text in self.texts if tag != "style")


def row(created: int = NOW - DAY, **columns: str) -> dict[str, Any]:
    at = timestamps.text(created)
    return {"site_s": SITE, "created_t": at, "TimeGenerated": at, **columns}


def judged(site: str, state: State, problem: str | None = None) -> Judgement:
    known = Checkpoint.first(site, NOW, NOW)
    return judge(Status(site, state, known, NOW, problem=problem), NOW)


def render(
    *rows: dict[str, Any], window: Window = MONTH, health: tuple[Health, ...] = ()
) -> ParsedPage:
    return ParsedPage(page(count(rows, window), health, "a test", NOW))


# What is on it


def test_numbers_match_the_rows() -> None:
    rows = [row(NOW - n * HOUR, Category="users", authorKey_s=f"a{n % 3}") for n in range(50)]

    said = render(*rows).visible_text()

    for part in ("50 rows", "3 actors", "0 objects", "24 on the busiest day, 2026-11-19"):
        number, what = part.split(" ", 1)
        assert re.search(rf"\b{number}\s+{what}", said), part
    assert SITE in said
    assert "2026-10-21 12:00:00 UTC to 2026-11-20 12:00:00 UTC" in said


@pytest.mark.parametrize(
    ("length", "unit"),
    [
        (DAY, "an hour"),
        (4 * DAY - 1, "an hour"),
        (30 * DAY, "a day"),
        (200 * DAY, "7 days"),
        (3 * 365 * DAY, "30 days"),
        (24 * 366 * DAY, "30 days"),
    ],
)
def test_chart_has_no_more_columns_than_can_be_told_apart(length: int, unit: str) -> None:
    window = Window(NOW - length + 1, NOW)
    rows = [row(NOW - n * length // 40, Category=f"c{n % 9}") for n in range(40)]
    html = page(count(rows, window), (), "a test", NOW)

    assert f"Rows in {unit}, by category" in html
    [chart] = re.findall(r'<svg viewBox="0 0 (\d+) (\d+)"[^>]*aria-label.*?</svg>', html, re.DOTALL)
    columns, top = map(int, chart)
    assert columns <= COLUMNS_UP_TO + 1 or unit == "30 days"
    rects = [each for each in ParsedPage(html).rects if "x" in each]
    assert sum(int(each["height"]) for each in rects) == 40
    for each in rects:
        assert 0 <= float(each["x"]) < columns
        assert int(each["y"]) >= 0
        assert int(each["y"]) + int(each["height"]) <= top


def test_lists_are_truncated_and_count_the_rest() -> None:
    rows = [row(summary_s=f"event {n:02}") for n in range(TOP_N + 5) for _ in range(n + 1)]

    read = render(*rows)

    assert "event 16" in read.names()
    assert "event 05" in read.names()
    assert "event 04" not in read.names()
    assert "and 5 more, with 15 rows" in read.visible_text()


def test_names_that_are_absent_have_a_label() -> None:
    assert "(Jira itself, or no author)" in render(row()).names()


def test_range_without_rows_has_no_chart() -> None:
    read = render()

    assert "There are no rows in this range." in read.visible_text()
    assert read.tags["svg"] == 0


def test_sites_are_listed_only_if_there_are_several() -> None:
    other = row() | {"site_s": "other.atlassian.net"}

    assert "other.atlassian.net" in render(row(), other).names()
    assert "By site" not in render(row()).visible_text()


def test_health_says_what_went_wrong() -> None:
    failed = judged(SITE, "failed", problem="the token is wrong <b>revoked</b>")
    fine = judged("other.atlassian.net", "ok")

    read = render(
        health=(Health(failed, {"site": SITE, "letters": "7", "token": ""}), Health(fine, {}))
    )

    assert "the token is wrong <b>revoked</b>" in read.visible_text()
    assert [text for tag, text in read.texts if tag == "span" and text in VERDICTS] == [
        "failed",
        "ok",
    ]
    assert ("dt", "letters") in read.texts
    assert ("dd", "7") in read.texts
    assert ("dt", "token") not in read.texts
    assert "no checkpoint" in render().visible_text()


def test_page_says_its_source_and_that_it_holds_personal_data() -> None:
    said = render(row()).visible_text()

    assert "This page contains personal data" in said
    assert "from a test" in said


# Nothing gets in or out

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></svg></style><script src=https://evil.example/x.js></script>",
    "<!-- ",
    "]]>",
    "&lt;b&gt;&#60;script&#62;",
    "javascript:alert(1)",
    "שלום עולם",
    "evil \u202etxt.exe",
    "nul \x00 and bell \x07 and escape \x1b[2J",
    "x" * 100_000,
    "line\nbreak\u2028and\ttab",
    "{{ 7 * 7 }} ${7*7} %s",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    "column", ["Category", "summary_s", "authorKey_s", "objectItem_name_s", "site_s"]
)
def test_text_from_a_record_is_escaped(column: str, text: str) -> None:
    window = Window(NOW - DAY, NOW)
    short = text[:200]
    health = Health(judged(text, "failed", problem=short), {"last run": short})
    html = page(count([row() | {column: text}], window), [health], short, NOW)
    read = ParsedPage(html)

    assert set(read.tags) <= TAGS
    assert set(read.attributes) <= ATTRIBUTES
    assert one_line(text)[:120] in " ".join(read.names()) or len(text) > 120
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert len(html) < 120_000


@given(st.text(max_size=9), st.text(max_size=9))  # escaped, at most the 120 that a name shows
def test_text_is_unchanged_once_it_is_parsed(category: str, actor: str) -> None:
    read = render(row(Category=category, authorKey_s=actor))

    assert set(read.tags) <= TAGS
    assert set(read.attributes) <= ATTRIBUTES
    assert one_line(category or "(no category)") in [*read.names(), ""]
    assert one_line(actor or "(Jira itself, or no author)") in [*read.names(), ""]


def test_page_loads_nothing_and_its_policy_allows_nothing() -> None:
    html = page(count([row(Category="a")], MONTH), (), "a test", NOW)

    assert "default-src 'none'; style-src 'unsafe-inline'" in html
    for reference in ("src=", "href=", "url(", "@import", "http:", "https:", "<script", "<link"):
        assert reference not in html, reference


def test_names_that_are_truncated_have_a_tooltip() -> None:
    name = "name " + "y" * 500

    read = render(row(summary_s=name), row(summary_s="z" * 5_000))

    assert name in read.titles
    assert "z" * 1_000 + "…" in read.titles
    assert name[:120] + "…" in read.names()


def test_names_are_isolated_from_the_text_around_them() -> None:
    assert "שלום" in render(row(summary_s="שלום")).names()


def test_page_has_a_dark_theme() -> None:
    html = page(Activity(MONTH), (), "a test", NOW)

    assert "prefers-color-scheme: dark" in html
    assert html.count("--c0:") == 2


def test_page_needs_neither_the_command_line_nor_the_app() -> None:
    code = (
        "import sys, jira_audit.terminal.report_page; "
        "print({'typer', 'rich', 'jira_audit.app', 'jira_audit.wiring'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout == "set()\n"
