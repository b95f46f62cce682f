"""Zones whose clocks change in odd ways, and times near those changes."""

from __future__ import annotations

import datetime as dt
from functools import cache
from zoneinfo import ZoneInfo

from hypothesis import assume
from hypothesis import strategies as st

from snapshot_assets.dashboard.time.zones import zone_names
from snapshot_assets.domain.time import DAY_SECONDS, bucket_start

BERLIN = ZoneInfo("Europe/Berlin")
SANTIAGO = ZoneInfo("America/Santiago")
HOUR = 3_600
# An hour at 02:00, at midnight, in the south; by half an hour, by two; a winter that is the
# exception; a whole day that was skipped; quarters of an hour; seconds.
TRICKY = (
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "America/Havana",
    "America/St_Johns",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/Monrovia",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Pacific/Apia",
    "Pacific/Chatham",
    "UTC",
)


def at(text: str, zone: ZoneInfo = BERLIN) -> int:
    """An aware ISO time, or one of the zone that exists once."""
    moment = dt.datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp())


@cache
def changes(name: str, year: int) -> tuple[int, ...]:
    """The moments of a year at which a zone's offset changes."""
    zone, found = ZoneInfo(name), []

    def offset(moment: int) -> dt.timedelta | None:
        return dt.datetime.fromtimestamp(moment, zone).utcoffset()

    first = at(f"{year}-01-01T00:00+00:00")
    for day in range(first, first + 366 * DAY_SECONDS, DAY_SECONDS):
        low, high = day, day + DAY_SECONDS
        if offset(low) == offset(high):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
        found.append(high)
    return tuple(found)


@st.composite
def zones_and_buckets(
    draw: st.DrawFn, first_year: int = 1971, last_year: int = 2150
) -> tuple[ZoneInfo, int]:
    """Half of them anywhere, half of them near a change of the clocks."""
    year = draw(st.integers(first_year, last_year))
    if draw(st.booleans()):
        name = draw(st.sampled_from(TRICKY))
        near = changes(name, year)
        assume(near)
        moment = draw(st.sampled_from(near)) + draw(st.integers(-4 * HOUR, 4 * HOUR))
    else:
        name = draw(st.sampled_from(zone_names()))
        moment = at(f"{year}-01-02T00:00+00:00") + draw(st.integers(0, 363 * DAY_SECONDS))
    return ZoneInfo(name), bucket_start(moment)
