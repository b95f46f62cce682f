"""The sensors that request repairs: after late rows, a missed night, or an emptied Redis.

A sensor compares and requests runs; it changes no data itself. If a server does not answer, the
tick fails, Dagster shows that, and the next tick tries again.
:mod:`snapshot_assets.pipeline.late_rows` decides which days are settled again.
"""

import datetime as dt
import time
from collections.abc import Collection, Iterable
from functools import partial
from typing import Any

import dagster as dg

from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.time import Window
from snapshot_assets.lake.notes import AGGREGATES
from snapshot_assets.orchestration.assets import SNAPSHOTS
from snapshot_assets.orchestration.jobs import (
    DAY_TAG,
    LIVE_JOB,
    PATH_TAG,
    RESTORE_JOB,
    SETTLE_JOB,
    active_runs,
)
from snapshot_assets.orchestration.partitions import dagster_key, known_hosts
from snapshot_assets.orchestration.resources import (
    LakeResource,
    RedisResource,
    RulesResource,
    SourceResource,
)
from snapshot_assets.orchestration.schedules import settle_requests
from snapshot_assets.pipeline.late_rows import Attempts, days_to_compare, unsettled
from snapshot_assets.settings import Settings

_RUNNING = dg.DefaultSensorStatus.RUNNING


def sensors(
    settings: Settings, partitions: dg.MultiPartitionsDefinition, jobs: Iterable[Any]
) -> list[dg.SensorDefinition]:
    """All sensors but the one that reports failures.

    Dagster runs them unless an operator stops them.

    Args:
        settings: intervals, the first day, and how many days to compare.
        partitions: the partitions of the settled assets.
        jobs: all jobs; the sensors launch some of them.
    """

    @dg.sensor(
        name="late_rows",
        job_name=SETTLE_JOB,
        minimum_interval_seconds=5 * settings.watch_interval,
        default_status=_RUNNING,
        description="Compares the number of rows in the source with the number that each host-day "
        "was settled from, one day at a tick. Settles host-days again that changed, failed or were "
        "missed.",
    )
    def late_rows(
        context: dg.SensorEvaluationContext,
        source: SourceResource,
        lake: LakeResource,
        rules: RulesResource,
    ) -> dg.SensorResult:
        now = time.time()
        attempts = Attempts.load(context.cursor, now)
        days = days_to_compare(now, settings.start_date, settings.late_days)
        if not days:
            return dg.SensorResult(skip_reason="no day is over yet", cursor=attempts.dump())
        day = attempts.next_day(days)
        if running := active_runs(context.instance, {DAY_TAG: str(day)}):
            reason = f"run {running[0].run_id} settles {day} now"
            return dg.SensorResult(skip_reason=reason, cursor=attempts.dump())
        with source.open() as table, lake.open() as files:
            window, accounting = Window.of_day(day), rules.accounting()
            own = accounting.own_range(window)
            tally = table.tally(*accounting.read_range(window), own=own)
            without_documents = partial(_without_documents, context.instance, partitions, day)
            wanted = unsettled(
                files, day, tally, without_documents, lambda error: context.log.warning(str(error))
            )
        tried = {
            host: why
            for host, why in wanted.items()
            if attempts.may_try(day, host, tally.get(host))
        }
        requests = list(settle_requests(context.instance, day, tried, "late"))
        attempts.remember(day, {host: tally.get(host) for host in tried}, now)
        for host, why in tried.items():
            context.log.info(f"{host} on {day}: {why}")
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=attempts.dump())
        waiting = f"; {len(wanted)} failed before and wait for their next try" if wanted else ""
        return dg.SensorResult(
            skip_reason=f"{day}: {len(tally)} hosts compared, nothing new{waiting}",
            cursor=attempts.dump(),
        )

    @dg.sensor(
        name="redis_lost",
        jobs=[job for job in jobs if job.name in (RESTORE_JOB, LIVE_JOB)],
        minimum_interval_seconds=settings.watch_interval,
        default_status=_RUNNING,
        description="Detects a Redis that was emptied, replaced or set back. Launches its restore "
        "from the lake, and a live refresh for today.",
    )
    def redis_lost(
        context: dg.SensorEvaluationContext, lake: LakeResource, redis: RedisResource
    ) -> dg.SensorResult:
        with redis.writer() as writer, lake.open() as files:
            if writer.progress().complete:
                return dg.SensorResult(skip_reason="Redis is marked as complete")
            if running := active_runs(context.instance, {"snapshot_assets/restores": "redis"}):
                reason = f"run {running[0].run_id} restores Redis now"
                return dg.SensorResult(skip_reason=reason)
            days = files.days(AGGREGATES)
            if not days:
                # A lake that is not mounted looks empty too, so Redis is not marked as complete.
                return dg.SensorResult(skip_reason="nothing is settled yet")
            address = writer.address
        context.log.warning(
            f"Redis at {address} is new or was emptied; restoring {len(days)} settled days"
        )
        requests = [
            dg.RunRequest(
                job_name=RESTORE_JOB,
                run_key=f"restore {time.time():.0f}",
                tags={"snapshot_assets/restores": "redis"},
            )
        ]
        if not active_runs(context.instance, {PATH_TAG: "live"}):
            requests.insert(
                0, dg.RunRequest(job_name=LIVE_JOB, run_key=f"restore live {time.time():.0f}")
            )
        return dg.SensorResult(run_requests=requests)

    return [late_rows, redis_lost]


def _without_documents(
    instance: dg.DagsterInstance,
    partitions: dg.MultiPartitionsDefinition,
    day: dt.date,
    hosts: Collection[str],
) -> set[str]:
    """The hosts whose documents of the day are not materialized, according to Dagster."""
    known = set(known_hosts(instance))
    keys = {host: dagster_key(HostDay(day, host)) for host in hosts if host in known}
    status = (
        instance.get_status_by_partition(dg.AssetKey(SNAPSHOTS), list(keys.values()), partitions)
        or {}
    )
    materialized = dg.AssetPartitionStatus.MATERIALIZED
    return {host for host, key in keys.items() if status.get(key) != materialized}
