"""The assets on the tests' servers: alone, or with their sensors and jobs.

Ticks are evaluated as the daemon does, on a real source, lake and Redis. The sensors' clock is set
to noon of today, so that no night begins during a test.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from snapshot_assets.definitions import build_defs
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.time import Window
from snapshot_assets.lake.lake import Lake
from snapshot_assets.orchestration.assets import settled_assets
from snapshot_assets.orchestration.checks import settled_checks
from snapshot_assets.orchestration.jobs import DAY_TAG, REASON_TAG
from snapshot_assets.orchestration.partitions import (
    add_hosts,
    dagster_key,
    host_day_of,
    host_day_partitions,
    known_hosts,
)
from snapshot_assets.orchestration.resources import (
    LakeResource,
    RedisResource,
    RulesResource,
    SourceResource,
    environment_resources,
)
from snapshot_assets.source.query import ProcessSource, SourceTable
from snapshot_assets.store.layout import Retention
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets_tests.support.field_table import DAY, Row, busy_host, execute, load, row
from snapshot_assets_tests.support.servers import Redis

PARTITIONS = host_day_partitions(dt.date(2026, 11, 1))
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
# Long enough for the fixed days of these tests, whenever they run.
FOREVER_DAYS = 36_500.0
HOSTS = ("alice", "bob", "web|01")
STARTED, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE


class Pipeline:
    """The assets on a source, a lake and a Redis, materialized in this process."""

    def __init__(self, source_url: str, redis: Redis, lake: Path, instance: dg.DagsterInstance):
        self.source_url, self.redis, self.lake_path = source_url, redis, lake
        self.redis_url = redis.url()
        self.instance = instance
        self.retention_days = FOREVER_DAYS

    @property
    def source(self) -> ProcessSource:
        return ProcessSource(self.source_url, SourceTable(rss_unit="KiB"))

    @property
    def lake(self) -> Lake:
        return Lake(str(self.lake_path))

    def reader(self) -> RedisReader:
        return RedisReader(
            url=self.redis_url, retention=Retention(*[int(FOREVER_DAYS * 86_400)] * 4)
        )

    def settle(
        self,
        hosts: Sequence[str],
        days: tuple[dt.date, dt.date] = (DAY, DAY),
        select: Sequence[str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        add_hosts(self.instance, hosts)
        ordered = [host for host in known_hosts(self.instance) if host in hosts]
        return dg.materialize(
            [*settled_assets(PARTITIONS), *settled_checks()],
            instance=self.instance,
            resources={
                "source": SourceResource(url=self.source_url, rss_unit="KiB"),
                "lake": LakeResource(base=str(self.lake_path)),
                "redis": RedisResource(url=self.redis_url, retention_days=self.retention_days),
                "rules": RulesResource(),
            },
            tags={
                "dagster/asset_partition_range_start": dagster_key(HostDay(days[0], ordered[0])),
                "dagster/asset_partition_range_end": dagster_key(HostDay(days[1], ordered[-1])),
            },
            run_config=QUIET,
            raise_on_error=False,
            selection=dg.AssetSelection.assets(*select).without_checks() if select else None,
        )

    def state(self) -> tuple[dict[str, bytes], dict[Any, Any]]:
        """Every byte of the lake and of Redis."""
        files = {
            str(path.relative_to(self.lake_path)): path.read_bytes()
            for path in sorted(self.lake_path.rglob("*.parquet"))
        }
        return files, self.redis.contents()


class WatchedPipeline(Pipeline):
    """A pipeline with sensors, whose definitions read their settings from the environment.

    Attributes:
        day: the last UTC day that is over.
        now: the time of the sensors, epoch seconds.
        cursor: the cursor of the sensor of late rows.
    """

    def __init__(self, *where: Any) -> None:
        super().__init__(*where)
        self.retention_days = 30.0
        today = dt.datetime.now(dt.UTC).date()
        self.day = today - dt.timedelta(days=1)
        self.midnight = int(Window.of_day(self.day).start)
        self.now = Window.of_day(today).start + 43_200.0
        self.cursor: str | None = None
        self.defs = build_defs()

    def rows(self, host: str, seed: int = 0) -> Iterator[Row]:
        """Rows from 10:00 to 11:00 of the day."""
        return busy_host(host, self.midnight + 36_000, self.midnight + 39_600, seed)

    def add(self, host: str, seconds: int) -> None:
        """Load one more row, so many seconds after the day's midnight."""
        load(self.source, [row(host, self.midnight + seconds, 77)], create=None)

    def take_back(self) -> None:
        """Delete the rows that :meth:`add` has loaded."""
        execute(self.source, "DELETE FROM processes WHERE pid = 77")

    def tick(self, sensor: str = "late_rows") -> tuple[list[dg.RunRequest], str]:
        """Evaluate a tick of a sensor: its run requests, or its skip reason."""
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources=environment_resources()
        ) as context:
            done = self.defs.resolve_sensor_def(sensor).evaluate_tick(context)
        if sensor == "late_rows":
            self.cursor = done.cursor
        assert bool(done.run_requests) != bool(done.skip_message)
        return list(done.run_requests or []), done.skip_message or ""

    def late(self, forget: bool = True) -> set[str]:
        """The hosts whose day a tick requests to settle; by default earlier tries are forgotten."""
        if forget:
            self.cursor = None
        found = set()
        for request in self.tick()[0]:
            assert request.job_name == "settle"
            assert request.tags[DAY_TAG] == str(self.day)
            assert request.tags[REASON_TAG] == "late"
            ends = [
                host_day_of(request.tags[f"dagster/asset_partition_range_{end}"])
                for end in ("start", "end")
            ]
            assert {end.day for end in ends} == {self.day}
            order = known_hosts(self.instance)
            found |= set(order[order.index(ends[0].host) : order.index(ends[1].host) + 1])
        return found

    def settle_day(self, *hosts: str, select: Sequence[str] | None = None) -> bool:
        return self.settle(hosts, (self.day, self.day), select).success

    def record_run(self, job: str, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
        definition = self.defs.resolve_job_def(job)
        return self.instance.create_run_for_job(
            definition,
            status=status,
            tags={**definition.tags, **{f"snapshot_assets/{k}": v for k, v in tags.items()}},
        )

    def run(self, job: str) -> dg.ExecuteInProcessResult:
        return self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance, run_config=QUIET, raise_on_error=False
        )

    def live_hosts(self) -> set[str]:
        """The hosts with a document of today or yesterday."""
        with self.reader() as reader:
            return set(reader.hosts())

    def complete(self) -> bool:
        with self.reader() as reader:
            return reader.progress().complete


def recent(host: str, seconds: int = 1_800, until: int = 0) -> list[Row]:
    """Rows of some seconds, by default half an hour, that end ``until`` seconds ago."""
    now = int(time.time())
    return list(busy_host(host, now - until - seconds, now - until))


def whole(day: dt.date) -> tuple[dt.datetime, dt.datetime]:
    start = dt.datetime.combine(day, dt.time(), dt.UTC)
    return start, start + dt.timedelta(days=1, seconds=-1)


def day_of(site: WatchedPipeline) -> tuple[dt.datetime, dt.datetime]:
    return whole(site.day)


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, dict[str, Any]]:
    """The metadata recorded of an asset, by partition."""
    return {
        str(event.materialization.partition): {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
        if event.materialization.asset_key == dg.AssetKey(asset)
    }


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


def culprits(check: dg.AssetCheckEvaluation) -> dict[str, str]:
    """The problems that a check reports, by host."""
    found: Any = check.metadata["culprits"].value
    if found == "none":
        return {}
    return {record.data["host"]: record.data["problem"] for record in found.records}
