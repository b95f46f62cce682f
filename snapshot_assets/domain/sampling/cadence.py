"""When a collector samples a host: how often, how regularly, and whether two of them do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from snapshot_assets.domain.accounting.rows import is_rejected, usable_rows
from snapshot_assets.domain.accounting.snapshots import take_snapshots
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.time import BUCKET_SECONDS

# With intervals longer than this many bucket lengths, some buckets have no snapshot of their own.
_SLOW = 1.1


@dataclass(frozen=True, slots=True)
class HostCadence:
    """How one host is sampled.

    Attributes:
        host: host name.
        snapshots: number of distinct snapshot times.
        median_interval_seconds: between consecutive snapshots; NaN for fewer than two.
        longest_interval_seconds: between consecutive snapshots; NaN for fewer than two.
        newest_epoch: time of the newest snapshot, epoch seconds.
        duplicate_rows: rows that repeat a process of the same snapshot.
        crowded_snapshots: snapshots that follow another within a quarter of the typical interval
            (the upper quartile), as with two collectors.
    """

    host: str
    snapshots: int
    median_interval_seconds: float
    longest_interval_seconds: float
    newest_epoch: float
    duplicate_rows: int
    crowded_snapshots: int

    @property
    def has_two_collectors(self) -> bool:
        """Whether rows or snapshot times suggest that two programs write for this host."""
        return self.duplicate_rows > 0 or self.crowded_snapshots > self.snapshots // 4

    def problems(self, max_gap_seconds: float) -> list[str]:
        """What is wrong with how the host is sampled, one text per problem; empty if all is well.

        Args:
            max_gap_seconds: a longer interval leaves a gap.
        """
        found = []
        if self.longest_interval_seconds > max_gap_seconds:
            found.append(f"a gap of {self.longest_interval_seconds:.0f} s")
        if self.median_interval_seconds > _SLOW * BUCKET_SECONDS:
            found.append(f"sampled every {self.median_interval_seconds:.0f} s")
        if self.has_two_collectors:
            found.append(
                f"two collectors: {self.duplicate_rows} rows twice, "
                f"{self.crowded_snapshots} snapshots close to another"
            )
        return found


def cadences(snapshots: pd.DataFrame) -> list[HostCadence]:
    """The cadence of each host, ordered by host name.

    Args:
        snapshots: one row per snapshot, in any order: ``host``, ``snapshot_time_epoch``, ``rows``
            (number of rows in the snapshot) and ``pids`` (number of distinct pids, or of distinct
            processes, as :func:`sampled` counts them).
    """
    found = []
    for host, host_snapshots in snapshots.groupby("host", observed=True):
        times = np.sort(host_snapshots["snapshot_time_epoch"].to_numpy())
        intervals = np.diff(times)
        median = float(np.median(intervals)) if len(intervals) else float("nan")
        found.append(
            HostCadence(
                host=str(host),
                snapshots=len(times),
                median_interval_seconds=median,
                longest_interval_seconds=float(intervals.max()) if len(intervals) else float("nan"),
                newest_epoch=float(times[-1]),
                duplicate_rows=int((host_snapshots["rows"] - host_snapshots["pids"]).sum()),
                crowded_snapshots=int((intervals < _typical(intervals) / 4).sum()),
            )
        )
    return found


def sampled(rows: pd.DataFrame, rules: AccountingRules) -> pd.DataFrame:
    """The snapshots of raw rows, as the accounting takes them, for :func:`cadences`.

    The rows of one snapshot may have several stamps, and several processes may have one pid.

    Args:
        rows: as the schema :class:`~snapshot_assets.domain.schemas.RawProcessRows`.
        rules: which stamps are one snapshot.
    """
    process = usable_rows(rows)
    snapshots = take_snapshots(process, rules)
    kept = np.bincount(snapshots.snapshot_index, minlength=len(snapshots.time))
    # A duplicate has the time of the row that is kept.
    table = pd.DataFrame(
        {
            "host": process.hosts[snapshots.host],
            "snapshot_time_epoch": snapshots.time,
            "rows": kept,
            "pids": kept,
        }
    )
    usable = rows[~is_rejected(rows)]
    for host, times in usable.groupby("host", observed=True)["snapshot_time_epoch"]:
        own = (table["host"] == host).to_numpy()
        place = np.searchsorted(snapshots.time[own], times.to_numpy())
        table.loc[own, "rows"] = np.bincount(place, minlength=int(own.sum()))
    return table


def _typical(intervals: np.ndarray) -> float:
    """The interval that a single collector would leave, seconds.

    Two interleaved collectors make every other interval short. The upper quartile ignores the short
    intervals.
    """
    return float(np.quantile(intervals, 0.75)) if len(intervals) else 0.0
