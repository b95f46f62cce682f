"""What one user used in a month, by host and command."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from snapshot_assets.dashboard.queries.frames import sums_by_pair
from snapshot_assets.dashboard.queries.grid import SECONDS_PER_HOUR
from snapshot_assets.dashboard.time.months import month_range
from snapshot_assets.dashboard.time.ranges import TimeRange
from snapshot_assets.domain.frames import COLUMNS, OTHER
from snapshot_assets.domain.time import BUCKET_SECONDS, bucket_start
from snapshot_assets.store.reading.reader import RedisReader

_UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementLine:
    """What one user used on one host with one command."""

    host: str
    command: str
    core_hours: float
    gb_hours: float
    cores_peak: float
    gb_peak: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One user's month.

    Attributes:
        user: the user; None if the viewer has not chosen one.
        month: ``2026-11``.
        range: the month, or its part up to now.
        zone: of the month's borders: the viewer's, or UTC if Redis keeps only whole UTC days.
        lines: by host and command, most core-hours first.
        users: everybody listed by name in that month.
        settled: whether the month is over and all of its buckets are settled.
        kept: whether Redis still keeps all of the month.
    """

    user: str | None
    month: str
    range: TimeRange
    zone: ZoneInfo
    lines: list[StatementLine]
    users: list[str]
    settled: bool
    kept: bool


def statement(
    reader: RedisReader, user: str | None, month: str, zone: ZoneInfo, now: float
) -> Statement:
    """What a user used in a month, by host and command; adds up to the buckets.

    The month begins and ends at the viewer's midnight as long as Redis keeps its 5-minute frames.
    After that Redis keeps only whole UTC days, and the month begins and ends at midnight UTC.

    Raises:
        StoreError: the reader's.
    """
    retention = reader.keys.retention
    whole = month_range(month, zone)
    if whole.start < now - retention.frames:
        zone = _UTC
        whole = month_range(month, _UTC)
    until = bucket_start(now) + BUCKET_SECONDS
    if whole.start >= until:
        return Statement(
            user=user,
            month=month,
            range=whole,
            zone=zone,
            lines=[],
            users=[],
            settled=False,
            kept=True,
        )
    range_ = TimeRange(whole.start, min(whole.end, until))
    frames = reader.get_frames(
        None,
        *range_.bounds,
        by=("username", "comm"),
        resolution="day",
    )
    listed = {m: frame[frame["username"] != OTHER] for m, frame in frames.items()}
    users = sorted({str(u) for frame in listed.values() for u in frame["username"].unique()})
    mine = {m: frame[frame["username"] == user] for m, frame in listed.items()}
    sums: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for measure, frame in mine.items():
        _, peak, seconds = COLUMNS[measure]
        for host, comm, used, most in sums_by_pair(frame, ("host", "comm"), seconds, peak):
            amounts = sums[host, comm]
            amounts[seconds], amounts[peak] = used, most
    lines = [
        StatementLine(
            host=host,
            command=comm,
            core_hours=used["core_seconds"] / SECONDS_PER_HOUR,
            gb_hours=used["gb_seconds"] / SECONDS_PER_HOUR,
            cores_peak=used["cores_peak"],
            gb_peak=used["gb_peak"],
        )
        for (host, comm), used in sums.items()
    ]
    lines.sort(key=lambda line: (-line.core_hours, -line.gb_hours, line.host, line.command))
    return Statement(
        user=user,
        month=month,
        range=range_,
        zone=zone,
        lines=lines,
        users=users,
        settled=bool(frames["cpu"]["settled"].all()) and range_.end == whole.end,
        kept=whole.start >= now - retention.days,
    )
