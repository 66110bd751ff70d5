"""A host whose clock is wrong: the guarantee for late records goes by the lesser of its clock and
Jira's.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.timestamps import DAY, HOUR, MINUTE
from tests.fakes.world import START, World, record

pytestmark = pytest.mark.orders


class Host:
    """A world whose host's clock is `ahead` of Jira's, in milliseconds."""

    def __init__(self) -> None:
        self.ahead = 0
        self.world = World()
        time = self.world.time
        time.clock = replace(time.clock, now=lambda: time.now + self.ahead)

    def run(self, hours: float = 0.0) -> None:
        """Let time pass, then run."""
        self.world.time.advance(hours * 3600)
        assert self.world.run().result == "ok"


@pytest.mark.parametrize("ahead", [0, 12 * HOUR, 48 * HOUR])
def test_clock_ahead_for_one_run_hides_no_late_record(ahead: int) -> None:
    host = Host()
    host.run()
    host.ahead = ahead
    host.run(25)
    host.ahead = 0
    host.world.jira.site.add([record(10_000, host.world.time.now - 2 * HOUR)])  # shown late
    host.world.time.advance(60 * 3600)
    for _ in range(4):
        host.run()
        host.world.time.advance(25 * 3600)

    assert not host.world.missing([10_000])


def test_sweep_is_stamped_with_jiras_clock() -> None:
    host = Host()
    host.run()
    host.ahead = 48 * HOUR
    host.run(25)

    swept = host.world.store.checkpoint().swept
    assert swept is not None
    assert abs(swept - host.world.time.now) < 60_000


def test_clock_always_ahead_shortens_no_guarantee() -> None:
    """A record that is shown 24 hours late is found, with SWEEP_HOURS 48."""
    host = Host()
    host.ahead = 3 * HOUR
    host.run()
    for _ in range(24 * 4):
        host.run(1)
        shown_at = host.world.time.now
        if shown_at >= START + DAY:
            host.world.jira.site.add([record(shown_at, shown_at - DAY + 2 * MINUTE)])
    for _ in range(30):
        host.run(1)

    shown = [known["id"] for known in host.world.jira.site.records]
    assert len(shown) > 70
    assert not host.world.missing(shown)


def test_clock_ahead_prunes_no_id_that_a_sweep_meets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids far apart, and a ledger that is pruned by every run."""
    pruned = Checkpoint.pruned_to_size
    monkeypatch.setattr(Checkpoint, "pruned_to_size", lambda self, reach: pruned(self, reach, 900))
    host = Host()
    for hour in range(72):
        host.world.jira.site.add([record(10_000 + 7 * hour, host.world.time.now - 1000)])
        host.run(1)
    before = host.world.store.checkpoint().pruned
    host.ahead = 72 * HOUR
    host.run(1)
    host.ahead = 0
    assert before is not None
    assert (host.world.store.checkpoint().pruned or 0) <= host.world.time.now - 24 * HOUR

    host.world.jira.site.add([record(9_999, host.world.time.now - 15 * HOUR)])
    for _ in range(30):
        host.run(1)
    assert not host.world.missing([9_999])
    assert not host.world.duplicates()
