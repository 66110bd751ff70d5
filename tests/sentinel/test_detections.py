"""Every detection is run on stories: it sees what it is there for, and not what is nearly that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from tests.pages import pages
from tests.sentinel.content import HUNTS, RULES, Source
from tests.sentinel.stories import SITE, Story, habits, health, hunts, rights
from tests.sentinel.workspace_fixtures import as_v2_rows, rows, workspace
from tests.sentinel.workspace_schemas import ALL_WORLDS, WORLDS

STORIES = rights.STORIES | habits.STORIES | health.STORIES
BY_NAME = {rule.name: rule for rule in RULES}
GOES_BY_SITE = {"JiraConnectorSilent"}
"""What goes by the rows of a named site, and so sees nothing of rows that name none."""

GOES_BY_MARK = {"JiraTruncatedRecords"}
"""What goes by a column of our own, which the newer table lacks."""

NAMING_SITES = {"classic", "both"}
"""Worlds whose rows name their site."""

CASES = [
    pytest.param(rule, story, id=f"{rule.name}: {story.title}")
    for rule in RULES
    for story in STORIES[rule.name]
]


def site_of(number: int) -> str:
    return f"story-{number}.atlassian.net"


def is_by_records_alone(story: Story) -> bool:
    return not (story.telemetry or story.watchlists)


@cache
def results_by_site(name: str, world: str) -> Mapping[str, list[dict[str, Any]]]:
    """What a rule gives for each story that is told by records alone, each on a site of its own in
    one workspace: what one site does may not count for another, and a query costs more than rows.
    """
    filled = workspace(world)
    for number, story in enumerate(STORIES[name]):
        if is_by_records_alone(story):
            records = json.loads(json.dumps(story.records).replace(SITE, site_of(number)))
            sent = rows(records, site_of(number))
            filled.load("Jira_Audit_CL", sent)
            if world == "both":
                filled.load("Jira_Audit_v2_CL", as_v2_rows(sent))
    found: dict[str, list[dict[str, Any]]] = {}
    for row in filled.run(BY_NAME[name].query):
        found.setdefault(row["Site"], []).append(row)
    return found


def results(rule: Source, story: Story, world: str) -> list[dict[str, Any]]:
    if world in NAMING_SITES and is_by_records_alone(story):
        number = STORIES[rule.name].index(story)
        found = results_by_site(rule.name, world).get(site_of(number), [])
        return [row | {"Site": SITE} for row in found]
    given = workspace(world, story.records, story.telemetry, watchlists=story.watchlists)
    return given.run(rule.query)


def has_values(row: dict[str, Any], expected: dict[str, Any]) -> bool:
    return all(row[name] == value for name, value in expected.items())


@pytest.mark.parametrize(("rule", "story"), CASES)
def test_rule_matches_its_story_and_no_near_miss(rule: Source, story: Story) -> None:
    found = results(rule, story, "classic")

    assert len(found) == (story.rows if story.fires else 0), found
    for row in found:
        assert has_values(row, dict(story.expect)), row


@pytest.mark.long  # as in `ALL_WORLDS`
@pytest.mark.parametrize("world", [name for name in WORLDS if name != "classic"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_matches_the_same_with_any_of_the_tables(rule: Source, world: str) -> None:
    for story in STORIES[rule.name]:
        if world not in NAMING_SITES and story.records and rule.name in GOES_BY_SITE:
            continue
        found = results(rule, story, world)

        assert len(found) == (story.rows if story.fires else 0), story.title


def test_rules_each_have_stories_near_misses_and_an_evasion() -> None:
    assert {rule.name for rule in RULES} == set(STORIES)
    for name, told in STORIES.items():
        assert sum(story.fires for story in told) >= 2, name
        assert sum(not story.fires and not story.evasion for story in told) >= 3, name
        assert any(story.evasion for story in told), name
        assert len({story.title for story in told}) == len(told), name


OF_A_WHOLE_PAGE = {
    "JiraAdministratorGranted": 4,
    "JiraAuditingChanged": 1,
    "JiraOpenedToEveryone": 1,
    "JiraOutgoingChannelAdded": 1,
}
"""What is in the page of every shape of record that `tests/pages` has."""


def test_rules_on_a_whole_page_see_what_is_in_it_and_nothing_else() -> None:
    (audit_page,) = pages({})
    filled = workspace("classic")
    now = "2026-11-25T11:55:00Z"
    sent = [row | {"TimeGenerated": now, "created_t": now} for row in rows(audit_page.records)]
    filled.load("Jira_Audit_CL", sent)

    seen = {rule.name: len(filled.run(rule.query)) for rule in RULES}

    assert {name: number for name, number in seen.items() if number} == OF_A_WHOLE_PAGE


@pytest.mark.parametrize("world", ALL_WORLDS)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_matches_nothing_without_activity(rule: Source, world: str) -> None:
    assert workspace(world).run(rule.query) == []


@pytest.mark.parametrize("world", ALL_WORLDS)
@pytest.mark.parametrize(
    ("hunt", "story"),
    [pytest.param(h, s, id=f"{h.name}: {s.title}") for h in HUNTS for s in hunts.STORIES[h.name]],
)
def test_hunt_shows_what_it_looks_for(hunt: Source, story: Story, world: str) -> None:
    found = workspace(world, story.records).run(hunt.query)

    fires = story.fires and not (world == "v2" and hunt.name in GOES_BY_MARK)
    assert len(found) == (story.rows if fires else 0)
    assert all(has_values(row, dict(story.expect)) for row in found)


def test_hunts_each_have_a_story_that_shows_and_one_that_does_not() -> None:
    assert {hunt.name for hunt in HUNTS} == set(hunts.STORIES)
    assert len(HUNTS) >= 5
    for name, told in hunts.STORIES.items():
        assert {story.fires for story in told} == {True, False}, name
