"""What a certificate states of a verified range, and of the ids in between."""

from __future__ import annotations

import json

from jira_audit.core import timestamps
from jira_audit.core.timestamps import DAY
from jira_audit.operations.certificate import (
    DEAD_LETTERS,
    DEALT_WITH,
    IN_TABLE,
    NEVER_SHOWN,
    Issue,
    gaps,
    statement,
)
from tests.fakes.world import START, World, record
from tests.flow.test_collect import world_with

ISSUE = Issue("Ada on desk", "auditor@example.com", {"connector": "0.1.0"})


def world_with_gaps() -> World:
    """Of 100 records, Jira does not show six any more; two ids were never used."""
    world = world_with(100)
    world.sink.poison = {10_040, 10_041}
    world.run()
    world.time.advance(2 * 24 * 3600)
    world.jira.site.add([record(10_102, world.time.now - 1000)])
    world.run()
    world.jira.forget({10_010, 10_011, 10_040, 10_041, 10_050, 10_051})
    world.table.dropped = {10_050, 10_051}
    return world


def test_gaps_say_what_is_known_of_each_id_in_between() -> None:
    verified = world_with_gaps().verify(START - DAY, table=True)

    assert [(gap.known, set(gap.ids)) for gap in gaps(verified)] == [
        (IN_TABLE, {10_010, 10_011}),
        (DEAD_LETTERS, {10_040, 10_041}),
        (DEALT_WITH, {10_050, 10_051}),
        (NEVER_SHOWN, {10_100, 10_101}),
    ]


def test_gaps_of_contiguous_ids_are_none() -> None:
    world = world_with(100)
    world.run()

    assert gaps(world.verify(START - DAY, table=True)) == []


def test_statement_is_json_with_what_an_auditor_asks_for() -> None:
    world = world_with_gaps()
    verified = world.verify(START - DAY, table=True)
    report = {"site": "contoso.atlassian.net", "ended": timestamps.text(world.time.now)}

    stated = json.loads(json.dumps(statement(report, verified, START, ISSUE)))

    assert stated["ids"] == {"first": 10_000, "last": 10_102}
    assert [gap["count"] for gap in stated["gaps"]] == [2, 2, 2, 2]
    assert stated["issued"] == {
        "at": report["ended"],
        "by": "Ada on desk",
        "jira_account": "auditor@example.com",
        "versions": {"connector": "0.1.0"},
    }
    assert stated["retention"]["oldest_row"] == "2026-11-20T12:00:00.000Z"
    assert stated["retention"]["oldest_record_shown"].startswith("2026-11-20T08:")
    assert stated["daily_audit"] == {"audited": None, "proof": None}
    assert stated["verification"] == report


def test_statement_tells_what_the_tables_retention_may_have_deleted() -> None:
    world = world_with(100)
    world.run()
    world.time.advance(3 * 24 * 3600)
    world.run()
    world.table.dropped = {10_003, 10_090}

    verified = world.verify(START - DAY, table=True, wait=0)
    at = verified.findings.missing_at[10_090]
    stated = statement({"site": "x", "ended": ""}, verified, at, ISSUE)

    assert stated["retention"]["missing_before_oldest_row"] == {
        "count": 1,
        "ids": ((10_003, 10_003),),
    }


def test_statement_has_the_last_proof_of_the_daily_audit() -> None:
    world = world_with(100, audits=True)
    for _ in range(3):
        world.run()
        world.time.advance(24 * 3600)

    verified = world.verify(START - DAY, table=True)
    stated = statement({"site": "x", "ended": ""}, verified, None, ISSUE)

    assert stated["daily_audit"]["audited"] is not None
    assert stated["daily_audit"]["proof"]["missing"] == 0
