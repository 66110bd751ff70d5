"""Random histories from fixed seeds: rows and letters are all records, doubles within the bound."""

from __future__ import annotations

import pytest

from tests.flow.histories import live


@pytest.mark.parametrize("block", range(12))
def test_after_any_history_and_a_quiet_end_nothing_is_lost(block: int) -> None:
    for seed in range(block * 4, block * 4 + 4):
        live(seed, steps=40)
