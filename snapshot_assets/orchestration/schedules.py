"""The schedules: live every five minutes, settling at night, reviews every quarter of an hour.

This module also divides a day and its hosts into runs. The sensors use the same function.
"""

import datetime as dt
import time
from collections.abc import Iterable, Iterator

import dagster as dg

from snapshot_assets.domain.time import Window
from snapshot_assets.errors import SettingsError
from snapshot_assets.orchestration.assets import PARTITIONS_PER_RUN
from snapshot_assets.orchestration.jobs import (
    AUDIT_JOB,
    DAY_TAG,
    HOUSEKEEPING_JOB,
    LIVE_JOB,
    PATH_TAG,
    REASON_TAG,
    REVIEW_JOB,
    SETTLE_JOB,
    active_runs,
)
from snapshot_assets.orchestration.partitions import add_hosts, boxes, known_hosts
from snapshot_assets.orchestration.resources import RulesResource, SourceResource
from snapshot_assets.settings import PREFIX, Settings

_RUNNING = dg.DefaultScheduleStatus.RUNNING


def settle_requests(
    instance: dg.DagsterInstance,
    day: dt.date,
    hosts: Iterable[str],
    reason: str,
) -> Iterator[dg.RunRequest]:
    """Request the runs that settle a day for these hosts, in few runs.

    Args:
        instance: the instance; hosts without partitions get them here.
        day: UTC day.
        hosts: the hosts to settle.
        reason: a word for the runs' tags, such as ``nightly``.
    """
    requested = sorted(set(hosts))
    add_hosts(instance, requested)
    known = known_hosts(instance)
    for box in boxes(day, day, requested, known, PARTITIONS_PER_RUN):
        yield dg.RunRequest(
            run_key=f"{reason} {day} {box.hosts[0]} {box.hosts[-1]} {int(time.time())}",
            job_name=SETTLE_JOB,
            tags={**box.tags, DAY_TAG: str(day), REASON_TAG: reason},
        )


def schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """All schedules; Dagster runs them unless an operator stops them.

    Raises:
        SettingsError: Dagster rejects a cron setting.
    """
    _check_crons(settings)

    @dg.schedule(
        name="live_every_five_minutes",
        cron_schedule=settings.live_cron,
        job_name=LIVE_JOB,
        execution_timezone="UTC",
        default_status=_RUNNING,
        description="Publish the new buckets. Skips a tick while the previous run is active.",
    )
    def live_every_five_minutes(
        context: dg.ScheduleEvaluationContext,
    ) -> dg.RunRequest | dg.SkipReason:
        running = active_runs(context.instance, {PATH_TAG: "live"})
        if running:
            return dg.SkipReason(f"the previous run, {running[0].run_id}, has not ended yet")
        return dg.RunRequest()

    @dg.schedule(
        name="settle_the_day_before",
        cron_schedule=settings.settle_cron,
        job_name=SETTLE_JOB,
        execution_timezone="UTC",
        default_status=_RUNNING,
        description="Settle the UTC day before, for every host with rows in that day.",
    )
    def settle_the_day_before(
        context: dg.ScheduleEvaluationContext, source: SourceResource, rules: RulesResource
    ) -> list[dg.RunRequest] | dg.SkipReason:
        day = context.scheduled_execution_time.astimezone(dt.UTC).date() - dt.timedelta(days=1)
        if day < settings.start_date:
            return dg.SkipReason(f"{day} is before SNAPSHOT_START_DATE, {settings.start_date}")
        with source.open() as table:
            hosts = table.hosts(*rules.accounting().own_range(Window.of_day(day)))
        if not hosts:
            return dg.SkipReason(f"no host has rows on {day}")
        return list(settle_requests(context.instance, day, hosts, "nightly"))

    return [
        live_every_five_minutes,
        settle_the_day_before,
        _plain(
            "review_every_quarter_hour",
            "7,22,37,52 * * * *",
            REVIEW_JOB,
            "Check freshness, silent hosts and collectors.",
        ),
        _plain(
            "audit_every_night",
            "15 3 * * *",
            AUDIT_JOB,
            "Compare the documents in Redis with the lake and the source.",
        ),
        _plain(
            "housekeeping_every_night",
            "40 3 * * *",
            HOUSEKEEPING_JOB,
            "Delete old runs that the status of no partition depends on.",
        ),
    ]


def _plain(name: str, cron: str, job: str, description: str) -> dg.ScheduleDefinition:
    """A schedule that always runs its job, without configuration."""
    return dg.ScheduleDefinition(
        name=name,
        cron_schedule=cron,
        job_name=job,
        execution_timezone="UTC",
        default_status=_RUNNING,
        description=description,
    )


def _check_crons(settings: Settings) -> None:
    for name in ("live_cron", "settle_cron"):
        try:
            dg.ScheduleDefinition(name=name, cron_schedule=getattr(settings, name), job_name=name)
        except dg.DagsterInvalidDefinitionError as error:
            raise SettingsError(f"{PREFIX}{name.upper()}: {error}") from None
