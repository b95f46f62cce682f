"""What is called how in Redis: every key, every field, and until when each is kept.

Documents: one hash per bucket, a field per host; fixed, see docs/documents.md. Frames: see
docs/frames.md. No command belongs here.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache

from snapshot_assets.domain.hosts import file_name
from snapshot_assets.domain.summary import Resolution
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS, Window, bucket_iso

_NAMESPACE = "snapshot_assets:"

# Fields of a host's day in 5 minutes; its other fields are buckets, by their time of day.
WHOLE_DAY = "day"
COVERED = "covered"
# Field of the state: all settled days are here. Its number goes up when a Redis that an older
# version filled has to be filled again from the lake: when keys or fields are called otherwise, or
# when settled days lack something that readers need. A new version of a packed layout is no such
# case as long as the older ones can be read (see snapshot_assets.store.packing).
COMPLETE = "complete:2"


@dataclass(frozen=True, slots=True)
class Retention:
    """How long after its end each form is kept, in seconds.

    Attributes:
        documents: the documents, 5 minutes each.
        frames: frames at 5 minutes.
        hours: frames at an hour.
        days: frames at a day.
    """

    documents: int = 30 * DAY_SECONDS
    frames: int = 90 * DAY_SECONDS
    hours: int = 180 * DAY_SECONDS
    days: int = 366 * DAY_SECONDS

    @property
    def longest(self) -> int:
        """The longest of all."""
        return max(self.documents, self.frames, self.hours, self.days)

    def of(self, resolution: Resolution) -> int:
        """How long the frames of this resolution are kept."""
        return {"5min": self.frames, "hour": self.hours, "day": self.days}[resolution]


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys under a prefix.

    Keys of one host's frames share a hash tag, so that a cluster keeps them on one node and they
    can change together.

    Args:
        prefix: put before each key.
        retention: how long each form is kept.
    """

    prefix: str
    retention: Retention

    def document(self, bucket: int) -> str:
        """The documents of the bucket that starts at this epoch second: host to JSON."""
        return f"{self.prefix}{bucket_iso(bucket)}"

    def frame(self, host: str, day: int) -> str:
        """A host's 5 minutes on the UTC day that starts at this epoch second.

        Fields: :data:`WHOLE_DAY` and :data:`COVERED` once it is settled as a whole, and buckets by
        :func:`bucket_field` that are newer than it.
        """
        return f"{self.prefix}{_NAMESPACE}{_tag(host)}:5min:{_date(day)}"

    def summary(self, host: str, resolution: Resolution, day: int) -> str:
        """A host's settled days in the month of this day; fields by :func:`day_field`."""
        return f"{self.prefix}{_NAMESPACE}{_tag(host)}:{resolution}:{_date(day)[:7]}"

    def hosts_of_day(self, day: int) -> str:
        """A set: the hosts that had frames on this day at some time."""
        return f"{self.prefix}{_NAMESPACE}hosts:{_date(day)}"

    @property
    def state(self) -> str:
        """How far this Redis was filled; never expires, so that losing it means losing all."""
        return f"{self.prefix}{_NAMESPACE}state"

    @property
    def newest_snapshots(self) -> str:
        """Each host's newest snapshot that the live path has seen; never expires either."""
        return f"{self.prefix}{_NAMESPACE}hosts"

    def document_expiry(self, bucket: int) -> int:
        """When the documents of this bucket go, epoch seconds."""
        return bucket + BUCKET_SECONDS + self.retention.documents

    def frame_expiry(self, day: int) -> int:
        """When a host's 5 minutes of this day go."""
        return day + DAY_SECONDS + self.retention.frames

    def summary_expiry(self, resolution: Resolution, day: int) -> int:
        """When a host's month of summaries goes: when its last day may."""
        month = dt.datetime.fromtimestamp(day, dt.UTC).replace(day=1)
        following = (month + dt.timedelta(days=31)).replace(day=1)
        return int(following.timestamp()) + self.retention.of(resolution)

    def hosts_expiry(self, day: int) -> int:
        """When the set of this day's hosts goes: after everything that it points to."""
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
    """The epoch seconds at which the UTC days that a window touches start."""
    return range(day_of(window.start), window.end, DAY_SECONDS)


@lru_cache(maxsize=4096)
def _tag(host: str) -> str:
    return f"{{{file_name(host)}}}"


def _date(day: int) -> str:
    return bucket_iso(day)[:10]
