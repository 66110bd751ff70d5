"""Dead letters that are discarded on purpose: what is deleted, and what stays known."""

from __future__ import annotations

import pytest

from jira_audit.core.errors import TransientError
from jira_audit.core.ledger import Ledger
from jira_audit.operations.discard import Discarded, discard
from tests.fakes.world import HOST, World
from tests.flow.test_collect import raise_error
from tests.flow.test_replay import NO_LETTER, letter_name, names, world_with_letters

WHY = "a test record of ours"


def discarding(world: World, *these: str, reason: str = WHY) -> Discarded:
    return discard(world.new_run(), these, reason)


def test_discard_deletes_a_letter_and_logs_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    world = world_with_letters()

    done = discarding(world, letter_name(10_017))

    assert done == Discarded(discarded=(letter_name(10_017),))
    assert names(world) == [letter_name(10_018)]
    [warning] = [each for each in caplog.records if "discarded" in each.getMessage()]
    assert warning.levelname == "WARNING"
    assert warning.getMessage() == f"{letter_name(10_017)} is discarded: {WHY}"
    assert world.journal.entries == ["take", "load", "read", "delete", "release"]


def test_discarded_record_is_delivered_by_no_run() -> None:
    world = world_with_letters()
    before = world.store.checkpoint()

    discarding(world, "2026-11-20/10017", "2026-11-20/10018")
    world.time.advance(300)

    assert world.store.checkpoint() == before
    assert world.run().tally.rows == 0
    assert not names(world)


def test_discard_first_saves_an_id_not_in_the_ledger() -> None:
    """As after a run that kept a letter and died before it saved."""
    world = world_with_letters()
    path = f"checkpoints/{HOST}.json"
    known = world.store.checkpoint()
    without = known.without(Ledger().with_ids([10_017]))
    world.store.blobs[path] = without.encode(world.time.now)

    discarding(world, letter_name(10_017))

    assert 10_017 in world.store.checkpoint().ledger
    assert world.journal.entries == ["take", "load", "read", "save", "delete", "release"]


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 201, "\x1b[2J"])
def test_discard_without_a_reason_changes_nothing(reason: str) -> None:
    world = world_with_letters()

    with pytest.raises(ValueError, match="reason"):
        discarding(world, letter_name(10_017), reason=reason)
    assert not world.journal.entries


@pytest.mark.parametrize("name", [f"originals/{HOST}/2026-11-20/10017.json", "queue/queued", "x"])
def test_discard_takes_dead_letters_only(name: str) -> None:
    world = world_with_letters()

    with pytest.raises(ValueError, match=r"10017|queue/queued|'x'"):
        discarding(world, name)
    assert not world.journal.entries


def test_discard_deletes_an_unreadable_letter_too() -> None:
    world = world_with_letters()
    world.store.blobs[letter_name(10_017)] = b"garbled"

    assert discarding(world, letter_name(10_017)).discarded == (letter_name(10_017),)


def test_discard_names_a_letter_that_is_absent() -> None:
    world = world_with_letters()

    assert discarding(world, NO_LETTER, letter_name(10_017)) == Discarded(
        discarded=(letter_name(10_017),), absent=(NO_LETTER,)
    )


def test_discard_leaves_alone_a_site_that_another_run_has() -> None:
    world = world_with_letters()
    world.store.leases[f"checkpoints/{HOST}.json"] = (99, world.time.clock.monotonic() + 60)

    assert discarding(world, letter_name(10_017)) == Discarded(skipped=True)
    assert len(names(world)) == 2


def test_discard_that_is_stopped_undoes_nothing() -> None:
    world = world_with_letters()
    world.store.faults.script = [None, raise_error(TransientError("storage is away"))]

    done = discarding(world, letter_name(10_017), letter_name(10_018))

    assert done.discarded == (letter_name(10_017),)
    assert str(done.error) == "storage is away"
    assert names(world) == [letter_name(10_018)]
    assert not world.store.leases
