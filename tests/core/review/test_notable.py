"""What deserves a look is found, and ordinary work is not. The records have real shapes: see the
facts about this log in `deploy/sentinel/README.md`.
"""

from __future__ import annotations

from typing import Any

import pytest

from jira_audit.core.timestamps import DAY, MINUTE
from jira_audit.core.window import Window
from tests.core.review import ANNA, ANNA_KEY, BEN_KEY, NOW, joins, leaves, reviewed, row

GLOBAL = ("PERMISSIONS", "Global Permissions")
SECRET_GROUP = "trusted-users-6c4aa501-ace5-401f-aa34-81147b376ed0"


def permission(summary: str, minutes_ago: float = 9, **values: tuple[str, str]) -> dict[str, Any]:
    changed = {name.capitalize(): value for name, value in values.items()}
    return row(minutes_ago, summary, "permissions", by=None, at=None, on=GLOBAL, changed=changed)


# Administrators


@pytest.mark.parametrize("group", ["jira-administrators", "site-admins", SECRET_GROUP])
def test_member_of_a_known_group_is_an_administrator(group: str) -> None:
    [found] = reviewed(joins(5, BEN_KEY, group)).administrators

    assert (found.what, found.target, found.user) == (f"added to {group}", BEN_KEY, BEN_KEY)


@pytest.mark.parametrize("group", ["jira-software-users", "badminton", "administrative-law"])
def test_member_of_another_group_is_not(group: str) -> None:
    assert reviewed(joins(5, BEN_KEY, group)).administrators == []


def test_group_that_received_the_permission_counts_from_before_the_range() -> None:
    granted = permission(
        "Global permission added",
        60 * 24 * 9,
        permission=("", "Administer Jira"),
        group=("", "helpdesk-t3"),
    )

    found = reviewed(
        granted, joins(5, BEN_KEY, "Helpdesk-T3"), window=Window(NOW - DAY, NOW)
    ).administrators

    assert [each.what for each in found] == ["added to Helpdesk-T3"]


def test_group_of_another_site_does_not_count() -> None:
    granted = permission(
        "Global permission added", permission=("", "Administer Jira"), group=("", "helpdesk-t3")
    )
    elsewhere = joins(5, BEN_KEY, "helpdesk-t3", site="other.atlassian.net")

    found = reviewed(granted, elsewhere).administrators

    assert [(each.what, each.target) for each in found] == [
        ("received Administer Jira", "helpdesk-t3")
    ]


def test_permission_without_a_group_loses_the_group_and_not_the_finding() -> None:
    [found] = reviewed(
        permission("Global permission added", permission=("", "Administer Jira"))
    ).administrators

    assert found.target == "?"


def test_administrators_who_are_removed_are_found() -> None:
    lost = permission(
        "Global permission deleted",
        permission=("Administer Jira", ""),
        group=("jira-administrators", ""),
    )

    found = reviewed(leaves(5, BEN_KEY, "site-admins"), lost).administrators

    assert [(each.what, each.target) for each in found] == [
        ("removed from site-admins", BEN_KEY),
        ("lost Administer Jira", "jira-administrators"),
    ]


def test_apps_and_other_permissions_are_not_administrators() -> None:
    app = joins(5, "addon_com.example.app", "jira-administrators")
    bulk = permission(
        "Global permission added", permission=("", "Bulk Change"), group=("", "jira-users")
    )

    assert reviewed(app, bulk).administrators == []


# Opened to everyone


@pytest.mark.parametrize(
    ("summary", "category", "field", "before", "after"),
    [
        ("Permission scheme updated", "permissions", "Type", "", "Anyone on the web"),
        ("Permission scheme updated", "permissions", "Type", "", "Group"),
        ("Permission scheme updated", "permissions", "Value", "Project Role", "Any logged in user"),
        (
            "Customer permissions changed",
            "projects",
            "Customer access",
            "Customers my team adds to the project",
            "Anyone with an account",
        ),
        ("Filter shared", "filters", "Shared with", "", "Public"),
    ],
)
def test_what_is_opened_to_everyone_is_found(
    summary: str, category: str, field: str, before: str, after: str
) -> None:
    opened = row(5, summary, category, changed={field: (before, after)})
    closed = row(5, summary, category, changed={field: (after, before)})

    assert [each.what for each in reviewed(opened).opened] == [f"{summary}: {after}"]
    assert reviewed(closed).opened == []


def test_holder_that_is_named_is_not_everyone() -> None:
    one_group = {"Type": ("", "Group"), "Value": ("", "jira-users")}

    assert reviewed(row(5, "Permission scheme updated", changed=one_group)).opened == []


def test_name_that_says_public_opens_nothing() -> None:
    named = {"Name": ("", "Public"), "Description": ("", "Anyone")}

    assert reviewed(row(5, "Project created", changed=named)).opened == []


# Guards


@pytest.mark.parametrize(
    "summary",
    [
        "Permission scheme deleted",
        "Issue Security scheme removed from project",
        "Work item security scheme removed from space",
        "Workflow scheme deleted",
    ],
)
def test_guard_that_is_removed_is_found(summary: str) -> None:
    scheme = row(5, summary, on=("SCHEME", "Payroll"))

    assert [(each.what, each.target) for each in reviewed(scheme).guards] == [(summary, "Payroll")]


def test_schemes_of_a_deleted_project_are_part_of_its_deletion() -> None:
    cascade = [
        row(10, "Project deleted", on=("PROJECT", "Test"), by=None),
        row(9.9, "Workflow scheme deleted", on=("SCHEME", "TEST: Workflow Scheme"), by=None),
        row(9.8, "Issue Security scheme deleted", on=("SCHEME", "TEST: Security"), by=None),
    ]
    apart = row(9.9, "Permission scheme deleted", on=("SCHEME", "Payroll"))

    assert reviewed(*cascade).guards == []
    assert [each.target for each in reviewed(*cascade, apart).guards] == ["Payroll"]


def test_publication_of_a_workflow_scheme_removes_no_guard() -> None:
    name = "R&D Workflow Scheme"
    renamed = row(
        10.01,
        "Workflow scheme updated",
        "workflows",
        on=("SCHEME", name),
        changed={"Name": (f"Copy of {name}", name)},
    )
    deleted = row(10, "Workflow scheme deleted", "workflows", on=("SCHEME", name))

    assert reviewed(renamed, deleted).guards == []
    assert len(reviewed(deleted).guards) == 1


def test_exchange_of_schemes_removes_no_guard() -> None:
    removed = row(9, "Permission scheme removed from project", items=[("SCHEME", "Old")])
    added = row(9, "Permission scheme added to project", items=[("SCHEME", "New")])

    assert reviewed(removed, added).guards == []
    assert [each.target for each in reviewed(removed).guards] == ["Demo: Old"]


# Auditing, and all of them


def test_change_of_auditing_is_found() -> None:
    changed = {"Retention days": ("180", "30")}
    settings = row(5, "Audit log settings updated", "auditing", changed=changed)

    assert [each.target for each in reviewed(settings).auditing] == ["Retention days: 180 → 30"]


def test_what_is_outside_the_range_is_not_shown() -> None:
    rows = [joins(n, BEN_KEY, "site-admins") for n in (1, 9, 20)]

    found = reviewed(*rows, window=Window(NOW - 10 * MINUTE, NOW - 5 * MINUTE)).administrators

    assert [each.event.at for each in found] == [NOW - 9 * MINUTE]


def test_record_that_was_delivered_twice_is_one_finding() -> None:
    one = joins(5, BEN_KEY, "site-admins")

    assert len(reviewed(one, dict(one)).administrators) == 1


def test_one_who_promotes_herself_is_the_same_person() -> None:
    found = reviewed(joins(5, ANNA_KEY, "site-admins", by=(ANNA, ANNA_KEY)))

    [notable] = found.administrators
    assert found.people.author(notable.event) == found.people.person(
        notable.event.site, notable.user
    )


@pytest.mark.parametrize("text", ['[1, null, "x", [], {}]', "{", "null", "7", '{"a": 1}'])
def test_columns_of_any_content_are_read(text: str) -> None:
    odd = joins(5, BEN_KEY, "site-admins") | {"changedValues_s": text, "associatedItems_s": text}

    assert reviewed(odd).administrators == []
