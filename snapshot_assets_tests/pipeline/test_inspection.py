"""Settled host-days are inspected: their files and their documents."""

from __future__ import annotations

import pytest

from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.time import Window, bucket_iso
from snapshot_assets.lake.notes import AGGREGATES, RAW_ROWS
from snapshot_assets.pipeline.census import census_of, whole_census
from snapshot_assets.pipeline.inspection import imbalances, kept_window, rows_problem, wrong_sums
from snapshot_assets.store.layout import Retention
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets_tests.support.field_table import DAY, MIDNIGHT
from snapshot_assets_tests.support.settlings import ALICE, NEXT_DAY, RULES, Settling

HOSTS = ("alice", "bob", "carol")
KEPT_A_DAY = Retention(86_400, 86_400, 10**9, 10**9)


@pytest.fixture
def settled(settling: Settling) -> Settling:
    settling.load(*HOSTS)
    settling.run(*(HostDay(DAY, host) for host in HOSTS))
    return settling


def reader_at(settled: Settling, now: float) -> RedisReader:
    """A reader of a Redis that keeps documents and frames for a day, at this time."""
    return RedisReader(port=settled.redis.port, clock=lambda: now, retention=KEPT_A_DAY)


def test_rows_of_another_host_or_time_are_counted(settled: Settling) -> None:
    assert rows_problem(settled.lake, ALICE, RULES) is None
    rows, note = settled.lake.read(RAW_ROWS, *ALICE)
    settled.lake.write(RAW_ROWS, DAY, "bob", rows, note)
    problem = f"{len(rows)} rows of another host or time"
    assert rows_problem(settled.lake, HostDay(DAY, "bob"), RULES) == problem
    rows["cputimes"] = -5.0
    settled.lake.write(RAW_ROWS, *ALICE, rows, note)
    assert "cputimes" in str(rows_problem(settled.lake, ALICE, RULES))


def test_what_does_not_add_up_in_the_lake_is_found(settled: Settling) -> None:
    assert imbalances(settled.lake, ALICE) == []
    aggregates, note = settled.lake.read(AGGREGATES, *ALICE)
    settled.lake.write(AGGREGATES, *ALICE, aggregates.iloc[1:], note)
    assert [one.problem[:12] for one in imbalances(settled.lake, ALICE)] == ["core-seconds"]


def test_documents_that_do_not_sum_up_are_named_by_their_bucket(settled: Settling) -> None:
    key = bucket_iso(MIDNIGHT + 300)
    with RedisReader(port=settled.redis.port) as reader, settled.redis.client() as client:
        assert wrong_sums(reader, ALICE) == []
        body = bytes(client.hget(key, "alice") or b"")
        client.hset(key, "alice", body.replace(b'"rss":0.0}', b'"rss":0.5}'))
        assert wrong_sums(reader, ALICE) == [MIDNIGHT + 300]


def test_a_window_is_cut_to_what_is_kept_for_five_more_minutes(settled: Settling) -> None:
    end = ALICE.window.end
    for age, start in (
        (86_400 - 1, MIDNIGHT),
        (86_400, MIDNIGHT + 300),
        (86_400 + 299, MIDNIGHT + 300),
        (2 * 86_400, end),
    ):
        now = MIDNIGHT + age
        with reader_at(settled, now) as reader:
            assert kept_window(reader, ALICE.window) == Window(start, end)


def test_a_census_of_some_host_days_looks_at_no_others(settled: Settling) -> None:
    with RedisReader(port=settled.redis.port) as reader, settled.redis.client() as client:
        (whole,) = whole_census(settled.lake, reader)
        assert (whole.expected, whole.irregularities) == (3 * 12, ())
        client.hdel(bucket_iso(MIDNIGHT), "alice")
        wanted = [HostDay(NEXT_DAY, "bob"), HostDay(DAY, "carol"), HostDay(DAY, "bob")]
        some = census_of(settled.lake, reader, wanted)
        assert [(found.day, found.expected) for found in some] == [(DAY, 24), (NEXT_DAY, 0)]
        assert not any(found.irregularities for found in some)
        (day,) = census_of(settled.lake, reader, [ALICE])
        assert [one.problem for one in day.irregularities] == ["missing"]


def test_days_past_every_retention_are_in_no_census(settled: Settling) -> None:
    now = ALICE.window.end + 86_400
    for clock, days in ((now - 1, 1), (now, 0)):
        with reader_at(settled, clock) as reader:
            assert len(whole_census(settled.lake, reader)) == days
