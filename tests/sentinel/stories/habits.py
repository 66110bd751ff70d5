"""What an account does not usually do, and too much of anything."""

from tests.sentinel.stories import (
    ANNA,
    BEN,
    ELSEWHERE,
    OFFICE,
    Record,
    Story,
    act,
    joins,
    key_of,
    leaves,
    project_deleted,
    workflow_scheme_published,
)

DAY = 24 * 60
ADDON = "addon_com.example.grants"


def deleted(
    number: int, *, by: str | None = ANNA, name: str | None = None, at_minute: float | None = None
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


def gone(minutes_ago: float, number: int, summary: str = "Project archived") -> Record:
    return act(minutes_ago, summary, "projects", on=("PROJECT", f"P{number}"))


def german(minutes_ago: float, number: int) -> Record:
    """A record of a site whose administrators read German."""
    on = ("USER", f"ug:{number}")
    return act(minutes_ago, "Benutzer der Gruppe zugeordnet", "Gruppenverwaltung", on=on)


HOME, NEXT_DOOR, NOT_PRIVATE = "192.0.2.139", "192.0.2.220", "172.32.0.9"
CLOUDS_OWN = "10.83.76.139", "10.83.62.36"

STORIES = {
    "JiraMassDeletion": [
        Story(
            "ten projects are deleted within minutes",
            [deleted(n) for n in range(10)],
            fires=True,
            expect={"Actor": key_of(ANNA), "Things": 10},
        ),
        Story(
            "ten are, over the turn of an hour",
            [deleted(n, at_minute=1 + 5 * n) for n in range(10)],
            fires=True,
        ),
        Story(
            "twenty-five leave the trash, which nobody's name is on",
            [deleted(n, by=None, at_minute=5 + n / 10) for n in range(25)],
            fires=True,
            expect={"Actor": "nobody named", "Things": 25},
        ),
        Story("fifty are archived", [gone(5, n) for n in range(50)], fires=True, evasion=True),
        Story(
            "one project is deleted to hide two dozen fields",
            [
                deleted(0),
                *(
                    act(5, "Custom field deleted", "fields", on=("CUSTOM_FIELD", f"F{n}"))
                    for n in range(24)
                ),
            ],
            fires=True,
            evasion=True,
        ),
        Story("ten are, one every half hour", [deleted(n, at_minute=30 * n) for n in range(10)]),
        Story("nine are", [deleted(n) for n in range(9)]),
        Story("ten are, by two people", [deleted(n, by=(ANNA, BEN)[n % 2]) for n in range(10)]),
        Story("one is, and is told of ten times", [deleted(n, name="The one") for n in range(10)]),
        Story("one leaves the trash with all that is its own", project_deleted(9, "Test", by=ANNA)),
        Story(
            "twelve old versions are deleted",
            [
                act(1 + n, "Project version deleted", "projects", on=("VERSION", f"{n}"))
                for n in range(12)
            ],
        ),
        Story("a leaver is taken out of ten groups", [leaves(5, BEN, f"g-{n}") for n in range(10)]),
        Story(
            "ten workflow schemes are published",
            [r for n in range(10) for r in workflow_scheme_published(3 + n / 5, f"W{n}")],
        ),
        Story("the run before told of them", [deleted(n, at_minute=17 + n) for n in range(12)]),
    ],
    "JiraSlowMassDeletion": [
        Story(
            "a project every half hour, for fifteen hours",
            [deleted(n, at_minute=10 + 30 * n) for n in range(30)],
            fires=True,
            expect={"Actor": key_of(ANNA), "Things": 30},
        ),
        Story(
            "a hundred memberships in a day",
            [leaves(5 + 10 * n, f"ug:{n}", "finance", by=ANNA) for n in range(100)],
            fires=True,
            expect={"Small": 100},
        ),
        Story(
            "a project every half hour, archived, with nobody's name",
            [
                act(
                    10 + 30 * n,
                    "Project archived",
                    "projects",
                    by=None,
                    at=None,
                    on=("PROJECT", f"P{n}"),
                )
                for n in range(30)
            ],
            fires=True,
            evasion=True,
        ),
        Story("twenty-nine", [deleted(n, at_minute=10 + 30 * n) for n in range(29)]),
        Story(
            "two projects leave the trash with all that is their own",
            [*project_deleted(9, "One", by=ANNA), *project_deleted(90, "Two", by=ANNA)],
        ),
        Story(
            "a leaver is taken out of forty groups", [leaves(5, BEN, f"g-{n}") for n in range(40)]
        ),
        Story(
            "fifty old versions are deleted",
            [
                act(9 + n, "Project version deleted", "projects", on=("VERSION", f"{n}"))
                for n in range(50)
            ],
        ),
        Story("over three days", [deleted(n, at_minute=10 + 120 * n) for n in range(36)]),
    ],
    "JiraFirstActFromNewAddress": [
        Story(
            "from an address she never used",
            [*days_of_work(3, 2), permission_changed(10, at=ELSEWHERE)],
            fires=True,
            expect={"Actor": key_of(ANNA), "Address": ELSEWHERE, "New": "address"},
        ),
        Story(
            "by an account that never administered",
            [*days_of_work(3, 2), permission_changed(10, by=BEN)],
            fires=True,
            expect={"Actor": key_of(BEN), "New": "account"},
        ),
        Story(
            "a role of a project",
            [
                *days_of_work(3, 2),
                act(
                    10, "Project roles changed", "projects", at=ELSEWHERE, on=("PROJECT_ROLE", "R")
                ),
            ],
            fires=True,
        ),
        Story(
            "from an address that only looks private",
            [*days_of_work(3, 2, at=CLOUDS_OWN[0]), permission_changed(10, at=NOT_PRIVATE)],
            fires=True,
            evasion=True,
            expect={"Address": NOT_PRIVATE},
        ),
        Story("from her usual address", [*days_of_work(3, 2), permission_changed(10)]),
        Story(
            "at home, where the provider changed her address",
            [*days_of_work(8, 1, at=HOME), permission_changed(20, at=NEXT_DOOR)],
        ),
        Story(
            "through Atlassian's own systems",
            [*days_of_work(3, 1, at=CLOUDS_OWN[0]), permission_changed(20, at=CLOUDS_OWN[1])],
        ),
        Story(
            "through Atlassian's own systems, for the first time",
            [*days_of_work(3, 1), permission_changed(20, at=CLOUDS_OWN[1])],
        ),
        Story(
            "from an IPv6 privacy address, another each day",
            [
                *(
                    permission_changed(d * DAY, at=f"2001:db8:12:34:{d:x}:1:2:3")
                    for d in range(1, 9)
                ),
                permission_changed(20, at="2001:db8:12:34:9999:1:2:3"),
            ],
        ),
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
        Story(
            "an account of an integration does, which the watchlist names",
            [joins(6, BEN, "finance", by="712020:aaaa")],
            watchlists={"JiraServiceAccounts": ["712020:aaaa"]},
            fires=True,
            expect={"Actor": key_of("712020:aaaa")},
        ),
        Story(
            "the watchlist names its key alone",
            [joins(6, BEN, "finance", by="712020:aaaa")],
            watchlists={"JiraServiceAccounts": [key_of("712020:aaaa")]},
            fires=True,
            evasion=True,
        ),
        Story(
            "an integration that no list names, which looks like a person",
            [joins(6, BEN, "finance", by="712020:aaaa")],
            evasion=True,
        ),
        Story("a person does", [joins(6, BEN, "finance", by=ANNA)]),
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
            expect={"Actor": key_of(ANNA), "Hour": 11},
        ),
        Story(
            "he works at six in the morning, and now at eleven",
            [*days_of_work(7, 4, by=BEN, hour=6), permission_changed(30, by=BEN)],
            fires=True,
        ),
        Story(
            "from her usual address all the same",
            [*days_of_work(6, 4, hour=3), permission_changed(30, at=OFFICE)],
            fires=True,
            evasion=True,
        ),
        Story("at her usual hour", [*days_of_work(6, 4, hour=11), permission_changed(30)]),
        Story("an hour earlier than usual", [*days_of_work(6, 4, hour=12), permission_changed(30)]),
        Story("she is new", [*days_of_work(6, 3, hour=22), permission_changed(30)]),
        Story(
            "she was here for four days only",
            [*days_of_work(4, 10, hour=22), permission_changed(30)],
        ),
    ],
    "JiraUnknownTexts": [
        Story(
            "a site in German",
            [german(9 + n, n) for n in range(20)],
            fires=True,
            expect={"Records": 20, "Unknown": 20},
        ),
        Story(
            "a quarter of a day's texts are new",
            [
                *(german(9 + n, n) for n in range(5)),
                *(act(9 + n, "Workflow updated", "workflows") for n in range(15)),
            ],
            fires=True,
        ),
        Story(
            "German texts in English categories: the texts that rules go by are not seen",
            [act(9 + n, "Benutzer der Gruppe zugeordnet", "group management") for n in range(20)],
            fires=True,
            evasion=True,
        ),
        Story(
            "a site in English", [act(9 + n, "Workflow updated", "workflows") for n in range(20)]
        ),
        Story(
            "new words of Atlassian's for old things",
            [gone(9, n, "Space deleted") for n in range(20)],
        ),
        Story("few records", [german(9 + n, n) for n in range(9)]),
        Story(
            "one text among many",
            [german(9, 0), *(act(9 + n, "Workflow updated", "workflows") for n in range(20))],
        ),
    ],
}
