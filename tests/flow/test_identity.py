"""A site is its tenant: whatever its name, nothing is lost and nothing duplicated."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.errors import SiteError, TransientError
from jira_audit.core.policy import Reset
from jira_audit.core.timestamps import DAY, HOUR, MINUTE
from jira_audit.flow import identity
from jira_audit.simulator.site import Response
from tests.fakes.world import HOST, START, TOKEN, USERNAME, World, record
from tests.flow import test_crash_points
from tests.flow.test_crash_points import WHEN

NEW = "fabrikam.atlassian.net"
DOMAIN = "jira.atlassian.net"
OTHER = "66666666-2222-4333-8444-555555555555"


class WritingWorld(World):
    """A world whose site writes its `records` as time goes by."""

    def __init__(self, page_size: int) -> None:
        super().__init__(page_size=page_size)
        self.records: list[dict[str, Any]] = []


def world_with(count: int, since: int = START - 20 * HOUR, gap: int = 10 * MINUTE) -> WritingWorld:
    """A site that writes a record every `gap` milliseconds."""
    world = WritingWorld(page_size=100)
    world.records = [record(10_000 + n, since + n * gap) for n in range(count)]
    write(world)
    return world


def write(world: WritingWorld) -> None:
    """What the site has written by now."""
    now = record(0, world.time.now)["created"]
    world.jira.site.add(each for each in world.records if each["created"] <= now)


def tick(world: WritingWorld, seconds: float = 300.0) -> str:
    world.time.advance(seconds)
    write(world)
    return world.run().result


def set_address(world: World, *hosts: str) -> None:
    """The administrator changes the settings."""
    world.hosts = list(hosts)


def ids(world: WritingWorld) -> set[int]:
    return {each["id"] for each in world.records}


def stored(world: World) -> set[str]:
    """The names of the checkpoints, backfills and letters, without what is in them."""
    return {name for name in world.store.blobs if not name.startswith("queue/")}


def everything_once(world: WritingWorld) -> None:
    assert not world.missing(ids(world))
    assert not world.duplicates()


# A new name


@pytest.mark.parametrize(
    ("count", "since", "gap", "hours", "every"),
    [
        (552, START - 20 * HOUR, 10 * MINUTE, 72.0, 1800.0),
        (134, START - 20 * HOUR, 10 * MINUTE, 2 + 20 / 60, 300.0),
        (1_200, START - 2 * DAY, 6 * MINUTE, 60.0, 3600.0),
        (1_200, START - 2 * DAY, 6 * MINUTE, 1.0, 3600.0),
        (1_000, START - 20 * HOUR, 60 * MINUTE, 30 * 24.0, 6 * 3600.0),
    ],
)
def test_a_renamed_site_goes_on_where_it_was(
    count: int, since: int, gap: int, hours: float, every: float
) -> None:
    world = world_with(count, since, gap)
    assert world.run().result == "ok"
    world.jira.rename(NEW)
    for _ in range(round(hours * 3600 / every)):
        assert tick(world, every) == "failed"

    set_address(world, NEW)
    while world.missing(ids(world)) and world.time.now < since + count * gap + DAY:
        assert tick(world, 3600) in {"ok", "partial"}

    first = max(START - DAY, since)
    expected = {
        each["id"] for each in world.records if each["created"] >= record(0, first)["created"]
    }
    assert not world.missing(expected)
    assert not world.duplicates()
    assert stored(world) == {f"checkpoints/{NEW}.json"}


def test_a_redirect_names_the_new_address_and_what_to_do() -> None:
    world = world_with(10)
    world.run()
    world.jira.rename(NEW)

    error = str(world.run().error)

    assert error.startswith(f"{HOST}: the site answers with a redirect to {NEW}: if it was renamed")
    assert f"set JIRA_SITE_URL (or url in JIRA_SITES) to https://{NEW}; that is all" in error


def test_a_renamed_site_says_that_it_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    world = world_with(10)
    world.run()
    world.jira.rename(NEW)
    caplog.clear()
    set_address(world, NEW)

    world.run()

    assert [line.message for line in caplog.records] == [
        f"{NEW}: this is {HOST} under a new name (same cloud id): it goes on from there"
    ]


def test_a_custom_domain_goes_on_while_the_old_address_works() -> None:
    world = world_with(100, gap=MINUTE)
    world.run()
    world.jira.hosts.append(DOMAIN)

    set_address(world, DOMAIN)
    assert tick(world) == "ok"

    everything_once(world)
    assert world.store.checkpoint(DOMAIN).former == (HOST,)


def test_a_site_renamed_again_and_back_is_one_site() -> None:
    world = world_with(200, gap=30 * MINUTE)
    world.run()
    for host in (NEW, "third.atlassian.net", HOST, NEW):
        world.jira.rename(host)
        assert tick(world, 5 * 3600) == "failed"
        set_address(world, host)
        assert tick(world, 5 * 3600) == "ok"

    while world.time.now < START + 85 * HOUR:
        assert tick(world, 5 * 3600) == "ok"
    everything_once(world)
    assert stored(world) == {f"checkpoints/{NEW}.json"}
    assert set(world.store.checkpoint(NEW).former) == {HOST, "third.atlassian.net"}


def test_a_reset_that_stayed_in_the_settings_is_not_applied_anew() -> None:
    world = world_with(100, gap=MINUTE)
    reset = Reset("2026-11-18", START - 2 * DAY)
    world.policy = replace(world.policy, reset=reset)
    world.run()
    world.jira.rename(NEW)

    set_address(world, NEW)
    assert tick(world) == "ok"

    everything_once(world)
    assert world.store.checkpoint(NEW).reset == reset.value


def test_a_new_reset_is_applied_under_the_new_name() -> None:
    world = world_with(100, gap=MINUTE)
    world.run()
    world.jira.rename(NEW)
    set_address(world, NEW)
    world.time.advance(300)

    outcome = world.run(reset=Reset("all", START - 30 * DAY))

    assert outcome.result == "ok"
    assert world.store.checkpoint(NEW).start == START - 30 * DAY
    assert world.store.checkpoint(NEW).former == (HOST,)


def test_backfill_letters_and_originals_get_the_new_name() -> None:
    world = world_with_everything()
    before = {
        name: json.loads(world.store.blobs[name])
        for name in stored(world)
        if name.startswith(("dead-letters", "originals"))
    }
    world.jira.rename(NEW)
    set_address(world, NEW)
    world.time.advance(300)

    assert world.run().result == "ok"

    assert not [name for name in stored(world) if HOST in name]
    for name, letter in before.items():
        moved = json.loads(world.store.blobs[name.replace(HOST, NEW)])
        assert moved == {**letter, "site": NEW}
    assert world.store.backfills().checkpoint(NEW).moving_from is None
    assert len(before) == 2


def test_a_backfill_a_replay_and_a_repair_go_on_under_the_new_name() -> None:
    world = world_with_everything()
    world.jira.rename(NEW)
    set_address(world, NEW)
    world.time.advance(300)
    world.run()
    world.sink.poison.clear()

    assert world.backfill(START - 10 * DAY).result == "ok"
    assert len(world.replay().sent) == 1
    verified = world.verify(START - 10 * DAY, table=True)

    assert verified.findings.by_status["missing"].count == 0
    assert world.repair(verified).sent.count == 0
    assert not world.duplicates()


@pytest.mark.parametrize("act", ["backfill", "replay", "verify"])
def test_an_operation_before_the_first_tick_begins_nothing(act: str) -> None:
    world = world_with_everything()
    world.jira.rename(NEW)
    set_address(world, NEW)
    before = stored(world)
    acts: dict[str, Callable[[], object]] = {
        "backfill": lambda: world.backfill(START - 10 * DAY),
        "replay": lambda: raise_error(world.replay().error),
        "verify": lambda: world.verify(START - 10 * DAY),
    }

    with pytest.raises(SiteError, match="run collect once"):
        acts[act]()
    assert stored(world) == before


def raise_error(error: Exception | None) -> None:
    assert error is not None
    raise error


@pytest.mark.parametrize("act", ["backfill", "verify"])
def test_an_operation_waits_for_an_unfinished_move(act: str) -> None:
    world = world_with_everything()
    moving = replace(world.store.checkpoint(), moving_from="old.atlassian.net")
    world.store.blobs[f"checkpoints/{HOST}.json"] = moving.encode(START)

    with pytest.raises(SiteError, match="is not moved yet: run collect once first"):
        getattr(world, act)(START - 10 * DAY)


def first_run_that_crashes(world: World) -> None:
    set_address(world, NEW)
    world.journal.die = (len(world.journal.entries) + 4, "after")
    world.run_until_crash()


def first_run_that_gets_no_cloud_id(world: World) -> None:
    set_address(world, NEW)
    world.jira.tenant_faults.always = lambda _: Response(503, {}, b"")
    assert world.run().result == "failed"


def first_run_beside_one_of_the_old_name(world: World) -> None:
    set_address(world, NEW)
    world.store.leases[f"checkpoints/{HOST}.json"] = (99, world.time.clock.monotonic() + 60)
    assert world.run().result == "failed"


def first_run_of_a_second_entry(world: World) -> None:
    set_address(world, NEW, HOST)
    world.jira.hosts, world.jira.former = [NEW, HOST], []
    assert world.run().result == "failed"


@pytest.mark.parametrize("act", ["backfill", "verify"])
@pytest.mark.parametrize(
    "first_run",
    [
        first_run_that_crashes,
        first_run_that_gets_no_cloud_id,
        first_run_beside_one_of_the_old_name,
        first_run_of_a_second_entry,
    ],
)
def test_an_operation_waits_for_the_first_good_run(
    first_run: Callable[[World], None], act: str
) -> None:
    world = world_with_everything()
    world.jira.rename(NEW)
    world.time.advance(300)
    first_run(world)

    with pytest.raises(SiteError, match="run collect once first"):
        getattr(world, act)(START - 10 * DAY)
    assert not world.duplicates()


def world_with_everything() -> WritingWorld:
    """A site with a backfill, a dead letter and an original."""
    world = WritingWorld(page_size=20)
    world.records = [record(10_000 + n, START - 9 * DAY + n * 4 * HOUR) for n in range(54)]
    world.records[50]["summary"] = "long " * 20_000
    write(world)
    world.sink.poison.add(10_049)
    world.run()
    world.backfill(START - 5 * DAY)
    return world


def test_a_run_of_the_old_name_under_way_is_waited_for() -> None:
    world = world_with(10)
    world.run()
    world.jira.rename(NEW)
    set_address(world, NEW)
    world.store.leases[f"checkpoints/{HOST}.json"] = (99, world.time.clock.monotonic() + 60)

    outcome = world.run()

    assert isinstance(outcome.error, TransientError)
    assert "another run still has contoso" in str(outcome.error)
    assert tick(world) == "ok"
    everything_once(world)


def test_the_deadline_ends_a_move_and_the_next_run_goes_on() -> None:
    world = world_with_everything()
    world.jira.rename(NEW)
    set_address(world, NEW)
    world.budget = 0.0

    assert "time was up while the letters" in str(world.run().error)
    world.budget = 480.0
    assert tick(world) == "ok"

    assert not [name for name in stored(world) if HOST in name]


def test_a_letter_that_cannot_be_read_stays_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    world = world_with(10)
    world.run()
    name = f"dead-letters/{HOST}/2026-11-20/1.json"
    world.store.blobs[name] = b"{"
    world.jira.rename(NEW)
    set_address(world, NEW)

    assert tick(world) == "ok"

    assert name in stored(world)
    assert f"{name} cannot be read as a letter" in caplog.text


def test_another_tenants_checkpoint_is_left_alone() -> None:
    world = world_with(10)
    theirs = replace(Checkpoint.first("woodgrove.atlassian.net", 0, START), cloud_id=OTHER)
    world.store.blobs["checkpoints/woodgrove.atlassian.net.json"] = theirs.encode(START)

    assert world.run().result == "ok"

    assert world.store.checkpoint("woodgrove.atlassian.net") == theirs
    assert world.store.checkpoint().former == ()


# When the site is asked


def test_an_idle_tick_asks_nothing_more_than_the_log() -> None:
    world = world_with(3, gap=MINUTE)
    world.run()
    world.time.advance(3600)
    world.run()
    world.jira.requests.clear()
    world.jira.tenant_asked.clear()

    assert tick(world) == "ok"

    assert len(world.jira.requests) <= 2
    assert not world.jira.tenant_asked


def test_the_sweep_asks_before_anything_is_read() -> None:
    world = world_with(10)
    world.run()
    world.time.advance(25 * 3600)
    world.journal.entries.clear()

    world.run()

    assert world.journal.entries[:5] == ["take", "load", "ask", "save", "fetch"]


def test_a_checkpoint_of_version_0_1_learns_its_cloud_id() -> None:
    world = world_with(10)
    world.run()
    forget_identity(world)

    assert tick(world) == "ok"

    assert world.store.checkpoint().cloud_id == world.jira.site.cloud_id
    everything_once(world)


def test_a_redirect_still_tells_an_upgraded_site_its_cloud_id() -> None:
    world = world_with(10)
    world.run()
    forget_identity(world)
    world.jira.rename(NEW)

    assert tick(world) == "failed"
    assert world.store.checkpoint().cloud_id == world.jira.site.cloud_id

    set_address(world, NEW)
    assert tick(world, 3 * 24 * 3600.0) == "ok"
    everything_once(world)


def forget_identity(world: World, host: str = HOST) -> None:
    """As version 0.1 wrote it."""
    blob = json.loads(world.store.blobs[f"checkpoints/{host}.json"])
    for name in ("cloud_id", "claim", "former", "moving_from"):
        del blob[name]
    world.store.blobs[f"checkpoints/{host}.json"] = json.dumps(blob).encode()


def test_a_site_that_tells_no_cloud_id_is_collected() -> None:
    world = world_with(10)
    world.jira.tenant_faults.always = lambda _: Response(404, {}, b"")

    assert world.run().result == "ok"

    assert world.store.checkpoint().cloud_id is None
    world.jira.tenant_faults.always = None
    assert tick(world) == "ok"
    assert world.store.checkpoint().cloud_id == world.jira.site.cloud_id


def test_an_unknown_site_beside_a_former_one_waits() -> None:
    world = world_with(100, gap=MINUTE)
    world.run()
    world.jira.rename(NEW)
    set_address(world, NEW)
    world.jira.tenant_faults.always = lambda _: Response(503, {}, b"")

    for _ in range(3):
        world.time.advance(300)
        outcome = world.run()
        assert isinstance(outcome.error, TransientError)
        assert f"has a checkpoint ({HOST}): nothing is collected" in str(outcome.error)
        assert "set JIRA_CLOUD_ID (cloud_id in JIRA_SITES)" in str(outcome.error)

    world.jira.tenant_faults.always = None
    assert tick(world) == "ok"
    everything_once(world)


def test_a_first_run_names_former_sites_without_a_cloud_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = world_with(10)
    world.run()
    forget_identity(world)
    world.jira.rename(NEW)
    set_address(world, NEW)
    caplog.clear()

    assert world.run().result == "ok"
    assert tick(world) == "ok"

    [warning] = [line for line in caplog.messages if "without a cloud id" in line]
    assert f"without a cloud id: {HOST}." in warning


def test_what_both_names_have_delivered_is_not_delivered_again() -> None:
    """The warning's advice, followed after the new name has begun at the lookback."""
    world = world_with(600)
    world.run()
    forget_identity(world)
    world.jira.rename(NEW)
    world.time.advance(50 * 3600)
    set_address(world, NEW)
    assert tick(world) == "ok"

    set_address(world, HOST)
    assert tick(world) == "failed"
    set_address(world, NEW)
    while world.time.now < START + 85 * HOUR:
        assert tick(world, 5 * 3600) == "ok"

    everything_once(world)


# One tenant under two addresses


def test_the_second_entry_of_one_site_is_refused_by_name() -> None:
    world = world_with(100, gap=MINUTE)
    world.jira.hosts.append(DOMAIN)
    set_address(world, HOST, DOMAIN)

    for _ in range(3):
        world.time.advance(300)
        write(world)
        assert world.run(HOST).result == "ok"
        refused = world.run(DOMAIN)
        assert isinstance(refused.error, SiteError)
        assert f"{DOMAIN} and {HOST} are two addresses of one site" in str(refused.error)

    everything_once(world)
    assert world.store.checkpoint(DOMAIN).claim is None


def test_an_entry_before_one_that_is_collected_is_refused() -> None:
    world = world_with(100, gap=MINUTE)
    world.run()
    world.jira.hosts.append(DOMAIN)
    set_address(world, DOMAIN, HOST)

    assert world.run(DOMAIN).result == "failed"
    world.time.advance(300)
    assert world.run(HOST).result == "ok"
    assert world.run(DOMAIN).result == "failed"

    assert not world.duplicates()


def test_two_entries_of_version_0_1_come_down_to_one() -> None:
    world = world_with(100, gap=MINUTE)
    world.run()
    world.jira.hosts.append(DOMAIN)
    world.store.blobs[f"checkpoints/{DOMAIN}.json"] = replace(
        world.store.checkpoint(), site=DOMAIN
    ).encode(START)
    forget_identity(world, HOST)
    forget_identity(world, DOMAIN)
    set_address(world, HOST, DOMAIN)

    results = [world.run(host).result for host in (DOMAIN, HOST, DOMAIN, HOST)]

    assert results.count("failed") == 2
    assert len({world.store.checkpoint(host).cloud_id for host in (HOST, DOMAIN)}) == 2


def runs_of_two(order: tuple[str, str], at: int) -> WritingWorld:
    """One entry's first run, and at its effect number `at` that of the other."""
    world = world_with(40, gap=MINUTE)
    world.jira.hosts.append(DOMAIN)
    set_address(world, HOST, DOMAIN)
    outside, inside = order
    world.journal.meanwhile[at] = lambda: world.run(inside)
    world.run(outside)
    return world


def later_results(world: WritingWorld) -> list[str]:
    """The results of both entries' second run from now on, sorted."""
    results: list[str] = []
    for _ in range(2):
        world.time.advance(300)
        write(world)
        results = [world.run(HOST).result, world.run(DOMAIN).result]
    return sorted(results)


@pytest.mark.parametrize("order", [(HOST, DOMAIN), (DOMAIN, HOST)])
def test_two_entries_that_begin_at_once_never_both_collect(order: tuple[str, str]) -> None:
    for at in range(14):
        world = runs_of_two(order, at)

        assert later_results(world) == ["failed", "ok"], at
        assert not world.duplicates(), at


def test_two_entries_that_crash_at_once_never_both_collect() -> None:
    for at in range(20):
        for when in WHEN:
            world = world_with(40, gap=MINUTE)
            world.jira.hosts.append(DOMAIN)
            set_address(world, HOST, DOMAIN)
            world.journal.meanwhile[4] = partial(world.run, DOMAIN)
            world.journal.die = (at, when)
            world.run_until_crash()

            assert later_results(world) == ["failed", "ok"], (at, when)


def test_the_first_entry_waits_for_the_second_to_withdraw() -> None:
    world = world_with(40, gap=MINUTE)
    world.jira.hosts.append(DOMAIN)
    set_address(world, HOST, DOMAIN)
    claim = replace(Checkpoint.first(DOMAIN, START - DAY, START), claim=world.jira.site.cloud_id)
    name = f"checkpoints/{DOMAIN}.json"
    world.store.blobs[name] = claim.encode(START)
    slept = world.time.slept

    def withdrawn() -> None:
        if len(slept) == 3:
            world.store.blobs[name] = claim.claiming(None).encode(START)

    for at in range(40):
        world.journal.meanwhile[at] = withdrawn

    assert world.run(HOST).result == "ok"
    assert slept[1:3] == [identity.RESCAN_SECONDS] * 2


def test_an_entry_gives_up_if_the_other_never_withdraws() -> None:
    world = world_with(40, gap=MINUTE)
    world.jira.hosts.append(DOMAIN)
    set_address(world, HOST, DOMAIN)
    claim = replace(Checkpoint.first(DOMAIN, START - DAY, START), claim=world.jira.site.cloud_id)
    world.store.blobs[f"checkpoints/{DOMAIN}.json"] = claim.encode(START)

    assert world.run(HOST).result == "failed"

    assert world.time.slept[1:] == [identity.RESCAN_SECONDS] * identity.RESCANS
    assert world.store.checkpoint(HOST).claim is None


# Another tenant under the address


def another_tenant(world: World) -> None:
    """The site is deleted and the address given to another tenant."""
    site = type(world.jira.site)(USERNAME, TOKEN, cloud_id=OTHER)
    site.add([record(n, world.time.now - MINUTE) for n in range(3)])
    world.jira.site = site


def test_a_cloud_id_that_changes_fails_every_run_until_a_reset() -> None:
    world = world_with(10)
    world.run()
    rows = world.rows()
    world.time.advance(25 * 3600)
    another_tenant(world)

    for _ in range(3):
        world.time.advance(300)
        outcome = world.run()
        assert isinstance(outcome.error, SiteError)
        assert f"another tenant answers here, with the cloud id {OTHER}" in str(outcome.error)
        assert "CHECKPOINT_RESET" in str(outcome.error)
    assert world.rows() == rows

    reset = Reset("2026-11-21", START + DAY)
    assert world.run(reset=reset).result == "ok"
    assert world.store.checkpoint().cloud_id == OTHER
    assert set(world.rows()) - set(rows) == {0, 1, 2}
    world.time.advance(25 * 3600)
    assert world.run(reset=reset).result == "ok"


def test_a_cloud_id_in_the_settings_is_compared_in_every_run() -> None:
    world = world_with(10)
    world.run()
    run = world.new_run()
    run.ports.tenant.configured = OTHER
    lease = run.ports.checkpoints.take(world.store.checkpoint())
    assert lease is not None

    with pytest.raises(SiteError, match="another tenant answers here"):
        identity.identify(run, lease, lease.load(), asks=False)


# Crashes


def renamed_world(in_flight: int) -> World:
    """A site with a backfill, letters and new records, at its first tick under a new name."""
    world = test_crash_points.busy_world(in_flight)
    world.jira.site.add([record(9_000 + n, START - 30 * HOUR + n * MINUTE) for n in range(9)])
    world.jira.site.add([record(10_200, START - HOUR, summary="long " * 20_000)])
    world.run()
    world.backfill(START - 2 * DAY)
    world.time.advance(3600)
    now = world.time.now
    world.jira.site.add(record(10_120 + n, now - HOUR + n * MINUTE) for n in range(50))
    world.jira.rename(NEW)
    set_address(world, NEW)
    world.journal.entries.clear()
    return world


@pytest.mark.orders
def test_a_crash_anywhere_in_a_move_loses_nothing() -> None:
    for world in test_crash_points.crashes(renamed_world, 1):
        outcome = world.run()
        assert outcome.result == "ok", outcome.error
        assert not world.missing(test_crash_points.ids(world) - {test_crash_points.LATE})
        assert world.duplicate_bytes() <= test_crash_points.BATCH_BYTES
        assert not [name for name in stored(world) if HOST in name]
        assert 9_000 in world.store.backfills().checkpoint(NEW).ledger
        assert len(world.store.letters()) == 2
        assert len(world.store.letters("originals")) == 1


def test_a_move_that_crashes_and_an_old_run_that_goes_on_lose_nothing() -> None:
    """The settings are set back after a crash, and forth again."""
    for number in range(24):
        for when in WHEN:
            world = world_with(60, gap=MINUTE)
            world.run()
            world.jira.hosts.append(DOMAIN)
            world.journal.entries.clear()
            set_address(world, DOMAIN)
            world.journal.die = (number, when)
            world.run_until_crash()
            for host in (HOST, DOMAIN):
                set_address(world, host)
                world.records.append(record(20_000 + len(world.records), world.time.now))
                assert tick(world) == "ok"

            assert not world.missing(ids(world)), (number, when)
            assert len(world.duplicates()) <= 40, (number, when)
            assert stored(world) == {f"checkpoints/{DOMAIN}.json"}
