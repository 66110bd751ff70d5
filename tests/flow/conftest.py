"""Every test of the flow runs in three ways, by what comes of pages that are asked for ahead.

They are done when they are needed, and else not at all; at once, all of them; or in any order.
"""

from __future__ import annotations

import pytest

from tests.fakes.world import Eager, Lazy, Shuffled, World


@pytest.fixture(autouse=True, params=[Lazy, Eager, Shuffled], ids=["", "ahead", "any-order"])
def _fetcher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "FETCHER", request.param)
