"""Stories: what somebody did in Jira, in records as Jira writes them, and which rule must see it.

A story that fires has near misses beside it, each different by one thing that matters. The shapes
are those of real pages of Jira Cloud (ctreminiom/go-atlassian, elastic/integrations): a member is
named by user key and an author by account id and user key; a change of membership that is made in
the organization's administration has neither author nor address; a deactivation is an update.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from jira_audit.core import timestamps
from jira_audit.core.outcome import Outcome, Result, Tally
from jira_audit.core.timestamps import MINUTE
from tests.sentinel.engine import NOW

Record = dict[str, Any]

SITE = "contoso.atlassian.net"
ANNA, BEN = "5b86be50b8e3cb5895860d6d", "712020:7f3a0c1e-5f0b-4d0a-9a55-1f0d8c0e2b11"
OFFICE, ELSEWHERE = "203.0.113.20", "198.51.100.77"

_ids = count(10_000)


@dataclass(frozen=True)
class Story:
    """What happened; whether the rule fires; columns of its only result; lines of the connector's.

    `rows` are the results it must give where it fires. In an `evasion` somebody knows the rule.
    """

    title: str
    records: list[Record] = field(default_factory=list)
    fires: bool = False
    expect: Mapping[str, Any] = field(default_factory=dict)
    rows: int = 1
    telemetry: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    watchlists: Mapping[str, list[str]] = field(default_factory=dict)
    evasion: bool = False


def key_of(account: str) -> str:
    """The user key of an account: another name of the same person. A key is its own."""
    if account.startswith(("ug:", "qm:", "addon_")):
        return account
    return f"ug:{uuid.uuid5(uuid.NAMESPACE_OID, account)}"


def act(
    minutes_ago: float,
    summary: str,
    category: str,
    *,
    by: str | None = ANNA,
    key: str | None = None,
    at: str | None = OFFICE,
    on: tuple[str, str] = ("PROJECT", "Demo service project"),
    changed: Mapping[str, tuple[str, str]] | None = None,
    items: list[tuple[str, str]] | None = None,
) -> Record:
    """One record: `on` is the object's type and name, `changed` has fields with from and to,
    `items` the types and names of what goes with it. Nobody and nowhere leave no field, as in Jira.
    """
    kind, name = on
    made: Record = {
        "id": next(_ids),
        "summary": summary,
        "created": timestamps.text(NOW - round(minutes_ago * MINUTE)).replace("Z", "+0000"),
        "category": category,
        "eventSource": "",
        "objectItem": {"name": name, "typeName": kind},
    }
    if kind not in {"GROUP", "PERMISSIONS"}:
        made["objectItem"]["id"] = name
    if by:
        made |= {"authorAccountId": by, "authorKey": key or key_of(by)}
    if at:
        made["remoteAddress"] = at
    if changed:
        made["changedValues"] = [
            {"fieldName": f, "changedFrom": before, "changedTo": after}
            for f, (before, after) in changed.items()
        ]
    if items:
        made["associatedItems"] = [{"id": n, "name": n, "typeName": t} for t, n in items]
    return made


def joins(minutes_ago: float, who: str, group: str, **how: Any) -> Record:
    """A user is added to a group; in the organization's administration unless `by` says who."""
    return _membership(minutes_ago, "User added to group", who, group, **how)


def leaves(minutes_ago: float, who: str, group: str, **how: Any) -> Record:
    """A user is removed from a group."""
    return _membership(minutes_ago, "User removed from group", who, group, **how)


def _membership(minutes_ago: float, summary: str, who: str, group: str, **how: Any) -> Record:
    on, items = ("GROUP", group), [("USER", key_of(who))]
    how = {"by": None, "at": OFFICE if how.get("by") else None, **how}
    return act(minutes_ago, summary, "group management", on=on, items=items, **how)


def user(minutes_ago: float, summary: str, who: str, **how: Any) -> Record:
    """A record about a user, of which Jira keeps the user once more beside it."""
    on = ("USER", key_of(who))
    how = {"by": None, "at": None, **how}
    return act(minutes_ago, summary, "user management", on=on, items=[on], **how)


def deactivated(minutes_ago: float, who: str, **how: Any) -> Record:
    """There is no event for it but an update of the user."""
    changed = {"Active / Inactive": ("Active", "Inactive")}
    return user(minutes_ago, "User updated", who, changed=changed, **how)


def global_permission(
    minutes_ago: float, permission: str, group: str, *, lost: bool = False
) -> Record:
    """A group receives or loses a global permission; Jira never says by whom."""
    values = {"Group": group, "Permission": permission}
    return act(
        minutes_ago,
        f"Global permission {'deleted' if lost else 'added'}",
        "permissions",
        by=None,
        at=None,
        on=("PERMISSIONS", "Global Permissions"),
        changed={name: (value, "") if lost else ("", value) for name, value in values.items()},
    )


def project_deleted(
    minutes_ago: float, name: str, *, by: str | None = None, at: str | None = None
) -> list[Record]:
    """A team-managed project leaves the trash: eleven records within a second."""
    key = name.upper()
    gone = [
        ("Project deleted", "projects", "PROJECT", name),
        ("Field Configuration scheme deleted", "fields", "SCHEME", f"Fields of Project {key}"),
        ("Workflow scheme deleted", "workflows", "SCHEME", f"{key}: Workflow Scheme"),
        ("Workflow deleted", "workflows", "WORKFLOW", f"{key}: Workflow for 10001"),
        ("Notification scheme deleted", "notifications", "SCHEME", f"{key}: Notification Scheme"),
        *(
            ("Project role deleted", "projects", "PROJECT_ROLE", f"{role} of {key}")
            for role in ("Viewer", "Member", "Administrator", "Apps")
        ),
        ("Issue Security scheme deleted", "permissions", "SCHEME", f"{key}: Security Scheme"),
        ("Permission scheme deleted", "permissions", "SCHEME", f"{key}: Permission Scheme"),
    ]
    return [
        act(minutes_ago - n / 1000, summary, category, by=by, at=at, on=(kind, what))
        for n, (summary, category, kind, what) in enumerate(gone)
    ]


def workflow_scheme_published(minutes_ago: float, name: str) -> list[Record]:
    """The draft's copy takes the name, and the scheme that had it is deleted."""
    copy = f"Copy of {name}"
    return [
        act(
            minutes_ago,
            "Workflow scheme updated",
            "workflows",
            at=None,
            on=("SCHEME", name),
            changed={"Name": (copy, name)},
        ),
        act(minutes_ago, "Workflow scheme deleted", "workflows", at=None, on=("SCHEME", name)),
        act(
            minutes_ago,
            "Workflow scheme added to project",
            "workflows",
            at=None,
            on=("PROJECT", "test"),
            items=[("SCHEME", copy)],
        ),
    ]


def line(
    minutes_ago: float,
    result: Result = "ok",
    *,
    lag: int | None = 10,
    site: str = SITE,
    **tally: int,
) -> dict[str, Any]:
    """The connector's canonical line, as Application Insights has it; without a lag where the run
    did not have its site."""
    at = NOW - round(minutes_ago * MINUTE)
    through = None if lag is None else at - lag * 1000
    outcome = Outcome(site, result, Tally(**tally), through, at, 900)
    return {
        "TimeGenerated": timestamps.text(at),
        "Message": outcome.line(),
        "SeverityLevel": 1,
        "OperationName": "poll",
        "AppRoleName": "jira-audit",
        "Properties": {"Category": "Function.poll.User"},
    }


FORGERIES: Mapping[str, Mapping[str, Any]] = {
    "another app": {"AppRoleName": "another-app"},
    "no app": {"AppRoleName": None},
    "another function": {"Properties": {"Category": "Function.other.User"}},
    "the host": {"Properties": {"Category": "Host.General"}},
    "no category": {"Properties": None},
    "a warning": {"SeverityLevel": 2},
}
"""What sets a line of somebody else's apart from the connector's, if its text is the same."""


def forged(*found: dict[str, Any]) -> list[dict[str, Any]]:
    """Each line as every one of the forgeries."""
    return [{**made, **change} for made in found for change in FORGERIES.values()]


def call(minutes_ago: float, *, success: bool) -> dict[str, Any]:
    """An invocation of the function, as Application Insights has it."""
    return {
        "TimeGenerated": timestamps.text(NOW - round(minutes_ago * MINUTE)),
        "Name": "poll",
        "Success": success,
        "ResultCode": "0",
        "DurationMs": 900.0,
        "AppRoleName": "jira-audit",
    }


def lines(*found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {"AppTraces": list(found)}


def calls(*found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {"AppRequests": list(found)}


def organization_event(minutes_ago: float, action: str) -> dict[str, list[dict[str, Any]]]:
    """An event of the organization, in the table that Microsoft's own connector for it fills."""
    row = {
        "TimeGenerated": timestamps.text(NOW - round(minutes_ago * MINUTE)),
        "Action": action,
        "ActorId": ANNA,
        "ActorEmail": "anna@contoso.example",
        "EventId": "e-1",
        "SrcIpAddr": OFFICE,
        "Context": [],
    }
    return {"AtlassianAuditEvents_CL": [row]}
