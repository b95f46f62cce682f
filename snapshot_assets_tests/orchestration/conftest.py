"""Fixtures: a pipeline and a site, each with an instance, a lake and an empty table of its own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from snapshot_assets.orchestration import sensors
from snapshot_assets_tests.support.field_table import load
from snapshot_assets_tests.support.pipelines import HOSTS, Pipeline, WatchedPipeline
from snapshot_assets_tests.support.servers import MariaDB, Redis


@pytest.fixture
def pipeline(mariadb: MariaDB, redis_server: Redis, tmp_path: Path) -> Iterator[Pipeline]:
    home = tmp_path / "instance"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        yield Pipeline(mariadb.url(), redis_server, tmp_path / "lake", instance)


@pytest.fixture
def site(
    mariadb: MariaDB, redis_server: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WatchedPipeline]:
    """A pipeline with sensors, an empty table, and yesterday as the only day to compare."""
    home, lake = tmp_path / "instance", tmp_path / "lake"
    home.mkdir()
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    for name, value in {
        "SOURCE_URL": mariadb.url(),
        "RSS_UNIT": "KiB",
        "REDIS_URL": redis_server.url(),
        "LAKE": str(lake),
        "START_DATE": str(yesterday),
    }.items():
        monkeypatch.setenv(f"SNAPSHOT_{name}", value)
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        made = WatchedPipeline(mariadb.url(), redis_server, lake, instance)
        monkeypatch.setattr(sensors, "time", SimpleNamespace(time=lambda: made.now))
        load(made.source, [])
        yield made


@pytest.fixture
def settled(site: WatchedPipeline) -> WatchedPipeline:
    """The site, with a settled day of all hosts."""
    for seed, host in enumerate(HOSTS):
        load(site.source, site.rows(host, seed), create=None)
    assert site.settle_day(*HOSTS)
    return site
