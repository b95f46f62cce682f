"""A statement adds up to the buckets of its month."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from snapshot_assets.dashboard.queries.statement import statement
from snapshot_assets.dashboard.time.ranges import TimeRange
from snapshot_assets.domain.time import bucket_start
from snapshot_assets_tests.dashboard.queries.sums import unit_hours
from snapshot_assets_tests.support.world import (
    NOW,
    World,
    use,
)


def test_a_statement_adds_up_to_the_buckets_of_the_local_month(empty_world: World) -> None:
    world, zone = empty_world, ZoneInfo("Asia/Kathmandu")
    first = int(dt.datetime(2026, 10, 1, tzinfo=zone).timestamp())
    last = int(dt.datetime(2026, 11, 1, tzinfo=zone).timestamp())
    for host in ("alice", "bob"):
        written: dict[int, Any] = {}
        for edge in (first, last):
            for i, start in enumerate(range(edge - 12 * 3600, edge + 12 * 3600, 300)):
                cpu = {("ana", "python"): 1.0 + i / 100, ("ana", "R"): 0.5, ("ben", "R"): 3.0}
                written[bucket_start(start)] = use(
                    cpu, {("ana", "python"): 7.0}, settled=True, coverage=0.9
                )
        world.write(host, written)
    with world.reader() as reader:
        found = statement(reader, "ana", "2026-10", zone, NOW)
    wanted = unit_hours(world, TimeRange(first, last), "cpu")
    reported = {(line.host, "ana", line.command): line.core_hours for line in found.lines}
    assert reported == pytest.approx({k: v for k, v in wanted.items() if k[1] == "ana"}, rel=1e-9)
    memory = unit_hours(world, TimeRange(first, last), "mem")
    assert sum(line.gb_hours for line in found.lines) == pytest.approx(
        sum(v for k, v in memory.items() if k[1] == "ana")
    )
    assert found.users == ["ana", "ben"]
    assert found.settled
    assert found.zone == zone


def test_a_month_that_is_not_over_ends_now(world: World) -> None:
    with world.reader() as reader:
        found = statement(reader, "ana", "2026-11", ZoneInfo("Europe/Berlin"), NOW)
        future = statement(reader, "ana", "2027-01", ZoneInfo("Europe/Berlin"), NOW)
    assert found.range.end == bucket_start(NOW) + 300
    assert not found.settled
    assert (future.lines, future.users) == ([], [])
