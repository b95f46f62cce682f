"""The jobs over assets and checks, the names of all jobs, and the search for active runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import dagster as dg

from snapshot_assets.orchestration.assets import AGGREGATES, RAW, SNAPSHOTS
from snapshot_assets.orchestration.live import LIVE

LIVE_JOB: Final = "live"
SETTLE_JOB: Final = "settle"
CHANGED_JOB: Final = "settle_changed"
REVIEW_JOB: Final = "review"
AUDIT_JOB: Final = "audit"
RESTORE_JOB: Final = "restore_redis"
HOUSEKEEPING_JOB: Final = "housekeeping"

PATH_TAG: Final = "snapshot_assets/path"
DAY_TAG: Final = "snapshot_assets/day"
REASON_TAG: Final = "snapshot_assets/reason"
STARTED_BY_TAG: Final = "snapshot_assets/started_by"

IN_PROGRESS: Final = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
# Dagster retries a run whose process died. It does not retry a run with a failed step, as the
# step has already retried after outages.
CRASHES: Final = {"dagster/max_retries": "2", "dagster/retry_on_asset_or_op_failure": "false"}

# A run that hangs, or whose machine died, must not block the next runs.
_SHORT = {"dagster/max_runtime": "1800"}

REVIEW_CHECKS: Final = ("newest_bucket_is_fresh", "hosts_report", "collectors_keep_pace")
# A setting may change at any time, so this check of settled days is a review, too.
SETTINGS_CHECK: Final = "settings_are_current"
AUDIT_CHECKS: Final = ("redis_holds_what_it_should", "cpu_seconds_equal_source")


def asset_jobs() -> list[Any]:
    """The jobs that materialize assets or check them."""
    return [
        dg.define_asset_job(
            LIVE_JOB,
            dg.AssetSelection.assets(LIVE).without_checks()
            | _checks(LIVE, "live_rows_match_schema"),
            tags={PATH_TAG: "live", "dagster/priority": "10", **_SHORT},
            description="Publish the new buckets of all hosts. Runs every five minutes.",
        ),
        dg.define_asset_job(
            SETTLE_JOB,
            dg.AssetSelection.assets(RAW, AGGREGATES, SNAPSHOTS),
            tags={PATH_TAG: "settled", **CRASHES},
            description="Settle days: source to lake to Redis. Runs every night for the day "
            "before, and again for host-days with late rows.",
        ),
        dg.define_asset_job(
            REVIEW_JOB,
            _checks(LIVE, *REVIEW_CHECKS) | _checks(SNAPSHOTS, SETTINGS_CHECK),
            tags={PATH_TAG: "review", **_SHORT},
            description="Check freshness, silent hosts, collectors, and whether settled days were "
            "made with the settings of now. Runs every 15 minutes.",
        ),
        dg.define_asset_job(
            AUDIT_JOB,
            _checks(SNAPSHOTS, *AUDIT_CHECKS),
            tags={PATH_TAG: "review", **_SHORT},
            description="Compare the documents in Redis with the lake and the source: first the "
            "host-days that no run has proven yet. Runs every night.",
        ),
    ]


def active_runs(instance: dg.DagsterInstance, tags: Mapping[str, str]) -> list[dg.DagsterRun]:
    """The runs with these tags that have not ended."""
    filters = dg.RunsFilter(statuses=list(IN_PROGRESS), tags=dict(tags))
    return list(instance.get_runs(filters))


def _checks(asset: str, *names: str) -> dg.AssetSelection:
    keys = [dg.AssetCheckKey(dg.AssetKey(asset), name) for name in names]
    return dg.AssetSelection.checks(*keys)
