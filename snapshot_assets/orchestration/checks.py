"""The checks that an operator reviews in the UI: one for each stage, reading back what was written.

They look at the stores, not at what the asset had in memory, and tell how many partitions they saw
and which are wrong. A check that cannot look fails as a run does; it never reads as bad data.
Why they are not partitioned: docs/adr/0006-checks-cover-the-run.md.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import dagster as dg

from snapshot_assets.domain.ledger import Ledger
from snapshot_assets.domain.stages import RawProcessRows, StageError, validate
from snapshot_assets.domain.time import BUCKET_SECONDS
from snapshot_assets.errors import LakeError
from snapshot_assets.orchestration.assets import AGGREGATES, RAW, SNAPSHOTS
from snapshot_assets.orchestration.metadata import culprit_table
from snapshot_assets.orchestration.partitions import HostDay, host_day_of, host_days
from snapshot_assets.orchestration.resources import LakeResource, RedisResource, RulesResource
from snapshot_assets.store.lake import Lake
from snapshot_assets.store.redis_reader import Document, RedisReader

# Partitions looked at when a check is run on its own, from the newest back.
_LATEST = 50
# Sums over a day in another order differ by rounding only.
_RELATIVE_ROUNDING = 1e-9
_MICRO = 1_000_000

_Culprit = Mapping[str, Any]


def settled_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of the settled path."""

    @dg.asset_check(asset=RAW, description="The rows kept are rows, and of the right host and time")
    def raw_rows_match_schema(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, rules: RulesResource
    ) -> dg.AssetCheckResult:
        accounting = rules.accounting()
        with lake.open() as files:

            def look(host_day: HostDay) -> Iterable[_Culprit]:
                rows, _ = files.read(RAW, *host_day)
                try:
                    validate(RawProcessRows, rows, str(host_day))
                except StageError as error:
                    yield {"partition": str(host_day), "problem": str(error)}
                    return
                start, end = accounting.read_range(host_day.window)
                times = rows["snapshot_time_epoch"]
                strangers = int(((times < start) | (times >= end)).sum())
                strangers += int((rows["host"] != host_day.host).sum())
                if strangers:
                    problem = f"{strangers} rows of another host or time"
                    yield {"partition": str(host_day), "problem": problem}

            return _result(context, RAW, look)

    @dg.asset_check(
        asset=AGGREGATES,
        description="Every row read is in one class, and the buckets hold all attributed CPU",
    )
    def ledger_balances(
        context: dg.AssetCheckExecutionContext, lake: LakeResource
    ) -> dg.AssetCheckResult:
        with lake.open() as files:
            return _result(context, AGGREGATES, lambda host_day: _imbalances(files, host_day))

    @dg.asset_check(
        asset=SNAPSHOTS,
        description="Redis holds each bucket of the aggregates, and each document sums up",
    )
    def documents_read_back(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, redis: RedisResource
    ) -> dg.AssetCheckResult:
        with lake.open() as files, redis.reader() as reader:
            return _result(context, SNAPSHOTS, lambda host_day: _misread(files, reader, host_day))

    return [raw_rows_match_schema, ledger_balances, documents_read_back]


def _imbalances(files: Lake, host_day: HostDay) -> Iterable[_Culprit]:
    aggregates, note = files.read(AGGREGATES, *host_day)
    raw, _ = files.read(RAW, *host_day)
    ledger = Ledger.from_dict(note["ledger"])
    found = float((aggregates["cpu_norm"] * aggregates["covered_seconds"]).sum())
    expected = ledger.attributed_cpu_seconds
    if not ledger.balanced or ledger.rows_read != len(raw):
        yield {
            "partition": str(host_day),
            "problem": "rows are lost or counted twice",
            "expected": float(len(raw)),
            "found": float(sum(ledger.rows.values())),
        }
    if abs(found - expected) > _RELATIVE_ROUNDING * max(expected, 1.0):
        yield {
            "partition": str(host_day),
            "problem": "core-seconds of the buckets are not those of the ledger",
            "expected": expected,
            "found": found,
        }


def _misread(files: Lake, reader: RedisReader, host_day: HostDay) -> Iterable[_Culprit]:
    aggregates, _ = files.read(AGGREGATES, *host_day)
    starts = aggregates["bucket_start"].drop_duplicates().dt.as_unit("s").astype("int64")
    oldest = reader.clock() - reader.retention_seconds - BUCKET_SECONDS
    expected = {bucket for bucket in starts.tolist() if bucket > oldest}
    window = host_day.window
    documents = reader.get_data(
        host_day.host,
        dt.datetime.fromtimestamp(window.start, dt.UTC),
        dt.datetime.fromtimestamp(window.end - BUCKET_SECONDS, dt.UTC),
    )
    missing, surplus = expected - documents.keys(), documents.keys() - set(starts.tolist())
    wrong = [bucket for bucket, document in documents.items() if not _sums_up(document)]
    for problem, buckets in (
        ("documents are missing", missing),
        ("documents should not be there", surplus),
        ("documents do not sum up", wrong),
    ):
        if buckets:
            yield {
                "partition": str(host_day),
                "problem": f"{len(buckets)} {problem}",
                "first": reader.key(min(buckets)),
            }


def _sums_up(document: Document) -> bool:
    """Whether the entries and ``other`` are the total, in millionths."""
    for part, field in (("cpu", "cpu_norm"), ("mem", "rss")):
        listed = [*document[part]["user"], document[part]["other"]]
        total = round(document[part]["command"][field] * _MICRO)
        if sum(round(entry[field] * _MICRO) for entry in listed) != total:
            return False
    return True


def _result(
    context: dg.AssetCheckExecutionContext,
    asset: str,
    look: Callable[[HostDay], Iterable[_Culprit]],
) -> dg.AssetCheckResult:
    """Look at every partition of the run; at the newest ones where there are none."""
    partitions = _partitions(context, asset)
    culprits: list[_Culprit] = []
    for host_day in partitions:
        try:
            culprits.extend(look(host_day))
        except LakeError as error:
            culprits.append({"partition": str(host_day), "problem": str(error)})
    return dg.AssetCheckResult(
        passed=not culprits,
        metadata={
            "partitions_checked": len(partitions),
            "first_partition": str(partitions[0]) if partitions else "none",
            "last_partition": str(partitions[-1]) if partitions else "none",
            "partitions_wrong": len({culprit["partition"] for culprit in culprits}),
            "culprits": culprit_table(culprits[:100]),
        },
    )


def _partitions(context: dg.AssetCheckExecutionContext, asset: str) -> list[HostDay]:
    step = context.op_execution_context
    if step.has_partition_key or step.has_partition_key_range:
        return host_days(step.partition_keys)
    materialized = context.instance.get_materialized_partitions(dg.AssetKey(asset))
    return sorted(host_day_of(key) for key in materialized)[-_LATEST:]
