"""The fixed days of these tests never expire; what a settling needs, empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snapshot_assets.lake.lake import Lake
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets_tests.pipeline.settlings import Settling, Source
from snapshot_assets_tests.servers import Redis
from snapshot_assets_tests.store.conftest import examples_never_expire

__all__ = ["examples_never_expire"]


@pytest.fixture
def settling(redis_server: Redis, tmp_path: Path) -> Iterator[Settling]:
    (tmp_path / "processes.db").touch()
    with (
        Source(f"sqlite:///{tmp_path / 'processes.db'}") as source,
        RedisWriter(port=redis_server.port) as writer,
    ):
        yield Settling(source, Lake(str(tmp_path / "lake")), writer, redis_server)
