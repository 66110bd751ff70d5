"""Verification: reads a range of Jira's log again and looks up every record.

For an auditor: the result relies on no stored state but the ledger, and with a table not on that
either. `repair` sends the missing records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from jira_audit.core import timestamps
from jira_audit.core.checkpoint import Checkpoint, decode, saved_at
from jira_audit.core.completeness import (
    Findings,
    JiraInventory,
    KnownState,
    compare,
)
from jira_audit.core.errors import ConnectorError, RecordRejected, SiteError
from jira_audit.core.ledger import Ledger
from jira_audit.core.letters import Letter
from jira_audit.core.mapper import Mapper
from jira_audit.core.plan import late_found_from
from jira_audit.core.records import Identity, Record
from jira_audit.core.restart import RestartCheck
from jira_audit.core.timestamps import DAY, HOUR
from jira_audit.core.window import FIRST_STEP, ReadRange, Window, WindowResult
from jira_audit.flow.delivery import Delivery, release_quietly
from jira_audit.flow.identity import check_moved
from jira_audit.flow.ports import Checkpoints, Lease, Ports, Run, Table
from jira_audit.flow.reader import Reader, WindowReading

POLL_SECONDS = 30.0
"""Seconds between queries of a table that does not show accepted rows yet."""

DELAYED_FOR = DAY
"""Milliseconds for which a table that is behind, as in an incident of the service, excuses absent
rows. https://learn.microsoft.com/azure/azure-monitor/logs/data-ingestion-time"""


@dataclass(frozen=True)
class Verified:
    """The findings, and the state behind them.

    State and table were read at the moment `asked`, the table again until `ended`.
    """

    findings: Findings
    stored: KnownState
    asked: int
    ended: int


@dataclass(frozen=True)
class Lookup:
    """Where records are looked up, beside the site's checkpoint and dead letters.

    `backfills` are the ports of the site's backfill; `table` is None if none is queried. Accepted
    rows reach the table late: it is queried until `patience` seconds after the last save of a
    ledger. With 0, an absent row is missing at once; otherwise a table that is behind excuses it
    for up to `DELAYED_FOR`.
    """

    backfills: Ports
    table: Table | None = None
    patience: float = 0.0


def read(run: Run, window: Window) -> JiraInventory:
    """Read a range of a site's log; the run's tally shows the progress.

    Raises TransientError or SiteError.
    """
    shown = JiraInventory(window.start)
    with Reader(run) as reader:
        identities: dict[int, Identity] = {}
        for reading in reader.windows(ReadRange(window.start, window.end, FIRST_STEP)):
            nameless = _read_window(run.site, reading, identities)
            if reading.is_closed:
                shown.add(identities.values())
                shown.nameless.extend((name, reading.window.end) for name in nameless)
                shown.through = reading.window.end
            if (
                reading.ending is not WindowResult.MOVED
            ):  # else the window is read again for the rest
                identities = {}
    return shown


def _read_window(
    site: str, reading: WindowReading, identities: dict[int, Identity]
) -> Iterable[str]:
    """Add a window's records to `identities`; return letter names for those without one."""
    nameless: dict[str, None] = {}
    for page in reading:
        reading.fresh += len(page.identified.keys() - identities.keys())
        identities |= {number: identity for number, (identity, _) in page.identified.items()}
        letters = (_unreadable(site, *rejected) for rejected in page.unidentified)
        nameless |= dict.fromkeys(letter.name for letter in letters)
    return nameless


def _unreadable(site: str, record: Record, reason: RecordRejected) -> Letter:
    return Letter("unreadable", str(reason), site, record)


def verify(run: Run, lookup: Lookup, window: Window, shown: JiraInventory) -> Verified:
    """Find the status of every record that `read` has shown of a range.

    The run's tally counts the accepted rows that are not in the table yet. Raises TransientError or
    SiteError.
    """
    clock = run.deadline.clock
    asked = clock.now()
    stored, saved = _stored(run, lookup.backfills.checkpoints, shown, asked)
    until = saved + round(lookup.patience * timestamps.SECOND)
    while True:
        table = lookup.table
        held = table.held(run.site, window, stored.ticks.former) if table else None
        now = clock.now()
        delayed_from = now - DELAYED_FOR if lookup.patience else None
        findings = compare(shown, stored, held, delayed_from)
        if not findings.lost.ranges or now >= until:
            return Verified(findings, stored, asked, now)
        run.tally.waiting_for = findings.lost.count
        clock.sleep(min(POLL_SECONDS, (until - now) / timestamps.SECOND))


def _stored(
    run: Run, backfills: Checkpoints, shown: JiraInventory, now: int
) -> tuple[KnownState, int]:
    """The state that is stored of the site, judged by what Jira shows, and when it was saved."""
    site, policy = run.site, run.policy
    content, backfill = run.ports.checkpoints.stored(site), backfills.stored(site)
    if content is None:
        message = (
            f"{site} has no checkpoint: nothing was delivered yet that could be verified; run "
            "collect once"
        )
        raise SiteError(message)
    ticks = decode(content, site)
    check_moved(ticks)
    stored = KnownState(
        ticks,
        None if backfill is None else decode(backfill, site),
        run.ports.letters.names("dead-letters", site),
        late_found_from(ticks, now, policy.overlap, policy.sweep),
        restarted=_has_restarted(ticks, shown),
        backfilled=saved_at(backfill),
    )
    saved = (saved_at(content), stored.backfilled)
    return stored, max((at for at in saved if at is not None), default=0)


def _has_restarted(ticks: Checkpoint, shown: JiraInventory) -> bool:
    check = RestartCheck(ticks)
    for record in map(Identity, shown.ids, shown.created):
        if record.id in ticks.ledger:
            check.note(record)
    return ticks.halted is not None or check.has_restarted


# Repair.


@dataclass(frozen=True)
class Repaired:
    """The missing records that were `sent` (accepted or dead-lettered), and those `left`.

    `error` stopped the repair early. `skipped`: another run holds a lease it needed.
    """

    sent: Ledger
    left: Ledger
    error: ConnectorError | None = None
    skipped: bool = False


def repair(run: Run, backfills: Ports, verified: Verified) -> Repaired:
    """Send the missing records under the site's lease; save their ids.

    Ids from before the site's checkpoint go into the backfill's ledger, under its lease. Records
    delivered since are not sent. Returns foreseen failures.
    """
    ticks, backfill = verified.stored.ticks, verified.stored.backfill
    missing_at = verified.findings.missing_at
    before = {number: at for number, at in missing_at.items() if at < ticks.start}
    since = {number: at for number, at in missing_at.items() if at >= ticks.start}
    by_ticks = _Repair(run, since)
    by_backfill = _Repair(replace(run, ports=backfills), before)
    skipped = False
    error: ConnectorError | None = None
    try:
        for part, checkpoint in (by_ticks, ticks), (by_backfill, backfill):
            if part.missing_at and not part.send(checkpoint):
                skipped = True
    except ConnectorError as failure:
        error = failure
    sent = Ledger.of([*by_ticks.sent.ranges, *by_backfill.sent.ranges])
    left = verified.findings.by_status["missing"].without(sent)
    return Repaired(sent, left, error, skipped)


@dataclass
class _Repair:
    """One checkpoint's missing records: their ids, and when they were created."""

    run: Run
    missing_at: Mapping[int, int]
    sent: Ledger = field(default_factory=Ledger)

    def send(self, verified: Checkpoint | None) -> bool:
        """Send them; False if another run holds the lease. `verified` is the checkpoint compared
        with.
        """
        run, clock = self.run, self.run.deadline.clock
        first = Checkpoint.first(run.site, min(self.missing_at.values()), clock.now())
        lease = run.ports.checkpoints.take(first)
        if lease is None:
            return False
        checkpoint, missing = self._begin(lease, verified)
        mapper = Mapper(run.site, run.policy.event_time, clock.now)
        delivery = Delivery(run, lease, checkpoint)
        try:
            with Reader(run) as reader, delivery:
                for reading in self._readings(reader, missing):
                    for page in reading:
                        wanted = [
                            identified
                            for number, identified in page.identified.items()
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

    def _readings(self, reader: Reader, missing: Ledger) -> Iterator[WindowReading]:
        for window in _around(self.missing_at[number] for number in missing):
            yield from reader.windows(ReadRange.of(window))

    def _begin(self, lease: Lease, verified: Checkpoint | None) -> tuple[Checkpoint, Ledger]:
        """Save the checkpoint without the missing ids; return it with them.

        If this process dies, no ledger then claims an undelivered record.
        """
        try:
            checkpoint = lease.load()
            if checkpoint.halted:
                raise SiteError(checkpoint.halt_sentence)
            if verified and checkpoint.start != verified.start:
                message = f"{self.run.site} was reset during the verification: verify it again"
                raise SiteError(message)
            added = checkpoint.ledger.without(verified.ledger if verified else Ledger())
            missing = Ledger().with_ids(self.missing_at).without(added)
            checkpoint = checkpoint.without(missing)
            lease.save(checkpoint)
        except ConnectorError:
            release_quietly(lease)
            raise
        return checkpoint, missing


def _around(times: Iterable[int]) -> Sequence[Window]:
    """The fewest windows, each at most an hour, that hold these moments."""
    windows: list[Window] = []
    for at in sorted(times):
        if windows and at - windows[-1].start < HOUR:
            windows[-1] = Window(windows[-1].start, at)
        else:
            windows.append(Window(at, at))
    return windows
