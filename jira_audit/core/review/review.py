"""The review of a range's rows: one pass, and one value with all that was found. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jira_audit.core.review import notable
from jira_audit.core.review.deletions import MassDeletion, deletes, mass_deletions
from jira_audit.core.review.events import Event, read_event
from jira_audit.core.review.habits import FirstSeen, Habits, NetworkUse, OddHours
from jira_audit.core.review.notable import Notable
from jira_audit.core.review.people import People
from jira_audit.core.window import Window


@dataclass(frozen=True)
class Review:
    """What was found in a range, the latest first.

    `begin` is the first row's time, and `can_tell_what_is_new` false if it is not long enough
    before the range's end: then no account and no network is called new. `people` knows the names.
    """

    window: Window
    begin: int | None
    people: People
    administrators: Sequence[Notable]
    opened: Sequence[Notable]
    guards: Sequence[Notable]
    auditing: Sequence[Notable]
    deletions: Sequence[MassDeletion]
    first_seen: Sequence[FirstSeen]
    odd_hours: Sequence[OddHours]
    networks: Sequence[NetworkUse]
    heat: Mapping[tuple[int, int], int]
    can_tell_what_is_new: bool


def review(rows: Iterable[Mapping[str, Any]], window: Window) -> Review:
    """Review the rows created in a range. Earlier rows are history: groups, names, habits."""
    people, habits = People(), Habits(window)
    chosen: dict[object, Event] = {}  # a record that was delivered twice is one event
    for row in rows:
        event = read_event(row)
        if event.at > window.end:
            continue
        people.learn(event)
        habits.learn(event)
        if notable.may_be_notable(event) or deletes(event):
            chosen[event if event.number is None else (event.site, event.number)] = event
    events = sorted(chosen.values(), key=lambda each: (each.at, each.number or 0))

    def latest(found: Iterable[Notable]) -> Sequence[Notable]:
        in_range = (each for each in found if each.event.at >= window.start)
        return sorted(in_range, key=lambda each: -each.event.at)

    deletions = [each for each in mass_deletions(events, people) if each.end >= window.start]
    return Review(
        window,
        habits.begin,
        people,
        latest(notable.administrators(events)),
        latest(notable.opened_to_everyone(events)),
        latest(notable.guards_removed(events)),
        latest(notable.auditing_changed(events)),
        sorted(deletions, key=lambda each: -each.end),
        list(habits.first_seen(people)),
        list(habits.odd_hours(people)),
        habits.networks(people),
        habits.heat,
        habits.can_tell_what_is_new,
    )
