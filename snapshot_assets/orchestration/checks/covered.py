"""What a check covers and how it reports: the partitions of its run, and a table of culprits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import dagster as dg

from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.errors import LakeError
from snapshot_assets.orchestration.metadata import culprit_table
from snapshot_assets.orchestration.partitions import host_day_of, host_days

# How many of the newest partitions a check covers when its run has no partitions.
_LATEST = 50
# Tables in metadata are for reading, not for export.
CULPRITS_SHOWN: Final = 100

Culprit = Mapping[str, Any]


def has_partitions(context: dg.AssetCheckExecutionContext) -> bool:
    """Whether the check runs for partitions."""
    step = context.op_execution_context
    return step.has_partition_key or step.has_partition_key_range


def partitions_of_run(context: dg.AssetCheckExecutionContext, asset: str) -> list[HostDay]:
    """The partitions of the run; the newest materialized ones if the run has no partitions."""
    if has_partitions(context):
        return host_days(context.op_execution_context.partition_keys)
    materialized = context.instance.get_materialized_partitions(dg.AssetKey(asset))
    return sorted(host_day_of(key) for key in materialized)[-_LATEST:]


def result_of(
    partitions: list[HostDay],
    find: Callable[[HostDay], Iterable[Culprit]],
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    """The result of a check that looks at each partition alone.

    Args:
        partitions: the host-days to check.
        find: returns what is wrong with a host-day; a damaged file of the lake is wrong, too.
        severity: of a finding.
    """
    culprits: list[Culprit] = []
    for host_day in partitions:
        try:
            culprits.extend(find(host_day))
        except LakeError as error:
            culprits.append({"partition": str(host_day), "problem": str(error)})
    return dg.AssetCheckResult(
        passed=not culprits,
        severity=severity,
        metadata={
            "partitions_checked": len(partitions),
            "first_partition": str(partitions[0]) if partitions else "none",
            "last_partition": str(partitions[-1]) if partitions else "none",
            "partitions_wrong": len({culprit["partition"] for culprit in culprits}),
            "culprits": culprit_table(culprits[:CULPRITS_SHOWN]),
        },
    )
