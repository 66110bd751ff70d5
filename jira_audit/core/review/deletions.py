"""Mass deletions: many things that one account deleted or archived in an hour or a day. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from jira_audit.core.review.events import Event
from jira_audit.core.review.people import People, Person
from jira_audit.core.timestamps import DAY, HOUR, MINUTE

VERBS = ("deleted", "removed", "trashed", "archived")
SMALL_KINDS = {"VERSION", "PROJECT_COMPONENT"}
SMALL_SUMMARIES = {"user removed from group"}


@dataclass(frozen=True)
class Limit:
    """This many different things within this time (milliseconds) are a mass deletion."""

    things: int
    within: int


LARGE = (Limit(10, HOUR), Limit(30, DAY))
"""For projects, schemes, users, fields: quickly, or spread over a day."""

SMALL = (Limit(50, HOUR),)
"""For versions, components and memberships: an ordinary day deletes ten of them."""

PAUSE = 6 * HOUR
"""A longer pause ends a mass deletion, and the next one begins."""

CASCADE = MINUTE
"""With a project, Jira deletes its schemes and roles, within this time."""


@dataclass(frozen=True)
class MassDeletion:
    """`things` are the different ones; `summaries` counts the events by what happened.

    `address` is the first one that an event has.
    """

    site: str
    who: Person
    start: int
    end: int
    things: int
    summaries: Mapping[str, int]
    address: str


def deletes(event: Event) -> bool:
    return event.says(VERBS) or event.subject.kind.upper() == "ISSUE_DELETE"


def mass_deletions(events: Iterable[Event], people: People) -> Iterator[MassDeletion]:
    """Mass deletions by site and account. What has no author counts as one account's."""
    chosen = sorted(filter(deletes, events), key=lambda each: each.at)
    by_account: dict[tuple[str, Person, bool], list[Event]] = defaultdict(list)
    for event in _without_cascades(chosen):
        by_account[event.site, people.author(event), _is_small(event)].append(event)
    for (site, who, is_small), deleted in by_account.items():
        for burst in _bursts(deleted, SMALL if is_small else LARGE):
            yield MassDeletion(
                site,
                who,
                burst[0].at,
                burst[-1].at,
                len(set(map(_thing, burst))),
                Counter(event.summary for event in burst),
                next((event.addresses for event in burst if event.addresses), ""),
            )


def _is_small(event: Event) -> bool:
    return event.subject.kind.upper() in SMALL_KINDS or event.summary.lower() in SMALL_SUMMARIES


def _is_project(event: Event) -> bool:
    return event.subject.kind.upper() == "PROJECT" and event.says(("deleted",))


def _thing(event: Event) -> tuple[object, ...]:
    items = event.items if event.summary.lower() in SMALL_SUMMARIES else ()
    return (event.summary, event.subject, items)


def _without_cascades(events: Sequence[Event]) -> Iterator[Event]:
    """The events, in order of time, without what a project's deletion took along."""
    projects: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for event in filter(_is_project, events):
        projects[event.site, event.key, event.account].append(event.at)
    for event in events:
        times = projects.get((event.site, event.key, event.account), ())
        if _is_project(event) or not any(abs(at - event.at) <= CASCADE for at in times):
            yield event


def _bursts(events: Sequence[Event], limits: Iterable[Limit]) -> Iterator[Sequence[Event]]:
    """Runs of events that reach a limit, in order of time."""
    marked = [False] * len(events)
    for limit in limits:
        begin = 0
        inside: Counter[tuple[object, ...]] = Counter()
        for end, event in enumerate(events):
            inside[_thing(event)] += 1
            while event.at - events[begin].at > limit.within:
                thing = _thing(events[begin])
                inside[thing] -= 1
                if not inside[thing]:
                    del inside[thing]
                begin += 1
            if len(inside) >= limit.things:
                marked[begin : end + 1] = [True] * (end + 1 - begin)
    burst: list[Event] = []
    for event, is_marked in zip(events, marked, strict=True):
        if is_marked:
            if burst and event.at - burst[-1].at > PAUSE:
                yield burst
                burst = []
            burst.append(event)
    if burst:
        yield burst
