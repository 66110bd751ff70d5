"""Random histories from fixed seeds: every record has a row or a letter; duplicates are bounded."""

from __future__ import annotations

import pytest

from tests.flow.histories import run_history

pytestmark = pytest.mark.orders  # they have everything in them

# `make soak` makes new ones for as long as you like.
SEEDS = [*range(4), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(4, 16))]


@pytest.mark.parametrize("seed", SEEDS)
def test_random_history_loses_nothing(seed: int) -> None:
    run_history(seed, steps=40)
