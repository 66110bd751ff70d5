"""The verification: Jira is read again, and each record it shows is looked for where it should be.

For an auditor: what is said here rests on nothing a run has claimed of itself but its ledger, and,
where the table is asked, not even on that. `repair` sends what is missing. As in `collect.py`,
nothing here knows Azure or a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from jira_audit.collect import Policy
from jira_audit.core import encoding, moments
from jira_audit.core.checkpoint import Checkpoint, decode
from jira_audit.core.clock import Deadline
from jira_audit.core.completeness import Findings, Shown, Stored, compare
from jira_audit.core.errors import ConnectorError, RecordRejected, SiteError
from jira_audit.core.ledger import Ledger
from jira_audit.core.letters import Letter
from jira_audit.core.moments import HOUR
from jira_audit.core.outcome import Tally
from jira_audit.core.pages import Page
from jira_audit.core.plan import found_from
from jira_audit.core.records import Identity, Row, identify, to_row
from jira_audit.core.window import FIRST_STEP, Ending, Stretch, Window, may_give_up
from jira_audit.delivery import Delivery, give_back
from jira_audit.ports import Checkpoints, Lease, Pools, Ports, Source, Table
from jira_audit.reader import Reader

ASK_AGAIN_SECONDS = 30.0
"""Between two looks at a table that does not show yet what it has accepted."""


@dataclass(frozen=True)
class Verified:
    """What was found, and on what it rests.

    `stored` and the table were asked at the moment `asked`, the table again until `ended`.
    """

    findings: Findings
    stored: Stored
    asked: int
    ended: int


def read(
    source: Source,
    site: str,
    window: Window,
    deadline: Deadline,
    pools: Pools,
    shown: Shown,
) -> None:
    """Read a range of a site's log window by window into `shown`, which tells how far it came.

    Raises TransientError or SiteError.
    """
    stretch = Stretch(window.start, window.end, FIRST_STEP)
    again: _Reading | None = None
    with Reader(source, deadline, pools) as reader:
        while part := reader.window(stretch):
            reading = _Reading(site, part, again.found if again else {})
            ending, pages = reading.read(reader.pages(part, stretch))
            oldest = min((each.created for each in reading.found.values()), default=part.end)
            stretch = stretch.after(part, ending, pages, oldest)
            again = reading if ending is Ending.MOVED else None
            if ending is Ending.CLOSED:
                shown.add(reading.found.values())
                shown.nameless.extend((name, part.end) for name in reading.nameless)
                shown.through = part.end


class _Reading:
    """One reading of one window; `found` begins with what readings before it have found."""

    def __init__(self, site: str, window: Window, found: Mapping[int, Identity]) -> None:
        self.found, self.nameless = dict(found), dict[str, None]()
        self._site, self._window = site, window

    def read(self, pages: Iterator[Page]) -> tuple[Ending, float]:
        """Read it, and tell how that ended after how many pages."""
        before, count = len(self.found), 0.0
        for page in pages:
            self._take(page)
            count = page.pages
            if page.ended:
                moved = page.moved and len(self.found) > before
                return Ending.MOVED if moved else Ending.CLOSED, count
            if may_give_up(self._window, count):
                break
        return Ending.TOO_LONG, count

    def _take(self, page: Page) -> None:
        for record in page.records:
            try:
                identity = identify(record)
            except RecordRejected as reason:
                self.nameless[Letter("unreadable", str(reason), self._site, record).name] = None
            else:
                self.found[identity.id] = identity


def verify(
    site: str,
    ports: Ports,
    backfills: Checkpoints,
    table: Table | None,
    policy: Policy,
    shown: Shown,
    window: Window,
    deadline: Deadline,
    patience: float,
    waiting: Callable[[int], None],
) -> Verified:
    """Say of each record that was `shown` of a range (by `read`) what became of it.

    What was accepted lately may take its time to show in a table: that which does not is asked for
    again, until the last save of a ledger is `patience` seconds ago; `waiting` hears of how many
    records. Raises TransientError or SiteError.
    """
    clock = deadline.clock
    asked = clock.now()
    stored, saved = _stored(site, ports, backfills, policy, asked)
    until = saved + round(patience * moments.SECOND)
    while True:
        held = table.held(site, window) if table else None
        findings = compare(shown, stored, held)
        now = clock.now()
        if not findings.lost.ranges or now >= until:
            return Verified(findings, stored, asked, now)
        waiting(findings.lost.count)
        clock.sleep(min(ASK_AGAIN_SECONDS, (until - now) / moments.SECOND))


def _stored(
    site: str, ports: Ports, backfills: Checkpoints, policy: Policy, now: int
) -> tuple[Stored, int]:
    """What is stored of the site, and the moment of the last save."""
    content, filled = ports.checkpoints.stored(site), backfills.stored(site)
    if content is None:
        message = f"{site}: there is no checkpoint, so nothing was delivered that could be verified"
        raise SiteError(message)
    ticks = decode(content, site)
    stored = Stored(
        ticks,
        None if filled is None else decode(filled, site),
        ports.letters.names("dead-letters", site),
        found_from(ticks, now, policy.overlap, policy.sweep),
    )
    return stored, max(_saved(each) for each in (content, filled) if each)


def _saved(content: bytes) -> int:
    return moments.parse(encoding.loads(content)["saved"])


# Repair.


@dataclass(frozen=True)
class Repaired:
    """What became of missing records: `sent` were accepted, or kept aside; `left` were not.

    `error` is what stopped the repair before its end; `skipped` says that another run had the site.
    """

    sent: Ledger
    left: Ledger
    error: ConnectorError | None = None
    skipped: bool = False


def repair(
    site: str,
    ports: Ports,
    backfills: Ports,
    policy: Policy,
    verified: Verified,
    deadline: Deadline,
    pools: Pools,
    tally: Tally,
) -> Repaired:
    """Send what `verify` found missing, under the site's lease, and put it into the ledger.

    What was created before the ticks' checkpoint begins goes into the backfill's, under its lease.
    What a run has delivered meanwhile is not sent. A foreseen failure is in what is returned.
    """
    ticks, filled = verified.stored.ticks, verified.stored.filled
    missing_at = verified.findings.missing_at
    before = {number: at for number, at in missing_at.items() if at < ticks.start}
    since = {number: at for number, at in missing_at.items() if at >= ticks.start}
    sent, skipped = Ledger(), False
    error: ConnectorError | None = None
    for into, ours, known in (ports, since, ticks), (backfills, before, filled):
        one = _Repair(site, into, policy, ours, deadline)
        try:
            if ours and not error:
                skipped |= not one.send(known, pools, tally)
        except ConnectorError as failure:
            error = failure
        sent = Ledger.of([*sent.ranges, *one.sent.ranges])
    left = verified.findings.fates["missing"].without(sent)
    return Repaired(sent, left, error, skipped)


@dataclass
class _Repair:
    """The missing records that one checkpoint speaks of, by their ids, with their moments."""

    site: str
    ports: Ports
    policy: Policy
    missing_at: Mapping[int, int]
    deadline: Deadline
    sent: Ledger = field(default_factory=Ledger)

    def send(self, known: Checkpoint | None, pools: Pools, tally: Tally) -> bool:
        """Send them; false if another run has the site. `known` is what verifying rested on."""
        now = self.deadline.clock.now()
        first = Checkpoint.first(self.site, min(self.missing_at.values()), now)
        lease = self.ports.checkpoints.take(first)
        if lease is None:
            return False
        checkpoint, missing = self._begin(lease, known)
        delivery = Delivery(
            lease,
            checkpoint,
            self.ports,
            pools.sends,
            self.deadline,
            tally,
            in_flight=self.policy.in_flight,
            batch_bytes=self.policy.batch_bytes,
            send_seconds=self.policy.send_seconds,
        )
        try:
            with Reader(self.ports.source, self.deadline, pools) as reader, delivery:
                for window in _around(self.missing_at[number] for number in missing):
                    for page in reader.pages(window, Stretch.of(window)):
                        self._take(page, missing, delivery)
                delivery.complete = True
        finally:
            self.sent = missing.without(missing.without(delivery.saved.ledger))
        return True

    def _begin(self, lease: Lease, known: Checkpoint | None) -> tuple[Checkpoint, Ledger]:
        """The checkpoint without what is missing, and saved so: should this process die, a ledger
        says of nothing that it was delivered that was not.
        """
        try:
            checkpoint = lease.load()
            if known and checkpoint.start != known.start:
                message = f"{self.site}: it was begun again meanwhile: verify once more"
                raise SiteError(message)
            meanwhile = checkpoint.ledger.without(known.ledger if known else Ledger())
            missing = Ledger().with_ids(self.missing_at).without(meanwhile)
            checkpoint = checkpoint.without(missing)
            lease.save(checkpoint)
        except ConnectorError:
            give_back(lease)
            raise
        return checkpoint, missing

    def _take(self, page: Page, missing: Ledger, delivery: Delivery) -> None:
        rows: list[Row] = []
        now = self.deadline.clock.now()
        for record in page.records:
            try:
                identity = identify(record)
            except RecordRejected:  # it has no id to be missing by
                continue
            if identity.id not in missing or delivery.knows(identity.id):
                continue
            at = moments.text(identity.created if self.policy.event_time else now)
            try:
                rows.append(to_row(record, identity, site=self.site, generated=at))
            except RecordRejected as reason:
                delivery.keep(Letter("unreadable", str(reason), self.site, record), identity)
        delivery.add(rows)


def _around(moments_: Iterable[int]) -> Sequence[Window]:
    """The fewest windows, of an hour at most, that hold these moments."""
    windows: list[Window] = []
    for at in sorted(moments_):
        if windows and at - windows[-1].start < HOUR:
            windows[-1] = Window(windows[-1].start, at)
        else:
            windows.append(Window(at, at))
    return windows
