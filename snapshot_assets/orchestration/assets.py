"""The three assets of the settled path: MySQL to the lake, the lake to aggregates, those to Redis.

They are one step that takes one host-day after the other through the stages: read, validate, call
the domain, write, tell. Frames pass through the lake, never through an I/O manager, so a run holds
a few host-days at a time however many partitions it has. Why one step: docs/adr/0008.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from inspect import cleandoc
from typing import Any, Final, cast

import dagster as dg
import pandas as pd
import pandera.pandas as pa

from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.ledger import Ledger
from snapshot_assets.domain.rules import AccountingRules, DocumentRules
from snapshot_assets.domain.schemas import (
    FiveMinuteAggregates,
    RawProcessRows,
    SnapshotDocuments,
    validate,
)
from snapshot_assets.domain.time import Window, bucket_iso
from snapshot_assets.domain.usage import usage_from_aggregates
from snapshot_assets.errors import LakeError, OutageError, SnapshotAssetsError, SourceError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.orchestration.metadata import (
    column_schema,
    cores_chart,
    culprit_table,
    ledger_metadata,
    seconds_metadata,
)
from snapshot_assets.orchestration.partitions import HostDay, batches, host_days
from snapshot_assets.orchestration.resources import (
    LakeResource,
    RedisResource,
    RulesResource,
    SourceResource,
)
from snapshot_assets.source.columns import split_by_host
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.store.writing.writer import SnapshotWriter
from snapshot_assets.timing import Timer

GROUP: Final = "settled"
OWNER: Final = "team:operations"
SOURCE: Final = "processes"
RAW: Final = "raw_process_rows"
AGGREGATES: Final = "five_minute_aggregates"
SNAPSHOTS: Final = "redis_snapshots"

# Hosts read by one query. A table with an index on time alone is scanned once per query; a frame
# of four busy host-days is about 200 MB.
HOSTS_PER_READ = 4
# A run of this many partitions spends seconds on its own start and minutes on its work.
PARTITIONS_PER_RUN = 100

# The source counts as purged if it has no row between so long before a settled day and the day.
_PURGE_LOOKBACK_SECONDS = 366 * 86_400

# Outages are worth another try; defects are raised as failures that forbid it.
OUTAGE_RETRIES: Final = dg.RetryPolicy(
    max_retries=3, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)

_Metadata = Mapping[str, Any]
_Stage = Callable[[HostDay], _Metadata]


def source_asset() -> dg.AssetSpec:
    """The table that the collectors write, as the beginning of the lineage."""
    return dg.AssetSpec(
        SOURCE,
        description="The table that the collectors write: one row per process and snapshot.",
        group_name="source",
        kinds={"mysql"},
        owners=[OWNER],
        metadata={"dagster/column_schema": column_schema(RawProcessRows)},
    )


def settled_assets(partitions: dg.MultiPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The assets, over these partitions: one step, so that a bad host-day stops only itself."""

    @dg.multi_asset(
        name=GROUP,
        specs=[
            _spec(
                RAW,
                """The rows of a host that can matter for one UTC day, as the collector wrote them.

                Read from the source with a margin on both sides of the day, so that the day can be
                accounted alone; validated and kept as Parquet.
                """,
                after=SOURCE,
                kinds={"mysql", "parquet"},
                stage=RawProcessRows,
            ),
            _spec(
                AGGREGATES,
                """Cores and GB by 5 minutes, user and command, and the ledger that proves them.

                The ledger says what became of every row read: attributed, gap, first seen,
                duplicate or excluded, and how many core-seconds each class holds.
                """,
                after=RAW,
                kinds={"pandas", "parquet"},
                stage=FiveMinuteAggregates,
            ),
            _spec(
                SNAPSHOTS,
                """One JSON document per bucket and host in Redis, where the dashboard reads it.

                Replaces exactly the documents of this host and day. Buckets past Redis' retention
                are reported as expired, not written.
                """,
                after=AGGREGATES,
                kinds={"redis"},
                stage=SnapshotDocuments,
            ),
        ],
        can_subset=True,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.multi_run(PARTITIONS_PER_RUN),
        retry_policy=OUTAGE_RETRIES,
    )
    def settled(
        context: dg.AssetExecutionContext,
        source: SourceResource,
        lake: LakeResource,
        redis: RedisResource,
        rules: RulesResource,
    ) -> Iterator[Any]:
        chosen = {key.to_user_string() for key in context.selected_asset_keys}
        wanted = host_days(context.partition_keys)
        stages: dict[str, _Stage] = {}
        timer = Timer()
        with lake.open() as files, ExitStack() as stack:
            if RAW in chosen:
                table = stack.enter_context(source.open())
                stages[RAW] = _raw_stage(table, files, wanted, rules.accounting(), timer)
            if AGGREGATES in chosen:
                stages[AGGREGATES] = _aggregates_stage(files, rules.accounting(), timer)
            if SNAPSHOTS in chosen:
                writer = stack.enter_context(redis.writer())
                stages[SNAPSHOTS] = _documents_stage(files, writer, rules.documents(), timer)
            yield from _settle(context, wanted, stages, timer)

    return [settled]


def _spec(
    name: str, description: str, *, after: str, kinds: set[str], stage: type[pa.DataFrameModel]
) -> dg.AssetSpec:
    return dg.AssetSpec(
        name,
        deps=[after],
        description=cleandoc(description),
        group_name=GROUP,
        kinds=kinds,
        owners=[OWNER],
        tags={"path": "settled"},
        metadata={"dagster/column_schema": column_schema(stage)},
    )


# --- the stages: read, validate, call the domain, write, tell ----------------------------------


def _raw_stage(
    table: ProcessSource, files: Lake, wanted: list[HostDay], rules: AccountingRules, timer: Timer
) -> _Stage:
    frames = _read_frames(table, wanted, rules.read_range)

    def keep(host_day: HostDay) -> _Metadata:
        with timer("read"):
            frame = next(frames)()
        with timer("validate"):
            validate(RawProcessRows, frame, str(host_day))
        _refuse_purged(table, files, host_day, len(frame), rules.read_range)
        newest = frame["snapshot_time_epoch"].max() if len(frame) else None
        with timer("write"):
            size = files.write(RAW, *host_day, frame, {"newest_epoch": newest})
        return {
            "dagster/row_count": len(frame),
            "snapshots": int(frame["snapshot_time_epoch"].nunique()),
            "newest_snapshot": "none" if newest is None else bucket_iso(int(newest)),
            "bytes": size,
        }

    return keep


def _aggregates_stage(files: Lake, rules: AccountingRules, timer: Timer) -> _Stage:
    def account_day(host_day: HostDay) -> _Metadata:
        with timer("read"):
            rows, raw_note = files.read(RAW, *host_day)
        with timer("validate"):
            validate(RawProcessRows, rows, str(host_day))
        with timer("account"):
            result = account(rows, host_day.window, rules)
        with timer("validate"):
            validate(FiveMinuteAggregates, result.aggregates, str(host_day))
            result.ledger.require_balance(len(rows), result.aggregates, str(host_day))
        with timer("write"):
            note = {
                "ledger": result.ledger.as_dict(),
                "buckets": host_day.window.encode(result.bucket_starts()),
                "raw_rows": len(rows),
                "raw_newest_epoch": raw_note["newest_epoch"],
            }
            size = files.write(AGGREGATES, *host_day, result.aggregates, note)
        return {
            "dagster/row_count": len(result.aggregates),
            "bytes": size,
            "cores": cores_chart(result.aggregates, host_day.window),
            **ledger_metadata(result.ledger),
        }

    return lambda host_day: files.from_newest(RAW, *host_day, lambda: account_day(host_day))


def _documents_stage(
    files: Lake, writer: SnapshotWriter, rules: DocumentRules, timer: Timer
) -> _Stage:
    def publish(host_day: HostDay) -> _Metadata:
        with timer("read"):
            aggregates, note = files.read(AGGREGATES, *host_day)
        with timer("validate"):
            validate(FiveMinuteAggregates, aggregates, str(host_day))
        with timer("document"):
            used = usage_from_aggregates(aggregates, rules, "settled")
        report = writer.replace([host_day.host], host_day.window, used, "settled", timer)
        ledger = Ledger.from_dict(note["ledger"])
        return {
            "dagster/row_count": len(used),
            "documents_written": report.written,
            "documents_removed": report.removed,
            "documents_past_retention": report.expired,
            "bytes": report.written_bytes,
            "frame_bytes": report.frame_bytes,
            "cpu_core_seconds_attributed": ledger.attributed_cpu_seconds,
        }

    return lambda host_day: files.from_newest(AGGREGATES, *host_day, lambda: publish(host_day))


def _read_frames(
    table: ProcessSource,
    partitions: list[HostDay],
    read_range: Callable[[Window], tuple[float, float]],
) -> Iterator[Callable[[], pd.DataFrame]]:
    """For each partition, in order, a call that gives its raw rows or raises what is wrong.

    Several hosts are read by one query, and the next query runs while these are worked on: the
    database and we are busy at the same time. If a query's rows are defective, its hosts are read
    one by one, so that only the culprit fails.
    """
    groups = list(batches(partitions, HOSTS_PER_READ))

    def read(day: dt.date, hosts: list[str]) -> pd.DataFrame:
        return table.read_sql(*read_range(Window.of_day(day)), hosts)

    with ThreadPoolExecutor(max_workers=1) as ahead:
        coming = ahead.submit(read, *groups[0]) if groups else None
        for (day, hosts), following in zip(groups, [*groups[1:], None], strict=True):
            arrived = cast(Future[pd.DataFrame], coming)
            coming = ahead.submit(read, *following) if following else None
            try:
                frames = split_by_host(arrived.result(), hosts)
            except OutageError:
                raise
            except SnapshotAssetsError:
                yield from (partial(read, day, [host]) for host in hosts)
            else:
                yield from (partial(frames.pop, host) for host in hosts)


def _refuse_purged(
    table: ProcessSource,
    files: Lake,
    host_day: HostDay,
    rows: int,
    read_range: Callable[[Window], tuple[float, float]],
) -> None:
    """Keep a settled day whose rows the source has thrown away since.

    Raises:
        SourceError: there are fewer rows than were settled, and the source begins after them.
    """
    try:
        settled = files.entry(RAW, *host_day)
    except LakeError:
        return  # a damaged file is replaced
    if settled is None or rows >= settled.rows:
        return
    # A row with a clock from another age says nothing of what was purged.
    span = table.span(since=host_day.window.start - _PURGE_LOOKBACK_SECONDS)
    if span is None or span[0] >= read_range(host_day.window)[0]:
        begins = "is empty" if span is None else f"begins at {bucket_iso(int(span[0]))}"
        raise SourceError(
            f"the source has {rows:,} rows of {host_day}, {settled.rows:,} were settled, and it "
            f"{begins}: its old rows were purged. The settled day is kept; to replace it all the "
            f"same, remove {files.path(RAW, *host_day)}"
        )


# --- the run -----------------------------------------------------------------------------------


def _settle(
    context: dg.AssetExecutionContext,
    wanted: list[HostDay],
    stages: Mapping[str, _Stage],
    timer: Timer,
) -> Iterator[Any]:
    """Take every host-day through the stages, and tell about each.

    A defective host-day stops at the stage that found it and keeps nobody else from being done; the
    step then fails at the end and names the culprits. What is recorded as materialized was done.

    Yields:
        What Dagster records: one result an asset for a run without defects, else a materialization
        for each host-day and asset that was done.
    """
    done: dict[str, dict[HostDay, _Metadata]] = {asset: {} for asset in stages}
    defects: dict[HostDay, SnapshotAssetsError] = {}
    for host_day in wanted:
        try:
            for asset, stage in stages.items():
                before = dict(timer.seconds)
                told = stage(host_day)
                spent = {step: s - before.get(step, 0.0) for step, s in timer.seconds.items()}
                done[asset][host_day] = {**told, **seconds_metadata(spent)}
        except OutageError:
            if context.retry_number == OUTAGE_RETRIES.max_retries:
                yield from _done_events(done)
            raise
        except SnapshotAssetsError as defect:
            context.log.error(str(defect))
            defects[host_day] = defect
    context.log.info(f"{len(wanted) - len(defects)} of {len(wanted)} host-days: {timer}")
    if not defects:
        for asset, told_of in done.items():
            key = dg.AssetKey(asset)
            for host_day, metadata in told_of.items():
                context.add_asset_metadata(metadata, asset_key=key, partition_key=host_day.key)
            yield dg.MaterializeResult(asset_key=key)
        return
    yield from _done_events(done)
    raise dg.Failure(
        description=f"{len(defects)} of {len(wanted)} partitions are defective:"
        + "".join(f"\n{host_day}: {defect}" for host_day, defect in defects.items()),
        metadata={
            "culprits": culprit_table(
                [{"partition": str(h), "problem": str(defect)} for h, defect in defects.items()]
            )
        },
        allow_retries=False,
    )


def _done_events(
    done: Mapping[str, Mapping[HostDay, _Metadata]],
) -> Iterator[dg.AssetMaterialization]:
    for asset, told_of in done.items():
        for host_day, metadata in told_of.items():
            yield dg.AssetMaterialization(asset, metadata=dict(metadata), partition=host_day.key)
