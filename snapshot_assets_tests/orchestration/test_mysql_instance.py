"""Dagster's own runs and events on MySQL, with the shipped settings."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest

import snapshot_assets.deploy
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.time import DAY_SECONDS, Window
from snapshot_assets.orchestration.jobs import DAY_TAG
from snapshot_assets.orchestration.partitions import dagster_key
from snapshot_assets.source.query import ProcessSource
from snapshot_assets_tests.support.deployment import NEVER, Deployment
from snapshot_assets_tests.support.field_table import busy_host, load
from snapshot_assets_tests.support.servers import MariaDB, Redis

# A daemon's ticks and runs take minutes where other programs want the processors, too.
pytestmark = pytest.mark.timeout(900)

SETTINGS = Path(str(snapshot_assets.deploy.__file__)).with_name("dagster.mysql.yaml")


def test_schedule_daemon_and_webserver_on_mysql(
    mariadb: MariaDB, redis_server: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = dt.datetime.now(dt.UTC).date()
    yesterday = today - dt.timedelta(days=1)
    midnight = int(Window.of_day(yesterday).start)
    hosts = ["WEB|01", "Zoe", "Zoë", "web|01"]
    with ProcessSource(mariadb.url()) as source:
        # No rows of the day before: in the first hours of a day a sensor would settle that as well.
        # Rows of all of today, as today may be over before the schedule's first tick.
        rows = [r for h in hosts for r in busy_host(h, midnight, midnight + 2 * DAY_SECONDS)]
        load(source, rows)
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS dagster")
        cursor.execute("CREATE DATABASE dagster COLLATE utf8mb4_bin")
    url = mariadb.url("dagster").replace("mysql://", "mysql+mysqlconnector://")
    monkeypatch.setenv("DAGSTER_MYSQL_URL", url)
    deployment = Deployment(
        tmp_path,
        {
            "DAGSTER_MYSQL_URL": url,
            "SNAPSHOT_SOURCE_URL": mariadb.url(),
            "SNAPSHOT_RSS_UNIT": "KiB",
            "SNAPSHOT_REDIS_URL": redis_server.url(),
            "SNAPSHOT_LAKE": str(tmp_path / "lake"),
            "SNAPSHOT_LIVE_CRON": NEVER,
            "SNAPSHOT_SETTLE_CRON": "* * * * *",
            "SNAPSHOT_WATCH_INTERVAL": "3600",
        },
        SETTINGS,
    )
    with deployment:
        nightly = {"dagster/schedule_name": "settle_the_day_before"}
        (run, *_) = deployment.wait("the schedule", lambda: deployment.runs("settle", **nightly))
        ended = deployment.wait("the run's end", lambda: deployment.ended(run["runId"]))
        assert ended == "SUCCESS"
        # The next tick's run may have materialized again, without its checks yet.
        proof = deployment.wait(
            "the proof",
            lambda: deployment.checks("redis_snapshots").get("cpu_seconds_equal_source"),
        )
        assert proof["success"]
        made = deployment.partition_counts("redis_snapshots")["numMaterialized"]
        with deployment.instance() as instance:
            done = instance.get_materialized_partitions(dg.AssetKey("redis_snapshots"))
    settled = dt.date.fromisoformat(run["tags"][DAY_TAG])
    assert done >= {dagster_key(HostDay(settled, host)) for host in hosts}
    days = [day for day in (yesterday, today) if day < dt.datetime.now(dt.UTC).date()]
    assert done <= {dagster_key(HostDay(day, host)) for day in days for host in hosts}
    assert len(hosts) <= made <= len(done), "as the asset page counts them"
    assert not list((tmp_path / "dagster").rglob("*.db")), "nothing is kept in SQLite"
    with mariadb.connect("dagster") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM runs WHERE run_id = %s", (run["runId"],))
        assert cursor.fetchone() == (1,)
        cursor.execute("DROP DATABASE dagster")
