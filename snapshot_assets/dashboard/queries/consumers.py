"""Which users or commands used how much, over time and as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from snapshot_assets.dashboard.queries.coverage import (
    Coverage,
    coverage_of_all,
    covered_seconds_by_host,
)
from snapshot_assets.dashboard.queries.frames import read_frames, rows_by_host, sums_by_pair
from snapshot_assets.dashboard.queries.grid import SECONDS_PER_HOUR, Bools, Floats, Grid
from snapshot_assets.dashboard.queries.machine import MachineRows, MachineUse
from snapshot_assets.dashboard.time.ranges import TimeRange
from snapshot_assets.domain.frames import COLUMNS, OTHER
from snapshot_assets.domain.measures import Measure
from snapshot_assets.store.reading.reader import RedisReader

Field: TypeAlias = Literal["username", "comm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """One user or command over a range and some hosts.

    Attributes:
        name: of the user or the command; ``(other)`` for what is not listed by name.
        core_hours: CPU used.
        cores_mean: mean over each host's covered time, added over the hosts.
        cores_peak: highest 5 minutes on one host.
        gb_hours: memory times time.
        gb_mean: mean over each host's covered time, added over the hosts.
        gb_peak: highest 5 minutes on one host.
        hosts: names of the hosts on which it used anything.
    """

    name: str
    core_hours: float
    cores_mean: float
    cores_peak: float
    gb_hours: float
    gb_mean: float
    gb_peak: float
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One layer of a stack: the mean of each interval, cores or GB; NaN without cover."""

    name: str
    values: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumers:
    """What users or commands used.

    Attributes:
        range: the requested time.
        grid: intervals of the series.
        field: whether the consumers are users or commands.
        measure: whether the series are CPU or memory.
        series: the largest consumers, largest first, then the rest; they add up to the total.
        table: all consumers, most core-hours first, the unlisted rest last.
        machine: what the kernel counted on all hosts together; only the capacities if the series
            are of one user or command, because they are not the whole then.
        coverage: of the intervals, over all hosts.
        hosts: number of hosts with cover in the range.
    """

    range: TimeRange
    grid: Grid
    field: Field
    measure: Measure
    series: list[Series]
    table: list[Consumer]
    machine: MachineUse
    coverage: Coverage
    hosts: int

    @property
    def total(self) -> Floats:
        """The sum of the series."""
        found: Floats = np.sum([one.values for one in self.series], axis=0)
        return found


def consumers(
    reader: RedisReader,
    range_: TimeRange,
    field_: Field,
    measure: Measure,
    *,
    hosts: Sequence[str] = (),
    only: tuple[Field, str] | None = None,
    top: int = 10,
    max_gap_seconds: float,
) -> Consumers:
    """Users or commands over time and as a table.

    Args:
        reader: of the store.
        range_: the time to read.
        field_: whether users or commands are stacked and listed.
        measure: whether the series are CPU or memory.
        hosts: only these; all if empty.
        only: one user, to list commands; or one command, to list users.
        top: number of layers with a name.
        max_gap_seconds: snapshots further apart leave a gap.

    Raises:
        StoreError: the reader's.
    """
    grid = Grid.over(range_)
    by = ("username", "comm") if only else (field_,)
    frames, machines = read_frames(reader, range_, grid, hosts, by)
    coverage = coverage_of_all(reader, frames["cpu"], grid, max_gap_seconds)
    covered_seconds = covered_seconds_by_host(frames["cpu"])
    if only:
        frames = {m: frame[frame[only[0]] == only[1]] for m, frame in frames.items()}
    machine = MachineRows.of(machines[measure], measure).together(
        rows_by_host(machines[measure]),
        grid.positions(machines[measure]),
        coverage.hosts,
        grid,
    )
    if only:
        machine = replace(MachineUse.unknown(grid), capacity=machine.capacity)
    table = _table(frames, field_, covered_seconds)
    key = "core_hours" if measure == "cpu" else "gb_hours"
    ranked = sorted(table, key=lambda row: (-getattr(row, key), row.name))
    names = [row.name for row in ranked if row.name != OTHER and getattr(row, key) > 0][:top]
    return Consumers(
        range=range_,
        grid=grid,
        field=field_,
        measure=measure,
        series=_stack(frames[measure], grid, field_, COLUMNS[measure][0], names, coverage.covered),
        table=table,
        machine=machine,
        coverage=coverage,
        hosts=len(covered_seconds),
    )


def _table(
    frames: dict[Measure, pd.DataFrame], field_: Field, covered_seconds: dict[str, float]
) -> list[Consumer]:
    amounts: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    hosts: dict[str, set[str]] = defaultdict(set)
    for measure, frame in frames.items():
        mean, peak, seconds = COLUMNS[measure]
        for name, host, used, most in sums_by_pair(frame, (field_, "host"), seconds, peak):
            mine = amounts[name]
            mine[seconds] += used
            mine[mean] += used / covered_seconds[host]
            mine[peak] = max(mine[peak], most)
            if used > 0:
                hosts[name].add(host)
    table = [
        Consumer(
            name=name,
            core_hours=used["core_seconds"] / SECONDS_PER_HOUR,
            cores_mean=used["cores_mean"],
            cores_peak=used["cores_peak"],
            gb_hours=used["gb_seconds"] / SECONDS_PER_HOUR,
            gb_mean=used["gb_mean"],
            gb_peak=used["gb_peak"],
            hosts=tuple(sorted(hosts[name])),
        )
        for name, used in amounts.items()
    ]
    table.sort(key=lambda row: (row.name == OTHER, -row.core_hours, -row.gb_hours, row.name))
    return table


def _stack(
    frame: pd.DataFrame, grid: Grid, field_: Field, mean: str, names: list[str], covered: Bools
) -> list[Series]:
    """One layer for each of the names, and one for everything else."""
    categories = [str(name) for name in frame[field_].cat.categories]
    layer_by_category = np.full(len(categories), len(names), dtype=np.int64)
    for layer, name in enumerate(names):
        layer_by_category[categories.index(name)] = layer
    layers = layer_by_category[frame[field_].cat.codes.to_numpy()]
    sums = np.bincount(
        layers * grid.count + grid.positions(frame),
        weights=frame[mean].to_numpy(),
        minlength=(len(names) + 1) * grid.count,
    ).reshape(len(names) + 1, grid.count)
    sums = sums.astype(np.float64)  # without any row numpy counts in whole numbers
    sums[:, ~covered] = np.nan
    return [Series(name=name, values=sums[i]) for i, name in enumerate([*names, OTHER])]
