"""The conditions of queries on time: the epoch decides, and the local time narrows the scan.

Many tables have an index on a naive local ``snapshot_datetime`` alone. The epoch decides which rows
are read; the local time only spares the database most of the others. Nobody can rely on its zone:
clocks are set twice a year, and hosts write the time of other zones. The conditions therefore hold
for every zone, for rows without a local time, and for local times that cannot be.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from snapshot_assets.domain.time import epoch
from snapshot_assets.source.database import bound_text
from snapshot_assets.source.readable import DeclaredType

# Every zone on Earth is between UTC-12 and UTC+14.
_WEST, _EAST = dt.timedelta(hours=-12), dt.timedelta(hours=14)
# No snapshot was taken outside these years. Such a local time says nothing about the epoch.
_Bounds = tuple[str | None, str | None]
_NO_TIMES: tuple[_Bounds, ...] = ((None, "1971-01-01"), ("2100-01-01", None))

Instant = dt.datetime | int | float


def seconds_of(instant: Instant) -> float:
    """Epoch seconds of an aware datetime, or of epoch seconds.

    Raises:
        ValueError: the datetime is naive.
    """
    return epoch(instant) if isinstance(instant, dt.datetime) else float(instant)


def between(time: sa.ColumnElement[Any], first: float, last: float) -> list[sa.ColumnElement[bool]]:
    """The conditions that a column of epoch seconds lies in ``[first, last)``."""
    return [time >= _number(first), time < _number(last)]


def within_any_zone(
    local: sa.ColumnElement[Any], declared: DeclaredType, first: float, last: float
) -> sa.ColumnElement[bool] | None:
    """A condition that holds for each row of ``[first, last)``, whatever zone its host writes.

    An index on the column can serve the condition: it is a few ranges of it.

    Args:
        local: the column with the naive local time.
        declared: its type in the database. Of texts, only dates in ISO 8601 are left out.
        first: epoch seconds.
        last: epoch seconds.

    Returns:
        The condition; None if the column is of another type, and so cannot narrow.
    """
    low = dt.datetime.fromtimestamp(first, dt.UTC).replace(tzinfo=None, microsecond=0) + _WEST
    high = dt.datetime.fromtimestamp(last, dt.UTC).replace(tzinfo=None, microsecond=0) + _EAST
    if declared == "datetime":
        high += dt.timedelta(seconds=1)
        kept = [(low.isoformat(" "), high.isoformat(" ")), *_NO_TIMES]
    elif declared in ("date", "text", "dynamic"):
        # Whole days: "2026-11-20" comes before "2026-11-20 00:00" and "2026-11-20T00:00".
        days = str(low.date()), str(high.date() + dt.timedelta(days=1))
        kept = [days, *(_NO_TIMES if declared == "date" else _not_iso(low.year, high.year))]
    else:
        return None
    ranges: list[sa.ColumnElement[Any]] = [_within(local, *bounds) for bounds in kept]
    if declared == "dynamic":
        # SQLite takes each range for a quarter of the table, and would look at the whole table.
        ranges = [sa.func.unlikely(one) for one in ranges]
    return sa.or_(local.is_(None), *ranges)


def _not_iso(*years: int) -> Iterator[_Bounds]:
    """Where texts sort that are no ISO dates: 20.11.2026, 2026/11/20, 20:15:00, or numbers."""
    yield None, "200"
    yield "20:", "20;"
    yield "21", None
    for year in set(years):
        yield f"{year}.", f"{year + 1}-"  # a point is the character after the hyphen


def _within(
    local: sa.ColumnElement[Any], low: str | None, high: str | None
) -> sa.ColumnElement[bool]:
    """Whether the column lies in ``[low, high)``; without a bound where that is None."""
    bounds = [] if low is None else [local >= bound_text(low)]
    return sa.and_(*bounds, *([] if high is None else [local < bound_text(high)]))


def _number(seconds: float) -> int | float:
    """Whole seconds as an integer, so that an integer column is compared with an integer."""
    return int(seconds) if seconds == int(seconds) else seconds
