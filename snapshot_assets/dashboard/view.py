"""What a link says: page, range, zone, filters. Read from the URL and written to it.

The URL is the only place where a view is kept, so that a link reproduces it and back and forward
work. Whatever cannot be understood falls back to its default, with a note that says so: a
hand-edited link never ends in an error. No clock and no reader: a relative range is made absolute
by :meth:`View.range`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, TypeVar
from urllib.parse import parse_qs, urlencode
from zoneinfo import ZoneInfo

from snapshot_assets.dashboard.time_range import QUICK, TimeRange, month_range, zone_named
from snapshot_assets.domain.measures import Measure
from snapshot_assets.domain.time import DAY_SECONDS, bucket_start

Page: TypeAlias = Literal["overview", "users", "commands", "statement", "now"]
PATHS: Mapping[Page, str] = {
    "overview": "",
    "users": "users",
    "commands": "commands",
    "statement": "statement",
    "now": "now",
}
DEFAULT_QUICK = "24h"
# Ten years of days are more points than pixels already.
LONGEST_SECONDS = 3_660 * DAY_SECONDS
_NAMES_MOST = 50
_SHOWN_CHARACTERS = 60

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class View:
    """One view of the pages.

    Attributes:
        page: which.
        quick: a range that ends now, by its name in :data:`QUICK`; unused with a custom one.
        custom: from here to there; None for a quick one.
        zone: IANA name that the viewer chose; None for the browser's.
        measure: what charts of users and commands show.
        hosts: only these; all if empty.
        user: only this one.
        command: only this one.
        month: of a statement, as ``2026-11``; None for the current one.
    """

    page: Page = "overview"
    quick: str = DEFAULT_QUICK
    custom: TimeRange | None = None
    zone: str | None = None
    measure: Measure = "cpu"
    hosts: tuple[str, ...] = ()
    user: str | None = None
    command: str | None = None
    month: str | None = None

    def range(self, now: float) -> TimeRange:
        """The range in absolute time."""
        return self.custom or TimeRange.latest(QUICK[self.quick], now)

    def search(self) -> str:
        """The query of this view's link: ``?range=7d``, or nothing if all is by default."""
        given: list[tuple[str, str]] = []
        if self.custom:
            given += [("from", _written(self.custom.start)), ("to", _written(self.custom.end))]
        elif self.quick != DEFAULT_QUICK:
            given.append(("range", self.quick))
        if self.zone:
            given.append(("tz", self.zone))
        if self.measure != "cpu":
            given.append(("measure", self.measure))
        given += [("host", host) for host in self.hosts]
        for name in ("user", "command", "month"):
            value = getattr(self, name)
            if value is not None:
                given.append((name, value))
        return f"?{urlencode(given)}" if given else ""

    def link(self, prefix: str = "/") -> str:
        """The path and query of this view."""
        return f"{prefix}{PATHS[self.page]}{self.search()}"

    def at(self, page: Page, **changes: object) -> View:
        """The same range and zone on another page, with other filters."""
        kept = replace(self, page=page)
        return replace(kept, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a link asks for.

    Attributes:
        view: what is understood of it.
        notes: what is not, for the viewer.
    """

    view: View
    notes: tuple[str, ...] = ()


def asked(pathname: str | None, search: str | None, prefix: str = "/") -> Asked:
    """Read a link.

    Args:
        pathname: path of the URL, with the prefix.
        search: query of the URL, with or without its question mark.
        prefix: under which the pages are, with a slash at both ends.
    """
    notes: list[str] = []
    given = _Given(search or "", notes)
    page = _page(pathname or prefix, prefix, notes)
    custom = _custom(given, notes)
    quick = given.one("range", _quick) or DEFAULT_QUICK
    zone = given.one("tz", lambda name: zone_named(name).key)
    measure: Measure = given.one("measure", _measure) or "cpu"
    month = given.one("month", _month)
    hosts = tuple(dict.fromkeys(given.all("host")))
    if len(hosts) > _NAMES_MOST:
        notes.append(f"The link names {len(hosts)} hosts; the first {_NAMES_MOST} are shown.")
        hosts = hosts[:_NAMES_MOST]
    return Asked(
        View(
            page=page,
            quick=quick,
            custom=custom,
            zone=zone,
            measure=measure,
            hosts=hosts,
            user=given.one("user", str),
            command=given.one("command", str),
            month=month,
        ),
        tuple(notes),
    )


class _Given:
    """The parameters of a query; what cannot be used is noted."""

    def __init__(self, search: str, notes: list[str]) -> None:
        try:
            self._found = parse_qs(search.removeprefix("?"), max_num_fields=200)
        except ValueError:
            self._found = {}
            notes.append("The link has too many parameters; none of them is used.")
        self._notes = notes

    def all(self, name: str) -> list[str]:
        return self._found.get(name, [])

    def one(self, name: str, read: Callable[[str], _Value]) -> _Value | None:
        """The last value under this name, read; None if there is none or it is not understood."""
        values = self.all(name)
        if not values:
            return None
        try:
            return read(values[-1])
        except ValueError as error:
            self._notes.append(f"In the link, {name}={shown(values[-1])} is not used: {error}.")
            return None


def shown(text: str) -> str:
    """A text from outside, short enough for a message."""
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _page(pathname: str, prefix: str, notes: list[str]) -> Page:
    inside = pathname.removeprefix(prefix).strip("/") if pathname.startswith(prefix) else None
    if pathname.rstrip("/") == prefix.rstrip("/"):
        inside = ""
    for page, path in PATHS.items():
        if inside == path:
            return page
    notes.append(f"There is no page {shown(pathname)}; this is the overview.")
    return "overview"


def _custom(given: _Given, notes: list[str]) -> TimeRange | None:
    if not given.all("from") and not given.all("to"):
        return None
    start, end = given.one("from", _read_moment), given.one("to", _read_moment)
    if start is None or end is None:
        if given.all("from") and given.all("to"):
            return None
        notes.append("A range in a link needs both from and to; the quick range is shown.")
        return None
    if end <= start:
        notes.append("The range in the link ends before it starts; the quick range is shown.")
        return None
    if end - start > LONGEST_SECONDS:
        notes.append("The range in the link is longer than ten years; its last ten are shown.")
        start = end - LONGEST_SECONDS
    return TimeRange(start, end)


def _written(moment: int) -> str:
    return dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%dT%H:%MZ")


def _read_moment(text: str) -> int:
    try:
        moment = dt.datetime.fromisoformat(text)
        # A link must mean the same everywhere: without an offset it is UTC.
        moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        found = bucket_start(moment.timestamp())
    except (ValueError, OverflowError):
        raise ValueError("it is no time; write 2026-11-22T13:00Z") from None
    if not 0 <= found <= 250 * 366 * DAY_SECONDS:
        raise ValueError("it is too far away")
    return found


def _quick(name: str) -> str:
    if name not in QUICK:
        raise ValueError(f"there are {', '.join(QUICK)}")
    return name


def _measure(name: str) -> Measure:
    if name == "cpu":
        return "cpu"
    if name == "mem":
        return "mem"
    raise ValueError("there are cpu and mem")


def _month(text: str) -> str:
    month_range(text, ZoneInfo("UTC"))
    return text
