"""The checks of the data of settled days that an operator reviews in the UI.

They show how many partitions were checked and which are wrong. If a check cannot read the data, its
run fails; the check does not report bad data. The comparisons are in
:mod:`snapshot_assets.pipeline`: ``inspection``, ``census`` and ``proof``.
docs/adr/0006-checks-cover-the-run.md says why the checks are not partitioned.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import dagster as dg

from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.time import bucket_iso
from snapshot_assets.orchestration.assets import AGGREGATES, RAW, SNAPSHOTS
from snapshot_assets.orchestration.checks.covered import (
    CULPRITS_SHOWN,
    Culprit,
    has_partitions,
    partitions_of_run,
    result_of,
)
from snapshot_assets.orchestration.checks.proofs import proof_result, unproven
from snapshot_assets.orchestration.metadata import culprit_table
from snapshot_assets.orchestration.resources import (
    LakeResource,
    RedisResource,
    RulesResource,
    SourceResource,
)
from snapshot_assets.pipeline.census import (
    DayCensus,
    Irregularity,
    census_of,
    disagreements,
    request_restore,
    whole_census,
)
from snapshot_assets.pipeline.inspection import imbalances, kept_window, rows_problem, wrong_sums
from snapshot_assets.pipeline.proof.prove import prove_host_days
from snapshot_assets.source.query import WholeCount
from snapshot_assets.store.layout import Keys
from snapshot_assets.store.transport.base import Memory

# The database may count this long; without an index on the epoch it looks at the whole table.
_COUNT_SECONDS = 20

PROOF: Final = dg.AssetCheckKey(dg.AssetKey(SNAPSHOTS), "cpu_seconds_equal_source")


def data_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of rows, aggregates, documents and frames."""

    @dg.asset_check(
        asset=RAW,
        description="The rows in the lake match their schema, host and time",
    )
    def raw_rows_match_schema(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, rules: RulesResource
    ) -> dg.AssetCheckResult:
        accounting = rules.accounting()
        with lake.open() as files:

            def find(host_day: HostDay) -> Iterable[Culprit]:
                if problem := rows_problem(files, host_day, accounting):
                    yield {"partition": str(host_day), "problem": problem}

            return result_of(partitions_of_run(context, RAW), find)

    @dg.asset_check(
        asset=RAW,
        description="On the newest day of the run, the local time hides no row of the source, and "
        "each row has a host. Counted again by the epoch alone",
    )
    def rows_are_read_whole(
        context: dg.AssetCheckExecutionContext, source: SourceResource
    ) -> dg.AssetCheckResult:
        partitions = partitions_of_run(context, RAW)
        if not partitions:
            return result_of([], lambda _: [])
        window = max(partitions).window
        with source.open() as table:
            found = table.count_whole(window.start, window.end, _COUNT_SECONDS)
        return _whole_result(bucket_iso(window.start), found)

    @dg.asset_check(
        asset=AGGREGATES,
        description="Every row is in one class of the ledger, and the buckets hold all attributed "
        "CPU",
    )
    def ledger_balances(
        context: dg.AssetCheckExecutionContext, lake: LakeResource
    ) -> dg.AssetCheckResult:
        with lake.open() as files:

            def find(host_day: HostDay) -> Iterable[Culprit]:
                for imbalance in imbalances(files, host_day):
                    yield {"partition": str(host_day), **imbalance._asdict()}

            return result_of(partitions_of_run(context, AGGREGATES), find)

    @dg.asset_check(
        asset=SNAPSHOTS,
        description="In each document the entries and `other` add up to the total, to the last "
        "digit",
    )
    def documents_sum_up(
        context: dg.AssetCheckExecutionContext, redis: RedisResource
    ) -> dg.AssetCheckResult:
        with redis.reader() as reader:

            def find(host_day: HostDay) -> Iterable[Culprit]:
                if wrong := wrong_sums(reader, host_day):
                    problem = f"{len(wrong)} documents do not sum up"
                    first = reader.keys.document(wrong[0])
                    yield {"partition": str(host_day), "problem": problem, "first": first}

            return result_of(partitions_of_run(context, SNAPSHOTS), find)

    @dg.asset_check(
        asset=SNAPSHOTS,
        description="Frames and documents agree on each bucket, to the last digit",
    )
    def frames_agree_with_documents(
        context: dg.AssetCheckExecutionContext, redis: RedisResource
    ) -> dg.AssetCheckResult:
        with redis.reader() as reader:

            def find(host_day: HostDay) -> Iterable[Culprit]:
                window = kept_window(reader, host_day.window)
                if wrong := disagreements(reader, host_day.host, window):
                    problem = f"{len(wrong)} buckets differ between documents and frames"
                    first = reader.keys.document(wrong[0])
                    yield {"partition": str(host_day), "problem": problem, "first": first}

            return result_of(partitions_of_run(context, SNAPSHOTS), find)

    @dg.asset_check(
        asset=SNAPSHOTS,
        description="Census: Redis holds each bucket of the lake until its expiry, and no other "
        "bucket, in the version that the lake has, and has evicted nothing. Without partitions it "
        "covers every day within the retention, and requests a restore of what it finds",
    )
    def redis_holds_what_it_should(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, redis: RedisResource
    ) -> dg.AssetCheckResult:
        with lake.open() as files, redis.reader() as reader:
            if has_partitions(context):
                days = census_of(files, reader, partitions_of_run(context, SNAPSHOTS))
            else:
                days = whole_census(files, reader)
                with redis.writer() as writer:
                    if request_restore(writer, days):
                        context.log.warning("the sensor redis_lost will restore the settled days")
            return _census_result(days, reader.base.memory(), reader.keys)

    @dg.asset_check(
        asset=SNAPSHOTS,
        description="Proof: CPU, memory and ledger are what the source's rows add up to, counted "
        "again in SQL by code that shares nothing with the accounting. For all partitions of the "
        "run, as far as SNAPSHOT_PROOF_SECONDS reach; the nightly audit proves those that are left "
        "first. Inconclusive (a warning) while rows still arrive",
    )
    def cpu_seconds_equal_source(
        context: dg.AssetCheckExecutionContext,
        source: SourceResource,
        lake: LakeResource,
        redis: RedisResource,
        rules: RulesResource,
    ) -> dg.AssetCheckResult:
        partitions = partitions_of_run(context, SNAPSHOTS)
        if not has_partitions(context):
            left = unproven(context.instance, PROOF)
            partitions = [*left, *(one for one in partitions if one not in set(left))]
        with source.open() as table, lake.open() as files, redis.reader() as reader:
            proofs = prove_host_days(
                *(table, files, reader, partitions),
                *(rules.accounting(), rules.documents(), rules.proof_seconds()),
            )
        return proof_result(proofs)

    return [
        raw_rows_match_schema,
        rows_are_read_whole,
        ledger_balances,
        documents_sum_up,
        frames_agree_with_documents,
        redis_holds_what_it_should,
        cpu_seconds_equal_source,
    ]


def _whole_result(day: str, found: WholeCount | None) -> dg.AssetCheckResult:
    if found is None:
        culprits = [
            {
                "partition": day,
                "problem": f"the rows could not be counted in {_COUNT_SECONDS} s: create an index "
                "that begins with snapshot_time_epoch, which also makes SNAPSHOT_SOURCE_TIMEZONE "
                "unnecessary",
            }
        ]
    else:
        culprits = [
            {
                "partition": f"{host} from {day}",
                "problem": f"{rows:,} rows have a local time more than a day away from their "
                "epoch, so they are not read; remove SNAPSHOT_SOURCE_TIMEZONE, or repair the "
                "collector",
            }
            for host, rows in sorted(found.hidden.items())
        ]
        if found.without_host:
            culprits.append(
                {
                    "partition": f"all hosts from {day}",
                    "problem": f"{found.without_host:,} rows have no host, so they belong to no "
                    "partition; repair the collector that writes them",
                }
            )
    hidden = found is not None and bool(found.hidden)
    return dg.AssetCheckResult(
        passed=not culprits,
        severity=dg.AssetCheckSeverity.ERROR if hidden else dg.AssetCheckSeverity.WARN,
        metadata={
            "rows_counted": found.rows if found else 0,
            "rows_without_host": found.without_host if found else 0,
            "culprits": culprit_table(culprits[:CULPRITS_SHOWN]),
        },
    )


def _census_result(days: Sequence[DayCensus], memory: Memory, keys: Keys) -> dg.AssetCheckResult:
    culprits = [_census_culprit(found, keys) for day in days for found in day.irregularities]
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
            "culprits": culprit_table(culprits[:CULPRITS_SHOWN]),
        },
    )


def _census_culprit(found: Irregularity, keys: Keys) -> Culprit:
    buckets = f"{len(found.buckets)} buckets: " if found.buckets else ""
    return {
        "partition": f"{found.host or 'all hosts'} on {found.day}",
        "problem": f"{buckets}{found.problem}",
        "first": keys.document(found.buckets[0]) if found.buckets else "",
    }
