"""What each hunt shows, and what it does not."""

from tests.sentinel.stories import ANNA, BEN, ELSEWHERE, OFFICE, Story, act, joins, leaves
from tests.sentinel.stories.habits import DAY, days_of_work, deleted
from tests.sentinel.stories.rights import scheme

STORIES = {
    "JiraGrantsByAccount": [
        Story(
            "two grants by Anna in a month",
            [joins(30 * DAY, BEN, "finance"), joins(20 * DAY, BEN, "sales")],
            fires=True,
            expect={"Actor": ANNA, "Grants": 2},
        ),
        Story("one user leaves a group", [leaves(3 * DAY, BEN, "finance")]),
    ],
    "JiraPermissionChanges": [
        Story(
            "a role may browse projects",
            [scheme(DAY, ("", "Project Role"), ("", "Browse Projects"))],
            fires=True,
            rows=2,
            expect={"Actor": ANNA, "From": "", "Scheme": "Default Permission Scheme"},
        ),
        Story("nothing in it changed", [scheme(DAY, ("Group", "Group"), ("Browse", "Browse"))]),
    ],
    "JiraAddressesOfAccounts": [
        Story(
            "Anna acts from two places",
            [*days_of_work(2, 1), *days_of_work(1, 1, at=ELSEWHERE)],
            fires=True,
            expect={"Actor": ANNA, "Addresses": 2},
        ),
        Story("she acts from one, and Ben too", [*days_of_work(2, 1), *days_of_work(1, 1, by=BEN)]),
    ],
    "JiraUndoneWithinAnHour": [
        Story(
            "half an hour in finance",
            [joins(DAY, BEN, "finance"), leaves(DAY - 30, BEN, "finance", by=BEN)],
            fires=True,
            expect={"Member": BEN, "Actor": ANNA, "TakenBy": BEN, "Address": OFFICE},
        ),
        Story(
            "two hours in finance", [joins(DAY, BEN, "finance"), leaves(DAY - 120, BEN, "finance")]
        ),
    ],
    "JiraRemovedThings": [
        Story(
            "two projects are deleted",
            [deleted(1), deleted(2)],
            fires=True,
            expect={"Times": 2, "Actor": ANNA},
        ),
        Story("a project is made", [act(5, "Project created", "projects")]),
    ],
    "JiraReturnedAdministrators": [
        Story(
            "back after ninety days",
            [
                act(95 * DAY, "Workflow updated", "workflows"),
                act(DAY, "Workflow updated", "workflows"),
            ],
            fires=True,
            expect={"Actor": ANNA, "Acts": 1},
        ),
        Story(
            "back after a month",
            [
                act(35 * DAY, "Workflow updated", "workflows"),
                act(DAY, "Workflow updated", "workflows"),
            ],
        ),
    ],
}
