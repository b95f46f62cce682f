"""How much CPU and memory each host used over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from snapshot_assets.dashboard.queries.coverage import Coverage, arrived_until, kept_from
from snapshot_assets.dashboard.queries.frames import read_frames, rows_by_host
from snapshot_assets.dashboard.queries.grid import Floats, Grid
from snapshot_assets.dashboard.queries.machine import MachineRows, MachineUse, newest_known
from snapshot_assets.dashboard.time.ranges import TimeRange
from snapshot_assets.domain.frames import COLUMNS
from snapshot_assets.domain.measures import MEASURES, Measure
from snapshot_assets.store.reading.reader import RedisReader


@dataclass(frozen=True, slots=True, kw_only=True)
class HostUse:
    """What one host used over time.

    Attributes:
        host: name of the host.
        use: by measure, the mean of each interval in cores or GB; NaN without cover.
        peaks: by measure, the highest 5 minutes.
        machine: by measure, what the kernel counted.
        coverage: of the intervals.
        unit_seconds: by measure, core-seconds or GB-seconds in the range.
        covered_seconds: covered time in the range.
    """

    host: str
    use: dict[Measure, Floats]
    peaks: dict[Measure, float]
    machine: dict[Measure, MachineUse]
    coverage: Coverage
    unit_seconds: dict[Measure, float]
    covered_seconds: float

    def mean(self, measure: Measure) -> float:
        """The mean over the covered time, cores or GB."""
        return self.unit_seconds[measure] / self.covered_seconds if self.covered_seconds else 0.0

    def newest(self, measure: Measure) -> float | None:
        """The newest value, cores or GB; None without one."""
        return newest_known(self.use[measure])

    def newest_of_machine(self, measure: Measure) -> float | None:
        """The newest number of the kernel, cores or GB; None without one."""
        return newest_known(self.machine[measure].used)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All hosts over time, sorted by name."""

    range: TimeRange
    grid: Grid
    hosts: list[HostUse]


def overview(
    reader: RedisReader, range_: TimeRange, hosts: Sequence[str] = (), *, max_gap_seconds: float
) -> Overview:
    """The total CPU and memory of each host.

    Args:
        reader: of the store.
        range_: the time to read.
        hosts: only these; all if empty.
        max_gap_seconds: snapshots further apart leave a gap.

    Raises:
        StoreError: the reader's.
    """
    grid = Grid.over(range_)
    frames, machines = read_frames(reader, range_, grid, hosts, None)
    frame = frames["cpu"]
    first_kept = kept_from(reader, grid)
    until = arrived_until(frame, grid, max_gap_seconds)
    # All frames have the same rows: every covered interval, host by host.
    counted = {measure: MachineRows.of(machines[measure], measure) for measure in MEASURES}
    columns = {
        name: frame[name].to_numpy()
        for frame, names in (
            (frame, ("settled", "covered_seconds", *COLUMNS["cpu"])),
            (frames["mem"], COLUMNS["mem"]),
        )
        for name in names
    }
    positions = grid.positions(frame)
    found = []
    for host, rows in rows_by_host(frame):
        at = positions[rows]
        covered = np.zeros(grid.count, dtype=np.bool_)
        covered[at] = True
        settled = np.zeros(grid.count, dtype=np.bool_)
        settled[at] = columns["settled"][rows]
        use, peaks, unit_seconds = {}, {}, {}
        for measure in MEASURES:
            mean, peak, seconds = COLUMNS[measure]
            values = np.full(grid.count, np.nan)
            values[at] = columns[mean][rows]
            use[measure] = values
            peaks[measure] = float(columns[peak][rows].max())
            unit_seconds[measure] = float(columns[seconds][rows].sum())
        found.append(
            HostUse(
                host=host,
                use=use,
                peaks=peaks,
                machine={m: counted[m].of_host(host, rows, positions, grid) for m in MEASURES},
                coverage=Coverage(
                    covered=covered,
                    settled=settled,
                    hosts=covered.astype(np.int64),
                    kept_from=first_kept,
                    until=until,
                ),
                unit_seconds=unit_seconds,
                covered_seconds=float(columns["covered_seconds"][rows].sum()),
            )
        )
    return Overview(range=range_, grid=grid, hosts=sorted(found, key=lambda use: use.host))
