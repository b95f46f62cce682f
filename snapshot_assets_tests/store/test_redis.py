"""Writer and reader on a real Redis: exact replacement, expiry, live beside settled, failures."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapshot_assets.domain.documents import documents
from snapshot_assets.domain.measures import Stage
from snapshot_assets.domain.time import Window, bucket_iso
from snapshot_assets.errors import SettingsError, StoreError, StoreOutageError
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.store.layout import Retention
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets.store.transport.connections import Patience
from snapshot_assets_tests.support import snapshots as ex
from snapshot_assets_tests.support.domain.process_rows import DAY, GB, MIDNIGHT, NOON, Row, minutes
from snapshot_assets_tests.support.proxies import CuttingProxy
from snapshot_assets_tests.support.servers import Redis
from snapshot_assets_tests.support.snapshots import Reader, used, worked_example

STAGES: tuple[Stage, ...] = ("live", "settled")


@pytest.fixture(params=ex.READERS, ids=["threads", "asyncio"])
def reader(redis_server: Redis, request: pytest.FixtureRequest) -> Iterator[Reader]:
    with request.param(port=redis_server.port, clock=lambda: ex.NOW) as opened:
        yield opened


def test_the_document_is_as_the_contract_says(
    writer: RedisWriter, reader: Reader, redis_server: Redis
) -> None:
    writer.replace(["alice"], ex.WINDOW, used(*worked_example()), "settled")
    stamp = "2026-11-22T12:05:00+00:00"
    entry = {"username": "ana", "comm": "python", "host": "alice", "timestamp": stamp}
    expected = {
        "cpu": {
            "command": {"cpu_norm": 1.0, "timestamp": stamp},
            "user": [{"cpu_norm": 1.0, **entry}],
            "other": {"cpu_norm": 0.0},
        },
        "mem": {
            "command": {"rss": 5.0, "timestamp": stamp},
            "user": [{"rss": 5.0, **entry}],
            "other": {"rss": 0.0},
        },
        "meta": {"coverage": 0.8, "snapshots": 1, "stage": "settled"},
    }
    found = reader.get_data("alice")
    assert list(found) == [NOON, NOON + 300]
    assert found[NOON + 300] == expected
    with redis_server.client() as client:
        assert client.type(stamp) == b"hash"
        assert client.expiretime(stamp) == NOON + 600 + writer.keys.retention.documents
        assert Retention().documents == 30 * 86_400
        assert json.loads(client.hget(stamp, "alice") or b"") == expected


def test_small_entries_add_up_in_other() -> None:
    """0.9 + 0.04 + 0.03 cores: only the first is above 0.05, the rest is other."""
    rows = [
        Row(time=NOON + t, pid=pid, username=user, cputimes=cores * t, rss=gb * GB)
        for t in (0, 300)
        for pid, user, cores, gb in ((1, "a", 0.9, 4), (2, "b", 0.04, 0), (3, "c", 0.03, 0))
    ]
    body = json.loads(documents(used(*rows, window=minutes("12:00", "12:05")))["body"][0])
    assert [entry["username"] for entry in body["cpu"]["user"]] == ["a"]
    assert body["cpu"]["command"]["cpu_norm"] == 0.97
    assert body["cpu"]["other"]["cpu_norm"] == 0.07


def test_hostile_names_are_text_in_documents_and_fields(
    writer: RedisWriter, reader: Reader
) -> None:
    for host in ("a|b", "*", 'x"y\\', "Zoë 😀", "\x00\n", "{tag}", ""):
        rows = [
            Row(host, NOON + t, 7, 'u"\\\n', "</script>\u2028", cputimes=t, rss=GB)
            for t in (0, 300)
        ]
        writer.replace([host], ex.WINDOW, used(*rows), "settled")
        (document,) = reader.get_data(host).values()
        (entry,) = document["cpu"]["user"]
        assert (entry["host"], entry["username"], entry["comm"]) == (
            host,
            'u"\\\n',
            "</script>\u2028",
        )
        assert host in reader.hosts()


def test_replacing_removes_what_should_no_longer_be_there(
    writer: RedisWriter, redis_server: Redis
) -> None:
    both = used(*worked_example("alice"), *worked_example("bob"))
    writer.replace(["alice", "bob"], ex.WINDOW, both, "settled")
    before = redis_server.contents()
    again = writer.replace(["alice", "bob"], ex.WINDOW, both, "settled")
    assert redis_server.contents() == before, "doing it again changes nothing"
    assert (again.written, again.removed) == (4, 0)

    fewer = writer.replace(["alice"], ex.WINDOW, used(*worked_example("alice")[:2]), "settled")
    assert (fewer.written, fewer.removed) == (1, 1)
    second = f"{bucket_iso(NOON + 300)}".encode()
    assert set(redis_server.contents()[second][1]) == {b"bob"}, "others keep theirs"

    writer.replace(["bob"], ex.WINDOW, used(), "settled")
    assert second not in redis_server.contents(), "an empty bucket leaves no key"


def test_replacing_touches_neither_other_hosts_nor_other_buckets(
    writer: RedisWriter, reader: Reader, redis_server: Redis
) -> None:
    writer.replace(["bob"], ex.WINDOW, used(*worked_example("bob")), "settled")
    before = redis_server.contents()
    writer.replace(["alice"], ex.WINDOW, used(*worked_example("alice")), "settled")
    writer.replace(["alice"], ex.WINDOW, used(), "settled")
    writer.replace(["bob"], minutes("13:00", "14:00"), used(), "settled")
    # That alice had something on this day may be remembered, nothing else.
    index = writer.keys.hosts_of_day(MIDNIGHT).encode()
    assert redis_server.contents() | {index: before[index]} == before
    assert reader.hosts() == ["bob"]
    with pytest.raises(ValueError, match="outside"):
        writer.replace(["bob"], ex.WINDOW, used(*worked_example("alice")), "settled")
    with pytest.raises(ValueError, match="outside"):
        writer.replace(
            ["alice"], minutes("13:00", "14:00"), used(*worked_example("alice")), "settled"
        )


def test_a_live_refresh_leaves_settled_buckets_alone(writer: RedisWriter, reader: Reader) -> None:
    early, late = worked_example()[:2], worked_example()
    writer.replace(["alice"], ex.WINDOW, used(*early), "settled")
    report = writer.replace(["alice"], ex.WINDOW, used(*late, stage="live"), "live")
    assert (report.written, report.kept_settled) == (1, 1)
    stages = [document["meta"]["stage"] for document in reader.get_data("alice").values()]
    assert stages == ["settled", "live"]
    writer.replace(["alice"], ex.WINDOW, used(stage="live"), "live")
    assert list(reader.get_data("alice")) == [NOON], "live buckets do go, settled ones stay"
    writer.replace(["alice"], ex.WINDOW, used(*late), "settled")
    stages = [document["meta"]["stage"] for document in reader.get_data("alice").values()]
    assert stages == ["settled", "settled"]


def test_buckets_past_the_retention_are_reported_and_not_written(redis_server: Redis) -> None:
    # 12:00 ends at 12:05 and expires an hour later; the clock stands in between the two.
    now = NOON + 300 + 3600
    with RedisWriter(
        port=redis_server.port, retention=Retention(3600), clock=lambda: now
    ) as writer:
        for stage in STAGES:
            report = writer.replace(["alice"], ex.WINDOW, used(*worked_example()), stage)
            assert report.expired == 1
    assert b"2026-11-22T12:00:00+00:00" not in redis_server.contents()


def test_ranges_include_both_ends_and_gaps_are_absent(writer: RedisWriter, reader: Reader) -> None:
    rows = [Row(time=NOON + t, cputimes=t) for t in (0, 300, 600, 4200, 4500, 4800)]
    writer.replace(["alice"], ex.WINDOW, used(*rows), "settled")

    def at(seconds: int, zone: dt.tzinfo = ex.UTC) -> dt.datetime:
        return dt.datetime.fromtimestamp(NOON + seconds, zone)

    assert list(reader.get_data("alice")) == [NOON + t for t in (0, 300, 4200, 4500)]
    assert list(reader.get_data("alice", at(300), at(4200))) == [NOON + 300, NOON + 4200]
    assert list(reader.get_data("alice", at(301), at(4199))) == []
    tokyo = dt.timezone(dt.timedelta(hours=9))
    assert list(reader.get_data("alice", at(300, tokyo), at(300, tokyo))) == [NOON + 300]
    everybody = reader.get_data(None, at(0), at(300))
    assert list(everybody) == [NOON, NOON + 300]
    assert list(everybody[NOON]) == ["alice"]
    assert everybody[NOON]["alice"] == reader.get_data("alice")[NOON]
    assert reader.get_data("nobody") == {}


def test_naive_times_and_backward_ranges_are_refused(reader: Reader) -> None:
    naive = dt.datetime(2026, 11, 22, 12)  # noqa: DTZ001
    with pytest.raises(ValueError, match=r"start_time 2026-11-22T12:00:00 has no time zone"):
        reader.get_data("alice", naive)
    with pytest.raises(ValueError, match="end_time 2026"):
        reader.get_data("alice", None, naive)
    later, earlier = (
        dt.datetime(2026, 11, 22, 13, tzinfo=ex.UTC),
        dt.datetime(2026, 11, 22, tzinfo=ex.UTC),
    )
    with pytest.raises(ValueError, match="after"):
        reader.get_data("alice", later, earlier)


def test_hosts_and_last_update_follow_the_documents(writer: RedisWriter, reader: Reader) -> None:
    assert reader.hosts() == []
    assert reader.last_update() is None
    old = [Row("old", NOON - 20 * 86_400 + t, cputimes=t) for t in (0, 300)]
    old_day = Window.of_day(DAY - dt.timedelta(days=20))
    writer.replace(["old"], old_day, used(*old, window=old_day), "settled")
    assert reader.last_update() == dt.datetime(2026, 11, 2, 12, tzinfo=ex.UTC)
    writer.replace(["alice"], ex.WINDOW, used(*worked_example()), "settled")
    assert reader.hosts() == ["alice"]
    assert reader.hosts(dt.datetime(2026, 11, 1, tzinfo=ex.UTC)) == ["alice", "old"]
    assert reader.last_update() == dt.datetime(2026, 11, 22, 12, 5, tzinfo=ex.UTC)
    assert reader.last_update("old") == dt.datetime(2026, 11, 2, 12, tzinfo=ex.UTC)
    assert reader.last_update("nobody") is None


def test_prefixes_keep_installations_apart(redis_server: Redis) -> None:
    for prefix in ("", "x:", "größe 😀:"):
        with RedisWriter(port=redis_server.port, prefix=prefix, clock=lambda: ex.NOW) as writer:
            writer.replace(
                [f"h{prefix}"], ex.WINDOW, used(*worked_example(f"h{prefix}")), "settled"
            )
    for prefix in ("x:", "größe 😀:"):
        with RedisReader(url=redis_server.url(), prefix=prefix, clock=lambda: ex.NOW) as reader:
            assert reader.hosts() == [f"h{prefix}"]
            assert len(reader.get_data(f"h{prefix}")) == 2
    assert b"x:2026-11-22T12:00:00+00:00" in redis_server.contents()


def test_reading_never_searches_the_keyspace(
    writer: RedisWriter, reader: Reader, redis_server: Redis
) -> None:
    writer.replace(["alice"], ex.WINDOW, used(*worked_example()), "settled")
    with redis_server.client() as client:
        client.config_resetstat()
        reader.get_data("alice")
        reader.get_data()
        reader.hosts()
        reader.last_update()
        whole_day = (
            dt.datetime(2026, 11, 22, tzinfo=ex.UTC),
            dt.datetime(2026, 11, 23, tzinfo=ex.UTC),
        )
        for resolution in ("5min", "hour", "day"):
            reader.get_frame(None, *whole_day, resolution=resolution, by="username")
        called = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
    assert not called & {"keys", "scan", "hscan"}
    assert called >= {"hget", "hgetall", "hmget", "exists", "smembers"}


def test_a_server_that_is_gone_or_mute_is_told_within_the_bound(tmp_path: Path) -> None:
    with RedisReader(port=1) as reader, pytest.raises(StoreOutageError, match="does not answer"):
        reader.get_data("alice")
    with (
        Redis(tmp_path) as server,
        RedisReader(port=server.port, patience=Patience(0.2, 1, 0.1)) as reader,
        server.paused(),
        pytest.raises(StoreOutageError),
    ):
        reader.get_data("alice")


@given(cut_after=st.integers(0, 40_000))
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_an_answer_that_is_cut_is_asked_for_again(
    writer: RedisWriter, reader: Reader, cut_after: int
) -> None:
    """Wherever the connection breaks: the right answer, or none and an error; never a part."""
    writer.replace(["alice"], ex.WINDOW, used(*_long_day()), "settled")
    expected = reader.get_data("alice")
    port: int = reader.base.target.nodes[0][1]
    for cuts in ([cut_after], [cut_after, cut_after, cut_after]):
        with (
            CuttingProxy(port, cuts) as proxy,
            type(reader)(port=proxy.port, clock=lambda: ex.NOW) as through,
        ):
            with contextlib.suppress(StoreOutageError) if len(cuts) > 1 else nullcontext():
                assert through.get_data("alice") == expected
            assert through.get_data("alice") == expected, "and all is well afterwards"


def _long_day() -> list[Row]:
    return [Row(time=NOON - 3600 + t * 300, cputimes=t * 30, rss=GB) for t in range(60)]


def test_threads_share_a_reader(writer: RedisWriter, redis_server: Redis) -> None:
    reader = RedisReader(port=redis_server.port, clock=lambda: ex.NOW)
    hosts = [f"h{i}" for i in range(8)]
    for i, host in enumerate(hosts):
        rows = [Row(host, NOON + t * 60, cputimes=t * (i + 1), rss=GB) for t in range(60)]
        writer.replace([host], ex.WINDOW, used(*rows), "settled")
    expected = {host: reader.get_data(host) for host in hosts}
    assert len({str(documents) for documents in expected.values()}) == len(hosts)
    with ThreadPoolExecutor(len(hosts)) as pool:
        for _ in range(20):
            assert dict(zip(hosts, pool.map(reader.get_data, hosts), strict=True)) == expected
    reader.close()


def test_the_writer_outlasts_a_restart_and_ends_with_the_same_state(tmp_path: Path) -> None:
    """Killed before the write, back empty while the writer retries: the write is complete."""
    rows = [Row(time=NOON + t * 60, cputimes=t * 30, rss=GB) for t in range(300)]
    whole = used(*rows)
    patient = Patience(5.0, 100, 0.4)  # however long a loaded machine takes to start a server
    with (
        Redis(tmp_path) as server,
        RedisWriter(port=server.port, clock=lambda: ex.NOW, patience=patient) as writer,
    ):
        writer.replace(["alice"], ex.WINDOW, whole, "settled")
        clean = server.contents()
        server.kill(signal.SIGKILL)
        restart = threading.Timer(1.0, server.start)
        restart.start()
        try:
            writer.replace(["alice"], ex.WINDOW, whole, "settled")
        finally:
            restart.join()  # or the server that it starts would be nobody's
        assert server.contents() == clean


def test_refusals_are_told_in_words(redis_server: Redis, tmp_path: Path) -> None:
    with redis_server.client() as client:
        client.set(bucket_iso(NOON), "something else")
    with (
        RedisWriter(port=redis_server.port, clock=lambda: ex.NOW) as writer,
        pytest.raises(StoreError, match=r"2026-11-22T12:00:00\+00:00.*SNAPSHOT_KEY_PREFIX"),
    ):
        writer.replace(["alice"], ex.WINDOW, used(*worked_example()), "settled")
    with RedisReader(port=redis_server.port, clock=lambda: ex.NOW) as reader:
        for host in ("alice", None):
            with pytest.raises(StoreError, match=r"2026-11-22T12:00:00\+00:00.*another type"):
                reader.get_data(host)
        later = dt.datetime.fromtimestamp(NOON + 300, ex.UTC)
        assert reader.get_data("alice", later), "the answers after the refused one were taken"
        with redis_server.client() as client:
            client.delete(bucket_iso(NOON))
            for damage in (b'{"cpu":', b"[1]", b"\xff\xfe"):
                client.hset(bucket_iso(NOON), "alice", damage)
                with pytest.raises(StoreError, match="'alice' under '2026-11-22T12:00:00"):
                    reader.get_data("alice")
    with Redis(tmp_path, ["--requirepass", "right"]) as locked:
        url = f"redis://:hunter2@127.0.0.1:{locked.port}/0"
        with RedisReader(url=url) as reader:
            with pytest.raises(StoreError, match="password") as caught:
                reader.get_data("alice")
            assert not isinstance(caught.value, StoreOutageError)
            assert "hunter2" not in str(caught.value) + repr(reader)
    with pytest.raises(SettingsError, match="SNAPSHOT_REDIS_URL"):
        RedisReader(url="http://x")
