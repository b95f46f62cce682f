"""The one definition of time: UTC epoch seconds, 5-minute buckets, half-open windows.

A *bucket* is named by its start: ``[start, start + 300)``. A *window* is a half-open range of whole
buckets. Other modules take a bucket's length from :data:`BUCKET_SECONDS` and its name from
:func:`bucket_iso`. :mod:`snapshot_assets.domain.accounting` assigns whole arrays of times to
buckets.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

BUCKET_SECONDS = 300
DAY_SECONDS = 86_400


def bucket_start(epoch_seconds: float) -> int:
    """The start of the bucket that holds this time, epoch seconds."""
    return math.floor(epoch_seconds / BUCKET_SECONDS) * BUCKET_SECONDS


@lru_cache(maxsize=20_000)
def bucket_iso(start: int) -> str:
    """``2026-11-22T12:05:00+00:00``: the bucket's name in Redis keys and in documents."""
    return dt.datetime.fromtimestamp(start, dt.UTC).isoformat()


def epoch(time: dt.datetime, argument: str = "time") -> float:
    """Epoch seconds of an aware datetime.

    Args:
        time: the datetime.
        argument: what the caller's argument is called, for the error.

    Raises:
        ValueError: the datetime is naive. Its time zone is not guessed, because a wrong guess
            shifts the result by hours.
    """
    if time.tzinfo is None or time.utcoffset() is None:
        raise ValueError(
            f"{argument} {time.isoformat()} has no time zone: pass an aware datetime, "
            "for example datetime(2026, 11, 22, 12, tzinfo=timezone.utc)"
        )
    return time.timestamp()


@dataclass(frozen=True, slots=True)
class Window:
    """Whole buckets from ``start`` (included) to ``end`` (excluded), in epoch seconds UTC."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.start % BUCKET_SECONDS or self.end % BUCKET_SECONDS or self.end < self.start:
            raise ValueError(f"not a window of whole {BUCKET_SECONDS} s buckets: {self}")

    @classmethod
    def of_day(cls, day: dt.date) -> Self:
        """The 288 buckets of a UTC day."""
        midnight = dt.datetime.combine(day, dt.time(), dt.UTC)
        start = int(midnight.timestamp())
        return cls(start, start + DAY_SECONDS)

    @classmethod
    def around(cls, first: float, last: float) -> Self:
        """The smallest window that holds both times."""
        return cls(bucket_start(first), bucket_start(last) + BUCKET_SECONDS)

    def buckets(self) -> range:
        """The starts of the window's buckets, ascending."""
        return range(self.start, self.end, BUCKET_SECONDS)

    def days(self) -> list[dt.date]:
        """The UTC days that the window touches, ascending."""
        first, last = (
            dt.datetime.fromtimestamp(epoch_seconds, dt.UTC).date()
            for epoch_seconds in (self.start, self.end - 1)
        )
        return [first + dt.timedelta(days=i) for i in range((last - first).days + 1)]

    def slices(self, seconds: int) -> Iterator[Self]:
        """Consecutive parts of the window, each at most ``seconds`` long (a multiple of 300)."""
        for start in range(self.start, self.end, seconds):
            yield type(self)(start, min(start + seconds, self.end))

    def encode(self, starts: Iterable[int]) -> str:
        """Some of the window's buckets as a short text: one bit for each bucket, in hexadecimal."""
        return f"{sum(1 << ((start - self.start) // BUCKET_SECONDS) for start in set(starts)):x}"

    def decode(self, text: str) -> list[int]:
        """The inverse of :meth:`encode`: bucket starts, ascending."""
        bits = int(text, 16)
        return [start for i, start in enumerate(self.buckets()) if bits >> i & 1]

    def __str__(self) -> str:
        return f"[{bucket_iso(self.start)}, {bucket_iso(self.end)})"
