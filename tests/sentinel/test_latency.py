"""Each record is looked at once, soon after it came, however late that is.

The pattern is Microsoft's: https://learn.microsoft.com/azure/sentinel/ingestion-delay
"""

from __future__ import annotations

import re

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
GRANTED = next(rule for rule in RULES if rule.name == "JiraAdministratorGranted")
ONCE_A_DAY = {"JiraUnknownTexts"}
OF_RECORDS = [
    rule for rule in RULES if "IngestionTime" in rule.query and rule.name not in ONCE_A_DAY
]


def alerts(*, created: int, came: int, generated: int, runs: int = 12) -> int:
    """How often the rule on administrators fires, run each quarter of an hour from noon on, on a
    grant of this moment, which came at another and bears a third as `TimeGenerated`.
    """
    (record,) = [joins(0, BEN, "jira-administrators")]
    record["created"] = timestamps.text(created).replace("Z", "+0000")
    (sent,) = rows([record])
    row = sent | {
        "TimeGenerated": timestamps.text(generated),
        INGESTED: timestamps.text(came),
    }
    filled, found, is_there = workspace("classic"), 0, False
    for at in range(NOW, NOW + runs * QUARTER, QUARTER):
        if came <= at and not is_there:
            filled.load("Jira_Audit_CL", [row])
            is_there = True
        found += len(filled.run(GRANTED.query, at))
    return found


@pytest.mark.parametrize("minutes", [1, 14, 15, 16, 29, 30, 46, 75, 140])
def test_record_is_looked_at_once_whenever_it_comes(minutes: int) -> None:
    came = NOW + minutes * MINUTE

    assert alerts(created=came - MINUTE, came=came, generated=came) == 1


@pytest.mark.parametrize("hours", [1, 6, 24, 46])
@pytest.mark.parametrize("stamped", ["created", "ingestion"])
def test_record_that_comes_late_is_looked_at_once(stamped: str, hours: int) -> None:
    came = NOW + 8 * MINUTE
    created = came - hours * HOUR

    generated = created if stamped == "created" else came
    assert alerts(created=created, came=came, generated=generated) == 1


@pytest.mark.parametrize("stamped", ["created", "ingestion"])
def test_record_of_more_than_two_days_ago_is_history(stamped: str) -> None:
    came = NOW + 8 * MINUTE
    created = came - 48 * HOUR

    generated = created if stamped == "created" else came
    assert alerts(created=created, came=came, generated=generated) == 0


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
        assert re.search(r"IngestionTime (>|<=) ago[(]Frequency[)]", rule.query), rule.name
