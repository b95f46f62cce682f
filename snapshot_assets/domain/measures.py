"""The measures, the resolutions and the groupings: names and units.

Plain values only, so that a reader of documents loads neither numpy nor pandas. The one computation
is the choice of a resolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS

Stage = Literal["live", "settled"]
Measure = Literal["cpu", "mem"]
Count = Literal["snapshots"]
Resolution = Literal["5min", "hour", "day"]
Owner: TypeAlias = tuple[str, str]
Grouping: TypeAlias = tuple[str, ...]
# A document as parsed JSON; docs/documents.md describes its format.
Document: TypeAlias = dict[str, Any]

MEASURES: tuple[Measure, ...] = ("cpu", "mem")
# Numbers of a bucket that are never added up, in the order of a document's meta.
COUNTS: tuple[Count, ...] = ("snapshots",)
STEP_SECONDS: Mapping[Resolution, int] = {"5min": BUCKET_SECONDS, "hour": 3_600, "day": DAY_SECONDS}
# What usage is broken down by. The peak of a user or of a command does not follow from the peaks of
# (username, comm) pairs, so each grouping has peaks of its own.
GROUPINGS: tuple[Grouping, ...] = (("username", "comm"), ("username",), ("comm",))
# A chart of 5 minutes has at most 576 points, and a chart of hours at most 1,080.
_AUTO_5MIN_SECONDS = 2 * DAY_SECONDS
_AUTO_HOUR_SECONDS = 45 * DAY_SECONDS


def resolution_for(seconds: float) -> Resolution:
    """The resolution for a range of this many seconds: finer for short ranges.

    Up to 2 days in buckets of 5 minutes, up to 45 days in hours, longer ranges in days.
    """
    if seconds <= _AUTO_5MIN_SECONDS:
        return "5min"
    return "hour" if seconds <= _AUTO_HOUR_SECONDS else "day"
