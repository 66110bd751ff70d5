"""Intake: what a run takes over from the pages of a site, once the log is known to be sound.

If the site's ids have restarted (`core/restart.py`), nothing of the new log may be delivered before
that finding is stored: a newer delivered record would hide it. So the rows of a window are held
until a delivered record is seen in its place, or until the window has been read. They are
bounded in bytes: a window with more is read as shorter ones, and one millisecond does not wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from jira_audit.core import encoding, timestamps
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.errors import SiteError
from jira_audit.core.mapper import Rejected
from jira_audit.core.pages import Page
from jira_audit.core.plan import late_until
from jira_audit.core.records import Identity, Record, Row
from jira_audit.core.restart import RestartCheck
from jira_audit.core.window import Window, WindowResult
from jira_audit.flow.delivery import Delivery
from jira_audit.flow.ports import Run
from jira_audit.flow.reader import Reader

HELD_BYTES = 8 * 1024 * 1024
"""Bytes of rows held for one window: more of them are read as shorter windows."""


class Intake:
    """Passes the new records of one run's pages on to its delivery.

    `is_full`: too much is held to read on in this window.
    """

    def __init__(self, run: Run, delivery: Delivery, reader: Reader) -> None:
        self._tally, self._delivery, self._reader = run.tally, delivery, reader
        self._late_until = late_until(delivery.loaded)
        self._restart = RestartCheck(delivery.loaded)
        self._held: list[tuple[Sequence[Row], Sequence[Rejected]]] = []
        self._held_ids: set[int] = set()
        self._held_bytes = 0
        self.is_full = False

    def unknown(self, page: Page) -> Sequence[tuple[Identity, Record]]:
        """The page's records that were neither dealt with nor handed over.

        Leaves a mark first if the run takes much; raises as `Delivery.mark` does. Raises SiteError,
        and stores it for every later run, if the site's ids have restarted; an administrator resets
        the checkpoint.
        """
        if self._reader.takes_much:
            self._delivery.mark()
        if not page.records:
            return []
        unknown = []
        for each in page.identified.values():
            identity = each[0]
            if self._delivery.knows(identity.id):
                self._restart.note(identity)
            elif identity.id not in self._held_ids:
                unknown.append(each)
        if self._restart.has_restarted:
            self._halt()
        if self._restart.suspect:
            self._delivery.apply(partial(Checkpoint.suspecting, identity=self._restart.suspect))
        self._tally.duplicates_skipped += len(page.records) - len(page.unidentified) - len(unknown)
        return unknown

    def add(self, rows: Sequence[Row], rejected: Sequence[Rejected], window: Window) -> None:
        """Pass these on to the delivery, now or when the log is known to be sound.

        One millisecond that is too large cannot be shortened: what is held of it is passed on.
        Raises as `Delivery.add` does.
        """
        if not rows and not rejected:
            return
        if not self._held and self._restart.is_same_log:
            self._pass_on(rows, rejected)
            return
        self._held.append((rows, rejected))
        self._held_bytes += sum([len(row.text) for row in rows])
        self._held_bytes += sum([len(encoding.dumps(each.letter.record)) for each in rejected])
        self._held_ids.update([row.identity.id for row in rows])
        self._held_ids.update([each.identity.id for each in rejected if each.identity])
        self.is_full = self._held_bytes > HELD_BYTES
        if self._restart.is_same_log or (self.is_full and window.length == 1):
            self.release()

    def release(self) -> None:
        """Pass on what is held: the window was read, and shows no restart."""
        while self._held:
            self._pass_on(*self._held.pop(0))
        self._held_ids.clear()
        self._held_bytes, self.is_full = 0, False

    def end_window(self, ending: WindowResult | None) -> None:
        """Pass on what is held, or drop it if the window was not read to its end."""
        if self._held:
            if ending not in {WindowResult.CLOSED, WindowResult.MOVED}:
                self._held.clear()
            self.release()

    def _pass_on(self, rows: Sequence[Row], rejected: Sequence[Rejected]) -> None:
        until = self._late_until
        identities = [row.identity for row in rows]
        identities += [each.identity for each in rejected if each.identity]
        self._tally.late_found += sum([identity.created <= until for identity in identities])
        self._delivery.keep(rejected)
        self._delivery.add(rows)

    def _halt(self) -> None:
        loaded = self._delivery.loaded
        begins = min(self._restart.begins or self._delivery.through, self._delivery.through)
        message = (
            f"{loaded.site}: records are newer than every delivered record, but their ids were "
            "delivered before: the site's ids have restarted. Set CHECKPOINT_RESET to "
            f"{timestamps.text(begins)} to continue from there; until then, every "
            "run fails"
        )
        self._delivery.store(partial(Checkpoint.halt, reason=message))
        raise SiteError(message)
