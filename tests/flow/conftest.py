"""Every test of the flow runs with three orders of the prefetched requests.

They run only when they are needed; all at once; or in any order.
"""

from __future__ import annotations

import sys

import pytest

from tests.fakes.world import Eager, Fetcher, Lazy, Shuffled, World

# Python versions do not differ in the order of responses; older ones run only the hardest order.
DEPLOYED = sys.version_info >= (3, 13)
WAYS: dict[str, type[Fetcher]] = {"any-order": Shuffled}
if DEPLOYED:
    WAYS |= {"": Lazy, "ahead": Eager}


@pytest.fixture(autouse=True, params=list(WAYS.values()), ids=list(WAYS))
def _fetcher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "FETCHER", request.param)
