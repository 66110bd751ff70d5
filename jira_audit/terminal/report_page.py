"""The report page: one HTML file without scripts or other resources.

Its content security policy blocks both. The template `page/report.html` escapes every text, which
may come from a record; what the page shows are values of `core/activity.py` and `core/review`.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from jira_audit import __version__
from jira_audit.core.activity import DELAYS, SEPARATOR, Activity, Aspect
from jira_audit.core.review.notable import Notable
from jira_audit.core.review.people import NOBODY, Person
from jira_audit.core.review.review import Review
from jira_audit.core.text import SENTENCE_LENGTH, one_line
from jira_audit.core.timestamps import HOUR
from jira_audit.operations.judgement import VERDICTS, Judgement, Verdict
from jira_audit.terminal import report_chart
from jira_audit.terminal.format import format_duration, utc

TOP_N = 12
"""The most lines of a list."""

NAME_LIMIT = 120
"""The most characters of a name; its tooltip has up to `TOOLTIP_LIMIT`."""
TOOLTIP_LIMIT = 1_000

TITLES: Mapping[Aspect, tuple[str, str]] = {
    "category": ("By category", "no category"),
    "event": ("What happened", "no summary"),
    "actor": ("Who did it", "Jira itself, or no author"),
    "object": ("What it was done to", "no object"),
}
"""Each list's title, and its text for an empty name."""

MOODS: Mapping[Verdict, str] = {"ok": "good", "new": "fair", "token expires": "fair"}
"""The colour of a verdict; `bad` for all others."""


@dataclass(frozen=True)
class Health:
    """A site's judged status, and its summary for people."""

    judged: Judgement
    summary: Mapping[str, str]


@dataclass(frozen=True)
class Count:
    """A line of a list of names; `share` is the length of its bar in percent."""

    name: str
    note: str
    rows: int
    share: float
    colour: int


@dataclass(frozen=True)
class CountList:
    """A list of names with counts; `rest` says how many more there are."""

    title: str
    counts: Sequence[Count]
    rest: str = ""
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """A notable event for people: `who` did `what` to whom (`target`), and when and from where."""

    at: int
    site: str
    what: str
    target: Person
    who: Person
    address: str

    @property
    def is_own(self) -> bool:
        """Whether it was done by the one it is about."""
        return self.who == self.target


@dataclass(frozen=True)
class FindingList:
    """Findings of one kind; `id` is the section's, `figure` what one of them is."""

    id: str
    title: str
    figure: str
    note: str
    findings: Sequence[Finding]


def page(
    activity: Activity, review: Review, health: Sequence[Health], source: str, made: int
) -> str:
    """The page's HTML. `source` names where the rows were read; `made` is the current time."""
    css = _ENVIRONMENT.get_template("report.css").render()
    by_time: Counter[int] = Counter()
    for (at, _), rows in activity.over_time.items():
        by_time[at] += rows
    return _ENVIRONMENT.get_template("report.html").render(
        css_hash=base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
        activity=activity,
        review=review,
        sites=sorted(filter(None, activity.sites)),
        accounts=_distinct(activity, "actor"),
        busiest=max(by_time.items(), key=lambda each: each[1], default=None),
        unit="hour" if activity.unit == HOUR else "day",
        chart=report_chart.chart(activity) if activity.rows else None,
        legend=_legend(activity),
        cells=report_chart.heat_map(review.heat),
        weekdays=report_chart.WEEKDAYS,
        finding_lists=_finding_lists(review),
        count_lists=_count_lists(activity, review) if activity.rows else [],
        health=health,
        verdicts=_verdicts(health),
        moods=MOODS,
        sentence_length=SENTENCE_LENGTH,
        top=TOP_N,
        source=source,
        made=made,
        version=__version__,
    )


def _distinct(activity: Activity, aspect: Aspect) -> int:
    return len(activity.aspects[aspect]) - ("" in activity.aspects[aspect])


def _verdicts(health: Sequence[Health]) -> Sequence[tuple[Verdict, int]]:
    """How many sites have each verdict, the worst first."""
    counts = Counter(each.judged.verdict for each in health)
    return [(verdict, counts[verdict]) for verdict in VERDICTS if counts[verdict]]


def _legend(activity: Activity) -> Sequence[tuple[str, int]]:
    """The categories that occur, in the order of the columns, and their colours."""
    present = {report_chart.colour(name) for name in activity.aspects["category"]}
    names = (*report_chart.CATEGORIES, "other categories")
    return [(names[number], number) for number in sorted(present)]


# What deserves a look.


def _finding_lists(review: Review) -> Sequence[FindingList]:
    def found(notables: Iterable[Notable]) -> Sequence[Finding]:
        return [_finding(each, review) for each in notables]

    return [
        FindingList(
            "administrators",
            "Administrators",
            "change of administrators",
            "Members of groups that hold a permission Administer …, and those permissions. "
            "Membership is managed in the organization, so most of it has no author here: the "
            "organization's own audit log has one.",
            found(review.administrators),
        ),
        FindingList(
            "opened",
            "Opened to everyone",
            "thing opened to everyone",
            "Projects, filters, dashboards and service portals that anyone can use.",
            found(review.opened),
        ),
        FindingList(
            "guards",
            "Guards removed",
            "guard removed",
            "Permission, security and workflow schemes that were deleted or taken from a project. "
            "Exchanges, and what a project's deletion takes along, are left out.",
            found(review.guards),
        ),
        FindingList(
            "auditing",
            "Auditing changed",
            "change of auditing",
            "Changes of the audit log itself.",
            found(review.auditing),
        ),
    ]


def _finding(notable: Notable, review: Review) -> Finding:
    event = notable.event
    target = Person(notable.target)
    if notable.user:
        target = review.people.person(event.site, notable.user)
    who = review.people.author(event)
    return Finding(event.at, event.site, notable.what, target, who, event.addresses)


# Counts.


def _count_lists(activity: Activity, review: Review) -> Sequence[CountList]:
    lists = [_by_aspect(activity, review, aspect) for aspect in TITLES]
    if len(activity.sites) > 1:
        sites = [(name or "(no site)", "", rows) for name, rows in activity.sites.most_common()]
        lists.append(_count_list("By site", sites))
    return [*lists, _delays(activity)]


def _by_aspect(activity: Activity, review: Review, aspect: Aspect) -> CountList:
    title, nobody = TITLES[aspect]
    # A legacy user name is one person's at one site; of several sites the counts do not say which.
    site = next(iter(activity.sites)) if len(activity.sites) == 1 else ""
    counts: Counter[tuple[str, str]] = Counter()
    for name, rows in activity.aspects[aspect].items():
        if aspect == "actor" and name:
            counts[_name_and_id(review.people.person(site, name))] += rows
        elif aspect == "object" and name.startswith(_USER):
            known, id_ = _name_and_id(review.people.person(site, name.removeprefix(_USER)))
            counts[_USER + known, id_] += rows
        else:
            counts[name or f"({nobody})", ""] += rows
    lines = [(name, note, rows) for (name, note), rows in counts.most_common()]
    return _count_list(title, lines, has_colours=aspect == "category")


_USER = f"USER{SEPARATOR}"


def _name_and_id(person: Person) -> tuple[str, str]:
    """What to call a person, and the id if that is another text: a name can be chosen."""
    return (person.name, person.id) if person.name else (person.id, "")


def _delays(activity: Activity) -> CountList:
    names = [f"within {format_duration(bound)}" for bound in DELAYS]
    names.append(f"over {format_duration(DELAYS[-1])}")
    lines = [(name, "", activity.delays[index]) for index, name in enumerate(names)]
    note = (
        "From created_t to TimeGenerated, the time of sending unless TIME_GENERATED_SOURCE is "
        "created."
    )
    return _count_list("Delay until a row was written", lines, note)


def _count_list(
    title: str, lines: Sequence[tuple[str, str, int]], note: str = "", *, has_colours: bool = False
) -> CountList:
    most = max((rows for _, _, rows in lines), default=0) or 1
    counts = [
        Count(
            name,
            extra,
            rows,
            rows * 100 / most,
            report_chart.colour(name) if has_colours else _PLAIN,
        )
        for name, extra, rows in lines[:TOP_N]
    ]
    rest = lines[TOP_N:]
    rows = sum(each[2] for each in rest)
    return CountList(
        title, counts, f"and {len(rest):,} more, with {rows:,} rows" if rest else "", note
    )


_PLAIN = report_chart.colour("projects")


# The template. Text from records may contain anything.


def _finalize(value: object) -> object:
    """Put each text that the template prints on one line, unprintable characters escaped."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else one_line(value)


def _cut(text: str, limit: int) -> str:
    line = one_line(text)
    return line if len(line) <= limit else f"{line[:limit]}…"


def _plural(count: int, noun: str) -> str:
    """A noun, and what follows it, in the plural unless there is one."""
    first, space, rest = noun.partition(" ")
    return noun if count == 1 else f"{first}s{space}{rest}"


_ENVIRONMENT = Environment(
    loader=PackageLoader("jira_audit.terminal", "page"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_finalize,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "utc": utc,
    "cut": _cut,
    "label": lambda person: _name_and_id(person)[0] if person != NOBODY else "nobody named",
    "number": "{:,}".format,
    "plural": _plural,
    "percent": lambda value: f"{value:.2f}%",
}
_ENVIRONMENT.globals |= {"NAME_LIMIT": NAME_LIMIT, "TOOLTIP_LIMIT": TOOLTIP_LIMIT}
