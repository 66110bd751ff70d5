"""Every test of the flow runs twice: pages are asked for when they are needed, and ahead of it."""

from __future__ import annotations

import pytest

from tests.fakes.world import Eager, Lazy, World


@pytest.fixture(autouse=True, params=[Lazy, Eager], ids=["", "ahead"])
def _fetcher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "FETCHER", request.param)
