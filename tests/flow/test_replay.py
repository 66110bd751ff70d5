"""Dead letters sent again: what is delivered, what stays, what a death in between may double."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import pytest

from jira_audit.core.batches import BATCH_LIMIT
from jira_audit.core.errors import OutOfTime, SiteError, TransientError
from jira_audit.core.letters import Letter
from jira_audit.core.policy import Reset
from jira_audit.core.timestamps import DAY, HOUR, MINUTE
from tests.fakes.world import HOST, START, TOKEN, World, record
from tests.flow.test_collect import accept_then_raise, ids, raise_error, world_with

REFUSED = (10_017, 10_018)
NO_LETTER = f"dead-letters/{HOST}/2026-11-20/77.json"


def world_with_letters() -> World:
    """A site of 60 records, two of which were refused; now they would be accepted."""
    world = world_with(60)
    world.sink.poison = set(REFUSED)
    world.run()
    world.sink.poison = set()
    world.journal.entries.clear()
    return world


def names(world: World, folder: str = "dead-letters") -> list[str]:
    return sorted(name for name in world.store.blobs if name.startswith(folder))


def letter_name(record_id: int, day: str = "2026-11-20") -> str:
    return f"dead-letters/{HOST}/{day}/{record_id}.json"


def store_unread_letter(world: World, record_id: int, created: int, name: str | None = None) -> str:
    """A letter that was kept by a version that could not read its record; this one can."""
    name = name or letter_name(record_id, "undated")
    letter = Letter("unreadable", "no readable created time", HOST, record(record_id, created))
    world.store.blobs[name] = letter.encode(START)
    return name


# Ordinary replays


def test_letters_are_sent_then_deleted() -> None:
    world = world_with_letters()

    replayed = world.replay()

    assert replayed.sent == (letter_name(10_017), letter_name(10_018))
    assert (replayed.gone, replayed.kept, replayed.error) == ((), (), None)
    assert sorted(world.rows()) == sorted(ids(world))
    assert not names(world)
    assert world.journal.entries == [
        *("stored", "take", "load", "names"),
        *("read", "send", "delete") * 2,
        "release",
    ]


def test_letters_named_are_sent_once_and_no_others() -> None:
    world = world_with_letters()

    replayed = world.replay(letter_name(10_018), letter_name(10_018), "2026-11-20/10018")

    assert replayed.sent == (letter_name(10_018),)
    assert names(world) == [letter_name(10_017)]
    assert not world.duplicates()


def test_letters_are_sent_under_the_sites_lease() -> None:
    world = world_with_letters()
    outcomes = []
    world.journal.meanwhile[4] = lambda: outcomes.append(world.run())

    world.replay()

    assert [outcome.result for outcome in outcomes] == ["skipped"]


def test_letters_of_these_tests_equal_those_of_a_run() -> None:
    """What the tests above write past the flow is what the flow writes."""
    world = world_with_letters()
    [first, _] = [json.loads(world.store.blobs[name]) for name in names(world)]
    assert first.keys() == json.loads(Letter("refused", "", HOST, {}, 400).encode(0)).keys()


def test_letters_are_required_for_a_call() -> None:
    world = world_with(3)
    world.run()

    assert world.replay() == type(world.replay())()
    assert len(world.sink.sent) == 1


# Single letters


@pytest.mark.parametrize(
    "name",
    [
        "",
        "10017",
        "../../10017",
        "2026-11-20/../../../checkpoints/x",
        f"dead-letters/{HOST}/2026-11-20/../2026-11-20/10017.json",
        f"/dead-letters/{HOST}/2026-11-20/10017.json",
        f"originals/{HOST}/2026-11-20/10017.json",
        "dead-letters/other.atlassian.net/2026-11-20/10017.json",
        f"checkpoints/{HOST}.json",
        "2026-11-20\\10017",
        "2026-11-20/10017\n",
        "2026-11-20/１００",
    ],
)
def test_letter_name_of_another_kind_is_refused(name: str) -> None:
    world = world_with_letters()

    with pytest.raises(ValueError, match=r"is not (the name of a letter|one of the dead-letters)"):
        world.replay(letter_name(10_017), name)

    assert not world.journal.entries


def test_letter_that_does_not_exist_is_reported() -> None:
    world = world_with_letters()

    replayed = world.replay(NO_LETTER, letter_name(10_017))

    assert replayed.kept == ((NO_LETTER, "there is no such letter"),)
    assert replayed.sent == (letter_name(10_017),)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot be read as a letter"),
        (b"[]", "cannot be read as a letter"),
        (b"{}", "cannot be read as a letter"),
        (b'{"v":2}', "newer version"),
        (Letter("refused", "", "other.example", record(1, START)).encode(START), "belongs to"),
        (Letter.original(HOST, record(1, START)).encode(START), "belongs to originals"),
    ],
)
def test_letter_that_is_garbled_is_named_and_kept(content: bytes, words: str) -> None:
    world = world_with_letters()
    world.store.blobs[letter_name(10_016)] = content

    replayed = world.replay()

    [(name, reason)] = replayed.kept
    assert name == letter_name(10_016)
    assert name in reason
    assert words in reason
    assert len(replayed.sent) == 2
    assert world.store.blobs[name] == content


def test_letter_that_is_still_unreadable_is_kept() -> None:
    world = world_with_letters()
    unread = Letter("unreadable", "", HOST, {"id": 10_099, "created": "soon"})
    world.store.blobs[unread.name] = unread.encode(START)

    replayed = world.replay()

    assert replayed.kept == ((unread.name, "the record has no readable created time"),)
    assert len(replayed.sent) == 2
    assert names(world) == [unread.name]


def test_letter_that_is_refused_again_is_kept() -> None:
    world = world_with_letters()
    world.sink.poison = {10_017}
    before = dict(world.store.blobs)

    replayed = world.replay()

    assert replayed.kept == ((letter_name(10_017), "InvalidPayload"),)
    assert replayed.sent == (letter_name(10_018),)
    assert world.store.blobs[letter_name(10_017)] == before[letter_name(10_017)]


def test_letter_that_is_too_large_is_kept() -> None:
    world = world_with_letters()
    world.sink.limit = 10
    calls = world.sink.calls

    replayed = world.replay()

    assert [name for name, _ in replayed.kept] == [letter_name(10_017), letter_name(10_018)]
    assert world.sink.calls == calls + 2


def test_letter_refused_like_an_empty_array_stops_the_replay() -> None:
    world = world_with_letters()
    world.sink.refuses_everything = True
    calls = world.sink.calls

    replayed = world.replay()

    assert isinstance(replayed.error, SiteError)
    assert "no row is lost" in str(replayed.error)
    assert world.sink.calls == calls + 2
    assert len(names(world)) == 2
    assert not world.store.leases


def test_letter_that_cannot_be_deleted_is_reported_as_sent() -> None:
    world = world_with_letters()
    world.store.faults.always = raise_error(TransientError("storage answered HTTP 500"))

    replayed = world.replay()

    assert letter_name(10_017) in str(replayed.error)
    assert "delete it by hand" in str(replayed.error)
    assert world.sink.sent[-1] == [10_017]


def test_letter_delivered_by_a_tick_is_deleted_unsent() -> None:
    world = world_with_letters()
    name = store_unread_letter(world, 10_030, START - 2 * HOUR)
    calls = world.sink.calls

    replayed = world.replay(name)

    assert replayed.gone == (name,)
    assert world.sink.calls == calls
    assert name not in world.store.blobs
    assert not world.duplicates()


@pytest.mark.parametrize("name", [None, letter_name(0).replace("/0.json", f"/{'ab' * 16}.json")])
def test_letter_not_delivered_is_sent_and_no_tick_repeats_it(name: str | None) -> None:
    world = world_with_letters()
    late = record(9_999, START - 5 * MINUTE)
    name = store_unread_letter(world, 9_999, START - 5 * MINUTE, name)

    replayed = world.replay(name)

    assert replayed.sent == (name,)
    assert 9_999 in world.store.checkpoint().ledger
    order = [effect for effect in world.journal.entries if effect in {"send", "save", "delete"}]
    assert order == ["send", "save", "delete"]
    world.jira.site.add([late])
    world.time.advance(300)
    world.run()
    assert not world.duplicates()


def test_letter_from_before_from_is_sent_despite_the_ledger() -> None:
    """There its id may have been another record's: the site's ids may have begun again."""
    world = world_with_letters()
    name = store_unread_letter(world, 10_030, START - 30 * DAY)
    ledger = world.store.checkpoint().ledger

    replayed = world.replay(name)

    assert replayed.sent == (name,)
    assert world.store.checkpoint().ledger == ledger


def test_letter_from_before_a_reset_enters_the_ledger() -> None:
    world = world_with_letters()
    reset = Reset("again", START - 3 * HOUR)
    world.jira.faults.always = raise_error(TransientError("Jira is away"))
    world.run(reset=reset)
    world.jira.faults.always = None

    world.replay()
    world.run(reset=reset)

    rows = world.rows()
    assert [rows.count(each) for each in REFUSED] == [1, 1]


def test_letter_whose_row_is_truncated_leaves_an_original() -> None:
    world = world_with_letters()
    long = record(10_060, START - MINUTE, summary="long " * 20_000)
    letter = Letter("refused", "400", HOST, long, 400)
    world.store.blobs[letter.name] = letter.encode(START)

    world.replay(letter.name)

    [original] = world.store.letters("originals")
    assert original["record"] == long
    assert world.sink.table[-1]["truncated_b"] is True
    assert letter.name not in world.store.blobs
    assert world.journal.entries.index("keep") < world.journal.entries.index("send")


# Rows and originals


def test_originals_are_never_sent() -> None:
    world = world_with(3)
    world.jira.site.add([record(10_003, START - MINUTE, summary="long " * 20_000)])
    world.run()
    calls = world.sink.calls

    world.replay()
    with pytest.raises(ValueError, match="is not one of the dead-letters"):
        world.replay(*names(world, "originals"))

    assert world.sink.calls == calls
    assert len(names(world, "originals")) == 1


def test_rows_are_mapped_again() -> None:
    world = world_with_letters()
    world.time.advance(3600)

    world.replay()

    rows = {row["id_d"]: row for row in world.sink.table}
    assert rows[10_017]["TimeGenerated"] > "2026-11-20T13"
    assert set(rows[10_017]) == set(rows[10_000])


def test_rows_have_the_event_time_if_set() -> None:
    world = world_with_letters()
    world.policy = replace(world.policy, event_time=True)

    world.replay()

    row = next(row for row in world.sink.table if row["id_d"] == 10_017)
    assert row["TimeGenerated"] == row["created_t"]


# The replay as a whole


def test_replay_is_not_repeated_by_ticks() -> None:
    world = world_with_letters()
    world.replay()
    for _ in range(30):
        world.time.advance(3600)
        world.run()

    assert not world.duplicates()


def test_replay_skips_a_site_under_lease() -> None:
    world = world_with_letters()
    world.store.leases[f"checkpoints/{HOST}.json"] = (99, world.time.clock.monotonic() + 60)

    replayed = world.replay()

    assert replayed.skipped
    assert world.journal.entries == ["stored", "take"]
    assert len(names(world)) == 2


def test_replay_stops_when_its_lease_is_lost() -> None:
    world = world_with_letters()
    name = f"checkpoints/{HOST}.json"
    world.sink.seconds = 50
    world.journal.meanwhile[4] = lambda: world.store.leases.update({name: (99, 1e12)})

    replayed = world.replay()

    assert isinstance(replayed.error, TransientError)
    assert len(replayed.sent) == 1
    assert world.store.leases[name][0] == 99


def test_replay_stops_at_a_garbled_checkpoint() -> None:
    world = world_with_letters()
    world.store.blobs[f"checkpoints/{HOST}.json"] = b"{"

    replayed = world.replay()

    assert "cannot be read" in str(replayed.error)
    assert world.journal.entries == ["stored", "take", "load", "release"]


@pytest.mark.parametrize("error", [SiteError("403"), TransientError("503")])
def test_replay_stops_at_a_failure_and_keeps_its_progress(error: Exception) -> None:
    world = world_with_letters()
    world.sink.faults.at[world.sink.faults.calls] = lambda call: call()
    for later in range(1, 10):
        world.sink.faults.at[world.sink.faults.calls + later] = raise_error(error)

    replayed = world.replay()

    assert replayed.sent == (letter_name(10_017),)
    assert replayed.error is error
    assert names(world) == [letter_name(10_018)]
    assert not world.store.leases


def test_replay_retries_a_send() -> None:
    world = world_with_letters()
    world.sink.faults.script = [
        raise_error(TransientError("503")),
        raise_error(TransientError("reset")),
    ]

    assert len(world.replay().sent) == 2


def test_replay_starts_no_letter_after_the_deadline() -> None:
    world = world_with_letters()
    world.sink.seconds, world.budget = 20, 10

    replayed = world.replay()

    assert len(replayed.sent) == 1
    assert isinstance(replayed.error, OutOfTime)
    assert not world.store.leases


def test_replay_keeps_its_lease_when_a_save_fails() -> None:
    world = world_with_letters()
    name = store_unread_letter(world, 9_999, START - 5 * MINUTE)
    world.store.faults.always = raise_error(TransientError("storage answered HTTP 500"))

    replayed = world.replay(name)

    assert replayed.sent == ()
    assert name in world.store.blobs
    assert world.store.leases


def test_replay_with_a_lost_answer_duplicates_that_letter_only() -> None:
    world = world_with_letters()
    lost = accept_then_raise(TransientError("connection dropped"))
    world.sink.faults.at[world.sink.faults.calls] = lost

    assert len(world.replay().sent) == 2

    assert world.duplicates() == {10_017}


UNREADABLE, UNREAD_NEWS, UNREAD_KNOWN = 10_099, 10_061, 10_030


def world_with_every_letter() -> World:
    """Letters of every kind, the record of one of which Jira shows to the ticks as well."""
    world = world_with_letters()
    unreadable = Letter("unreadable", "", HOST, {"id": UNREADABLE, "created": "soon"})
    world.store.blobs[unreadable.name] = unreadable.encode(START)
    world.jira.site.add([record(UNREAD_NEWS, START - MINUTE)])
    store_unread_letter(world, UNREAD_NEWS, START - MINUTE)
    store_unread_letter(world, UNREAD_KNOWN, START - 2 * HOUR)
    long = record(10_062, START - MINUTE, summary="long " * 20_000)
    world.jira.site.add([long])
    world.store.blobs[letter_name(10_062)] = Letter("refused", "", HOST, long, 400).encode(START)
    place = world.store.checkpoint()
    known = replace(place, ledger=place.ledger.with_ids([10_062]))
    world.store.blobs[f"checkpoints/{HOST}.json"] = known.encode(START)
    return world


def effects() -> list[str]:
    world = world_with_every_letter()
    replayed = world.replay()
    assert (len(replayed.sent), len(replayed.gone), len(replayed.kept)) == (4, 1, 1)
    assert not world.duplicates()
    return world.journal.entries


def crashes() -> Iterator[World]:
    moments_: tuple[Literal["before"], Literal["after"]] = ("before", "after")
    for number in range(len(effects())):
        for when in moments_:
            world = world_with_every_letter()
            world.journal.die = (number, when)
            world.run_until_crash(world.replay)
            yield world


@pytest.mark.parametrize("then", ["replay", "tick"])
def test_replay_that_crashes_anywhere_duplicates_one_letter_at_most(
    then: str,
) -> None:
    for world in crashes():
        assert not world.missing(ids(world))
        if then == "tick":
            world.run()

        replayed = world.replay()

        assert replayed.error is None
        assert names(world) == [letter_name(UNREADABLE, "undated")]
        assert ids(world) <= set(world.rows())
        assert [each["record"]["id"] for each in world.store.letters("originals")] == [10_062]
        world.time.advance(300)
        world.run()
        assert len(world.rows()) - len(set(world.rows())) <= 1
        assert world.duplicate_bytes() <= BATCH_LIMIT


def test_replay_crash_points_include_every_kind_of_effect() -> None:
    assert set(effects()) == {
        *("stored", "take", "load", "names", "read", "send", "keep", "save", "delete", "release"),
    }


def test_replay_logs_no_secret_and_no_record(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world = world_with_letters()
    world.sink.poison = {10_017}
    world.store.blobs[letter_name(1)] = b'{"record": "Thing"'

    replayed = world.replay()

    assert letter_name(10_018) in caplog.text
    assert "Thing" not in caplog.text + repr(replayed)
    assert TOKEN not in caplog.text + repr(replayed)
