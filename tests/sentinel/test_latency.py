"""Each record is looked at once, soon after it came, however late that is.

The pattern is Microsoft's: https://learn.microsoft.com/azure/sentinel/ingestion-delay
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import pytest

from jira_audit.core import timestamps
from jira_audit.core.timestamps import MINUTE
from tests.sentinel.content import RULES, Source
from tests.sentinel.engine import INGESTED, NOW
from tests.sentinel.stories import BEN, joins
from tests.sentinel.test_detections import STORIES, is_by_records_alone
from tests.sentinel.workspace_fixtures import rows, workspace

HOUR = 60 * MINUTE
QUARTER = 15 * MINUTE
MINUTES = (1, 14, 15, 16, 29, 30, 46, 75, 140)
RUNS = 12
GRANTED = next(rule for rule in RULES if rule.name == "JiraAdministratorGranted")
ONCE_A_DAY = {"JiraUnknownTexts"}
OF_RECORDS = [
    rule for rule in RULES if "IngestionTime" in rule.query and rule.name not in ONCE_A_DAY
]


@dataclass(frozen=True)
class Grant:
    """Somebody becomes administrator: when, when the record came, and by what it is stamped."""

    created: int
    came: int
    stamped: str

    @property
    def generated(self) -> int:
        return self.created if self.stamped == "created" else self.came


SOON = [Grant(NOW + (m - 1) * MINUTE, NOW + m * MINUTE, "ingestion") for m in MINUTES]
LATE = [
    Grant(NOW + 8 * MINUTE - hours * HOUR, NOW + 8 * MINUTE, stamped)
    for hours in (1, 6, 24, 46)
    for stamped in ("created", "ingestion")
]
HISTORY = [
    Grant(NOW + 8 * MINUTE - hours * HOUR, NOW + 8 * MINUTE, stamped)
    for hours in (48, 2400)
    for stamped in ("created", "ingestion")
]


@cache
def alerts() -> Mapping[Grant, int]:
    """How often the rule on administrators fires for each grant, run each quarter of an hour from
    noon on: each row is there from the moment that it came.
    """
    grants = {}
    waiting = []
    for grant in (*SOON, *LATE, *HISTORY):
        record = joins(0, BEN, "jira-administrators")
        record["created"] = timestamps.text(grant.created).replace("Z", "+0000")
        (sent,) = rows([record])
        generated, came = timestamps.text(grant.generated), timestamps.text(grant.came)
        grants[record["id"]] = grant
        waiting.append((grant.came, sent | {"TimeGenerated": generated, INGESTED: came}))
    filled, found = workspace("classic"), dict.fromkeys(grants.values(), 0)
    for at in range(NOW, NOW + RUNS * QUARTER, QUARTER):
        filled.load("Jira_Audit_CL", [row for came, row in waiting if at - QUARTER < came <= at])
        for row in filled.run(GRANTED.query, at):
            found[grants[row["EventId"]]] += 1
    return found


@pytest.mark.parametrize("grant", SOON, ids=MINUTES)
def test_record_is_looked_at_once_whenever_it_comes(grant: Grant) -> None:
    assert alerts()[grant] == 1


@pytest.mark.parametrize("grant", LATE, ids=str)
def test_record_that_comes_late_is_looked_at_once(grant: Grant) -> None:
    assert alerts()[grant] == 1


@pytest.mark.parametrize("grant", HISTORY, ids=str)
def test_record_of_more_than_two_days_ago_is_history(grant: Grant) -> None:
    assert alerts()[grant] == 0


def test_record_that_is_delivered_again_is_no_news() -> None:
    (sent,) = rows([joins(30 * 60, BEN, "jira-administrators")])
    again = sent | {"TimeGenerated": timestamps.text(NOW - 5 * MINUTE)}
    filled = workspace("classic")
    filled.load("Jira_Audit_CL", [sent, again])

    assert filled.run(GRANTED.query) == []


@pytest.mark.parametrize("rule", OF_RECORDS, ids=lambda rule: rule.name)
def test_next_run_does_not_tell_of_it_again(rule: Source) -> None:
    story = next(s for s in STORIES[rule.name] if s.fires and is_by_records_alone(s))
    minutes = 15 if rule.body["queryFrequency"] == "15m" else 60
    filled = workspace("classic", story.records)

    assert len(filled.run(rule.query)) == story.rows
    assert filled.run(rule.query, NOW + minutes * MINUTE) == []


def test_rules_that_are_high_run_every_quarter_of_an_hour() -> None:
    # Sentinel takes a period of two days and more once an hour at most.
    hourly = {"JiraAdministratorByOtherGroup"}
    for rule in RULES:
        if rule.body["severity"] == "High":
            expected = "1h" if rule.name in hourly else "15m"
            assert rule.body["queryFrequency"] == expected, rule.name


def test_rules_go_by_the_time_of_ingestion() -> None:
    # The connector's own lines have no other time than their own.
    ours = {rule.name for rule in RULES if "JiraAuditRecords(" in rule.query}
    by_rows_of_days = {"JiraConnectorSilent", *ONCE_A_DAY}

    assert {rule.name for rule in OF_RECORDS} == ours - by_rows_of_days
    for rule in OF_RECORDS:
        assert re.search(r"(> ago|<= ago)[(]Frequency[)]", rule.query), rule.name
