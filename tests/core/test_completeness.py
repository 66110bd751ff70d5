"""What became of a record: one status for each, whatever ledger, letters and table say of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.completeness import (
    JiraInventory,
    KnownState,
    RecordStatus,
    TableInventory,
    compare,
    status_of,
)
from jira_audit.core.ledger import Ledger
from jira_audit.core.records import Identity
from jira_audit.core.timestamps import DAY, HOUR, MINUTE
from jira_audit.core.window import Window

SITE = "contoso.atlassian.net"
NOON = 1_611_144_000_000  # 2021-01-20T12:00:00.000Z
START, PRUNED, THROUGH = NOON - 30 * DAY, NOON - 20 * DAY, NOON
FOUND_FROM = NOON - 2 * HOUR
FILLED = Window(NOON - 60 * DAY, NOON - 40 * DAY)

TICKS = Checkpoint(SITE, START, THROUGH, pruned=PRUNED, ledger=Ledger(((100, 199),)))
BACKFILL = Checkpoint(SITE, FILLED.start, FILLED.end, ledger=Ledger(((10, 19),)))
LETTERS = [
    f"dead-letters/{SITE}/2021-01-20/150.json",
    f"dead-letters/{SITE}/undated/{'a' * 32}.json",
    f"dead-letters/{SITE}/2021-01-20/-7.json",
]
STORED = KnownState(TICKS, BACKFILL, LETTERS, FOUND_FROM)
TABLE = TableInventory(Ledger(((100, 120), (300, 310))), {101: 2, 305: 3})


def inventory(*records: tuple[int, int]) -> JiraInventory:
    shown = JiraInventory(0)
    shown.add(Identity(number, created) for number, created in records)
    return shown


@pytest.mark.parametrize(
    ("number", "created", "status"),
    [
        (100, NOON - DAY, "delivered"),
        (100, PRUNED - DAY, "delivered"),
        (150, NOON - DAY, "dead letter"),
        (-7, NOON - DAY, "dead letter"),
        (200, NOON - DAY, "missing"),
        (200, FOUND_FROM - 1, "missing"),
        (200, FOUND_FROM, "pending"),
        (200, NOON, "pending"),
        (200, NOON + 1, "pending"),
        (200, PRUNED, "missing"),
        (200, PRUNED - 1, "unknown"),
        (200, START, "unknown"),
        (100, START - 1, "unknown"),  # the ticks' ledger says nothing of what they never read
        (15, START - 1, "delivered"),
        (15, FILLED.start, "delivered"),
        (15, NOON - DAY, "missing"),  # nor the backfill's of what ticks read
        (20, FILLED.start, "missing"),
        (20, FILLED.end, "missing"),
        (20, FILLED.end + 1, "unknown"),
        (20, FILLED.start - 1, "unknown"),
    ],
)
def test_status_comes_from_the_ledgers_without_a_table(
    number: int, created: int, status: RecordStatus
) -> None:
    assert status_of(Identity(number, created), STORED) == status


@pytest.mark.parametrize(
    ("number", "created", "status"),
    [
        (100, NOON - DAY, "in table"),
        (300, NOON - DAY, "in table"),  # whatever the ledger says
        (300, START - DAY, "in table"),
        (121, NOON - DAY, "missing"),  # accepted, and not there
        (150, NOON - DAY, "dead letter"),
        (200, NOON - DAY, "missing"),
        (200, NOON, "pending"),
        (121, NOON, "missing"),
        (200, PRUNED - 1, "missing"),  # a table leaves nothing unknown
        (200, START - 1, "missing"),
        (20, FILLED.start, "missing"),
    ],
)
def test_status_comes_from_the_table_where_there_is_one(
    number: int, created: int, status: RecordStatus
) -> None:
    assert status_of(Identity(number, created), STORED, TABLE) == status


def test_status_is_lost_for_accepted_records_not_in_the_table() -> None:
    findings = compare(
        inventory((121, NOON - DAY), (200, NOON - DAY), (150, NOON - DAY)), STORED, TABLE
    )

    assert findings.lost == Ledger(((121, 121),))
    assert findings.missing_at == {121: NOON - DAY, 200: NOON - DAY}
    assert not compare(inventory((121, NOON - DAY)), STORED, None).lost.ranges


EARLIER, LATER = NOON - 2 * HOUR, NOON - HOUR


@pytest.mark.parametrize(
    ("records", "delayed"),
    [
        # (id, created): 100 to 120 are in the table, 121 to 199 were accepted, 200 was not
        ([(100, EARLIER), (121, LATER)], [121]),
        ([(121, LATER)], [121]),  # the table shows nothing at all
        ([(100, LATER), (121, EARLIER)], []),  # it shows something newer: a loss
        ([(100, LATER), (121, LATER)], []),
        ([(100, LATER), (121, EARLIER), (122, NOON)], [121, 122]),  # it is behind: who knows
        ([(100, EARLIER - DAY), (121, LATER - DAY)], []),  # no delay lasts so long
        ([(100, EARLIER - DAY), (121, LATER - DAY), (122, LATER)], [121, 122]),  # sent late?
        ([(100, EARLIER), (200, LATER - 2 * HOUR)], []),
    ],
)
def test_status_tells_a_delay_from_a_loss(
    records: list[tuple[int, int]], delayed: list[int]
) -> None:
    findings = compare(inventory(*records), STORED, TABLE, delayed_from=NOON - DAY)

    absent = {number for number, _ in records if number > 120}
    assert list(findings.by_status["delayed"]) == delayed
    assert set(findings.by_status["missing"]) == absent - set(delayed) == set(findings.missing_at)
    assert set(findings.lost) == absent - {200}  # both are waited for
    assert findings.verdict == ("missing" if absent - set(delayed) else "delayed")


def test_status_is_not_delayed_without_a_table() -> None:
    findings = compare(inventory((121, LATER)), STORED, None, delayed_from=NOON - DAY)

    assert findings.count("delayed") == 0


def test_status_before_from_is_unknown_without_a_backfill() -> None:
    stored = replace(STORED, backfill=None)

    assert status_of(Identity(15, FILLED.start), stored) == "unknown"


@pytest.mark.parametrize(
    ("name", "by", "table", "status"),
    [
        (LETTERS[1], NOON - DAY, None, "dead letter"),
        (LETTERS[1], START - DAY, TABLE, "dead letter"),
        ("another", NOON - DAY, None, "missing"),
        ("another", START - DAY, None, "unknown"),
        ("another", START - DAY, TABLE, "missing"),
        ("another", NOON, None, "pending"),
    ],
)
def test_status_of_a_record_without_identity_is_its_letters(
    name: str, by: int, table: TableInventory | None, status: RecordStatus
) -> None:
    findings = compare(JiraInventory(0, nameless=[(name, by)]), STORED, table)

    assert findings.nameless == {name: status}
    assert findings.count(status) == 1
    assert findings.verdict == {"missing": "missing", "unknown": "unknown"}.get(status, "complete")


numbers = st.integers(0, 60)

ledgers = st.sets(numbers).map(Ledger().with_ids)


@given(
    shown=st.dictionaries(numbers, st.integers(NOON - 70 * DAY, NOON + DAY)),
    ticks=ledgers,
    filled=st.none() | ledgers,
    kept=st.sets(numbers),
    held=st.none() | st.dictionaries(numbers, st.integers(1, 3)),
    pruned=st.none() | st.integers(START, NOON),
)
def test_status_is_one_for_each_record_and_none_is_wrongly_missing(
    shown: dict[int, int],
    ticks: Ledger,
    filled: Ledger | None,
    kept: set[int],
    held: dict[int, int] | None,
    pruned: int | None,
) -> None:
    stored = KnownState(
        replace(TICKS, ledger=ticks, pruned=pruned),
        None if filled is None else replace(BACKFILL, ledger=filled),
        [f"dead-letters/{SITE}/2021-01-20/{number}.json" for number in kept],
        FOUND_FROM,
    )
    copies = {number: times for number, times in (held or {}).items() if times > 1}
    table = None if held is None else TableInventory(Ledger().with_ids(held), copies)

    findings = compare(inventory(*shown.items()), stored, table)

    numbers_found = [number for ids in findings.by_status.values() for number in ids]
    assert sorted(numbers_found) == sorted(shown)
    missing = set(findings.by_status["missing"])
    assert set(findings.missing_at) == missing
    assert not missing & kept
    assert not missing & set(held or {})
    assert set(findings.by_status["in table"]) == set(held or {}) & set(shown)
    assert held is None or not findings.by_status["unknown"].ranges
    assert held is None or not findings.by_status["delivered"].ranges
    assert set(findings.lost) <= missing & set(findings.accepted)


def test_table_shows_duplicates_and_records_deleted_in_jira() -> None:
    findings = compare(inventory((100, NOON - DAY), (101, NOON - DAY)), STORED, TABLE)

    assert findings.copies == {101: 2, 305: 3}
    assert findings.only_in_table == Ledger(((102, 120), (300, 310)))


@pytest.mark.parametrize(
    ("records", "verdict"),
    [
        ([], "complete"),
        ([(100, NOON - DAY), (150, NOON), (200, NOON + MINUTE)], "complete"),
        ([(100, NOON - DAY), (100, START - DAY)], "unknown"),
        ([(200, NOON - DAY), (100, START - DAY)], "missing"),
    ],
)
def test_verdict_is_the_worst_finding(records: list[tuple[int, int]], verdict: str) -> None:
    assert compare(inventory(*records), STORED, None).verdict == verdict
