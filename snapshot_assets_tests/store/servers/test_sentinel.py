"""Through Sentinels: a fail-over is outlasted, and what is wrong is said in words."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snapshot_assets.errors import StoreError, StoreOutageError
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets_tests.support import snapshots as ex
from snapshot_assets_tests.support.proxies import MuteServer
from snapshot_assets_tests.support.servers import Redis, wait_for
from snapshot_assets_tests.support.snapshots import (
    InOneLoop,
    answers,
    both_readers,
    both_reading,
    busy,
    round_trip,
    used,
)
from snapshot_assets_tests.support.topologies import SentinelSetup

HOSTS = ["alice", "bob"]


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelSetup]:
    with SentinelSetup(tmp_path_factory.mktemp("sentinel")) as started:
        yield started


def url_of(setup: SentinelSetup, service: str = "") -> str:
    nodes = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in setup.sentinels)
    return f"redis+sentinel://{nodes}/{service or setup.service_name}/0"


def test_a_round_trip_is_the_same_as_without(setup: SentinelSetup, redis_server: Redis) -> None:
    expected = round_trip({"port": redis_server.port})
    assert round_trip({"url": url_of(setup)}) == expected
    assert setup.primary.contents() == redis_server.contents()
    with RedisWriter(url=url_of(setup)) as writer:
        writer.base.ping()
        assert writer.base.memory().limit_bytes == 0


def test_a_fail_over_while_writing_and_reading_is_outlasted(
    setup: SentinelSetup, redis_server: Redis
) -> None:
    """The primary is killed while both go on; written again, the state is a clean run's.

    A replica may lack the last writes: Redis answers before it has them. So readers see what was
    there before or after, or nothing for a while.
    """
    whole = used(*busy("alice", 0.5), *busy("bob", 1.0))
    with RedisWriter(port=redis_server.port, clock=lambda: ex.NOW) as writer:
        writer.replace(HOSTS, ex.WINDOW, whole, "settled")
    with RedisReader(port=redis_server.port, clock=lambda: ex.NOW) as reader:
        expected = answers(reader, HOSTS)
    clean = redis_server.contents()
    with (
        RedisWriter(url=url_of(setup), clock=lambda: ex.NOW) as writer,
        _asking(url_of(setup), expected["data"][1]) as seen,
    ):
        writer.remove_all(ex.WINDOW)
        writer.replace(HOSTS, ex.WINDOW, whole, "settled")
        old = setup.primary
        failing = threading.Thread(target=setup.fail_over)
        failing.start()
        while failing.is_alive():
            with contextlib.suppress(StoreOutageError):
                writer.replace(HOSTS, ex.WINDOW, whole, "settled")
        failing.join()
        assert setup.primary is not old
        before = list(seen)
        writer.replace(HOSTS, ex.WINDOW, whole, "settled")
        wait_for(
            "each reader read on",
            lambda: all(now > then for now, then in zip(seen, before, strict=True)),
        )
    assert setup.primary.contents() == clean
    for kind in ex.READERS:
        with kind(url=url_of(setup), clock=lambda: ex.NOW) as one:
            assert answers(one, HOSTS) == expected
    old.start()


@contextlib.contextmanager
def _asking(url: str, expected: dict[int, Any]) -> Iterator[list[int]]:
    """Both readers ask all the time for what is right or absent; how often each got it all."""

    def look(reader: RedisReader | InOneLoop) -> bool:
        found = reader.get_data("alice", ex.FIRST, ex.LAST)
        assert found.items() <= expected.items()
        return found == expected

    with both_reading(look, 0.05, url=url) as counts:
        yield counts


@both_readers
def test_one_sentinel_that_is_down_or_mute_does_not_matter(
    kind: type[RedisReader | InOneLoop], setup: SentinelSetup
) -> None:
    setup.wait_until_up()
    with MuteServer() as mute:
        for port in (1, mute.port):
            nodes = f"127.0.0.1:{port},127.0.0.1:{setup.sentinels[0].port}"
            with kind(url=f"redis+sentinel://{nodes}/{setup.service_name}/0") as reader:
                reader.last_update()


@both_readers
def test_a_wrong_name_or_no_sentinel_is_said_in_words(
    kind: type[RedisReader | InOneLoop], setup: SentinelSetup
) -> None:
    """Within the reader's bound, and without the representations of redis-py."""
    with MuteServer() as mute:
        for url, words in (
            (url_of(setup, "elsewhere"), "know no primary of that name"),
            ("redis+sentinel://127.0.0.1:1/snapshots/0", "do not all answer"),
            (f"redis+sentinel://127.0.0.1:{mute.port}/snapshots/0", "do not all answer"),
        ):
            start = time.monotonic()
            with (
                kind(url=url) as reader,
                pytest.raises(StoreOutageError, match=words) as caught,
            ):
                reader.hosts()
            assert time.monotonic() - start < 3
            assert "<" not in str(caught.value)
            assert len(str(caught.value)) < 300


def test_sentinels_that_are_gone_do_not_end_a_connection(tmp_path: Path) -> None:
    """They are asked for a new connection only."""
    with SentinelSetup(tmp_path) as setup:
        with RedisWriter(url=url_of(setup), clock=lambda: ex.NOW) as writer:
            writer.base.ping()
            for sentinel in setup.sentinels:
                sentinel.kill(signal.SIGKILL)
            writer.replace(["alice"], ex.WINDOW, used(*busy("alice", 1.0)), "settled")
        with RedisReader(url=url_of(setup)) as reader, pytest.raises(StoreError):
            reader.hosts()
