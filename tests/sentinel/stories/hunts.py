"""What each hunt shows, and what it does not."""

from tests.sentinel.stories import (
    ANNA,
    BEN,
    ELSEWHERE,
    OFFICE,
    Record,
    Story,
    act,
    deactivated,
    global_permission,
    joins,
    key_of,
    leaves,
    user,
)
from tests.sentinel.stories.habits import DAY, days_of_work, deleted
from tests.sentinel.stories.rights import scheme

CAROL = "557058:3f6d2c70-9c1f-4c8e-8f0e-6a1d5b1f4c22"
SCHEME = ("SCHEME", "Default Permission Scheme")


def role(minutes_ago: float, before: str, after: str) -> Record:
    """A project role is held by others than before: Jira lists all of them, twice."""
    return act(
        minutes_ago,
        "Project roles changed",
        "projects",
        on=("PROJECT_ROLE", "Administrators"),
        changed={"Users": (before, after)},
        items=[("PROJECT", "Kanban Project")],
    )


def granted(minutes_ago: float, permission: str, *, taken: bool = False, by: str = ANNA) -> Record:
    """A scheme gives a permission to anyone, or takes it from them."""
    values = {"Type": "Anyone on the web", "Permission": permission}
    changed = {field: (value, "") if taken else ("", value) for field, value in values.items()}
    summary = "Permission scheme updated"
    return act(minutes_ago, summary, "permissions", on=SCHEME, changed=changed, by=by)


def audited(minutes_ago: float, before: str, after: str) -> Record:
    """A setting is set, and another listed beside it as it was."""
    changed = {"Retention": ("180", "180"), "Level": (before, after)}
    return act(minutes_ago, "Audit settings updated", "auditing", on=("", ""), changed=changed)


STORIES = {
    "JiraGrantsByAccount": [
        Story(
            "two grants by Anna in a month",
            [joins(30 * DAY, BEN, "finance", by=ANNA), joins(20 * DAY, BEN, "sales", by=ANNA)],
            fires=True,
            expect={"Actor": key_of(ANNA), "Grants": 2},
        ),
        Story(
            "Carol has a role in a project, as Ben had before",
            [role(9 * DAY, BEN, f"{BEN}, {CAROL}")],
            fires=True,
            expect={
                "Grants": 1,
                "Receivers": f'["{CAROL}"]',
                "Given": '["Administrators in Kanban Project"]',
            },
        ),
        Story(
            "contractors may administer Jira",
            [global_permission(DAY, "Administer Jira", "contractors")],
            fires=True,
            expect={"Receivers": '["contractors"]', "Given": '["Administer Jira"]'},
        ),
        Story("one user leaves a group", [leaves(3 * DAY, BEN, "finance")]),
        Story("Carol loses a role", [role(9 * DAY, f"{BEN}, {CAROL}", BEN)]),
    ],
    "JiraPermissionChanges": [
        Story(
            "a role may browse projects",
            [scheme(DAY, ("", "Project Role"), ("", "Browse Projects"))],
            fires=True,
            expect={
                "Actor": key_of(ANNA),
                "Object": SCHEME[1],
                "Permission": "Browse Projects",
            },
        ),
        Story(
            "a project comes under another scheme",
            [act(DAY, "Permission scheme added to project", "permissions", items=[SCHEME])],
            fires=True,
            expect={"Object": "Demo service project", "With": SCHEME[1]},
        ),
        Story("nothing in it changed", [scheme(DAY, ("Group", "Group"), ("Browse", "Browse"))]),
    ],
    "JiraAddressesOfAccounts": [
        Story(
            "Anna acts from two places",
            [*days_of_work(2, 1), *days_of_work(1, 1, at=ELSEWHERE)],
            fires=True,
            expect={"Actor": key_of(ANNA), "Networks": 2, "Acts": 3},
        ),
        Story(
            "and through a proxy, from a network of the newer kind",
            [*days_of_work(2, 1), *days_of_work(1, 1, at="2001:db8:1:2::5, 10.0.0.1")],
            fires=True,
            expect={"Networks": 2},
        ),
        Story(
            "her provider gives her other addresses of the same networks",
            [*days_of_work(2, 1, at="203.0.113.7"), *days_of_work(2, 1)],
        ),
        Story(
            "the same, with the newer kind of addresses",
            [
                *days_of_work(1, 1, at="2001:db8:1:2::5"),
                *days_of_work(1, 1, at="2001:db8:1:2:a::7"),
            ],
        ),
        Story("she acts from one, and Ben too", [*days_of_work(2, 1), *days_of_work(1, 1, by=BEN)]),
    ],
    "JiraUndoneWithinAnHour": [
        Story(
            "half an hour in finance",
            [joins(DAY, BEN, "finance", by=ANNA), leaves(DAY - 30, BEN, "finance", by=BEN)],
            fires=True,
            expect={
                "Member": key_of(BEN),
                "Actor": key_of(ANNA),
                "TakenBy": key_of(BEN),
                "Address": OFFICE,
            },
        ),
        Story(
            "two hours in finance",
            [joins(DAY, BEN, "finance", by=ANNA), leaves(DAY - 120, BEN, "finance", by=ANNA)],
        ),
    ],
    "JiraChangedAndChangedBack": [
        Story(
            "anyone may browse projects for forty minutes",
            [
                granted(DAY, "Browse Projects"),
                granted(DAY - 40, "Browse Projects", taken=True, by=BEN),
            ],
            fires=True,
            expect={"Actor": key_of(ANNA), "BackBy": key_of(BEN), "Object": SCHEME[1]},
        ),
        Story(
            "a setting is off for five minutes",
            [audited(DAY, "full", "none"), audited(DAY - 5, "none", "full")],
            fires=True,
            expect={"EventMessage": "Audit settings updated", "BackBy": key_of(ANNA)},
        ),
        Story(
            "for two hours",
            [granted(DAY, "Browse Projects"), granted(DAY - 120, "Browse Projects", taken=True)],
        ),
        Story(
            "another permission is taken from anyone",
            [granted(DAY, "Browse Projects"), granted(DAY - 40, "Delete Issues", taken=True)],
        ),
        Story(
            "what was taken is given back in another scheme",
            [
                granted(DAY, "Browse Projects"),
                granted(DAY - 40, "Browse Projects", taken=True)
                | {"objectItem": {"name": "Another", "typeName": "SCHEME"}},
            ],
        ),
        Story("nothing changed, twice", [audited(DAY, "full", "full") for _ in range(2)]),
    ],
    "JiraRemovedThings": [
        Story(
            "two projects are deleted",
            [deleted(1), deleted(2)],
            fires=True,
            expect={"Times": 2, "Actor": key_of(ANNA)},
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
            expect={"Actor": key_of(ANNA), "Acts": 1},
        ),
        Story(
            "back after a month",
            [
                act(35 * DAY, "Workflow updated", "workflows"),
                act(DAY, "Workflow updated", "workflows"),
            ],
        ),
    ],
    "JiraTruncatedRecords": [
        Story(
            "a description beyond 64 KB",
            [act(DAY, "Project updated", "projects", changed={"Description": ("", "x" * 70_000)})],
            fires=True,
            expect={"Actor": key_of(ANNA), "EventMessage": "Project updated"},
        ),
        Story(
            "a description of 60 KB",
            [act(DAY, "Project updated", "projects", changed={"Description": ("", "x" * 60_000)})],
        ),
    ],
    "JiraUpdatedUsers": [
        Story(
            "Ben is deactivated",
            [deactivated(DAY, BEN)],
            fires=True,
            expect={"User": key_of(BEN), "From": "Active", "To": "Inactive", "Actor": ""},
        ),
        Story("Ben is deleted", [user(DAY, "User deleted", BEN)], fires=True),
        Story(
            "his time zone is changed",
            [user(DAY, "User updated", BEN, changed={"Time zone": ("UTC", "CET")})],
        ),
        Story("he is created", [user(DAY, "User created", BEN, by=ANNA)]),
    ],
}
