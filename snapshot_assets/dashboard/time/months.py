"""Local months: their names, such as ``2026-11``, and the ranges that they last."""

from __future__ import annotations

import datetime as dt
import re
from zoneinfo import ZoneInfo

from snapshot_assets.dashboard.time.clocks import YEARS, day_start
from snapshot_assets.dashboard.time.formats import MONTHS, quoted
from snapshot_assets.dashboard.time.ranges import TimeRange

_MONTH_TEXT = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


def month_range(month: str, zone: ZoneInfo) -> TimeRange:
    """The range of a local month, which is named like ``2026-11``.

    Raises:
        ValueError: the name has another form.
    """
    first = _first_of(month)
    return TimeRange(day_start(first, zone), day_start(_add_months(first, 1), zone))


def local_month(epoch_seconds: float, zone: ZoneInfo) -> str:
    """The local month of a time: ``2026-11``."""
    return f"{dt.datetime.fromtimestamp(epoch_seconds, zone):%Y-%m}"


def months_back(now: float, zone: ZoneInfo, count: int) -> list[str]:
    """This local month and those before it, ``count`` in all, newest first."""
    current = dt.datetime.fromtimestamp(now, zone).date().replace(day=1)
    return [f"{_add_months(current, -i):%Y-%m}" for i in range(count)]


def month_label(month: str) -> str:
    """``November 2026`` for ``2026-11``.

    Raises:
        ValueError: the name has another form.
    """
    first = _first_of(month)
    return f"{MONTHS[first.month - 1]} {first.year}"


def _add_months(first: dt.date, months: int) -> dt.date:
    """The first day of the month that is so many months later."""
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    return dt.date(year, month + 1, 1)


def _first_of(month: str) -> dt.date:
    found = _MONTH_TEXT.fullmatch(month)
    if not found or int(found[1]) not in YEARS:
        raise ValueError(f"{quoted(month)} is not a month; write, for example, 2026-11")
    return dt.date(int(found[1]), int(found[2]), 1)
