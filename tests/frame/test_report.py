"""The page shows what was counted, and whatever a record says stays text on it."""

from __future__ import annotations

import base64
import hashlib
import itertools
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
from jira_audit.core.activity import count
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.review.review import review
from jira_audit.core.text import one_line
from jira_audit.core.timestamps import DAY, HOUR
from jira_audit.core.window import Window
from jira_audit.operations.judgement import VERDICTS, Judgement, judge
from jira_audit.operations.status import State, Status
from jira_audit.terminal.report_chart import (
    CATEGORIES,
    COLUMNS_UP_TO,
    OTHER,
    chart,
    colour,
    tick_step,
)
from jira_audit.terminal.report_page import TOP_N, Health, page
from tests.core.review import ANNA, ANNA_KEY, BEN_KEY, joins, leaves
from tests.core.review import row as event

NOW = timestamps.parse("2026-11-20T12:00:00Z")
MONTH = Window(NOW - 30 * DAY, NOW)
SITE = "contoso.atlassian.net"

TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "footer", "section"),
    *("h1", "h2", "h3", "p", "br", "b", "i", "bdi", "strong", "span", "div", "ul", "ol", "li"),
    *("svg", "g", "rect", "line", "text", "details", "summary", "table", "tr", "th", "td"),
    *("dl", "dt", "dd", "a", "small", "time"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "title", "aria-label"),
    *("aria-hidden", "role", "x", "y", "x1", "x2", "y1", "y2", "width", "height"),
    *("fill-opacity", "id", "href"),
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


def html_of(*rows: dict[str, Any], window: Window = MONTH, health: tuple[Health, ...] = ()) -> str:
    return page(count(rows, window), review(rows, window), health, "a test", NOW)


def render(
    *rows: dict[str, Any], window: Window = MONTH, health: tuple[Health, ...] = ()
) -> ParsedPage:
    return ParsedPage(html_of(*rows, window=window, health=health))


# What is on it


def test_numbers_match_the_rows() -> None:
    rows = [row(NOW - n * HOUR, Category="users", authorKey_s=f"a{n % 3}") for n in range(50)]

    said = render(*rows).visible_text()

    for part in ("50 rows", "3 accounts", "24 on the busiest day, 2026-11-19"):
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
    drawn = chart(count(rows, window))

    assert drawn.unit == unit
    assert drawn.width >= 100 / (COLUMNS_UP_TO + 1) or unit == "30 days"
    assert sum(each.rows for each in drawn.columns) == 40
    for each in drawn.columns:
        assert 0 <= each.x <= 100 - drawn.width + 1e-6
        assert each.bars[-1].y == pytest.approx(100 - each.rows * 100 / drawn.ticks[0])
        assert each.bars[0].y + each.bars[0].height == pytest.approx(100)


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (1, [1, 0]),
        (3, [3, 2, 1, 0]),
        (5, [5, 4, 3, 2, 1, 0]),
        (24, [25, 20, 15, 10, 5, 0]),
        (248, [250, 200, 150, 100, 50, 0]),
        (1_001, [1_500, 1_000, 500, 0]),
    ],
)
def test_axis_fits_the_highest_column(most: int, ticks: list[int]) -> None:
    assert list(chart(count([row()] * most, MONTH)).ticks) == ticks
    assert tick_step(most) == ticks[-2]


@pytest.mark.parametrize(
    ("length", "first", "last"),
    [(DAY, "12:00", "06:00"), (30 * DAY, "21 Oct", "14 Nov"), (900 * DAY, "2024-05", "2026-05")],
)
def test_dates_below_the_chart_are_few_and_even(length: int, first: str, last: str) -> None:
    labels = chart(count([row()], Window(NOW - length, NOW))).labels

    assert (labels[0].text, labels[-1].text) == (first, last)
    assert 4 <= len(labels) <= 6
    assert len({round(b.x - a.x, 6) for a, b in itertools.pairwise(labels)}) == 1


def test_colours_stay_with_their_category() -> None:
    few, many = row(Category="permissions"), row(Category="Projects")

    for rows in ([few, many, many], [few, few, many], [few], [many]):
        html = html_of(*rows)
        for category in {each["Category"].lower() for each in rows}:
            assert f"<i class=b{colour(category)}></i>{category}</li>" in html

    assert sorted(map(colour, CATEGORIES)) == list(range(OTHER))
    assert colour("something new") == colour("") == OTHER


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


# What deserves a look


def sections(read: ParsedPage) -> str:
    return re.sub(r"\s+", " ", read.visible_text())


def test_findings_name_people_and_their_ids() -> None:
    changed = {"Full name": ("", "Anna Berg")}
    said = sections(
        render(
            event(60, "User updated", on=("USER", ANNA_KEY), changed=changed),
            joins(30, ANNA_KEY, "site-admins", by=(ANNA, ANNA_KEY), at="203.0.113.7"),
        )
    )

    assert f"Anna Berg {ANNA} added to site-admins by themselves" in said
    assert f"by Anna Berg {ANNA} from 203.0.113.7" in said
    assert "1 change of administrators" in said


def test_lists_name_people_and_their_ids() -> None:
    changed = {"Full name": ("", "Anna Berg")}
    renamed = event(60, "User updated", by=(ANNA, ANNA_KEY), on=("USER", ANNA_KEY), changed=changed)

    said = sections(render(renamed))

    assert f"Who did it Anna Berg {ANNA} 1" in said
    assert f"USER · Anna Berg {ANNA} 1" in said


def test_lists_know_legacy_names_of_one_site() -> None:
    changed = {"Full name": ("", "Anna Berg")}
    rows = [
        event(60, "User updated", by=(ANNA, "anna"), on=("USER", ANNA), changed=changed),
        event(50, "Project created", by=(ANNA, ANNA_KEY)),
    ]

    assert f"Who did it Anna Berg {ANNA} 2" in sections(render(*rows))
    elsewhere = event(9, "Project created", by=None, site="b.example")
    assert "Who did it Anna Berg" not in sections(render(rows[0], elsewhere))


def test_findings_without_an_author_say_so() -> None:
    assert f"{BEN_KEY} removed from site-admins by no author" in sections(
        render(leaves(30, BEN_KEY, "site-admins"))
    )


def test_findings_of_every_kind_are_shown() -> None:
    opened = {"Customer access": ("Customers my team adds", "Anyone with an account")}
    usual = [event(day * 1440 + n, "Workflow updated") for day in range(1, 21) for n in (10, 50)]
    said = sections(
        render(
            *usual,
            event(9, "Customer permissions changed", changed=opened),
            event(9, "Permission scheme deleted", "permissions", on=("SCHEME", "Payroll")),
            event(9, "Auditing disabled", "auditing", on=("SCHEME", "Audit log")),
            *(event(20 + n, "Project archived", on=("PROJECT", f"P{n}")) for n in range(11)),
            event(9 * 60, "Workflow updated", by=("557058:new", "ug:new"), at="198.51.100.7"),
            event(9 * 60, "Workflow updated"),
        )
    )

    for part in (
        "Demo Customer permissions changed: Anyone with an account",
        "Payroll Permission scheme deleted",
        "Audit log Auditing disabled",
        "12 things: Project archived 11, Permission scheme deleted 1",
        "557058:new : Workflow updated 1 row since, first from 198.51.100.7",
        "198.51.100.0/24 new",
        f"2026-11-20 03:00 {ANNA} 1 row",
    ):
        assert part in said, part


def test_findings_that_are_none_say_so() -> None:
    said = sections(render(row()))

    assert said.count("None in this range.") == 6
    assert "The rows are of too short a time" in said


def test_findings_name_their_site_if_there_are_several() -> None:
    rows = [joins(5, BEN_KEY, "site-admins"), joins(9, BEN_KEY, "site-admins", site="b.example")]

    assert "b.example" in sections(render(*rows)).partition("Administrators")[2]


def test_findings_are_truncated_and_count_the_rest() -> None:
    rows = [joins(n, f"ug:{n}", "site-admins") for n in range(1, TOP_N + 4)]

    assert "and 3 more" in sections(render(*rows))


def test_verdicts_of_all_sites_are_at_the_top() -> None:
    health = tuple(
        Health(each, {}) for each in (judged("a", "failed"), judged("b", "ok"), judged("c", "ok"))
    )

    assert sections(render(row(), health=health)).partition("Over time")[0].count("1 failed") == 1
    assert "2 ok" in sections(render(row(), health=health))


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
    rows = [row() | {column: text}]
    html = page(count(rows, window), review(rows, window), [health], short, NOW)
    read = ParsedPage(html)

    assert set(read.tags) <= TAGS
    assert set(read.attributes) <= ATTRIBUTES
    assert one_line(text)[:120] in " ".join(read.names()) or len(text) > 120
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert len(html) < 120_000


@pytest.mark.parametrize("text", HOSTILE)
def test_text_in_a_finding_is_escaped(text: str) -> None:
    changed = {"Full name": ("", text), "Email": ("", text), "Customer access": ("", text)}
    rows = [
        event(60, "User updated", "user management", on=("USER", ANNA), changed=changed),
        joins(30, ANNA, f"admin {text}", by=(ANNA, text), at=text),
        joins(30, text, f"admin {text}", by=None),
        event(20, "Permission scheme deleted", on=(text, text), items=[(text, text)], at=text),
        event(9, f"Auditing {text}", "auditing", on=("X", text), changed={text: (text, text)}),
        event(9, "Access", changed={"Type": ("", f"Anyone {text}")}),
        *(event(9, f"{text} deleted", on=("PROJECT", f"{n}{text}"), by=None) for n in range(10)),
    ]
    html = html_of(*rows)
    read = ParsedPage(html)

    assert set(read.tags) <= TAGS
    assert set(read.attributes) <= ATTRIBUTES
    assert one_line(text)[:60] in read.visible_text()
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert len(html) < 150_000


@given(st.text(max_size=9), st.text(max_size=9))  # escaped, at most the 120 that a name shows
def test_text_is_unchanged_once_it_is_parsed(category: str, actor: str) -> None:
    read = render(row(Category=category, authorKey_s=actor))

    assert set(read.tags) <= TAGS
    assert set(read.attributes) <= ATTRIBUTES
    assert one_line(category or "(no category)") in [*read.names(), ""]
    assert one_line(actor or "(Jira itself, or no author)") in [*read.names(), ""]


def test_page_loads_nothing_and_its_policy_allows_nothing() -> None:
    html = html_of(row(Category="a"))

    [style] = re.findall("<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in html
    for reference in ("src=", "url(", "@import", "http:", "https:", "<script", "<link", "style="):
        assert reference not in html, reference
    assert set(re.findall("href=..", html)) == {'href="#'}


def test_names_that_are_truncated_have_a_tooltip() -> None:
    name = "name " + "y" * 500

    read = render(row(summary_s=name), row(summary_s="z" * 5_000))

    assert name in read.titles
    assert "z" * 1_000 + "…" in read.titles
    assert name[:120] + "…" in read.names()


def test_names_are_isolated_from_the_text_around_them() -> None:
    assert "שלום" in render(row(summary_s="שלום")).names()


def test_page_has_a_dark_theme() -> None:
    html = html_of()

    assert "prefers-color-scheme: dark" in html
    assert html.count("--c0:") == 2


def test_page_needs_neither_the_command_line_nor_the_app() -> None:
    code = (
        "import sys, jira_audit.terminal.report_page; "
        "print({'typer', 'rich', 'jira_audit.app', 'jira_audit.wiring'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout == "set()\n"
