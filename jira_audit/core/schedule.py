"""The timer's schedule: an NCRONTAB expression, and the moments at which it fires. Pure.

The host reads it with the library NCrontab, in UTC:
https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions,
https://github.com/atifaziz/NCrontab/blob/master/NCrontab/CrontabField.cs
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from jira_audit.core.timestamps import SECOND

MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")

MOST_DAYS = 40 * 366
"""Days after which a schedule that has not fired never does: dates and days of the week repeat
within 40 years, also around a century without a leap day."""


@dataclass(frozen=True)
class _Field:
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()

    def values(self, text: str) -> tuple[int, ...]:
        """The values that a field's text names, sorted. Raises ValueError for any other text."""
        found: set[int] = set()
        for part in text.split(","):
            found.update(self._part(part))
        return tuple(sorted(found))

    def _part(self, text: str) -> range:
        body, slash, every = text.partition("/")
        step = self._number(every) if slash else 1
        if step == 0:
            raise self._wrong(text)
        if body == "*":
            return range(self.least, self.most + 1, step)
        first, dash, last = body.partition("-")
        start = self._value(first)
        if dash:
            end = self._value(last)
            start, end = min(start, end), max(start, end)  # as NCrontab does
        else:
            end = self.most if slash else start
        return range(start, end + 1, step)

    def _value(self, text: str) -> int:
        if self.names and text.isalpha():
            for number, name in enumerate(self.names, self.least):
                if name.startswith(text.lower()):
                    return number
        value = self._number(text)
        if not self.least <= value <= self.most:
            raise self._wrong(text)
        return value

    def _number(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 4):
            raise self._wrong(text)
        return int(text)

    def _wrong(self, text: str) -> ValueError:
        return ValueError(f"{self.name} must be {self.least} to {self.most}, not {text[:20]!r}")


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _Field("day of the week", 0, 6, WEEKDAYS),
)


@dataclass(frozen=True)
class PollSchedule:
    """The times of day, sorted, and the days on which the timer fires; `text` is the expression."""

    text: str
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> PollSchedule:
        """The schedule of an expression of six fields, seconds first.

        Raises ValueError, which names the wrong field and its range.
        """
        parts = text.split()
        if len(parts) != len(_FIELDS):
            message = "it must have six fields (seconds first), such as 0 */5 * * * *"
            raise ValueError(message)
        values = [each.values(part) for each, part in zip(_FIELDS, parts, strict=True)]
        schedule = cls(" ".join(parts), *values)
        if not any(
            schedule.days[0] <= (29 if month == 2 else 30 if month in {4, 6, 9, 11} else 31)
            for month in schedule.months
        ):
            message = "it names a day that none of its months has"
            raise ValueError(message)
        return schedule

    def following(self, after: int, count: int = 1) -> int | None:
        """When the timer fires for the `count`th time after the moment `after`; None: never."""
        moment = after
        for _ in range(count):
            found = self._next(moment)
            if found is None:
                return None
            moment = found
        return moment

    def _next(self, after: int) -> int | None:
        begin = datetime.fromtimestamp(after // SECOND + 1, UTC)
        day, least = begin.date(), begin.time()
        for _ in range(MOST_DAYS):
            if self._fires_on(day) and (found := self._first_at(least)):
                moment = datetime.combine(day, found, UTC)
                return int(moment.timestamp()) * SECOND
            day, least = day + timedelta(days=1), time()
        return None

    def _fires_on(self, day: date) -> bool:
        is_day = day.month in self.months and day.day in self.days
        return is_day and day.isoweekday() % 7 in self.weekdays

    def _first_at(self, least: time) -> time | None:
        """The first time of day that is not before `least`."""
        for hour in self.hours:
            if hour < least.hour:
                continue
            for minute in self.minutes:
                if (hour, minute) < (least.hour, least.minute):
                    continue
                for second in self.seconds:
                    if (found := time(hour, minute, second)) >= least:
                        return found
        return None


EVERY_5_MINUTES = PollSchedule.parse("0 */5 * * * *")
"""The schedule if no other is set."""
