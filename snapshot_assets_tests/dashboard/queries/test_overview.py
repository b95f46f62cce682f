"""The overview says what the documents say."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from snapshot_assets.dashboard.queries.overview import overview
from snapshot_assets.dashboard.time.ranges import TimeRange
from snapshot_assets.domain.time import DAY_SECONDS, bucket_start
from snapshot_assets_tests.dashboard.queries.sums import RANGES, UNITS, unit_hours
from snapshot_assets_tests.support.world import (
    HOSTILE_HOST,
    NOW,
    World,
    use,
)


@pytest.mark.parametrize("seconds", RANGES)
def test_the_overview_adds_up_to_the_documents(world: World, seconds: int) -> None:
    range_ = TimeRange.latest(seconds, NOW)
    with world.reader() as reader:
        found = overview(reader, range_, max_gap_seconds=900)
    assert [use.host for use in found.hosts] == sorted(world.written)
    for measure in UNITS:
        wanted: dict[str, float] = defaultdict(float)
        for (host, _, _), hours in unit_hours(world, range_, measure).items():
            wanted[host] += hours
        for use_ in found.hosts:
            assert use_.unit_seconds[measure] / 3600 == pytest.approx(wanted[use_.host], rel=1e-6)
            drawn = np.nansum(use_.use[measure]) * found.grid.step / 3600
            if seconds == DAY_SECONDS and use_.host != HOSTILE_HOST:
                assert drawn == pytest.approx(wanted[use_.host], rel=1e-6), "whole buckets"


def test_a_gap_is_not_a_zero_and_an_idle_time_is(world: World) -> None:
    range_ = TimeRange.latest(DAY_SECONDS, NOW)
    with world.reader() as reader:
        found = overview(reader, range_, max_gap_seconds=900)
    bob = found.hosts[1]
    assert bob.host == "bob"
    end = bucket_start(NOW)
    starts = found.grid.start + np.arange(found.grid.count) * 300
    gap = (starts >= end - 9 * 3600) & (starts < end - 7 * 3600)
    assert np.isnan(bob.use["cpu"][gap]).all()
    assert bob.coverage.gaps(found.grid)[gap].all()
    assert bob.coverage.gaps(found.grid).sum() == 24, "and nothing else is one"
    idle = (starts >= end - 3 * 3600) & (starts < end)
    assert (bob.use["cpu"][idle] == 0).all()
    assert not np.isnan(bob.use["cpu"][-2])
    assert np.isnan(bob.use["cpu"][-1]), "the bucket that now lies in is on its way: no gap"
    midnight = end // DAY_SECONDS * DAY_SECONDS
    assert (bob.coverage.settled == (bob.coverage.covered & (starts < midnight))).all()


@pytest.mark.parametrize(("max_gap_seconds", "gaps"), [(900, 3), (1_500, 1), (1_800, 0)])
def test_a_host_may_lag_behind_by_the_longest_gap_that_snapshots_cover(
    empty_world: World, max_gap_seconds: float, gaps: int
) -> None:
    newest = bucket_start(NOW)
    empty_world.write("prompt", {newest - 3_600: use({}), newest: use({})})
    empty_world.write("slow", {newest - 1_800: use({})})
    with empty_world.reader() as reader:
        found = overview(reader, TimeRange.latest(3_600, NOW), max_gap_seconds=max_gap_seconds)
    (slow,) = [host for host in found.hosts if host.host == "slow"]
    after = found.grid.start + np.arange(found.grid.count) * 300 > newest - 1_800
    assert (slow.coverage.gaps(found.grid) & after).sum() == gaps
