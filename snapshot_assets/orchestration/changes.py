"""The job that settles again what was made with other settings.

It does what ``snapshot-assets settle --changed`` does, from Dagster's UI: one click, and no
partition to choose.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from snapshot_assets.orchestration.jobs import (
    CHANGED_JOB,
    CRASHES,
    PATH_TAG,
    REASON_TAG,
    STARTED_BY_TAG,
)
from snapshot_assets.orchestration.resources import (
    LakeResource,
    RedisResource,
    RulesResource,
    SourceResource,
    settings_now,
)
from snapshot_assets.orchestration.settling import Outcome, materialize, planned_changes
from snapshot_assets.pipeline.changed import by_day, changed
from snapshot_assets.settings import Settings


def changed_job(settings: Settings, resources: Mapping[str, Any]) -> dg.JobDefinition:
    """The job.

    Args:
        settings: the day of the first partition.
        resources: the resources of the runs that materialize, by name.
    """

    @dg.op(description="Finds the host-days that differ, and materializes exactly these")
    def settle_what_changed(
        context: dg.OpExecutionContext,
        source: SourceResource,
        lake: LakeResource,
        redis: RedisResource,
        rules: RulesResource,
    ) -> None:
        with lake.open() as files, redis.reader() as reader:
            found = list(changed(files, reader, settings_now(source, rules)))
        for day in by_day(found):
            context.log.info(f"{day.day}: {len(day.hosts)} hosts: {'; '.join(day.differences)}")
        runs = planned_changes(context.instance, found, settings.start_date)
        early = sum(one.host_day.day < settings.start_date for one in found)
        if early:
            context.log.warning(
                f"{early} host-days are before SNAPSHOT_START_DATE, {settings.start_date}: they "
                "stay as they are"
            )
        outcome = Outcome()
        tags = {REASON_TAG: "changed", STARTED_BY_TAG: context.run_id}
        for run in materialize(
            context.instance, resources, settings.start_date, runs, outcome, tags
        ):
            context.log.info(
                f"{run.box.partitions} host-days from {run.box.first_day} to {run.box.last_day}: "
                f"{', '.join(run.assets)}"
            )
        context.add_output_metadata(
            {
                "host_days_different": len(found),
                "host_days_before_start_date": early,
                "runs": len(runs),
                "checks": outcome.checks,
                "checks_failed": len(outcome.failed_checks),
                "checks_with_warnings": len(outcome.warnings),
            }
        )
        if problems := [*outcome.failures, *outcome.failed_checks]:
            raise dg.Failure(
                "not everything could be settled again:" + "".join(f"\n{p}" for p in problems),
                allow_retries=False,
            )

    @dg.job(
        name=CHANGED_JOB,
        tags={PATH_TAG: "settled", **CRASHES},
        description="Settle again exactly the host-days that the check settings_are_current lists: "
        "those that were made with other settings than those of now. It reads the source only "
        "where the lake lacks rows that the settings need. It does no harm at any time.",
    )
    def settle_changed() -> None:
        settle_what_changed()

    return settle_changed
