"""Ranges, time zones and axis ticks: every step between epoch seconds and a local clock is here.

Values in, values out. The current time comes as an argument, and so does the viewer's zone: there
is no clock, no environment and no local zone of the server's. A bucket is always UTC; only what is
shown and typed is local. Local time skips an hour in spring and repeats one in autumn, in some
zones at midnight or by half an hour, and some places have skipped a whole day.
"""

from __future__ import annotations

import datetime as dt
import difflib
import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Self
from zoneinfo import ZoneInfo, available_timezones

from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS, bucket_start

_MINUTE = 60
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
_QUICK_UNITS: Mapping[str, str] = {"h": "hour", "d": "day"}

# Before 1971 is the epoch's edge; for 2200 and later no rules of a zone are known.
_YEARS = range(1971, 2201)

# Not strftime: its names follow the server's locale.
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
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

_EN_DASH = "\u2013"

_AREAS = (
    "Africa/",
    "America/",
    "Antarctica/",
    "Arctic/",
    "Asia/",
    "Atlantic/",
    "Australia/",
    "Europe/",
    "Indian/",
    "Pacific/",
)
# The server's own zone, and the one that says that there is none.
_NO_PLACES = {"localtime", "Factory"}
_LONGEST_ZONE = 64
_LONGEST_TIME = 80
_SHOWN_CHARACTERS = 40

_TIME_TEXT = re.compile(
    r"(?:(?P<iso>[0-9]{4}-[0-9]{1,2}-[0-9]{1,2})|(?P<dotted>[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}))?"
    r"(?:(?:^|[Tt]|,? +)(?P<time>[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?))?"
    r" *(?P<name>[A-Za-z]*)(?P<offset>[+-][0-9]{1,2}(?::?[0-9]{2})?)?"
)
_MONTH_TEXT = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_UTC_NAMES = {"utc", "gmt", "z"}


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
        """Its length."""
        return self.end - self.start

    @property
    def moments(self) -> tuple[dt.datetime, dt.datetime]:
        """Start, included, and end, excluded, as the reader takes them."""
        start, end = (dt.datetime.fromtimestamp(t, dt.UTC) for t in (self.start, self.end))
        return start, end

    @property
    def last_bucket(self) -> int:
        """The start of its last bucket."""
        return self.end - BUCKET_SECONDS


class Tick(NamedTuple):
    """A mark on a time axis: epoch second and label, whose lines are separated by ``<br>``."""

    at: int
    label: str


def quick_label(name: str) -> str:
    """``24 hours`` for ``24h``, one of :data:`QUICK`."""
    count, unit = int(name[:-1]), _QUICK_UNITS[name[-1]]
    return _counted(count, unit)


def zone_named(name: str) -> ZoneInfo:
    """The time zone of this IANA name.

    Raises:
        ValueError: there is none; the message names those that are written alike.
    """
    # Looked up in a list first: ZoneInfo makes paths of names, and errors of many types.
    if name in _known_zones():
        return ZoneInfo(name)
    alike = _alike(name)
    hint = f"did you mean {' or '.join(alike)}?" if alike else "write, for example, Europe/Berlin"
    raise ValueError(f"{_quoted(name)} is no time zone; {hint}")


def zone_names() -> list[str]:
    """The zones to pick from, sorted: all that are named Area/City, and UTC.

    With older spellings such as Asia/Calcutta, because those are what some browsers report.
    """
    return sorted(name for name in _known_zones() if name.startswith(_AREAS) or name == "UTC")


def parse_local(text: str, zone: ZoneInfo, *, today: dt.date | None = None) -> int:
    """What a person types as from or to, rounded down to the start of its bucket.

    Understood are ``2026-11-22 14:30``, ``2026-11-22T14:30``, ``22.11.2026 14:30``, and a date
    alone, which means the first moment of that local day. UTC, an offset like ``+01:00`` or the
    zone's own abbreviation may follow. A local time that exists twice is the first one unless one
    of these says otherwise.

    Args:
        text: what was typed.
        zone: in which it was meant.
        today: the date that a time alone belongs to; without it a time alone is refused.

    Raises:
        ValueError: not understood, outside 1971 to 2200, or skipped by the zone's clocks; the
            message names the nearest times that exist.
    """
    given = text.strip()
    found = _TIME_TEXT.fullmatch(given) if len(given) <= _LONGEST_TIME else None
    if found is None or not (found["iso"] or found["dotted"] or found["time"]):
        raise ValueError(f"{_quoted(text)} is no time; write, for example, 2026-11-22 14:30")
    wall = dt.datetime.combine(_typed_date(found, text, today), _typed_time(found, text))
    offset = _typed_offset(found, text)
    if offset is not None:
        return bucket_start(int(wall.replace(tzinfo=offset).timestamp()))
    day_alone = not found["time"] and not found["name"]
    return bucket_start(_moment_of(wall, zone, found["name"], text, day_alone=day_alone))


def format_input(epoch: int, zone: ZoneInfo) -> str:
    """A moment as :func:`parse_local` reads it back: ``2026-11-22 14:30``.

    Where clocks show this twice, the second time carries its offset.
    """
    local = dt.datetime.fromtimestamp(epoch, zone)
    # A zone whose offset was not one of whole minutes needs its seconds.
    text = f"{local:%Y-%m-%d %H:%M:%S}" if local.second else f"{local:%Y-%m-%d %H:%M}"
    if _epoch(_wall(epoch, zone), zone) == epoch:
        return text
    return f"{text}{local.isoformat()[19:]}"


def format_local(epoch: int, zone: ZoneInfo, *, seconds: bool = False) -> str:
    """``2026-11-22 14:30 CET``, with the seconds if asked for."""
    local = dt.datetime.fromtimestamp(epoch, zone)
    time = f"{local:%H:%M:%S}" if seconds else f"{local:%H:%M}"
    return f"{local:%Y-%m-%d} {time} {_abbreviation(local)}"


def format_range(shown: TimeRange, zone: ZoneInfo) -> str:
    """``22 Nov 2026, 14:30 - 18:30 CET``, with a dash: nothing twice that both ends share."""
    start, end = (dt.datetime.fromtimestamp(moment, zone) for moment in (shown.start, shown.end))
    names = _abbreviation(start), _abbreviation(end)
    first_name = "" if names[0] == names[1] else f" {names[0]}"
    first_day, last_day = _day_month(start), f"{_day_month(end)} {end.year}, "
    if start.date() == end.date():
        first_day, last_day = f"{first_day} {start.year}", ""
    elif start.year != end.year:
        first_day = f"{first_day} {start.year}"
    return f"{first_day}, {start:%H:%M}{first_name} {_EN_DASH} {last_day}{end:%H:%M} {names[1]}"


def ticks(start: int, end: int, zone: ZoneInfo, count: int = 6) -> list[Tick]:
    """Marks for a time axis, at round local times, ascending.

    Args:
        start: first epoch second of the axis.
        end: last one, included.
        zone: whose clock and calendar.
        count: about how many; never more than twice as many.
    """
    wanted = max(count, 1)
    for step in sorted(_STEPS, key=lambda step: abs(math.log(_ratio(start, end, step, wanted)))):
        moments = sorted({at for at in step.moments(start, end, zone) if start <= at <= end})
        if 0 < len(moments) <= 2 * wanted:
            return step.labelled(start, moments, zone)
    return []


def month_range(month: str, zone: ZoneInfo) -> TimeRange:
    """The local month of a name like ``2026-11``.

    Raises:
        ValueError: it is not such a name.
    """
    first = _first_of(month)
    return TimeRange(_day_start(first, zone), _day_start(_add_months(first, 1), zone))


def month_of(epoch: float, zone: ZoneInfo) -> str:
    """The local month of a moment: ``2026-11``."""
    return f"{dt.datetime.fromtimestamp(epoch, zone):%Y-%m}"


def months_back(now: float, zone: ZoneInfo, count: int) -> list[str]:
    """This local month and those before it, ``count`` in all, newest first."""
    current = dt.datetime.fromtimestamp(now, zone).date().replace(day=1)
    return [f"{_add_months(current, -i):%Y-%m}" for i in range(count)]


def month_label(month: str) -> str:
    """``November 2026`` for ``2026-11``.

    Raises:
        ValueError: it is not such a name.
    """
    first = _first_of(month)
    return f"{_MONTHS[first.month - 1]} {first.year}"


def age_text(seconds: float) -> str:
    """How long ago something was: ``just now``, ``4 min``, ``2 h 10 min``, ``3 days``."""
    if seconds < _MINUTE:  # also in the future: two machines' clocks differ
        return "just now"
    if seconds >= DAY_SECONDS:
        return _counted(int(seconds // DAY_SECONDS), "day")
    hours, minutes = divmod(int(seconds // _MINUTE), 60)
    parts = [f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes)
    return " ".join(parts)


# Between a clock on the wall and the epoch ------------------------------------------------------


def _wall(epoch: float, zone: ZoneInfo) -> dt.datetime:
    """What the clocks of a zone show, without a zone."""
    return dt.datetime.fromtimestamp(epoch, zone).replace(tzinfo=None, fold=0)


def _epoch(wall: dt.datetime, zone: ZoneInfo, fold: int = 0) -> int:
    """When the clocks show this, for the first (0) or second (1) time.

    Of a time that they skip, 1 gives a moment before the jump and 0 one after it.
    """
    return int(wall.replace(tzinfo=zone, fold=fold).timestamp())


def _moments_of(wall: dt.datetime, zone: ZoneInfo) -> list[int]:
    """All moments at which the clocks show this: none, one or two, ascending."""
    both = {_epoch(wall, zone, fold) for fold in (0, 1)}
    return sorted(at for at in both if _wall(at, zone) == wall)


def _first_moment(wall: dt.datetime, zone: ZoneInfo) -> int:
    """When the clocks first show this or, where they skip it, jump over it."""
    at = _epoch(wall, zone)
    if _wall(at, zone) == wall:
        return at
    span = range(_epoch(wall, zone, 1), at + 1)
    return span[bisect_left(span, True, key=lambda moment: _wall(moment, zone) >= wall)]


def _day_start(day: dt.date, zone: ZoneInfo) -> int:
    """The first bucket of a local day, whether or not it has a midnight."""
    # Rounded: before 1972 Liberia was 44 minutes and 30 seconds behind.
    return bucket_start(_first_moment(dt.datetime.combine(day, dt.time()), zone))


def _dates(start: int, end: int, zone: ZoneInfo) -> Iterator[dt.date]:
    """All local dates that may touch a range, and one more at either side."""
    first, last = (_wall(moment, zone).date() for moment in (start, end))
    for i in range(-1, (last - first).days + 2):
        yield first + dt.timedelta(days=i)


def _add_months(first: dt.date, months: int) -> dt.date:
    """From the first of a month to the first of another."""
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    return dt.date(year, month + 1, 1)


def _first_of(month: str) -> dt.date:
    found = _MONTH_TEXT.fullmatch(month)
    if not found or int(found[1]) not in _YEARS:
        raise ValueError(f"{_quoted(month)} is no month; write, for example, 2026-11")
    return dt.date(int(found[1]), int(found[2]), 1)


# Ticks ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Times:
    """Ticks at round times of the day."""

    seconds: int

    @property
    def length(self) -> int:
        return self.seconds

    def moments(self, start: int, end: int, zone: ZoneInfo) -> Iterator[int]:
        for day in _dates(start, end, zone):
            midnight = dt.datetime.combine(day, dt.time())
            # A day that has no midnight is marked where it begins.
            yield _first_moment(midnight, zone)
            for passed in range(0, DAY_SECONDS, self.seconds):
                shown = _moments_of(midnight + dt.timedelta(seconds=passed), zone)
                # A repeated hour has marks of its own only where there is one for each hour.
                yield from shown if self.seconds <= _HOUR else shown[:1]

    def labelled(self, start: int, moments: list[int], zone: ZoneInfo) -> list[Tick]:
        found: list[Tick] = []
        before = dt.datetime.fromtimestamp(start, zone)
        offset, year = before.utcoffset(), None
        marked = None  # the newest day whose date is on the axis
        for at in moments:
            local = dt.datetime.fromtimestamp(at, zone)
            wall = local.replace(tzinfo=None, fold=0)
            if wall.time() == dt.time() and marked != wall.date():
                label = f"{_WEEKDAYS[wall.weekday()]} {_day_month(wall)}"
                if year != wall.year:
                    label = f"{label}<br>{wall.year}"
            else:
                label = f"{wall:%H:%M}"
                if local.utcoffset() != offset or len(_moments_of(wall, zone)) > 1:
                    label = f"{label} {_abbreviation(local)}"
                offset = local.utcoffset()
                if not found:
                    label = f"{label}<br>{_day_month(wall)} {wall.year}"
                elif at == _first_moment(dt.datetime.combine(wall, dt.time()), zone):
                    label = f"{label}<br>{_WEEKDAYS[wall.weekday()]} {_day_month(wall)}"
            found.append(Tick(at, label))
            marked, year = max(marked or wall.date(), wall.date()), wall.year
        return found


@dataclass(frozen=True, slots=True)
class _Days:
    """Ticks at the beginning of local days; weeks begin on Mondays."""

    days: int

    @property
    def length(self) -> int:
        return self.days * DAY_SECONDS

    def moments(self, start: int, end: int, zone: ZoneInfo) -> Iterator[int]:
        for day in _dates(start, end, zone):
            # Day 1 of the calendar was a Monday.
            if (day.toordinal() - 1) % self.days == 0:
                at = _first_moment(dt.datetime.combine(day, dt.time()), zone)
                if _wall(at, zone).date() == day:
                    yield at

    def labelled(self, start: int, moments: list[int], zone: ZoneInfo) -> list[Tick]:
        found, year = [], None
        for at in moments:
            wall = _wall(at, zone)
            label = f"{_WEEKDAYS[wall.weekday()]} {_day_month(wall)}"
            found.append(Tick(at, label if wall.year == year else f"{label}<br>{wall.year}"))
            year = wall.year
        return found


@dataclass(frozen=True, slots=True)
class _Months:
    """Ticks at the beginning of local months, or of years."""

    months: int

    @property
    def length(self) -> int:
        return self.months * DAY_SECONDS * 365 // 12

    def moments(self, start: int, end: int, zone: ZoneInfo) -> Iterator[int]:
        first, last = (_wall(moment, zone) for moment in (start, end))
        numbers = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
        for number in numbers:
            if number % self.months == 0:
                first_day = dt.date(number // 12, number % 12 + 1, 1)
                yield _first_moment(dt.datetime.combine(first_day, dt.time()), zone)

    def labelled(self, start: int, moments: list[int], zone: ZoneInfo) -> list[Tick]:
        found, year = [], None
        for at in moments:
            wall = _wall(at, zone)
            label = _MONTHS[wall.month - 1][:3]
            if self.months % 12 == 0:
                label = f"{wall.year}"
            elif wall.year != year:
                label = f"{label}<br>{wall.year}"
            found.append(Tick(at, label))
            year = wall.year
        return found


_STEPS: tuple[_Times | _Days | _Months, ...] = (
    *(_Times(minutes * _MINUTE) for minutes in (5, 10, 15, 30)),
    *(_Times(hours * _HOUR) for hours in (1, 2, 3, 6, 12)),
    *(_Days(days) for days in (1, 2, 7, 14)),
    *(_Months(months) for months in (1, 2, 3, 6)),
    *(_Months(years * 12) for years in (1, 2, 5, 10, 20, 50, 100)),
)


def _ratio(start: int, end: int, step: _Times | _Days | _Months, wanted: int) -> float:
    """How many times too many ticks there are with this step."""
    return max(end - start, 1) / step.length / wanted


# Words ------------------------------------------------------------------------------------------


def _abbreviation(local: dt.datetime) -> str:
    """``CET``; ``UTC+05:30`` for the many zones without an abbreviation."""
    name = local.tzname() or "UTC"
    if name[0] not in "+-":
        return name
    sign, hours, minutes = name[0], name[1:3], name[3:5]
    return f"UTC{sign}{hours}:{minutes}" if minutes else f"UTC{sign}{hours}"


def _day_month(day: dt.date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1][:3]}"


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _quoted(text: str) -> str:
    """A text from outside, harmless and short enough for a message."""
    short = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
    return repr(short)


# Zones ------------------------------------------------------------------------------------------


@cache
def _known_zones() -> frozenset[str]:
    # Looks into hundreds of files, so once.
    return frozenset(available_timezones() - _NO_PLACES)


def _alike(name: str) -> list[str]:
    """Up to three zones that are written like this, or whose city is."""
    if len(name) > _LONGEST_ZONE:
        return []
    spellings: dict[str, str] = {}
    for known in zone_names():
        spellings.setdefault(known.rpartition("/")[2].casefold(), known)
        spellings[known.casefold()] = known
    asked = name.strip().replace(" ", "_").casefold()
    found = difflib.get_close_matches(asked, spellings, n=3, cutoff=0.7)
    return list(dict.fromkeys(spellings[spelling] for spelling in found))


# What is typed ----------------------------------------------------------------------------------


def _typed_date(found: re.Match[str], text: str, today: dt.date | None) -> dt.date:
    if found["iso"]:
        year, month, day = (int(part) for part in found["iso"].split("-"))
    elif found["dotted"]:
        day, month, year = (int(part) for part in found["dotted"].split("."))
    elif today:
        return today
    else:
        raise ValueError(f"{_quoted(text)} has no date; write, for example, 2026-11-22 14:30")
    if year not in _YEARS:
        raise ValueError(
            f"{_quoted(text)} is too far away: years go from {_YEARS[0]} to {_YEARS[-1]}"
        )
    try:
        return dt.date(year, month, day)
    except ValueError:
        raise ValueError(
            f"{_quoted(text)} is not in the calendar; a date is year-month-day or day.month.year"
        ) from None


def _typed_time(found: re.Match[str], text: str) -> dt.time:
    if not found["time"]:
        return dt.time()
    try:
        # The fraction of a second is below what a bucket can tell.
        hour, minute, *second = (int(part) for part in found["time"].partition(".")[0].split(":"))
        return dt.time(hour, minute, second[0] if second else 0)
    except ValueError:
        raise ValueError(f"{_quoted(text)} is on no clock; times go from 00:00 to 23:59") from None


def _typed_offset(found: re.Match[str], text: str) -> dt.timezone | None:
    """The offset that was typed, also as UTC or Z; None without one."""
    name, offset = found["name"].casefold(), found["offset"]
    if name in _UTC_NAMES and not offset:
        return dt.UTC
    if not offset:
        return None
    digits = offset[1:].replace(":", "")
    hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "0")
    if name not in {"", "utc", "gmt"} or int(hours) > 23 or int(minutes) > 59:
        raise ValueError(f"{_quoted(text)} has no offset like +01:00 at its end")
    ahead = dt.timedelta(hours=int(hours), minutes=int(minutes))
    return dt.timezone(-ahead if offset[0] == "-" else ahead)


def _moment_of(wall: dt.datetime, zone: ZoneInfo, name: str, text: str, *, day_alone: bool) -> int:
    """The moment of a local time, which an abbreviation may tell from its repetition."""
    first = _first_moment(wall, zone)
    if day_alone and _wall(first, zone).date() == wall.date():
        return first
    moments = _moments_of(wall, zone)
    if not moments:
        before = _wall(first - 1, zone) + dt.timedelta(seconds=1)
        raise ValueError(
            f"{_quoted(text)} does not exist in {zone.key}, where the clocks jump from "
            f"{before:%Y-%m-%d %H:%M} to {_wall(first, zone):%Y-%m-%d %H:%M}; the nearest times "
            f"are {format_input(bucket_start(first - 1), zone)} and {format_input(first, zone)}"
        )
    if not name:
        return moments[0]
    for at in moments:
        if (dt.datetime.fromtimestamp(at, zone).tzname() or "").casefold() == name.casefold():
            return at
    used = " or ".join(_abbreviation(dt.datetime.fromtimestamp(at, zone)) for at in moments)
    raise ValueError(
        f"{_quoted(text)} ends with a time zone that {zone.key} does not use then; write {used}, "
        "UTC or an offset like +01:00"
    )
