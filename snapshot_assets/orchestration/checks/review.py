"""The checks of the live path: is Redis fresh, do the hosts report, do the collectors keep pace?

They run on a schedule of their own (:mod:`snapshot_assets.orchestration.schedules`), so that they
also fail when the live path does not run.
"""

import time
from typing import Final

import dagster as dg

from snapshot_assets.domain.sampling import cadences, sampled
from snapshot_assets.domain.time import BUCKET_SECONDS, bucket_iso
from snapshot_assets.lake.register import read_register
from snapshot_assets.orchestration.live import LIVE
from snapshot_assets.orchestration.metadata import culprit_table
from snapshot_assets.orchestration.resources import (
    LakeResource,
    RedisResource,
    RulesResource,
    SourceResource,
)
from snapshot_assets.pipeline.fleet import absent_hosts

# A bucket is complete five minutes after its start, and the next tick publishes it.
_FRESH_SECONDS: Final = 3 * BUCKET_SECONDS
_CADENCE_SECONDS: Final = 3_600
# So many hosts are looked at more closely; a fault of the collector is the same on all hosts.
_SUSPECTS_READ: Final = 20
# Tables in metadata are for reading, not for export.
_CULPRITS_SHOWN: Final = 100


def review_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of the live path and of the collectors."""

    @dg.asset_check(
        asset=LIVE,
        description="The newest bucket in Redis began less than 15 minutes ago. A warning if it is "
        "the rows that come late",
    )
    def newest_bucket_is_fresh(
        context: dg.AssetCheckExecutionContext,
        redis: RedisResource,
        lake: LakeResource,
        rules: RulesResource,
    ) -> dg.AssetCheckResult:
        now = time.time()
        allowed = rules.accounting().max_gap_seconds + BUCKET_SECONDS
        with redis.reader() as reader, lake.open() as files:
            newest = reader.last_update()
            hosts = absent_hosts(reader.progress(), read_register(files), now, allowed)
        age = None if newest is None else now - newest.timestamp()
        late = hosts.count("late")
        return dg.AssetCheckResult(
            passed=age is not None and age <= _FRESH_SECONDS,
            # What there is has been published: it is the source that lags.
            severity=dg.AssetCheckSeverity.WARN if late else dg.AssetCheckSeverity.ERROR,
            metadata={
                "newest_bucket": "none" if newest is None else newest.isoformat(),
                **({} if age is None else {"age_seconds": round(age, 1)}),
                "allowed_seconds": _FRESH_SECONDS,
                "hosts_late": late,
            },
        )

    @dg.asset_check(
        asset=LIVE,
        description="Every host sent a snapshot recently. A host that stopped is silent, one whose "
        "rows come late is late, and both stay listed until they are retired: "
        "'snapshot-assets hosts'",
    )
    def hosts_report(
        context: dg.AssetCheckExecutionContext,
        redis: RedisResource,
        lake: LakeResource,
        rules: RulesResource,
    ) -> dg.AssetCheckResult:
        allowed = rules.accounting().max_gap_seconds + BUCKET_SECONDS
        with redis.reader() as reader, lake.open() as files:
            found = absent_hosts(reader.progress(), read_register(files), time.time(), allowed)
        return dg.AssetCheckResult(
            passed=not found.absent,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "hosts": found.hosts,
                **{f"hosts_{state}": found.count(state) for state in ("silent", "late", "ahead")},
                "hosts_retired": found.retired,
                "allowed_seconds": allowed,
                "culprits": culprit_table(
                    [
                        {
                            "host": one.host,
                            "problem": f"{one.state}: {one.advice}",
                            "newest_snapshot": bucket_iso(int(one.newest_epoch)),
                            "hours": round(one.age_seconds / 3600, 2),
                        }
                        for one in found.absent[:_CULPRITS_SHOWN]
                    ]
                ),
            },
        )

    @dg.asset_check(
        asset=LIVE,
        description="In the last hour one collector sampled each host, and often enough",
    )
    def collectors_keep_pace(
        context: dg.AssetCheckExecutionContext, source: SourceResource, rules: RulesResource
    ) -> dg.AssetCheckResult:
        now = time.time()
        accounting = rules.accounting()
        with source.open() as table:
            found = cadences(table.snapshots(now - _CADENCE_SECONDS, now))
            # Rows tell apart what counts do not: two collectors, several processes with one pid,
            # and a snapshot whose rows have several stamps.
            suspects = [
                one.host
                for one in found
                if one.has_two_collectors or one.median_interval_seconds <= accounting.pass_seconds
            ]
            rows = table.read_sql(now - _CADENCE_SECONDS, now, suspects[:_SUSPECTS_READ])
        seen = {one.host: one for one in cadences(sampled(rows, accounting))}
        found = [seen.get(one.host, one) for one in found]
        max_gap = accounting.max_gap_seconds
        culprits = [
            {"host": cadence.host, "problem": "; ".join(problems)}
            for cadence in found
            if (problems := cadence.problems(max_gap))
        ]
        return dg.AssetCheckResult(
            passed=not culprits,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "hosts": len(found),
                "snapshots": sum(cadence.snapshots for cadence in found),
                "hosts_irregular": len(culprits),
                "culprits": culprit_table(culprits[:_CULPRITS_SHOWN]),
            },
        )

    return [newest_bucket_is_fresh, hosts_report, collectors_keep_pace]
