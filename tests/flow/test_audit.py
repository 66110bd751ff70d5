"""The daily audit: what is lost after acceptance is found, and what is not lost is not called so.

A site is collected every hour; the fake table lags, loses, doubles, and holds what others write.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from jira_audit.core import timestamps
from jira_audit.core.audit import REACH, Proof
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.errors import SiteError, TransientError, Unanswered
from jira_audit.core.ledger import Ledger
from jira_audit.core.policy import Reset
from jira_audit.core.timestamps import DAY, HOUR, MINUTE
from tests.fakes.world import HOST, START, Crash, World, record
from tests.flow.test_collect import accept_then_raise, raise_error

OTHER = "other.atlassian.net"


class Site(World):
    """A site that writes five records an hour, and is collected every hour, or `every` few."""

    def __init__(self, every: int = 1, **how: Any) -> None:
        super().__init__(**{"page_size": 100, "audits": True} | how)
        self.next_id, self.every = 10_000, every

    def write(self, count: int = 5, before: int = HOUR) -> list[int]:
        """Records created one after the other, up to now; their ids."""
        numbers = range(self.next_id, self.next_id + count)
        step = before // (count + 1)
        self.jira.site.add(
            record(number, self.time.now - before + (place + 1) * step)
            for place, number in enumerate(numbers)
        )
        self.next_id += count
        return list(numbers)

    def live(self, hours: float) -> None:
        for _ in range(math.ceil(hours / self.every)):
            self.time.advance(self.every * 3600)
            self.write(5 * self.every, self.every * HOUR)
            self.run()

    def ids(self) -> set[int]:
        return {known["id"] for known in self.jira.site.records}


@pytest.fixture(autouse=True)
def _logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.fixture
def proofs(caplog: pytest.LogCaptureFixture) -> Callable[[], list[Proof]]:
    """The proofs of the lines `jira_audit_proof` so far."""

    def read() -> list[Proof]:
        lines = [text for text in map(str, caplog.messages) if text.startswith("jira_audit_proof ")]
        pairs = [dict(pair.split("=", 1) for pair in line.split()[1:]) for line in lines]
        assert all(each.pop("site") == HOST for each in pairs)
        return [Proof.of(each) for each in pairs]

    return read


Proofs = Callable[[], list[Proof]]


def said(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    """What was logged at this level or above, but for the first run."""
    texts = [each.getMessage() for each in caplog.records if each.levelno >= level]
    return [text for text in texts if "this is a first run" not in text]


def contiguous(found: Sequence[Proof]) -> bool:
    """Whether each proof begins where the one before it ended."""
    return all(a.end + 1 == b.start for a, b in pairwise(found))


# Without a loss


@pytest.mark.parametrize("lag", [0.0, 3600.0])
def test_week_without_faults_raises_nothing(
    lag: float, proofs: Proofs, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()
    site.table.seconds = lag
    site.write(200, DAY - MINUTE)

    site.live(7 * 24)

    found = proofs()
    assert len(found) == site.table.asked == 6  # one query a day
    assert found[0].start == START + HOUR - DAY  # the first run's lookback
    assert contiguous(found)
    assert all(each.jira == each.ledger == each.table > 0 for each in found)
    assert not any(each.absent or each.missing or each.duplicated for each in found)
    assert said(caplog) == []
    assert site.store.checkpoint().audited == found[-1].end


def test_proof_covers_every_settled_record_once(proofs: Proofs) -> None:
    site = Site()
    site.live(5 * 24)

    found = proofs()

    settled = [
        known["id"]
        for known in site.jira.site.records
        if timestamps.parse(known["created"]) <= found[-1].end
    ]
    assert sum(each.jira for each in found) == len(settled)


def test_late_record_is_no_loss_while_the_table_lags(
    proofs: Proofs, caplog: pytest.LogCaptureFixture
) -> None:
    """The sweep delivers it just before the query."""
    site = Site()
    site.table.seconds = 3600.0
    site.live(47)
    site.jira.site.add([record(9_000, site.time.now - 23 * HOUR - MINUTE)])

    site.live(72)

    found = proofs()
    assert [each.absent for each in found if each.absent] == [1]
    assert not any(each.missing for each in found)
    assert said(caplog) == []


def test_rows_of_others_prove_and_refute_nothing(
    proofs: Proofs, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()
    site.live(30)
    for row in list(site.sink.table):
        classic = {name: value for name, value in row.items() if name != "site_s"}
        no_id = {name: value for name, value in row.items() if name != "id_d"}
        site.table.others += [classic, {**row, "site_s": OTHER}, {**row, "site_s": ""}, no_id]
    lost = site.sink.table[60]["id_d"]
    site.sink.table = [row for row in site.sink.table if row["id_d"] != lost]

    site.live(4 * 24)

    assert {each.missing for each in proofs()} == {0, 1}
    assert not any(each.duplicated for each in proofs())
    assert all(f": {lost}. Run" in text for text in said(caplog))


def test_dead_letters_are_not_missing(proofs: Proofs, caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    site.sink.poison = {10_003}

    site.live(4 * 24)

    assert sum(each.letters for each in proofs()) == 1
    assert not any(each.absent or each.missing for each in proofs())
    assert [text for text in said(caplog, logging.ERROR) if "10003" not in text] == []


def test_rows_under_a_former_name_count(proofs: Proofs) -> None:
    site = Site()
    site.live(20)
    site.jira.rename("renamed.atlassian.net")
    checkpoint = site.store.checkpoint()
    moved = replace(checkpoint, site="renamed.atlassian.net", former=(HOST,))
    site.store.blobs = {"checkpoints/renamed.atlassian.net.json": moved.encode(site.time.now)}
    site.hosts = ["renamed.atlassian.net"]

    site.live(30)

    last = site.store.checkpoint("renamed.atlassian.net").audit
    assert last
    assert last.proof
    assert last.proof.ledger == last.proof.table > 0


# Losses


def lose_on_the_way(site: Site, numbers: Sequence[int]) -> None:
    """Accepted, and never stored."""
    site.table.dropped |= set(numbers)


def delete_later(site: Site, numbers: Sequence[int]) -> None:
    """Stored, and purged before the audit."""
    assert set(numbers) <= set(site.rows())
    site.sink.table = [row for row in site.sink.table if row["id_d"] not in numbers]


def deduplicate_away(site: Site, numbers: Sequence[int]) -> None:
    """Another site's rows have these ids, and the table keeps one row of each id."""
    rows = [row for row in site.sink.table if row["id_d"] in numbers]
    site.table.others += [{**row, "site_s": OTHER} for row in rows]
    site.table.deduplicates = True


def give_to_another_site(site: Site, numbers: Sequence[int]) -> None:
    """Stored under another site's name."""
    site.sink.table = [
        {**row, "site_s": OTHER} if row["id_d"] in numbers else row for row in site.sink.table
    ]


@pytest.mark.parametrize(
    "lose", [lose_on_the_way, delete_later, deduplicate_away, give_to_another_site]
)
def test_loss_is_found_and_named_by_the_next_days_audit(
    lose: Callable[[Site, Sequence[int]], None], proofs: Proofs, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()
    site.table.seconds = 3600.0
    site.live(40)
    lost = [10_095, 10_096, 10_110]
    lose(site, lost)

    site.live(10)  # the settled day's audit asks for them once more the next day
    assert [each.absent for each in proofs()] == [0, 3]
    assert said(caplog, logging.ERROR) == []

    site.live(24)
    assert proofs()[-1].missing == 3
    [text] = said(caplog, logging.ERROR)
    assert text.startswith(f"{HOST}: 3 records are not in the table, although they should be: ")
    assert "10095 to 10096, 10110. Run jira-audit verify --site" in text
    assert site.outcomes[-1].result == "ok"


def test_loss_is_named_every_day_until_it_is_repaired(proofs: Proofs) -> None:
    site = Site()
    site.live(30)
    site.table.dropped = {10_060}
    site.live(3 * 24)
    assert [each.missing for each in proofs()][-2:] == [1, 1]

    site.table.dropped = set()
    site.live(24)

    assert proofs()[-1].missing == 0
    audit = site.store.checkpoint().audit
    assert audit
    assert audit.days == ()


def test_record_that_is_in_no_ledger_is_missing_at_once(proofs: Proofs) -> None:
    """As a fault in the connector itself would leave it."""
    site = Site()
    site.live(23)
    checkpoint = site.store.checkpoint()
    audit = checkpoint.audit
    assert audit
    noted = replace(audit, shown=Ledger(((9_999, 9_999),)))
    site.store.blobs[f"checkpoints/{HOST}.json"] = checkpoint.auditing(noted).encode(site.time.now)

    site.live(2)

    assert [each.missing for each in proofs()] == [1]


def test_record_written_twice_is_found(proofs: Proofs, caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    site.live(40)
    site.sink.table += [row for row in site.sink.table if row["id_d"] in {10_095, 10_097}]

    site.live(10)

    assert sum(each.duplicated for each in proofs()) == 2
    [text] = said(caplog)
    assert text.startswith(f"{HOST}: 2 records are in the table several times")
    assert "10095, 10097" in text


# Duplicates that were announced


def duplicates_after(site: Site, fault: Callable[[], None]) -> set[int]:
    """What is in the table several times after a fault, and days without one."""
    site.live(30)
    site.time.advance(3600)
    site.write()
    fault()
    site.live(3 * 24)
    return site.duplicates()


def test_duplicates_after_a_lost_answer_are_announced(
    proofs: Proofs, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()

    def fault() -> None:
        site.sink.faults.script = [accept_then_raise(Unanswered("the answer was lost"))]
        site.run()

    assert len(duplicates_after(site, fault)) == 5
    assert f"{HOST}: 5 rows may be in the table several times: a send had no answer" in said(caplog)
    assert not any(each.duplicated for each in proofs())


def test_duplicates_after_a_killed_run_are_announced(proofs: Proofs) -> None:
    site = Site()

    def accept_then_die(send: Callable[[], object]) -> None:
        send()
        site.journal.dead = True
        raise Crash

    def fault() -> None:
        site.sink.faults.script = [accept_then_die]
        site.run_until_crash()

    assert len(duplicates_after(site, fault)) == 5
    assert len(proofs()) > 2
    assert not any(each.duplicated for each in proofs())


def test_duplicates_after_a_reset_are_announced(proofs: Proofs) -> None:
    site = Site()

    def fault() -> None:
        back = Reset("back", site.time.now - 20 * HOUR)
        site.policy = replace(site.policy, reset=back)
        site.run()

    assert len(duplicates_after(site, fault)) > 50
    assert len(proofs()) > 2
    assert not any(each.duplicated or each.missing for each in proofs())


# Queries that fail


@pytest.mark.parametrize(
    "error", [TransientError("asks for fewer queries"), SiteError("may not be read")]
)
def test_query_that_fails_is_no_failure_of_the_run(
    error: Exception, proofs: Proofs, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()
    site.table.faults.always = raise_error(error)

    site.live(26)

    assert proofs() == []
    assert {outcome.result for outcome in site.outcomes} == {"ok"}
    assert all("could not be compared with the ledger" in text for text in said(caplog)[-1:])
    assert site.store.checkpoint().audited is None

    site.table.faults.always = None
    site.live(2)
    assert [each.missing for each in proofs()] == [0]


def test_query_that_fails_is_not_repeated_by_every_tick() -> None:
    site = Site()
    site.table.faults.always = raise_error(SiteError("may not be read"))
    site.live(25)
    asked = site.table.asked

    for _ in range(12):
        site.time.advance(300)
        site.run()

    assert asked == 1
    assert site.table.asked == 2


def test_three_days_without_a_proof_are_an_error(
    proofs: Proofs, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()
    site.live(50)
    last = site.time.now - HOUR
    site.table.faults.always = raise_error(SiteError("may not be read"))

    site.live(66)
    assert said(caplog, logging.ERROR) == []
    site.live(8)
    text = said(caplog, logging.ERROR)[0]
    assert text.startswith(f"{HOST}: the table has not been compared with the ledger since ")
    assert timestamps.text(last)[:13] in text

    site.table.faults.always = None
    site.live(24)
    assert contiguous(proofs())  # the days without a query are proven now
    assert not any(each.missing for each in proofs())


def test_days_that_the_retention_has_deleted_are_not_judged(
    proofs: Proofs, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(every=6)
    site.table.retention = 4 * DAY
    site.live(50)
    site.table.faults.always = raise_error(SiteError("may not be read"))
    site.live(5 * 24)
    site.table.faults.always = None

    site.live(48)

    assert not any(each.missing for each in proofs())
    assert any("so earlier days were not audited" in text for text in said(caplog))
    assert proofs()[-1].table > 0


def test_days_out_of_reach_are_given_up(proofs: Proofs) -> None:
    site = Site(every=6)
    site.live(50)
    site.table.faults.always = raise_error(SiteError("may not be read"))
    site.live(10 * 24)
    audit = site.store.checkpoint().audit
    assert audit
    assert min(day.start for day in audit.days) >= site.time.now - REACH - 6 * HOUR
    site.table.faults.always = None

    site.live(24)

    assert not any(each.missing for each in proofs())


# Interruptions


def test_crash_at_any_moment_of_an_audit_loses_no_proof(proofs: Proofs) -> None:
    def at_the_audit() -> Site:
        site = Site(every=6)
        site.live(24)
        site.table.dropped = {10_003}
        site.time.advance(6 * 3600)
        site.write()
        site.journal.entries.clear()
        return site

    site = at_the_audit()
    site.run()
    effects = list(site.journal.entries)
    assert effects[-4:] == ["query", "names", "save", "release"]
    for number in range(effects.index("query") - 1, len(effects)):
        for when in ("before", "after"):
            site = at_the_audit()
            site.journal.die = number, when
            site.run_until_crash()

            site.live(26)

            checkpoint = site.store.checkpoint()
            assert checkpoint.audited is not None
            assert checkpoint.audit
            assert checkpoint.audit.proof
            assert checkpoint.audit.proof.missing == 1
            assert checkpoint.audit.proof.duplicated == 0
            assert site.duplicates() == set()


def test_sweep_of_many_runs_is_audited_whole(proofs: Proofs) -> None:
    site = Site(page_size=10)
    site.write(400, DAY - MINUTE)
    site.budget, site.jira.seconds = 60.0, 2.0
    for _ in range(60 * 4):
        site.time.advance(900)
        if site.time.now % HOUR < 900_000:
            site.write()
        site.run()

    assert "partial" in {outcome.result for outcome in site.outcomes}
    found = proofs()
    assert contiguous(found)
    settled = [
        known["id"]
        for known in site.jira.site.records
        if found[0].start <= timestamps.parse(known["created"]) <= found[-1].end
    ]
    assert sum(each.jira for each in found) == len(settled)
    assert not any(each.missing for each in found)


def test_app_that_was_stopped_for_days_is_audited_without_a_gap(proofs: Proofs) -> None:
    site = Site(every=2)
    site.live(50)
    for _ in range(4 * 24):
        site.time.advance(3600)
        site.write()

    site.live(3 * 24)

    found = proofs()
    assert contiguous(found)
    settled = [
        known["id"]
        for known in site.jira.site.records
        if timestamps.parse(known["created"]) <= found[-1].end
    ]
    assert sum(each.jira for each in found) == len(settled)
    assert not any(each.missing or each.duplicated for each in found)


# Without a workspace


def test_audit_without_a_workspace_is_nothing(proofs: Proofs) -> None:
    site = Site(audits=False)

    site.live(3 * 24)

    assert (site.table.asked, proofs()) == (0, [])
    assert site.store.checkpoint().audit is None


def test_audit_ends_when_the_setting_is_removed() -> None:
    site = Site()
    site.live(50)
    site.policy = replace(site.policy, audits=False)

    site.live(48)

    assert site.store.checkpoint().audit is None
    assert site.table.asked == 2


def test_audit_of_a_site_that_was_collected_before_begins_with_now(proofs: Proofs) -> None:
    """What earlier runs announced is not known, so their duplicates are not counted."""
    site = Site(audits=False)
    site.live(50)
    site.sink.table += site.sink.table[200:210]
    site.policy = replace(site.policy, audits=True)

    site.live(3 * 24)

    assert len(proofs()) == 3
    assert not any(each.duplicated or each.missing for each in proofs())


def test_checkpoint_with_an_unreadable_audit_is_collected() -> None:
    site = Site()
    site.live(30)
    name = f"checkpoints/{HOST}.json"
    site.store.blobs[name] = site.store.blobs[name].replace(b'"days":', b'"weeks":')

    site.live(30)

    assert {outcome.result for outcome in site.outcomes} == {"ok"}
    assert isinstance(site.store.checkpoint(), Checkpoint)
    assert site.store.checkpoint().audit
