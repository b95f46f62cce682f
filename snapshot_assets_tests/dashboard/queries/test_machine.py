"""What the kernel counted, as the pages read it from a real Redis."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from snapshot_assets.dashboard.queries.consumers import consumers
from snapshot_assets.dashboard.queries.intervals import bucket_interval, host_interval
from snapshot_assets.dashboard.queries.machine import MachineShare
from snapshot_assets.dashboard.queries.now import right_now
from snapshot_assets.dashboard.queries.overview import overview
from snapshot_assets.dashboard.time.ranges import TimeRange
from snapshot_assets.domain.time import bucket_start
from snapshot_assets_tests.dashboard.queries.sums import BUCKET
from snapshot_assets_tests.support.world import NOW, World, counted, use

END = bucket_start(NOW)
HOUR = TimeRange(END - 3_600, END)
read_overview = partial(overview, max_gap_seconds=900)
read_consumers = partial(consumers, max_gap_seconds=900)


@pytest.fixture
def counted_world(empty_world: World) -> World:
    """Two hosts for an hour; ``bob`` was counted in its second half only, ``alice`` always."""
    starts = range(END - 3_600, END, 300)
    one = use({("ana", "R"): 2.0, ("ben", "R"): 1.0}, {("ana", "R"): 8.0})
    empty_world.write(
        "alice", dict.fromkeys(starts, one), dict.fromkeys(starts, counted(6.0, 64, 8.5, 512))
    )
    empty_world.write(
        "bob",
        dict.fromkeys(starts, one),
        dict.fromkeys(starts[6:], counted(3.1, 32)) | {starts[-1]: counted(3.1, 48)},
    )
    return empty_world


def test_each_host_has_its_own_count_and_newest_capacity(counted_world: World) -> None:
    with counted_world.reader() as reader:
        alice, bob = read_overview(reader, HOUR).hosts
    cpu, mem = alice.machine["cpu"], alice.machine["mem"]
    assert cpu.used.tolist() == [6.0] * 12
    assert cpu.nobodys == pytest.approx([3.0] * 12)
    assert cpu.capacity == {"alice": 64.0}
    assert mem.used == pytest.approx([8.5] * 12)
    assert np.isnan(mem.nobodys).all(), "half a GB of 8.5 is little"
    assert np.isnan(bob.machine["cpu"].used).tolist() == [True] * 6 + [False] * 6
    assert np.isnan(bob.machine["cpu"].nobodys).all(), "a tenth of a core of 3.1 is little"
    assert bob.machine["cpu"].capacity == {"bob": 48.0}
    assert bob.machine["mem"].capacity == {"bob": None}
    assert (bob.newest_of_machine("cpu"), bob.newest_of_machine("mem")) == (3.1, None)


def test_hosts_together_are_known_where_each_host_with_cover_is(counted_world: World) -> None:
    with counted_world.reader() as reader:
        both = read_consumers(reader, HOUR, "username", "cpu").machine
        alone = read_consumers(reader, HOUR, "username", "cpu", hosts=["alice"]).machine
        memory = read_consumers(reader, HOUR, "username", "mem").machine
    assert np.isnan(both.used).tolist() == [True] * 6 + [False] * 6, "bob's half is unknown"
    assert both.used[6:] == pytest.approx([9.1] * 6)
    assert both.nobodys[6:] == pytest.approx([3.1] * 6)
    assert both.capacity == {"alice": 64.0, "bob": 48.0}
    assert alone.used == pytest.approx([6.0] * 12)
    assert np.isnan(memory.used).all()
    assert memory.capacity == {"alice": 512.0, "bob": None}


def test_a_machine_is_not_compared_with_a_single_user(counted_world: World) -> None:
    with counted_world.reader() as reader:
        found = read_consumers(
            reader, HOUR, "comm", "cpu", hosts=["alice"], only=("username", "ana")
        )
    assert np.isnan(found.machine.used).all()
    assert np.isnan(found.machine.nobodys).all()
    assert found.machine.capacity == {"alice": 64.0}


def test_where_no_host_has_cover_nothing_is_known_of_machines(counted_world: World) -> None:
    day = TimeRange(END - 7_200, END + 300)
    with counted_world.reader() as reader:
        found = read_consumers(reader, day, "username", "cpu", hosts=["alice"]).machine
    assert np.isnan(found.used).tolist() == [True] * 12 + [False] * 12 + [True]


@pytest.mark.parametrize("resolution", ["5min", "hour", "day"])
@pytest.mark.parametrize("host", ["alice", "bob"])
def test_an_interval_says_of_the_machine_what_the_readers_document_says(
    counted_world: World, host: str, resolution: Any
) -> None:
    with counted_world.reader() as reader:
        found = host_interval(reader, host, END - 1, resolution)
        assert found is not None
        start, end = TimeRange(found.start, found.start + found.step).bounds
        (document,) = reader.get_data(host, start, end - BUCKET, resolution).values()
    wanted = bucket_interval(host, found.start, document)
    for measure, share in found.machine.items():
        its = wanted.machine[measure]
        assert (share.used, share.capacity) == (its.used, its.capacity)
        assert share.nobodys == (its.nobodys and pytest.approx(its.nobodys))
    if host == "alice":
        assert found.machine["cpu"] == MachineShare(used=6.0, nobodys=3.0, capacity=64.0)
        assert found.machine["mem"] == MachineShare(used=8.5, nobodys=None, capacity=512.0)
    else:
        assert found.machine["mem"] == MachineShare()


def test_right_now_says_what_the_newest_document_says_of_the_machine(counted_world: World) -> None:
    with counted_world.reader() as reader:
        alice, bob = right_now(reader, NOW).hosts
    assert alice.machine["cpu"] == MachineShare(used=6.0, nobodys=3.0, capacity=64)
    assert bob.machine["cpu"] == MachineShare(used=3.1, nobodys=None, capacity=48)
    assert bob.machine["mem"] == MachineShare()
