"""The record of a settled host-day: it is beside the data only while the data is whole."""

from __future__ import annotations

import contextlib

import pytest

from snapshot_assets.domain.time import DAY_SECONDS, Window
from snapshot_assets.errors import StoreError, StoreOutageError
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.store.layout import Retention
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets.store.transport.connections import Patience
from snapshot_assets_tests.support import snapshots as ex
from snapshot_assets_tests.support.proxies import CuttingProxy
from snapshot_assets_tests.support.servers import Redis
from snapshot_assets_tests.support.snapshots import used, worked_example

TODAY = ex.WINDOW.start
HOSTS = ["alice", "web|01"]


def settle(writer: RedisWriter, record: str | None, window: Window = ex.WINDOW) -> None:
    rows = used(*(row for host in HOSTS for row in worked_example(host)), window=window)
    writer.replace(HOSTS, window, rows, "settled", record=record)


def records(reader: RedisReader) -> dict[str, str]:
    return reader.records([TODAY])[TODAY]


def test_a_record_is_read_back_for_each_host_and_day(
    writer: RedisWriter, reader: RedisReader
) -> None:
    both = Window(TODAY - DAY_SECONDS, ex.WINDOW.end)
    settle(writer, "made é", both)
    of_a_day = dict.fromkeys(HOSTS, "made é")
    days = [TODAY, TODAY - DAY_SECONDS, TODAY + DAY_SECONDS]
    assert reader.records(days) == {days[0]: of_a_day, days[1]: of_a_day, days[2]: {}}
    settle(writer, "made again")
    assert records(reader) == dict.fromkeys(HOSTS, "made again")
    assert reader.records(days[1:2])[days[1]] == of_a_day


def test_settled_data_of_which_nothing_is_known_has_no_record(
    writer: RedisWriter, reader: RedisReader
) -> None:
    settle(writer, "made")
    writer.replace(["alice"], ex.WINDOW, used(*worked_example()), "settled")
    assert records(reader) == {"web|01": "made"}


def test_a_part_of_a_day_that_settles_alone_takes_the_record_away(
    writer: RedisWriter, reader: RedisReader
) -> None:
    settle(writer, "made")
    part = Window(TODAY + 43_200, TODAY + 43_800)
    writer.replace(["alice"], part, used(*worked_example(), window=part), "settled", record="other")
    assert records(reader) == {"web|01": "made"}


def test_a_live_refresh_leaves_records_alone(writer: RedisWriter, reader: RedisReader) -> None:
    settle(writer, "made")
    writer.replace(HOSTS, ex.WINDOW, used(stage="live"), "live", record="other")
    assert records(reader) == dict.fromkeys(HOSTS, "made")


def test_a_host_day_without_use_has_a_record_too(writer: RedisWriter, reader: RedisReader) -> None:
    writer.replace(["alice"], ex.WINDOW, used(), "settled", record="empty")
    assert records(reader) == {"alice": "empty"}


def test_a_record_expires_after_everything_that_it_speaks_for(redis_server: Redis) -> None:
    day = ex.WINDOW.start + 60 * 365 * DAY_SECONDS // DAY_SECONDS * DAY_SECONDS
    window, kept = Window(day, day + DAY_SECONDS), Retention.of_days(1, 2, 3, 4)

    def written(now: float) -> int | None:
        with (
            redis_server.client() as client,
            RedisWriter(port=redis_server.port, clock=lambda: now, retention=kept) as writer,
        ):
            client.flushall()
            writer.replace(["alice"], window, used(window=window), "settled", record="made")
            key = writer.keys.records(day)
            return client.expiretime(key) if client.exists(key) else None

    last = window.end + kept.longest
    expiry = written(last - 1)
    assert expiry is not None
    assert expiry >= last + 31 * DAY_SECONDS - DAY_SECONDS, "a month of summaries leaves as one"
    assert written(last) is None, "Redis keeps nothing of such a day"


def test_everything_removed_leaves_no_record(writer: RedisWriter, redis_server: Redis) -> None:
    settle(writer, "made")
    writer.remove_all(ex.WINDOW)
    assert redis_server.contents() == {}


def test_a_record_never_speaks_for_data_that_was_written_in_part(
    redis_server: Redis, reader: RedisReader
) -> None:
    """The connection is cut at 30 places of a replacement: the old data, none, or the new."""
    once = Patience(0.5, 0, 0.1)

    def open_writer(port: int, patience: Patience | None = None) -> RedisWriter:
        return RedisWriter(port=port, patience=patience, clock=lambda: ex.NOW)

    def replace(writer: RedisWriter, cores: float, record: str) -> None:
        usage = used(*ex.busy("alice", cores))
        writer.replace(["alice"], ex.WINDOW, usage, "settled", record=record)

    def received() -> int:
        with redis_server.client() as client:
            return int(client.info("stats")["total_net_input_bytes"])

    def held() -> tuple[dict[str, str], object]:
        return records(reader), reader.get_data("alice", ex.FIRST, ex.LAST)

    with open_writer(redis_server.port) as writer:
        whole, size = {}, 0
        for cores, record in ((2.0, "new"), (1.0, "old")):
            before = received()
            replace(writer, cores, record)
            size = received() - before
            whole[record] = held()[1]
        unknown = 0
        for i in range(30):
            replace(writer, 1.0, "old")
            with (
                CuttingProxy(redis_server.port, request_cuts=[size * i // 29]) as proxy,
                open_writer(proxy.port, once) as cut,
                contextlib.suppress(StoreOutageError),
            ):
                replace(cut, 2.0, "new")
            found, data = held()
            unknown += not found
            if found:
                assert data == whole[found["alice"]]
    assert unknown > 10, "the cuts were in the middle"


def test_hosts_that_are_no_text_are_an_error(writer: RedisWriter, reader: RedisReader) -> None:
    writer.base.client.hset(writer.keys.records(TODAY), b"\xff", "made")
    with pytest.raises(StoreError, match="settled:2026-11-22"):
        records(reader)
