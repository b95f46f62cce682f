"""Late rows: which settled days differ from the source now, and when to settle them again.

The source counts its rows; the rows are not read (docs/adr/0010).
:mod:`snapshot_assets.orchestration.sensors` decides how often, and which runs follow.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Self

from snapshot_assets.errors import LakeError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.notes import AGGREGATES, RAW_ROWS
from snapshot_assets.source.query import Tally

# The nightly schedule comes first: 45 minutes after midnight by default, and one hour to work.
_NIGHT_SECONDS = 3_600 + 45 * 60
# A host-day that was tried with the same rows is tried again after this time.
_AGAIN_SECONDS = 6 * 3_600
# Dagster stores the text with every tick; MySQL's column holds 64 kB.
_TRIED_BYTES = 48_000


def days_to_compare(now: float, first: dt.date, count: int) -> list[dt.date]:
    """The days to compare, ascending: those that the nightly schedule should have settled.

    Args:
        now: epoch seconds.
        first: the earliest day allowed.
        count: the largest number of days.
    """
    last = dt.datetime.fromtimestamp(now - _NIGHT_SECONDS, dt.UTC).date() - dt.timedelta(days=1)
    days = [last - dt.timedelta(days=i) for i in reversed(range(count))]
    return [day for day in days if day >= first]


def unsettled(
    lake: Lake,
    day: dt.date,
    tally: Mapping[str, Tally],
    without_documents: Callable[[Collection[str]], Collection[str]],
    on_damage: Callable[[LakeError], None],
) -> dict[str, str]:
    """The hosts whose settled day differs from the source now, each with the reason.

    A file that cannot be read counts as missing, so that it is made again.

    Args:
        lake: where the settled days are.
        day: UTC day.
        tally: what the source has for the day and its margins, by host.
        without_documents: given hosts, returns those whose documents of the day were not written.
        on_damage: called with the error of each file that cannot be read.

    Raises:
        LakeError: the lake cannot be listed.
    """
    raw = {entry.host: entry for entry in lake.entries(RAW_ROWS, day, on_damage)}
    aggregates = {entry.host: entry for entry in lake.entries(AGGREGATES, day, on_damage)}
    unwritten = without_documents(list(raw))
    found: dict[str, str] = {}
    for host, rows in tally.items():
        kept = raw.get(host)
        if kept is None:
            found[host] = "was never settled"
            continue
        newest = kept.note.newest_epoch
        # Fewer rows mean that the source was purged: the lake holds the more complete day.
        if rows.rows > kept.rows or newest is None or rows.newest_epoch > newest:
            found[host] = f"{rows.rows:,} rows, settled from {kept.rows:,}"
    for host, kept in raw.items():
        made = aggregates.get(host)
        if host in found:
            continue
        if made is None or not made.note.is_made_from(kept.rows, kept.note):
            found[host] = "its aggregates are older than its rows"
        elif host in unwritten:
            found[host] = "its documents were not written"
    return found


@dataclass(slots=True)
class Attempts:
    """Which day is compared next, and which host-days were tried with which rows recently.

    Attributes:
        turn: number of comparisons so far.
        tried: pairs of a time, epoch seconds, and the joined fingerprints of everything tried
            then; the newest last.
    """

    turn: int = 0
    tried: list[tuple[float, str]] = field(default_factory=list)

    @classmethod
    def load(cls, text: str | None, now: float) -> Self:
        """Read what :meth:`dump` wrote, without the attempts that are older than six hours."""
        known = json.loads(text) if text else {}
        tried = [(at, prints) for at, prints in known.get("tried", []) if now - at < _AGAIN_SECONDS]
        return cls(known.get("turn", 0), tried)

    def dump(self) -> str:
        """The attempts as a text of at most 64 kB; leaves out the oldest ones where it must."""
        tried = self.tried
        # A host-day that is left out may be tried again sooner.
        while sum(len(prints) for _, prints in tried) > _TRIED_BYTES:
            tried = tried[1:]
        return json.dumps({"turn": self.turn, "tried": tried})

    def next_day(self, days: list[dt.date]) -> dt.date:
        """Every second comparison takes the newest day, which gets most late rows.

        The other days take turns.
        """
        self.turn += 1
        if self.turn % 2 or len(days) == 1:
            return days[-1]
        return days[-2 - (self.turn // 2) % (len(days) - 1)]

    def may_try(self, day: dt.date, host: str, tally: Tally | None) -> bool:
        """Whether this host-day was not tried with the same rows in the last six hours."""
        wanted = _fingerprint(day, host, tally)
        return not any(
            prints[i : i + len(wanted)] == wanted
            for _, prints in self.tried
            for i in range(0, len(prints), len(wanted))
        )

    def remember(self, day: dt.date, tallies: Mapping[str, Tally | None], now: float) -> None:
        """Remember that the hosts' days were tried with these rows at ``now``, epoch seconds."""
        if tallies:
            prints = [_fingerprint(day, host, tally) for host, tally in tallies.items()]
            self.tried.append((now, "".join(prints)))


def _fingerprint(day: dt.date, host: str, tally: Tally | None) -> str:
    """Eight characters that stand for a host-day, its number of rows and its newest row."""
    rows = [tally.rows, tally.newest_epoch] if tally else []
    text = json.dumps([str(day), host, *rows])
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:6]).decode()
