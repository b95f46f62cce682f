"""Whether the two columns of time agree: the epoch, and the naive local time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from statistics import median
from zoneinfo import ZoneInfo

from snapshot_assets.cli.doctor.finding import Finding
from snapshot_assets.source.looking import LocalTimes

# A snapshot takes a while, and its two times are not read at once.
_TOLERANCE_SECONDS = 120
_STEP_SECONDS = 900
_WEST_SECONDS, _EAST_SECONDS = -12 * 3_600, 14 * 3_600


def zone_findings(host: str, times: LocalTimes, zone: ZoneInfo | None) -> Iterator[Finding]:
    """What disagrees between both columns.

    Args:
        host: the host of the rows.
        times: its local times, compared with its epochs.
        zone: the zone that the settings name; None if they name none.
    """
    if zone is not None and times.missing:
        yield Finding(
            "warning",
            "local time",
            f"{host} has {times.missing:,} rows without snapshot_datetime in an hour",
            "they are read all the same; let the collector fill the column, or remove "
            "SNAPSHOT_SOURCE_TIMEZONE and create an index on the epoch",
        )
    if times.unreadable is not None:
        yield Finding(
            "warning",
            "local time",
            f"{host} has a snapshot_datetime that is no date with a time: {times.unreadable!r}",
            "the epoch decides; let the collector write such as 2026-11-20 12:05:00",
        )
    if not times.offsets:
        return
    typical = median(times.offsets)
    if not _is_zone(typical):
        reads = _WEST_SECONDS <= typical <= _EAST_SECONDS
        yield Finding(
            "warning" if reads or zone is None else "error",
            "local time",
            f"on {host}, snapshot_datetime and the epoch disagree by {_hours(typical)}, which is "
            "no zone: one of the two is wrong",
            "see which one; the epoch decides"
            + ("" if reads else ", and rows more than a day apart are not read"),
        )
    elif zone is not None:
        expected = [_offset(zone, epoch) for epoch in times.epochs]
        wrong = sum(
            abs(offset - known) > _TOLERANCE_SECONDS
            for offset, known in zip(times.offsets, expected, strict=True)
        )
        if wrong:
            yield Finding(
                "warning",
                "local time",
                f"{host} writes the local time of UTC{_hours(typical)}, and "
                f"SNAPSHOT_SOURCE_TIMEZONE {zone.key} is UTC{_hours(median(expected))} then",
                "no row is lost, as the epoch decides; set the zone that most hosts write, so that "
                "the index serves",
            )


def _is_zone(offset: float) -> bool:
    step = round(offset / _STEP_SECONDS) * _STEP_SECONDS
    near = abs(offset - step) <= _TOLERANCE_SECONDS
    return near and _WEST_SECONDS <= step <= _EAST_SECONDS


def _offset(zone: ZoneInfo, epoch: float) -> float:
    offset = dt.datetime.fromtimestamp(epoch, zone).utcoffset()
    return offset.total_seconds() if offset is not None else 0.0


def _hours(seconds: float) -> str:
    """An offset as ``+01:00``; seconds only if there are any."""
    sign, rest = "-" if seconds < 0 else "+", abs(round(seconds / 60))
    return f"{sign}{rest // 60:02d}:{rest % 60:02d}"
