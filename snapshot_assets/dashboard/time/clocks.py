"""Conversion between a zone's wall clock and epoch seconds.

Local time skips an hour in spring and repeats one in autumn, in some zones at midnight or by half
an hour, and some places have skipped a whole day.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from snapshot_assets.domain.time import bucket_start

# 1970 lies at the edge of the epoch. After 2200 no zone has known rules.
YEARS = range(1971, 2201)


def wall_time(epoch: float, zone: ZoneInfo) -> dt.datetime:
    """The time that the clocks of a zone show, as a naive datetime."""
    return dt.datetime.fromtimestamp(epoch, zone).replace(tzinfo=None, fold=0)


def epoch_seconds(wall: dt.datetime, zone: ZoneInfo, fold: int = 0) -> int:
    """When the clocks show this, for the first (fold 0) or the second (fold 1) time.

    If the clocks skip it, fold 1 gives a time before the jump, fold 0 a time after the jump.
    """
    return int(wall.replace(tzinfo=zone, fold=fold).timestamp())


def occurrences(wall: dt.datetime, zone: ZoneInfo) -> list[int]:
    """All times at which the clocks show this: none, one or two, ascending."""
    both = {epoch_seconds(wall, zone, fold) for fold in (0, 1)}
    return sorted(at for at in both if wall_time(at, zone) == wall)


def first_occurrence(wall: dt.datetime, zone: ZoneInfo) -> int:
    """When the clocks first show this; if they skip it, when they jump."""
    at = epoch_seconds(wall, zone)
    if wall_time(at, zone) == wall:
        return at
    span = range(epoch_seconds(wall, zone, 1), at + 1)
    return span[bisect_left(span, True, key=lambda time: wall_time(time, zone) >= wall)]


def day_start(day: dt.date, zone: ZoneInfo) -> int:
    """The first bucket of a local day, also of a day without a midnight."""
    # Rounded: before 1972 Liberia was 44 minutes and 30 seconds behind.
    return bucket_start(first_occurrence(dt.datetime.combine(day, dt.time()), zone))


def local_dates(start: int, end: int, zone: ZoneInfo) -> Iterator[dt.date]:
    """The local dates that a range touches, and one more at each side."""
    first, last = (wall_time(time, zone).date() for time in (start, end))
    for i in range(-1, (last - first).days + 2):
        yield first + dt.timedelta(days=i)
