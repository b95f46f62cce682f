"""The checks of the settled path that an operator reviews in the UI.

They look at the stores, not at what the asset had in memory, and tell how many partitions they saw
and which are wrong. A check that cannot look fails as a run does; it never reads as bad data.
Why they are not partitioned: docs/adr/0006-checks-cover-the-run.md. What is checked of the live
path and of the collectors is in review.py.
"""

import datetime as dt
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any

import dagster as dg

from snapshot_assets.domain.ledger import Ledger
from snapshot_assets.domain.schemas import RawProcessRows, SchemaError, validate
from snapshot_assets.domain.time import BUCKET_SECONDS, Window
from snapshot_assets.errors import LakeError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.orchestration.assets import AGGREGATES, RAW, SNAPSHOTS
from snapshot_assets.orchestration.metadata import culprit_table
from snapshot_assets.orchestration.partitions import HostDay, host_day_of, host_days
from snapshot_assets.orchestration.resources import (
    LakeResource,
    RedisResource,
    RulesResource,
    SourceResource,
)
from snapshot_assets.pipeline.census import census, disagreements
from snapshot_assets.pipeline.proof import Proof, prove
from snapshot_assets.store.reading.reader import Document, RedisReader

# Partitions looked at when a check is run on its own, from the newest back.
_LATEST = 50
_CULPRITS_SHOWN = 100
_MICRO = 1_000_000

_Culprit = Mapping[str, Any]


def settled_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of the settled path."""

    @dg.asset_check(
        asset=RAW,
        description="The rows kept are rows, and of the right host and time",
    )
    def raw_rows_match_schema(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, rules: RulesResource
    ) -> dg.AssetCheckResult:
        accounting = rules.accounting()
        with lake.open() as files:

            def look(host_day: HostDay) -> Iterable[_Culprit]:
                rows, _ = files.read(RAW, *host_day)
                try:
                    validate(RawProcessRows, rows, str(host_day))
                except SchemaError as error:
                    yield {"partition": str(host_day), "problem": str(error)}
                    return
                start, end = accounting.read_range(host_day.window)
                times = rows["snapshot_time_epoch"]
                strangers = int(((times < start) | (times >= end)).sum())
                strangers += int((rows["host"] != host_day.host).sum())
                if strangers:
                    problem = f"{strangers} rows of another host or time"
                    yield {"partition": str(host_day), "problem": problem}

            return _result(_partitions(context, RAW), look)

    @dg.asset_check(
        asset=AGGREGATES,
        description="Every row read is in one class, and the buckets hold all attributed CPU",
    )
    def ledger_balances(
        context: dg.AssetCheckExecutionContext, lake: LakeResource
    ) -> dg.AssetCheckResult:
        with lake.open() as files:
            return _result(
                _partitions(context, AGGREGATES), lambda host_day: _imbalances(files, host_day)
            )

    @dg.asset_check(
        asset=SNAPSHOTS,
        description="In each document the entries and `other` are the total, to the last digit",
    )
    def documents_sum_up(
        context: dg.AssetCheckExecutionContext, redis: RedisResource
    ) -> dg.AssetCheckResult:
        with redis.reader() as reader:

            def look(host_day: HostDay) -> Iterable[_Culprit]:
                documents = _documents(reader, host_day.host, host_day.window)
                wrong = [b for b, document in documents.items() if not _sums_up(document)]
                if wrong:
                    problem = f"{len(wrong)} documents do not sum up"
                    first = reader.keys.document(min(wrong))
                    yield {"partition": str(host_day), "problem": problem, "first": first}

            return _result(_partitions(context, SNAPSHOTS), look)

    @dg.asset_check(
        asset=SNAPSHOTS,
        description="Frames and documents say the same of each bucket, to the last digit",
    )
    def frames_agree_with_documents(
        context: dg.AssetCheckExecutionContext, redis: RedisResource
    ) -> dg.AssetCheckResult:
        with redis.reader() as reader:

            def look(host_day: HostDay) -> Iterable[_Culprit]:
                wrong = disagreements(reader, host_day.host, _alive(reader, host_day.window))
                if wrong:
                    problem = f"{len(wrong)} buckets differ between documents and frames"
                    first = reader.keys.document(wrong[0])
                    yield {"partition": str(host_day), "problem": problem, "first": first}

            return _result(_partitions(context, SNAPSHOTS), look)

    @dg.asset_check(
        asset=SNAPSHOTS,
        description="Census: Redis holds each bucket of the lake until its expiry, and no other; "
        "nothing was evicted. On its own it looks at every day within the retention",
    )
    def redis_holds_what_it_should(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, redis: RedisResource
    ) -> dg.AssetCheckResult:
        with lake.open() as files, redis.reader() as reader:
            return _take_census(context, files, reader)

    @dg.asset_check(
        asset=SNAPSHOTS,
        description="Proof: the CPU-seconds in Redis are those of the source, counted again by the "
        "database in SQL, for as many of the run's partitions as the time allows. Inconclusive "
        "(a warning) while rows still arrive",
    )
    def cpu_seconds_equal_source(
        context: dg.AssetCheckExecutionContext,
        source: SourceResource,
        lake: LakeResource,
        redis: RedisResource,
        rules: RulesResource,
    ) -> dg.AssetCheckResult:
        partitions = _partitions(context, SNAPSHOTS)
        accounting, deadline = rules.accounting(), time.monotonic() + rules.proof_seconds()
        found: list[tuple[HostDay, Proof]] = []
        with source.open() as table, lake.open() as files, redis.reader() as reader:
            for host_day in sorted(partitions, key=_shuffled):
                if found and time.monotonic() > deadline:
                    break
                window = _alive(reader, host_day.window)
                documents = _documents(reader, host_day.host, window)
                raw = files.entry(RAW, *host_day)
                proof = prove(
                    *(table, host_day.host, window, documents, accounting),
                    None if raw is None else raw.rows,
                    host_day.window,
                )
                found.append((host_day, proof))
        return _proof_result(len(partitions), found)

    return [
        raw_rows_match_schema,
        ledger_balances,
        documents_sum_up,
        frames_agree_with_documents,
        redis_holds_what_it_should,
        cpu_seconds_equal_source,
    ]


def _imbalances(files: Lake, host_day: HostDay) -> Iterable[_Culprit]:
    aggregates, note = files.read(AGGREGATES, *host_day)
    raw, _ = files.read(RAW, *host_day)
    for imbalance in Ledger.from_dict(note["ledger"]).imbalances(len(raw), aggregates):
        yield {"partition": str(host_day), **imbalance._asdict()}


def _take_census(
    context: dg.AssetCheckExecutionContext, files: Lake, reader: RedisReader
) -> dg.AssetCheckResult:
    hosts_of: dict[dt.date, set[str] | None] = {}
    if _has_partitions(context):
        for day, group in groupby(_partitions(context, SNAPSHOTS), key=lambda found: found.day):
            hosts_of[day] = {host_day.host for host_day in group}
    else:
        horizon = reader.clock() - reader.keys.retention.frames
        alive = [day for day in files.days(AGGREGATES) if Window.of_day(day).end > horizon]
        hosts_of = dict.fromkeys(alive)
    days = [census(files, reader, day, hosts) for day, hosts in sorted(hosts_of.items())]
    culprits = [
        {
            "partition": f"{found.host or 'all hosts'} on {found.day}",
            "problem": f"{len(found.buckets)} buckets: {found.problem}"
            if found.buckets
            else found.problem,
            "first": reader.keys.document(found.buckets[0]) if found.buckets else "",
        }
        for day in days
        for found in day.irregularities
    ]
    memory = reader.base.memory()
    if memory.evicted_keys:
        culprits.append(
            {
                "partition": "all",
                "problem": f"Redis evicted {memory.evicted_keys} keys since its start "
                f"({memory.policy} at {memory.limit_bytes / 1e6:,.0f} MB): raise maxmemory, set "
                "noeviction, then run the job restore_redis",
                "first": "",
            }
        )
    return dg.AssetCheckResult(
        passed=not culprits,
        metadata={
            "days_checked": len(days),
            "documents_expected": sum(day.expected for day in days),
            "redis_used_bytes": memory.used_bytes,
            "redis_evicted_keys": memory.evicted_keys,
            "culprits": culprit_table(culprits[:_CULPRITS_SHOWN]),
        },
    )


def _proof_result(partitions: int, found: list[tuple[HostDay, Proof]]) -> dg.AssetCheckResult:
    by_verdict = {
        verdict: [pair for pair in found if pair[1].verdict == verdict]
        for verdict in ("match", "mismatch", "inconclusive")
    }
    worst = [*by_verdict["mismatch"], *by_verdict["inconclusive"]]
    return dg.AssetCheckResult(
        passed=not worst,
        severity=dg.AssetCheckSeverity.ERROR
        if by_verdict["mismatch"]
        else dg.AssetCheckSeverity.WARN,
        metadata={
            "partitions_of_the_run": partitions,
            "partitions_checked": len(found),
            **{f"partitions_{verdict}": len(pairs) for verdict, pairs in by_verdict.items()},
            "cpu_core_seconds_source": round(sum(p.source_cpu_seconds for _, p in found), 3),
            "cpu_core_seconds_redis": round(sum(p.redis_cpu_seconds for _, p in found), 3),
            "culprits": culprit_table(
                [
                    {
                        "partition": str(host_day),
                        "problem": f"{proof.verdict}{': ' if proof.why else ''}{proof.why}",
                        "source_core_seconds": proof.source_cpu_seconds,
                        "redis_core_seconds": proof.redis_cpu_seconds,
                        "tolerance_core_seconds": proof.tolerance_cpu_seconds,
                    }
                    for host_day, proof in worst[:_CULPRITS_SHOWN]
                ]
            ),
        },
    )


def _documents(reader: RedisReader, host: str, window: Window) -> dict[int, Document]:
    if window.start == window.end:
        return {}
    return reader.get_data(
        host,
        dt.datetime.fromtimestamp(window.start, dt.UTC),
        dt.datetime.fromtimestamp(window.end - BUCKET_SECONDS, dt.UTC),
    )


def _alive(reader: RedisReader, window: Window) -> Window:
    """The part of the window that Redis still keeps, and will while we look at it."""
    horizon = reader.clock() + 300
    alive = [bucket for bucket in window.buckets() if reader.keys.document_expiry(bucket) > horizon]
    return Window(alive[0] if alive else window.end, window.end)


def _shuffled(host_day: HostDay) -> bytes:
    """An order that is another one each day, so that in time everybody has their turn."""
    return hashlib.sha256(host_day.key.encode()).digest()


def _sums_up(document: Document) -> bool:
    """Whether the entries and ``other`` are the total, in millionths."""
    for part, field in (("cpu", "cpu_norm"), ("mem", "rss")):
        listed = [*document[part]["user"], document[part]["other"]]
        total = round(document[part]["command"][field] * _MICRO)
        if sum(round(entry[field] * _MICRO) for entry in listed) != total:
            return False
    return True


def _result(
    partitions: list[HostDay], look: Callable[[HostDay], Iterable[_Culprit]]
) -> dg.AssetCheckResult:
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
            "culprits": culprit_table(culprits[:_CULPRITS_SHOWN]),
        },
    )


def _has_partitions(context: dg.AssetCheckExecutionContext) -> bool:
    step = context.op_execution_context
    return step.has_partition_key or step.has_partition_key_range


def _partitions(context: dg.AssetCheckExecutionContext, asset: str) -> list[HostDay]:
    """The partitions of the run; the newest ones where it has none."""
    if _has_partitions(context):
        return host_days(context.op_execution_context.partition_keys)
    materialized = context.instance.get_materialized_partitions(dg.AssetKey(asset))
    return sorted(host_day_of(key) for key in materialized)[-_LATEST:]
