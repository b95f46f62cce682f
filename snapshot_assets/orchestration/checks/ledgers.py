"""The checks of the ledgers: what the accounting left out, and what the kernel says.

The ledgers are in the notes of the lake, so these checks read no row.
:mod:`snapshot_assets.pipeline.inspection` decides what is worth a look.
"""

from collections.abc import Callable, Iterable

import dagster as dg

from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.ledger import Ledger
from snapshot_assets.lake.notes import AGGREGATES as AGGREGATES_DATASET
from snapshot_assets.orchestration.assets import AGGREGATES
from snapshot_assets.orchestration.checks.covered import Culprit, partitions_of_run, result_of
from snapshot_assets.orchestration.resources import LakeResource
from snapshot_assets.pipeline.inspection import (
    clock_problem,
    invented_problem,
    unseen_problem,
    unusable_problems,
)

_WARN = dg.AssetCheckSeverity.WARN
_ERROR = dg.AssetCheckSeverity.ERROR


def ledger_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of the ledgers of settled host-days."""

    @dg.asset_check(
        asset=AGGREGATES,
        description="The snapshots saw what the kernel counted. Above 1.05 times that, numbers "
        "were invented. Below half of it (a warning), no snapshot saw the processes that used the "
        "rest",
    )
    def snapshots_agree_with_kernel(
        context: dg.AssetCheckExecutionContext, lake: LakeResource
    ) -> dg.AssetCheckResult:
        severity = _WARN

        def problems(ledger: Ledger) -> Iterable[str]:
            nonlocal severity
            if invented := invented_problem(ledger):
                severity = _ERROR
                yield invented
            elif unseen := unseen_problem(ledger):
                yield unseen

        result = _checked(context, lake, problems)
        return result._replace(severity=severity)

    @dg.asset_check(
        asset=AGGREGATES,
        description="Every row could be used: none is rejected, and none claims CPU that its host "
        "does not have. Such rows are left out of the figures",
    )
    def rows_are_usable(
        context: dg.AssetCheckExecutionContext, lake: LakeResource
    ) -> dg.AssetCheckResult:
        return _checked(context, lake, unusable_problems)

    @dg.asset_check(
        asset=AGGREGATES,
        description="The stamps of the snapshots agree with the ages of the processes",
    )
    def clocks_agree(
        context: dg.AssetCheckExecutionContext, lake: LakeResource
    ) -> dg.AssetCheckResult:
        return _checked(context, lake, lambda ledger: filter(None, [clock_problem(ledger)]))

    return [snapshots_agree_with_kernel, rows_are_usable, clocks_agree]


def _checked(
    context: dg.AssetCheckExecutionContext,
    lake: LakeResource,
    problems: Callable[[Ledger], Iterable[str]],
) -> dg.AssetCheckResult:
    """The problems in the ledgers of the run's partitions."""
    with lake.open() as files:

        def find(host_day: HostDay) -> Iterable[Culprit]:
            entry = files.entry(AGGREGATES_DATASET, *host_day)
            if entry is not None:  # a host-day with a defect has no ledger
                for problem in problems(entry.note.ledger):
                    yield {
                        "partition": str(host_day),
                        "host": host_day.host,
                        "problem": problem,
                    }

        return result_of(partitions_of_run(context, AGGREGATES), find, _WARN)
