"""What the kernel counted, read from a real Redis, beside what users used."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from snapshot_assets.domain.measures import MEASURES
from snapshot_assets.domain.time import Window
from snapshot_assets.domain.usage import Usage
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets_tests.support.domain.process_rows import MIDNIGHT
from snapshot_assets_tests.support.domain.usages import Bucket, Machine, usage_of
from snapshot_assets_tests.support.servers import Redis
from snapshot_assets_tests.support.snapshots import (
    END,
    FIRST,
    NOW,
    WINDOW,
    Reader,
    both_readers,
)

BUCKET: Bucket = (
    *(10**6, 5, True),
    {"cpu": (0, {("ana", "R"): 10**6}), "mem": (0, {("ana", "R"): 2 * 10**6})},
)
COUNTED: Machine = {"cpu": (4 * 10**6, 64 * 10**6), "mem": (8 * 10**6, 512 * 10**6)}


def day_of(host: str, counted: range) -> Usage:
    """One core and 2 GB for ten hours; 4 and 8 of the machine in the buckets of these numbers."""
    buckets = {MIDNIGHT + 300 * i: BUCKET for i in range(120)}
    return usage_of(host, buckets, {MIDNIGHT + 300 * i: COUNTED for i in counted})


def write(writer: RedisWriter) -> None:
    """``alice`` was counted for the first five hours, ``bob`` has no count of the kernel."""
    for host, counted in (("alice", range(60)), ("bob", range(0))):
        writer.replace([host], WINDOW, day_of(host, counted), "settled")


@both_readers
def test_both_readers_tell_what_the_kernel_counted(
    kind: type[Reader], writer: RedisWriter, redis_server: Redis
) -> None:
    write(writer)
    with kind(port=redis_server.port, clock=lambda: NOW) as reader:
        frame = reader.get_frame(None, FIRST, END, by="machine", resolution="hour")
        frames = reader.get_frames(None, FIRST, END, by="machine", resolution="hour")
    pd.testing.assert_frame_equal(frame, frames["cpu"])
    alice, bob = (frame[frame["host"] == host] for host in ("alice", "bob"))
    assert alice["cores_mean"].tolist()[:5] == [4.0] * 5
    assert alice["core_seconds"].sum() == 5 * 3_600 * 4
    assert alice["users_share"].tolist()[:5] == [0.25] * 5
    assert alice["cores_capacity"].tolist()[:5] == [64.0] * 5
    assert alice["covered_seconds"].tolist() == [3_600.0] * 5 + [0.0] * 5
    assert alice["cores_mean"].isna().tolist() == [False] * 5 + [True] * 5
    assert len(bob) == 10
    assert bob[["cores_mean", "cores_capacity", "users_share"]].isna().all(axis=None)
    memory = frames["mem"]
    assert memory["gb_mean"].max() == 8.0
    assert memory["gb_capacity"].max() == 512.0
    assert memory["users_gb_seconds"].sum() == 5 * 3_600 * 2


@pytest.mark.parametrize("resolution", ["5min", "hour", "day", "auto"])
@pytest.mark.parametrize("by", [None, "username", ("username", "comm")])
def test_users_and_machine_from_one_reading_are_those_of_two(
    writer: RedisWriter, reader: RedisReader, resolution: Any, by: Any
) -> None:
    write(writer)
    given: Any = {"resolution": resolution}
    frames, machine = reader.frames_and_machine(None, FIRST, END, by=by, **given)
    for found, alone in (
        (frames, reader.get_frames(None, FIRST, END, by=by, **given)),
        (machine, reader.get_frames(None, FIRST, END, by="machine", **given)),
    ):
        assert list(found) == list(MEASURES)
        for measure in MEASURES:
            pd.testing.assert_frame_equal(found[measure], alone[measure])
            assert len(found[measure])


def test_an_hour_is_made_of_the_buckets_that_were_written_since_the_day_was_settled(
    writer: RedisWriter, reader: RedisReader
) -> None:
    """The last bucket of the fifth hour is written alone: 16 cores after eleven times 4."""
    write(writer)
    start = MIDNIGHT + 59 * 300
    jump: Machine = {"cpu": (16 * 10**6, 128 * 10**6)}
    alone = usage_of("alice", {start: BUCKET}, {start: jump})
    writer.replace(["alice"], Window(start, start + 300), alone, "settled")
    found = reader.get_frames("alice", FIRST, END, by="machine", resolution="hour")
    fifth = found["cpu"].iloc[4]
    assert fifth["cores_mean"] == pytest.approx((11 * 4 + 16) / 12)
    assert (fifth["cores_peak"], fifth["cores_capacity"]) == (16.0, 128.0)
    assert found["mem"].iloc[4]["gb_mean"] == 8.0
    assert found["mem"].iloc[4]["covered_seconds"] == 3_300
    documents = reader.get_data("alice", FIRST, END, "hour")
    assert documents[MIDNIGHT + 4 * 3_600]["cpu"]["machine"] == {"cpu_norm": 5.0, "cores": 128}
    assert "machine" not in documents[MIDNIGHT + 5 * 3_600]["cpu"]
