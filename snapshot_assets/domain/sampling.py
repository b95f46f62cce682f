"""Is the source being written as it should be? Findings about recent snapshots, host by host.

Pure functions for the doctor and for checks. What is done about a finding is said by whoever shows
it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from snapshot_assets.domain.time import BUCKET_SECONDS

_PAGE_BYTES = 4096
_KIB = 1024
# Below this share of page-sized values, rss is not in the unit it is said to be in.
_MOSTLY = 0.9
# From so many times a bucket's length on, buckets share a snapshot with others.
_SLOW = 1.1


@dataclass(frozen=True, slots=True)
class HostCadence:
    """How one host is being sampled.

    Attributes:
        host: its name.
        snapshots: distinct snapshot times in the frame.
        median_interval_seconds: between snapshots; NaN for fewer than two.
        longest_interval_seconds: the longest silence between two; NaN for fewer than two.
        newest_epoch: the last snapshot.
        duplicate_rows: rows whose (host, pid, time) was there already.
        crowded_snapshots: snapshots less than a quarter of the median interval after another, as
            two collectors make them.
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
        """Whether the rows or their times look as if two programs wrote them."""
        return self.duplicate_rows > 0 or self.crowded_snapshots > self.snapshots // 4

    def problems(self, max_gap_seconds: float) -> list[str]:
        """What is wrong with how the host is sampled, in words; nothing if all is well.

        Args:
            max_gap_seconds: a longer silence leaves a gap.
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
    """The cadence of each host, by name.

    Args:
        snapshots: one row per snapshot: ``host``, ``snapshot_time_epoch``, ``rows`` (how many it
            has) and ``pids`` (how many different ones), in any order.
    """
    found = []
    for host, of_host in snapshots.groupby("host", observed=True):
        times = np.sort(of_host["snapshot_time_epoch"].to_numpy())
        intervals = np.diff(times)
        median = float(np.median(intervals)) if len(intervals) else float("nan")
        found.append(
            HostCadence(
                host=str(host),
                snapshots=len(times),
                median_interval_seconds=median,
                longest_interval_seconds=float(intervals.max()) if len(intervals) else float("nan"),
                newest_epoch=float(times[-1]),
                duplicate_rows=int((of_host["rows"] - of_host["pids"]).sum()),
                crowded_snapshots=int((intervals < _typical(intervals) / 4).sum()),
            )
        )
    return found


def _typical(intervals: np.ndarray) -> float:
    """The cadence that a single collector would have.

    Two interleaved ones make every other interval short: the upper quartile sees through that.
    """
    return float(np.quantile(intervals, 0.75)) if len(intervals) else 0.0


def likely_rss_unit(rows: pd.DataFrame, configured: str) -> str | None:
    """The unit in which the source's ``rss`` seems to be, or None where it cannot be told.

    The kernel counts memory in pages of 4096 bytes. Bytes are therefore multiples of 4096, KiB
    multiples of 4 that are mostly none of 4096.

    Args:
        rows: a raw frame; its ``rss`` is in bytes if ``configured`` is right.
        configured: ``bytes`` or ``KiB``.
    """
    rss = rows["rss"].to_numpy()
    source = rss[rss > 0] // (_KIB if configured == "KiB" else 1)
    if len(source) < 20:
        return None
    whole_pages = float((source % _PAGE_BYTES == 0).mean())
    whole_quads = float((source % (_PAGE_BYTES // _KIB) == 0).mean())
    if whole_pages >= _MOSTLY:
        return "bytes"
    return "KiB" if whole_quads >= _MOSTLY else None
