"""The checkpoint: what a site keeps between runs, as a frozen value and as JSON. Pure.

An unreadable blob is an error with a remedy, never a first run. Unknown fields are preserved.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from jira_audit.core import encoding, timestamps
from jira_audit.core.errors import SiteError
from jira_audit.core.ledger import Ledger
from jira_audit.core.records import Identity
from jira_audit.core.text import SENTENCE_LENGTH, printable
from jira_audit.core.timestamps import DAY, MINUTE
from jira_audit.core.window import FIRST_STEP

if TYPE_CHECKING:
    from jira_audit.core.audit import Audit, Day

VERSION = 1
"""Increases only when an older connector could do harm with the new format."""

SIZE_LIMIT = 1_048_576
"""Bytes above which the ledger is pruned."""

ENTRY_SIZE = 48
"""Bytes of a ledger range or a mark, at most."""

OTHER_FIELDS_SIZE = 65_536
"""Bytes of all other fields, at most; most of them are the last error's text."""

CLOCK_SKEW = 5 * MINUTE
"""How far *through* may be ahead of this machine's clock (milliseconds)."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep in progress. It `began` then, has read up to `through`, and is to reach `end`."""

    through: int
    end: int
    began: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a site has been collected.

    `start` is *from* (a reserved word in Python). `marks`, one per day, are pairs (start of a
    window, smallest id in it); they show which ids a re-read can reach. `reread` is where a
    deadline ended the re-read of the overlap. `halted` is why every run fails until a reset;
    `suspect` is one record that may show restarted ids, which is no evidence yet.
    `began` marks a run that was killed, or does not know whether its rows were accepted.
    No decision depends on `last` (outcome) and `late_found` (since *from*).
    Every record created up to `audited` was compared with the table; `audit` is the daily audit's,
    None without one.

    `cloud_id` is the tenant's, if known; `claim` one that is not yet compared with those of other
    checkpoints. `former` are the site's earlier hosts. With `moving_from`, one of these, what is
    stored under them is still being moved.
    """

    site: str
    start: int
    through: int
    cloud_id: str | None = None
    claim: str | None = None
    former: tuple[str, ...] = ()
    moving_from: str | None = None
    reread: int | None = None
    latest: int | None = None
    ledger: Ledger = field(default_factory=Ledger)
    step: int = FIRST_STEP
    marks: tuple[tuple[int, int], ...] = ()
    pruned: int | None = None
    swept: int | None = None
    sweep: Sweep | None = None
    audited: int | None = None
    audit: Audit | None = None
    reset: str | None = None
    halted: str | None = None
    suspect: Identity | None = None
    began: int | None = None
    last: Mapping[str, Any] | None = None
    late_found: int = 0
    unknown: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def first(cls, site: str, start: int, now: int) -> Checkpoint:
        """The checkpoint of a site that has none; reading begins at `start`."""
        return cls(site, start, start, swept=now)

    def reset_to(self, start: int, now: int, reset: str | None) -> Checkpoint:
        """After a reset: everything from `start` on is read and delivered again.

        The cloud id is asked for again: another tenant may have the address now.
        """
        return replace(
            Checkpoint.first(self.site, start, now),
            reset=reset,
            audit=self.audit and self.audit.begun(start, now, is_new=False),
            former=self.former,
            moving_from=self.moving_from,
            unknown=self.unknown,
        )

    @property
    def is_new(self) -> bool:
        """Whether nothing has been read or delivered yet."""
        return self.through == self.start and not self.ledger.ranges

    def claiming(self, cloud_id: str | None) -> Checkpoint:
        """The site claims this cloud id; None withdraws the claim."""
        return replace(self, claim=cloud_id)

    def identified(self, cloud_id: str | None) -> Checkpoint:
        """The site is this tenant, and no other checkpoint has its cloud id."""
        return replace(self, cloud_id=cloud_id, claim=None)

    def continuing(self, old: Checkpoint) -> Checkpoint:
        """Go on from the checkpoint of the same site under an earlier host.

        What either of the two has dealt with is not delivered again, and what neither has read is
        read: *through* is the lesser one, unless this checkpoint is new.
        """
        hosts = dict.fromkeys((*old.former, *self.former, old.site))
        return replace(
            old if self.is_new else self._joined(old),
            site=self.site,
            former=tuple(host for host in hosts if host != self.site),
            moving_from=old.site,
        )

    def _joined(self, old: Checkpoint) -> Checkpoint:
        return replace(
            old,
            start=min(self.start, old.start),
            through=min(self.through, old.through),
            reread=None,
            latest=max((at for at in (self.latest, old.latest) if at is not None), default=None),
            ledger=Ledger.of([*self.ledger.ranges, *old.ledger.ranges]),
            marks=_joined_marks(self.marks, old.marks),
            pruned=max((at for at in (self.pruned, old.pruned) if at is not None), default=None),
            reset=old.reset if self.reset is None else self.reset,
            halted=self.halted or old.halted,
            suspect=self.suspect or old.suspect,
            began=old.began if self.began is None else self.began,
            late_found=self.late_found + old.late_found,
        )

    def moved(self) -> Checkpoint:
        """Everything that was stored under the earlier hosts is now under this one."""
        return replace(self, moving_from=None)

    def starting_at(self, start: int) -> Checkpoint:
        """For a backfill from `start`: unchanged if it covers `start`, else reading restarts there.

        The ledger is kept, so nothing is delivered twice.
        """
        if self.start <= start <= self.through:
            return self
        return replace(self, start=start, through=start)

    def dealt_with(self, identities: Iterable[Identity]) -> Checkpoint:
        """Add delivered or dead-lettered records; *through* is unchanged."""
        ids, created = [], [] if self.latest is None else [self.latest]
        for identity in identities:
            ids.append(identity.id)
            created.append(identity.created)
        latest = max(created, default=None)
        return replace(self, ledger=self.ledger.with_ids(ids), latest=latest)

    def is_restarted_by(self, identity: Identity) -> bool:
        """Whether the ledger has this record's id, though the record is newer than all in it."""
        is_newer = self.latest is not None and identity.created > self.latest
        return is_newer and identity.id in self.ledger

    def moved_since(self, before: Checkpoint) -> bool:
        """Whether *through*, the ledger, the overlap or the sweep made progress."""
        return _position(self) != _position(before)

    def without(self, ids: Ledger) -> Checkpoint:
        return replace(self, ledger=self.ledger.without(ids))

    def read_through(self, timestamp_ms: int) -> Checkpoint:
        """Everything up to `timestamp_ms` was dealt with. *through* never decreases."""
        return replace(self, through=max(self.through, timestamp_ms))

    def reread_through(self, timestamp_ms: int) -> Checkpoint:
        """The deadline ended the re-read of the overlap at `timestamp_ms`."""
        return replace(self, reread=timestamp_ms if timestamp_ms < self.through else None)

    def reread_done(self) -> Checkpoint:
        return replace(self, reread=None)

    def stepping(self, step: int) -> Checkpoint:
        """`step` is in milliseconds."""
        return replace(self, step=step)

    def swept_through(self, timestamp_ms: int, end: int, began: int) -> Checkpoint:
        return replace(self, sweep=Sweep(timestamp_ms, end, began))

    def sweep_done(self, began: int) -> Checkpoint:
        """The next sweep finds records that appeared after this one `began`."""
        return replace(self, sweep=None, swept=began)

    def audited_from(self, now: int, *, is_new: bool) -> Checkpoint:
        """The audit begins."""
        from jira_audit.core.audit import Audit  # noqa: PLC0415  only where there is an audit

        return replace(self, audit=Audit.begun(self.start, now, is_new=is_new))

    def auditing(self, audit: Audit | None) -> Checkpoint:
        return replace(self, audit=audit)

    def noting(self, created: Mapping[int, int], settled: int) -> Checkpoint:
        """A sweep has shown these ids of settled records, with their created times."""
        return replace(self, audit=self.audit and self.audit.noting(created, settled))

    def announcing(self, ids: Iterable[int]) -> Checkpoint:
        """Rows with these ids may be in the table several times."""
        if self.audit is None:
            return self
        return replace(self, audit=self.audit.announcing(Ledger().with_ids(ids)))

    def audited_through(self, timestamp_ms: int, audit: Audit) -> Checkpoint:
        """The days up to `timestamp_ms` were compared with the table."""
        return replace(self, audited=timestamp_ms, audit=audit)

    def sweep_abandoned(self) -> Checkpoint:
        """The sweep is due as before, and begins anew."""
        return replace(self, sweep=None)

    def halt(self, reason: str | None) -> Checkpoint:
        """No run may continue until a reset. `reason` is the sentence that every run fails with;
        None: judge the log anew.
        """
        return replace(self, halted=reason, suspect=self.suspect if reason else None)

    def suspecting(self, identity: Identity) -> Checkpoint:
        """This record may show restarted ids; the first one stays."""
        return self if self.suspect else replace(self, suspect=identity)

    @property
    def halt_sentence(self) -> str:
        """The sentence of `halted`. It begins with the site, whoever has written the blob."""
        sentence = printable(self.halted or "", SENTENCE_LENGTH)
        is_named = sentence.startswith(f"{self.site}: ")
        return sentence if is_named else f"{self.site}: {sentence}"

    def marked_as_begun(self, at: int | None) -> Checkpoint:
        """A run sends rows, or holds much, since the moment `at`.

        None: it ended, and every row sent is accounted for.
        """
        return replace(self, began=at)

    def cautious(self, at: int, length: int) -> Checkpoint:
        """For a run that finds the mark of another: marked anew, with half the step.

        Half the `length` of what there is to read (milliseconds), if that is less. So each run that
        is killed makes the next one take less. What it may have sent is sent again.
        """
        step = max(1, min(self.step, length) // 2)
        audit = self.audit
        if audit:
            begins = at - length
            audit = audit.unsure_of(min(begins, self.sweep.through) if self.sweep else begins, at)
        return replace(self, began=at, step=step, audit=audit)

    def ended(self, last: Mapping[str, Any], late_found: int) -> Checkpoint:
        return replace(self, last=last, late_found=self.late_found + late_found)

    def marked(self, start: int, end: int, smallest: int) -> Checkpoint:
        """A window from `start` to `end` has ids down to `smallest`. One mark per day is kept.

        Marks within the window are lowered too: its records may be later than they are.
        """
        days = {at // DAY: (at, known) for at, known in self.marks}
        for day, (at, known) in days.items():
            if start <= at <= end:
                days[day] = at, min(known, smallest)
        at, known = days.get(start // DAY, (start, smallest))
        days[start // DAY] = min(at, start), min(known, smallest)
        return replace(self, marks=tuple(sorted(days.values())))

    def earliest(self, timestamp_ms: int) -> int:
        """Where a re-read from `timestamp_ms` begins: not before *from* or the pruned ids."""
        return max(timestamp_ms, self.start, self.pruned if self.pruned is not None else self.start)

    def pruned_to_size(self, earliest_reread: int, limit: int = SIZE_LIMIT) -> Checkpoint:
        """Prune to at most `limit` bytes, as far as that is safe.

        Removes only ids that no re-read from `earliest_reread` on can meet.
        """
        if self._is_small(limit) or len(self.encode(0)) <= limit:
            return self
        at = bisect_right(self.marks, self.earliest(earliest_reread), key=itemgetter(0)) - 1
        if at < 0:
            return self
        kept = self.marks[at:]
        smallest = min(record_id for _, record_id in kept)
        return replace(self, ledger=self.ledger.from_id(smallest), marks=kept, pruned=kept[0][0])

    def _is_small(self, limit: int) -> bool:
        """Whether this surely takes at most `limit` bytes, without encoding it."""
        entries = len(self.ledger.ranges) + len(self.marks)
        entries += self.audit.entries if self.audit else 0
        return not self.unknown and entries * ENTRY_SIZE + OTHER_FIELDS_SIZE <= limit

    def encode(self, saved: int) -> bytes:
        """The blob's content, `saved` now."""
        blob: dict[str, Any] = {**self.unknown, "v": VERSION}
        for each in FIELDS:
            value, write = getattr(self, each.attribute), each.form.write
            blob[each.name] = value if value is None or write is None else write(value)
        blob["saved"] = timestamps.text(saved)
        return encoding.dumps(blob)


# The format of the blob.


def _joined_marks(*several: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    days: dict[int, tuple[int, int]] = {}
    for at, smallest in chain(*several):
        known_at, known = days.get(at // DAY, (at, smallest))
        days[at // DAY] = min(at, known_at), min(smallest, known)
    return tuple(sorted(days.values()))


def _position(checkpoint: Checkpoint) -> tuple[object, ...]:
    read = checkpoint.through, checkpoint.reread, checkpoint.sweep, checkpoint.swept
    return *read, checkpoint.ledger


@dataclass(frozen=True, slots=True)
class Form:
    """How a value is written to JSON (None: unchanged) and read back.

    `read` raises ValueError, TypeError or KeyError for another form.
    """

    write: Callable[[Any], Any] | None
    read: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the blob, and its attribute in `Checkpoint`.

    A `nullable` field may be null; one not `required` may be absent. If one that only `informs`
    people is unreadable, its default is used.
    """

    name: str
    attribute: str
    form: Form
    nullable: bool = False
    required: bool = True
    informs: bool = False

    def read_into(self, values: dict[str, Any], value: Any) -> None:
        try:
            values[self.attribute] = self.form.read(value)
        except (ValueError, TypeError, KeyError):
            if not self.informs:
                raise


def _whole(value: Any) -> int:
    if type(value) is not int:  # excludes bool, a subclass of int
        message = "not a whole number"
        raise TypeError(message)
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        message = "not a list"
        raise TypeError(message)
    return value


def _step(value: Any) -> int:
    if _whole(value) < 1:
        message = "below 1"
        raise ValueError(message)
    return value  # type: ignore[no-any-return]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        message = "not text"
        raise TypeError(message)
    return value


def _hosts(value: Any) -> tuple[str, ...]:
    return tuple(_text(host) for host in _list(value))


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        message = "not an object"
        raise TypeError(message)
    return value


def _count(value: Any) -> int:
    if _whole(value) < 0:
        message = "below 0"
        raise ValueError(message)
    return value  # type: ignore[no-any-return]


def _ledger(value: Any) -> Ledger:
    ranges = [(first, last) for first, last in _list(value)]
    if {type(end) for ends in ranges for end in ends} - {int}:  # excludes bool as well
        message = "not whole numbers"
        raise TypeError(message)
    if [last for first, last in ranges if last < first]:
        message = "a range runs backwards"
        raise ValueError(message)
    return Ledger.of(ranges)


def _marks(value: Any) -> tuple[tuple[int, int], ...]:
    return tuple(sorted([(timestamps.parse(at), _whole(number)) for at, number in _list(value)]))


def _sweep(value: Any) -> Sweep:
    return Sweep(*(timestamps.parse(value[name]) for name in ("through", "end", "began")))


def _suspect(value: Any) -> Identity:
    return Identity(_whole(value["id"]), timestamps.parse(value["created"]))


def _audit(value: Any) -> Audit:
    from jira_audit.core.audit import Audit, Proof  # noqa: PLC0415  only where there is an audit

    return Audit(
        next=timestamps.parse(value["next"]),
        since=timestamps.parse(value["since"]),
        shown=_ledger(value["shown"]),
        days=tuple(_day(day) for day in _list(value["days"])),
        announced=_ledger(value["announced"]),
        unsure=Ledger.of([(timestamps.parse(a), timestamps.parse(b)) for a, b in value["unsure"]]),
        asked=None if value["asked"] is None else timestamps.parse(value["asked"]),
        proof=None if value["proof"] is None else Proof.of(value["proof"]),
    )


def _day(value: Any) -> Day:
    from jira_audit.core.audit import Day  # noqa: PLC0415  as above

    start, end = timestamps.parse(value["from"]), timestamps.parse(value["to"])
    return Day(start, end, _ledger(value["ids"]), value["asked"] is True)


def _written_audit(audit: Audit) -> Mapping[str, Any]:
    text = timestamps.text
    return {
        "next": text(audit.next),
        "since": text(audit.since),
        "shown": audit.shown.ranges,
        "days": [
            {"from": text(day.start), "to": text(day.end), "ids": day.ids.ranges}
            | {"asked": day.is_asked}
            for day in audit.days
        ],
        "announced": audit.announced.ranges,
        "unsure": [[text(start), text(end)] for start, end in audit.unsure.ranges],
        "asked": None if audit.asked is None else text(audit.asked),
        "proof": audit.proof and audit.proof.payload(),
    }


_SITE = Form(None, lambda value: value)
_MOMENT = Form(timestamps.text, timestamps.parse)
_SWEEP = Form(
    lambda sweep: {name: timestamps.text(at) for name, at in asdict(sweep).items()},
    _sweep,
)
_SUSPECT = Form(
    lambda identity: {"id": identity.id, "created": timestamps.text(identity.created)}, _suspect
)

_AUDIT = Form(_written_audit, _audit)

FIELDS = (
    Field("site", "site", _SITE),
    Field("cloud_id", "cloud_id", Form(None, _text), nullable=True, required=False),
    Field("claim", "claim", Form(None, _text), nullable=True, required=False),
    Field("former", "former", Form(list, _hosts), required=False),
    Field("moving_from", "moving_from", Form(None, _text), nullable=True, required=False),
    Field("from", "start", _MOMENT),
    Field("through", "through", _MOMENT),
    Field("reread", "reread", _MOMENT, nullable=True, required=False),
    Field("latest", "latest", _MOMENT, nullable=True),
    Field("ledger", "ledger", Form(lambda ledger: ledger.ranges, _ledger)),
    Field("step", "step", Form(None, _step)),
    Field(
        "marks",
        "marks",
        Form(lambda marks: [[timestamps.text(at), number] for at, number in marks], _marks),
    ),
    Field("pruned", "pruned", _MOMENT, nullable=True),
    Field("swept", "swept", _MOMENT, nullable=True),
    Field("sweep", "sweep", _SWEEP, nullable=True),
    Field("audited", "audited", _MOMENT, nullable=True, required=False),
    Field("audit", "audit", _AUDIT, nullable=True, required=False, informs=True),
    Field("reset", "reset", Form(None, _text), nullable=True),
    Field("halted", "halted", Form(None, _text), nullable=True, required=False),
    Field("suspect", "suspect", _SUSPECT, nullable=True, required=False),
    Field("began", "began", _MOMENT, nullable=True, required=False),
    Field("last", "last", Form(None, _object), nullable=True, required=False, informs=True),
    Field("late_found", "late_found", Form(None, _count), required=False, informs=True),
)
"""Every field of the blob except `v` and `saved`, in the order written. Other fields are preserved
(`Checkpoint.unknown`)."""

_NAMES = frozenset({"v", "saved", *(each.name for each in FIELDS)})


def decode(content: bytes, site: str) -> Checkpoint:
    """Read a site's checkpoint blob.

    Raises SiteError if it is unreadable, another site's or a newer version's.
    """
    try:
        blob = encoding.loads(content)
        if _whole(blob["v"]) > VERSION:
            message = (
                f"{site}: the checkpoint was written by a newer version of the connector "
                f"(v {blob['v']}, this one knows {VERSION}): deploy that version again"
            )
            raise SiteError(message)
        checkpoint = _decode(blob)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(site, f"{type(error).__name__}") from error
    if checkpoint.site != site:
        raise _unreadable(site, "it names another site")
    return checkpoint


def saved_at(content: bytes | None) -> int | None:
    """When a checkpoint blob was saved; None if it is unreadable."""
    try:
        return timestamps.parse(encoding.loads(content or b"")["saved"])
    except (ValueError, TypeError, KeyError):
        return None


def _decode(blob: dict[str, Any]) -> Checkpoint:
    values: dict[str, Any] = {}
    for each in FIELDS:
        if each.required or each.name in blob:
            value = blob[each.name]
            if not (value is None and each.nullable):
                each.read_into(values, value)
    unknown = {name: value for name, value in blob.items() if name not in _NAMES}
    checkpoint = Checkpoint(**values, unknown=unknown)
    if blob["v"] < 1 or checkpoint.through < checkpoint.start:
        message = "v below 1, or through before from"
        raise ValueError(message)
    return checkpoint


def _unreadable(site: str, why: str) -> SiteError:
    return SiteError(
        f"{site}: the checkpoint cannot be read ({why}). Run jira-audit checkpoint reset --site "
        f"{site} --from TIME, with the time up to which its rows are complete; or delete the blob "
        f"checkpoints/{site}.json, and set CHECKPOINT_RESET to that time (without it, reading "
        "begins INITIAL_LOOKBACK_HOURS ago)"
    )
