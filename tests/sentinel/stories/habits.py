"""What an account does not usually do, and too much of anything."""

from tests.sentinel.stories import ANNA, BEN, ELSEWHERE, OFFICE, Record, Story, act, joins

DAY = 24 * 60
ADDON = "addon_com.example.grants"


def deleted(
    number: int, *, by: str = ANNA, name: str | None = None, at_minute: float | None = None
) -> Record:
    return act(
        2 + number if at_minute is None else at_minute,
        "Project deleted",
        "projects",
        by=by,
        on=("PROJECT", name or f"Project {number}"),
    )


def days_of_work(
    days: int, acts_a_day: int, *, by: str = ANNA, at: str = OFFICE, hour: int = 11
) -> list[Record]:
    """Acts on each of the days before, around an hour (UTC)."""
    return [
        act(
            day * DAY + (12 - hour) * 60 - minute,
            "Workflow updated",
            "workflows",
            by=by,
            at=at,
            on=("WORKFLOW", "Simplified"),
        )
        for day in range(1, days + 1)
        for minute in range(acts_a_day)
    ]


def permission_changed(minutes_ago: float, *, by: str = ANNA, at: str = OFFICE) -> Record:
    summary = "Permission scheme updated"
    return act(minutes_ago, summary, "permissions", by=by, at=at, on=("SCHEME", "S"))


STORIES = {
    "JiraMassDeletion": [
        Story(
            "ten projects are deleted within minutes",
            [deleted(n) for n in range(10)],
            fires=True,
            expect={"Actor": ANNA, "Things": 10},
        ),
        Story(
            "ten are, over the turn of an hour",
            [deleted(n, at_minute=30 + 2 * n) for n in range(10)],
            fires=True,
        ),
        Story("ten are, one every half hour", [deleted(n, at_minute=30 * n) for n in range(10)]),
        Story("nine are", [deleted(n) for n in range(9)]),
        Story("ten are, by two people", [deleted(n, by=(ANNA, BEN)[n % 2]) for n in range(10)]),
        Story("one is, and is told of ten times", [deleted(n, name="The one") for n in range(10)]),
    ],
    "JiraFirstActFromNewAddress": [
        Story(
            "from an address she never used",
            [*days_of_work(3, 2), permission_changed(10, at=ELSEWHERE)],
            fires=True,
            expect={"Actor": ANNA, "Address": ELSEWHERE, "New": "address"},
        ),
        Story(
            "by an account that never administered",
            [*days_of_work(3, 2), permission_changed(10, by=BEN)],
            fires=True,
            expect={"Actor": BEN, "New": "account"},
        ),
        Story("from her usual address", [*days_of_work(3, 2), permission_changed(10)]),
        Story(
            "from an address of two days ago",
            [
                *days_of_work(3, 2),
                permission_changed(2 * DAY, at=ELSEWHERE),
                permission_changed(10, at=ELSEWHERE),
            ],
        ),
        Story("the site has no history yet", [permission_changed(10, at=ELSEWHERE)]),
        Story(
            "it is no administration",
            [*days_of_work(3, 2), act(10, "Project version created", "projects", at=ELSEWHERE)],
        ),
    ],
    "JiraAppActsLikePerson": [
        Story(
            "an app adds a user to a group",
            [joins(6, BEN, "finance", by="557058:addon", key=ADDON)],
            fires=True,
            expect={"UserName": ADDON},
        ),
        Story("a person does", [joins(6, BEN, "finance")]),
        Story(
            "an app makes a custom field",
            [act(6, "Custom field created", "fields", by="557058:addon", key=ADDON)],
        ),
        Story(
            "an app that is installed is put into its own group",
            [joins(6, ADDON, "atlassian-addons", by="557058:addon", key=ADDON)],
        ),
    ],
    "JiraOddHours": [
        Story(
            "she works at ten in the evening, and now at eleven in the morning",
            [*days_of_work(6, 4, hour=22), permission_changed(30)],
            fires=True,
            expect={"Actor": ANNA, "Hour": 11},
        ),
        Story("at her usual hour", [*days_of_work(6, 4, hour=11), permission_changed(30)]),
        Story("an hour earlier than usual", [*days_of_work(6, 4, hour=12), permission_changed(30)]),
        Story("she is new", [*days_of_work(6, 3, hour=22), permission_changed(30)]),
        Story(
            "she was here for four days only",
            [*days_of_work(4, 10, hour=22), permission_changed(30)],
        ),
    ],
}
