"""In which order answers come to the tests of the flow.

Several threads ask for pages ahead of their turn. In production the answers come in any order, some
of them before they are needed, so every test runs with answers in any order. Tests marked `orders`
depend on the order, and run in the two extremes as well, which are marked `long`: a request is made
when its answer is needed, and otherwise never; or all requests are made at once.
"""

from __future__ import annotations

import sys

import pytest

from tests.fakes.world import Eager, Lazy, Shuffled, World

ANY_ORDER = pytest.param(Shuffled, id="any-order")
EXTREMES = [
    pytest.param(Lazy, id="when-needed", marks=pytest.mark.long),
    pytest.param(Eager, id="at-once", marks=pytest.mark.long),
]
# The extremes do not depend on the Python version: the deployed one shows them for all.
DEPLOYED = sys.version_info >= (3, 13)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if DEPLOYED and metafunc.definition.get_closest_marker("orders"):
        metafunc.parametrize("_fetcher", [ANY_ORDER, *EXTREMES], indirect=True)


@pytest.fixture(autouse=True)
def _fetcher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "FETCHER", getattr(request, "param", Shuffled))
