"""The checks of the live path: is Redis fresh, do the hosts report, do the collectors keep pace?

They run on a schedule of their own (:mod:`snapshot_assets.orchestration.schedules`), so that they
also fail when the live path does not run.
"""

import time
from typing import Final

import dagster as dg

from snapshot_assets.domain.sampling import cadences
from snapshot_assets.domain.time import BUCKET_SECONDS, bucket_iso
from snapshot_assets.orchestration.live import LIVE
from snapshot_assets.orchestration.metadata import culprit_table
from snapshot_assets.orchestration.resources import RedisResource, RulesResource, SourceResource

# A bucket is complete five minutes after its start, and the next tick publishes it.
_FRESH_SECONDS: Final = 3 * BUCKET_SECONDS
_CADENCE_SECONDS: Final = 3_600
# Tables in metadata are for reading, not for export.
_CULPRITS_SHOWN: Final = 100


def review_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of the live path and of the collectors."""

    @dg.asset_check(
        asset=LIVE, description="The newest bucket in Redis began less than 15 minutes ago"
    )
    def newest_bucket_is_fresh(
        context: dg.AssetCheckExecutionContext, redis: RedisResource
    ) -> dg.AssetCheckResult:
        with redis.reader() as reader:
            newest = reader.last_update()
        age = None if newest is None else time.time() - newest.timestamp()
        return dg.AssetCheckResult(
            passed=age is not None and age <= _FRESH_SECONDS,
            metadata={
                "newest_bucket": "none" if newest is None else newest.isoformat(),
                **({} if age is None else {"age_seconds": round(age, 1)}),
                "allowed_seconds": _FRESH_SECONDS,
            },
        )

    @dg.asset_check(
        asset=LIVE,
        description="Every host sent a snapshot recently. A host that stopped stays listed here",
    )
    def hosts_report(
        context: dg.AssetCheckExecutionContext, redis: RedisResource, rules: RulesResource
    ) -> dg.AssetCheckResult:
        allowed = rules.accounting().max_gap_seconds + BUCKET_SECONDS
        now = time.time()
        with redis.reader() as reader:
            newest = reader.progress().newest_epoch
        ages = {host: now - time_of_newest for host, time_of_newest in newest.items()}
        silent = {host: age for host, age in ages.items() if age > allowed}
        return dg.AssetCheckResult(
            passed=not silent,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "hosts": len(newest),
                "hosts_silent": len(silent),
                "allowed_seconds": allowed,
                "culprits": culprit_table(
                    [
                        {
                            "host": host,
                            "problem": "silent: check that the machine and its collector run",
                            "newest_snapshot": bucket_iso(int(newest[host])),
                            "silent_hours": round(age / 3600, 2),
                        }
                        for host, age in sorted(silent.items(), key=lambda item: item[1])[
                            :_CULPRITS_SHOWN
                        ]
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
        with source.open() as table:
            found = cadences(table.snapshots(now - _CADENCE_SECONDS, now))
        max_gap = rules.accounting().max_gap_seconds
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
