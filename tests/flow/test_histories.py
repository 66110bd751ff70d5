"""Random histories from fixed seeds: rows and letters are all records, doubles within the bound."""

from __future__ import annotations

import pytest

from tests.flow.histories import live


@pytest.mark.parametrize("seed", range(16))  # `make soak` makes new ones for as long as you like
def test_after_any_history_and_a_quiet_end_nothing_is_lost(seed: int) -> None:
    live(seed, steps=40)
