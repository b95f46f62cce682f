"""What documents add up to."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict

from snapshot_assets.dashboard.queries.grid import SECONDS_PER_HOUR
from snapshot_assets.dashboard.time.ranges import TimeRange
from snapshot_assets.domain.frames import OTHER
from snapshot_assets.domain.measures import Measure
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS
from snapshot_assets_tests.support.world import (
    World,
)

BUCKET = dt.timedelta(seconds=BUCKET_SECONDS)
UNITS: dict[Measure, str] = {"cpu": "cpu_norm", "mem": "rss"}
RANGES = [3_600, DAY_SECONDS, 7 * DAY_SECONDS, 90 * DAY_SECONDS]


def unit_hours(
    world: World, range_: TimeRange, measure: Measure
) -> dict[tuple[str, str, str], float]:
    """Core-hours or GB-hours by host, user and command, from nothing but the documents."""
    found: dict[tuple[str, str, str], float] = defaultdict(float)
    start, end = range_.bounds
    with world.reader() as reader:
        for documents in reader.get_data(None, start, end - BUCKET).values():
            for host, document in documents.items():
                hours = document["meta"]["coverage"] * BUCKET_SECONDS / SECONDS_PER_HOUR
                for entry in document[measure]["user"]:
                    key = host, entry["username"], entry["comm"]
                    found[key] += entry[UNITS[measure]] * hours
                other = document[measure]["other"][UNITS[measure]]
                found[host, OTHER, OTHER] += other * hours
    return found
