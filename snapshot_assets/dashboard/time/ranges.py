"""A range of time that a person chose: whole buckets, or the latest hours and days by name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS, bucket_start

_HOUR = 3_600

# Ranges that end now, by name, in seconds.
QUICK: Mapping[str, int] = {
    "1h": _HOUR,
    "3h": 3 * _HOUR,
    "6h": 6 * _HOUR,
    "12h": 12 * _HOUR,
    "24h": 24 * _HOUR,
    "2d": 2 * DAY_SECONDS,
    "7d": 7 * DAY_SECONDS,
    "14d": 14 * DAY_SECONDS,
    "30d": 30 * DAY_SECONDS,
}


@dataclass(frozen=True, slots=True)
class TimeRange:
    """At least one whole bucket, from ``start`` (included) to ``end`` (excluded), epoch seconds."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.start % BUCKET_SECONDS or self.end % BUCKET_SECONDS or self.end <= self.start:
            raise ValueError(f"not a range of whole {BUCKET_SECONDS} s buckets: {self}")

    @classmethod
    def latest(cls, seconds: int, now: float) -> Self:
        """The range of this length that ends with the bucket that holds ``now``."""
        end = bucket_start(now) + BUCKET_SECONDS
        return cls(end - seconds, end)

    @property
    def seconds(self) -> int:
        """The length of the range."""
        return self.end - self.start

    @property
    def bounds(self) -> tuple[dt.datetime, dt.datetime]:
        """Start, included, and end, excluded, as the reader takes them."""
        start, end = (dt.datetime.fromtimestamp(t, dt.UTC) for t in (self.start, self.end))
        return start, end

    @property
    def last_bucket(self) -> int:
        """The start of the last bucket."""
        return self.end - BUCKET_SECONDS
