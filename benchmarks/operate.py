"""The cost of operation: live ticks, nights and backfills through Dagster, and Dagster's history.

It runs on private servers, with webserver, daemon and runs as ``snapshot-assets ui`` starts them.
The seconds of a run count from its start to its end, without the start of its process (about 3 s);
the seconds from launch to end include that. Events and bytes are what Dagster keeps of a run.
settle_day.py compares the accounting itself with another version.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import sqlite3
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event, Thread

import dagster as dg
import psutil
import pymysql

from benchmarks import field_day
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.time import (
    BUCKET_SECONDS,
    DAY_SECONDS,
    Window,
    bucket_iso,
    bucket_start,
)
from snapshot_assets.orchestration.assets import AGGREGATES, PARTITIONS_PER_RUN, RAW, SNAPSHOTS
from snapshot_assets.orchestration.partitions import boxes
from snapshot_assets_tests.support.deployment import NEVER, Deployment
from snapshot_assets_tests.support.servers import MariaDB, Redis

_COPIED = (
    "pid, ppid, username, comm, cputimes, rss, pss, vsz, thcount, etimes, bdstart, args, "
    "snapshot_time_epoch, snapshot_datetime, host"
)
_DATABASE_OPTIONS = (
    "--innodb-buffer-pool-size=4G",
    "--innodb-log-file-size=1G",
    "--secure-file-priv=",
)
_TICKS_PER_DAY = {"redis_lost": 1440, "late_rows": 288, "tell_failures": 2880, "live": 288}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the arguments name, and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operate", description=__doc__)
    parser.add_argument("--hosts", type=int, nargs="*", default=[12, 100, 500])
    parser.add_argument("--processes", type=int, default=50, help="per host and snapshot")
    parser.add_argument("--ticks", type=int, default=3, help="live runs measured, per host count")
    parser.add_argument("--latency", type=int, default=0, metavar="N", help="minutes to watch")
    parser.add_argument("--backfill", default="", metavar="DAYSxHOSTS", help="such as 30x20")
    options = parser.parse_args(arguments)
    for count in options.hosts:
        with _operation(count, options.processes) as operation:
            _measure_runs(operation, options.ticks)
    if options.latency:
        with _operation(12, options.processes, LIVE_CRON="* * * * *") as operation:
            _measure_latency(operation, options.latency)
    if options.backfill:
        days, hosts = map(int, options.backfill.split("x"))
        with _operation(hosts, options.processes) as operation:
            _measure_backfill(operation, days)


@dataclass
class _Operation:
    hosts: list[str]
    yesterday: dt.date
    mariadb: MariaDB
    redis: Redis
    deployment: Deployment
    now: int = field(default_factory=lambda: int(time.time()))

    @property
    def midnight(self) -> int:
        return int(Window.of_day(self.yesterday).start)

    def copy(self, start: int, end: int, shift: int) -> int:
        """Copy yesterday's snapshots in [start, end) to another time; returns the rows."""
        moved = _COPIED.replace("snapshot_time_epoch", f"snapshot_time_epoch + {shift}")
        with _cursor(self.mariadb) as cursor:
            return cursor.execute(
                f"INSERT IGNORE INTO processes ({_COPIED}) SELECT {moved} FROM processes "
                f"WHERE snapshot_time_epoch >= {start} AND snapshot_time_epoch < {end}"
            )


@contextlib.contextmanager
def _cursor(mariadb: MariaDB) -> Iterator[pymysql.cursors.Cursor]:
    with mariadb.connect("monitoring") as connection, connection.cursor() as cursor:
        yield cursor


@contextlib.contextmanager
def _operation(count: int, processes: int, **settings: str) -> Iterator[_Operation]:
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    hosts = field_day.host_names(count)
    with (
        tempfile.TemporaryDirectory(prefix="operate-") as name,
        MariaDB(Path(name) / "db", _DATABASE_OPTIONS) as mariadb,
        Redis(Path(name) / "redis") as redis,
    ):
        folder = Path(name)
        environment = {
            "SNAPSHOT_SOURCE_URL": mariadb.url(),
            "SNAPSHOT_RSS_UNIT": "KiB",
            "SNAPSHOT_REDIS_URL": redis.url(),
            "SNAPSHOT_LAKE": str(folder / "lake"),
            "SNAPSHOT_LIVE_CRON": NEVER,
            "SNAPSHOT_SETTLE_CRON": NEVER,
            "SNAPSHOT_WATCH_INTERVAL": "3600",
            **{f"SNAPSHOT_{key}": value for key, value in settings.items()},
        }
        with Deployment(folder / "ui", environment) as deployment:
            time.sleep(10)  # the sensor of late rows ticks now, and not during the measurement
            with mariadb.connect("monitoring") as connection:
                rows = field_day.load(
                    connection,
                    folder,
                    hosts,
                    processes * field_day.SNAPSHOTS_PER_DAY * count,
                    int(Window.of_day(yesterday).start),
                )
            print(f"\n{count} hosts, {rows:,} rows a day", flush=True)
            deployment.add_hosts(hosts)
            yield _Operation(hosts, yesterday, mariadb, redis, deployment)


# --- ticks and nights --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cost:
    """The cost of a kind of run."""

    seconds: list[float]
    seconds_from_launch: list[float]
    events: list[int]
    bytes: float
    steps: dict[str, float]

    def __str__(self) -> str:
        return (
            f"{statistics.median(self.seconds):.1f} s a run, "
            f"{statistics.median(self.seconds_from_launch):.1f} s from launch to end, "
            f"{statistics.median(self.events):,.0f} events, {self.bytes / 1e3:,.0f} kB"
        )


def _measure_runs(operation: _Operation, ticks: int) -> None:
    # The live path needs new rows: two hours of yesterday's noon, moved up to now.
    noon = operation.midnight + 43_200
    operation.copy(noon - 7_200, noon, operation.now - noon)
    nights = list(
        boxes(
            operation.yesterday,
            operation.yesterday,
            operation.hosts,
            operation.hosts,
            PARTITIONS_PER_RUN,
        )
    )
    with _memory() as peak:
        night = _cost(operation, "settle", [box.tags for box in nights])
    _cost(operation, "live", [{}])  # the first run reads more
    live = _cost(operation, "live", [{}] * ticks)
    review = _cost(operation, "review", [{}] * ticks)
    tick_bytes = _tick_bytes(operation.deployment.home)
    for step, spent in night.steps.items():
        print(f"  {step}: {spent:.1f} s")
    print(f"live tick: {live}")
    print(f"night, {len(nights)} runs: {sum(night.seconds):.1f} s in all; each: {night}")
    print(f"peak memory of a run: {peak[0] / 1e6:,.0f} MB")
    print(f"review: {review}")
    events = (
        288 * statistics.median(live.events)
        + 96 * statistics.median(review.events)
        + sum(night.events)
    )
    size = 288 * live.bytes + 96 * review.bytes + len(nights) * night.bytes
    ticks_size = tick_bytes * sum(_TICKS_PER_DAY.values())
    print(
        f"a day: {events:,.0f} events, {size / 1e6:,.1f} MB of runs, {ticks_size / 1e6:,.1f} MB of "
        f"ticks"
    )


def _cost(operation: _Operation, job: str, tags: Sequence[dict[str, str]]) -> _Cost:
    deployment = operation.deployment
    before = _size(deployment.home)
    seconds, from_launch, events, steps = [], [], [], defaultdict[str, float](float)
    for one in tags:
        begun = time.perf_counter()
        run_id = deployment.launch(job, one)
        status = deployment.wait(job, partial(deployment.ended, run_id), 900, 0.05)
        from_launch.append(time.perf_counter() - begun)
        if status != "SUCCESS" and job != "review":
            raise RuntimeError(f"{job} ended as {status}")
        (run,) = [run for run in deployment.runs(job) if run["runId"] == run_id]
        seconds.append(run["endTime"] - run["startTime"])
        with deployment.instance() as instance:
            events.append(len(instance.all_logs(run_id)))
            for done in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_SUCCESS):
                event = done.get_dagster_event()
                steps[str(event.step_key)] += event.step_success_data.duration_ms / 1e3
    time.sleep(1)
    grown = (_size(deployment.home) - before) / len(tags)
    return _Cost(seconds, from_launch, events, grown, dict(steps))


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _tick_bytes(home: Path) -> float:
    """The mean size of the row that Dagster keeps of a tick."""
    with contextlib.closing(sqlite3.connect(home / "schedules" / "schedules.db")) as connection:
        (mean,) = connection.execute("SELECT AVG(LENGTH(tick_body)) FROM job_ticks").fetchone()
    return float(mean or 0) + 100  # its indexes


@contextlib.contextmanager
def _memory() -> Iterator[list[int]]:
    """The peak resident memory of any run's process until the end of the block, bytes."""
    peak, over = [0], Event()

    def watch() -> None:
        while not over.wait(0.3):
            for process in psutil.process_iter(["cmdline", "memory_info"]):
                # Dagster's code server starts a process for each run.
                if "multiprocessing.spawn" in " ".join(process.info["cmdline"] or []):
                    peak[0] = max(peak[0], process.info["memory_info"].rss)

    thread = Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


# --- latency -----------------------------------------------------------------------------------


def _measure_latency(operation: _Operation, minutes: int) -> None:
    """Measure from the insertion of a snapshot to its documents, with a tick every minute."""
    noon = operation.midnight + 43_200
    now = int(time.time())
    operation.copy(noon - 3_600, noon, now - noon)
    since_insert, since_tick = [], []
    with operation.redis.client() as client:
        source_time = noon
        for _ in range(minutes):
            time.sleep((50 - time.time()) % 60)
            at = int(time.time())
            rows = operation.copy(source_time, source_time + BUCKET_SECONDS, at - source_time - 10)
            inserted = time.time()
            source_time += BUCKET_SECONDS
            key, host = bucket_iso(bucket_start(at - 10)), operation.hosts[0]
            before = client.hget(key, host)
            while client.hget(key, host) == before:
                time.sleep(0.02)
            published = time.time()
            since_insert.append(published - inserted)
            since_tick.append(published % 60)
            print(f"{rows:,} rows: {since_insert[-1]:.1f} s, {since_tick[-1]:.1f} s after the tick")
    print(
        f"insertion to Redis: {statistics.median(since_insert):.1f} s with rows 10 s before the "
        f"tick; {statistics.median(since_tick):.1f} s after the tick was due"
    )


# --- backfill ----------------------------------------------------------------------------------


def _measure_backfill(operation: _Operation, days: int) -> None:
    """Backfill all hosts for some days as the asset page does; cancel half-way, then resume."""
    for ago in range(1, days):
        operation.copy(operation.midnight, operation.midnight + DAY_SECONDS, -ago * DAY_SECONDS)
    partitions = [
        HostDay(operation.yesterday - dt.timedelta(days=ago), host)
        for ago in range(days)
        for host in operation.hosts
    ]
    deployment = operation.deployment

    def is_half_done() -> bool:
        return 2 * deployment.partition_counts(SNAPSHOTS)["numMaterialized"] >= len(partitions)

    with _memory() as peak:
        begun = time.perf_counter()
        first = deployment.backfill((RAW, AGGREGATES, SNAPSHOTS), partitions)
        deployment.wait("half of it", is_half_done, 3_600, 1)
        deployment.cancel_backfill(first)
        _await_end(deployment, first, "CANCELED")
        done = deployment.backfill_counts(first, SNAPSHOTS)["numPartitionsMaterialized"]
        if done == len(partitions):
            # The daemon cancels backfills only twice a minute.
            raise RuntimeError("the backfill was over before it was cancelled; take more days")
        second = deployment.reexecute_backfill(first)
        _await_end(deployment, second, "COMPLETED_SUCCESS")
        took = time.perf_counter() - begun
    print(f"backfill of {len(partitions)} host-days: {took:.0f} s, peak {peak[0] / 1e6:,.0f} MB")
    rest = deployment.backfill_counts(second, SNAPSHOTS)["numPartitionsMaterialized"]
    print(f"cancelled after {done} of them: {_runs_summary(deployment, first)}")
    print(f"re-executed from failure, {rest}: {_runs_summary(deployment, second)}")
    print(deployment.partition_counts(SNAPSHOTS))


def _await_end(deployment: Deployment, backfill: str, wanted: str) -> None:
    def status_at_end() -> str | None:
        status = deployment.backfill_status(backfill)
        return None if status in ("REQUESTED", "CANCELING", "FAILING") else status

    if (status := deployment.wait("the backfill", status_at_end, 3_600, 1)) != wanted:
        raise RuntimeError(f"the backfill ended as {status}")


def _runs_summary(deployment: Deployment, backfill: str) -> str:
    runs = deployment.runs(**{"dagster/backfill": backfill})
    # A run that was cancelled in the queue never started.
    busy = sum(run["endTime"] - run["startTime"] for run in runs if run["startTime"])
    succeeded = sum(run["status"] == "SUCCESS" for run in runs)
    return f"{len(runs)} runs, {succeeded} of them to their end, {busy:.0f} s in runs"


if __name__ == "__main__":
    main()
