"""Times as text for people: dates, ranges, ages.

The names of months and weekdays are English on every machine.
"""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from snapshot_assets.dashboard.time.ranges import TimeRange
from snapshot_assets.domain.time import DAY_SECONDS

_MINUTE = 60

# Not strftime: its names follow the server's locale.
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

_QUICK_UNITS = {"h": "hour", "d": "day"}
_EN_DASH = "\u2013"
_SHOWN_CHARACTERS = 40


def format_local(epoch: int, zone: ZoneInfo, *, seconds: bool = False) -> str:
    """``2026-11-22 14:30 CET``, optionally with the seconds."""
    local = dt.datetime.fromtimestamp(epoch, zone)
    time = f"{local:%H:%M:%S}" if seconds else f"{local:%H:%M}"
    return f"{local:%Y-%m-%d} {time} {abbreviation(local)}"


def format_range(range_: TimeRange, zone: ZoneInfo) -> str:
    """``22 Nov 2026, 14:30 - 18:30 CET``, with an en dash.

    A part that both ends share is written once.
    """
    start, end = (dt.datetime.fromtimestamp(time, zone) for time in (range_.start, range_.end))
    names = abbreviation(start), abbreviation(end)
    first_name = "" if names[0] == names[1] else f" {names[0]}"
    first_day, last_day = day_month(start), f"{day_month(end)} {end.year}, "
    if start.date() == end.date():
        first_day, last_day = f"{first_day} {start.year}", ""
    elif start.year != end.year:
        first_day = f"{first_day} {start.year}"
    return f"{first_day}, {start:%H:%M}{first_name} {_EN_DASH} {last_day}{end:%H:%M} {names[1]}"


def quick_label(name: str) -> str:
    """``24 hours`` for ``24h``, a name in :data:`~snapshot_assets.dashboard.time.ranges.QUICK`."""
    count, unit = int(name[:-1]), _QUICK_UNITS[name[-1]]
    return counted(count, unit)


def age_text(seconds: float) -> str:
    """How long ago something was: ``just now``, ``4 min``, ``2 h 10 min``, ``3 days``."""
    if seconds < _MINUTE:  # also in the future: two machines' clocks differ
        return "just now"
    if seconds >= DAY_SECONDS:
        return counted(int(seconds // DAY_SECONDS), "day")
    hours, minutes = divmod(int(seconds // _MINUTE), 60)
    parts = [f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes)
    return " ".join(parts)


def abbreviation(local: dt.datetime) -> str:
    """``CET``; ``UTC+05:30`` for the many zones without an abbreviation."""
    name = local.tzname() or "UTC"
    if name[0] not in "+-":
        return name
    sign, hours, minutes = name[0], name[1:3], name[3:5]
    return f"UTC{sign}{hours}:{minutes}" if minutes else f"UTC{sign}{hours}"


def day_month(day: dt.date) -> str:
    """``22 Nov``."""
    return f"{day.day} {MONTHS[day.month - 1][:3]}"


def counted(count: int, unit: str) -> str:
    """``1 day``, ``2 days``."""
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def quoted(text: str) -> str:
    """A text from outside, escaped and shortened for a message."""
    short = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
    return repr(short)
