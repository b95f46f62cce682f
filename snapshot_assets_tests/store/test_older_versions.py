"""A Redis that an older version filled: all is read, and what is settled stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from snapshot_assets.domain.measures import Stage
from snapshot_assets.domain.time import Window
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.store.layout import bucket_field
from snapshot_assets.store.packing.buckets import BUCKET_VERSION
from snapshot_assets.store.packing.days import DAY_VERSION
from snapshot_assets.store.packing.summaries import SUMMARY_VERSION
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets_tests.store import packed
from snapshot_assets_tests.support.domain.usages import Bucket, usage_of
from snapshot_assets_tests.support.servers import Redis
from snapshot_assets_tests.support.snapshots import END, FIRST, READERS, InOneLoop

NOW = packed.DAY + 86_400 + 3_600
OF_SETTLED, OF_LIVE = packed.DAY + 300, packed.DAY + 86_100


@pytest.fixture
def writer(redis_server: Redis) -> Iterator[RedisWriter]:
    with RedisWriter(port=redis_server.port, clock=lambda: NOW) as opened:
        yield opened


@pytest.mark.parametrize("version", range(1, BUCKET_VERSION + 1))
def test_a_live_write_leaves_a_settled_bucket_of_any_version_alone(
    writer: RedisWriter, redis_server: Redis, version: int
) -> None:
    key = writer.keys.frame(packed.HOST, packed.DAY)
    settled, live = bucket_field(OF_SETTLED), bucket_field(OF_LIVE)
    mine: Bucket = (10**6, 1, False, {"cpu": (7, {}), "mem": (7, {})})
    usage = usage_of(packed.HOST, {OF_SETTLED: mine, OF_LIVE: mine})
    day = Window(packed.DAY, packed.DAY + 86_400)
    hour = Window(packed.DAY, packed.DAY + 3_600)
    with redis_server.client() as client:

        def held() -> dict[str, bytes | None]:
            return {field: client.hget(key, field) for field in (settled, live)}

        before = {
            settled: packed.kept("bucket-settled", version),
            live: packed.kept("bucket-live", version),
        }
        client.hset(key, mapping=before)
        writer.replace([packed.HOST], day, usage, "live")
        assert held()[settled] == before[settled], "settled: left alone"
        newer = held()[live] or b""
        assert newer[:2] == b"L%d" % BUCKET_VERSION, "live: replaced"
        writer.replace([packed.HOST], day, usage_of(packed.HOST, {}), "live")
        assert held() == {settled: before[settled], live: None}, "live: removed"
        first = replace(usage.select(usage.start == OF_SETTLED), settled=np.array([True]))
        writer.replace([packed.HOST], hour, first, "settled")
        newer = held()[settled] or b""
        assert newer[:2] == b"S%d" % BUCKET_VERSION, "settled again: replaced"


@pytest.mark.parametrize("kind", READERS, ids=["threads", "asyncio"])
@pytest.mark.parametrize("stage", ["live", "settled"])
@pytest.mark.parametrize("version", range(1, DAY_VERSION + 1))
def test_days_and_buckets_of_different_versions_are_read_together(
    kind: type[RedisReader | InOneLoop], stage: Stage, version: int, redis_server: Redis
) -> None:
    """Half of the day's buckets came before the update of the writer and half after it."""
    with (
        redis_server.client() as client,
        kind(port=redis_server.port, clock=lambda: NOW) as reader,
        RedisWriter(port=redis_server.port, clock=lambda: NOW) as writer,
    ):
        keys = writer.keys
        key = keys.frame(packed.HOST, packed.DAY)
        client.sadd(keys.hosts_of_day(packed.DAY), packed.HOST)
        if stage == "settled":
            client.hset(key, "day", packed.kept("day", version))
        texts = {
            OF_SETTLED: packed.kept("bucket-settled", version),
            OF_LIVE: packed.kept("bucket-live", BUCKET_VERSION + 1 - version),
        }
        client.hset(key, mapping={bucket_field(b): text for b, text in texts.items()})
        frame = reader.get_frame(None, FIRST, END, resolution="5min")
        shown = {
            int(start.timestamp()): (round(peak * 10**6), settled)
            for start, peak, settled in zip(
                frame["start"], frame["cores_peak"], frame["settled"], strict=True
            )
        }
        whole = {
            packed.DAY: (1_500_000, True),
            OF_SETTLED: (2_000_000, True),
            packed.DAY + 3_600: (0, True),
            OF_LIVE: (5, False),
        }
        if stage == "live":
            whole = {bucket: whole[bucket] for bucket in texts}
        assert shown == whole
        machine = reader.get_frame(None, FIRST, END, by="machine", resolution="5min")
        assert machine["start"].tolist() == frame["start"].tolist()
        known = {
            int(start.timestamp())
            for start, peak in zip(machine["start"], machine["cores_peak"], strict=True)
            if not np.isnan(peak)
        }
        has_machine = version >= packed.MACHINE_SINCE
        assert known == {b for b in (packed.DAY, OF_SETTLED) if has_machine and b in whole}


@pytest.mark.parametrize("version", range(1, SUMMARY_VERSION + 1))
def test_summaries_of_any_version_are_read(redis_server: Redis, version: int) -> None:
    with (
        redis_server.client() as client,
        RedisReader(port=redis_server.port, clock=lambda: NOW) as reader,
    ):
        keys = reader.keys
        client.sadd(keys.hosts_of_day(packed.DAY), packed.HOST)
        for text, resolution in (("summary-hour", "hour"), ("summary-day", "day")):
            key = keys.summary(packed.HOST, resolution, packed.DAY)  # type: ignore[arg-type]
            client.hset(key, "22", packed.kept(text, version))
            frame = reader.get_frame(None, FIRST, END, by="username", resolution=resolution)
            named = frame.groupby("username", observed=True)["core_seconds"].sum()
            assert named.round(6).to_dict() == {"(other)": 60.0, "ana": 450.0, "bö": 240.0}
            machine = reader.get_frame(None, FIRST, END, by="machine", resolution=resolution)
            has_machine = version >= packed.MACHINE_SINCE
            assert machine["core_seconds"].sum() == (1_050.00015 if has_machine else 0)
            assert machine["cores_capacity"].notna().any() == has_machine
