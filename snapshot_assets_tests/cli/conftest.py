"""Shared by the tests of commands: a shell with the settings of a site, on the tests' servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapshot_assets_tests.support.servers import MariaDB, Redis
from snapshot_assets_tests.support.shell import Shell


@pytest.fixture
def shell(mariadb: MariaDB, redis_server: Redis, tmp_path: Path) -> Shell:
    return Shell(tmp_path, SOURCE_URL=mariadb.url(), RSS_UNIT="KiB", REDIS_URL=redis_server.url())
