"""Two jobs that maintain the system: one restores a lost Redis, one removes what is old.

Neither job materializes an asset.
"""

import time
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from snapshot_assets.domain.time import DAY_SECONDS
from snapshot_assets.lake.register import read_register
from snapshot_assets.orchestration.assets import OUTAGE_RETRIES
from snapshot_assets.orchestration.jobs import (
    HOUSEKEEPING_JOB,
    IN_PROGRESS,
    PATH_TAG,
    RESTORE_JOB,
)
from snapshot_assets.orchestration.metadata import restore_metadata
from snapshot_assets.orchestration.partitions import remove_hosts
from snapshot_assets.orchestration.resources import LakeResource, RedisResource, RulesResource
from snapshot_assets.pipeline.fleet import gone

_RUNS_PER_QUERY = 200
_EVENTS_PER_QUERY = 500
# There are about 400 live runs and reviews a day, and old ones are of no use.
_ROUTINE_DAYS = 2
_ROUTINE = {PATH_TAG: ["live", "review"]}


def upkeep_jobs(history_days: int, late_days: int) -> list[dg.JobDefinition]:
    """Both jobs.

    Args:
        history_days: how many days runs are kept that the status of no partition depends on.
        late_days: how many days after its last row a retired host keeps its partitions.
    """

    @dg.op(retry_policy=OUTAGE_RETRIES, description="Restores from the lake, not from the source")
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
        context.add_output_metadata(restore_metadata(report))
        if report.defects:
            raise dg.Failure(
                "some host-days or files could not be restored:"
                + "".join(f"\n{subject}: {error}" for subject, error in report.defects.items()),
                allow_retries=False,
            )

    @dg.op(description="Deletes old runs that do not hold any partition's newest materialization")
    def delete_old_runs(context: dg.OpExecutionContext) -> None:
        now = time.time()
        routine_days = min(_ROUTINE_DAYS, history_days)
        routine, _ = tidy(context.instance, now - routine_days * DAY_SECONDS, _ROUTINE)
        others, kept = tidy(context.instance, now - history_days * DAY_SECONDS)
        context.log.info(f"{routine + others} runs deleted, {kept} kept for their partitions")
        context.add_output_metadata({"runs_deleted": routine + others, "runs_kept": kept})

    @dg.op(
        description="Removes the partitions of hosts that are retired or renamed, so that they do "
        "not count as missing. Their figures and Dagster's records of them stay"
    )
    def remove_partitions_of_retired_hosts(
        context: dg.OpExecutionContext, lake: LakeResource, redis: RedisResource
    ) -> None:
        before = time.time() - late_days * DAY_SECONDS
        with lake.open() as files, redis.reader() as reader:
            hosts = gone(read_register(files), reader.progress(), before)
        removed = remove_hosts(context.instance, hosts)
        context.log.info(f"partitions of {', '.join(removed) or 'no host'} removed")
        context.add_output_metadata({"hosts_removed": ", ".join(removed) or "none"})

    @dg.job(
        name=RESTORE_JOB,
        tags={PATH_TAG: "upkeep"},
        description="Publish every settled day within the retention to Redis again, newest first. "
        "The sensor redis_lost launches it when Redis was emptied. It does no harm at any time.",
    )
    def restore_redis() -> None:
        put_settled_days_back()

    @dg.job(
        name=HOUSEKEEPING_JOB,
        tags={PATH_TAG: "upkeep"},
        description="Delete old runs with their events and logs, unless the status of a partition "
        "or asset depends on them. Remove the partitions of hosts that were retired.",
    )
    def housekeeping() -> None:
        delete_old_runs()
        remove_partitions_of_retired_hosts()

    return [restore_redis, housekeeping]


def tidy(
    instance: dg.DagsterInstance, before: float, tags: Mapping[str, list[str]] | None = None
) -> tuple[int, int]:
    """Delete the runs that began before an epoch second and that no status depends on.

    A run is kept if it has not ended. It is also kept if it holds the newest materialization of any
    partition or asset, as Dagster derives what is materialized from those events.

    Args:
        instance: the instance with the runs.
        before: epoch second.
        tags: only runs that have one of the values of each of these tags; None for all runs.

    Returns:
        The number of runs deleted, and the number of ended runs that are old and were kept.
    """
    needed = _needed_runs(instance)
    deleted = kept = 0
    cursor: str | None = None
    while True:
        records = instance.get_run_records(
            dg.RunsFilter(
                statuses=[s for s in dg.DagsterRunStatus if s not in IN_PROGRESS],
                tags=dict(tags or {}),
            ),
            limit=_RUNS_PER_QUERY,
            cursor=cursor,
            ascending=True,
        )
        for record in records:
            if record.create_timestamp.timestamp() >= before:
                return deleted, kept
            run_id = record.dagster_run.run_id
            if run_id in needed:
                kept += 1
                cursor = run_id
            else:
                instance.compute_log_manager.delete_logs(prefix=[run_id])
                instance.delete_run(run_id)
                _delete_event_file(instance, run_id)
                deleted += 1
        if len(records) < _RUNS_PER_QUERY:
            return deleted, kept


def _needed_runs(instance: dg.DagsterInstance) -> set[str]:
    """The runs whose events the status of partitions and assets depends on."""
    found: set[str] = set()
    for key in instance.all_asset_keys():
        by_partition = instance.event_log_storage.get_latest_storage_id_by_partition(
            key, dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        records = list(instance.fetch_materializations(key, limit=1).records)
        ids = sorted(by_partition.values())
        for first in range(0, len(ids), _EVENTS_PER_QUERY):
            chosen = dg.AssetRecordsFilter(key, storage_ids=ids[first : first + _EVENTS_PER_QUERY])
            records += instance.fetch_materializations(chosen, limit=_EVENTS_PER_QUERY).records
        found.update(record.run_id for record in records)
    return found


def _delete_event_file(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete a run's file of events: on SQLite, Dagster empties the file but does not delete it."""
    path_of = getattr(instance.event_log_storage, "path_for_shard", None)
    if path_of is not None:
        for ending in ("", "-wal", "-shm"):
            Path(path_of(run_id) + ending).unlink(missing_ok=True)
