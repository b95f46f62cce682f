"""Runs that settle chosen host-days in this process: for the command line and for one job.

The sensors and schedules request runs instead (:mod:`snapshot_assets.orchestration.schedules`).
"""

from __future__ import annotations

import datetime as dt
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import dagster as dg

from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.orchestration.assets import AGGREGATES, RAW, SNAPSHOTS, settled_assets
from snapshot_assets.orchestration.checks import settled_checks
from snapshot_assets.orchestration.jobs import SETTINGS_CHECK
from snapshot_assets.orchestration.partitions import (
    Box,
    add_hosts,
    boxes,
    host_day_of,
    host_day_partitions,
    known_hosts,
)
from snapshot_assets.pipeline.changed import Changed, FirstStep

_PARTITIONS_PER_RUN = 50
_ONE_DAY = dt.timedelta(days=1)
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
# The assets that are materialized from each step on.
_ASSETS: Final[Mapping[FirstStep, tuple[str, ...]]] = {
    FirstStep.ROWS: (RAW, AGGREGATES, SNAPSHOTS),
    FirstStep.AGGREGATES: (AGGREGATES, SNAPSHOTS),
    FirstStep.DOCUMENTS: (SNAPSHOTS,),
}


class Stretch(NamedTuple):
    """Consecutive days, both included, that are settled for the same hosts."""

    first: dt.date
    last: dt.date
    hosts: tuple[str, ...]


class PlannedRun(NamedTuple):
    """A run that materializes some assets of the host-days in a box."""

    box: Box
    assets: tuple[str, ...]


@dataclass(slots=True)
class Outcome:
    """What the runs did.

    Attributes:
        metadata: of each host-day, the metadata by asset.
        failures: the error of each failed step.
        evaluations: what each check found. A check of the whole lake is there once, as it was
            evaluated last: what it found before, a later run may have mended.
    """

    metadata: dict[HostDay, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    failures: list[str] = field(default_factory=list)
    evaluations: list[dg.AssetCheckEvaluation] = field(default_factory=list)

    @property
    def checks(self) -> int:
        """Number of checks that were evaluated."""
        return len(self.evaluations)

    @property
    def failed_checks(self) -> list[str]:
        """Name and culprits of each check that found figures to be wrong."""
        return self._not_passed(dg.AssetCheckSeverity.ERROR)

    @property
    def warnings(self) -> list[str]:
        """Name and culprits of each check that found something that somebody should look at."""
        return self._not_passed(dg.AssetCheckSeverity.WARN)

    @property
    def passed(self) -> int:
        """Number of checks that passed."""
        return sum(evaluation.passed for evaluation in self.evaluations)

    def add(self, evaluation: dg.AssetCheckEvaluation) -> None:
        """Add what a check found."""
        if evaluation.check_name == SETTINGS_CHECK:
            self.evaluations = [e for e in self.evaluations if e.check_name != SETTINGS_CHECK]
        self.evaluations.append(evaluation)

    def _not_passed(self, severity: dg.AssetCheckSeverity) -> list[str]:
        return [
            f"{evaluation.check_name}: {_culprits(evaluation)}"
            for evaluation in self.evaluations
            if not evaluation.passed and evaluation.severity is severity
        ]


def stretches(found: Mapping[dt.date, Sequence[str]]) -> list[Stretch]:
    """These hosts of each day in few stretches, by day."""
    made: list[Stretch] = []
    for day, hosts in sorted(found.items()):
        before = made[-1] if made else None
        if before and before.last == day - _ONE_DAY and before.hosts == tuple(hosts):
            made[-1] = before._replace(last=day)
        elif hosts:
            made.append(Stretch(day, day, tuple(hosts)))
    return made


def planned(
    instance: dg.DagsterInstance,
    wanted: Iterable[Stretch],
    first_step: FirstStep = FirstStep.ROWS,
) -> list[PlannedRun]:
    """The runs that settle these stretches from a step on.

    Args:
        instance: the instance; hosts without partitions get them here.
        wanted: the host-days.
        first_step: what is done again, with all that follows.
    """
    wanted = list(wanted)
    add_hosts(instance, [host for stretch in wanted for host in stretch.hosts])
    known = known_hosts(instance)
    return [
        PlannedRun(box, _ASSETS[first_step])
        for stretch in wanted
        for box in boxes(*stretch, known, _PARTITIONS_PER_RUN)
    ]


def planned_changes(
    instance: dg.DagsterInstance, found: Iterable[Changed], start_date: dt.date
) -> list[PlannedRun]:
    """The runs that settle exactly these host-days again, each from its first step on.

    Args:
        instance: the instance; hosts without partitions get them here.
        found: the host-days; those before the first partition are left out.
        start_date: the day of the first partition.
    """
    hosts: dict[FirstStep, dict[dt.date, list[str]]] = {step: {} for step in FirstStep}
    for one in found:
        if one.host_day.day >= start_date:
            hosts[one.first_step].setdefault(one.host_day.day, []).append(one.host_day.host)
    return [
        run
        for step, by_day in hosts.items()
        for run in planned(
            instance, stretches({day: sorted(names) for day, names in by_day.items()}), step
        )
    ]


def materialize(
    instance: dg.DagsterInstance,
    resources: Mapping[str, Any],
    start_date: dt.date,
    runs: Iterable[PlannedRun],
    outcome: Outcome,
    tags: Mapping[str, str] | None = None,
) -> Iterator[PlannedRun]:
    """Materialize host-days in this process, with the checks of what is materialized.

    Args:
        instance: records the runs.
        resources: the resources by name.
        start_date: the day of the first partition.
        runs: the runs, in their order.
        outcome: gets what each run did.
        tags: further tags of each run.

    Yields:
        Each run after it has ended, whether or not it succeeded.
    """
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    partitions = host_day_partitions(start_date)
    definitions = [*settled_assets(partitions), *settled_checks()]
    for run in runs:
        result = dg.materialize(
            definitions,
            instance=instance,
            resources=dict(resources),
            tags={**(tags or {}), **run.box.tags},
            run_config=_QUIET,
            raise_on_error=False,
            selection=dg.AssetSelection.assets(*run.assets),
        )
        _collect(result, outcome)
        yield run


def _collect(result: dg.ExecuteInProcessResult, outcome: Outcome) -> None:
    for event in result.get_asset_materialization_events():
        made = event.materialization
        if made.partition is None:
            continue
        host_day = host_day_of(made.partition)
        values = {
            name: value.records if isinstance(value, dg.TableMetadataValue) else value.value
            for name, value in made.metadata.items()
        }
        outcome.metadata[host_day][made.asset_key.to_user_string()] = values
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            problem = data.user_failure_data.description if data.user_failure_data else None
            outcome.failures.append(problem or (data.error.message.strip() if data.error else ""))
    for evaluation in result.get_asset_check_evaluations():
        outcome.add(evaluation)


def _culprits(evaluation: dg.AssetCheckEvaluation) -> str:
    culprits = evaluation.metadata.get("culprits")
    if not isinstance(culprits, dg.TableMetadataValue):
        return "failed"
    return "; ".join(f"{r.data['partition']}: {r.data['problem']}" for r in culprits.records)
