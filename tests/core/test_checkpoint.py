"""The checkpoint: what is stored, what is refused, and what may be pruned."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jira_audit.core.audit import Audit, Day, Proof
from jira_audit.core.checkpoint import CLOCK_SKEW, SIZE_LIMIT, Checkpoint, Sweep, decode
from jira_audit.core.errors import SiteError
from jira_audit.core.ledger import Ledger
from jira_audit.core.plan import earliest_reread, sweep_range, tick_range
from jira_audit.core.records import Identity
from jira_audit.core.timestamps import DAY, HOUR, MINUTE
from jira_audit.core.window import ReadRange, WindowResult
from tests.core.json_strategies import texts, values

SITE = "contoso.atlassian.net"
NOON = 1_611_144_000_000  # 2021-01-20T12:00:00.000Z
DAY_0 = NOON - 12 * HOUR

FULL = Checkpoint(
    site=SITE,
    start=NOON - 3 * DAY,
    through=NOON,
    cloud_id="11111111-2222-4333-8444-555555555555",
    claim="66666666-2222-4333-8444-555555555555",
    former=("old.atlassian.net", "older.atlassian.net"),
    moving_from="old.atlassian.net",
    reread=NOON - 5 * MINUTE,
    latest=NOON - 1,
    ledger=Ledger(((10_000, 10_287), (10_290, 10_290))),
    step=7_200_000,
    marks=((NOON - 3 * DAY, 10_000), (NOON - DAY, 10_200)),
    pruned=NOON - 2 * DAY,
    swept=NOON - HOUR,
    sweep=Sweep(NOON - DAY, NOON - HOUR, NOON),
    audited=NOON - DAY,
    audit=Audit(
        next=NOON - DAY + 1,
        since=NOON - HOUR,
        shown=Ledger(((10_200, 10_210),)),
        days=(Day(NOON - 2 * DAY, NOON - DAY, Ledger(((10_100, 10_100),)), is_asked=True),),
        announced=Ledger(((10_150, 10_160),)),
        unsure=Ledger(((NOON - HOUR, NOON),)),
        asked=NOON - MINUTE,
        proof=Proof(NOON - 2 * DAY, NOON - DAY, NOON - HOUR, 7, 6, 1, 4, 1, 2, 3),
    ),
    reset="contoso.atlassian.net=all#2",
    halted="the site's ids have restarted",
    suspect=Identity(10_100, NOON - 2),
    began=NOON - MINUTE,
    last={"outcome": "ok", "at": "2021-01-20T12:00:00.000Z"},
    late_found=3,
)
BLOB = {
    "v": 1,
    "site": "contoso.atlassian.net",
    "cloud_id": "11111111-2222-4333-8444-555555555555",
    "claim": "66666666-2222-4333-8444-555555555555",
    "former": ["old.atlassian.net", "older.atlassian.net"],
    "moving_from": "old.atlassian.net",
    "from": "2021-01-17T12:00:00.000Z",
    "through": "2021-01-20T12:00:00.000Z",
    "reread": "2021-01-20T11:55:00.000Z",
    "latest": "2021-01-20T11:59:59.999Z",
    "ledger": [[10_000, 10_287], [10_290, 10_290]],
    "step": 7_200_000,
    "marks": [["2021-01-17T12:00:00.000Z", 10_000], ["2021-01-19T12:00:00.000Z", 10_200]],
    "pruned": "2021-01-18T12:00:00.000Z",
    "swept": "2021-01-20T11:00:00.000Z",
    "sweep": {
        "through": "2021-01-19T12:00:00.000Z",
        "end": "2021-01-20T11:00:00.000Z",
        "began": "2021-01-20T12:00:00.000Z",
    },
    "audited": "2021-01-19T12:00:00.000Z",
    "audit": {
        "next": "2021-01-19T12:00:00.001Z",
        "since": "2021-01-20T11:00:00.000Z",
        "shown": [[10_200, 10_210]],
        "days": [
            {
                "from": "2021-01-18T12:00:00.000Z",
                "to": "2021-01-19T12:00:00.000Z",
                "ids": [[10_100, 10_100]],
                "asked": True,
            }
        ],
        "announced": [[10_150, 10_160]],
        "unsure": [["2021-01-20T11:00:00.000Z", "2021-01-20T12:00:00.000Z"]],
        "asked": "2021-01-20T11:59:00.000Z",
        "proof": {
            "from": "2021-01-18T12:00:00.000Z",
            "to": "2021-01-19T12:00:00.000Z",
            "at": "2021-01-20T11:00:00.000Z",
            "jira": 7,
            "ledger": 6,
            "letters": 1,
            "table": 4,
            "absent": 1,
            "missing": 2,
            "duplicated": 3,
        },
    },
    "reset": "contoso.atlassian.net=all#2",
    "halted": "the site's ids have restarted",
    "suspect": {"id": 10_100, "created": "2021-01-20T11:59:59.998Z"},
    "began": "2021-01-20T11:59:00.000Z",
    "last": {"outcome": "ok", "at": "2021-01-20T12:00:00.000Z"},
    "late_found": 3,
    "saved": "2021-01-20T12:00:00.001Z",
}


def blob(**changes: Any) -> bytes:
    return json.dumps(BLOB | changes).encode()


# What is stored


def test_checkpoint_is_stored_under_the_contracts_names() -> None:
    assert json.loads(FULL.encode(NOON + 1)) == BLOB


def test_checkpoint_is_read_as_it_was_stored() -> None:
    assert decode(blob(), SITE) == FULL


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default  # MISSING, which equals no value, where there is none


@pytest.mark.parametrize("field", dataclasses.fields(Checkpoint), ids=lambda field: field.name)
def test_fields_are_all_written_and_read(field: dataclasses.Field[Any]) -> None:
    """A field missing in `encode` or `decode` would come back as its default."""
    full = replace(FULL, unknown={"future": 1})
    value = getattr(full, field.name)

    assert value != _default(field), f"give {field.name} a value in FULL"
    assert getattr(decode(full.encode(NOON), SITE), field.name) == value


timestamp_ms = st.integers(-(10**12), 10**13)

ledgers = st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 50)).map(Ledger().with_ids)
moments = st.lists(st.tuples(timestamp_ms, st.integers(0, 10**9))).map(
    lambda ranges: Ledger.of([(start, start + length) for start, length in ranges])
)
audits = st.builds(
    Audit,
    next=timestamp_ms,
    since=timestamp_ms,
    shown=ledgers,
    days=st.lists(
        st.builds(Day, timestamp_ms, timestamp_ms, ledgers, is_asked=st.booleans()), max_size=3
    ).map(tuple),
    announced=ledgers,
    unsure=moments,
    asked=st.none() | timestamp_ms,
    proof=st.none() | st.builds(Proof, *[timestamp_ms] * 3, *[st.integers(0, 10**9)] * 7),
)

checkpoints = st.builds(
    lambda start, ahead, **rest: Checkpoint(SITE, start, start + ahead, **rest),
    start=timestamp_ms,
    ahead=st.integers(0, 10**10),
    cloud_id=st.none() | texts,
    claim=st.none() | texts,
    former=st.lists(texts, max_size=3).map(tuple),
    moving_from=st.none() | texts,
    reread=st.none() | timestamp_ms,
    latest=st.none() | timestamp_ms,
    ledger=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 50)).map(Ledger().with_ids),
    step=st.integers(1, 10**15),
    marks=st.lists(st.tuples(timestamp_ms, st.integers(0, 10**9))).map(
        lambda marks: tuple(sorted(marks))
    ),
    pruned=st.none() | timestamp_ms,
    last=st.none() | st.dictionaries(texts, st.none() | st.integers(0, 9) | texts, max_size=3),
    late_found=st.integers(0, 10**9),
    swept=st.none() | timestamp_ms,
    sweep=st.none() | st.builds(Sweep, timestamp_ms, timestamp_ms, timestamp_ms),
    audited=st.none() | timestamp_ms,
    audit=st.none() | audits,
    reset=st.none() | texts,
    halted=st.none() | texts,
    suspect=st.none() | st.builds(Identity, st.integers(-(2**63), 2**63 - 1), timestamp_ms),
    began=st.none() | timestamp_ms,
    unknown=st.dictionaries(texts.map(lambda name: f"x{name}"), values, max_size=3),
)


def test_fields_are_all_covered_by_the_strategy() -> None:
    """Otherwise the property below does not cover the missing field."""
    made: set[str] = set()

    @settings(max_examples=200, derandomize=True, database=None)
    @given(checkpoints)
    def note_fields(checkpoint: Checkpoint) -> None:
        made.update(
            each.name
            for each in dataclasses.fields(checkpoint)
            if getattr(checkpoint, each.name) != _default(each)
        )

    note_fields()
    assert made == {each.name for each in dataclasses.fields(Checkpoint)}


def test_checkpoint_of_a_first_run_is_complete() -> None:
    first = Checkpoint.first(SITE, NOON - DAY, NOON)
    assert json.loads(first.encode(NOON)) == {
        "v": 1,
        "site": "contoso.atlassian.net",
        "cloud_id": None,
        "claim": None,
        "former": [],
        "moving_from": None,
        "from": "2021-01-19T12:00:00.000Z",
        "through": "2021-01-19T12:00:00.000Z",
        "reread": None,
        "latest": None,
        "ledger": [],
        "step": 3_600_000,
        "marks": [],
        "pruned": None,
        "swept": "2021-01-20T12:00:00.000Z",
        "sweep": None,
        "audited": None,
        "audit": None,
        "reset": None,
        "halted": None,
        "suspect": None,
        "began": None,
        "last": None,
        "late_found": 0,
        "saved": "2021-01-20T12:00:00.000Z",
    }
    assert decode(first.encode(NOON), SITE) == first


@settings(deadline=None)
@given(checkpoints, timestamp_ms)
def test_checkpoint_of_any_content_is_read_as_it_was_stored(
    checkpoint: Checkpoint, saved: int
) -> None:
    read = decode(checkpoint.encode(saved), SITE)
    assert read == checkpoint
    assert repr(read.unknown) == repr(checkpoint.unknown)


def test_fields_unknown_to_this_version_survive_a_save() -> None:
    stored = blob(v=1, later={"a": [2**70, None]}, marked=True)
    place = decode(stored, SITE)
    for change in (
        place.dealt_with([Identity(10_291, NOON)]),
        place.read_through(NOON + 1).stepping(5).swept_through(1, 2, 3).marked(NOON, NOON, 4),
        place.reset_to(NOON, NOON, "all"),
        place.pruned_to_size(NOON, limit=1),
    ):
        again = json.loads(decode(change.encode(0), SITE).encode(0))
        assert again["later"] == {"a": [2**70, None]}
        assert again["marked"] is True


def test_fields_unknown_to_this_version_replace_no_known_field() -> None:
    place = replace(FULL, unknown={"through": "yesterday", "v": 9})
    assert decode(place.encode(0), SITE).through == NOON


# What is refused


HOW_TO_MEND = (
    "Run jira-audit checkpoint reset --site contoso.atlassian.net --from TIME, with the time up to "
    "which its rows are complete; or delete the blob checkpoints/contoso.atlassian.net.json, and "
    "set CHECKPOINT_RESET to that time"
)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b" ", b"{", b"null", b"[]", b"7", b'"text"', b"<html>", b"\xff\xfe", b"{}"),
        blob()[:-1],
        blob().replace(b"1", b"NaN", 1),
        b"[" * 100_000,
    ],
)
def test_blob_that_is_no_checkpoint_raises_an_error_with_the_remedy(content: bytes) -> None:
    with pytest.raises(SiteError) as raised:
        decode(content, SITE)
    assert HOW_TO_MEND in str(raised.value)
    assert str(raised.value).startswith("contoso.atlassian.net: the checkpoint cannot be read")


OPTIONAL = {
    *("cloud_id", "claim", "former", "moving_from", "reread", "halted", "suspect", "began"),
    *("last", "late_found", "saved", "audited", "audit"),
}


@pytest.mark.parametrize("name", [name for name in BLOB if name not in OPTIONAL])
def test_blob_without_a_required_field_is_unreadable(name: str) -> None:
    without = {key: value for key, value in BLOB.items() if key != name}
    with pytest.raises(SiteError) as raised:
        decode(json.dumps(without).encode(), SITE)
    assert HOW_TO_MEND in str(raised.value)


NAIVE = "2021-01-20T12:00:00.000"

UNTRUE: dict[str, list[Any]] = {
    "v": [None, "1", [1], {}, 0, -1, 1.0, True, False],
    "site": [None, 7, "other.atlassian.net", "", "CONTOSO.atlassian.net"],
    "from": [None, 7, "", [], NAIVE, "2021-01-21T00:00:00Z"],
    "through": [None, 7, "now", NAIVE, "2021-01-16T00:00:00Z"],
    "reread": [7, "", False, [], NAIVE],
    "latest": [7, "", False, [], NAIVE],
    "ledger": [
        *(None, 7, "12", "", {}, {"12": 1}, ["12"], [7], [[1]], [[1, 2, 3]], [[None, None]]),
        *([["1", 2]], [[1, 2.0]], [[True, 2]], [[2, 1]], [[1, 5], [9, 8]]),
    ],
    "step": [None, 0, -1, 1.5, "1", True, []],
    "marks": [
        *(None, 7, {}, "", [7], [[NAIVE, 1]], [["x", 1]], [[1, 1]]),
        [["2021-01-17T12:00:00Z", "1"]],
    ],
    "pruned": [7, "", False, NAIVE],
    "swept": [7, "", False, NAIVE],
    "sweep": [
        *(7, "", 0, False, [], {}, NAIVE, {"through": NAIVE, "end": NAIVE}),
        {"through": "2021-01-19T12:00:00Z"},
    ],
    "reset": [7, False, [], {}],
    "halted": [7, False, [], {}],
    "began": [7, "yesterday"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in UNTRUE.items() for value in values]
)
def test_blob_with_an_invalid_field_is_unreadable(name: str, value: Any) -> None:
    with pytest.raises(SiteError) as raised:
        decode(blob(**{name: value}), SITE)
    assert HOW_TO_MEND in str(raised.value)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(BLOB)), values, min_size=1, max_size=3))
def test_blob_of_any_content_is_a_checkpoint_or_an_error(
    changes: dict[str, Any],
) -> None:
    try:
        place = decode(blob(**changes), SITE)
    except SiteError:
        return
    assert decode(place.encode(0), SITE) == place


def test_blob_without_reread_is_read() -> None:
    without = {key: value for key, value in BLOB.items() if key != "reread"}
    assert decode(json.dumps(without).encode(), SITE) == replace(FULL, reread=None)


def test_blob_without_a_last_run_is_read() -> None:
    without = {key: value for key, value in BLOB.items() if key not in {"last", "late_found"}}
    known = decode(json.dumps(without).encode(), SITE)
    assert known == replace(FULL, last=None, late_found=0)


@pytest.mark.parametrize("value", [7, "ok", [], False, -1, 1.5, "3"])
def test_blob_with_an_invalid_last_run_fails_no_site(value: Any) -> None:
    known = decode(blob(last=value, late_found=value), SITE)
    assert known.last is None
    assert known.late_found == (7 if value == 7 else 0)


def test_blob_of_another_site_is_refused_by_name() -> None:
    with pytest.raises(SiteError, match="it names another site"):
        decode(blob(), "fabrikam.atlassian.net")


@pytest.mark.parametrize("version", [2, 17])
def test_blob_of_a_newer_version_is_refused(version: int) -> None:
    with pytest.raises(SiteError, match=f"newer version.*v {version}, this one knows 1") as raised:
        decode(blob(v=version, ledger="another form"), SITE)
    assert "CHECKPOINT_RESET" not in str(raised.value)


def test_blob_with_an_unsorted_ledger_is_read() -> None:
    assert decode(blob(ledger=[[5, 6], [1, 2], [3, 3]]), SITE).ledger == Ledger(((1, 3), (5, 6)))


# Changes


def test_checkpoint_keeps_the_last_run_and_counts_late_records() -> None:
    place = FULL.ended({"outcome": "partial"}, 2).ended({"outcome": "ok"}, 1)
    assert (place.last, place.late_found) == ({"outcome": "ok"}, 6)


def test_checkpoint_is_not_changed_in_place() -> None:
    before = FULL.encode(0)
    FULL.dealt_with([Identity(1, 1)]).marked(0, 0, 0).read_through(NOON + 1).reset_to(0, 0, None)
    assert FULL.encode(0) == before


@given(st.lists(timestamp_ms, min_size=1, max_size=9))
def test_through_only_grows(to: list[int]) -> None:
    place = replace(FULL, start=-(10**12), through=to[0])
    for at, so_far in ((at, max(to[: n + 1])) for n, at in enumerate(to)):
        place = place.read_through(at)
        assert place.through == so_far


def test_reread_is_kept_until_the_overlap_is_complete() -> None:
    within = FULL.reread_through(NOON - MINUTE)
    assert (within.through, within.reread) == (NOON, NOON - MINUTE)
    assert within.read_through(NOON - 1).reread == NOON - MINUTE
    assert FULL.reread_through(NOON).reread is None
    assert within.reread_done() == replace(FULL, reread=None)


def test_records_enter_the_ledger_and_leave_through() -> None:
    place = FULL.dealt_with([Identity(10_289, NOON + 5), Identity(10_288, NOON - 5)])
    assert place.ledger == Ledger(((10_000, 10_290),))
    assert place.latest == NOON + 5
    assert place.through == NOON


def test_records_that_are_older_leave_the_latest() -> None:
    assert FULL.dealt_with([Identity(9_000, NOON - DAY)]).latest == NOON - 1
    assert FULL.dealt_with([]) == FULL
    assert Checkpoint.first(SITE, 0, 0).dealt_with([]).latest is None
    assert Checkpoint.first(SITE, 0, 0).dealt_with([Identity(1, -5)]).latest == -5


def test_records_may_be_an_iterator() -> None:
    place = FULL.dealt_with(iter([Identity(1, NOON + 1)]))
    assert 1 in place.ledger
    assert place.latest == NOON + 1


def test_reset_keeps_its_value_and_unknown_fields() -> None:
    place = replace(FULL, unknown={"x": 1}).reset_to(NOON - 9 * DAY, NOON + 5, "all#3")
    assert place == Checkpoint(
        SITE,
        NOON - 9 * DAY,
        NOON - 9 * DAY,
        step=3_600_000,
        swept=NOON + 5,
        audit=Audit.begun(NOON - 9 * DAY, NOON + 5, is_new=False),
        reset="all#3",
        former=("old.atlassian.net", "older.atlassian.net"),
        moving_from="old.atlassian.net",
        unknown={"x": 1},
    )


def test_sweep_keeps_its_place_until_it_is_done() -> None:
    place = replace(FULL, sweep=None, swept=1)
    under_way = place.swept_through(5, 9, 7)
    assert (under_way.sweep, under_way.swept) == (Sweep(5, 9, 7), 1)
    assert under_way.swept_through(8, 9, 7).sweep == Sweep(8, 9, 7)
    done = under_way.sweep_done(77)
    assert (done.sweep, done.swept) == (None, 77)


# Marks


def test_marks_are_one_a_day_with_the_smallest_id() -> None:
    place = Checkpoint.first(SITE, DAY_0, DAY_0)
    for start, smallest in [
        (DAY_0 + HOUR, 500),
        (DAY_0 + 2 * HOUR, 400),
        (DAY_0 + DAY, 900),
        (DAY_0 + MINUTE, 700),
        (DAY_0 + DAY - 1, 600),
        (DAY_0 - 1, 300),
    ]:
        place = place.marked(start, start, smallest)
    assert place.marks == ((DAY_0 - 1, 300), (DAY_0 + MINUTE, 400), (DAY_0 + DAY, 900))


@given(st.lists(st.tuples(st.integers(-4 * DAY, 4 * DAY), st.integers(0, 99))))
def test_marks_are_sorted_in_any_order_of_windows(
    windows: list[tuple[int, int]],
) -> None:
    place = Checkpoint.first(SITE, 0, 0)
    for start, smallest in windows:
        place = place.marked(start, start, smallest)
    days = {start // DAY for start, _ in windows}
    assert place.marks == tuple(
        (
            min(start for start, _ in windows if start // DAY == day),
            min(smallest for start, smallest in windows if start // DAY == day),
        )
        for day in sorted(days)
    )


def test_marks_within_a_longer_window_take_its_smallest_id() -> None:
    place = Checkpoint(SITE, DAY_0, DAY_0).marked(DAY_0 + DAY, DAY_0 + DAY + HOUR, 500)

    place = place.marked(DAY_0 + DAY - HOUR, DAY_0 + DAY + HOUR, 20)

    assert place.marks == ((DAY_0 + DAY - HOUR, 20), (DAY_0 + DAY, 20))


# Pruning


def test_limits_are_one_mebibyte_and_five_minutes() -> None:
    assert SIZE_LIMIT == 1_048_576
    assert CLOCK_SKEW == 300_000


def test_pruning_drops_nothing_below_the_limit() -> None:
    size = len(FULL.encode(0))
    assert FULL.pruned_to_size(NOON, limit=size) == FULL
    assert FULL.pruned_to_size(NOON, limit=size - 1) != FULL


def test_pruning_drops_ids_out_of_reach_above_the_limit() -> None:
    place = Checkpoint(
        SITE,
        DAY_0,
        DAY_0 + 9 * DAY,
        ledger=Ledger(((100, 100), (200, 250), (300, 300))),
        marks=((DAY_0, 100), (DAY_0 + DAY, 240), (DAY_0 + 2 * DAY, 230), (DAY_0 + 3 * DAY, 290)),
    )
    pruned_to_size = place.pruned_to_size(DAY_0 + DAY + HOUR, limit=1)
    assert pruned_to_size == replace(
        place,
        ledger=Ledger(((230, 250), (300, 300))),
        marks=place.marks[1:],
        pruned=DAY_0 + DAY,
    )


def test_pruning_drops_nothing_without_a_mark() -> None:
    place = Checkpoint(SITE, DAY_0, DAY_0, ledger=Ledger(((1, 9),)))
    assert place.pruned_to_size(DAY_0 + DAY, limit=1) == place
    marked = place.marked(DAY_0 + 2 * DAY, DAY_0 + 2 * DAY, 5)
    assert marked.pruned_to_size(DAY_0 + DAY, limit=1) == marked


def test_pruning_brings_scattered_ids_below_the_limit() -> None:
    place = Checkpoint(SITE, DAY_0, DAY_0, ledger=Ledger().with_ids(range(0, 400_000, 3)))
    for day in range(100):
        at = DAY_0 + day * DAY
        place = place.marked(at, at, day * 4_000)
    assert len(place.encode(0)) > SIZE_LIMIT
    pruned_to_size = place.pruned_to_size(DAY_0 + 97 * DAY)
    assert len(pruned_to_size.encode(0)) < SIZE_LIMIT
    assert pruned_to_size.pruned == DAY_0 + 97 * DAY
    assert pruned_to_size.ledger.ranges[0] == (388_002, 388_002)
    assert pruned_to_size.marks == place.marks[97:]


@dataclass
class Site:
    """A site whose records appear late and out of order, and a connector that records ids, windows
    and marks as a run does. No batch is refused.

    Each window has `pages` pages; with few pages, steps grow. Ids are pruned after `each_window`,
    which is more often than in a run, or at the end of a run that read everything.
    """

    place: Checkpoint
    overlap: int
    length: int
    limit: int
    pages: float = 6.5
    each_window: bool = True
    created: dict[int, int] = field(default_factory=dict)
    delivered: set[int] = field(default_factory=set)
    duplicates: list[int] = field(default_factory=list)
    forgotten: int = 0

    def tick(self, now: int, windows: int) -> None:
        """One run that a deadline ends after a number of windows."""
        own = tick_range(self.place, now, self.overlap)
        if not self.read(own, now, windows, lambda place, to: place.read_through(to)):
            return
        self.place = self.place.reread_done()
        sweep = sweep_range(self.place, now, self.length, own)
        if sweep:
            end = sweep.end
            began = self.place.sweep.began if self.place.sweep else now
            if not self.read(
                sweep, now, windows, lambda place, to: place.swept_through(to, end, began)
            ):
                return
            self.place = self.place.sweep_done(began)
        self.forget(now)

    def read(self, read_range: ReadRange, now: int, windows: int, close: Any) -> bool:
        while window := read_range.window:
            if windows == 0:
                return False
            windows -= 1
            seen = {
                number: at
                for number, at in self.created.items()
                if window.start <= at <= window.end
            }
            fresh = [
                Identity(number, at)
                for number, at in seen.items()
                if number not in self.place.ledger
            ]
            self.duplicates += [each.id for each in fresh if each.id in self.delivered]
            self.delivered |= {each.id for each in fresh}
            place = self.place.dealt_with(fresh)
            if seen:
                place = place.marked(window.start, window.end, min(seen))
            self.place = close(place, window.end)
            if self.each_window:
                self.forget(now)
            read_range = read_range.after(window, WindowResult.CLOSED, self.pages, window.start)
        return True

    def forget(self, now: int) -> None:
        before = len(self.place.ledger)
        self.place = self.place.pruned_to_size(
            earliest_reread(self.place, now, self.overlap, self.length), self.limit
        )
        self.forgotten += before - len(self.place.ledger)
        self.check()

    def check(self) -> None:
        pruned = self.place.pruned
        if pruned is None:
            assert set(self.place.ledger) == self.delivered
            return
        reachable = {number for number in self.delivered if self.created[number] >= pruned}
        assert reachable <= set(self.place.ledger)


@settings(deadline=None, max_examples=150)
@given(
    chance=st.randoms(use_true_random=False),
    step=st.sampled_from([HOUR, 5 * HOUR, 30 * HOUR]),
    overlap=st.sampled_from([0, 15 * MINUTE, 3 * HOUR]),
    length=st.sampled_from([6 * HOUR, 48 * HOUR]),
    pages=st.sampled_from([6.5, 2.0]),
)
def test_pruning_keeps_every_id_that_a_later_read_meets(
    chance: Any, step: int, overlap: int, length: int, pages: float
) -> None:
    place = Checkpoint.first(SITE, DAY_0, DAY_0).stepping(step)
    site = Site(place, overlap, length, limit=200, pages=pages, each_window=pages > 6)
    number, now = 10_000, DAY_0
    for _ in range(40):
        now += chance.choice([5 * MINUTE, HOUR, 7 * HOUR, 26 * HOUR])
        for _ in range(chance.randrange(6)):
            # Even ids, so that each is its own range; some late, some out of order.
            number += 2
            late = chance.choice([0, 0, MINUTE, HOUR, 30 * HOUR])
            at = max(DAY_0, now - late)
            site.created[chance.choice([number, number, 1_000_000 - number])] = at
        site.tick(now, windows=chance.choice([1, 3, 1_000]))
    assert site.duplicates == []


def test_pruning_drops_most_ids_of_the_simulated_site() -> None:
    """Without this, the property above could hold because nothing is ever pruned."""
    place = Checkpoint.first(SITE, DAY_0, DAY_0)
    site = Site(place, 15 * MINUTE, 48 * HOUR, limit=200)
    for hour in range(1, 24 * 20):
        site.created[10_000 + 2 * hour] = DAY_0 + hour * HOUR
        site.tick(DAY_0 + hour * HOUR, windows=1_000)
    assert site.duplicates == []
    assert len(site.delivered) == 479
    assert site.forgotten > 400
    assert len(site.place.marks) <= 4


def test_reads_never_start_before_from_or_the_pruned_ids() -> None:
    place = Checkpoint(SITE, 100, 900)
    assert place.earliest(50) == 100
    assert place.earliest(500) == 500
    assert replace(place, pruned=300).earliest(200) == 300
    assert replace(place, pruned=50).earliest(60) == 100


@pytest.mark.parametrize("stored", ["jira_audit site=x outcome=ok", "a\nb\x1b[2J" + "c" * 5_000])
def test_halt_sentence_begins_with_the_site_and_is_one_line(stored: str) -> None:
    sentence = Checkpoint.first("s", 0, 1).halt(stored).halt_sentence

    assert sentence.startswith("s: ")
    assert sentence.isprintable()
    assert len(sentence) < 2_100


def test_halt_sentence_names_the_site_once() -> None:
    halted = Checkpoint.first("s", 0, 1).halt("s: the ids began again")

    assert halted.halt_sentence == "s: the ids began again"
