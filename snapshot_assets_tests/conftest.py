"""Fixtures: private servers, one of each per test process, emptied for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from snapshot_assets.settings import Settings
from snapshot_assets_tests.support.servers import MariaDB, Redis

# A slow machine is no failure: speed is measured in benchmarks/.
hypothesis.settings.register_profile("untimed", deadline=None)
# pytest --hypothesis-profile=thorough looks for longer
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile("untimed")

# Modules that take minutes, mostly waiting: they start first, so that they do not end alone.
LONGEST = ("test_operation", "test_demo", "test_mysql_instance", "test_refusals", "test_commands")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest modules first; all others stay in their order."""

    def place(item: pytest.Item) -> int:
        module = item.path.stem
        return LONGEST.index(module) if module in LONGEST else len(LONGEST)

    items.sort(key=place)


@pytest.fixture(scope="session")
def mariadb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    with MariaDB(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture
def mariadb(mariadb_server: MariaDB) -> MariaDB:
    """A running MariaDB whose database ``monitoring`` is empty."""
    with mariadb_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("DROP DATABASE monitoring")
        cursor.execute("CREATE DATABASE monitoring CHARACTER SET utf8mb4")
    return mariadb_server


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_server(redis_process: Redis) -> Redis:
    """A running, empty Redis."""
    with redis_process.client() as client:
        client.flushall()
        client.config_resetstat()  # a census remembers what was evicted since the start
    return redis_process


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine's, no ``.env`` of the project's."""
    for field in Settings.model_fields:
        monkeypatch.delenv(f"SNAPSHOT_{field.upper()}", raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
    monkeypatch.chdir(tmp_path)
