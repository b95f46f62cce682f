"""One interval of one host, and the newest of all hosts."""

from __future__ import annotations

from typing import Any

import pytest

from snapshot_assets.dashboard.queries.intervals import bucket_interval, host_interval
from snapshot_assets.dashboard.queries.now import right_now
from snapshot_assets.dashboard.time.ranges import TimeRange
from snapshot_assets.domain.time import bucket_start
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets_tests.dashboard.queries.sums import BUCKET
from snapshot_assets_tests.support.world import (
    HOSTILE_HOST,
    NOW,
    World,
    use,
)


def test_right_now_has_the_newest_bucket_of_each_host_and_the_silent_hosts(world: World) -> None:
    old = bucket_start(NOW) - 5 * 3600
    world.write("quiet", {old: use({("ana", "sleep"): 0.1})})
    with world.reader() as reader:
        found = right_now(reader, NOW)
    assert [one.host for one in found.hosts] == sorted(["alice", "bob", HOSTILE_HOST])
    assert found.silent == [("quiet", old)]
    assert found.newest == bucket_start(NOW) - 300
    alice = found.hosts[0]
    assert [user.name for user in alice.users] == ["ana", "chen", "ben", "dora"]
    assert alice.users[0].counterparts == ("python",)
    assert alice.gb == pytest.approx(96.0)


def test_a_host_whose_rows_come_late_is_not_silent(world: World) -> None:
    old = bucket_start(NOW) - 5 * 3600
    for host in ("behind", "gone"):
        world.write(host, {old: use({("ana", "sleep"): 0.1})})
    with RedisWriter(**world.options()) as writer:
        filling = writer.begin_live()
        writer.record_live(NOW, {"behind": old + 300}, filling, None, NOW - 300)
        writer.record_live(NOW, {"gone": old + 300}, filling)
    with world.reader() as reader:
        found = right_now(reader, NOW)
    assert found.silent == [("behind", old), ("gone", old)]
    assert found.late == {"behind"}


@pytest.mark.parametrize("resolution", ["5min", "hour", "day"])
@pytest.mark.parametrize("host", ["alice", HOSTILE_HOST])
def test_an_interval_says_what_the_readers_document_says(
    world: World, host: str, resolution: Any
) -> None:
    time = bucket_start(NOW) - 5 * 3600 + 1
    with world.reader() as reader:
        found = host_interval(reader, host, time, resolution)
        assert found is not None
        assert found.start <= time < found.start + found.step
        start, end = TimeRange(found.start, found.start + found.step).bounds
        (document,) = reader.get_data(host, start, end - BUCKET, resolution).values()
    wanted = bucket_interval(host, found.start, document)
    assert found.cores == pytest.approx(wanted.cores, abs=1e-6)
    assert found.gb == pytest.approx(wanted.gb, abs=1e-6)
    assert found.coverage == pytest.approx(wanted.coverage, abs=1e-6)
    assert found.settled == wanted.settled
    for mine, its in ((found.users, wanted.users), (found.commands, wanted.commands)):
        assert mine
        assert [(s.name, s.counterparts) for s in mine] == [(s.name, s.counterparts) for s in its]
        assert [s.cores for s in mine] == pytest.approx([s.cores for s in its], abs=1e-6)
        assert [s.gb for s in mine] == pytest.approx([s.gb for s in its], abs=1e-6)


def test_an_interval_without_cover_is_none(world: World) -> None:
    with world.reader() as reader:
        assert host_interval(reader, "bob", bucket_start(NOW) - 8 * 3600, "5min") is None
        assert host_interval(reader, "nobody", bucket_start(NOW) - 600, "5min") is None


def test_an_idle_interval_has_zeros_and_no_user(world: World) -> None:
    with world.reader() as reader:
        found = host_interval(reader, "bob", bucket_start(NOW) - 2 * 3600, "5min")
    assert found is not None
    assert (found.cores, found.gb, found.coverage) == (0, 0, 1)
    assert (found.users, found.commands) == ([], [])
