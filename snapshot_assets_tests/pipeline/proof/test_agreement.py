"""The accounting and the recount agree on every kind of table, to the last published digit."""

from __future__ import annotations

import random

import pytest
from hypothesis import given

from snapshot_assets_tests.pipeline.proof.published import Table
from snapshot_assets_tests.support.domain.faults import FAULTS
from snapshot_assets_tests.support.domain.histories import CADENCES
from snapshot_assets_tests.support.domain.invariants import examples
from snapshot_assets_tests.support.domain.recipes import Recipe
from snapshot_assets_tests.support.domain.scenarios import Scenario, scenarios


@pytest.mark.parametrize("seed", range(20))
def test_they_agree_on_histories_with_faults(seed: int) -> None:
    rng = random.Random(seed)
    cadence = rng.choice(CADENCES)
    faults = tuple(rng.sample(sorted(FAULTS), rng.randint(0, 8)))
    history = Recipe(seed, cadence, faults, hosts=3).history(max(3_600, 12 * cadence))
    table = Table(history.rows, history.kernel, history.window, history.rules)
    assert table.differences(table.recounted()) == []


@examples(30)
@given(scenario=scenarios())
def test_they_agree_at_the_edges_of_each_rule(scenario: Scenario) -> None:
    for window in (scenario.window, scenario.whole):
        table = Table(scenario.rows, scenario.machines, window, scenario.rules)
        assert table.differences(table.recounted()) == []
