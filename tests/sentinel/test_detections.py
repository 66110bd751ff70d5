"""Every detection is run on stories: it sees what it is there for, and not what is nearly that."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sentinel.content import HUNTS, RULES, Source
from tests.sentinel.stories import Story, habits, health, hunts, rights
from tests.sentinel.workspace_fixtures import workspace
from tests.sentinel.workspace_schemas import ALL_WORLDS, WORLDS

STORIES = rights.STORIES | habits.STORIES | health.STORIES
GOES_BY_SITE = {"JiraConnectorSilent"}
"""What goes by the rows of a named site, and so sees nothing of rows that name none."""

GOES_BY_MARK = {"JiraTruncatedRecords"}
"""What goes by a column of our own, which the newer table lacks."""

CASES = [
    pytest.param(rule, story, id=f"{rule.name}: {story.title}")
    for rule in RULES
    for story in STORIES[rule.name]
]


def has_values(row: dict[str, Any], expected: dict[str, Any]) -> bool:
    return all(row[name] == value for name, value in expected.items())


@pytest.mark.parametrize(("rule", "story"), CASES)
def test_rule_matches_its_story_and_no_near_miss(rule: Source, story: Story) -> None:
    found = workspace("classic", story.records, story.telemetry).run(rule.query)

    assert len(found) == (story.rows if story.fires else 0)
    assert all(has_values(row, dict(story.expect)) for row in found)


@pytest.mark.long  # as in `ALL_WORLDS`
@pytest.mark.parametrize("world", [name for name in WORLDS if name != "classic"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_matches_the_same_with_any_of_the_tables(rule: Source, world: str) -> None:
    for story in STORIES[rule.name]:
        if world != "both" and story.records and rule.name in GOES_BY_SITE:
            continue
        found = workspace(world, story.records, story.telemetry).run(rule.query)

        assert len(found) == (story.rows if story.fires else 0), story.title


def test_rules_each_have_a_story_and_two_near_misses() -> None:
    assert {rule.name for rule in RULES} == set(STORIES)
    assert len(RULES) >= 10
    for name, told in STORIES.items():
        assert sum(story.fires for story in told) >= 1, name
        assert sum(not story.fires for story in told) >= 2, name


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
