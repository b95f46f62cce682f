"""Frames from the reader: reading them on a grid, and grouping their rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from snapshot_assets.dashboard.queries.grid import Grid
from snapshot_assets.dashboard.time.ranges import TimeRange
from snapshot_assets.domain.measures import Measure
from snapshot_assets.store.reading.reader import RedisReader


def read_frames(
    reader: RedisReader,
    range_: TimeRange,
    grid: Grid,
    hosts: Sequence[str],
    by: tuple[str, ...] | None,
) -> tuple[dict[Measure, pd.DataFrame], dict[Measure, pd.DataFrame]]:
    """CPU and memory of a range at the grid's resolution: of users, and of the machines.

    Args:
        reader: of the store.
        range_: the time to read.
        grid: over the range.
        hosts: only these; all if empty.
        by: the columns that break each interval down; None for the hosts' totals.

    Raises:
        StoreError: the reader's.
    """
    return reader.frames_and_machine(
        list(hosts) or None,
        *range_.bounds,
        by=by,
        resolution=grid.resolution,
    )


def rows_by_host(frame: pd.DataFrame) -> list[tuple[str, slice]]:
    """Each host and the position of its rows; a frame holds one host after the other."""
    codes = frame["host"].cat.codes.to_numpy()
    edges = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
    names = frame["host"].cat.categories
    return [
        (str(names[codes[first]]), slice(first, last))
        for first, last in pairwise(edges)
        if last > first
    ]


def sums_by_pair(
    frame: pd.DataFrame, keys: tuple[str, str], seconds: str, peak: str
) -> Iterator[tuple[str, str, float, float]]:
    """For each pair of values in two columns: both values, the unit-seconds, the highest peak."""
    grouped = frame.groupby(list(keys), observed=True, sort=False)
    table = grouped.agg({seconds: "sum", peak: "max"})
    for (one, other), used, most in zip(
        table.index, table[seconds].tolist(), table[peak].tolist(), strict=True
    ):
        yield str(one), str(other), used, most
