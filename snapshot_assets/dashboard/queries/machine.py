"""What the kernel counted of machines, on a grid, beside what users used.

Every number may be unknown: many sources have no table of machines, and a host may have been
counted for a part of the time only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from snapshot_assets.dashboard.queries.grid import Floats, Grid, Ints
from snapshot_assets.domain.frames import COLUMNS, MACHINE_COLUMNS
from snapshot_assets.domain.measures import Measure

# The users' figures are far below the kernel's if this share of its count is in none of them, and
# at least so many cores or GB.
_FAR_SHARE = 0.2
_FAR_AMOUNT = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineShare:
    """One measure of a machine in one interval, cores or GB; None for an unknown number.

    Attributes:
        used: mean of the whole machine.
        nobodys: how much of it is in no user's figures; None also if that is little.
        capacity: what the machine has.
    """

    used: float | None = None
    nobodys: float | None = None
    capacity: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineUse:
    """One measure of one or several machines over time, cores or GB.

    Attributes:
        used: mean of each interval; NaN if it is unknown.
        nobodys: how much of it is in no user's figures; NaN also if that is little.
        capacity: what each machine has, by host; the newest known number, None without one.
    """

    used: Floats
    nobodys: Floats
    capacity: Mapping[str, float | None]

    @classmethod
    def unknown(cls, grid: Grid) -> MachineUse:
        """Nothing is known of any machine."""
        nothing = np.full(grid.count, np.nan)
        return cls(used=nothing, nobodys=nothing, capacity={})


@dataclass(frozen=True, slots=True)
class MachineRows:
    """One measure of a frame by machine, row by row.

    Attributes:
        used: mean of the whole machine, cores or GB; NaN if it is unknown.
        difference: used minus what users used in the same time.
        capacity: what the machine has; NaN if it is unknown.
    """

    used: Floats
    difference: Floats
    capacity: Floats

    @classmethod
    def of(cls, frame: pd.DataFrame, measure: Measure) -> MachineRows:
        """The rows of a frame by machine."""
        mean, _, seconds = COLUMNS[measure]
        capacity, users_seconds = MACHINE_COLUMNS[measure]
        difference = (frame[seconds] - frame[users_seconds]) / frame["covered_seconds"]
        return cls(
            used=frame[mean].to_numpy(),
            difference=difference.to_numpy(),
            capacity=frame[capacity].to_numpy(),
        )

    def of_host(self, host: str, rows: slice, positions: Ints, grid: Grid) -> MachineUse:
        """The rows of one host on a grid."""
        used, difference = (np.full(grid.count, np.nan) for _ in range(2))
        used[positions[rows]] = self.used[rows]
        difference[positions[rows]] = self.difference[rows]
        return MachineUse(
            used=used,
            nobodys=_where_far(difference, used),
            capacity={host: newest_known(self.capacity[rows])},
        )

    def first(self) -> MachineShare:
        """The first row."""
        nobodys = _where_far(self.difference[:1], self.used[:1])
        used, nobody, capacity = (
            newest_known(values[:1]) for values in (self.used, nobodys, self.capacity)
        )
        return MachineShare(used=used, nobodys=nobody, capacity=capacity)

    def together(
        self, hosts: list[tuple[str, slice]], positions: Ints, covered_hosts: Ints, grid: Grid
    ) -> MachineUse:
        """The sum over all hosts, where it is known of each host with cover.

        Args:
            hosts: each host and its rows.
            positions: the interval of each row.
            covered_hosts: number of hosts with cover, for each interval.
            grid: of the intervals.
        """
        known = ~np.isnan(self.used)
        at = positions[known]
        counted = np.bincount(at, minlength=grid.count)
        whole = (counted == covered_hosts) & (covered_hosts > 0)
        used, difference = (
            np.where(whole, np.bincount(at, weights=values[known], minlength=grid.count), np.nan)
            for values in (self.used, self.difference)
        )
        return MachineUse(
            used=used,
            nobodys=_where_far(difference, used),
            capacity={host: newest_known(self.capacity[rows]) for host, rows in hosts},
        )


def machine_share(used: float | None, capacity: float | None, users: float) -> MachineShare:
    """One measure of a machine in one interval.

    Args:
        used: mean of the whole machine.
        capacity: what the machine has.
        users: mean of all users together.
    """
    if used is None:
        return MachineShare(capacity=capacity)
    nobodys = newest_known(_where_far(np.array([used - users]), np.array([used])))
    return MachineShare(used=used, nobodys=nobodys, capacity=capacity)


def _where_far(difference: Floats, used: Floats) -> Floats:
    """The difference between machine and users, where it is much; NaN elsewhere."""
    # Comparisons with NaN are false.
    far = (difference >= _FAR_AMOUNT) & (difference >= _FAR_SHARE * used)
    found: Floats = np.where(far, difference, np.nan)
    return found


def newest_known(values: Floats) -> float | None:
    """The last value that is not NaN; None without one."""
    known = values[~np.isnan(values)]
    return float(known[-1]) if len(known) else None
