"""What is measured, at which resolutions, and by whom it can be broken down: names and units.

Plain values, so that a reader of documents loads neither numpy nor pandas. No computation belongs
here.
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
# A document as JSON has it; what is in it: docs/documents.md.
Document: TypeAlias = dict[str, Any]

MEASURES: tuple[Measure, ...] = ("cpu", "mem")
# Numbers of a bucket that are kept with it and never added up, in the order of a document's meta.
COUNTS: tuple[Count, ...] = ("snapshots",)
STEP_SECONDS: Mapping[Resolution, int] = {"5min": BUCKET_SECONDS, "hour": 3_600, "day": DAY_SECONDS}
# By whom usage is broken down: users and commands have peaks of their own, which those of their
# pairs do not give.
GROUPINGS: tuple[Grouping, ...] = (("username", "comm"), ("username",), ("comm",))
# Charts of a few hundred points: a week, a quarter.
_AUTO_5MIN_SECONDS = 2 * DAY_SECONDS
_AUTO_HOUR_SECONDS = 45 * DAY_SECONDS


def resolution_for(seconds: float) -> Resolution:
    """The resolution that shows a range of this length in some hundred points."""
    if seconds <= _AUTO_5MIN_SECONDS:
        return "5min"
    return "hour" if seconds <= _AUTO_HOUR_SECONDS else "day"
