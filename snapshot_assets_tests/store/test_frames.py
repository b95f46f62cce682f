"""Frames on a real Redis: they say what the documents say, whatever was written when."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapshot_assets.domain.frames import COLUMNS, MACHINE_COLUMNS
from snapshot_assets.domain.measures import (
    GROUPINGS,
    MEASURES,
    STEP_SECONDS,
    Grouping,
    Measure,
    Resolution,
    Stage,
)
from snapshot_assets.domain.time import Window
from snapshot_assets.domain.usage import Usage, joined
from snapshot_assets.errors import StoreError
from snapshot_assets.pipeline.census import disagreements
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.store.layout import Retention
from snapshot_assets.store.packing.buckets import pack_buckets
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets_tests.support.domain.process_rows import MIDNIGHT, NOON
from snapshot_assets_tests.support.domain.slow_summary import FIELDS, slow_frame, slow_machine_frame
from snapshot_assets_tests.support.domain.usages import (
    as_documents,
    one_core,
    usage_of,
    usages,
)
from snapshot_assets_tests.support.servers import Redis

DAY_SECONDS = 86_400
NOW = MIDNIGHT + 3 * DAY_SECONDS
DAYS = Window(MIDNIGHT, MIDNIGHT + 2 * DAY_SECONDS)
HOSTS = ("alice", "bob")
ON_ONE_SERVER = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def at(epoch: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(epoch, dt.UTC)


RANGE = at(DAYS.start), at(DAYS.end - 300)
FRAME_RANGE = at(DAYS.start), at(DAYS.end)


def staged(usage: Usage, stage: Stage) -> Usage:
    return replace(usage, settled=np.full(len(usage), stage == "settled"))


# --- in Redis -----------------------------------------------------------------------------------


class Model:
    """What should be in Redis: by host and bucket, replaced as the contract says."""

    def __init__(self) -> None:
        self.buckets: dict[str, dict[int, Usage]] = {host: {} for host in HOSTS}

    def replace(self, host: str, window: Window, usage: Usage, stage: Stage) -> None:
        held = self.buckets[host]
        new = {int(start): usage.select(usage.start == start) for start in usage.start}
        for bucket in window.buckets():
            if stage == "live" and bucket in held and held[bucket].settled.all():
                continue
            held.pop(bucket, None)
            if bucket in new:
                held[bucket] = new[bucket]

    def usage(self, host: str) -> Usage:
        held = self.buckets[host]
        return joined([held[b] for b in sorted(held)]) if held else usage_of(host, {})


windows = st.one_of(
    st.just(DAYS),
    st.sampled_from([Window(DAYS.start, DAYS.start + DAY_SECONDS)]),
    st.tuples(st.integers(0, 290), st.integers(0, 290)).map(
        lambda pair: Window(MIDNIGHT + min(pair) * 300, MIDNIGHT + max(pair) * 300 + 300)
    ),
)
replacements = st.lists(
    st.tuples(
        st.sampled_from(HOSTS), windows, usages(days=2), st.sampled_from(["live", "settled"])
    ),
    min_size=1,
    max_size=6,
)


@given(replacements, st.sampled_from(MEASURES), st.sampled_from([(), *GROUPINGS]))
@ON_ONE_SERVER
def test_whatever_is_replaced_frames_and_documents_say_the_same(
    writer: RedisWriter,
    reader: RedisReader,
    redis_server: Redis,
    steps: list[tuple[str, Window, Usage, Stage]],
    measure: Measure,
    by: Grouping,
) -> None:
    with redis_server.client() as client:
        client.flushall()
    model = Model()
    for host, window, usage, stage in steps:
        inside = (usage.start >= window.start) & (usage.start < window.end)
        usage = staged(replace(usage.select(inside), hosts=(host,)), stage)
        writer.replace([host], window, usage, stage)
        model.replace(host, window, usage, stage)
    for host in HOSTS:
        expected = as_documents(model.usage(host))
        assert reader.get_data(host, *RANGE) == expected
        assert disagreements(reader, host, DAYS) == []
        for resolution, step in STEP_SECONDS.items():
            frame = reader.get_frame(
                host, *FRAME_RANGE, measure=measure, by=by or None, resolution=resolution
            )
            slow = slow_frame(expected, measure, by, step)
            rows = frame.to_dict("records")
            assert [_key(row, by) for row in rows] == sorted(slow, key=_rest_last)
            for row in rows:
                _, peak, seconds = COLUMNS[measure]
                told = slow[_key(row, by)]
                assert row[peak] == pytest.approx(float(told.peak), rel=1e-12, abs=1e-12)
                assert row[seconds] == pytest.approx(float(told.unit_seconds), abs=1e-3)
                assert row["settled"] == told.settled
            machine = reader.get_frame(
                host, *FRAME_RANGE, measure=measure, by="machine", resolution=resolution
            )
            counted = slow_machine_frame(expected, measure, step)
            assert [int(start.timestamp()) for start in machine["start"]] == list(counted)
            for row, exact in zip(machine.to_dict("records"), counted.values(), strict=True):
                _, peak, seconds = COLUMNS[measure]
                assert row[peak] == _number(exact.peak)
                assert row[seconds] == _number(exact.unit_seconds, rounding=1e-3)
                assert row[MACHINE_COLUMNS[measure][0]] == _number(exact.capacity)
    present = {host for host in HOSTS if model.buckets[host]}
    assert set(reader.hosts(*RANGE)) == present
    assert set(reader.get_frame(None, *FRAME_RANGE)["host"]) == present


def _number(value: Fraction | None, rounding: float = 0) -> Any:
    """About this value; NaN for None."""
    number = np.nan if value is None else float(value)
    return pytest.approx(number, rel=1e-12, abs=rounding + 1e-12, nan_ok=True)


def _key(row: dict[Any, Any], by: Grouping) -> tuple[int, tuple[str, ...]]:
    return int(row["start"].timestamp()), tuple(row[name] for name in by)


def _rest_last(key: tuple[int, tuple[str, ...]]) -> tuple[int, bool, tuple[str, ...]]:
    interval, names = key
    return interval, any(name == "(other)" for name in names), names


@given(usages(days=2), st.integers(0, 575), st.integers(0, 575))
@ON_ONE_SERVER
def test_a_range_that_cuts_intervals_has_the_same_sum_at_each_resolution(
    writer: RedisWriter, reader: RedisReader, usage: Usage, one: int, other: int
) -> None:
    writer.replace(["alice"], DAYS, staged(usage, "settled"), "settled")
    asked = at(MIDNIGHT + min(one, other) * 300), at(MIDNIGHT + max(one, other) * 300)
    sums = {
        round(reader.get_frame("alice", *asked, resolution=resolution)["core_seconds"].sum(), 3)
        for resolution in STEP_SECONDS
    }
    assert len(sums) == 1


def test_a_settled_day_is_read_from_its_summary_and_a_changed_one_from_its_buckets(
    writer: RedisWriter, reader: RedisReader, redis_server: Redis
) -> None:
    """A live bucket in a gap of a settled day takes its summaries away, until it settles again."""
    day = Window(MIDNIGHT, MIDNIGHT + DAY_SECONDS)
    whole = at(day.start), at(day.end)
    summary = writer.keys.summary("alice", "day", MIDNIGHT)
    writer.replace(["alice"], day, one_core([0, 5]), "settled")
    frame = reader.get_frame("alice", *whole, resolution="day")
    assert (frame["core_seconds"].item(), frame["settled"].item()) == (600, True)
    with redis_server.client() as client:
        assert client.hlen(summary) == 1
        writer.replace(["alice"], day, one_core([10], settled=False), "live")
        assert client.exists(summary) == 0
        frame = reader.get_frame("alice", *whole, resolution="day")
        assert (frame["core_seconds"].item(), frame["settled"].item()) == (900, False)
        writer.replace(["alice"], day, one_core([0, 5, 10]), "settled")
        assert client.hlen(summary) == 1
        # Beyond the retention of the 5 minutes, the day is still there.
        client.delete(writer.keys.frame("alice", MIDNIGHT))
    frame = reader.get_frame(None, *whole, resolution="day")
    assert (frame["core_seconds"].item(), frame["settled"].item()) == (900, True)


def test_each_form_is_kept_as_long_as_its_setting_says(redis_server: Redis) -> None:
    """Documents 1, frames 2, hours 3 and days 4 days after their end; months leave as one.

    On 2086-11-22, so that the server's own clock does not drop them meanwhile.
    """
    day, midnight = 86_400, MIDNIGHT + (60 * 365 + 15) * 86_400
    retention = Retention(day, 2 * day, 3 * day, 4 * day)
    midnight_of_december = midnight + 9 * day
    window = Window(midnight, midnight + day)
    left = {}
    for age in range(5):
        with redis_server.client() as client:
            client.flushall()
        now = window.end + age * day + 1
        with RedisWriter(
            port=redis_server.port, clock=partial(float, now), retention=retention
        ) as writer:
            usage = one_core([1435])
            usage = replace(usage, start=usage.start + midnight - MIDNIGHT)
            writer.replace(["alice"], window, usage, "settled")
            keys = writer.keys
        with redis_server.client() as client:
            names = {
                "documents": keys.document(window.end - 300),
                "frames": keys.frame("alice", midnight),
                "hours": keys.summary("alice", "hour", midnight),
                "days": keys.summary("alice", "day", midnight),
            }
            left[age] = [form for form, name in names.items() if client.exists(name)]
            if age == 0:
                assert client.expiretime(names["frames"]) == window.end + 2 * day
                assert client.expiretime(names["days"]) == midnight_of_december + 4 * day
                index = client.expiretime(keys.hosts_of_day(midnight))
                assert index > midnight_of_december + 4 * day
    assert left == {
        0: ["documents", "frames", "hours", "days"],
        1: ["frames", "hours", "days"],
        2: ["hours", "days"],
        3: ["days"],
        4: [],
    }


def test_a_live_tick_writes_its_buckets_and_nothing_else(
    writer: RedisWriter, redis_server: Redis
) -> None:
    minutes = range(0, 720, 5)
    usage = one_core(minutes, settled=False)
    writer.replace(["alice"], Window(MIDNIGHT, NOON), usage, "live")
    last = Window(NOON - 1800, NOON)
    tick = usage.select(usage.start >= last.start)
    report = writer.replace(["alice"], last, tick, "live")
    assert report.frame_bytes == sum(map(len, pack_buckets(tick).values()))
    with redis_server.client() as client:
        assert client.hlen(writer.keys.frame("alice", MIDNIGHT)) == len(minutes)


@given(usages(days=2), st.sampled_from(["hour", "day"]))
@ON_ONE_SERVER
def test_documents_of_hours_and_days_are_the_means_of_the_frames(
    writer: RedisWriter, reader: RedisReader, usage: Usage, resolution: Resolution
) -> None:
    writer.replace(["alice"], DAYS, staged(usage, "settled"), "settled")
    found = reader.get_data("alice", *RANGE, resolution=resolution)
    for measure, field in FIELDS.items():
        by: Grouping = ("username", "comm")
        frame = reader.get_frame(
            "alice", *FRAME_RANGE, measure=measure, by=by, resolution=resolution
        )
        mean = COLUMNS[measure][0]
        for row in frame.to_dict("records"):
            document = found[int(row["start"].timestamp())]
            named = {(e["username"], e["comm"]): e[field] for e in document[measure]["user"]}
            named["(other)", "(other)"] = document[measure]["other"][field]
            # The rest closes on rounded entries.
            rounding = 1e-6 * (len(named) + 1)
            assert named[row["username"], row["comm"]] == pytest.approx(row[mean], abs=rounding)
            assert document["meta"] == {
                "coverage": pytest.approx(row["coverage"], abs=1e-6),
                "stage": "settled",
                "resolution": resolution,
            }
        for document in found.values():
            part = document[measure]
            listed = [*part["user"], part["other"]]
            total = sum(round(entry[field] * 10**6) for entry in listed)
            assert total == round(part["command"][field] * 10**6)
    assert reader.get_data(None, *RANGE, resolution=resolution) == {
        start: {"alice": document} for start, document in found.items()
    }


def test_what_cannot_be_asked_is_refused(reader: RedisReader) -> None:
    for told, options in {
        "measure 'gpu' is unknown; use cpu or mem": {"measure": "gpu"},
        "by 'host' is unknown; use None, .* or 'machine'": {"by": "host"},
        r"by \('machine', 'comm'\) is unknown": {"by": ("machine", "comm")},
        "resolution '1h' is unknown; use auto, 5min, hour or day": {"resolution": "1h"},
    }.items():
        with pytest.raises(ValueError, match=told):
            reader.get_frame(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no time zone"):
        reader.get_frame(None, dt.datetime(2026, 11, 22))  # noqa: DTZ001


def test_a_damaged_frame_is_an_error_that_names_it(
    writer: RedisWriter, reader: RedisReader, redis_server: Redis
) -> None:
    writer.replace(["alice"], DAYS, one_core([0, 5]), "settled")
    key = writer.keys.frame("alice", MIDNIGHT)
    with redis_server.client() as client:
        blob = client.hget(key, "day") or b""
        client.hset(key, "day", blob[:-1])
    with pytest.raises(StoreError, match=r"frame of 'alice' under .*:5min:2026-11-22.*checksum"):
        reader.get_frame("alice", *FRAME_RANGE, resolution="5min")
    assert len(reader.get_data("alice", *RANGE)) == 2, "documents are still there"


def test_consecutive_ranges_share_no_bucket_and_leave_none_out(
    writer: RedisWriter, reader: RedisReader
) -> None:
    """Midnight belongs to the day that begins with it."""
    writer.replace(["alice"], DAYS, one_core([0, 5, 287 * 5, 288 * 5]), "settled")
    midnight = at(MIDNIGHT + DAY_SECONDS)
    for resolution in STEP_SECONDS:
        first, second, both = (
            reader.get_frame("alice", start, end, resolution=resolution)
            for start, end in (
                (at(DAYS.start), midnight),
                (midnight, at(DAYS.end)),
                (at(DAYS.start), at(DAYS.end)),
            )
        )
        assert first["covered_seconds"].sum() == 3 * 300
        assert second["covered_seconds"].sum() == 300
        assert (
            both["core_seconds"].sum() == first["core_seconds"].sum() + second["core_seconds"].sum()
        )
    empty = reader.get_frame("alice", midnight, midnight)
    assert len(empty) == 0
    assert list(empty.columns) == list(both.columns)


def test_auto_chooses_by_the_range(writer: RedisWriter, reader: RedisReader) -> None:
    writer.replace(["alice"], DAYS, one_core([0, 5]), "settled")
    assert len(reader.get_frame("alice", at(MIDNIGHT), at(NOON))) == 2
    assert len(reader.get_frame("alice", at(MIDNIGHT - 5 * 86_400), at(NOON))) == 1
    frame = reader.get_frame("alice", at(MIDNIGHT - 300 * 86_400), at(NOW))
    assert frame["coverage"].item() == pytest.approx(600 / 86_400)


@pytest.mark.parametrize("resolution", ["5min", "hour", "day", "auto"])
@pytest.mark.parametrize("by", [None, "username", ("username", "comm")])
def test_both_measures_from_one_reading_are_those_of_two(
    writer: RedisWriter, reader: RedisReader, resolution: Any, by: Any
) -> None:
    for host in ("alice", "bob"):
        settled = one_core(range(0, 600, 5), host=host)
        writer.replace([host], Window.of_day(at(MIDNIGHT).date()), settled, "settled")
    found = reader.get_frames(None, *FRAME_RANGE, by=by, resolution=resolution)
    assert list(found) == ["cpu", "mem"]
    for measure, frame in found.items():
        alone = reader.get_frame(None, *FRAME_RANGE, measure=measure, by=by, resolution=resolution)
        pd.testing.assert_frame_equal(frame, alone)
        assert len(frame)
