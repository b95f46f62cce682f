"""Fixtures: a retention for the fixed days of these tests, a writer, a reader, and a settling."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snapshot_assets.lake.lake import Lake
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets_tests.support.fixtures import examples_never_expire, reader, writer
from snapshot_assets_tests.support.servers import Redis
from snapshot_assets_tests.support.settlings import Settling, Source

__all__ = ["examples_never_expire", "reader", "writer"]


@pytest.fixture
def settling(redis_server: Redis, tmp_path: Path) -> Iterator[Settling]:
    """A settling with an empty table, lake and Redis."""
    (tmp_path / "processes.db").touch()
    with (
        Source(f"sqlite:///{tmp_path / 'processes.db'}") as source,
        RedisWriter(port=redis_server.port) as writer,
    ):
        yield Settling(source, Lake(str(tmp_path / "lake")), writer, redis_server)
