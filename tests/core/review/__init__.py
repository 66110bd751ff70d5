"""Rows for the tests of the review: records as Jira writes them, mapped by the connector."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from jira_audit.core import timestamps
from jira_audit.core.records import identify, to_row
from jira_audit.core.review.review import Review, review
from jira_audit.core.timestamps import DAY, MINUTE
from jira_audit.core.window import Window

NOW = timestamps.parse("2026-11-20T12:00:00Z")  # a Friday
SITE = "contoso.atlassian.net"
MONTH = Window(NOW - 30 * DAY, NOW)

ANNA, ANNA_KEY = "5b86be50b8e3cb5895860d6d", "ug:24aa09ae-9ba7-4acc-92fd-d0d075d8d4aa"
BEN = "712020:7f3a0c1e-5f0b-4d0a-9a55-1f0d8c0e2b11"
BEN_KEY = "ug:2281b112-0f77-4305-b779-66d30930eb83"

Row = dict[str, Any]

_numbers = count(10_000)


def row(
    minutes_ago: float,
    summary: str,
    category: str = "projects",
    *,
    by: tuple[str, str] | None = (ANNA, ANNA_KEY),
    at: str | None = "203.0.113.20",
    on: tuple[str, str] = ("PROJECT", "Demo"),
    changed: Mapping[str, tuple[str, str]] | None = None,
    items: Sequence[tuple[str, str]] = (),
    site: str = SITE,
) -> Row:
    """One row. `by` is an account id and a key, `on` the subject's type and name, `changed` has
    fields with before and after, `items` types and names. Nobody and nowhere leave no field.
    """
    record: dict[str, Any] = {
        "id": next(_numbers),
        "summary": summary,
        "created": timestamps.text(NOW - round(minutes_ago * MINUTE)),
        "category": category,
        "objectItem": {"id": on[1], "name": on[1], "typeName": on[0]},
    }
    if by:
        record |= {"authorAccountId": by[0], "authorKey": by[1]}
    if at:
        record["remoteAddress"] = at
    if changed:
        record["changedValues"] = [
            {"fieldName": name, "changedFrom": before, "changedTo": after}
            for name, (before, after) in changed.items()
        ]
    if items:
        record["associatedItems"] = [{"id": n, "name": n, "typeName": t} for t, n in items]
    made = to_row(record, identify(record), site=site, generated=timestamps.text(NOW))
    return dict(json.loads(made.line))


def joins(minutes_ago: float, user: str, group: str, **how: Any) -> Row:
    """A user is added to a group; membership is managed elsewhere, so there is no author."""
    how = {"by": None, "at": None} | how
    on, items = ("GROUP", group), [("USER", user)]
    return row(minutes_ago, "User added to group", "group management", on=on, items=items, **how)


def leaves(minutes_ago: float, user: str, group: str, **how: Any) -> Row:
    """A user is removed from a group."""
    how = {"by": None, "at": None} | how
    on, items = ("GROUP", group), [("USER", user)]
    return row(
        minutes_ago, "User removed from group", "group management", on=on, items=items, **how
    )


def reviewed(*rows: Row, window: Window = MONTH) -> Review:
    return review(rows, window)
