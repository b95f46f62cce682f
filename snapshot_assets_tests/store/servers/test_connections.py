"""How a server is reached: sockets, TLS, protocols; how long a client tries."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshot_assets.domain.measures import Stage
from snapshot_assets.errors import StoreError
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.store.reading.reader import READER_PATIENCE, RedisReader
from snapshot_assets.store.writing.writer import WRITER_PATIENCE
from snapshot_assets_tests.support import snapshots as ex
from snapshot_assets_tests.support.servers import Redis
from snapshot_assets_tests.support.snapshots import used, worked_example
from snapshot_assets_tests.support.topologies import TlsRedis

STAGES: tuple[Stage, ...] = ("live", "settled")


def test_a_unix_socket_url_works(tmp_path: Path) -> None:
    # Sockets have short paths.
    socket = Path("/tmp") / f"snap-{time.time_ns()}.sock"
    try:
        with Redis(tmp_path, ["--unixsocket", str(socket)]):
            with RedisWriter(url=f"unix://{socket}", clock=lambda: ex.NOW) as writer:
                writer.replace(["alice"], ex.WINDOW, used(*worked_example()), "settled")
                assert writer.address == f"unix:{socket}"
            with RedisReader(url=f"unix://{socket}", clock=lambda: ex.NOW) as reader:
                assert len(reader.get_data("alice")) == 2
    finally:
        socket.unlink(missing_ok=True)


def test_tls_is_spoken_and_strangers_are_refused(tmp_path: Path) -> None:
    """A rediss:// URL works with the right authority, and says what is wrong without it."""
    with TlsRedis(tmp_path) as server:
        url, trusted = server.tls_url(trusted=False), server.tls_url()
        with RedisWriter(url=trusted, clock=lambda: ex.NOW) as writer:
            writer.replace(["alice"], ex.WINDOW, used(*worked_example()), "settled")
        with RedisReader(url=trusted, clock=lambda: ex.NOW) as reader:
            assert len(reader.get_data("alice")) == 2
        with RedisReader(url=url) as stranger, pytest.raises(StoreError, match=r"(?i)certificate"):
            stranger.get_data("alice")


def test_both_protocols_give_the_same(redis_server: Redis) -> None:
    answers: list[Any] = []
    for protocol in (2, 3):
        options: dict[str, Any] = {
            "port": redis_server.port,
            "clock": lambda: ex.NOW,
            "protocol": protocol,
        }
        with RedisWriter(**options) as writer, RedisReader(**options) as reader:
            for stage in STAGES:
                writer.replace(["alice"], ex.WINDOW, used(*worked_example(), stage=stage), stage)
            answers.append((reader.get_data("alice"), reader.get_data(), reader.hosts()))
    assert answers[0] == answers[1]


def test_opening_does_not_connect() -> None:
    with RedisReader(port=1), RedisWriter(port=1):
        pass


def test_every_retry_is_bounded() -> None:
    """The reader answers a person, the writer a schedule."""
    for patience, bound in ((READER_PATIENCE, 2.5), (WRITER_PATIENCE, 60)):
        tries = patience.retries + 1
        longest = (
            tries * patience.timeout_seconds + patience.retries * patience.longest_pause_seconds
        )
        assert longest < bound


@given(st.integers())
def test_no_luck_uses_up_the_retries_while_a_server_restarts(seed: int) -> None:
    """Random pauses of any length could all be next to nothing."""
    patience = WRITER_PATIENCE
    random.seed(seed)
    pauses = [patience.pause_seconds(attempt) for attempt in range(1, patience.retries + 1)]
    assert sum(pauses) > 3
    assert max(pauses) <= patience.longest_pause_seconds
