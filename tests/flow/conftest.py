"""In which order answers come to the tests of the flow.

Pages are asked for ahead of their turn, by several threads: in production their answers come in
any order, some of them before they are needed. So that is the order every test is run in. Those
marked `orders` depend on it, and are run in the two extremes as well, which take long: each request
is done when its answer is needed, and else never; or all are done at once.
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
# The extremes are no matter of the Python: the deployed one shows them for all.
DEPLOYED = sys.version_info >= (3, 13)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if DEPLOYED and metafunc.definition.get_closest_marker("orders"):
        metafunc.parametrize("_fetcher", [ANY_ORDER, *EXTREMES], indirect=True)


@pytest.fixture(autouse=True)
def _fetcher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "FETCHER", getattr(request, "param", Shuffled))
