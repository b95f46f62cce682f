"""The checks of what happens now: is Redis fresh, do the hosts report, do the collectors keep pace.

They run on a schedule of their own (:mod:`snapshot_assets.orchestration.schedules`), so that they
also speak up when the live path does not run. What is checked of settled days is in checks.py.
"""

import time
from typing import Final

import dagster as dg

from snapshot_assets.domain.sampling import cadences
from snapshot_assets.domain.time import BUCKET_SECONDS, bucket_iso
from snapshot_assets.orchestration.live import LIVE
from snapshot_assets.orchestration.metadata import culprit_table
from snapshot_assets.orchestration.resources import RedisResource, RulesResource, SourceResource

# A bucket is five minutes old when it is complete, and published by the next tick.
_FRESH_SECONDS: Final = 3 * BUCKET_SECONDS
_LOOKED_AT_SECONDS: Final = 3_600
# Host tables in metadata are for reading, not for export.
_SHOWN: Final = 100


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
        description="Every host has sent a snapshot lately; those that stopped stay listed here",
    )
    def hosts_report(
        context: dg.AssetCheckExecutionContext, redis: RedisResource, rules: RulesResource
    ) -> dg.AssetCheckResult:
        allowed = rules.accounting().max_gap_seconds + BUCKET_SECONDS
        now = time.time()
        with redis.reader() as reader:
            newest = reader.progress().newest_epoch
        silent = {host: now - at for host, at in newest.items() if now - at > allowed}
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
                            "problem": "silent: see whether the machine and its collector run",
                            "newest_snapshot": bucket_iso(int(newest[host])),
                            "silent_hours": round(age / 3600, 2),
                        }
                        for host, age in sorted(silent.items(), key=lambda item: item[1])[:_SHOWN]
                    ]
                ),
            },
        )

    @dg.asset_check(
        asset=LIVE,
        description="In the last hour each host was sampled often enough, by one collector",
    )
    def collectors_keep_pace(
        context: dg.AssetCheckExecutionContext, source: SourceResource, rules: RulesResource
    ) -> dg.AssetCheckResult:
        now = time.time()
        with source.open() as table:
            found = cadences(table.snapshots(now - _LOOKED_AT_SECONDS, now))
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
                "culprits": culprit_table(culprits[:_SHOWN]),
            },
        )

    return [newest_bucket_is_fresh, hosts_report, collectors_keep_pace]
