"""The three assets of the settled path: rows in the lake, aggregates in the lake, Redis snapshots.

:mod:`snapshot_assets.pipeline.settle` does the work. This module gives it partitions and
connections, and gives Dagster events and metadata. Tables pass from step to step through the lake,
never through an I/O manager. docs/adr/0008 says why the three assets are one step of Dagster.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from inspect import cleandoc
from itertools import chain
from typing import Any, Final

import dagster as dg
import pandera.pandas as pa

from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.schemas import FiveMinuteAggregates, RawProcessRows, SnapshotDocuments
from snapshot_assets.errors import OutageError
from snapshot_assets.lake.notes import AGGREGATES as AGGREGATES_DATASET
from snapshot_assets.lake.notes import RAW_ROWS
from snapshot_assets.orchestration.metadata import column_schema, culprit_table, step_metadata
from snapshot_assets.orchestration.partitions import dagster_key, host_days
from snapshot_assets.orchestration.resources import (
    LakeResource,
    RedisResource,
    RulesResource,
    SourceResource,
)
from snapshot_assets.pipeline.publish import publish
from snapshot_assets.pipeline.settle import (
    Defect,
    Done,
    KeptRows,
    RowsKeeper,
    Step,
    account_day,
    settle,
)
from snapshot_assets.timing import Timer

GROUP: Final = "settled"
OWNER: Final = "team:operations"
SOURCE: Final = "processes"
RAW: Final = RAW_ROWS.name
AGGREGATES: Final = AGGREGATES_DATASET.name
SNAPSHOTS: Final = "redis_snapshots"

# With so many partitions, a run starts for seconds and works for minutes.
PARTITIONS_PER_RUN = 100

# Dagster retries after outages. Defects are raised as failures that forbid a retry.
OUTAGE_RETRIES: Final = dg.RetryPolicy(
    max_retries=3, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)


def source_asset() -> dg.AssetSpec:
    """The table that the collectors write, where Dagster's asset graph begins."""
    return dg.AssetSpec(
        SOURCE,
        description="The table that the collectors write: one row per process and snapshot.",
        group_name="source",
        kinds={"mysql"},
        owners=[OWNER],
        metadata={"dagster/column_schema": column_schema(RawProcessRows)},
    )


def settled_assets(partitions: dg.MultiPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The assets over these partitions, in one step: a bad host-day stops no other host-day."""

    @dg.multi_asset(
        name=GROUP,
        specs=[
            _spec(
                RAW,
                """The rows of a host that can change the buckets of one UTC day.

                They are read from the source with a margin on both sides of the day, so that the
                day can be accounted alone. They are validated and kept as Parquet.
                """,
                after=SOURCE,
                kinds={"mysql", "parquet"},
                model=RawProcessRows,
            ),
            _spec(
                AGGREGATES,
                """Cores and GB by 5 minutes, user and command, and the ledger of the host-day.

                The ledger says what became of every row read (attributed, gap, first seen,
                duplicate or excluded) and how many core-seconds each class holds.
                """,
                after=RAW,
                kinds={"pandas", "parquet"},
                model=FiveMinuteAggregates,
            ),
            _spec(
                SNAPSHOTS,
                """One JSON document per bucket and host in Redis, where the dashboard reads it.

                A run replaces exactly the documents of its hosts and days. It reports buckets past
                Redis' retention and does not write them.
                """,
                after=AGGREGATES,
                kinds={"redis"},
                model=SnapshotDocuments,
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
        accounting, documents, timer = rules.accounting(), rules.documents(), Timer()
        steps: dict[str, Step] = {}
        with lake.open() as files, ExitStack() as stack:
            if RAW in chosen:
                table = stack.enter_context(source.open())
                steps[RAW] = RowsKeeper(table, files, wanted, accounting, timer).keep
            if AGGREGATES in chosen:
                steps[AGGREGATES] = lambda one: account_day(files, one, accounting, timer)
            if SNAPSHOTS in chosen:
                writer = stack.enter_context(redis.writer())
                steps[SNAPSHOTS] = lambda one: publish(files, writer, one, documents, timer)
            yield from _settle(context, wanted, steps, timer)

    return [settled]


def _spec(
    name: str, description: str, *, after: str, kinds: set[str], model: type[pa.DataFrameModel]
) -> dg.AssetSpec:
    return dg.AssetSpec(
        name,
        deps=[after],
        description=cleandoc(description),
        group_name=GROUP,
        kinds=kinds,
        owners=[OWNER],
        tags={"path": "settled"},
        metadata={"dagster/column_schema": column_schema(model)},
    )


def _settle(
    context: dg.AssetExecutionContext,
    wanted: Sequence[HostDay],
    steps: Mapping[str, Step],
    timer: Timer,
) -> Iterator[Any]:
    """Settle the host-days, and record each asset of each host-day that was done.

    If host-days are defective, the run fails at the end and names them. Only work that was done is
    recorded as materialized.

    Yields:
        For a run without defects one result for each asset, else one materialization for each
        host-day and asset that was done.
    """
    done: dict[str, list[Done]] = {asset: [] for asset in steps}
    defects: list[Defect] = []
    try:
        for outcome in settle(wanted, steps, timer):
            if isinstance(outcome, Done):
                done[outcome.step].append(outcome)
                if isinstance(outcome.report, KeptRows):
                    for remark in outcome.report.remarks:
                        context.log.warning(f"{outcome.host_day}: {remark}")
            else:
                context.log.error(str(outcome.error))
                defects.append(outcome)
    except OutageError:
        if context.retry_number == OUTAGE_RETRIES.max_retries:
            yield from _materializations(chain.from_iterable(done.values()))
        raise
    context.log.info(f"{len(wanted) - len(defects)} of {len(wanted)} host-days: {timer}")
    if defects:
        yield from _materializations(chain.from_iterable(done.values()))
        raise _failure(defects, len(wanted))
    for asset, its_host_days in done.items():
        key = dg.AssetKey(asset)
        for one in its_host_days:
            context.add_asset_metadata(
                step_metadata(one), asset_key=key, partition_key=dagster_key(one.host_day)
            )
        yield dg.MaterializeResult(asset_key=key)


def _materializations(done: Iterable[Done]) -> Iterator[dg.AssetMaterialization]:
    for one in done:
        yield dg.AssetMaterialization(
            one.step, metadata=step_metadata(one), partition=dagster_key(one.host_day)
        )


def _failure(defects: list[Defect], partitions: int) -> dg.Failure:
    culprits = [{"partition": str(d.host_day), "problem": str(d.error)} for d in defects]
    return dg.Failure(
        description=f"{len(defects)} of {partitions} partitions are defective:"
        + "".join(f"\n{c['partition']}: {c['problem']}" for c in culprits),
        metadata={"culprits": culprit_table(culprits)},
        allow_retries=False,
    )
