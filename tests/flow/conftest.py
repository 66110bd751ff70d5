"""Every test of the flow runs in three ways, by what comes of pages that are asked for ahead.

They are done when they are needed, and else not at all; at once, all of them; or in any order.
"""

from __future__ import annotations

import sys

import pytest

from tests.fakes.world import Eager, Fetcher, Lazy, Shuffled, World

# The order in which answers come is no matter of the Python: the older ones try the hardest.
DEPLOYED = sys.version_info >= (3, 13)
WAYS: dict[str, type[Fetcher]] = {"any-order": Shuffled}
if DEPLOYED:
    WAYS |= {"": Lazy, "ahead": Eager}


@pytest.fixture(autouse=True, params=list(WAYS.values()), ids=list(WAYS))
def _fetcher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "FETCHER", request.param)
