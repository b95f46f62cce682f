"""The time zones that people can choose."""

from __future__ import annotations

import difflib
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from snapshot_assets.dashboard.time.formats import quoted

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
# The server's own zone, and a placeholder for an unset zone.
_NO_PLACES = {"localtime", "Factory"}
_LONGEST_ZONE = 64


def zone_named(name: str) -> ZoneInfo:
    """The time zone of this IANA name.

    Raises:
        ValueError: no zone has this name; the message suggests similar names.
    """
    # The list comes first: ZoneInfo makes file paths of names, and raises errors of many types.
    if name in _known_zones():
        return ZoneInfo(name)
    alike = _alike(name)
    hint = f"did you mean {' or '.join(alike)}?" if alike else "write, for example, Europe/Berlin"
    raise ValueError(f"{quoted(name)} is not a time zone; {hint}")


def zone_names() -> list[str]:
    """The zones to choose from, sorted: those with a name like Area/City, and UTC.

    Older spellings such as Asia/Calcutta are included, because some browsers report them.
    """
    return sorted(name for name in _known_zones() if name.startswith(_AREAS) or name == "UTC")


@cache
def _known_zones() -> frozenset[str]:
    # This reads hundreds of files, hence the cache.
    return frozenset(available_timezones() - _NO_PLACES)


def _alike(name: str) -> list[str]:
    """Up to three zones with a similar name or a similar city."""
    if len(name) > _LONGEST_ZONE:
        return []
    spellings: dict[str, str] = {}
    for known in zone_names():
        spellings.setdefault(known.rpartition("/")[2].casefold(), known)
        spellings[known.casefold()] = known
    wanted = name.strip().replace(" ", "_").casefold()
    found = difflib.get_close_matches(wanted, spellings, n=3, cutoff=0.7)
    return list(dict.fromkeys(spellings[spelling] for spelling in found))
