"""Two jobs that keep the system itself in order: restoring a lost Redis, and housekeeping.

Neither makes an asset: what they do is put back, or throw away.
"""

import time
from collections.abc import Iterable

import dagster as dg

from snapshot_assets.orchestration.assets import OUTAGE_RETRIES
from snapshot_assets.orchestration.jobs import (
    HOUSEKEEPING_JOB,
    IN_PROGRESS,
    PATH_TAG,
    RESTORE_JOB,
)
from snapshot_assets.orchestration.resources import LakeResource, RedisResource, RulesResource

_RUNS_PER_LOOK = 200
_DAY_SECONDS = 86_400


def upkeep_jobs(history_days: int) -> list[dg.JobDefinition]:
    """Both jobs.

    Args:
        history_days: how long runs are kept that no partition's status needs.
    """

    @dg.op(retry_policy=OUTAGE_RETRIES, description="From the lake alone; the source is not read")
    def put_settled_days_back(
        context: dg.OpExecutionContext,
        lake: LakeResource,
        redis: RedisResource,
        rules: RulesResource,
    ) -> None:
        with lake.open() as files, redis.writer() as writer:
            report = writer.restore(
                files,
                documents_rules=rules.documents(),
                progress=lambda day, hosts: context.log.info(f"{day}: {hosts} hosts"),
            )
        context.add_output_metadata(
            {
                "days": len(report.days),
                "host_days": report.host_days,
                "documents_written": report.written.written,
                "bytes": report.written.written_bytes,
            }
        )
        if report.defects:
            raise dg.Failure(
                "not everything could be restored:"
                + "".join(f"\n{subject}: {told}" for subject, told in report.defects.items()),
                allow_retries=False,
            )

    @dg.op(description="Deletes old runs that hold no partition's newest materialization")
    def delete_old_runs(context: dg.OpExecutionContext) -> None:
        deleted, kept = tidy(context.instance, time.time() - history_days * _DAY_SECONDS)
        context.log.info(f"{deleted} runs deleted, {kept} kept for their partitions")
        context.add_output_metadata({"runs_deleted": deleted, "runs_kept": kept})

    @dg.job(
        name=RESTORE_JOB,
        tags={PATH_TAG: "upkeep"},
        description="Put every settled day within the retention back into Redis, newest first. "
        "Launched by a sensor when Redis was emptied; harmless at any time.",
    )
    def restore_redis() -> None:
        put_settled_days_back()

    @dg.job(
        name=HOUSEKEEPING_JOB,
        tags={PATH_TAG: "upkeep"},
        description="Bound Dagster's history: old runs go, with their events and logs, unless the "
        "status of a partition is counted from them.",
    )
    def housekeeping() -> None:
        delete_old_runs()

    return [restore_redis, housekeeping]


def tidy(instance: dg.DagsterInstance, before: float) -> tuple[int, int]:
    """Delete the runs that ended before this epoch second and that no status hangs on.

    A run is kept if it holds the newest materialization of any partition, or of an asset without
    partitions: Dagster counts what is materialized from those events.

    Returns:
        How many runs were deleted, and how many old ones were kept.
    """
    newest = _newest_materializations(instance)
    deleted = kept = 0
    cursor: str | None = None
    while True:
        records = instance.get_run_records(
            dg.RunsFilter(
                statuses=[s for s in dg.DagsterRunStatus if s not in IN_PROGRESS],
            ),
            limit=_RUNS_PER_LOOK,
            cursor=cursor,
            ascending=True,
        )
        for record in records:
            if record.create_timestamp.timestamp() >= before:
                return deleted, kept
            run_id = record.dagster_run.run_id
            if _holds(instance, run_id, newest):
                kept += 1
                cursor = run_id
            else:
                instance.compute_log_manager.delete_logs(prefix=[run_id])
                instance.delete_run(run_id)
                deleted += 1
        if len(records) < _RUNS_PER_LOOK:
            return deleted, kept


def _newest_materializations(instance: dg.DagsterInstance) -> set[int]:
    """The storage ids of the events that partition and asset status are counted from."""
    found: set[int] = set()
    for key in instance.all_asset_keys():
        by_partition = instance.event_log_storage.get_latest_storage_id_by_partition(
            key, dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        found.update(by_partition.values())
        latest = instance.fetch_materializations(key, limit=1).records
        found.update(record.storage_id for record in latest)
    return found


def _holds(instance: dg.DagsterInstance, run_id: str, storage_ids: Iterable[int]) -> bool:
    records = instance.get_records_for_run(
        run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    ).records
    return any(record.storage_id in storage_ids for record in records)
