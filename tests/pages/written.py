"""A page of audit records as Jira Cloud answers it, written here: real shapes, no real content.

Each function builds what one event leaves in the log, and says where that shape was seen:

* The reference: https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-audit-records/
* What is recorded: https://support.atlassian.com/jira-cloud-administration/docs/audit-activities-in-jira-applications/
* "Elastic's log", real records of one site, anonymised, that Elastic's integration is tested with:
  https://github.com/elastic/integrations/blob/main/packages/atlassian_jira/data_stream/audit/_dev/test/pipeline/test-audit-cloud.log

A record's absent fields are absent, never null. Addresses are from the ranges for documentation
(https://www.rfc-editor.org/rfc/rfc5737, https://www.rfc-editor.org/rfc/rfc3849) or private ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jira_audit.core import timestamps

Record = dict[str, Any]
Draft = dict[str, Any]

NEWEST = 1_773_136_805_407
"""When the page's newest record was created, in milliseconds: 2026-03-10T10:00:05.407Z."""
NEWEST_ID = 10_731


@dataclass(frozen=True)
class Person:
    """Who acts: `account` is the account id; `key` is how records name the same person as member,
    lead or object.
    """

    account: str
    key: str
    address: str


# The forms of account ids, side by side as on a site that is some years old. Atlassian says only
# that an account id is a string of 1 to 128 letters, digits, colons and hyphens:
# https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-users/
MARIT = Person(
    "62f0c9d1a7b3e40051d8c6fa", "ug:3f1d7c60-5b8e-4a21-9c47-d02e8b6f91a5", "203.0.113.139"
)
PIET = Person(
    "557058:8c2e4f7a-1d3b-4e96-b5a0-7f60c1d29e84",
    "ug:d94be2f7-60a1-4c38-8e15-2b7f90c6a3d1",
    "2001:db8:40:7::1f2e",
)
SANNA = Person(  # 24 digits, all of them decimal
    "608201934756120983475610",
    "ug:0c5e19d8-7f42-4b6a-a3d0-81e6f2947b35",
    "10.83.61.40",
)
# Keys were the names that people signed in with, before names left Jira's API.
OTTO = Person("712020:1b9d6e30-4f75-42c8-96ae-c3d80f5172b4", "otto.keel", "198.51.100.23")
CUSTOMER = (  # of the service portal
    "qm:9d07c4b2-3e6f-48a1-b5c9-60e2f7a81d34:2f8b1c07-9a5d-4e63-87f0-d41c6b9e35a2"
)
APP = "addon_com.example.tidal-tables"

# Ids of 32 hex digits, with more than 19 decimal ones in a row: an integer that long would not fit
# into 64 bits, and these must not be taken for one.
GROUP_ID = "7f40918273645546372819203a5bc6de"
DIRECTORY_ID = "c30912837465564738291a0d4f8e7b26"
TRUSTED = "trusted-users-4c81f2a6-d03e-4b97-8a5c-19e7b60d2f83"

DIRECTORY = "com.atlassian.crowd.directory.IdentityPlatformRemoteDirectory"


def page() -> dict[str, Any]:
    """Jira's whole answer, newest record first; the records are new objects in every call."""
    records = _records()
    return {"offset": 0, "limit": 1000, "total": len(records), "records": records}


# What the log holds, each by where it comes from.


def every_documented_field() -> list[Draft]:
    """As in the reference's example, which has a text even where Jira leaves an empty one."""
    return [
        {
            **_author(OTTO),
            **_draft("user management", "User updated", _user(PIET.key)),
            "eventSource": "Jira Connect Plugin",
            "description": "Asked for in the quarterly review",
            "changedValues": [_change("email", "piet@example.org", "p.mast@example.org")],
            "associatedItems": [_group_with_id("harbour-staff")],
        }
    ]


def group_changes_without_an_author() -> list[Draft]:
    """Membership is managed in the organisation, and the site's log names neither who nor where:
    all seven in Elastic's log.
    """
    return [
        _member("User added to group", "jira-software-users", PIET.key),
        _member("User added to group", TRUSTED, PIET.key),
        _member("User added to group", "Harbour  crew", SANNA.key),
        _member("User removed from group", "Harbour  crew", OTTO.key),
        _draft("group management", "Group created", _group("Harbour  crew")),
    ]


def an_administrator_joins_a_group() -> list[Draft]:
    """The same with an author, who is the member: named by account id and key, and by key alone."""
    return [_member("User added to group", "site-admins", MARIT.key) | _author(MARIT)]


def global_permissions_without_an_author() -> list[Draft]:
    """Jira gives these itself when a product is added; the object has a name and no id."""
    return [
        _global_permission("added", permission, group)
        for permission, group in [
            ("Administer Jira", "site-admins"),
            ("Administer Jira", TRUSTED),
            ("Browse users and groups", "jira-software-users"),
        ]
    ]


def a_global_permission_is_withdrawn() -> list[Draft]:
    """By somebody, and from a private address of Atlassian's own: Elastic's log, 11932."""
    return [_global_permission("deleted", "Bulk Change", "harbour-staff") | _author(SANNA)]


def a_project_leaves_the_trash() -> list[Draft]:
    """Deleted for good after its time in the trash, by nobody: one event, eleven records, five of
    them schemes and workflows that were its own. Elastic's log, 11944 to 11959.
    """
    name = "TIDE: Simplified {} Scheme"
    return [
        _draft("permissions", "Permission scheme deleted", _scheme(name.format("Permission"))),
        _draft(
            "permissions", "Issue Security scheme deleted", _scheme(name.format("Issue Security"))
        ),
        *(
            _draft("projects", "Project role deleted", _item("PROJECT_ROLE", role, number))
            for role, number in [
                ("Administrator", "10014"),
                ("atlassian-addons-project-access", "10017"),
                ("Member", "10015"),
                ("Viewer", "10016"),
            ]
        ),
        _draft(
            "notifications", "Notification scheme deleted", _scheme(name.format("Notification"))
        ),
        _draft("workflows", "Workflow deleted", _workflow("Project TIDE: Software Workflow")),
        _draft("workflows", "Workflow scheme deleted", _scheme(name.format("Workflow"))),
        _draft(
            "fields",
            "Field Configuration scheme deleted",
            _scheme("Field Configuration Scheme for Project TIDE"),
        ),
        _draft("projects", "Project deleted", _item("PROJECT", "Tide gauges", "10009")),
    ]


def a_deactivation() -> list[Draft]:
    """There is no event "User deactivated": Elastic's log, 11651 and 11652."""
    return [
        {
            **_draft("user management", "User updated", _user(OTTO.key)),
            "changedValues": [_change("Active / Inactive", "Active", "Inactive")],
            "associatedItems": [_user(OTTO.key)],
        }
    ]


def a_portal_customer_is_invited() -> list[Draft]:
    """`qm:` and two UUIDs. The password that follows has an address and no author: Elastic's log,
    11896 and 11897.
    """
    user = _user(CUSTOMER)
    return [
        {
            **_author(MARIT),
            **_draft("user management", "User created", user),
            "changedValues": [_new("Active / Inactive", "Active")],
            "associatedItems": [user],
        },
        {
            "remoteAddress": "198.51.100.204",
            **_draft("user management", "User's password changed", user),
            "associatedItems": [user],
        },
    ]


def a_portal_is_opened() -> list[Draft]:
    """One of the few kinds of record that have a description: Elastic's log, 11893."""
    project = _item("PROJECT", "Harbour desk", "10012")
    return [
        {
            **_author(MARIT),
            **_draft("projects", "Customer permissions changed", project),
            "description": "Update who can access the portal and send requests",
            "changedValues": [
                _change(
                    "Customer access",
                    "Customers my team adds to the project",
                    "Anyone with an account",
                )
            ],
            "associatedItems": [project],
        }
    ]


def a_mail_channel_is_turned_on() -> list[Draft]:
    """Jira writes these for whoever makes a service project: an author without an address, what was
    not there before as an empty text, and `null` as a text. Elastic's log, 11880 to 11882.
    """
    project = _item("PROJECT", "Harbour desk", "10012")
    return [
        {
            **_author(MARIT, address=None),
            **_draft("projects", "Cloud email channel turned on", project),
            "changedValues": [
                _change("host", "", "mailstore"),
                _change("port", "", "110"),
                _change("tlsEnabled", "", "null"),
                _change("emailAddress", "", "desk@harbour.example"),
            ],
            "associatedItems": [project],
        }
    ]


def a_workflow_scheme_is_published() -> list[Draft]:
    """The draft's copy takes the name, and the old one is "deleted": nothing was lost by it.

    Seen in the sample of Microsoft's solution: https://github.com/Azure/Azure-Sentinel/blob/master/Sample%20Data/Custom/Jira_Audit_CL.json
    """
    scheme, author = "Harbour workflows", _author(SANNA, address=None)
    return [
        {
            **author,
            **_draft("workflows", "Workflow scheme updated", _scheme(scheme)),
            "changedValues": [_change("Name", f"Copy of {scheme}", scheme)],
        },
        {**author, **_draft("workflows", "Workflow scheme deleted", _scheme(scheme))},
        {
            **author,
            **_draft(
                "workflows",
                "Workflow scheme added to project",
                _item("PROJECT", "Harbour desk", "10012"),
            ),
            "associatedItems": [_scheme(f"Copy of {scheme}")],
        },
    ]


def fields_of_a_product() -> list[Draft]:
    """A product makes its fields in one millisecond, without an author; what is new has no
    `changedFrom`, and its description may be an empty text.
    """
    return [
        {
            **_draft(
                "fields",
                "Custom field created",
                _item(
                    "CUSTOM_FIELD", f"Berth attribute {number}", f"customfield_{10_040 + number}"
                ),
            ),
            "changedValues": [
                _new("Type", "Number field"),
                _new("Description", ""),
                _new("Name", f"Berth attribute {number}"),
            ],
        }
        for number in range(24)
    ]


def grants_of_a_new_permission_scheme() -> list[Draft]:
    """One record for each permission, within a second: what a new project mostly consists of."""
    scheme = _scheme("Harbour desk permissions")
    granted = [
        *("Browse Projects", "Create Issues", "Edit Issues", "Delete Issues", "Assign Issues"),
        *("Resolve Issues", "Move Issues", "Link Issues", "Add Comments", "Edit Own Comments"),
        *("Manage Watchers", "Work On Issues", "Delete All Worklogs", "Administer Projects"),
    ]
    return [
        {
            **_author(MARIT),
            **_draft("permissions", "Permission scheme updated", scheme),
            "changedValues": [
                _change("Value", "", "atlassian-addons-project-access"),
                _change("Type", "", "Project Role"),
                _change("Permission", "", permission),
            ],
        }
        for permission in granted
    ]


def an_app_joins_a_role() -> list[Draft]:
    """The members before and after as one text of many ids, in all their forms."""
    before = [MARIT.account, PIET.account, SANNA.account, CUSTOMER, GROUP_ID]
    before += [f"5d{number:022d}" for number in range(120)]
    return [
        {
            **_draft("user management", "User created", _user(APP)),
            "changedValues": [_new("Active / Inactive", "Active")],
            "associatedItems": [_user(APP)],
        },
        {
            **_draft("projects", "Project roles changed", _item("PROJECT_ROLE", "Crew", "10018")),
            "changedValues": [
                _change("Users", ", ".join(before), ", ".join([*before, APP])),
                _change("Groups", "", f"{GROUP_ID}, site-admins"),
            ],
            "associatedItems": [_item("PROJECT", "Harbour desk", "10012")],
        },
    ]


def work_from_many_addresses() -> list[Draft]:
    """One person's addresses change within a network, by IPv6, and by way of proxies, whose
    addresses follow after commas.
    """
    return [
        _author(MARIT, address=address)
        | _draft("workflows", "Workflow updated", _workflow("Berth request"))
        for address in [
            "203.0.113.139",
            "203.0.113.20",
            "203.0.113.20, 10.83.54.131",
            "198.51.100.7, 2001:db8:40:7::9, 10.20.30.40",
            "2001:db8:40:7:51b2:c09f:3e11:aa04",
            "fe80::1",
        ]
    ]


def a_component_of_two_items() -> list[Draft]:
    """Associated items of two kinds, one with a parent and one without: Elastic's log, 11879."""
    return [
        {
            **_author(PIET),
            **_draft(
                "projects", "Project component created", _item("PROJECT_COMPONENT", "Quay", "10031")
            ),
            "changedValues": [
                _new("Default Assignee", "Project Default"),
                _new("Component Lead", PIET.key),
                _new("Description", "Made by hand"),
                _new("Name", "Quay"),
            ],
            "associatedItems": [_user(PIET.key), _item("PROJECT", "Harbour desk", "10012")],
        }
    ]


def texts_of_many_scripts() -> list[Draft]:
    """Names are what people type: other scripts, emoji, quotes, markup, blanks and line ends."""
    names = [
        "Überseehafen – „Größe“",
        "港湾 プロジェクト",
        "ميناء (القديم)",
        "Fen\u0301elon 👩\u200d✈️",
        'Quay "7" \\ <b>north</b> & south',
        "  two\tblanks\nand a line  ",
    ]
    return [
        {
            **_author(PIET),
            **_draft("projects", "Project updated", _item("PROJECT", name, str(10_040 + number))),
            "changedValues": [_change("Name", f"{name} (old)", name)],
        }
        for number, name in enumerate(names)
    ]


def thin_records() -> list[Draft]:
    """Every field is optional in the reference: nothing but what a record cannot do without."""
    return [{"summary": "Auditing enabled"}, {"summary": ""}]


def fields_of_tomorrow() -> list[Draft]:
    """`authorAccountId` is in the answers and not in the reference, so others may come as well."""
    draft = _draft("your plan changes", "Plan created", _item("PLAN", "Winter berths", "3"))
    draft["objectItem"] |= {"url": "https://contoso.example/plans/3"}
    return [_author(SANNA) | draft | {"actor": {"type": "service", "directoryId": DIRECTORY_ID}}]


# When it happened, the newest event first: the milliseconds between it and the event after it, and
# between its own records. Records with 0 between them share one millisecond.

_EVENTS = (
    (0, 0, fields_of_tomorrow),
    (1_904, 38, an_administrator_joins_a_group),
    (61_000, 0, every_documented_field),
    (3_600_000, 7, a_deactivation),
    (182_114, 93, a_project_leaves_the_trash),
    (44_000, 211, texts_of_many_scripts),
    (7_200_000, 17, a_workflow_scheme_is_published),
    (90_512, 64, group_changes_without_an_author),
    (86_400_000, 1_250, work_from_many_addresses),
    (5_040, 4_417, a_portal_customer_is_invited),
    (12_345, 0, a_portal_is_opened),
    (2, 0, a_component_of_two_items),
    (2, 0, a_mail_channel_is_turned_on),
    (31, 40, grants_of_a_new_permission_scheme),
    (600_000, 5, an_app_joins_a_role),
    (1, 0, fields_of_a_product),
    (9, 1, global_permissions_without_an_author),
    (172_800_000, 0, a_global_permission_is_withdrawn),
    (1, 0, thin_records),
)


def _records() -> list[Record]:
    records: list[Record] = []
    timestamp_ms, identity = NEWEST, NEWEST_ID
    for until_next, apart, event in _EVENTS:
        timestamp_ms -= until_next
        if until_next >= timestamps.DAY:
            identity -= 1  # nowhere is it promised that ids have no gaps
        for place, draft in enumerate(reversed(event())):
            timestamp_ms -= apart if place else 0
            records.append(_record(draft, identity, timestamp_ms))
            identity -= 1
    return records


def _record(draft: Draft, identity: int, timestamp_ms: int) -> Record:
    """Members in Jira's order, `created` as Jira writes it: an offset without a colon."""
    record: Record = {"id": identity, "summary": draft["summary"]}
    for member in ("remoteAddress", "authorKey", "authorAccountId"):
        if member in draft:
            record[member] = draft[member]
    record["created"] = timestamps.text(timestamp_ms).replace("Z", "+0000")
    return record | draft


# What records are made of.


def _draft(category: str, summary: str, item: Record) -> Draft:
    # Empty in every real record seen; the reference's example alone has a text here.
    return {"summary": summary, "category": category, "eventSource": "", "objectItem": item}


def _author(person: Person, *, address: str | None = "") -> Draft:
    signature: Draft = {"authorKey": person.key, "authorAccountId": person.account}
    if address is not None:
        signature["remoteAddress"] = address or person.address
    return signature


def _item(kind: str, name: str, identity: str) -> Record:
    return {"id": identity, "name": name, "typeName": kind}


def _scheme(name: str) -> Record:
    return _item("SCHEME", name, "10003")


def _workflow(name: str) -> Record:
    """A workflow's id is its name."""
    return _item("WORKFLOW", name, name)


def _group(name: str) -> Record:
    """A group has no id as an object."""
    return {"name": name, "typeName": "GROUP", "parentId": "10000", "parentName": DIRECTORY}


def _group_with_id(name: str) -> Record:
    """Groups are named by ids where they are associated: the reference's example."""
    return {**_group(name), "id": GROUP_ID, "parentId": DIRECTORY_ID}


def _user(key: str) -> Record:
    """A user's name in the log is the key again, never what the person is called."""
    return {**_item("USER", key, key), "parentId": "10000", "parentName": "IDP Directory"}


def _member(summary: str, group: str, key: str) -> Draft:
    member = _user(key) | {"parentName": DIRECTORY}
    return _draft("group management", summary, _group(group)) | {"associatedItems": [member]}


def _global_permission(act: str, permission: str, group: str) -> Draft:
    item = {"name": "Global Permissions", "typeName": "PERMISSIONS"}
    draft = _draft("permissions", f"Global permission {act}", item)
    values = {"Group": group, "Permission": permission}
    changed = [
        _change(name, "", value) if act == "added" else _change(name, value, "")
        for name, value in values.items()
    ]
    return draft | {"changedValues": changed}


def _new(name: str, to: str) -> Record:
    """What was not there before has no `changedFrom`."""
    return {"fieldName": name, "changedTo": to}


def _change(name: str, before: str, to: str) -> Record:
    return {"fieldName": name, "changedFrom": before, "changedTo": to}
