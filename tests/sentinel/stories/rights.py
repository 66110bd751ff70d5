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
    deactivated,
    global_permission,
    joins,
    key_of,
    leaves,
    organization_event,
    project_deleted,
    user,
    workflow_scheme_published,
)

DAY = 24 * 60
NEW_USER = "qm:7ee1b8dc-1ce3-467b-94cd-9bb2dcf083e2:827f0902-503b-4f8a-8f77-e5096451b848"
TRUSTED = "trusted-users-0f9c1de2-5b77-4a30-8c4e-2f6d1b9a7e55"
"""As the group is called that a site makes by itself, and gives *Administer Jira*."""


def scheme(
    minutes_ago: float,
    kind: tuple[str, str],
    permission: tuple[str, str],
    value: tuple[str, str] | None = None,
    name: str = "Default Permission Scheme",
) -> Record:
    return act(
        minutes_ago,
        "Permission scheme updated",
        "permissions",
        on=("SCHEME", name),
        changed={"Permission": permission, "Type": kind} | ({"Value": value} if value else {}),
    )


def channel(
    summary: str, minutes_ago: float = 5, *, address: str = "desk@contoso.example", **more: str
) -> Record:
    """A way for mail. The address is that of the user who fetches it, too."""
    to = {"userName": ("", address), "host": ("", "mailstore"), "emailAddress": ("", address)}
    to |= {name: ("", value) for name, value in more.items()}
    return act(minutes_ago, summary, "projects", at=None, changed=to)


def made_administrator(
    *, created: float, granted: float, removed: float, group: str = "site-admins"
) -> list[Record]:
    return [
        user(created, "User created", NEW_USER, by=ANNA),
        joins(granted, NEW_USER, group),
        leaves(removed, NEW_USER, group, by=ANNA),
    ]


STILL_THERE = made_administrator(created=320, granted=300, removed=5)[:2]

STORIES = {
    "JiraAdministratorGranted": [
        Story(
            "Ben becomes a member of jira-administrators",
            [joins(5, BEN, "jira-administrators", by=ANNA)],
            fires=True,
            expect={
                "Actor": key_of(ANNA),
                "Target": key_of(BEN),
                "Address": OFFICE,
                "Site": SITE,
                "Granted": "membership of jira-administrators",
                "SelfGranted": False,
            },
        ),
        Story(
            "in the organization's administration, which Jira does not name",
            [joins(5, BEN, "site-admins")],
            fires=True,
            expect={"Actor": "", "Target": key_of(BEN)},
        ),
        Story(
            "a group of contractors may administer Jira",
            [global_permission(12, "Administer Jira", "contractors")],
            fires=True,
            expect={"Target": "contractors", "Granted": "global permission Administer Jira"},
        ),
        Story(
            "a group may, and the record does not say which",
            [
                act(
                    12,
                    "Global permission added",
                    "permissions",
                    on=("PERMISSIONS", "Global Permissions"),
                    changed={"Permission": ("", "Administer Jira")},
                )
            ],
            fires=True,
            expect={"Target": "?"},
        ),
        Story(
            "Anna makes herself an administrator",
            [joins(5, ANNA, "jira-administrators", by=ANNA)],
            fires=True,
            expect={"Actor": key_of(ANNA), "Target": key_of(ANNA), "SelfGranted": True},
        ),
        Story(
            "Ben, who acted before, has an account for his key",
            [act(90, "Workflow updated", "workflows", by=BEN), joins(5, BEN, "site-admins")],
            fires=True,
            expect={"Target": key_of(BEN), "TargetAccount": BEN},
        ),
        Story(
            "through the group of trusted users, whose name says nothing",
            [joins(12, BEN, TRUSTED)],
            fires=True,
            evasion=True,
        ),
        Story(
            "through a group that got the permission an hour ago",
            [global_permission(70, "Administer Jira", "helpdesk-t3"), joins(5, BEN, "helpdesk-t3")],
            fires=True,
            evasion=True,
            expect={"Granted": "membership of helpdesk-t3"},
        ),
        Story(
            "through a group that the watchlist names",
            [joins(5, BEN, "Helpdesk-T3")],
            watchlists={"JiraAdministrators": ["helpdesk-t3"]},
            fires=True,
            evasion=True,
        ),
        Story("Ben joins a group of users", [joins(5, BEN, "jira-software-users")]),
        Story("Ben leaves the administrators", [leaves(5, BEN, "jira-administrators")]),
        Story("users may be browsed", [global_permission(12, "Browse users and groups", "staff")]),
        Story("the run before saw it", [joins(20, BEN, "jira-administrators")]),
        Story(
            "grants of a hundred days ago are filled in",
            [joins(100 * DAY + n, f"ug:{n}", "jira-administrators") for n in range(5)],
        ),
        Story(
            "an app that is installed joins its own administrators",
            [joins(5, "addon_com.example", "atlassian-addons-admin")],
        ),
    ],
    "JiraAdministratorByOtherGroup": [
        Story(
            "a group was made administrators' a week ago, and Ben joins it",
            [
                global_permission(7 * DAY, "Administer Jira", "helpdesk-t3"),
                joins(12, BEN, "helpdesk-t3"),
            ],
            fires=True,
            expect={"Target": key_of(BEN), "Granted": "membership of helpdesk-t3"},
        ),
        Story(
            "two join it",
            [
                global_permission(9 * DAY, "Administer Jira", "helpdesk-t3"),
                *(joins(12, who, "helpdesk-t3", by=ANNA) for who in (ANNA, BEN)),
            ],
            fires=True,
            rows=2,
        ),
        Story(
            "the group is written in capitals",
            [
                global_permission(7 * DAY, "Administer Jira", "helpdesk-t3"),
                joins(12, BEN, "HELPDESK-T3"),
            ],
            fires=True,
            evasion=True,
        ),
        Story(
            "the group may only browse users",
            [
                global_permission(7 * DAY, "Browse users and groups", "helpdesk-t3"),
                joins(12, BEN, "helpdesk-t3"),
            ],
        ),
        Story(
            "the other rule sees it by its name",
            [
                global_permission(7 * DAY, "Administer Jira", "jira-admins"),
                joins(12, BEN, "jira-admins"),
            ],
        ),
        Story(
            "Ben joined long before",
            [
                global_permission(7 * DAY, "Administer Jira", "helpdesk-t3"),
                joins(3 * DAY, BEN, "helpdesk-t3"),
            ],
        ),
    ],
    "JiraAdministratorsRemoved": [
        Story(
            "three administrators leave their group",
            [leaves(5 + n, f"ug:{n}", "jira-administrators") for n in range(3)],
            fires=True,
            expect={"Actor": "nobody named", "Removed": 3},
        ),
        Story(
            "a group may no longer administer Jira",
            [global_permission(5, "Administer Jira", "jira-administrators", lost=True)],
            fires=True,
            expect={"Target": "jira-administrators"},
        ),
        Story(
            "a group of administrators is deleted",
            [act(5, "Group deleted", "group management", on=("GROUP", "jira-administrators"))],
            fires=True,
            expect={"Actor": key_of(ANNA), "Target": "jira-administrators"},
        ),
        Story(
            "two who administer are deactivated, and stay in their groups",
            [
                *(act(60, "Permission scheme created", "permissions", by=w) for w in (ANNA, BEN)),
                *(deactivated(5, who) for who in (ANNA, BEN)),
            ],
            fires=True,
            evasion=True,
            expect={"Removed": 2},
        ),
        Story("one leaves", [leaves(5, BEN, "jira-administrators")]),
        Story(
            "a leaver leaves two groups of administrators",
            [leaves(5, BEN, "jira-administrators"), leaves(5, BEN, "site-admins")],
        ),
        Story("three leave a group of users", [leaves(5, f"ug:{n}", "finance") for n in range(3)]),
        Story(
            "a group may no longer browse users",
            [global_permission(5, "Browse users and groups", "jira-users", lost=True)],
        ),
        Story("three users are deactivated", [deactivated(5, f"ug:{n}") for n in range(3)]),
    ],
    "JiraAdministratorPasswordChanged": [
        Story(
            "of a member of site-admins",
            [joins(5 * DAY, BEN, "site-admins"), user(12, "User's password changed", BEN)],
            fires=True,
            expect={"Target": key_of(BEN), "Privileged": True},
        ),
        Story(
            "of somebody who changes permissions",
            [
                act(DAY, "Permission scheme created", "permissions", by=BEN),
                user(12, "User's password changed", BEN),
            ],
            fires=True,
        ),
        Story(
            "of a user, three times in a day",
            [user(12 + 300 * n, "User's password changed", BEN) for n in range(3)],
            fires=True,
            expect={"Privileged": False, "Changes": 3},
        ),
        Story(
            "of one whom only the watchlist knows",
            [user(12, "User's password changed", BEN)],
            watchlists={"JiraAdministrators": [key_of(BEN)]},
            fires=True,
            evasion=True,
        ),
        Story("of a user, once", [user(12, "User's password changed", BEN)]),
        Story("of three users", [user(12, "User's password changed", f"ug:{n}") for n in range(3)]),
        Story(
            "of an administrator, yesterday",
            [joins(5 * DAY, BEN, "site-admins"), user(DAY, "User's password changed", BEN)],
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
            "a service portal, to anyone with an account",
            [
                act(
                    7,
                    "Customer permissions changed",
                    "projects",
                    on=("PROJECT", "Change Control"),
                    changed={
                        "Customer access": (
                            "Customers my team adds to the project",
                            "Anyone with an account",
                        )
                    },
                )
            ],
            fires=True,
            evasion=True,
            expect={"OpenedTo": "Anyone with an account"},
        ),
        Story(
            "a service portal is closed again",
            [
                act(
                    7,
                    "Customer permissions changed",
                    "projects",
                    on=("PROJECT", "Change Control"),
                    changed={
                        "Customer access": (
                            "Anyone with an account",
                            "Customers my team adds to the project",
                        )
                    },
                )
            ],
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
    "JiraProjectAdministrationGranted": [
        Story(
            "a group administers every project of the default scheme",
            [scheme(7, ("", "Group"), ("", "Administer Projects"), value=("", "helpdesk-t3"))],
            fires=True,
            expect={"Holder": "helpdesk-t3", "Actor": key_of(ANNA)},
        ),
        Story(
            "whoever is logged in does, in the default scheme of software projects",
            [
                scheme(
                    50,
                    ("", "Application access"),
                    ("", "Administer Projects"),
                    name="Default software scheme",
                )
            ],
            fires=True,
        ),
        Story(
            "a role of another name than the apps' own",
            [
                scheme(
                    7,
                    ("", "Project Role"),
                    ("", "Administer Projects"),
                    value=("", "atlassian-addons-project-access-2"),
                )
            ],
            fires=True,
            evasion=True,
        ),
        Story(
            "the apps' role gets it, as in every new scheme",
            [
                scheme(
                    7,
                    ("", "Project Role"),
                    ("", "Administer Projects"),
                    value=("", "atlassian-addons-project-access"),
                )
            ],
        ),
        Story(
            "a group may browse",
            [scheme(7, ("", "Group"), ("", "Browse Projects"), value=("", "helpdesk-t3"))],
        ),
        Story(
            "in a project's own scheme",
            [
                scheme(
                    7,
                    ("", "Group"),
                    ("", "Administer Projects"),
                    value=("", "helpdesk-t3"),
                    name="Scheme of DESK",
                )
            ],
        ),
        Story(
            "it is taken away",
            [scheme(7, ("Group", ""), ("Administer Projects", ""), value=("helpdesk-t3", ""))],
        ),
    ],
    "JiraAuditingChanged": [
        Story(
            "auditing is switched off",
            [act(3, "Auditing disabled", "auditing", on=("SYSTEM", "Audit log"), at=ELSEWHERE)],
            fires=True,
            expect={
                "Actor": key_of(ANNA),
                "Address": ELSEWHERE,
                "EventMessage": "Auditing disabled",
            },
        ),
        Story(
            "in a category of another name",
            [act(3, "Audit log settings updated", "system", on=("SYSTEM", "Settings"))],
            fires=True,
        ),
        Story(
            "with no name and no address",
            [act(3, "Auditing disabled", "auditing", on=("SYSTEM", "x"), by=None, at=None)],
            fires=True,
            evasion=True,
        ),
        Story(
            "a project is called Audit",
            [act(3, "Project created", "projects", on=("PROJECT", "Audit"))],
        ),
        Story(
            "the run before saw it",
            [act(20, "Auditing disabled", "auditing", on=("SYSTEM", "Audit log"))],
        ),
        Story(
            "a record of last year is filled in",
            [act(300 * DAY, "Auditing disabled", "auditing", on=("SYSTEM", "Audit log"))],
        ),
    ],
    "JiraGuardRemoved": [
        Story(
            "a permission scheme is deleted",
            [act(9, "Permission scheme deleted", "permissions", on=("SCHEME", "Restricted"))],
            fires=True,
            expect={"Target": "Restricted", "Actor": key_of(ANNA), "Severity": "Medium"},
        ),
        Story(
            "an issue security scheme is taken off a project",
            [act(9, "Issue security scheme removed from project", "projects")],
            fires=True,
        ),
        Story(
            "a project gets another permission scheme",
            [
                act(
                    9,
                    f"Permission scheme {change} project",
                    "permissions",
                    on=("PROJECT", "P"),
                    items=[("SCHEME", which)],
                )
                for change, which in (("removed from", "Old"), ("added to", "New"))
            ],
            fires=True,
            expect={"Severity": "Informational"},
        ),
        Story(
            "four schemes go in the minute in which a project is deleted",
            [
                act(9, "Project deleted", "projects"),
                *(
                    act(9, "Permission scheme deleted", "permissions", on=("SCHEME", f"S{n}"))
                    for n in range(4)
                ),
            ],
            fires=True,
            rows=4,
            evasion=True,
        ),
        Story(
            "a scheme of another name is renamed while one is deleted",
            [
                workflow_scheme_published(9, "Other")[0],
                act(9, "Workflow scheme deleted", "workflows", on=("SCHEME", "Strict")),
            ],
            fires=True,
            evasion=True,
        ),
        Story("a project leaves the trash", project_deleted(9, "Test")),
        Story("Anna deletes a project for good", project_deleted(9, "Test", by=ANNA)),
        Story("a workflow scheme is published", workflow_scheme_published(9, "Workflows of R&D")),
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
            expect={
                "Actor": key_of(ANNA),
                "EventMessage": "Custom email channel turned on",
            },
        ),
        Story("a webhook is made", [channel("Webhook created")], fires=True),
        Story("an app is installed", [channel("Connect app installed")], fires=True),
        Story(
            "a webhook has the site's address in its name",
            [
                act(
                    5,
                    "Webhook created",
                    "system",
                    on=("WEBHOOK", "sync"),
                    changed={
                        "Name": ("", f"sync @{SITE}"),
                        "URL": ("", "https://evil.example/x"),
                    },
                )
            ],
            fires=True,
            evasion=True,
        ),
        Story(
            "mail to the site's address is fetched by another host",
            [
                channel(
                    "Custom email channel turned on", address=f"desk@{SITE}", host="evil.example"
                )
            ],
            fires=True,
            evasion=True,
        ),
        Story(
            "the address only contains the site's",
            [channel("Custom email channel turned on", address=f"desk@{SITE}.evil.example")],
            fires=True,
            evasion=True,
        ),
        Story(
            "a new service project gets its own address",
            [
                channel(summary, address=f"desk@{SITE}")
                for summary in (
                    "Cloud Email settings created",
                    "Cloud email channel turned on",
                    "Custom email channel turned on",
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
        Story(
            "the organization's single sign-on is changed",
            telemetry=organization_event(4, "saml_configuration_updated"),
            fires=True,
            expect={"Actor": ANNA, "EventMessage": "saml_configuration_updated"},
        ),
        Story(
            "an address is put onto the organization's allow-list, by nobody's name",
            telemetry=organization_event(4, "ip_allowlist_entry_added"),
            fires=True,
            evasion=True,
        ),
        Story(
            "somebody signs in to the organization",
            telemetry=organization_event(4, "user_login_associated"),
        ),
        Story("a user is created", [user(4, "User created", BEN)]),
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
            made_administrator(created=320, granted=300, removed=5),
            fires=True,
            expect={"Target": NEW_USER, "Creator": key_of(ANNA), "Group": "site-admins"},
        ),
        Story(
            "created, made administrator, deactivated",
            [*STILL_THERE, deactivated(5, NEW_USER)],
            fires=True,
        ),
        Story(
            "created, made administrator, deleted",
            [*STILL_THERE, user(5, "User deleted", NEW_USER)],
            fires=True,
        ),
        Story(
            "through the group of trusted users",
            made_administrator(created=320, granted=300, removed=5, group=TRUSTED),
            fires=True,
            evasion=True,
        ),
        Story("still there", STILL_THERE),
        Story(
            "activated again",
            [
                *STILL_THERE,
                user(
                    5,
                    "User updated",
                    NEW_USER,
                    changed={"Active / Inactive": ("Inactive", "Active")},
                ),
            ],
        ),
        Story(
            "never an administrator",
            made_administrator(created=320, granted=300, removed=5, group="jira-users"),
        ),
        Story(
            "told of by the run before",
            made_administrator(created=320, granted=300, removed=30),
        ),
        Story(
            "an administrator of old",
            made_administrator(created=320, granted=300, removed=5)[1:],
        ),
    ],
    "JiraBulkGrants": [
        Story(
            "twenty users are added to groups",
            [joins(5 + n, f"ug:{n}", "jira-software-users", by=ANNA) for n in range(20)],
            fires=True,
            expect={"Actor": key_of(ANNA), "Receivers": 20},
        ),
        Story(
            "in the organization's administration, which Jira does not name",
            [joins(5 + n, f"ug:{n}", "jira-software-users") for n in range(25)],
            fires=True,
            expect={"Actor": "nobody named", "Receivers": 25},
        ),
        Story(
            "each into a group of its own",
            [joins(5 + n, f"ug:{n}", f"group-{n}") for n in range(20)],
            fires=True,
            evasion=True,
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
            "Jira sets a site up: apps join groups",
            [joins(5, f"addon_{n}", "jira-software-users") for n in range(30)],
        ),
    ],
}
