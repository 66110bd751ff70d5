"""The main flow: one run of one site, from the lease to the outcome.

`reader.py` requests the pages, `delivery.py` sends the rows and saves the checkpoint, and `core/`
has the rules.
"""

from __future__ import annotations

import logging
from functools import partial
from types import TracebackType
from typing import Self

from jira_audit.core import timestamps
from jira_audit.core.checkpoint import Checkpoint, saved_at
from jira_audit.core.errors import ConnectorError, SiteError
from jira_audit.core.http import duration_text
from jira_audit.core.mapper import Mapper
from jira_audit.core.outcome import Outcome, Result, ending
from jira_audit.core.plan import Closed, Plan
from jira_audit.core.queueing import UNSAVED_AFTER, stuck_lease
from jira_audit.flow.delivery import Delivery, release_quietly
from jira_audit.flow.identity import identify
from jira_audit.flow.intake import Intake
from jira_audit.flow.ports import Lease, Run
from jira_audit.flow.reader import Reader

log = logging.getLogger(__name__)


def collect(run: Run, plan: Plan) -> Outcome:
    """Collect one site's new audit records into the table.

    A foreseen failure is in the outcome; any exception raised is a bug.
    """
    now = run.deadline.clock.now()
    with Recorder(run) as recorder:
        lease = run.ports.checkpoints.take(plan.first(run.site, now))
        if lease is None:  # another run has it
            check_lease_is_fresh(run, now)
            return recorder.outcome("skipped")
        checkpoint = begin(run, lease, plan, now)  # under the lease: first run, reset, clock, name
        mapper = Mapper(run.site, run.policy.event_time, run.deadline.clock.now)
        recorder.delivery = Delivery(run, lease, checkpoint)
        is_cautious = checkpoint.began is not None
        with Reader(run, is_cautious=is_cautious) as reader, recorder.delivery as delivery:
            intake = Intake(run, delivery, reader)
            # The tick, then the sweep; or a backfill.
            for task in plan.tasks(checkpoint, now, reader):
                for window in reader.windows(task.range):  # oldest first
                    window.settled = task.settled
                    for page in window:  # newest first
                        unknown = intake.unknown(page)  # marks the run; raises if ids restarted
                        window.fresh += len(unknown)
                        rows, rejected = mapper.take(page, unknown)
                        # stores dead letters, sends each full batch
                        intake.add(rows, rejected, window.window)
                        window.too_large = intake.is_full
                        reader.is_cautious = delivery.is_cautious
                        if window.is_ending:  # only the empty page is still to come
                            intake.release()
                            delivery.flush()
                        if reader.must_wait:
                            delivery.collect_finished()  # saves what was accepted
                    intake.end_window(window.ending)
                    delivery.apply(partial(Checkpoint.stepping, step=window.step))
                    if window.is_closed:  # else it is read again, or cut
                        read = window.window, window.through, window.smallest, window.created
                        delivery.after_pending(Closed(task, *read))
                if reader.deadline_came:
                    delivery.after_pending(partial(task.cut, position=reader.position))
                    break
                if not run.tally.records and task.must_show_records(checkpoint):
                    delivery.after_pending(Checkpoint.sweep_abandoned)  # it is due as before
                    raise empty_log(checkpoint)
                delivery.after_pending(task.done)
                delivery.flush()  # a task's rows never wait for the next task
            else:
                delivery.after_pending(partial(plan.done, now=reader.now))
                recorder.complete = True
            recorder.error = reader.error
            delivery.finish(reader.error, complete=recorder.complete)  # sends, waits, saves
            run.ports.table and audit_table(run, lease, delivery, reader.now)  # once a day
    return recorder.outcome()


def begin(run: Run, lease: Lease, plan: Plan, now: int) -> Checkpoint:
    """Load the checkpoint to continue from, of this site or of its former name; apply and save a
    pending reset, or the smaller step after a run that came to grief.

    Raises TransientError or SiteError if there is none, after releasing the lease.
    """
    try:
        stored = lease.load()
        checkpoint = plan.begin(stored, now)
        if stored.cloud_id is None or checkpoint.reset == stored.reset:
            known = identify(run, lease, stored, asks=plan.asks_tenant(stored, now))
            if known is not stored:
                stored, checkpoint = known, plan.begin(known, now)
        if checkpoint.reset != stored.reset:
            log.warning("%s: reset to %s", checkpoint.site, timestamps.text(checkpoint.start))
            lease.save(checkpoint)
            checkpoint = identify(run, lease, checkpoint, asks=True)
        elif lease.created and plan.first_run and not stored.former:
            start = timestamps.text(checkpoint.start)
            log.warning("%s: %s, from %s", checkpoint.site, plan.first_run, start)
        if checkpoint.began is not None:
            length = now - checkpoint.through + run.policy.overlap
            checkpoint = checkpoint.cautious(now, length)
            lease.save(checkpoint)  # before it can be killed too
            announce(checkpoint, length)
    except BaseException:  # an interruption, too
        release_quietly(lease)
        raise
    return checkpoint


def announce(checkpoint: Checkpoint, length: int) -> None:
    """Say that the last run may have sent rows that this one sends again."""
    log.warning(
        "%s: the last run was killed, or does not know what became of a batch: rows of records "
        "created in the last %s may be in the table several times",
        checkpoint.site,
        duration_text(length / timestamps.SECOND),
    )


def check_lease_is_fresh(run: Run, now: int) -> None:
    """Raise SiteError if the lease was held for longer than any run, without a save.

    Otherwise the site would be skipped silently for ever. An unreadable checkpoint is reported by
    the run that holds the lease.
    """
    saved = saved_at(run.ports.checkpoints.stored(run.site))
    if saved is not None and now - saved > UNSAVED_AFTER:
        raise SiteError(stuck_lease(run.site, saved))


def audit_table(run: Run, lease: Lease, delivery: Delivery, now: int) -> bool:
    """Compare the table with the ledger, if that is due; whether it was done.

    A query that fails is no failure of the run.
    """
    from jira_audit.flow.audit import audit  # noqa: PLC0415  only where there is a table

    return audit(run, lease, delivery, now)


def empty_log(checkpoint: Checkpoint) -> SiteError:
    """The error for a log that shows nothing of what was delivered from it."""
    latest = timestamps.text(checkpoint.latest or checkpoint.start)
    return SiteError(
        f"{checkpoint.site}: Jira shows an empty audit log, although a record of {latest} was "
        "delivered from it: look at the log in Jira with the connector's account. What it shows "
        f"again is delivered. If the site was made anew, set CHECKPOINT_RESET to {latest} to go on "
        "with the empty log"
    )


class Recorder:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._began = run.deadline.clock.monotonic()
        self.delivery: Delivery | None = None
        self.complete = False
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        if isinstance(error, ConnectorError):
            self.error, self.complete = error, False
            return True
        return False

    def outcome(self, result: Result | None = None) -> Outcome:
        """The outcome; `result` is given only if the run did nothing."""
        run, delivery, clock = self._run, self.delivery, self._run.deadline.clock
        error = self.error
        if result is None:
            result, error = ending(
                run.site,
                error,
                complete=self.complete,
                moved=lambda: delivery is not None and delivery.saved.moved_since(delivery.loaded),
                stopped=run.deadline.is_stopped,
            )
        return Outcome(
            run.site,
            result,
            run.tally,
            through=delivery.saved.through if delivery else None,
            now=clock.now(),
            duration_ms=round((clock.monotonic() - self._began) * 1000),
            error=error,
        )
