"""Times as people type them into a field: parsed, and formatted so that they parse again."""

from __future__ import annotations

import datetime as dt
import re
from zoneinfo import ZoneInfo

from snapshot_assets.dashboard.time.clocks import (
    YEARS,
    epoch_seconds,
    first_occurrence,
    occurrences,
    wall_time,
)
from snapshot_assets.dashboard.time.formats import abbreviation, quoted
from snapshot_assets.domain.time import bucket_start

_LONGEST_TIME = 80
_TIME_TEXT = re.compile(
    r"(?:(?P<iso>[0-9]{4}-[0-9]{1,2}-[0-9]{1,2})|(?P<dotted>[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}))?"
    r"(?:(?:^|[Tt]|,? +)(?P<time>[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?))?"
    r" *(?P<name>[A-Za-z]*)(?P<offset>[+-][0-9]{1,2}(?::?[0-9]{2})?)?"
)
_UTC_NAMES = {"utc", "gmt", "z"}


def parse_local(text: str, zone: ZoneInfo, *, today: dt.date | None = None) -> int:
    """The epoch second of a typed time, rounded down to the start of its bucket.

    The forms are ``2026-11-22 14:30``, ``2026-11-22T14:30``, ``22.11.2026 14:30``, and a date
    alone, which means the start of that local day. UTC, an offset like ``+01:00`` or the
    zone's own abbreviation may follow. Without one of these, a local time that exists twice means
    the first occurrence.

    Args:
        text: as typed.
        zone: whose clock the text means.
        today: the date for a text with a time but no date; None rejects such a text.

    Raises:
        ValueError: the text has another form, is outside 1971 to 2200, or names a time that the
            zone's clocks skip; the message then names the nearest times that exist.
    """
    given = text.strip()
    found = _TIME_TEXT.fullmatch(given) if len(given) <= _LONGEST_TIME else None
    if found is None or not (found["iso"] or found["dotted"] or found["time"]):
        raise ValueError(f"{quoted(text)} is not a time; write, for example, 2026-11-22 14:30")
    wall = dt.datetime.combine(_typed_date(found, text, today), _typed_time(found, text))
    offset = _typed_offset(found, text)
    if offset is not None:
        return bucket_start(int(wall.replace(tzinfo=offset).timestamp()))
    day_alone = not found["time"] and not found["name"]
    return bucket_start(_typed_epoch(wall, zone, found["name"], text, day_alone=day_alone))


def format_input(epoch: int, zone: ZoneInfo) -> str:
    """A time as :func:`parse_local` reads it back: ``2026-11-22 14:30``.

    The second occurrence of a time that the clocks show twice carries its offset.
    """
    local = dt.datetime.fromtimestamp(epoch, zone)
    # Some offsets of the past were not whole minutes; their times need seconds.
    text = f"{local:%Y-%m-%d %H:%M:%S}" if local.second else f"{local:%Y-%m-%d %H:%M}"
    if epoch_seconds(wall_time(epoch, zone), zone) == epoch:
        return text
    return f"{text}{local.isoformat()[19:]}"


def _typed_date(found: re.Match[str], text: str, today: dt.date | None) -> dt.date:
    if found["iso"]:
        year, month, day = (int(part) for part in found["iso"].split("-"))
    elif found["dotted"]:
        day, month, year = (int(part) for part in found["dotted"].split("."))
    elif today:
        return today
    else:
        raise ValueError(f"{quoted(text)} has no date; write, for example, 2026-11-22 14:30")
    if year not in YEARS:
        raise ValueError(f"{quoted(text)} is too far away: years go from {YEARS[0]} to {YEARS[-1]}")
    try:
        return dt.date(year, month, day)
    except ValueError:
        raise ValueError(
            f"{quoted(text)} is not in the calendar; a date is year-month-day or day.month.year"
        ) from None


def _typed_time(found: re.Match[str], text: str) -> dt.time:
    if not found["time"]:
        return dt.time()
    try:
        # The fraction of a second cannot change the bucket.
        hour, minute, *second = (int(part) for part in found["time"].partition(".")[0].split(":"))
        return dt.time(hour, minute, second[0] if second else 0)
    except ValueError:
        raise ValueError(
            f"{quoted(text)} is not a time of day; times go from 00:00 to 23:59"
        ) from None


def _typed_offset(found: re.Match[str], text: str) -> dt.timezone | None:
    """The typed offset, UTC and Z included; None without one."""
    name, offset = found["name"].casefold(), found["offset"]
    if name in _UTC_NAMES and not offset:
        return dt.UTC
    if not offset:
        return None
    digits = offset[1:].replace(":", "")
    hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "0")
    if name not in {"", "utc", "gmt"} or int(hours) > 23 or int(minutes) > 59:
        raise ValueError(f"{quoted(text)} has no offset like +01:00 at its end")
    ahead = dt.timedelta(hours=int(hours), minutes=int(minutes))
    return dt.timezone(-ahead if offset[0] == "-" else ahead)


def _typed_epoch(
    wall: dt.datetime, zone: ZoneInfo, name: str, text: str, *, day_alone: bool
) -> int:
    """The epoch second of a local time; an abbreviation may choose one of two occurrences."""
    first = first_occurrence(wall, zone)
    if day_alone and wall_time(first, zone).date() == wall.date():
        return first
    times = occurrences(wall, zone)
    if not times:
        before, after = wall_time(first - 1, zone) + dt.timedelta(seconds=1), wall_time(first, zone)
        raise ValueError(
            f"{quoted(text)} does not exist in {zone.key}, where the clocks jump from "
            f"{before:%Y-%m-%d %H:%M} to {after:%Y-%m-%d %H:%M}; the nearest times "
            f"are {format_input(bucket_start(first - 1), zone)} and {format_input(first, zone)}"
        )
    if not name:
        return times[0]
    for at in times:
        if (dt.datetime.fromtimestamp(at, zone).tzname() or "").casefold() == name.casefold():
            return at
    used = " or ".join(abbreviation(dt.datetime.fromtimestamp(at, zone)) for at in times)
    raise ValueError(
        f"{quoted(text)} ends with a time zone that {zone.key} does not use then; write {used}, "
        "UTC or an offset like +01:00"
    )
