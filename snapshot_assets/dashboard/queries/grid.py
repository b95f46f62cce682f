"""The even intervals that a range of time is laid on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from snapshot_assets.dashboard.time.ranges import TimeRange
from snapshot_assets.domain.measures import STEP_SECONDS, Resolution, resolution_for

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Ints: TypeAlias = npt.NDArray[np.int64]

SECONDS_PER_HOUR = 3_600


@dataclass(frozen=True, slots=True)
class Grid:
    """Even intervals that hold a range.

    Attributes:
        start: epoch second at which the first interval starts.
        step: length of each interval, seconds.
        count: number of intervals.
    """

    start: int
    step: int
    count: int

    @classmethod
    def over(cls, range_: TimeRange) -> Grid:
        """The grid of the resolution that suits the range's length."""
        step = STEP_SECONDS[resolution_for(range_.seconds)]
        first = range_.start // step * step
        return cls(first, step, -(-(range_.end - first) // step))

    @property
    def resolution(self) -> Resolution:
        """The reader's name of the step."""
        (name,) = [name for name, step in STEP_SECONDS.items() if step == self.step]
        return name

    @property
    def end(self) -> int:
        """The epoch second at which the last interval ends."""
        return self.start + self.count * self.step

    def positions(self, frame: pd.DataFrame) -> Ints:
        """The index of the interval in which each row of a frame lies."""
        starts = frame["start"].dt.as_unit("s").astype("int64").to_numpy()
        found: Ints = (starts - self.start) // self.step
        return found
