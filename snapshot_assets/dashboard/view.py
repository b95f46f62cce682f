"""The view that a link describes: page, range, zone, filters; read from a URL and written to it.

Only the URL holds a view. So a link reproduces the view, and the browser's back and forward work. A
part with an error falls back to its default, with a note for the viewer: a hand-edited link never
fails as a whole. No clock and no reader: :meth:`View.range` turns a relative range into an absolute
one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, TypeVar
from urllib.parse import parse_qs, urlencode
from zoneinfo import ZoneInfo

from snapshot_assets.dashboard.time.months import month_range
from snapshot_assets.dashboard.time.ranges import QUICK, TimeRange
from snapshot_assets.dashboard.time.zones import zone_named
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
# Ten years of days have more points than a chart has pixels.
LONGEST_SECONDS = 3_660 * DAY_SECONDS
_NAMES_MOST = 50
_SHOWN_CHARACTERS = 60

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class View:
    """One view of the pages.

    Attributes:
        page: the page.
        quick: a range that ends now, by its name in :data:`QUICK`; unused with a custom range.
        custom: two times; None for a quick range.
        zone: IANA name that the viewer chose; None for the browser's.
        measure: whether charts of users and commands show CPU or memory.
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
        """The query of this view's link: ``?range=7d``, or an empty text for all defaults."""
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
class Link:
    """A link that was read.

    Attributes:
        view: its view; a default stands for each part with an error.
        notes: the errors, as sentences for the viewer.
    """

    view: View
    notes: tuple[str, ...] = ()


def read_link(pathname: str | None, search: str | None, prefix: str = "/") -> Link:
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
    return Link(
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
    """The parameters of a query; adds a note for each error."""

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
        """The last value of this parameter, read; None if it is absent or has an error."""
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
    start, end = given.one("from", _read_time), given.one("to", _read_time)
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


def _written(epoch_seconds: int) -> str:
    return dt.datetime.fromtimestamp(epoch_seconds, dt.UTC).strftime("%Y-%m-%dT%H:%MZ")


def _read_time(text: str) -> int:
    try:
        time = dt.datetime.fromisoformat(text)
        # A link must mean the same everywhere: a time without an offset is UTC.
        time = time if time.tzinfo else time.replace(tzinfo=dt.UTC)
        found = bucket_start(time.timestamp())
    except (ValueError, OverflowError):
        raise ValueError("this is not a time; write 2026-11-22T13:00Z") from None
    if not 0 <= found <= 250 * 366 * DAY_SECONDS:
        raise ValueError("this time is too far away")
    return found


def _quick(name: str) -> str:
    if name not in QUICK:
        raise ValueError(f"write one of {', '.join(QUICK)}")
    return name


def _measure(name: str) -> Measure:
    if name == "cpu":
        return "cpu"
    if name == "mem":
        return "mem"
    raise ValueError("write cpu or mem")


def _month(text: str) -> str:
    month_range(text, ZoneInfo("UTC"))
    return text
