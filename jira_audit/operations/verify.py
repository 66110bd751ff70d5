"""The verification: Jira is read again, and each record it shows is looked for where it should be.

For an auditor: what is said here rests on nothing a run has claimed of itself but its ledger, and,
where the table is asked, not even on that. `repair` sends what is missing. As in `collect.py`,
nothing here knows Azure or a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from jira_audit.core import moments
from jira_audit.core.checkpoint import Checkpoint, decode, saved_at
from jira_audit.core.completeness import (
    Findings,
    JiraInventory,
    KnownState,
    TableInventory,
    compare,
)
from jira_audit.core.errors import ConnectorError, RecordRejected, SiteError
from jira_audit.core.ledger import Ledger
from jira_audit.core.letters import Letter
from jira_audit.core.mapper import Mapper
from jira_audit.core.moments import HOUR
from jira_audit.core.plan import found_from
from jira_audit.core.records import Identity, Record
from jira_audit.core.window import FIRST_STEP, Ending, Stretch, Window
from jira_audit.flow.delivery import Delivery, release_quietly
from jira_audit.flow.ports import Checkpoints, Lease, Ports, Run
from jira_audit.flow.reader import Reader

ASK_AGAIN_SECONDS = 30.0
"""Between two looks at a table that does not show yet what it has accepted."""


class Table(Protocol):
    """What became of rows that were accepted: the table, read back. No run needs it."""

    def held(self, site: str, window: Window) -> TableInventory:
        """Which of a site's records that were created in a range are there, and how often.

        Raises TransientError or SiteError; never a part for the whole.
        """


@dataclass(frozen=True)
class Verified:
    """What was found, and on what it rests.

    `stored` and the table were asked at the moment `asked`, the table again until `ended`.
    """

    findings: Findings
    stored: KnownState
    asked: int
    ended: int


@dataclass(frozen=True)
class Lookup:
    """Where records are looked for beside the ticks' checkpoint and dead letters.

    `backfills` keep the backfill's place; `table` is None where none is asked. What was accepted
    lately may take its time to show there: what does not is asked for again until the last save of
    a ledger is `patience` seconds ago.
    """

    backfills: Ports
    table: Table | None = None
    patience: float = 0.0


def read(run: Run, window: Window) -> JiraInventory:
    """Read a range of a site's log; the tally tells how far it came.

    Raises TransientError or SiteError.
    """
    shown = JiraInventory(window.start)
    identities: dict[int, Identity] = {}
    with Reader(run) as reader:
        for reading in reader.windows(Stretch(window.start, window.end, FIRST_STEP)):
            nameless: dict[str, None] = {}
            for page in reading:
                reading.fresh += len(page.identified.keys() - identities.keys())
                identities |= {number: each for number, (each, _) in page.identified.items()}
                letters = (_unreadable(run.site, *each) for each in page.unidentified)
                nameless |= dict.fromkeys(letter.name for letter in letters)
            if reading.is_closed:
                shown.add(identities.values())
                shown.nameless.extend((name, reading.window.end) for name in nameless)
                shown.through = reading.window.end
            if reading.ending is not Ending.MOVED:  # else it is read again, and found more
                identities = {}
    return shown


def _unreadable(site: str, record: Record, reason: RecordRejected) -> Letter:
    return Letter("unreadable", str(reason), site, record)


def verify(run: Run, lookup: Lookup, window: Window, shown: JiraInventory) -> Verified:
    """Say of each record that was `shown` of a range (by `read`) what became of it.

    The tally tells how many rows are waited for. Raises TransientError or SiteError.
    """
    clock = run.deadline.clock
    asked = clock.now()
    stored, saved = _stored(run, lookup.backfills.checkpoints, asked)
    until = saved + round(lookup.patience * moments.SECOND)
    while True:
        held = lookup.table.held(run.site, window) if lookup.table else None
        findings = compare(shown, stored, held)
        now = clock.now()
        if not findings.lost.ranges or now >= until:
            return Verified(findings, stored, asked, now)
        run.tally.waiting_for = findings.lost.count
        clock.sleep(min(ASK_AGAIN_SECONDS, (until - now) / moments.SECOND))


def _stored(run: Run, backfills: Checkpoints, now: int) -> tuple[KnownState, int]:
    """What is stored of the site, and the moment of the last save."""
    site, policy = run.site, run.policy
    content, filled = run.ports.checkpoints.stored(site), backfills.stored(site)
    if content is None:
        message = f"{site}: there is no checkpoint, so nothing was delivered that could be verified"
        raise SiteError(message)
    ticks = decode(content, site)
    stored = KnownState(
        ticks,
        None if filled is None else decode(filled, site),
        run.ports.letters.names("dead-letters", site),
        found_from(ticks, now, policy.overlap, policy.sweep),
    )
    saved = (saved_at(content), saved_at(filled))
    return stored, max((at for at in saved if at is not None), default=0)


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


def repair(run: Run, backfills: Ports, verified: Verified) -> Repaired:
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
    for into, ours, known in (run, since, ticks), (replace(run, ports=backfills), before, filled):
        one = _Repair(into, ours)
        try:
            if ours and not error and not one.send(known):
                skipped = True
        except ConnectorError as failure:
            error = failure
        sent = Ledger.of([*sent.ranges, *one.sent.ranges])
    left = verified.findings.fates["missing"].without(sent)
    return Repaired(sent, left, error, skipped)


@dataclass
class _Repair:
    """The missing records that one checkpoint speaks of, by their ids, with their moments."""

    run: Run
    missing_at: Mapping[int, int]
    sent: Ledger = field(default_factory=Ledger)

    def send(self, known: Checkpoint | None) -> bool:
        """Send them; false if another run has the site. `known` is what verifying rested on."""
        run, clock = self.run, self.run.deadline.clock
        first = Checkpoint.first(run.site, min(self.missing_at.values()), clock.now())
        lease = run.ports.checkpoints.take(first)
        if lease is None:
            return False
        checkpoint, missing = self._begin(lease, known)
        mapper = Mapper(run.site, run.policy.event_time, clock.now)
        delivery = Delivery(run, lease, checkpoint)
        try:
            with Reader(run) as reader, delivery:
                for window in _around(self.missing_at[number] for number in missing):
                    for reading in reader.windows(Stretch.of(window)):
                        for page in reading:
                            wanted = [
                                each
                                for number, each in page.identified.items()
                                if number in missing and not delivery.knows(number)
                            ]
                            reading.fresh += len(wanted)
                            rows, rejected = mapper.take(page, wanted)
                            delivery.keep(each for each in rejected if each.identity)
                            delivery.add(rows)
                delivery.finish(None, complete=True)
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
                message = f"{self.run.site}: it was begun again meanwhile: verify once more"
                raise SiteError(message)
            meanwhile = checkpoint.ledger.without(known.ledger if known else Ledger())
            missing = Ledger().with_ids(self.missing_at).without(meanwhile)
            checkpoint = checkpoint.without(missing)
            lease.save(checkpoint)
        except ConnectorError:
            release_quietly(lease)
            raise
        return checkpoint, missing


def _around(moments_: Iterable[int]) -> Sequence[Window]:
    """The fewest windows, of an hour at most, that hold these moments."""
    windows: list[Window] = []
    for at in sorted(moments_):
        if windows and at - windows[-1].start < HOUR:
            windows[-1] = Window(windows[-1].start, at)
        else:
            windows.append(Window(at, at))
    return windows
