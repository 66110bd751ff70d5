"""What Troubleshooting and the alerts' page say is about messages and rules that there are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from jira_audit.core.http import StatusTable
from jira_audit.edge import ingestion, jira, workspace
from tests.deploy import checks
from tests.docs import pages, shell

PAGE = "docs/troubleshooting.md"
STATUSES = {
    "Jira": jira.STATUS,
    "Ingestion": ingestion.STATUS,
    "Log Analytics workspace": workspace.STATUS,
}


def texts_of_the_code() -> Iterator[str]:
    """Every text in the code; what a run fills in is `…`."""
    for path in sorted((shell.ROOT / "jira_audit").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value.replace("%s", "…")
            elif isinstance(node, ast.JoinedStr):
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "…"
                    for part in node.values
                )


def documented_messages(heading: str, page: str = PAGE) -> list[str]:
    return [
        row[0].strip("`")
        for table in pages.tables(page, heading)
        for row in table
        if row[0].startswith("`")
    ]


def test_documented_messages_are_in_the_code() -> None:
    texts = [*texts_of_the_code()]
    told = documented_messages("By message")
    told += documented_messages("If something is in the way", "docs/rename-a-site.md")

    assert len(told) > 34
    assert [each for each in told if not any(each in text for text in texts)] == []


def test_documented_messages_of_the_script_are_in_it() -> None:
    script = (shell.ROOT / "deploy" / "deploy.sh").read_text(encoding="utf-8")
    told = documented_messages("While deploying")

    assert len(told) > 8
    assert [each for each in told if each not in script] == []


def test_message_that_is_in_no_code_is_found() -> None:
    assert not any("Jira is on holiday" in text for text in texts_of_the_code())


def documented_statuses(service: str) -> set[int]:
    text = shell.text(PAGE).split("\n## By HTTP status\n")[1].split("\n## ")[0]
    section = text.split(f"\n### {service}\n")[1].split("\n### ")[0]
    cells = re.findall(r"^\| ([\d, ]+) \|", section, re.MULTILINE)
    return {int(status) for cell in cells for status in cell.split(",")}


@pytest.mark.parametrize("service", STATUSES)
def test_statuses_that_have_a_meaning_are_documented(service: str) -> None:
    table: StatusTable = STATUSES[service]

    assert documented_statuses(service) == {code for code in table.listed if code >= 300}


def test_alerts_have_a_section_each_whose_anchor_is_the_rules_name() -> None:
    rules = {rule["name"] for rule in checks.load()["variables"]["alertRules"]}
    folder = shell.ROOT / "deploy" / "sentinel" / "Analytic Rules"
    rules |= {path.stem for path in folder.glob("JiraConnector*.yaml")}
    anchors = [each.anchor for each in pages.headings("docs/alerts.md") if each.level == 2]

    assert anchors.pop() == "add-your-own-alerts"
    assert {*anchors} == {name.lower() for name in rules}
