"""The accounting and the recount agree on every kind of table, to the last published digit."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings

from snapshot_assets_tests.pipeline.proof.published import Table
from snapshot_assets_tests.support.domain.faults import FAULTS, faulty_history, shuffled
from snapshot_assets_tests.support.domain.histories import CADENCES
from snapshot_assets_tests.support.domain.scenarios import Scenario, scenarios


def faulty_table(seed: int) -> Table:
    rng = random.Random(seed)
    cadence = rng.choice(CADENCES)
    faults = rng.sample(sorted(FAULTS), rng.randint(0, 8))
    history = faulty_history(seed, cadence, faults, max(3_600, 12 * cadence), hosts=3)
    shuffled(history, rng)
    return Table(history.rows, history.kernel, history.window, history.rules)


@pytest.mark.parametrize("seed", range(24))
def test_they_agree_on_histories_with_faults(seed: int) -> None:
    table = faulty_table(seed)
    assert table.differences(table.recounted()) == []


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenario=scenarios())
def test_they_agree_at_the_edges_of_each_rule(scenario: Scenario) -> None:
    for window in (scenario.window, scenario.whole):
        table = Table(scenario.rows, scenario.machines, window, scenario.rules)
        assert table.differences(table.recounted()) == []
