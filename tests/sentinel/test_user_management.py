"""The ASIM parsers of UserManagement: what Jira says of users and groups, and filters that filter.

https://learn.microsoft.com/azure/sentinel/normalization-schema-user-management
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.pages import Page
from tests.sentinel.content import FUNCTIONS
from tests.sentinel.stories import (
    ANNA,
    BEN,
    ELSEWHERE,
    OFFICE,
    SITE,
    Record,
    act,
    deactivated,
    joins,
    key_of,
    leaves,
    user,
)
from tests.sentinel.test_asim import call_parser
from tests.sentinel.workspace_fixtures import workspace
from tests.sentinel.workspace_schemas import ALL_WORLDS

PLAIN, FILTERING = "ASimUserManagementAtlassianJira", "vimUserManagementAtlassianJira"


def sample_records() -> list[Record]:
    return [
        user(60, "User created", BEN, by=ANNA, at=OFFICE),
        joins(50, BEN, "jira-administrators"),
        act(45, "Project created", "projects"),
        leaves(40, BEN, "jira-administrators", by=BEN, at=f"{ELSEWHERE}, 10.0.0.1"),
        user(30, "User's password changed", BEN),
        deactivated(20, BEN),
        act(10, "Group deleted", "group management", on=("GROUP", "crew")),
    ]


EVENTS = [
    *("UserCreated", "UserAddedToGroup", "UserRemovedFromGroup"),
    *("PasswordChanged", "UserDisabled", "GroupDeleted"),
]


@pytest.mark.parametrize("world", ALL_WORLDS)
@pytest.mark.parametrize("parser", [PLAIN, FILTERING])
def test_users_and_groups_are_normalised_and_nothing_else(parser: str, world: str) -> None:
    found = workspace(world, sample_records()).run(f"{parser} | order by EventStartTime asc")

    assert [row["EventType"] for row in found] == EVENTS
    assert [row["TargetUsername"] for row in found] == [key_of(BEN)] * 5 + [""]
    assert [row["GroupName"] for row in found] == [
        *("", "jira-administrators", "jira-administrators", "", "", "crew")
    ]
    assert [row["ActorUserId"] for row in found] == [ANNA, "", BEN, "", "", ANNA]
    assert [row["SrcIpAddr"] for row in found] == [OFFICE, "", ELSEWHERE, "", "", OFFICE]


def test_member_who_acts_is_actor_and_target_by_one_name() -> None:
    record = joins(5, BEN, "jira-administrators", by=BEN)
    (found,) = workspace("classic", [record]).run(PLAIN)

    assert found["ActorUsername"] == found["TargetUsername"] == found["User"] == key_of(BEN)
    assert (found["Dvc"], found["TargetUserId"]) == (SITE, key_of(BEN))
    assert (found["GroupNameType"], found["TargetUsernameType"]) == ("Simple", "Simple")


@pytest.mark.parametrize(
    ("record", "event"),
    [
        (
            user(5, "User created", BEN, changed={"Active / Inactive": ("", "Active")}),
            "UserCreated",
        ),
        (user(5, "User deleted", BEN), "UserDeleted"),
        (deactivated(5, BEN), "UserDisabled"),
        (
            user(5, "User updated", BEN, changed={"Active / Inactive": ("Inactive", "Active")}),
            "UserEnabled",
        ),
        (
            user(5, "User updated", BEN, changed={"Full name": ("Active", "Inactive")}),
            "UserModified",
        ),
        (
            user(
                5,
                "User updated",
                BEN,
                changed={
                    "Full name": ("x", "Inactive"),
                    "Active / Inactive": ("Inactive", "Active"),
                },
            ),
            "UserEnabled",
        ),
        (user(5, "User renamed", BEN), "UserModified"),
        (act(5, "Group created", "group management", on=("GROUP", "crew")), "GroupCreated"),
        (act(5, "Group renamed", "group management", on=("GROUP", "crew")), "GroupModified"),
    ],
)
def test_sentence_of_jira_is_the_event_that_it_says(record: Record, event: str) -> None:
    (found,) = workspace("classic", [record]).run(PLAIN)

    assert found["EventType"] == event
    assert found["EventOriginalType"] == record["summary"]


def test_values_that_changed_are_there_with_their_fields() -> None:
    (found,) = workspace("classic", [deactivated(5, BEN)]).run(PLAIN)

    assert (found["PreviousPropertyValue"], found["NewPropertyValue"]) == ("Active", "Inactive")
    assert found["EventOriginalSubType"] == "Active / Inactive"


def test_app_is_a_user_of_the_type_application() -> None:
    records = [joins(5, "addon_clock", "atlassian-addons", by=ANNA)]
    (found,) = workspace("classic", records).run(PLAIN)

    assert (found["TargetUserType"], found["ActorUserType"]) == ("Application", "")


def test_members_of_one_record_are_a_row_each() -> None:
    record = joins(5, BEN, "jira-administrators")
    record["associatedItems"].append({"id": "ug:2", "name": "ug:2", "typeName": "USER"})
    found = workspace("classic", [record]).run(f"{PLAIN} | order by TargetUsername asc")

    assert [row["TargetUsername"] for row in found] == sorted([key_of(BEN), "ug:2"])


def test_records_of_a_page_on_users_and_groups_are_all_there(audit_page: Page) -> None:
    kinds = {
        record["id"]: record["objectItem"]["typeName"]
        for record in audit_page.records
        if (record.get("objectItem") or {}).get("typeName") in {"USER", "GROUP"}
    }
    found = workspace("classic", audit_page.records).run(PLAIN)

    assert {int(row["EventOriginalUid"]) for row in found} == set(kinds)
    for row in found:
        assert (
            row["TargetUsername"]
            if kinds[int(row["EventOriginalUid"])] == "USER"
            else (row["GroupName"])
        )


@pytest.mark.parametrize("parser", [PLAIN, FILTERING])
def test_parser_that_is_disabled_returns_nothing(parser: str) -> None:
    assert workspace("classic", sample_records()).run(call_parser(parser, disabled="true")) == []


@pytest.mark.parametrize(
    ("parameter", "value", "events"),
    [
        ("starttime", "datetime(2026-11-25T11:22:00Z)", EVENTS[3:]),
        ("starttime", "datetime(2026-11-25T13:00:00Z)", []),
        ("endtime", "datetime(2026-11-25T11:22:00Z)", EVENTS[:3]),
        ("endtime", "datetime(2026-11-25T10:00:00Z)", []),
        ("srcipaddr_has_any_prefix", "dynamic(['198.51.', '192.0.'])", ["UserRemovedFromGroup"]),
        ("srcipaddr_has_any_prefix", "dynamic(['10.0.'])", []),
        ("targetusername_has_any", f"dynamic(['{key_of(BEN)}'])", EVENTS[:5]),
        ("targetusername_has_any", f"dynamic(['{key_of(ANNA)}'])", []),
        ("actorusername_has_any", f"dynamic(['{key_of(BEN)}'])", ["UserRemovedFromGroup"]),
        ("actorusername_has_any", f"dynamic(['{ANNA}'])", ["UserCreated", "GroupDeleted"]),
        ("actorusername_has_any", "dynamic(['nobody'])", []),
        ("eventtype_in", "dynamic(['UserDisabled', 'GroupDeleted'])", EVENTS[4:]),
        ("eventtype_in", "dynamic(['UserLocked'])", []),
    ],
)
def test_filter_passes_what_it_says_and_nothing_else(
    parameter: str, value: str, events: list[str]
) -> None:
    query = f"{call_parser(FILTERING, **{parameter: value})} | order by EventStartTime asc"

    found: list[dict[str, Any]] = workspace("classic", sample_records()).run(query)

    assert [row["EventType"] for row in found] == events


def test_filters_are_all_tested() -> None:
    assert list(FUNCTIONS[FILTERING].defaults) == [
        *("starttime", "endtime", "srcipaddr_has_any_prefix", "targetusername_has_any"),
        *("actorusername_has_any", "eventtype_in", "disabled"),
    ]
