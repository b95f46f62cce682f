"""The live path in Dagster: one asset without partitions, all hosts in one run.

:mod:`snapshot_assets.pipeline.live` does the refresh. This module passes the inputs to the refresh
and its report to Dagster. It does not import ``annotations`` from ``__future__``, as Dagster reads
the signatures.
"""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from snapshot_assets.domain.time import bucket_iso
from snapshot_assets.orchestration.assets import OUTAGE_RETRIES, OWNER, SOURCE
from snapshot_assets.orchestration.metadata import LIVE_UNTIL, culprit_table, live_metadata
from snapshot_assets.orchestration.partitions import add_hosts
from snapshot_assets.orchestration.resources import (
    LakeResource,
    RedisResource,
    RulesResource,
    SourceResource,
)
from snapshot_assets.pipeline.fleet import retired
from snapshot_assets.pipeline.live import LiveReport, notice_setback, settled_until
from snapshot_assets.pipeline.redis_writer import RedisWriter

LIVE: Final = "live_snapshots"
ROWS_CHECK: Final = "live_rows_match_schema"
_CULPRITS_SHOWN: Final = 100


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
                description="The new rows match their schema. A host with too many bad rows is "
                "left out and listed here. Odd columns, odd values and rows without a host are "
                "listed as warnings",
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
        """The newest buckets of all hosts in Redis, live until their day is settled.

        Each run reads the rows since the previous run, and a lookback before them for late rows.
        After an outage it continues where the last run stopped. It never replaces settled
        documents. The current bucket is published before it is complete; its coverage says how much
        of it the snapshots cover so far.
        """
        with source.open() as table, lake.open() as files, redis.writer() as writer:
            _warn_of_setback(context, writer)
            report = writer.store_data(
                table,
                accounting=rules.accounting(),
                documents_rules=rules.documents(),
                rules=rules.live(),
                settled_until=settled_until(files),
                retired=retired(files),
            )
        if report.changes:
            context.log.warning(
                f"settings changed ({'; '.join(report.changes)}): everything live was published "
                "again. The check settings_are_current shows the settled days"
            )
        new = add_hosts(context.instance, report.hosts)
        if new:
            context.log.info(f"new hosts: {', '.join(new)}")
        if report.days_left_out:
            context.log.warning(
                f"{report.days_left_out[0]} to {report.days_left_out[-1]} were not published, as "
                "they lie beyond SNAPSHOT_LIVE_LIMIT; backfill redis_snapshots for those days once "
                "they are over"
            )
        yield dg.MaterializeResult(
            metadata=live_metadata(report, new), check_results=[_rows_check(report)]
        )

    return [live_snapshots]


def _warn_of_setback(context: dg.AssetExecutionContext, writer: RedisWriter) -> None:
    """Warn if Redis holds less than the previous run has published, according to Dagster."""
    event = context.instance.get_latest_materialization_event(dg.AssetKey(LIVE))
    made = event.asset_materialization if event else None
    recorded = made.metadata.get(LIVE_UNTIL) if made else None
    if recorded is None or not isinstance(recorded.value, float):
        return
    known_until = notice_setback(writer, recorded.value)
    if known_until is not None:
        context.log.warning(
            f"Redis at {writer.address} lost what was published from "
            f"{bucket_iso(int(known_until))} to {bucket_iso(int(recorded.value))}: it was emptied "
            "or set back. The sensor redis_lost will restore the settled days from the lake"
        )


def _rows_check(report: LiveReport) -> dg.AssetCheckResult:
    culprits = [{"host": host, "problem": str(defect)} for host, defect in report.defects.items()]
    odd = [{"host": "", "problem": remark} for remark in report.remarks]
    if report.rows_without_host:
        odd.append(
            {
                "host": "",
                "problem": f"{report.rows_without_host:,} rows have no host, so they belong to no "
                "figure; repair the collector that writes them",
            }
        )
    return dg.AssetCheckResult(
        check_name=ROWS_CHECK,
        passed=not culprits and not odd,
        severity=dg.AssetCheckSeverity.ERROR if culprits else dg.AssetCheckSeverity.WARN,
        metadata={
            "hosts_left_out": len(culprits),
            "rows_without_host": report.rows_without_host,
            "culprits": culprit_table([*culprits, *odd][:_CULPRITS_SHOWN]),
        },
    )
