"""What pages say is what the documents say, whichever way it is summed up."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from snapshot_assets.dashboard.queries import (
    SECONDS_PER_HOUR,
    Field,
    consumers,
    moment,
    overview,
    right_now,
    statement,
)
from snapshot_assets.dashboard.time_range import TimeRange
from snapshot_assets.domain.measures import Measure
from snapshot_assets.domain.summary import OTHER
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS, bucket_start
from snapshot_assets_tests.dashboard.world import (
    HOSTILE_COMM,
    HOSTILE_HOST,
    HOSTILE_USER,
    NOW,
    World,
    use,
)

UNITS: dict[Measure, str] = {"cpu": "cpu_norm", "mem": "rss"}
RANGES = [3_600, DAY_SECONDS, 7 * DAY_SECONDS, 90 * DAY_SECONDS]


def moments(range_: TimeRange) -> tuple[dt.datetime, dt.datetime]:
    return (
        dt.datetime.fromtimestamp(range_.start, dt.UTC),
        dt.datetime.fromtimestamp(range_.last_bucket, dt.UTC),
    )


def unit_hours(
    world: World, range_: TimeRange, measure: Measure
) -> dict[tuple[str, str, str], float]:
    """Core-hours or GB-hours by host, user and command, from nothing but the documents."""
    found: dict[tuple[str, str, str], float] = defaultdict(float)
    with world.reader() as reader:
        for documents in reader.get_data(None, *moments(range_)).values():
            for host, document in documents.items():
                hours = document["meta"]["coverage"] * BUCKET_SECONDS / SECONDS_PER_HOUR
                for entry in document[measure]["user"]:
                    key = host, entry["username"], entry["comm"]
                    found[key] += entry[UNITS[measure]] * hours
                other = document[measure]["other"][UNITS[measure]]
                found[host, OTHER, OTHER] += other * hours
    return found


@pytest.mark.parametrize("seconds", RANGES)
def test_the_overview_adds_up_to_the_documents(world: World, seconds: int) -> None:
    range_ = TimeRange.latest(seconds, NOW)
    with world.reader() as reader:
        found = overview(reader, range_)
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
        found = overview(reader, range_)
    bob = found.hosts[1]
    assert bob.host == "bob"
    end = bucket_start(NOW)
    starts = found.grid.start + np.arange(found.grid.count) * 300
    gap = (starts >= end - 9 * 3600) & (starts < end - 7 * 3600)
    assert np.isnan(bob.use["cpu"][gap]).all()
    assert bob.known.gaps(found.grid)[gap].all()
    assert bob.known.gaps(found.grid).sum() == 24, "and nothing else is one"
    idle = (starts >= end - 3 * 3600) & (starts < end)
    assert (bob.use["cpu"][idle] == 0).all()
    assert not np.isnan(bob.use["cpu"][-2])
    assert np.isnan(bob.use["cpu"][-1]), "the bucket that now lies in is on its way: no gap"
    midnight = end // DAY_SECONDS * DAY_SECONDS
    assert (bob.known.settled == (bob.known.covered & (starts < midnight))).all()


@pytest.mark.parametrize("seconds", RANGES)
@pytest.mark.parametrize("measure", UNITS)
@pytest.mark.parametrize("field", ["username", "comm"])
def test_layers_add_up_to_the_total_and_the_table_to_the_documents(
    world: World, seconds: int, measure: Measure, field: Field
) -> None:
    range_ = TimeRange.latest(seconds, NOW)
    with world.reader() as reader:
        found = consumers(reader, range_, field, measure, top=2)
        whole = overview(reader, range_)
    total = np.nansum([host.use[measure] for host in whole.hosts], axis=0)
    assert np.nan_to_num(found.total) == pytest.approx(total)
    assert (np.isnan(found.total) == ~found.known.covered).all()
    assert [series.name for series in found.series][2:] == [OTHER]
    place = {"username": 1, "comm": 2}[field]
    for which, attribute in (("cpu", "core_hours"), ("mem", "gb_hours")):
        wanted: dict[str, float] = defaultdict(float)
        for key, hours in unit_hours(world, range_, which).items():  # type: ignore[arg-type]
            wanted[key[place]] += hours
        told = {row.name: getattr(row, attribute) for row in found.table}
        # Who only has the other measure is in the table too, with a zero.
        wanted |= dict.fromkeys(set(told) - set(wanted), 0.0)
        assert told == pytest.approx(dict(wanted), rel=1e-6, abs=1e-6)


def test_a_users_commands_and_a_commands_users(world: World) -> None:
    range_ = TimeRange.latest(DAY_SECONDS, NOW)
    with world.reader() as reader:
        ana = consumers(reader, range_, "comm", "cpu", only=("username", "ana"))
        bwa = consumers(reader, range_, "username", "cpu", only=("comm", "bwa"), hosts=["bob"])
        nobody = consumers(reader, range_, "comm", "cpu", only=("username", "nobody"))
        hostile = consumers(reader, range_, "comm", "mem", only=("username", HOSTILE_USER))
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
        rows = {row.name: row for row in consumers(reader, range_, "username", "cpu").table}
    dora = rows["dora"]
    assert (round(dora.gb_mean, 9), dora.gb_peak, dora.core_hours) == (20, 20, 0)
    odd = rows[HOSTILE_USER]
    assert odd.cores_mean == pytest.approx(3.0), "while it was looked at, 80 % of the time"
    assert odd.core_hours == pytest.approx(3.0 * 0.8 * 287 / 12)
    assert odd.hosts == (HOSTILE_HOST,)
    assert rows["ben"].cores_peak == 2.5


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
    told = {(line.host, "ana", line.command): line.core_hours for line in found.lines}
    assert told == pytest.approx({k: v for k, v in wanted.items() if k[1] == "ana"}, rel=1e-9)
    memory = unit_hours(world, TimeRange(first, last), "mem")
    assert sum(line.gb_hours for line in found.lines) == pytest.approx(
        sum(v for k, v in memory.items() if k[1] == "ana")
    )
    assert found.users == ["ana", "ben"]
    assert found.settled
    assert found.zone == zone


def test_a_month_that_is_not_over_is_told_up_to_now(world: World) -> None:
    with world.reader() as reader:
        found = statement(reader, "ana", "2026-11", ZoneInfo("Europe/Berlin"), NOW)
        future = statement(reader, "ana", "2027-01", ZoneInfo("Europe/Berlin"), NOW)
    assert found.range.end == bucket_start(NOW) + 300
    assert not found.settled
    assert (future.lines, future.users) == ([], [])


def test_right_now_tells_the_newest_of_each_host_and_who_is_silent(world: World) -> None:
    old = bucket_start(NOW) - 5 * 3600
    world.write("quiet", {old: use({("ana", "sleep"): 0.1})})
    with world.reader() as reader:
        found = right_now(reader, NOW)
    assert [one.host for one in found.hosts] == sorted(["alice", "bob", HOSTILE_HOST])
    assert found.silent == [("quiet", old)]
    assert found.newest == bucket_start(NOW) - 300
    alice = found.hosts[0]
    assert [user.name for user in alice.users] == ["ana", "chen", "ben", "dora"]
    assert alice.users[0].of == ("python",)
    assert alice.gb == pytest.approx(96.0)


@pytest.mark.parametrize("resolution", ["5min", "hour", "day"])
def test_a_moment_is_the_reader_s_own(world: World, resolution: Any) -> None:
    at = bucket_start(NOW) - 5 * 3600 + 1
    with world.reader() as reader:
        found = moment(reader, "alice", at, resolution)
        frame = reader.get_frame(
            "alice",
            dt.datetime.fromtimestamp(at // DAY_SECONDS * DAY_SECONDS, dt.UTC),
            measure="cpu",
            resolution=resolution,
        )
    assert found is not None
    (row,) = frame[frame["start"] == dt.datetime.fromtimestamp(found.start, dt.UTC)].itertuples()
    assert found.cores == pytest.approx(row.cores_mean, abs=1e-6)
    assert found.coverage == pytest.approx(row.coverage, abs=1e-6)
    assert [share.name for share in found.commands] == ["python", "julia", "R", "MATLAB"]


def test_a_moment_that_nobody_saw_is_none(world: World) -> None:
    with world.reader() as reader:
        assert moment(reader, "bob", bucket_start(NOW) - 8 * 3600, "5min") is None
        assert moment(reader, "nobody", bucket_start(NOW) - 600, "5min") is None
