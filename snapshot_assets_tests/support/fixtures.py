"""Fixtures that several folders of tests import in their ``conftest.py``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.store.layout import Retention
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets_tests.support.servers import Redis
from snapshot_assets_tests.support.snapshots import NOW

FOREVER = Retention(*[100 * 366 * 86_400] * 4)


@pytest.fixture(autouse=True)
def examples_never_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers and writers get a long retention by default, as the days of the examples are fixed.

    By its own clock, Redis would otherwise remove the examples as expired.
    """
    monkeypatch.setattr("snapshot_assets.store.client.Retention", lambda: FOREVER)


@pytest.fixture
def writer(redis_server: Redis) -> Iterator[RedisWriter]:
    with RedisWriter(port=redis_server.port, clock=lambda: NOW) as opened:
        yield opened


@pytest.fixture
def reader(redis_server: Redis) -> Iterator[RedisReader]:
    with RedisReader(port=redis_server.port, clock=lambda: NOW) as opened:
        yield opened
