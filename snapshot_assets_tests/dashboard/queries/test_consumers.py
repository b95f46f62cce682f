"""Users and commands add up to the documents."""

from __future__ import annotations

from collections import defaultdict
from functools import partial

import numpy as np
import pytest

from snapshot_assets.dashboard.queries.consumers import Field, consumers
from snapshot_assets.dashboard.queries.overview import overview
from snapshot_assets.dashboard.time.ranges import TimeRange
from snapshot_assets.domain.frames import OTHER
from snapshot_assets.domain.measures import Measure
from snapshot_assets.domain.time import DAY_SECONDS
from snapshot_assets_tests.dashboard.queries.sums import RANGES, UNITS, unit_hours
from snapshot_assets_tests.support.world import (
    HOSTILE_COMM,
    HOSTILE_HOST,
    HOSTILE_USER,
    NOW,
    World,
)

read_consumers = partial(consumers, max_gap_seconds=900)


@pytest.mark.parametrize("seconds", RANGES)
@pytest.mark.parametrize("measure", UNITS)
@pytest.mark.parametrize("field", ["username", "comm"])
def test_layers_add_up_to_the_total_and_the_table_to_the_documents(
    world: World, seconds: int, measure: Measure, field: Field
) -> None:
    range_ = TimeRange.latest(seconds, NOW)
    with world.reader() as reader:
        found = read_consumers(reader, range_, field, measure, top=2)
        whole = overview(reader, range_, max_gap_seconds=900)
    total = np.nansum([host.use[measure] for host in whole.hosts], axis=0)
    assert np.nan_to_num(found.total) == pytest.approx(total)
    assert (np.isnan(found.total) == ~found.coverage.covered).all()
    assert [series.name for series in found.series][2:] == [OTHER]
    place = {"username": 1, "comm": 2}[field]
    for which, attribute in (("cpu", "core_hours"), ("mem", "gb_hours")):
        wanted: dict[str, float] = defaultdict(float)
        for key, hours in unit_hours(world, range_, which).items():  # type: ignore[arg-type]
            wanted[key[place]] += hours
        reported = {row.name: getattr(row, attribute) for row in found.table}
        # Who only has the other measure is in the table too, with a zero.
        wanted |= dict.fromkeys(set(reported) - set(wanted), 0.0)
        assert reported == pytest.approx(dict(wanted), rel=1e-6, abs=1e-6)


def test_a_users_commands_and_a_commands_users(world: World) -> None:
    range_ = TimeRange.latest(DAY_SECONDS, NOW)
    with world.reader() as reader:
        ana = read_consumers(reader, range_, "comm", "cpu", only=("username", "ana"))
        bwa = consumers(
            reader,
            range_,
            "username",
            "cpu",
            only=("comm", "bwa"),
            max_gap_seconds=900,
            hosts=["bob"],
        )
        nobody = read_consumers(reader, range_, "comm", "cpu", only=("username", "nobody"))
        hostile = read_consumers(reader, range_, "comm", "mem", only=("username", HOSTILE_USER))
    assert {row.name: row.hosts for row in ana.table} == {"python": ("alice",), "bwa": ("bob",)}
    assert [series.name for series in ana.series] == ["bwa", "python", OTHER]
    assert [row.name for row in bwa.table] == ["ana"]
    assert bwa.hosts == 1
    assert not nobody.table
    assert np.nansum(nobody.total) == 0
    assert [row.name for row in hostile.table] == [HOSTILE_COMM]


def test_mean_and_peak_in_the_table(world: World) -> None:
    range_ = TimeRange.latest(DAY_SECONDS, NOW)
    with world.reader() as reader:
        found = read_consumers(reader, range_, "username", "cpu")
    rows = {row.name: row for row in found.table}
    dora = rows["dora"]
    assert (round(dora.gb_mean, 9), dora.gb_peak, dora.core_hours) == (20, 20, 0)
    odd = rows[HOSTILE_USER]
    assert odd.cores_mean == pytest.approx(3.0), "over the covered 80 % of the time"
    assert odd.core_hours == pytest.approx(3.0 * 0.8 * 287 / 12)
    assert odd.hosts == (HOSTILE_HOST,)
    assert rows["ben"].cores_peak == 2.5
