"""Audit records like a busy site's. No person, company or address in them is real."""

import itertools
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]

# Shares in 441 real records: 123 without an author, 135 without an address.
_AUTHORLESS_SHARE = 0.28
_ADDRESSLESS_SHARE_OF_AUTHORED = 0.035
_LONGEST_BURST = 24  # in one real response, that many records shared a millisecond

_PEOPLE = (
    "Orla Quillfeather",
    "Bastian Mossgrove",
    "Zoë Þornwick",
    "Tamsin Larkhollow",
    "Ignatz Pebblewhite",
    "Yumi Saltmarrow",
    "Oduya Fennelworth",
    "Léonie Brackenspur",
    "Casimir Dunlintide",
    "Prudence Oakapple",
)
_PROJECTS = (
    ("Lantern", "LANT"),
    ("Harbour Desk", "HARB"),
    ("Tidewheel Firmware", "TIDE"),
    ("Moth Catalogue", "MOTH"),
    ("Gravel Payroll", "GRVL"),
    ("Überseekiste", "KIST"),
    ("Fernmoor Intranet", "FERN"),
)
_GROUPS = ("fernmoor-staff", "fernmoor-admins", "lantern-crew", "harbour-agents", "auditors")
_APPS = ("Wicker Time Sheets", "Tallowbridge Diagrams", "Puddleglass Reports")
_FIELDS = ("Hull colour", "Lamp rating", "Berth", "Moth wingspan", "Größe", "Gravel grade")
_FIELD_TYPES = ("Text field (single line)", "Number field", "Date picker", "Labels")
_STATUSES = (("In the workshop", "In Progress"), ("Afloat", "Done"), ("On the slip", "To Do"))
_WORKFLOWS = ("Lamp repair", "Berth request", "Moth intake", "Gravel run")
_ROLES = ("Crew", "Harbour master", "Observer")
_PERMISSIONS = (
    "Browse Projects",
    "Create Issues",
    "Edit Issues",
    "Delete Issues",
    "Assign Issues",
    "Add Comments",
    "Manage Watchers",
    "Work On Issues",
)
_EVENTS = ("Issue Created", "Issue Assigned", "Issue Resolved", "Issue Commented")
_DIRECTORY = {"parentId": "10000", "parentName": "Fernmoor Directory"}


def sample_records(
    count: int, *, first_id: int, end_ms: int, span_ms: int, seed: int
) -> list[Record]:
    """Make up a busy site's audit records, oldest first; the same for the same seed.

    They have the shapes and gaps of real ones: absent fields rather than null, groups and
    permissions without an id, several kinds of account id, an empty `eventSource`, and bursts in
    one millisecond. Addresses are from the ranges for documentation
    (https://www.rfc-editor.org/rfc/rfc5737, https://www.rfc-editor.org/rfc/rfc3849).

    * `count`: how many records.
    * `first_id`: the oldest record's id; the others follow without a gap.
    * `end_ms`: the latest time of creation, in milliseconds since 1970 (UTC).
    * `span_ms`: how long before `end_ms` the earliest may be, in milliseconds.
    * `seed`: the random generator's seed.
    """
    rng = random.Random(seed)  # noqa: S311 - scenery, never a secret  # nosec B311
    scenarios = _ScenarioGenerator(rng)
    drafts: list[Record] = []
    timestamps: list[int] = []
    authorless = 0
    while len(drafts) < count:
        by_itself = authorless < _AUTHORLESS_SHARE * len(drafts)
        scenario = rng.choice(_BY_ITSELF if by_itself else _BY_PEOPLE)(scenarios)
        authorless += len(scenario) if by_itself else 0
        author = rng.choice(scenarios.people)
        drafts += (draft if by_itself else _signed(draft, author, rng) for draft in scenario)
        timestamps += _scenario_moments(
            rng, end_ms - rng.randint(0, span_ms), end_ms, len(scenario)
        )
    del timestamps[count:]
    # Sorted apart from the drafts: ids rise with time, and a burst keeps its millisecond.
    timestamps.sort()
    return [
        _finished(draft, first_id + place, timestamp_ms)
        for place, (draft, timestamp_ms) in enumerate(zip(drafts, timestamps, strict=False))
    ]


def _scenario_moments(rng: random.Random, timestamp_ms: int, end_ms: int, count: int) -> list[int]:
    """When one scenario's records were created: in bursts, a few milliseconds apart."""
    timestamps: list[int] = []
    while len(timestamps) < count:
        timestamps += [min(timestamp_ms, end_ms)] * min(
            rng.randint(1, _LONGEST_BURST), count - len(timestamps)
        )
        timestamp_ms += rng.randint(1, 40)
    return timestamps


def _finished(draft: Record, identity: int, moment_ms: int) -> Record:
    # Members are in Jira's order: a reader of the demo may compare.
    record: Record = {"id": identity, "summary": draft["summary"]}
    for member in ("remoteAddress", "authorKey", "authorAccountId"):
        if member in draft:
            record[member] = draft[member]
    seconds, milliseconds = divmod(moment_ms, 1000)
    written = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    record["created"] = f"{written}.{milliseconds:03d}+0000"
    return record | draft


@dataclass(frozen=True, slots=True)
class _Person:
    name: str
    key: str
    account_id: str
    address: str


def _signed(draft: Record, author: _Person, rng: random.Random) -> Record:
    signature = {"authorKey": author.key, "authorAccountId": author.account_id}
    if rng.random() >= _ADDRESSLESS_SHARE_OF_AUTHORED:
        signature["remoteAddress"] = author.address
    return draft | signature


def _draft(
    category: str,
    summary: str,
    item: Record,
    changed: list[Record] | None = None,
    associated: list[Record] | None = None,
) -> Record:
    """A record without time, id or author; empty fields are absent."""
    draft: Record = {"summary": summary, "category": category, "eventSource": ""}
    draft["objectItem"] = item
    if changed:
        draft["changedValues"] = changed
    if associated:
        draft["associatedItems"] = associated
    return draft


def _item(kind: str, name: str, identity: str) -> Record:
    return {"id": identity, "name": name, "typeName": kind}


def _group(name: str) -> Record:
    return {"name": name, "typeName": "GROUP", **_DIRECTORY}


def _user(account_id: str) -> Record:
    return {**_item("USER", account_id, account_id), **_DIRECTORY}


def _new(**values: str) -> list[Record]:
    """Values of something new: they have no `changedFrom`."""
    return [{"fieldName": _label(name), "changedTo": to} for name, to in values.items()]


def _changed(**values: tuple[str, str]) -> list[Record]:
    return [
        {"fieldName": _label(name), "changedFrom": before, "changedTo": after}
        for name, (before, after) in values.items()
    ]


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


class _ScenarioGenerator:
    """A small company's scenarios: each is what one click adds to the audit log."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self._numbers = itertools.count(10_000)
        self.people = [self._person(name) for name in _PEOPLE]

    # What people do.

    def hire(self) -> list[Record]:
        user = _user(self._account_id())
        groups = self.rng.sample(_GROUPS, self.rng.randint(1, 3))
        return [
            _draft("user management", "User created", user, _new(active="Active"), [user]),
            *(
                _draft("group management", "User added to group", _group(name), None, [user])
                for name in groups
            ),
        ]

    def leave(self) -> list[Record]:
        user = _user(self.rng.choice(self.people).account_id)
        gone = _changed(active=("Active", "Inactive"))
        return [
            _draft("user management", "User updated", user, gone),
            *(
                _draft("group management", "User removed from group", _group(name), None, [user])
                for name in self.rng.sample(_GROUPS, 2)
            ),
        ]

    def rename(self) -> list[Record]:
        person = self.rng.choice(self.people)
        before = person.name.split()[0].lower()
        changed = _changed(
            email=(f"{before}@example.com", f"{before}@fernmoor.example"),
            full_name=(person.name, f"{person.name} (Fernmoor)"),
        )
        return [_draft("user management", "User updated", _user(person.account_id), changed)]

    def open_project(self) -> list[Record]:
        name, key = self.rng.choice(_PROJECTS)
        project = _item("PROJECT", name, self._number())
        permissions = _item("SCHEME", f"{key} permissions", self._number())
        fields = _item("SCHEME", f"{key} field configurations", self._number())
        flows = _item("SCHEME", f"{key} workflows", self._number())
        mails = _item("SCHEME", f"{key} notifications", self._number())
        flow = self._workflow(f"{key}: {self.rng.choice(_WORKFLOWS)}")
        founded = _new(name=name, key=key, description="", default_assignee="Unassigned")
        return [
            _draft(
                "permissions", "Permission scheme created", permissions, self._named(permissions)
            ),
            *(self._granted(permissions) for _ in range(self.rng.randint(10, 30))),
            _draft("projects", "Project created", project, founded, [self._somebody()]),
            _draft(
                "permissions", "Permission scheme added to project", project, None, [permissions]
            ),
            _draft("fields", "Field Configuration scheme created", fields, self._named(fields)),
            _draft(
                "fields", "Field Configuration scheme added to project", project, None, [fields]
            ),
            _draft("workflows", "Workflow created", flow, self._named(flow)),
            _draft("workflows", "Workflow scheme created", flows, self._named(flows)),
            _draft("workflows", "Workflow scheme added to project", project, None, [flows]),
            _draft("notifications", "Notification scheme added to project", project, None, [mails]),
        ]

    def grant(self) -> list[Record]:
        scheme = _item("SCHEME", f"{self.rng.choice(_PROJECTS)[1]} permissions", self._number())
        return [self._granted(scheme) for _ in range(self.rng.randint(1, 8))]

    def edit_workflow(self) -> list[Record]:
        status, kind = self.rng.choice(_STATUSES)
        created = _new(name=status, description="", status_category=kind)
        flow = self._workflow(self.rng.choice(_WORKFLOWS))
        return [
            _draft("status", "Status created", _item("STATUS", status, self._number()), created),
            _draft("workflows", "Workflow updated", flow),
        ]

    def edit_project(self) -> list[Record]:
        name, _ = self.rng.choice(_PROJECTS)
        project = [_item("PROJECT", name, self._number())]
        part = _item(
            "PROJECT_COMPONENT", self.rng.choice(("Hull", "Lamp", "Rigging")), self._number()
        )
        release = _item(
            "VERSION", f"{self.rng.randint(1, 9)}.{self.rng.randint(0, 9)}", self._number()
        )
        described = _new(name=part["name"], description="Kept by the crew", component_lead="")
        dated = _new(name=release["name"], start_date="2024-05-02", release_date="2024-06-13")
        return [
            _draft("projects", "Project component created", part, described, project),
            _draft("projects", "Project version created", release, dated, project),
        ]

    def edit_notifications(self) -> list[Record]:
        scheme = _item("SCHEME", f"{self.rng.choice(_PROJECTS)[1]} notifications", self._number())
        changed = _changed(
            event=("", self.rng.choice(_EVENTS)), recipient=("", self.rng.choice(_GROUPS))
        )
        return [_draft("notifications", "Notification scheme updated", scheme, changed)]

    def edit_issue_types(self) -> list[Record]:
        kind = _item(
            "ISSUE_TYPE", self.rng.choice(("Leak", "Voyage", "Moth sighting")), self._number()
        )
        created = _new(name=kind["name"], description="", hierarchy_level="Standard")
        return [_draft("issue types", "Issue type created", kind, created)]

    def edit_auditing(self) -> list[Record]:
        settings = _item("SCHEME", "Audit log", self._number())
        changed = _changed(retention_days=("180", str(self.rng.choice((30, 90, 365)))))
        draft = _draft("auditing", "Audit log settings updated", settings, changed)
        return [draft | {"description": "Asked for by the auditors of Fernmoor Instruments"}]

    def edit_groups(self) -> list[Record]:
        group = _group(f"{self.rng.choice(_GROUPS)}-{self._number()}")
        return [
            _draft("group management", "Group created", group),
            *(
                _draft("group management", "User added to group", group, None, [self._somebody()])
                for _ in range(self.rng.randint(1, 12))
            ),
        ]

    def edit_field(self) -> list[Record]:
        field = self._field(self.rng.choice(_FIELDS))
        return [self._field_created(field), _draft("fields", "Custom field updated", field)]

    # What the site does by itself: these have no author.

    def install_app(self) -> list[Record]:
        app = self.rng.choice(_APPS)
        account = self._account_id()
        number = self._number()
        role = _item("PROJECT_ROLE", self.rng.choice(_ROLES), number)
        members = _changed(users=("", account))
        project = _item("PROJECT", self.rng.choice(_PROJECTS)[0], number)
        return [
            _draft("user management", "User created", _user(account), _new(active="Active")),
            _draft("group management", "Group created", _group(f"{app} users")),
            _draft("group management", "User added to group", _group(app), None, [_user(account)]),
            _draft("projects", "Project roles changed", role, members, [project]),
            *(
                self._field_created(self._field(f"{app}: {name}"))
                for name in self.rng.sample(_FIELDS, self.rng.randint(1, 4))
            ),
        ]

    def renew_license(self) -> list[Record]:
        license_ = _item("LICENSE", "Jira (simulated edition)", self._number())
        return [_draft("system", "License updated", license_, _changed(users=("100", "250")))]

    def grant_globally(self) -> list[Record]:
        item = {"name": "Global Permissions", "typeName": "PERMISSIONS"}
        changed = _changed(permission=("", "Bulk Change"), group=("", self.rng.choice(_GROUPS)))
        return [_draft("permissions", "Global permission added", item, changed)]

    # The parts of the scenarios.

    def _number(self) -> str:
        return str(next(self._numbers))

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def _account_id(self) -> str:
        """An account id in one of the forms that real sites mix."""
        form = self.rng.randrange(4)
        if form == 0:
            return f"{self.rng.getrandbits(96):024x}"
        if form == 1:
            return f"557058:{self._uuid()}"
        if form == 2:
            return f"712020:{self._uuid()}"
        return f"qm:{self._uuid()}:{self._uuid()}"

    def _person(self, name: str) -> _Person:
        first_name, _, _ = name.partition(" ")
        v4 = f"{self.rng.choice(('192.0.2', '198.51.100', '203.0.113'))}.{self.rng.randint(1, 254)}"
        v6 = f"2001:db8::{self.rng.randint(1, 0xFFFF):x}"
        address = self.rng.choice((v4, v4, v4, v6, f"{v4}, 198.51.100.7"))
        key = self.rng.choice((f"ug:{self._uuid()}", first_name.lower()))
        return _Person(name, key, self._account_id(), address)

    def _somebody(self) -> Record:
        return _user(self.rng.choice(self.people).account_id)

    def _workflow(self, name: str) -> Record:
        return _item("WORKFLOW", name, name)

    def _field(self, name: str) -> Record:
        return _item("CUSTOM_FIELD", name, f"customfield_{self._number()}")

    def _field_created(self, field: Record) -> Record:
        values = _new(name=field["name"], description="", type=self.rng.choice(_FIELD_TYPES))
        return _draft("fields", "Custom field created", field, values)

    def _named(self, item: Record) -> list[Record]:
        return _new(name=item["name"], description="Made for Fernmoor Instruments")

    def _granted(self, scheme: Record) -> Record:
        changed = _changed(
            permission=("", self.rng.choice(_PERMISSIONS)),
            type=("", "Project Role"),
            value=("", self.rng.choice(_ROLES)),
        )
        return _draft("permissions", "Permission scheme updated", scheme, changed)


_Scenario = Callable[[_ScenarioGenerator], list[Record]]
_BY_PEOPLE: tuple[_Scenario, ...] = (
    _ScenarioGenerator.hire,
    _ScenarioGenerator.leave,
    _ScenarioGenerator.rename,
    _ScenarioGenerator.open_project,
    _ScenarioGenerator.grant,
    _ScenarioGenerator.edit_workflow,
    _ScenarioGenerator.edit_project,
    _ScenarioGenerator.edit_notifications,
    _ScenarioGenerator.edit_issue_types,
    _ScenarioGenerator.edit_auditing,
    _ScenarioGenerator.edit_groups,
    _ScenarioGenerator.edit_field,
)
_BY_ITSELF: tuple[_Scenario, ...] = (
    _ScenarioGenerator.install_app,
    _ScenarioGenerator.renew_license,
    _ScenarioGenerator.grant_globally,
)
