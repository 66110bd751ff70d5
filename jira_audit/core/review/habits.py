"""Habits: when accounts act, from which networks, and since when. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from jira_audit.core.review.events import Event
from jira_audit.core.review.networks import first_address, is_private, network_of
from jira_audit.core.review.people import People, Person
from jira_audit.core.timestamps import DAY, HOUR
from jira_audit.core.window import Window

LEARNING = 7 * DAY
"""Only what comes this much later than the first row can be called new (milliseconds)."""

LEAST_EVENTS, LEAST_DAYS = 20, 5
"""An account with fewer events, or on fewer days, has no usual hours yet."""

HALF_A_DAY = 12
"""Hours: what is less far away is of the same night."""

THURSDAY = 3
"""The weekday of 1970-01-01, with Monday as 0."""


@dataclass(frozen=True)
class FirstSeen:
    """An account that acted for the first time."""

    site: str
    who: Person
    at: int
    events: int
    summary: str
    address: str


@dataclass(frozen=True)
class OddHours:
    """Events of an account within one hour of one day (UTC), near which it acts on no other day."""

    site: str
    who: Person
    at: int
    events: int


@dataclass(frozen=True)
class NetworkUse:
    """A network of the range's events, and who acted from there, the busiest first."""

    network: str
    is_private: bool
    is_new: bool
    events: int
    accounts: Sequence[Person]
    first: int
    last: int


@dataclass
class _Account:
    """`hours` counts events by the hour since 1970."""

    site: str
    who: Person
    first: Event
    hours: Counter[int] = field(default_factory=Counter)


@dataclass
class _Network:
    """`first` is the first event ever; `last` and `authors`, with their events, are the range's."""

    first: int
    last: int = 0
    authors: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass
class Habits:
    """What accounts do, and when and from where. What comes before the range is history.

    `begin` is the first row's time. `heat` counts the range's events that have an author by
    weekday (Monday is 0) and hour.
    """

    window: Window
    begin: int | None = None
    heat: Counter[tuple[int, int]] = field(default_factory=Counter)
    _accounts: dict[tuple[str, str], tuple[Event, Counter[int]]] = field(default_factory=dict)
    _networks: dict[str, _Network] = field(default_factory=dict)

    def learn(self, event: Event) -> None:
        """Take an event, in any order."""
        self.begin = event.at if self.begin is None else min(self.begin, event.at)
        author = event.site, event.account or event.key
        if author[1]:
            first, hours = self._accounts.get(author, (event, Counter[int]()))
            hours[event.at // HOUR] += 1
            self._accounts[author] = (min(event, first, key=_moment), hours)
            if self._in_range(event.at):
                hour = event.at // HOUR
                self.heat[(hour // 24 + THURSDAY) % 7, hour % 24] += 1
        if address := first_address(event.addresses):
            use = self._networks.setdefault(network_of(address), _Network(event.at))
            use.first = min(use.first, event.at)
            if self._in_range(event.at):
                use.last = max(use.last, event.at)
                use.authors[author] += 1

    @property
    def can_tell_what_is_new(self) -> bool:
        """Whether there are rows of long enough before the range's end."""
        return self.begin is not None and self.window.end - self.begin > LEARNING

    def first_seen(self, people: People) -> Iterator[FirstSeen]:
        """The range's new accounts, the latest first."""
        for account in sorted(self._people(people), key=lambda each: -each.first.at):
            at = account.first.at
            if self._in_range(at) and self._is_new(at):
                first, events = account.first, account.hours.total()
                address = first_address(first.addresses)
                yield FirstSeen(account.site, account.who, at, events, first.summary, address)

    def odd_hours(self, people: People) -> Iterator[OddHours]:
        """Events of established accounts at hours that are not usual for them, the latest first."""
        found = []
        for account in self._people(people):
            days = {hour // 24 for hour in account.hours}
            if account.hours.total() < LEAST_EVENTS or len(days) < LEAST_DAYS:
                continue
            by_hour: dict[int, list[int]] = {}
            for hour in account.hours:
                by_hour.setdefault(hour % 24, []).append(hour)
            for hour, events in account.hours.items():
                near = chain.from_iterable(by_hour.get((hour + n) % 24, ()) for n in (-1, 0, 1))
                is_usual = any(abs(other - hour) > HALF_A_DAY for other in near)
                if not is_usual and self._in_range(hour * HOUR):
                    found.append(OddHours(account.site, account.who, hour * HOUR, events))
        yield from sorted(found, key=lambda each: -each.at)

    def networks(self, people: People) -> Sequence[NetworkUse]:
        """The range's networks, new ones first, then those with the most events."""
        used = [
            NetworkUse(
                network,
                is_private(network),
                self._is_new(use.first) and not is_private(network),
                use.authors.total(),
                _busiest_first(use.authors, people),
                use.first,
                use.last,
            )
            for network, use in self._networks.items()
            if use.authors
        ]
        return sorted(used, key=lambda each: (not each.is_new, -each.events, each.network))

    def _people(self, people: People) -> Sequence[_Account]:
        """The accounts, those of one person at one site as one."""
        found: dict[tuple[str, Person], _Account] = {}
        for first, hours in self._accounts.values():
            who = people.author(first)
            account = found.setdefault((first.site, who), _Account(first.site, who, first))
            account.first = min(account.first, first, key=_moment)
            account.hours += hours
        return list(found.values())

    def _in_range(self, at: int) -> bool:
        return self.window.start <= at <= self.window.end

    def _is_new(self, at: int) -> bool:
        return self.begin is not None and at - self.begin > LEARNING


def _moment(event: Event) -> tuple[int, int]:
    return event.at, event.number or 0


def _busiest_first(authors: Mapping[tuple[str, str], int], people: People) -> Sequence[Person]:
    events: Counter[Person] = Counter()
    for (site, id_), number in authors.items():
        events[people.person(site, id_)] += number
    return sorted(events, key=lambda each: (-events[each], each.id))
