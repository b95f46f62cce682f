"""Servers that are cut off, mute, slow or loading, and clocks that are wrong."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from snapshot_assets.domain.measures import Stage
from snapshot_assets.errors import StoreOutageError
from snapshot_assets.pipeline.census import disagreements
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.store.layout import Retention
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets.store.transport.connections import Patience
from snapshot_assets.store.transport.deadline import deadline
from snapshot_assets_tests.support import snapshots as ex
from snapshot_assets_tests.support.domain.process_rows import NOON, Row
from snapshot_assets_tests.support.proxies import CuttingProxy, MuteServer, TrickleProxy
from snapshot_assets_tests.support.servers import Redis, wait_for
from snapshot_assets_tests.support.snapshots import (
    InOneLoop,
    answers,
    both_readers,
    busy,
    used,
    worked_example,
)
from snapshot_assets_tests.support.topologies import TlsRedis

# A reader promises about two seconds; the rest is for a machine that is busy.
BOUND_SECONDS = 3.0


def write(port: int, *rows: Row, **options: Any) -> None:
    with RedisWriter(port=port, **{"clock": lambda: ex.NOW, **options}) as writer:
        writer.replace(["alice"], ex.WINDOW, used(*rows), "settled")


def told_within_the_bound(ask: Callable[[], object]) -> None:
    start = time.monotonic()
    with pytest.raises(StoreOutageError, match="does not answer") as caught:
        ask()
    assert time.monotonic() - start < BOUND_SECONDS
    assert "()" not in str(caught.value), "it says why"


@both_readers
def test_a_reader_gives_up_on_a_mute_server_within_its_bound(
    kind: type[RedisReader | InOneLoop], redis_server: Redis
) -> None:
    """One that never answers, and one that stops to after it has."""
    write(redis_server.port, *worked_example())
    with MuteServer() as mute, kind(port=mute.port, clock=lambda: ex.NOW) as reader:
        told_within_the_bound(lambda: reader.get_data("alice"))
    with kind(port=redis_server.port, clock=lambda: ex.NOW) as reader:
        assert reader.last_update() is not None
        with redis_server.paused():
            told_within_the_bound(lambda: reader.get_frame("alice"))
        assert reader.last_update() is not None, "and all is well afterwards"


@both_readers
def test_a_reader_gives_up_on_a_server_that_trickles_within_its_bound(
    kind: type[RedisReader | InOneLoop], redis_server: Redis
) -> None:
    """A byte every 0.3 s is often enough for a timeout of 0.9 s that starts anew with each.

    In the greeting of a connection, and in the answers of one that is greeted.
    """
    write(redis_server.port, *busy("alice", 1.0))
    with (
        TrickleProxy(redis_server.port) as proxy,
        kind(port=proxy.port, clock=lambda: ex.NOW) as reader,
    ):
        told_within_the_bound(lambda: reader.get_data("alice"))
    slow = SlowLater(redis_server.port)
    with slow as proxy, kind(port=proxy.port, clock=lambda: ex.NOW) as reader:
        assert reader.last_update() is not None
        slow.began.set()
        told_within_the_bound(lambda: reader.get_data("alice"))


class SlowLater(TrickleProxy):
    """Passes answers as they come, and once told to trickles."""

    def __init__(self, server_port: int) -> None:
        super().__init__(server_port, pause_seconds=0.3)
        self.began = threading.Event()

    def _trickle(self, server: Any, client: Any) -> None:
        while not self.began.is_set():
            server.settimeout(0.05)
            try:
                client.sendall(server.recv(65_536))
            except TimeoutError:
                continue
        server.settimeout(None)
        super()._trickle(server, client)


def test_a_long_answer_that_keeps_coming_is_waited_for(redis_server: Redis) -> None:
    """The bound is for a server that does not get on: many answers may take longer than it."""
    write(redis_server.port, *busy("alice", 1.0, users=1))
    with RedisReader(port=redis_server.port, clock=lambda: ex.NOW) as reader:
        expected = reader.get_data("alice", ex.FIRST, ex.LAST)
    for kind in ex.READERS:
        with (
            Paced(redis_server.port) as proxy,
            kind(port=proxy.port, clock=lambda: ex.NOW, patience=Patience(0.5, 0, 0.1)) as reader,
        ):
            start = time.monotonic()
            assert reader.get_data("alice", ex.FIRST, ex.LAST) == expected
            assert time.monotonic() - start > 0.5, "it did take longer"


class Paced(TrickleProxy):
    """4 kB every 40 ms: the 96 documents of about 600 bytes, with 192 gaps, take about 0.6 s."""

    def _trickle(self, server: Any, client: Any) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65_536):
                for first in range(0, len(data), 4096):
                    client.sendall(data[first : first + 4096])
                    time.sleep(0.04)


def test_the_writer_gives_up_within_its_own_bound(redis_server: Redis) -> None:
    """Two tries of 0.5 s and a pause of at most 0.2 s are 1.2 s."""
    patience = Patience(0.5, 1, 0.2)
    assert patience.bound_seconds == 1.2
    with MuteServer() as mute, TrickleProxy(redis_server.port) as slow:
        for port in (mute.port, slow.port):
            told_within_the_bound(partial(write, port, *worked_example(), patience=patience))


@both_readers
def test_a_connection_that_is_cut_between_two_questions_is_made_again(
    kind: type[RedisReader | InOneLoop], redis_server: Redis
) -> None:
    """Whoever asks does not notice: the second try has a new connection."""
    write(redis_server.port, *worked_example())
    with kind(port=redis_server.port, clock=lambda: ex.NOW) as reader:
        expected = reader.get_data("alice")
        for _ in range(3):
            with redis_server.client() as client:
                client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            assert reader.get_data("alice") == expected
    with (
        RedisWriter(port=redis_server.port, clock=lambda: ex.NOW) as writer,
        redis_server.client() as client,
    ):
        writer.base.ping()
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        writer.replace(["alice"], ex.WINDOW, used(*worked_example()), "settled")


@pytest.mark.parametrize("secured", [False, True], ids=["plain", "TLS"])
def test_what_is_late_is_hung_up_but_not_closed_under_its_user(
    secured: bool, tmp_path: Path
) -> None:
    """A closed socket's number is the next one's: its user would talk into that one."""
    with (
        TlsRedis(tmp_path) as server,
        redis.Redis.from_url(server.tls_url() if secured else server.url()) as client,
    ):
        connection: Any = client.connection_pool.get_connection()
        waited_for = connection._get_socket()
        with (
            pytest.raises(redis.TimeoutError, match=r"no whole answer within 0\.1 s"),
            deadline(connection, 0.1),
        ):
            heard = waited_for.recv(1)
        assert heard == b""
        assert waited_for.fileno() > 0
        client.connection_pool.release(connection)


def test_closing_lets_others_have_their_answers_and_leaves_no_connection(
    redis_server: Redis,
) -> None:
    once = Patience(30.0, 0, 0.1)
    with (
        ThreadPoolExecutor(1) as threads,
        RedisReader(port=redis_server.port, patience=once) as reader,
    ):
        reader.base.ping()
        client: Any = reader.base.client
        in_use = client.connection_pool._in_use_connections
        with redis_server.paused():
            asked = threads.submit(reader.base.ping)
            wait_for("the question is asked", lambda: bool(in_use))
            reader.close()
        asked.result()
        with redis_server.client() as onlooker:
            wait_for("no connection is left", lambda: len(onlooker.client_list()) == 1)


def test_a_writer_behind_a_proxy_that_dies_carries_on_behind_another(redis_server: Redis) -> None:
    """All connections end while the writer writes; it writes again over a new one."""
    write(redis_server.port, *busy("alice", 1.0))
    clean = redis_server.contents()
    with redis_server.client() as client:
        client.flushall()
    with CuttingProxy(
        redis_server.port, cuts=[400, 100], request_cuts=[None, None, 9_000]
    ) as proxy:
        write(proxy.port, *busy("alice", 1.0))
        assert proxy.accepted > 3
    assert redis_server.contents() == clean


def test_a_server_that_loads_is_said_to_load(tmp_path: Path) -> None:
    """A big file is loaded slowly; meanwhile PING itself is refused, and that is told."""
    options = ["--appendonly", "yes", "--enable-debug-command", "yes", "--key-load-delay", "2000"]
    with Redis(tmp_path, ["--loading-process-events-interval-bytes", "1024", *options]) as server:
        write(server.port, *busy("alice", 1.0))
        with server.client() as client:
            # Each key takes 2 ms, and the 200 more make it about a second.
            client.mset({f"other {i}": "x" * 1024 for i in range(1_000)})
            loading = threading.Thread(target=lambda: client.execute_command("DEBUG", "RELOAD"))
            loading.start()
            once = Patience(5.0, 0, 0.1)
            told = ""
            with RedisReader(port=server.port, clock=lambda: ex.NOW, patience=once) as reader:
                while loading.is_alive() and not told:
                    try:
                        reader.get_data("alice")
                    except StoreOutageError as error:
                        told = str(error)
            loading.join()
        assert "is still loading its data" in told
        with RedisWriter(port=server.port, clock=lambda: ex.NOW) as writer:
            assert writer.progress().complete is False


# --- clocks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_an_hour_off_changes_nothing_that_is_kept(
    redis_server: Redis, hours: int
) -> None:
    """Expiry follows from the bucket, not from the clock, so a writer's clock does not matter.

    The reader's moves only its defaults: the range without an end, and where the newest is looked
    for, an hour ahead.
    """
    stages: tuple[Stage, ...] = ("settled", "live")
    contents = []
    for clock in (ex.NOW, ex.NOW + hours * 3600):
        with redis_server.client() as client:
            client.flushall()
        with RedisWriter(port=redis_server.port, clock=partial(float, clock)) as writer:
            for stage in stages:
                rows = busy("alice", 1.0, 96 if stage == "settled" else 110)
                writer.replace(["alice"], ex.WINDOW, used(*rows, stage=stage), stage)
        contents.append(redis_server.contents())
    assert contents[0] == contents[1]
    # The last bucket of 110 begins 109 * 5 minutes after 08:00.
    newest = dt.datetime(2026, 11, 22, 17, 5, tzinfo=dt.UTC)
    found = []
    for kind in ex.READERS:
        for clock in (ex.NOW, ex.NOW + hours * 3600, int(newest.timestamp()) - 3600):
            with kind(port=redis_server.port, clock=partial(float, clock)) as reader:
                assert reader.last_update() == reader.last_update("alice") == newest
                found.append(answers(reader, ["alice"]))
    assert found.count(found[0]) == len(found)


def test_a_fast_clock_drops_early_only_what_expires_within_the_hour(redis_server: Redis) -> None:
    """Documents of 12:00 go at 13:05 (and ten years) here; at a true 12:30, an hour ahead is 13:30.

    So the writer leaves 12:00 to 12:25 out, and writes 12:30 and all that is later; frames are
    kept longer, and have all.
    """
    # The server's own clock is none of ours.
    years = 10 * 366 * 86_400
    now = years + NOON + 1800 + 3600
    retention = Retention(years + 3600, 2 * years, 2 * years, 2 * years)
    rows = [Row(time=NOON + t * 300, cputimes=t * 30) for t in range(9)]
    write(redis_server.port, *rows, clock=lambda: now, retention=retention)
    kept = [key for key in redis_server.contents() if key.startswith(b"2026")]
    assert sorted(kept) == [f"2026-11-22T12:{m}:00+00:00".encode() for m in (30, 35)]
    with RedisReader(port=redis_server.port, clock=lambda: now) as reader:
        assert len(reader.get_frame("alice", ex.FIRST, ex.END, resolution="5min")) == 8
        assert disagreements(reader, "alice", ex.WINDOW) == [NOON + 300 * i for i in range(6)]
