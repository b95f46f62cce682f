"""Servers that answer and refuse: replicas, full ones, locked ones, keys of somebody else."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from snapshot_assets.domain.time import bucket_iso
from snapshot_assets.errors import SnapshotAssetsError, StoreError, StoreOutageError
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets.store.transport.connections import Patience
from snapshot_assets_tests.support import snapshots as ex
from snapshot_assets_tests.support.domain.process_rows import MIDNIGHT, NOON
from snapshot_assets_tests.support.proxies import MuteServer
from snapshot_assets_tests.support.servers import Redis, wait_for
from snapshot_assets_tests.support.snapshots import (
    InOneLoop,
    answers,
    both_readers,
    busy,
    exact,
    used,
    worked_example,
)

SECRET, USER = "hunter2:/@", "somebody"
HOSTS = [f"host{i:02d}" for i in range(12)]
WHOLE = used(*(row for host in HOSTS for row in busy(host, 0.5, users=6)))


def write(writer: RedisWriter) -> None:
    writer.replace(HOSTS, ex.WINDOW, WHOLE, "settled")


def opened(server: Redis, **options: Any) -> RedisWriter:
    return RedisWriter(url=server.url(), clock=lambda: ex.NOW, **options)


def test_a_replica_is_read_and_not_written(tmp_path: Path) -> None:
    with Redis(tmp_path / "primary") as primary, opened(primary) as writer:
        write(writer)
        follow = ["--replicaof", f"127.0.0.1 {primary.port}", "--repl-diskless-sync-delay", "0"]
        with Redis(tmp_path / "replica", follow) as replica, opened(replica) as wrong:
            wait_for("the replica follows", lambda: replica.contents() == primary.contents())
            before = replica.contents()
            with pytest.raises(StoreError, match="read-only replica; point SNAPSHOT_REDIS_URL"):
                write(wrong)
            assert replica.contents() == before
            for kind in ex.READERS:
                with (
                    kind(port=replica.port, clock=lambda: ex.NOW) as one,
                    kind(port=primary.port, clock=lambda: ex.NOW) as other,
                ):
                    assert answers(one, HOSTS[:2]) == answers(other, HOSTS[:2])


# --- full ---------------------------------------------------------------------------------------


def test_a_full_server_says_so_and_with_more_memory_the_same_write_mends_it(
    redis_server: Redis,
) -> None:
    with opened(redis_server) as writer, redis_server.client() as client:
        empty = writer.base.memory().used_bytes
        write(writer)
        clean, full = redis_server.contents(), writer.base.memory().used_bytes
        try:
            for share in (0.05, 0.3, 0.6, 0.9):
                client.flushall()
                client.config_set("maxmemory", int(empty + share * (full - empty)))
                with pytest.raises(StoreError, match="out of memory; raise maxmemory") as caught:
                    write(writer)
                assert not isinstance(caught.value, StoreOutageError)
                assert not writer.base.memory().may_evict
                _require_right_or_absent(redis_server)
                client.config_set("maxmemory", 0)
                write(writer)
                assert redis_server.contents() == clean
        finally:
            client.config_set("maxmemory", 0)


@pytest.fixture
def evicting(redis_server: Redis) -> Iterator[Redis]:
    yield redis_server
    with redis_server.client() as client:
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")


@pytest.mark.parametrize(
    "policy",
    [f"{which}-{how}" for which in ("allkeys", "volatile") for how in ("lru", "lfu", "random")]
    + ["volatile-ttl"],
)
def test_a_server_that_evicts_loses_data_and_never_tells_other(
    evicting: Redis, policy: str
) -> None:
    with opened(evicting) as writer, evicting.client() as client:
        empty = writer.base.memory().used_bytes
        write(writer)
        writer.record_complete(True)
        full = writer.base.memory().used_bytes
        before = writer.base.memory().evicted_keys
        client.config_set("maxmemory-policy", policy)
        client.config_set("maxmemory", int(empty + 0.6 * (full - empty)))
        for again in (False, True):
            if again:
                write(writer)
            else:
                client.get("anything")
                wait_for("something is evicted", lambda: writer.base.memory().evicted_keys > before)
            memory = writer.base.memory()
            assert memory.may_evict
            assert memory.policy == policy
            assert memory.evicted_keys > before, "the census reads this"
            _require_right_or_absent(evicting)
    assert _held(evicting) < len(WHOLE)


def _held(server: Redis) -> int:
    with RedisReader(port=server.port, clock=lambda: ex.NOW) as reader:
        holdings = reader.holdings(ex.WINDOW.buckets())
        return sum(len(holding.hosts) for holding in holdings.values())


_RIGHT: dict[str, Any] = {}


def _require_right_or_absent(server: Redis) -> None:
    """Each document and each row of a frame is one of those of a server that has all."""
    for kind in ex.READERS:
        with kind(port=server.port, clock=lambda: ex.NOW) as reader:
            for host in HOSTS[:4]:
                found, right = _seen(reader, host), _RIGHT[host]
                for which, kept in found.items():
                    assert kept.items() <= right[which].items(), (host, which)


def _seen(reader: RedisReader | InOneLoop, host: str) -> dict[str, dict[Any, Any]]:
    seen: dict[str, dict[Any, Any]] = {
        "data": {
            at: str(document) for at, document in reader.get_data(host, ex.FIRST, ex.LAST).items()
        }
    }
    for resolution in ("5min", "hour", "day"):
        frame = reader.get_frame(host, ex.FIRST, ex.END, by="username", resolution=resolution)
        rows = list(zip(*exact(frame).values(), strict=True))
        seen[resolution] = {(row[0], row[2]): row for row in rows}
    return seen


@pytest.fixture(scope="module", autouse=True)
def _what_is_right(redis_process: Redis) -> None:
    with opened(redis_process) as writer:
        write(writer)
    with RedisReader(port=redis_process.port, clock=lambda: ex.NOW) as reader:
        _RIGHT.update({host: _seen(reader, host) for host in HOSTS[:4]})


# --- locked -------------------------------------------------------------------------------------


@both_readers
def test_a_wrong_password_is_told_at_once_and_not_tried_again(
    kind: type[RedisReader | InOneLoop], tmp_path: Path
) -> None:
    """The server counts the failed logins: one for each that asked."""
    with Redis(tmp_path, password="right") as server, server.client() as client:
        address = f"127.0.0.1:{server.port}/0"
        for login in (f"{USER}:{quote(SECRET, safe='')}@", f":{quote(SECRET, safe='')}@", ""):
            client.acl_log_reset()
            for opener in (kind, RedisWriter):
                start = time.monotonic()
                with (
                    opener(url=f"redis://{login}{address}") as one,
                    pytest.raises(StoreError, match="rejects the user or the password") as caught,
                ):
                    _ = one.progress() if isinstance(one, RedisWriter) else one.get_data("alice")
                assert time.monotonic() - start < 1.0
                assert not isinstance(caught.value, StoreOutageError)
            if login:
                tries = client.acl_log()
                assert sum(entry["count"] for entry in tries) == 2


def test_neither_user_nor_password_is_ever_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In no repr, no message, no chain of causes and no log, whatever goes wrong."""
    caplog.set_level(logging.DEBUG)
    login = f"{USER}:{quote(SECRET, safe='')}@"
    once = Patience(0.3, 0, 0.1)
    with Redis(tmp_path, password="right") as server, MuteServer() as mute:
        nodes = {"wrong": server.port, "mute": mute.port, "gone": 1}
        told = []
        for port in nodes.values():
            at = f"127.0.0.1:{port}"
            for url in (
                f"redis://{login}{at}/0",
                f"rediss://{login}{at}/0",
                f"redis+sentinel://{login}{at}/snapshots/0",
                f"redis+cluster://{login}{at}",
                f"redis://{at}/0?username={USER}&password={quote(SECRET, safe='')}",
            ):
                for opener in (*ex.READERS, RedisWriter):
                    with opener(url=url, patience=once) as one:
                        told += [repr(one), str(one), repr(one.base.target), str(one.base.target)]
                        with pytest.raises(SnapshotAssetsError) as caught:
                            _ = one.progress() if isinstance(one, RedisWriter) else one.hosts()
                        error: BaseException | None = caught.value
                        while error is not None:
                            told += [str(error), repr(error)]
                            error = error.__cause__ or (
                                None if error.__suppress_context__ else error.__context__
                            )
        told.append(caplog.text)
    for url in (f"redis+sentinel://{login}a:1", f"http://{login}a", f"redis+cluster://{login}:x"):
        with pytest.raises(SnapshotAssetsError) as caught:
            RedisReader(url=url)
        told.append(str(caught.value) + repr(caught.value))
    for secret in (SECRET, quote(SECRET, safe=""), "hunter2", USER):
        assert [text for text in told if secret in text] == []


# --- keys of others -----------------------------------------------------------------------------


@both_readers
def test_a_key_of_another_type_is_named(
    kind: type[RedisReader | InOneLoop], redis_server: Redis
) -> None:
    """The document's, the frame's, a summary's, the index's and the state's."""
    with (
        opened(redis_server) as writer,
        kind(port=redis_server.port, clock=lambda: ex.NOW) as reader,
    ):
        keys = writer.keys

        def frame(resolution: str) -> Callable[[], object]:
            return lambda: reader.get_frame("alice", ex.FIRST, ex.END, resolution=resolution)

        cases: list[tuple[str, list[Callable[[], object]]]] = [
            (
                bucket_iso(NOON),
                [
                    lambda: reader.get_data("alice"),
                    lambda: reader.get_data(),
                    lambda: reader.last_update("alice"),
                ],
            ),
            (keys.frame("alice", MIDNIGHT), [frame("5min")]),
            (keys.summary("alice", "hour", MIDNIGHT), [frame("hour")]),
            (keys.summary("alice", "day", MIDNIGHT), [frame("day"), lambda: reader.hosts()]),
            (keys.hosts_of_day(MIDNIGHT), [lambda: reader.hosts(), lambda: reader.get_frame()]),
            (keys.state, [writer.progress, writer.begin_live]),
            (keys.newest_snapshots, [writer.progress]),
        ]
        for key, asked in cases:
            with redis_server.client() as client:
                client.flushall()
                if "hour" not in key and "day" not in key:
                    writer.replace(["alice"], ex.WINDOW, used(*worked_example()), "settled")
                client.sadd(keys.hosts_of_day(MIDNIGHT), "alice")
                client.delete(key)
                client.set(key, "something else")
            for ask in asked:
                with pytest.raises(StoreError, match="another type than it should") as caught:
                    ask()
                assert repr(key) in str(caught.value), "it names the key"
                assert not isinstance(caught.value, StoreOutageError)
            # A whole day's frame is put in place of what is there.
            if key not in (keys.state, keys.newest_snapshots, keys.frame("alice", MIDNIGHT)):
                with pytest.raises(StoreError, match="another type than it should") as caught:
                    writer.replace(["alice"], ex.WINDOW, used(*worked_example()), "settled")
                assert key in str(caught.value), "a script names all its keys"
