"""The names in Redis: every key, every field, and when each key expires.

Documents: one hash per bucket, a field per host; fixed, see docs/documents.md. Frames: see
docs/frames.md. No command belongs here.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from snapshot_assets.domain.hosts import file_name
from snapshot_assets.domain.measures import Resolution
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS, Window, bucket_iso

_NAMESPACE = "snapshot_assets:"

# Fields of a host's day in 5 minutes. All other fields are buckets, named by the time of day.
WHOLE_DAY = "day"
COVERED = "covered"
# This field of the state says that Redis has all settled days. Raise its number if a Redis that an
# older version filled has to be filled again from the lake: if names of keys or fields change, or
# if settled days lack something that readers need. A new version of a packed format does not need a
# new number, as long as readers can read the older versions (see snapshot_assets.store.packing).
COMPLETE = "complete:3"


@dataclass(frozen=True, slots=True)
class Retention:
    """How long Redis keeps each form after the end of its interval, in seconds.

    Attributes:
        documents: documents.
        frames: frames of 5 minutes.
        hours: summaries by hour.
        days: summaries by day.
    """

    documents: int = 30 * DAY_SECONDS
    frames: int = 90 * DAY_SECONDS
    hours: int = 180 * DAY_SECONDS
    days: int = 366 * DAY_SECONDS

    @classmethod
    def of_days(cls, documents: float, frames: float, hours: float, days: float) -> Self:
        """The retention in days; a coarser form is kept at least as long as a finer one."""
        kept, longest = [], 0
        for form in (documents, frames, hours, days):
            longest = max(longest, round(form * DAY_SECONDS))
            kept.append(longest)
        return cls(*kept)

    @property
    def longest(self) -> int:
        """The longest of the four."""
        return max(self.documents, self.frames, self.hours, self.days)

    def seconds_for(self, resolution: Resolution) -> int:
        """How long Redis keeps frames or summaries of this resolution, in seconds."""
        return {"5min": self.frames, "hour": self.hours, "day": self.days}[resolution]


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys under a prefix.

    The keys of a host's frames share a hash tag, so a cluster keeps these keys on one node, and one
    script can change all of them.

    Args:
        prefix: text in front of each key.
        retention: how long Redis keeps each form.
    """

    prefix: str
    retention: Retention

    def document(self, bucket: int) -> str:
        """The hash of the bucket that starts at this epoch second: host to document."""
        return f"{self.prefix}{bucket_iso(bucket)}"

    def frame(self, host: str, day: int) -> str:
        """The hash of a host's buckets on the UTC day that starts at this epoch second.

        Fields: :data:`WHOLE_DAY` and :data:`COVERED` once the day is settled as a whole, and a
        :func:`bucket_field` for each bucket that was written on its own since then.
        """
        return f"{self.prefix}{_NAMESPACE}{_tag(host)}:5min:{_date(day)}"

    def summary(self, host: str, resolution: Resolution, day: int) -> str:
        """The hash of a host's settled days in the month of this day: :func:`day_field` to text."""
        return f"{self.prefix}{_NAMESPACE}{_tag(host)}:{resolution}:{_date(day)[:7]}"

    def hosts_of_day(self, day: int) -> str:
        """The set of the hosts that ever had frames on this day."""
        return f"{self.prefix}{_NAMESPACE}hosts:{_date(day)}"

    def records(self, day: int) -> str:
        """The hash of the settled hosts of this day: host to what made its data.

        A host's record is written after the host's documents and frames, and removed before they
        are replaced. So a record never speaks for data that was written in part.
        """
        return f"{self.prefix}{_NAMESPACE}settled:{_date(day)}"

    @property
    def state(self) -> str:
        """The hash that says how far this Redis was filled.

        The key never expires, so a missing state means that Redis has lost its data.
        """
        return f"{self.prefix}{_NAMESPACE}state"

    @property
    def newest_snapshots(self) -> str:
        """The hash of each host's newest snapshot that the live path has read; never expires."""
        return f"{self.prefix}{_NAMESPACE}hosts"

    @property
    def arrivals(self) -> str:
        """The hash of when each host's newest snapshot arrived, about; never expires."""
        return f"{self.prefix}{_NAMESPACE}arrivals"

    def document_expiry(self, bucket: int) -> int:
        """When the documents of this bucket expire, epoch seconds."""
        return bucket + BUCKET_SECONDS + self.retention.documents

    def frame_expiry(self, day: int) -> int:
        """When a host's buckets of this day expire, epoch seconds."""
        return day + DAY_SECONDS + self.retention.frames

    def summary_expiry(self, resolution: Resolution, day: int) -> int:
        """When a host's month of summaries expires, epoch seconds: with the month's last day."""
        month = dt.datetime.fromtimestamp(day, dt.UTC).replace(day=1)
        following = (month + dt.timedelta(days=31)).replace(day=1)
        return int(following.timestamp()) + self.retention.seconds_for(resolution)

    def retains(self, end: int, now: float) -> bool:
        """Whether Redis keeps some form of a day that ends at this epoch second."""
        return end + self.retention.longest > now

    def hosts_expiry(self, day: int) -> int:
        """When this day's hosts and records expire, epoch seconds: after all frames of the day."""
        return day + 32 * DAY_SECONDS + self.retention.longest


def bucket_field(bucket: int) -> str:
    """The field of a bucket in its day: ``12:05``."""
    return bucket_iso(bucket)[11:16]


def day_field(day: int) -> str:
    """The field of a day in its month: ``22``."""
    return _date(day)[8:]


def day_of(bucket: int) -> int:
    """The epoch second at which the bucket's UTC day starts."""
    return bucket // DAY_SECONDS * DAY_SECONDS


def days_of(window: Window) -> range:
    """The UTC days that a window touches, as the epoch seconds at which the days start."""
    return range(day_of(window.start), window.end, DAY_SECONDS)


@lru_cache(maxsize=4096)
def _tag(host: str) -> str:
    return f"{{{file_name(host)}}}"


def _date(day: int) -> str:
    return bucket_iso(day)[:10]
