"""The report in a real browser: on a desk and on a phone, by day and by night, it can be read, and
nothing in it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jira_audit.core.activity import count
from jira_audit.core.review.review import review
from jira_audit.core.timestamps import DAY
from jira_audit.core.window import Window
from jira_audit.terminal.report_chart import CATEGORIES
from jira_audit.terminal.report_page import Health, page
from jira_audit.terminal.status import summary
from tests.core.review import ANNA_KEY, BEN, BEN_KEY, NOW, joins, row
from tests.frame.test_report import HOSTILE, judged
from tests.servers.browser import Browser, View
from tests.servers.legibility import faults

pytestmark = pytest.mark.servers

VIEWS = [View(width, dark) for width in (1400, 390) for dark in (False, True)]


def rows() -> list[dict[str, Any]]:
    """A month of two people's work, and something for every section."""
    anna, ben = ("Anna Berg", ANNA_KEY), ("Benjamin Olsen-Christensen", BEN_KEY)
    opened = {"Customer access": ("Customers my team adds", "Anyone with an account")}
    return [
        *(
            row(28 * 1440, "User updated", on=("USER", key), changed={"Full name": ("", name)})
            for name, key in (anna, ben)
        ),
        *(
            row(day * 1440 + hour * 60, "Workflow updated", category, by=(BEN, BEN_KEY))
            for day, category in enumerate((*CATEGORIES, "automation", "") * 2, 1)
            for hour in (1, 2, 3)
        ),
        joins(60, BEN_KEY, "trusted-users-6c4aa501-ace5-401f-aa34-81147b376ed0"),
        row(50, "Customer permissions changed", changed=opened),
        row(40, "Permission scheme deleted", "permissions", on=("SCHEME", "Payroll")),
        row(30, "Auditing disabled", "auditing", on=("SCHEME", "Audit log")),
        *(row(20 + n, "Project archived", on=("PROJECT", f"P{n}")) for n in range(11)),
        row(600, "Workflow updated", by=("qm:7ee1b8dc-1ce3-467b-94cd-9bb2dcf083e2", "ug:7ee1")),
        row(610, "Workflow updated", by=(BEN, BEN_KEY), at="2001:db8:12:34:9999:1:2:3, 10.1.2.3"),
    ]


def html_of(given: list[dict[str, Any]], window: Window) -> str:
    problem = "Jira refuses the API token: make a new one and set JIRA_API_TOKEN"
    health = [
        Health(each, summary(each))
        for each in (judged("contoso.atlassian.net", "failed", problem), judged("b.example", "ok"))
    ]
    return page(count(given, window), review(given, window), health, "a test", NOW)


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_report_can_be_read(view: View, browser: Browser, tmp_path: Path) -> None:
    with browser.show(html_of(rows(), Window(NOW - 30 * DAY, NOW)), view) as shown:
        (tmp_path / f"{view}.png").write_bytes(shown.screenshot())

        assert faults(shown) == []
        assert shown.complaints == []
        assert shown.evaluate("getComputedStyle(document.querySelector('section')).paddingTop") == (
            "16px"
        )


@pytest.mark.parametrize("view", VIEWS[::3], ids=str)
def test_report_of_hostile_records_can_be_read_and_runs_nothing(
    view: View, browser: Browser
) -> None:
    given = [
        *(row(60, text, text, by=(text, text), at=text, on=(text, text)) for text in HOSTILE),
        *(joins(30, text, f"admin {text}") for text in HOSTILE),
    ]
    with browser.show(html_of(given, Window(NOW - DAY, NOW)), view) as shown:
        assert faults(shown) == []
        assert shown.complaints == []
        assert shown.evaluate("document.scripts.length + document.images.length") == 0


def test_report_without_rows_can_be_read(browser: Browser) -> None:
    with browser.show(html_of([], Window(NOW - DAY, NOW)), View(390)) as shown:
        assert faults(shown) == []


# That the measures find what is wrong.


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<p style='width:500px'>wide", "scrolls sideways"),
        ("<p style='position:absolute;left:380px;white-space:nowrap'>wide", "outside the window"),
        ("<p style='width:20px;overflow:hidden;white-space:nowrap'>long text", "cut off by p"),
        ("<p style='color:#aaa'>pale", "contrast 2.32"),
        ("<div style='background:#000'><p>ink on black</div>", "contrast 1.00"),
        ("<svg><text y=20>one</text><text x=5 y=20>two</text></svg>", "overlap"),
        ("<svg><rect class=c0 width=9 height=9 fill=#eee /></svg>", "contrast of a bar"),
        ("<div class=lists style='columns:2 100px'><p>one</div>", "an empty column"),
        ("<p>fine", ""),
    ],
)
def test_measures_find_what_is_wrong(body: str, fault: str, browser: Browser) -> None:
    with browser.show(f"<!doctype html><body style='color:#000'>{body}", View(390)) as shown:
        found = faults(shown)

    assert [each for each in found if fault and each.startswith(fault)] or found == []
    assert bool(found) == bool(fault)
