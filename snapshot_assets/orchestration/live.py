"""The live path in Dagster: one asset without partitions, all hosts in one run.

Not annotated lazily: Dagster reads the signatures. What a refresh does is told in
:mod:`snapshot_assets.pipeline.live`; here it gets its inputs, and tells what it did.
"""

from collections.abc import Iterator
from typing import Any, Final

import dagster as dg

from snapshot_assets.domain.time import Window, bucket_iso, bucket_start
from snapshot_assets.lake.lake import Lake
from snapshot_assets.orchestration.assets import AGGREGATES, OUTAGE_RETRIES, OWNER, SOURCE
from snapshot_assets.orchestration.metadata import culprit_table, seconds_metadata
from snapshot_assets.orchestration.partitions import add_hosts
from snapshot_assets.orchestration.resources import (
    LakeResource,
    RedisResource,
    RulesResource,
    SourceResource,
)
from snapshot_assets.pipeline.live import LiveReport
from snapshot_assets.pipeline.redis_writer import RedisWriter

LIVE: Final = "live_snapshots"
ROWS_CHECK: Final = "live_rows_match_schema"
_LIVE_UNTIL = "live_until_epoch"


def live_assets() -> list[dg.AssetsDefinition]:
    """The asset of the live path."""

    @dg.asset(
        name=LIVE,
        deps=[SOURCE],
        group_name="live",
        kinds={"mysql", "redis"},
        owners=[OWNER],
        tags={"path": "live"},
        retry_policy=OUTAGE_RETRIES,
        check_specs=[
            dg.AssetCheckSpec(
                ROWS_CHECK,
                asset=LIVE,
                description="The new rows are rows; hosts with others are left out and named",
            )
        ],
    )
    def live_snapshots(
        context: dg.AssetExecutionContext,
        source: SourceResource,
        lake: LakeResource,
        redis: RedisResource,
        rules: RulesResource,
    ) -> Iterator[dg.MaterializeResult]:
        """The newest buckets of all hosts in Redis, provisional until their day settles.

        Each run reads what is new since the last one, and a little before for rows that came late;
        after an outage, from where it had stopped. Settled documents are never replaced. The
        current bucket is published as far as it goes; its coverage says how far.
        """
        with source.open() as table, lake.open() as files, redis.writer() as writer:
            _notice_rollback(context, writer)
            report = writer.store_data(
                table,
                accounting=rules.accounting(),
                documents_rules=rules.documents(),
                rules=rules.live(),
                settled_until=_settled_until(files),
            )
        new = add_hosts(context.instance, report.hosts)
        if new:
            context.log.info(f"new hosts: {', '.join(new)}")
        if report.days_left_out:
            context.log.warning(
                "not published because it lies beyond SNAPSHOT_LIVE_LIMIT: "
                f"{report.days_left_out[0]} to {report.days_left_out[-1]}; backfill "
                "redis_snapshots for those days once they are over"
            )
        yield dg.MaterializeResult(
            metadata=_metadata(report, new), check_results=[_rows_check(report)]
        )

    return [live_snapshots]


def _settled_until(files: Lake) -> float | None:
    days = files.days(AGGREGATES)
    return Window.of_day(days[-1]).end if days else None


def _notice_rollback(context: dg.AssetExecutionContext, writer: RedisWriter) -> None:
    """A Redis that knows less than we have published was set back, for example to an old dump."""
    event = context.instance.get_latest_materialization_event(dg.AssetKey(LIVE))
    made = event.asset_materialization if event else None
    told = made.metadata.get(_LIVE_UNTIL) if made else None
    if told is None or not isinstance(told.value, float):
        return
    until = writer.progress().live_until or 0.0
    if until < told.value - 1:
        context.log.warning(
            f"Redis at {writer.address} knows nothing of what was published from "
            f"{bucket_iso(int(until))} to {bucket_iso(int(told.value))}: it was emptied or set "
            "back; its settled days will be restored from the lake"
        )
        writer.record_complete(False)


def _metadata(report: LiveReport, new: list[str]) -> dict[str, Any]:
    ledger, written = report.ledger, report.written
    newest = report.newest_epoch
    told: dict[str, Any] = {
        "dagster/row_count": written.written,
        "window": str(report.window),
        "rows_read": ledger.rows_read,
        "hosts": len(report.hosts),
        "documents_written": written.written,
        "documents_removed": written.removed,
        "documents_kept_settled": written.kept_settled,
        "cpu_core_seconds_attributed": ledger.attributed_cpu_seconds,
        "cpu_core_seconds_gap": ledger.gap_cpu_seconds,
        "current_bucket": bucket_iso(bucket_start(report.live_until)),
        "newest_bucket_coverage": report.coverage_now,
        _LIVE_UNTIL: report.live_until,
        **seconds_metadata(report.seconds),
    }
    if newest is not None:
        told["newest_snapshot_age_seconds"] = round(report.live_until - newest, 3)
    if new:
        told["new_hosts"] = ", ".join(new)
    if report.returned:
        told["caught_up_hosts"] = culprit_table(
            [
                {"host": host, "since": bucket_iso(int(since))}
                for host, since in report.returned.items()
            ]
        )
    if report.days_left_out:
        told["days_to_backfill"] = ", ".join(map(str, report.days_left_out))
    return told


def _rows_check(report: LiveReport) -> dg.AssetCheckResult:
    culprits = [{"host": host, "problem": str(defect)} for host, defect in report.defects.items()]
    return dg.AssetCheckResult(
        check_name=ROWS_CHECK,
        passed=not culprits,
        metadata={"hosts_left_out": len(culprits), "culprits": culprit_table(culprits)},
    )
