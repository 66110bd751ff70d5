"""Notable events: administrators, access for everyone, removed guards, auditing. Pure.

Each function follows the rule of the same idea in `deploy/sentinel/Analytic Rules`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from jira_audit.core.review.events import Event, has_any
from jira_audit.core.timestamps import MINUTE

ADMINISTRATOR_WORDS = ("admin", "admins", "administrator", "administrators")
ADMINISTRATOR_PREFIX = "trusted-users"
"""Members of `trusted-users-<uuid>` hold *Administer Jira* on every real site seen."""

EVERYONE = {
    "anonymous",
    "public",
    "public access",
    "any logged in user",
    "any user logged in",
    "application access (any logged in user)",
}
HOLDERS = {"group", "application access", "application role"}
"""Holders of a permission that mean everyone unless a field `Value` names one."""

SHARED_CATEGORIES = {"permissions", "projects", "filters", "dashboards"}
ACCESS_WORDS = ("permission", "permissions", "access", "shared", "share")

GUARDS = (
    "permission scheme",
    "issue security",
    "security scheme",
    "security level",
    "workflow scheme",
)
REMOVALS = ("deleted", "removed", "unassigned")
AUDITING_WORDS = ("audit log", "audit logging", "auditing")

SAME_ACTION = MINUTE
"""Records this close together may be of one click."""


@dataclass(frozen=True, slots=True)
class Notable:
    """An event that deserves a look: `what` happened, to whom or to what (`target`).

    `user` is the target's id, if the target is one user.
    """

    event: Event
    what: str
    target: str
    user: str = ""


def may_be_notable(event: Event) -> bool:
    """Whether a function here needs the event, for itself or to explain another."""
    return (
        event.summary.lower() in {*_MEMBERSHIP, _PERMISSION_ADDED, _PERMISSION_DELETED}
        or _explains_removal(event)
        or _changes_auditing(event)
        or _may_open(event)
    )


# Administrators.


def administrators(events: Sequence[Event]) -> Sequence[Notable]:
    """Who became or ceased to be an administrator, and which groups got or lost the permission.

    A group counts if the log shows it receiving a permission *Administer …*, or by its name.
    """
    groups = {
        (event.site, group.lower())
        for event in events
        for permission, group in _global_permissions(event)
        if is_administrative(permission)
    }
    return [*_memberships(events, groups), *_permissions(events)]


def is_administrative(permission: str) -> bool:
    return permission.lower().startswith("administer") or has_any(permission, ADMINISTRATOR_WORDS)


def _memberships(events: Iterable[Event], groups: set[tuple[str, str]]) -> Iterator[Notable]:
    for event in events:
        verb = _MEMBERSHIP.get(event.summary.lower())
        group = event.subject.name
        if verb and (_names_administrators(group) or (event.site, group.lower()) in groups):
            for user in event.users:
                yield Notable(event, f"{verb} {group}", user.name or user.id, user.id or user.name)


_MEMBERSHIP = {"user added to group": "added to", "user removed from group": "removed from"}


def _names_administrators(group: str) -> bool:
    is_trusted = group.lower().startswith(ADMINISTRATOR_PREFIX)
    return is_trusted or has_any(group, ADMINISTRATOR_WORDS)


def _permissions(events: Iterable[Event]) -> Iterator[Notable]:
    for event in events:
        for permission, group in _global_permissions(event):
            if is_administrative(permission):
                is_granted = event.summary.lower() == _PERMISSION_ADDED
                verb = "received" if is_granted else "lost"
                yield Notable(event, f"{verb} {permission}", group or "?")


_PERMISSION_ADDED = "global permission added"
_PERMISSION_DELETED = "global permission deleted"


def _global_permissions(event: Event) -> Iterator[tuple[str, str]]:
    """The global permission that is added or deleted, and the group; empty if none is named."""
    summary = event.summary.lower()
    if summary in {_PERMISSION_ADDED, _PERMISSION_DELETED}:
        values = {change.field.lower(): change.after or change.before for change in event.changes}
        if permission := values.get("permission"):
            yield permission, values.get("group", "")


# Access.


def opened_to_everyone(events: Iterable[Event]) -> Iterator[Notable]:
    """What was opened to everyone, the service portal included; not what was closed."""
    for event in events:
        to = next(_opened_to(event), None) if _may_open(event) else None
        if to is not None:
            yield Notable(event, f"{event.summary}: {to}", event.subject.name)


def _may_open(event: Event) -> bool:
    if not event.changes:
        return False
    return event.category in SHARED_CATEGORIES or event.says(ACCESS_WORDS)


def _opened_to(event: Event) -> Iterator[str]:
    fields = {change.field.lower() for change in event.changes}
    for change in event.changes:
        name, before, after = change.field.lower(), change.before.lower(), change.after.lower()
        if name in {"name", "description", "key"} or before == after:
            continue
        is_whole_type = name == "type" and after in HOLDERS and "value" not in fields
        if after.startswith("anyone") or after in EVERYONE or is_whole_type:
            yield change.after


# Guards.


def guards_removed(events: Sequence[Event]) -> Iterator[Notable]:
    """Schemes that limit access or work, deleted or taken from a project.

    Left out is what is part of one ordinary action: a project's deletion, the publication of a
    workflow scheme, an exchange of schemes.
    """
    context = [event for event in events if _explains_removal(event)]
    for event in events:
        if event.says(GUARDS) and event.says(REMOVALS):
            near = (
                each
                for each in context
                if each.site == event.site and abs(each.at - event.at) <= SAME_ACTION
            )
            if not any(_is_part_of(event, each) for each in near):
                yield Notable(event, event.summary, _target(event))


def _target(event: Event) -> str:
    """The subject, and what was taken from it."""
    schemes = ", ".join(item.name for item in event.items if item.name)
    return f"{event.subject.name}: {schemes}" if schemes else event.subject.name


def _explains_removal(event: Event) -> bool:
    return event.says(GUARDS) or _deletes_project(event)


def _deletes_project(event: Event) -> bool:
    return event.subject.kind.upper() == "PROJECT" and event.says(("deleted",))


def _is_part_of(event: Event, other: Event) -> bool:
    """Whether a removal belongs to what another event tells."""
    if _deletes_project(other):
        return (other.key, other.account) == (event.key, event.account)
    if event.says(("deleted",)):
        renamed = {each.after for each in other.changes if each.field.lower() == "name"}
        return event.subject.name in renamed
    return other.subject == event.subject and other.says(("added", "assigned"))


# Auditing.


def auditing_changed(events: Iterable[Event]) -> Iterator[Notable]:
    """Changes of the audit log itself."""
    for event in events:
        if _changes_auditing(event):
            changes = "; ".join(
                f"{each.field}: {each.before} → {each.after}" for each in event.changes
            )
            yield Notable(event, event.summary, changes or event.subject.name)


def _changes_auditing(event: Event) -> bool:
    return event.category == "auditing" or event.says(AUDITING_WORDS)
