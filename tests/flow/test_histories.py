"""Random histories from fixed seeds: every record has a row or a letter; duplicates are bounded."""

from __future__ import annotations

import pytest

from tests.flow.histories import live


@pytest.mark.parametrize("seed", range(16))  # `make soak` runs new ones
def test_after_any_history_and_a_quiet_end_nothing_is_lost(seed: int) -> None:
    live(seed, steps=40)
