"""Who may do what: rights granted, doors opened, guards taken away."""

from tests.sentinel.stories import (
    ANNA,
    BEN,
    ELSEWHERE,
    OFFICE,
    SITE,
    Record,
    Story,
    act,
    joins,
    leaves,
)

NEW_USER = "qm:7ee1b8dc-1ce3-467b-94cd-9bb2dcf083e2:827f0902-503b-4f8a-8f77-e5096451b848"


def scheme(minutes_ago: float, kind: tuple[str, str], permission: tuple[str, str]) -> Record:
    return act(
        minutes_ago,
        "Permission scheme updated",
        "permissions",
        on=("SCHEME", "Default Permission Scheme"),
        changed={"Permission": permission, "Type": kind},
    )


def global_permission(permission: str, group: str = "contractors") -> Record:
    return act(
        12,
        "Global permission added",
        "permissions",
        on=("PERMISSIONS", "Global Permissions"),
        changed={"Group": ("", group), "Permission": ("", permission)},
    )


def channel(summary: str, minutes_ago: float = 5) -> Record:
    to = {"emailAddress": ("", "desk@contoso.example"), "host": ("", "mailstore")}
    return act(minutes_ago, summary, "projects", changed=to)


def made_administrator(
    *, created: float, granted: float, removed: float, group: str = "site-admins"
) -> list[Record]:
    return [
        act(created, "User created", "user management", on=("USER", NEW_USER)),
        joins(granted, NEW_USER, group),
        leaves(removed, NEW_USER, group),
    ]


STORIES = {
    "JiraAdministratorGranted": [
        Story(
            "Ben becomes a member of jira-administrators",
            [joins(20, BEN, "jira-administrators")],
            fires=True,
            expect={
                "Actor": ANNA,
                "Target": BEN,
                "Address": OFFICE,
                "Site": SITE,
                "Granted": "membership of jira-administrators",
            },
        ),
        Story(
            "a group of contractors may administer Jira",
            [global_permission("Administer Jira")],
            fires=True,
            expect={"Target": "contractors", "Granted": "global permission Administer Jira"},
        ),
        Story("Ben joins a group of users", [joins(20, BEN, "jira-software-users")]),
        Story("Ben leaves the administrators", [leaves(20, BEN, "jira-administrators")]),
        Story("contractors may browse users", [global_permission("Browse users and groups")]),
        Story("it was two hours ago", [joins(120, BEN, "jira-administrators")]),
        Story(
            "it has just come in, and is for the next run",
            [joins(-10, BEN, "jira-administrators")],
        ),
        Story(
            "an app that is installed joins its own administrators",
            [joins(20, "addon_com.example", "atlassian-addons-admin", by=None)],
        ),
    ],
    "JiraOpenedToEveryone": [
        Story(
            "anyone on the web may browse projects",
            [scheme(7, ("", "Anyone on the web"), ("", "Browse Projects"))],
            fires=True,
            expect={"OpenedTo": "Anyone on the web", "Target": "Default Permission Scheme"},
        ),
        Story(
            "whoever is logged in may browse: a type of holder, and no value",
            [scheme(7, ("", "Application access"), ("", "Browse Projects"))],
            fires=True,
        ),
        Story(
            "from all who are logged in to all on the web",
            [scheme(7, ("Any logged in user", "Anyone on the web"), ("", "Browse Projects"))],
            fires=True,
        ),
        Story(
            "a role may browse projects",
            [scheme(7, ("", "Project Role"), ("", "Browse Projects"))],
        ),
        Story(
            "a project is called Public",
            [act(7, "Project created", "projects", changed={"Name": ("", "Public")})],
        ),
        Story(
            "anyone may no longer browse projects",
            [scheme(7, ("Anyone on the web", ""), ("Browse Projects", ""))],
        ),
        Story(
            "a custom field is called Public",
            [
                act(
                    7,
                    "Custom field created",
                    "fields",
                    on=("CUSTOM_FIELD", "Public"),
                    changed={"Name": ("", "Public")},
                )
            ],
        ),
    ],
    "JiraAuditingChanged": [
        Story(
            "auditing is switched off",
            [act(3, "Auditing disabled", "auditing", on=("SYSTEM", "Audit log"), at=ELSEWHERE)],
            fires=True,
            expect={"Actor": ANNA, "Address": ELSEWHERE, "EventMessage": "Auditing disabled"},
        ),
        Story(
            "a project is called Audit",
            [act(3, "Project created", "projects", on=("PROJECT", "Audit"))],
        ),
        Story(
            "it was the hour before last",
            [act(125, "Auditing disabled", "auditing", on=("SYSTEM", "Audit log"))],
        ),
    ],
    "JiraGuardRemoved": [
        Story(
            "a permission scheme is deleted",
            [act(9, "Permission scheme deleted", "permissions", on=("SCHEME", "Restricted"))],
            fires=True,
            expect={"Target": "Restricted", "Actor": ANNA},
        ),
        Story(
            "an issue security scheme is taken off a project",
            [act(9, "Issue security scheme removed from project", "projects")],
            fires=True,
        ),
        Story("a permission scheme is made", [act(9, "Permission scheme created", "permissions")]),
        Story(
            "a field configuration scheme is deleted",
            [act(9, "Field Configuration scheme deleted", "fields")],
        ),
        Story(
            "a workflow scheme comes onto a project",
            [act(9, "Workflow scheme added to project", "workflows")],
        ),
    ],
    "JiraOutgoingChannelAdded": [
        Story(
            "a mail channel is turned on",
            [channel("Custom email channel turned on")],
            fires=True,
            expect={"Actor": ANNA, "EventMessage": "Custom email channel turned on"},
        ),
        Story("a webhook is made", [channel("Webhook created")], fires=True),
        Story("an app is installed", [channel("Connect app installed")], fires=True),
        Story(
            "a new service project gets its own address",
            [
                act(
                    5,
                    "Cloud Email settings created",
                    "projects",
                    changed={"emailAddress": ("", f"desk@{SITE}")},
                )
            ],
        ),
        Story("a mail channel is turned off", [channel("Custom email channel turned off")]),
        Story("a webhook is deleted", [channel("Webhook deleted")]),
        Story("a component is made", [channel("Project component created")]),
    ],
    "JiraAuthenticationChanged": [
        Story(
            "a user directory is added",
            [act(4, "User directory created", "user management", on=("REMOTE_DIRECTORY", "Mine"))],
            fires=True,
            expect={"Target": "Mine"},
        ),
        Story("a user is created", [act(4, "User created", "user management", on=("USER", BEN))]),
        Story(
            "a user directory was added yesterday",
            [
                act(
                    1500,
                    "User directory created",
                    "user management",
                    on=("REMOTE_DIRECTORY", "Mine"),
                )
            ],
        ),
    ],
    "JiraTemporaryAdministrator": [
        Story(
            "created, made administrator, removed: five hours",
            made_administrator(created=320, granted=300, removed=20),
            fires=True,
            expect={"Target": NEW_USER, "Creator": ANNA, "Group": "site-admins"},
        ),
        Story(
            "created, made administrator, deleted",
            [
                *made_administrator(created=320, granted=300, removed=20)[:2],
                act(15, "User deleted", "user management", on=("USER", NEW_USER)),
            ],
            fires=True,
        ),
        Story(
            "still there",
            made_administrator(created=320, granted=300, removed=20)[:2],
        ),
        Story(
            "never an administrator",
            made_administrator(created=320, granted=300, removed=20, group="jira-users"),
        ),
        Story(
            "told of by the run before",
            made_administrator(created=320, granted=300, removed=90),
        ),
        Story(
            "an administrator of old",
            made_administrator(created=320, granted=300, removed=20)[1:],
        ),
    ],
    "JiraBulkGrants": [
        Story(
            "twenty users are added to groups",
            [joins(5 + n, f"ug:{n}", "jira-software-users") for n in range(20)],
            fires=True,
            expect={"Actor": ANNA, "Receivers": 20},
        ),
        Story(
            "twenty are over a day, made up for at once",
            [joins(5 + 70 * n, f"ug:{n}", "jira-software-users") for n in range(20)],
        ),
        Story(
            "nineteen are",
            [joins(5 + n, f"ug:{n}", "jira-software-users") for n in range(19)],
        ),
        Story(
            "twenty are, by two administrators",
            [joins(5 + n, f"ug:{n}", "jira-users", by=(ANNA, BEN)[n % 2]) for n in range(20)],
        ),
        Story(
            "one user is added to twenty groups",
            [joins(5 + n, BEN, f"group-{n}") for n in range(20)],
        ),
        Story(
            "Jira sets a site up",
            [joins(5, f"ug:{n}", "jira-software-users", by=None) for n in range(30)],
        ),
    ],
}
