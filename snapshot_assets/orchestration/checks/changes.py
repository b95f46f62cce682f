"""The check of the settings: which settled host-days were made with other ones.

It compares all settled days, also in a run that settles some of them, because a change of a setting
concerns the days that nobody settles. :mod:`snapshot_assets.pipeline.changed` compares.
"""

import dagster as dg

from snapshot_assets.errors import LakeError
from snapshot_assets.orchestration.assets import SNAPSHOTS
from snapshot_assets.orchestration.checks.covered import CULPRITS_SHOWN, Culprit
from snapshot_assets.orchestration.metadata import culprit_table
from snapshot_assets.orchestration.resources import (
    LakeResource,
    RedisResource,
    RulesResource,
    SourceResource,
    settings_now,
)
from snapshot_assets.pipeline.changed import ChangedDay, by_day, changed

_HOSTS_SHOWN = 5


def change_checks() -> list[dg.AssetChecksDefinition]:
    """The check of the settings."""

    @dg.asset_check(
        asset=SNAPSHOTS,
        description="Every settled host-day was made with the settings of now. After a change of a "
        "setting that the figures depend on, the job settle_changed settles the others again",
    )
    def settings_are_current(
        context: dg.AssetCheckExecutionContext,
        source: SourceResource,
        lake: LakeResource,
        redis: RedisResource,
        rules: RulesResource,
    ) -> dg.AssetCheckResult:
        damaged: list[LakeError] = []
        with lake.open() as files, redis.reader() as reader:
            now = settings_now(source, rules)
            days = by_day(changed(files, reader, now, on_damage=damaged.append))
        return dg.AssetCheckResult(
            passed=not days,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "host_days_different": sum(len(one.hosts) for one in days),
                "days_different": len({one.day for one in days}),
                "files_unreadable": len(damaged),
                "to_do": "run the job settle_changed, or 'snapshot-assets settle --changed'"
                if days
                else "nothing",
                # The newest days are seen most.
                "culprits": culprit_table([_culprit(one) for one in days[::-1][:CULPRITS_SHOWN]]),
            },
        )

    return [settings_are_current]


def _culprit(one: ChangedDay) -> Culprit:
    more = len(one.hosts) - _HOSTS_SHOWN
    hosts = ", ".join(one.hosts[:_HOSTS_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return {
        "partition": f"{len(one.hosts)} host-days of {one.day}",
        "problem": "; ".join(one.differences),
        "host_days": len(one.hosts),
        "hosts": hosts,
    }
