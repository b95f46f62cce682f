"""A restore from the lake fills a Redis that lost everything; the census finds what is wrong."""

from __future__ import annotations

import datetime as dt
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.fingerprint import aggregates_digest
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.rules import AccountingRules, DocumentRules
from snapshot_assets.domain.time import Window, bucket_iso
from snapshot_assets.errors import StoreOutageError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.notes import AGGREGATES, AggregatesNote
from snapshot_assets.pipeline.census import census, request_restore, whole_census
from snapshot_assets.pipeline.publish import publish
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.store.layout import Keys, Retention
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets.store.transport.connections import Patience
from snapshot_assets_tests.support.domain.process_rows import DAY, MIDNIGHT, Row, raw_rows
from snapshot_assets_tests.support.servers import Redis

HOSTS = ("alice", "web|01", "../x")
DAYS = (DAY - dt.timedelta(days=2), DAY - dt.timedelta(days=1))
NOW = MIDNIGHT + 3600
_KEYS = Keys("", Retention())
FRAME = _KEYS.frame("alice", Window.of_day(DAYS[1]).start)
RECORDS = _KEYS.records(Window.of_day(DAYS[1]).start)
SUMMARY = _KEYS.summary("alice", "hour", Window.of_day(DAYS[1]).start)
# The keys of documents; the state beside the documents says whether Redis is complete.
BUCKETS = "20*"


def settle(lake: Lake, writer: RedisWriter | None, day: dt.date, host: str, cores: int = 1) -> None:
    """Settle without Dagster."""
    window = Window.of_day(day)
    rows = raw_rows(Row(host, window.start + i * 300, cputimes=i * 300 * cores) for i in range(100))
    result = account(rows, window, AccountingRules())
    buckets = window.encode(result.bucket_starts())
    digest = aggregates_digest(result.aggregates)
    newest = window.start + 99 * 300.0
    note = AggregatesNote(result.ledger, buckets, len(rows), newest, {"slack": "30"}, digest)
    lake.write(AGGREGATES, day, host, result.aggregates, note)
    if writer is not None:
        publish(lake, writer, HostDay(day, host), DocumentRules())


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def test_everything_settled_comes_back_byte_for_byte(
    lake: Lake, writer: RedisWriter, redis_server: Redis
) -> None:
    for day in DAYS:
        for i, host in enumerate(HOSTS):
            settle(lake, writer, day, host, i + 1)
    before = redis_server.contents(BUCKETS)
    assert len(before) == 2 * 99
    with redis_server.client() as client:
        client.flushall()
    assert not writer.progress().complete
    days: list[tuple[dt.date, int]] = []
    report = writer.restore(lake, progress=lambda day, hosts: days.append((day, hosts)))
    assert redis_server.contents(BUCKETS) == before
    assert writer.progress().complete
    assert days == [(DAYS[1], 3), (DAYS[0], 3)], "the newest first"
    assert (report.host_days, report.written.written, report.defects) == (6, 6 * 99, {})


def test_days_past_the_retention_are_not_even_read(lake: Lake, redis_server: Redis) -> None:
    settle(lake, None, DAYS[0], "alice")
    settle(lake, None, DAYS[1], "alice")
    with RedisWriter(
        port=redis_server.port, clock=lambda: NOW, retention=Retention(*[86_400 + 3600] * 4)
    ) as writer:
        report = writer.restore(lake)
    assert report.days == (DAYS[1],)
    assert (report.host_days, report.written.written) == (1, 99)


def test_a_damaged_file_is_named_and_the_rest_comes_back(
    lake: Lake, writer: RedisWriter, redis_server: Redis
) -> None:
    for host in HOSTS:
        settle(lake, None, DAYS[1], host)
    # The data at the start is damaged; the footer at the end is whole.
    path = Path(lake.path(AGGREGATES, DAYS[1], "alice"))
    content = bytearray(path.read_bytes())
    content[4:60] = bytes(56)
    path.write_bytes(content)
    report = writer.restore(lake)
    assert list(report.defects) == [f"alice on {DAYS[1]}"]
    assert report.host_days == 2
    assert len(redis_server.contents(BUCKETS)) == 99


def test_a_redis_emptied_once_more_does_not_count_as_complete(
    lake: Lake, writer: RedisWriter, redis_server: Redis
) -> None:
    for day in DAYS:
        settle(lake, None, day, "alice")

    def flush(*_: object) -> None:
        with redis_server.client() as client:
            client.flushall()

    with pytest.raises(StoreOutageError, match="emptied while it was being restored"):
        writer.restore(lake, progress=flush)
    assert not writer.progress().complete


def test_killed_in_the_middle_it_is_done_again(lake: Lake, tmp_path: Path) -> None:
    for day in DAYS:
        for host in HOSTS:
            settle(lake, None, day, host)
    with Redis(tmp_path / "redis") as server:
        with RedisWriter(port=server.port, clock=lambda: NOW) as writer:
            writer.restore(lake)
            whole = server.contents(BUCKETS)
        hasty = Patience(0.2, 0, 0.1)
        with RedisWriter(port=server.port, clock=lambda: NOW, patience=hasty) as writer:
            with pytest.raises(StoreOutageError):
                writer.restore(lake, progress=lambda *_: server.kill(signal.SIGKILL))
            server.start()
            assert server.contents(BUCKETS) == {}
            writer.restore(lake)
            assert server.contents(BUCKETS) == whole


def test_a_file_replaced_meanwhile_wins(
    lake: Lake, writer: RedisWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restore reads the old file while the day settles again; it must not publish the old one."""
    settle(lake, None, DAYS[1], "alice", cores=1)
    read = lake.read
    raced: list[bool] = []

    def slow(*arguments: Any) -> Any:
        found = read(*arguments)
        if not raced:
            raced.append(True)
            settle(lake, writer, DAYS[1], "alice", cores=3)
        return found

    monkeypatch.setattr(lake, "read", slow)
    writer.restore(lake)
    body: Any = writer.base.client.hget(bucket_iso(Window.of_day(DAYS[1]).start), "alice")
    assert json.loads(body)["cpu"]["command"]["cpu_norm"] == 3.0


def test_the_census_finds_nothing_in_a_whole_redis(
    lake: Lake, writer: RedisWriter, reader: RedisReader
) -> None:
    for host in HOSTS:
        settle(lake, writer, DAYS[1], host)
    found = census(lake, reader, DAYS[1])
    assert (found.expected, found.irregularities) == (3 * 99, ())


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda c, key: c.hdel(key, "alice"), ("alice", "missing", 1)),
        (lambda c, key: c.delete(key), ("../x", "missing", 1)),
        (lambda c, key: c.persist(key), (None, "wrong expiry", 1)),
        (lambda c, key: c.expire(key, 7_777_777), (None, "wrong expiry", 1)),
        (
            lambda c, _: c.hset(bucket_iso(Window.of_day(DAYS[1]).start + 99 * 300), "alice", "{}"),
            ("alice", "surplus", 1),
        ),
        (lambda c, _: c.flushall(), ("alice", "missing", 99)),
        (lambda c, _: c.delete(FRAME), ("alice", "missing in frames", 99)),
        (lambda c, _: c.hset(FRAME, "covered", "1" * 100), ("alice", "surplus in frames", 1)),
        (lambda c, _: c.delete(SUMMARY), ("alice", "no summary", 1)),
        (lambda c, _: c.delete(RECORDS), ("alice", "no record", 0)),
        (lambda c, _: c.hset(RECORDS, "alice", "a.b c=1"), ("alice", "another version", 0)),
        (lambda c, _: c.hset(RECORDS, "alice", b"\xff"), ("alice", "another version", 0)),
    ],
    ids=[
        *("document", "bucket", "no expiry", "other expiry", "surplus", "all"),
        *("frame", "frame's buckets", "summary"),
        *("record", "another record", "no text"),
    ],
)
def test_the_census_names_what_is_wrong(
    lake: Lake,
    writer: RedisWriter,
    reader: RedisReader,
    damage: Callable[[Any, str], object],
    expected: tuple[str | None, str, int],
) -> None:
    for host in HOSTS:
        settle(lake, writer, DAYS[1], host)
    damage(writer.base.client, bucket_iso(Window.of_day(DAYS[1]).start + 600))
    found = {
        (one.host, one.problem, len(one.buckets))
        for one in census(lake, reader, DAYS[1]).irregularities
    }
    assert expected in found
    only = census(lake, reader, DAYS[1], ["web|01"])
    assert only.expected == 99
    assert {one.host for one in only.irregularities} <= {"web|01", None}


def test_the_census_expects_nothing_past_the_retention(
    lake: Lake, writer: RedisWriter, redis_server: Redis
) -> None:
    settle(lake, writer, DAYS[1], "alice")
    start = Window.of_day(DAYS[1]).start
    with RedisReader(
        port=redis_server.port, clock=lambda: NOW, retention=Retention(NOW - start - 50 * 300)
    ) as reader:
        found = census(lake, reader, DAYS[1])
    assert found.expected == 99 - 50


def test_a_redis_that_holds_an_older_version_of_a_day_is_restored(
    lake: Lake, writer: RedisWriter, reader: RedisReader, redis_server: Redis
) -> None:
    """As after a fail-over that took back acknowledged writes: every bucket is there."""
    settle(lake, writer, DAYS[1], "alice", cores=1)
    settle(lake, writer, DAYS[1], "web|01")
    writer.record_complete(True)
    settle(lake, None, DAYS[1], "alice", cores=3)
    (found,) = whole_census(lake, reader)
    assert [(one.host, one.problem) for one in found.irregularities] == [
        ("alice", "another version")
    ]
    assert request_restore(writer, [found])
    assert not writer.progress().complete, "redis_lost restores such a Redis"
    writer.restore(lake)
    (found,) = whole_census(lake, reader)
    assert found.irregularities == ()
    assert not request_restore(writer, [found])
    assert writer.progress().complete
    with redis_server.client() as client:
        body = client.hget(bucket_iso(Window.of_day(DAYS[1]).start), "alice")
    assert json.loads(body)["cpu"]["command"]["cpu_norm"] == 3.0


def test_a_damaged_file_requests_no_restore_because_a_restore_cannot_mend_it(
    lake: Lake, writer: RedisWriter, reader: RedisReader
) -> None:
    settle(lake, writer, DAYS[1], "alice")
    writer.record_complete(True)
    (Path(lake.path(AGGREGATES, DAYS[1], "alice")).parent / "host=x.parquet").write_bytes(b"x")
    found = whole_census(lake, reader)
    assert len(found[0].irregularities) == 1
    assert not request_restore(writer, found)
    assert writer.progress().complete


def test_the_census_expects_no_record_of_a_day_of_which_redis_keeps_nothing(
    lake: Lake, writer: RedisWriter, redis_server: Redis
) -> None:
    settle(lake, writer, DAYS[1], "alice")
    with redis_server.client() as client:
        client.flushall()
    kept = Retention.of_days(1, 1, 2, 3)
    end = Window.of_day(DAYS[1]).end + kept.longest

    def problems(now: float) -> list[str]:
        with RedisReader(port=redis_server.port, clock=lambda: now, retention=kept) as reader:
            return [one.problem for one in census(lake, reader, DAYS[1]).irregularities]

    assert problems(end) == []
    assert problems(end - 100) == ["no record"], "its summaries may be read"
