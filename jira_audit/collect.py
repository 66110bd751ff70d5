"""The connector, on one screen: one site, one run, from the lease to the outcome.

Here is the order in which things happen. How rows are sent and accounted for is in `delivery.py`,
what is outside in `ports.py`, every rule in `core/`. Nothing here knows Jira, Azure or a file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from jira_audit.core import encoding, moments
from jira_audit.core.batches import BATCH_LIMIT
from jira_audit.core.checkpoint import CLOCK_TOLERANCE, Checkpoint
from jira_audit.core.clock import GRACE_SECONDS, Deadline
from jira_audit.core.errors import ConnectorError, OutOfTime, RecordRejected, SiteError
from jira_audit.core.letters import Letter
from jira_audit.core.moments import DAY, HOUR, MINUTE
from jira_audit.core.outcome import Outcome, Result, Tally, ending
from jira_audit.core.pages import Page, Record
from jira_audit.core.plan import plan_sweep, plan_ticks, reach
from jira_audit.core.records import Identity, Row, identify, to_row
from jira_audit.core.window import Ending, Stretch, Window, may_give_up
from jira_audit.delivery import Delivery, Update, give_back
from jira_audit.ports import Lease, Pools, Ports
from jira_audit.reader import Reader

log = logging.getLogger(__name__)

HELD_TOO_LONG = DAY
"""Since the last save: longer than any run, and than the ticks one misses over a night."""

UNREADABLE_LIMIT = 20
"""More unreadable records than this in one run, and none readable: the format has changed."""


@dataclass(frozen=True)
class Reset:
    """`CHECKPOINT_RESET` as it concerns one site: begin again at the moment `start`.

    `value` is the whole setting; it is applied once for each distinct value.
    """

    value: str
    start: int


@dataclass(frozen=True)
class Policy:
    """How far back a run reads, in milliseconds, and how it stamps and sends.

    With `only`, no more than that range is read, once: what a backfill does (`backfill.py`).
    `event_time` puts the record's own time into `TimeGenerated` instead of the time of sending;
    `in_flight` batches of at most `batch_bytes` may be under way at once, each for at most
    `send_seconds`.
    """

    lookback: int = 24 * HOUR
    overlap: int = 15 * MINUTE
    sweep: int = 48 * HOUR
    only: Window | None = None
    event_time: bool = False
    reset: Reset | None = None
    in_flight: int = 4
    batch_bytes: int = BATCH_LIMIT
    send_seconds: float = 30.0


def collect(
    site: str,
    ports: Ports,
    policy: Policy,
    deadline: Deadline,
    pools: Pools,
    tally: Tally,
    reached: Callable[[int], object] = lambda _: None,
) -> Outcome:
    """Bring one site's new audit records into the table, and say how it went.

    `site` is its lower-case host; `tally` is counted up on the way, and `reached` hears of the
    moment that each window begins at. A foreseen failure is in the outcome; whatever else is raised
    is a bug.
    """
    clock = deadline.clock
    began, now = clock.monotonic(), clock.now()
    delivery: Delivery | None = None
    error: Exception | None = None
    result: Result | None = None
    try:
        start = policy.only.start if policy.only else now - policy.lookback
        lease = ports.checkpoints.take(Checkpoint.first(site, start, now))
        if lease is None:
            _see_that_it_is_alive(ports.checkpoints.stored(site), site, now)
            result = "skipped"
        else:
            delivery = Delivery(
                lease,
                _begin(lease, policy, now),
                ports,
                pools.sends,
                deadline,
                tally,
                in_flight=policy.in_flight,
                batch_bytes=policy.batch_bytes,
                send_seconds=policy.send_seconds,
            )
            with Reader(ports.source, deadline, pools, delivery.settle) as reader, delivery:
                run = _Run(site, reader, policy, deadline, delivery, tally, now, reached)
                delivery.complete = run.read()
    except ConnectorError as failure:
        error = failure
    if result is None:
        complete = delivery is not None and delivery.complete
        moved = delivery is not None and delivery.moved
        result, error = ending(site, error, complete=complete, moved=moved)
    return Outcome(
        site,
        result,
        tally,
        through=delivery.saved.through if delivery else None,
        now=clock.now(),
        duration_ms=round((clock.monotonic() - began) * 1000),
        error=error,
    )


def _see_that_it_is_alive(stored: bytes | None, site: str, now: int) -> None:
    """A run that has the site saves before long; a lease that outlives that is nobody's.

    Raises SiteError then: skipping for ever would be silence. A checkpoint that cannot be read is
    for the run that holds it to tell of.
    """
    try:
        saved = moments.parse(encoding.loads(stored or b"")["saved"])
    except (ValueError, TypeError, KeyError):
        return
    if now - saved > HELD_TOO_LONG:
        message = (
            f"{site}: the checkpoint has been leased, and not saved, since {moments.text(saved)}: "
            f"see what holds it, then break the lease of the blob checkpoints/{site}.json"
        )
        raise SiteError(message)


def _begin(lease: Lease, policy: Policy, now: int) -> Checkpoint:
    """The checkpoint to go on from; where there is none, the lease is given back."""
    try:
        return _load(lease, policy, now)
    except ConnectorError:
        give_back(lease)
        raise


def _load(lease: Lease, policy: Policy, now: int) -> Checkpoint:
    """The checkpoint to go on from, with a pending reset applied and saved."""
    checkpoint, reset = lease.load(), policy.reset
    if policy.only:
        return checkpoint.beginning_at(policy.only.start)
    if reset and reset.value != checkpoint.reset:
        log.warning("%s: reset to %s", checkpoint.site, moments.text(reset.start))
        checkpoint = checkpoint.begun_again(reset.start, now, reset.value)
        lease.save(checkpoint)
    elif lease.created:
        log.warning(
            "%s: no checkpoint, so this is a first run, from %s",
            checkpoint.site,
            moments.text(checkpoint.start),
        )
    if checkpoint.through > now + CLOCK_TOLERANCE:
        message = (
            f"{checkpoint.site}: the checkpoint is in the future "
            f"({moments.text(checkpoint.through)}): see that this machine's clock is right, "
            "or set CHECKPOINT_RESET to the moment from which to read again"
        )
        raise SiteError(message)
    return checkpoint


@dataclass
class _Seen:
    """What the reading of one window has shown: how many pages, how many records were fresh, the
    smallest id, and the `oldest` moment they reach back to; and up to which moment it is the
    truth: the window's end, or Jira's own clock if that is behind.
    """

    through: int
    oldest: int
    pages: float = 0.0
    fresh: int = 0
    smallest: int | None = None


@dataclass
class _Run:
    """The reading half of a run."""

    site: str
    reader: Reader
    policy: Policy
    deadline: Deadline
    delivery: Delivery
    tally: Tally
    now: int
    reached: Callable[[int], object]
    readable: int = 0
    unreadable: int = 0
    missed_before: int = 0
    read_up_to: int = 0

    def read(self) -> bool:
        """Read the tick's own windows and then, once a day, the sweep; False if time was up."""
        checkpoint = self.delivery.checkpoint
        # What appears up to *through* is late, unless this is where everything begins.
        begins = checkpoint.through == checkpoint.start
        self.missed_before = checkpoint.start - 1 if begins else checkpoint.through
        own = self._own(checkpoint)
        if not self._read_own(own):
            return False
        if self.policy.only:
            return True
        self.delivery.close(Checkpoint.reread_done)
        self.delivery.flush()  # what is new does not wait for a sweep
        sweep = plan_sweep(checkpoint, self.now, self.policy.sweep, own)
        if sweep:
            began = min(self.now, checkpoint.sweep.began) if checkpoint.sweep else self.now
            place_at = partial(Checkpoint.swept_through, end=sweep.end, began=began)
            if not self._read(sweep, lambda to: lambda place: place_at(place, to)):
                return False
            self.delivery.close(partial(Checkpoint.sweep_done, began=began))
        self.delivery.close(self._fitted)
        return True

    def _own(self, checkpoint: Checkpoint) -> Stretch:
        """What this run is there for."""
        if self.policy.only:
            return plan_ticks(checkpoint, min(self.now, self.policy.only.end), overlap=0)
        return plan_ticks(checkpoint, self.now, self.policy.overlap)

    def _read_own(self, own: Stretch) -> bool:
        """Read the tick's own windows; where the deadline cuts them, remember how far it came."""
        try:
            done = self._read(own, lambda to: lambda place: place.read_through(to))
        except OutOfTime:
            self._remember_reread(own)
            raise
        if not done:
            self._remember_reread(own)
        return done

    def _remember_reread(self, own: Stretch) -> None:
        if self.read_up_to >= own.start:
            self.delivery.close(partial(Checkpoint.reread_through, moment=self.read_up_to))

    def _fitted(self, place: Checkpoint) -> Checkpoint:
        """The checkpoint in bounds; only now that every window read is closed and has its mark."""
        return place.fitted(reach(place, self.now, self.policy.overlap, self.policy.sweep))

    def _read(self, stretch: Stretch, dealt_with_up_to: Callable[[int], Update]) -> bool:
        """Read a stretch window by window, oldest first; False if time was up.

        `dealt_with_up_to` makes, of a moment, the change to the checkpoint once that is so.
        """
        while window := self.reader.window(stretch):
            self.read_up_to = window.start - 1
            if self.deadline.left() <= 0:
                return False
            self.reached(window.start)
            ending, seen = self._read_window(
                window, self.reader.pages(window, stretch), final=stretch.ends_with(window)
            )
            stretch = stretch.after(window, ending, seen.pages, seen.oldest)
            self.delivery.update(partial(Checkpoint.stepping, step=stretch.step))
            if ending is Ending.CLOSED:
                if seen.smallest is not None:
                    ids_from = partial(Checkpoint.marked, start=window.start, end=window.end)
                    self.delivery.close(partial(ids_from, smallest=seen.smallest))
                self.delivery.close(dealt_with_up_to(seen.through))
        return True

    def _read_window(
        self, window: Window, pages: Iterator[Page], *, final: bool
    ) -> tuple[Ending, _Seen]:
        """Read one window, hand over what is fresh in it, and tell how it ended."""
        self.tally.windows += 1
        seen = _Seen(through=window.end, oldest=window.end)
        for page in pages:
            self._take(page, seen)
            if final and page.pages % 1:  # a shorter page: what is left to come is the end
                self.delivery.flush()
            if page.ended:
                moved = page.moved and seen.fresh > 0
                return Ending.MOVED if moved else Ending.CLOSED, seen
            if may_give_up(window, page.pages):
                break
            if self.deadline.left() < -GRACE_SECONDS:
                # The next run shall be able to finish what it begins.
                self.delivery.update(partial(Checkpoint.stepping, step=window.half))
                message = f"{self.site}: time was up within a window; the next tick reads it again"
                raise OutOfTime(message)
        return Ending.TOO_LONG, seen

    def _take(self, page: Page, seen: _Seen) -> None:
        """Map and hand over what is fresh on a page."""
        self.tally.pages += 1
        self.tally.records += len(page.records)
        seen.pages = page.pages
        if page.date is not None:
            seen.through = min(seen.through, page.date)
        found, nameless = self._identified(page)
        for identity, _ in found.values():
            seen.oldest = min(seen.oldest, identity.created)
        if found:
            seen.smallest = min(found) if seen.smallest is None else min(seen.smallest, *found)
        fresh = [each for each in found.values() if not self._is_known(each[0])]
        self.tally.duplicates_skipped += len(page.records) - len(nameless) - len(fresh)
        seen.fresh += len(fresh)
        rows: list[Row] = []
        unmapped: list[tuple[Letter, Identity]] = []
        generated = moments.text(self.deadline.clock.now())
        for identity, record in fresh:
            self.tally.late_found += identity.created <= self.missed_before
            at = moments.text(identity.created) if self.policy.event_time else generated
            try:
                rows.append(to_row(record, identity, site=self.site, generated=at))
            except RecordRejected as reason:
                unmapped.append((self._unreadable(record, reason), identity))
        for letter in nameless:
            self.delivery.keep(letter, None)
        for letter, identity in unmapped:
            self.delivery.keep(letter, identity)
        self.delivery.add(rows)

    def _identified(self, page: Page) -> tuple[dict[int, tuple[Identity, Record]], list[Letter]]:
        """A page's records by their ids, and letters for those that have none.

        Raises SiteError where it must be the format, and not these records.
        """
        found: dict[int, tuple[Identity, Record]] = {}
        nameless: list[Letter] = []
        for record in page.records:
            try:
                identity = identify(record)
            except RecordRejected as reason:
                nameless.append(self._unreadable(record, reason))
            else:
                found.setdefault(identity.id, (identity, record))
        self.readable += len(found)
        self.unreadable += len(nameless)
        if self.unreadable > UNREADABLE_LIMIT and not self.readable:
            message = (
                f"{self.site}: none of {self.unreadable} records could be read: Jira's format has "
                "changed; update the connector. The checkpoint waits"
            )
            raise SiteError(message)
        return found, nameless

    def _unreadable(self, record: Record, reason: RecordRejected) -> Letter:
        return Letter("unreadable", str(reason), self.site, record)

    def _is_known(self, identity: Identity) -> bool:
        """Whether the record was dealt with, or is on its way."""
        if not self.delivery.knows(identity.id):
            return False
        # By what was stored when the run began: what it delivers itself may be of the new ids.
        latest = self.delivery.loaded.latest
        is_newer = latest is not None and identity.created > latest
        if is_newer and identity.id in self.delivery.loaded.ledger:
            message = (
                f"{self.site}: record {identity.id} is newer than every record delivered, yet its "
                "id was delivered before: the site's ids began again. Set CHECKPOINT_RESET to "
                f"{moments.text(self.delivery.checkpoint.through)} to go on from there"
            )
            raise SiteError(message)
        return True
