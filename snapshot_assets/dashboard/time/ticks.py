"""The marks of a time axis, at round local times."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple
from zoneinfo import ZoneInfo

from snapshot_assets.dashboard.time.clocks import (
    first_occurrence,
    local_dates,
    occurrences,
    wall_time,
)
from snapshot_assets.dashboard.time.formats import MONTHS, WEEKDAYS, abbreviation, day_month
from snapshot_assets.domain.time import DAY_SECONDS

_MINUTE = 60
_HOUR = 3_600


class Tick(NamedTuple):
    """A mark on a time axis: epoch second and label, whose lines are separated by ``<br>``."""

    at: int
    label: str


def ticks(start: int, end: int, zone: ZoneInfo, count: int = 6) -> list[Tick]:
    """Marks for a time axis, at round local times, ascending.

    Args:
        start: first epoch second of the axis.
        end: last one, included.
        zone: whose clock and calendar.
        count: about how many; never more than twice as many.
    """
    wanted = max(count, 1)
    for step in sorted(_STEPS, key=lambda step: abs(math.log(_ratio(start, end, step, wanted)))):
        times = sorted({at for at in step.times(start, end, zone) if start <= at <= end})
        if 0 < len(times) <= 2 * wanted:
            return step.labelled(start, times, zone)
    return []


@dataclass(frozen=True, slots=True)
class _Times:
    """Ticks at round times of the day."""

    seconds: int

    @property
    def length(self) -> int:
        return self.seconds

    def times(self, start: int, end: int, zone: ZoneInfo) -> Iterator[int]:
        for day in local_dates(start, end, zone):
            midnight = dt.datetime.combine(day, dt.time())
            # A day that has no midnight is marked where it begins.
            yield first_occurrence(midnight, zone)
            for passed in range(0, DAY_SECONDS, self.seconds):
                shown = occurrences(midnight + dt.timedelta(seconds=passed), zone)
                # A repeated hour has marks of its own only where there is one for each hour.
                yield from shown if self.seconds <= _HOUR else shown[:1]

    def labelled(self, start: int, times: list[int], zone: ZoneInfo) -> list[Tick]:
        found: list[Tick] = []
        before = dt.datetime.fromtimestamp(start, zone)
        offset, year = before.utcoffset(), None
        marked = None  # the newest day whose date is on the axis
        for at in times:
            local = dt.datetime.fromtimestamp(at, zone)
            wall = local.replace(tzinfo=None, fold=0)
            if wall.time() == dt.time() and marked != wall.date():
                label = f"{WEEKDAYS[wall.weekday()]} {day_month(wall)}"
                if year != wall.year:
                    label = f"{label}<br>{wall.year}"
            else:
                label = f"{wall:%H:%M}"
                if local.utcoffset() != offset or len(occurrences(wall, zone)) > 1:
                    label = f"{label} {abbreviation(local)}"
                offset = local.utcoffset()
                if not found:
                    label = f"{label}<br>{day_month(wall)} {wall.year}"
                elif at == first_occurrence(dt.datetime.combine(wall, dt.time()), zone):
                    label = f"{label}<br>{WEEKDAYS[wall.weekday()]} {day_month(wall)}"
            found.append(Tick(at, label))
            marked, year = max(marked or wall.date(), wall.date()), wall.year
        return found


@dataclass(frozen=True, slots=True)
class _Days:
    """Ticks at the beginning of local days; weeks begin on Mondays."""

    days: int

    @property
    def length(self) -> int:
        return self.days * DAY_SECONDS

    def times(self, start: int, end: int, zone: ZoneInfo) -> Iterator[int]:
        for day in local_dates(start, end, zone):
            # Day 1 of the calendar was a Monday.
            if (day.toordinal() - 1) % self.days == 0:
                at = first_occurrence(dt.datetime.combine(day, dt.time()), zone)
                if wall_time(at, zone).date() == day:
                    yield at

    def labelled(self, start: int, times: list[int], zone: ZoneInfo) -> list[Tick]:
        found, year = [], None
        for at in times:
            wall = wall_time(at, zone)
            label = f"{WEEKDAYS[wall.weekday()]} {day_month(wall)}"
            found.append(Tick(at, label if wall.year == year else f"{label}<br>{wall.year}"))
            year = wall.year
        return found


@dataclass(frozen=True, slots=True)
class _Months:
    """Ticks at the beginning of local months, or of years."""

    months: int

    @property
    def length(self) -> int:
        return self.months * DAY_SECONDS * 365 // 12

    def times(self, start: int, end: int, zone: ZoneInfo) -> Iterator[int]:
        first, last = (wall_time(time, zone) for time in (start, end))
        numbers = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
        for number in numbers:
            if number % self.months == 0:
                first_day = dt.date(number // 12, number % 12 + 1, 1)
                yield first_occurrence(dt.datetime.combine(first_day, dt.time()), zone)

    def labelled(self, start: int, times: list[int], zone: ZoneInfo) -> list[Tick]:
        found, year = [], None
        for at in times:
            wall = wall_time(at, zone)
            label = MONTHS[wall.month - 1][:3]
            if self.months % 12 == 0:
                label = f"{wall.year}"
            elif wall.year != year:
                label = f"{label}<br>{wall.year}"
            found.append(Tick(at, label))
            year = wall.year
        return found


_STEPS: tuple[_Times | _Days | _Months, ...] = (
    *(_Times(minutes * _MINUTE) for minutes in (5, 10, 15, 30)),
    *(_Times(hours * _HOUR) for hours in (1, 2, 3, 6, 12)),
    *(_Days(days) for days in (1, 2, 7, 14)),
    *(_Months(months) for months in (1, 2, 3, 6)),
    *(_Months(years * 12) for years in (1, 2, 5, 10, 20, 50, 100)),
)


def _ratio(start: int, end: int, step: _Times | _Days | _Months, wanted: int) -> float:
    """How many times too many ticks there are with this step."""
    return max(end - start, 1) / step.length / wanted
