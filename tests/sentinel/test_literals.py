"""The page says of every text that a detection matches in records what proves it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from tests.sentinel.content import FOLDER, RULES, Source, without_comments

LIST = re.compile(r"dynamic\(\[(.*?)\]\)", re.DOTALL)
MATCHED = re.compile(
    r'(?:=~|!~|\bhas|\bhas_any|startswith|contains|in~)\s*\(?\s*((?:"[^"\n]+"(?:,\s*)?)+)'
)
OF_ALL_TEXTS = {"JiraUnknownTexts", "JiraConnectorSilent"}
"""The guard lists what the others rely on, and the health rule reads the connector's own lines."""

OF_THE_QUERY = {":", "project"}
"""What a query compares with a value of its own making, or with an address."""

PROOFS = ("Cloud records", "Atlassian's documents or source", "nothing")

OF_RECORDS = [
    rule for rule in RULES if rule.name not in OF_ALL_TEXTS and "JiraAuditRecords(" in rule.query
]


def literals(query: str) -> set[str]:
    bare = without_comments(query)
    found = (
        text
        for part in (*MATCHED.findall(bare), *LIST.findall(bare))
        for text in re.findall('"([^"]+)"', part)
    )
    return set(found) - OF_THE_QUERY


def stated() -> Mapping[str, set[str]]:
    """The literals of the page's table, by what proves them."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| ([^|]+) \| (`[^|]+`) \|$", page, re.MULTILINE)
    return {proof: set(re.findall("`([^`]+)`", texts)) for proof, texts in lines if proof in PROOFS}


def test_page_says_of_every_literal_what_proves_it() -> None:
    table = stated()
    told = [text for texts in table.values() for text in texts]
    matched: set[str] = set().union(*(literals(rule.query) for rule in OF_RECORDS))

    assert set(table) == set(PROOFS)
    assert len(told) == len(set(told))
    assert set(told) == matched


@pytest.mark.parametrize("rule", OF_RECORDS, ids=lambda rule: rule.name)
def test_rule_with_unproven_literals_says_so(rule: Source) -> None:
    description = " ".join(rule.body["description"].lower().split())
    marks = ("not proven", "unproven", "no record at hand", "no cloud record")

    if literals(rule.query) & stated()["nothing"]:
        assert any(mark in description for mark in marks)
