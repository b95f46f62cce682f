"""Which intervals of a grid are covered, settled, or a gap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from snapshot_assets.dashboard.queries.grid import Bools, Grid, Ints
from snapshot_assets.domain.time import DAY_SECONDS
from snapshot_assets.store.reading.reader import RedisReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What the store holds for each interval of a grid.

    Attributes:
        covered: whether any snapshot covers a part of the interval.
        settled: whether the interval is covered and all of its buckets are settled.
        hosts: number of hosts with cover.
        kept_from: epoch second before which Redis no longer keeps this resolution.
        until: epoch second up to which each host's data should have arrived.
    """

    covered: Bools
    settled: Bools
    hosts: Ints
    kept_from: int
    until: int

    def gaps(self, grid: Grid) -> Bools:
        """The intervals without cover whose data is still kept and should have arrived."""
        ends = grid.start + np.arange(1, grid.count + 1) * grid.step
        found: Bools = ~self.covered & (ends > self.kept_from) & (ends <= self.until)
        return found


def kept_from(reader: RedisReader, grid: Grid) -> int:
    """The start of the first UTC day that Redis keeps at this resolution, epoch seconds."""
    kept = reader.clock() - reader.keys.retention.seconds_for(grid.resolution)
    return int(kept // DAY_SECONDS * DAY_SECONDS)


def arrived_until(frame: pd.DataFrame, grid: Grid, max_gap_seconds: float) -> int:
    """The epoch second up to which each host's data should have arrived.

    A host may lag behind the newest one by ``max_gap_seconds`` and still cover the time between.
    """
    newest = int(frame["start"].max().timestamp()) + grid.step if len(frame) else grid.start
    return newest - int(max_gap_seconds)


def coverage_of_all(
    reader: RedisReader, frame: pd.DataFrame, grid: Grid, max_gap_seconds: float
) -> Coverage:
    """The coverage of all hosts of a frame together."""
    once = ~frame.duplicated(["host", "start"]).to_numpy()
    positions = grid.positions(frame)[once]
    hosts = np.bincount(positions, minlength=grid.count)
    settled = np.bincount(
        positions, weights=frame["settled"].to_numpy()[once], minlength=grid.count
    )
    return Coverage(
        covered=hosts > 0,
        settled=(hosts > 0) & (settled == hosts),
        hosts=hosts.astype(np.int64),
        kept_from=kept_from(reader, grid),
        until=arrived_until(frame, grid, max_gap_seconds),
    )


def covered_seconds_by_host(frame: pd.DataFrame) -> dict[str, float]:
    """The covered time of each host, seconds."""
    once = frame[~frame.duplicated(["host", "start"])]
    sums = once.groupby("host", observed=True)["covered_seconds"].sum()
    return {str(host): float(seconds) for host, seconds in sums.items()}
