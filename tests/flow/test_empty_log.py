"""A log that Jira shows as empty, with HTTP 200, although records were delivered from it."""

from __future__ import annotations

import email.utils
import json

import pytest

from jira_audit.core.errors import SiteError
from jira_audit.core.policy import Reset
from jira_audit.core.timestamps import DAY, HOUR
from jira_audit.simulator.site import Response
from tests.fakes.world import START, World, record

EVERY = 1800
"""Seconds between ticks; each finds one new record."""


class Ticks:
    """A site that goes on writing records, whatever it shows."""

    def __init__(self) -> None:
        self.world = World(page_size=1000)
        self.ids: list[int] = []

    def run(self, hours: float, *, empty: bool = False) -> list[str]:
        """The results of the ticks of some hours."""
        world = self.world
        world.jira.faults.always = (lambda _: self.nothing()) if empty else None
        results: list[str] = []
        for _ in range(round(hours * 3600 / EVERY)):
            self.ids.append(10_000 + len(self.ids))
            world.jira.site.add([record(self.ids[-1], world.time.now - 60_000)])
            results.append(world.run().result)
            world.time.advance(EVERY)
        return results

    def nothing(self) -> Response:
        date = email.utils.formatdate(self.world.time.now // 1000, usegmt=True)
        body = {"offset": 0, "limit": 1000, "total": 0, "records": []}
        return Response(200, {"Date": date}, json.dumps(body).encode())


@pytest.mark.parametrize("before", [1, 13])
@pytest.mark.parametrize("hours", [24, 36, 72, 200])
def test_empty_log_loses_nothing_once_it_shows_records_again(before: int, hours: int) -> None:
    ticks = Ticks()
    ticks.run(before)
    ticks.run(hours, empty=True)
    ticks.run(60)

    assert not ticks.world.missing(ticks.ids)
    assert not ticks.world.duplicates()


def test_empty_log_fails_within_a_day_and_until_it_shows_records() -> None:
    ticks = Ticks()
    ticks.run(13)
    while_empty = ticks.run(72, empty=True)
    afterwards = ticks.run(2)

    assert set(while_empty[: 11 * 2]) == {"ok"}  # until the sweep is due, it may be a quiet site
    assert set(while_empty[24 * 2 :]) == {"failed"}
    assert set(afterwards) == {"ok"}
    [error] = {str(each.error) for each in ticks.world.outcomes if each.result == "failed"}
    assert "Jira shows an empty audit log" in error
    assert "CHECKPOINT_RESET" in error
    failed = next(each for each in ticks.world.outcomes if each.result == "failed")
    assert isinstance(failed.error, SiteError)


@pytest.mark.parametrize("quiet_days", [2, 3, 10])
@pytest.mark.parametrize("hours", [36, 72])
def test_empty_log_of_a_quiet_site_loses_nothing_either(quiet_days: int, hours: int) -> None:
    ticks = Ticks()
    ticks.run(13)
    for _ in range(quiet_days * 24):
        assert ticks.world.run().result == "ok"
        ticks.world.time.advance(3600)
    assert ticks.run(hours, empty=True)[-1] == "failed"
    ticks.run(60)

    assert not ticks.world.missing(ticks.ids)
    assert not ticks.world.duplicates()


def test_quiet_site_never_fails() -> None:
    """No record for weeks; then one; then none again."""
    world = World()
    for day in range(24):
        if day in {3, 12}:
            world.jira.site.add([record(10_000 + day, world.time.now - HOUR)])
        for _ in range(4):
            assert world.run().result == "ok"
            world.time.advance(6 * 3600)

    assert not world.missing([10_003, 10_012])


def test_site_that_never_had_a_record_never_fails() -> None:
    world = World()
    for _ in range(8):
        assert world.run().result == "ok"
        world.time.advance(12 * 3600)


def test_records_that_jira_no_longer_keeps_are_no_reason_to_fail() -> None:
    """The app was stopped for a year, and nothing happened on the site since."""
    ticks = Ticks()
    ticks.run(2)
    ticks.world.time.now += 365 * DAY
    ticks.world.jira.forget(set(ticks.ids))

    assert [ticks.world.run().result for _ in range(2)] == ["ok", "ok"]


def test_reset_goes_on_with_a_log_that_stays_empty() -> None:
    """As after a site was deleted and made anew."""
    ticks = Ticks()
    ticks.run(13)
    assert ticks.run(24, empty=True)[-1] == "failed"

    world = ticks.world
    reset = Reset("2026-11-21T00:00:00Z", START + DAY // 2)
    assert world.run(reset=reset).result == "ok"
    world.time.advance(25 * 3600)
    assert world.run(reset=reset).result == "ok"
