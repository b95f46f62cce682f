"""Plans that read frames: usage in columns, at any resolution. Layout: docs/frames.md."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from snapshot_assets.domain.summary import (
    GROUPINGS,
    Grouping,
    Resolution,
    Summary,
    summarise,
    tidy,
)
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS
from snapshot_assets.domain.usage import MEASURES, Measure, Usage, joined
from snapshot_assets.errors import StoreError
from snapshot_assets.store.layout import COVERED, WHOLE_DAY, bucket_field, day_field
from snapshot_assets.store.packing.buckets import unpack_buckets
from snapshot_assets.store.packing.damage import PackingError
from snapshot_assets.store.packing.days import unpack_day
from snapshot_assets.store.packing.summaries import unpack_summary
from snapshot_assets.store.reading.gc_pause import gc_paused
from snapshot_assets.store.reading.plan import Ask, Plan, Reading, chunks, days_in, resolution_of
from snapshot_assets.store.transport.server import name, pairs

# About three megabytes of frames.
_HOST_DAYS_PER_REQUEST = 500
_DAYS_PER_REQUEST = 400
# Up to so many buckets of a live day are asked for by name rather than with all others.
_FEW_BUCKETS = 36


class FrameHolding(NamedTuple):
    """What frames a host's settled day has.

    Attributes:
        buckets: epoch seconds of those settled as a whole day; None if it never was.
        newer: buckets written one by one since.
        summaries: whether both summaries, by hour and by day, are there.
    """

    buckets: tuple[int, ...] | None
    newer: int
    summaries: bool


class FramePlans(Reading):
    """The plans; what they are for is told by the readers."""

    def _frame_plan(
        self,
        hosts: str | Sequence[str] | None,
        start_time: dt.datetime | None,
        end_time: dt.datetime | None,
        measures: Sequence[Measure],
        by: str | Sequence[str] | None,
        resolution: Resolution | str,
    ) -> Plan[dict[Measure, pd.DataFrame]]:
        grouping = _grouping(by)
        for measure in measures:
            if measure not in MEASURES:
                raise ValueError(f"measure {measure!r} is none of {', '.join(MEASURES)}")
        asked = self._buckets(start_time, end_time)
        chosen = resolution_of(resolution, asked)
        pieces = yield from self._pieces(hosts, asked, chosen, measures, grouping)
        return {measure: tidy(pieces, measure, grouping, chosen) for measure in measures}

    def _pieces(
        self,
        hosts: str | Sequence[str] | None,
        asked: range,
        resolution: Resolution,
        measures: Sequence[Measure],
        grouping: Grouping,
    ) -> Plan[list[tuple[str, Summary]]]:
        """Host and summary of each day in the range; hosts in order, each in the order of time."""
        wanted = yield from self._host_days(hosts, days_in(asked))
        found: dict[tuple[str, int], Summary] = {}
        if resolution != "5min":
            # A day that the range cuts is summed up from its buckets within the range.
            whole = [
                (host, day)
                for host, day in wanted
                if asked[0] <= day and day + DAY_SECONDS - BUCKET_SECONDS <= asked[-1]
            ]
            found = yield from self._summaries(whole, resolution, measures, grouping)
        left = [host_day for host_day in wanted if host_day not in found]
        groupings = [grouping] if grouping else []
        for chunk in chunks(left, _HOST_DAYS_PER_REQUEST):
            of_day: dict[int, list[str]] = {}
            for host, day in chunk:
                of_day.setdefault(day, []).append(host)
            answers = yield [self._frame_ask(named, day, asked) for day, named in of_day.items()]
            with gc_paused():
                for (day, named), texts in zip(of_day.items(), answers, strict=True):
                    for host, answer in zip(named, texts, strict=True):
                        usage = self._usage(host, day, asked, answer, measures)
                        if usage is not None:
                            usage = usage.between(asked[0], asked[-1])
                            found[host, day] = summarise(usage, resolution, measures, groupings)
        return [(host, found[host, day]) for host, day in wanted if (host, day) in found]

    def _usage_plan(self, host: str, buckets: range) -> Plan[Usage | None]:
        """What the frames say of a host's buckets, for comparing it with the documents."""
        days = days_in(buckets)
        answers = yield [self._frame_ask([host], day, buckets) for day in days]
        found = [
            usage
            for day, (answer,) in zip(days, answers, strict=True)
            if (usage := self._usage(host, day, buckets, answer, MEASURES)) is not None
        ]
        if not found:
            return None
        return joined(found).between(buckets[0], buckets[-1])

    def _frame_holdings_plan(self, day: int, hosts: Sequence[str]) -> Plan[dict[str, FrameHolding]]:
        found: dict[str, FrameHolding] = {}
        for chunk in chunks(hosts, _HOST_DAYS_PER_REQUEST):
            fine = [self.keys.frame(host, day) for host in chunk]
            hours = [self.keys.summary(host, "hour", day) for host in chunk]
            in_days = [self.keys.summary(host, "day", day) for host in chunk]
            field = (day_field(day),)
            answers = yield [
                Ask("HGET", fine, (COVERED,)),
                Ask("HLEN", fine),
                Ask("HEXISTS", hours, field),
                Ask("HEXISTS", in_days, field),
            ]
            for host, covered, fields, by_hour, by_day in zip(chunk, *answers, strict=True):
                buckets = None
                if covered is not None:
                    buckets = tuple(
                        day + i * BUCKET_SECONDS for i, bit in enumerate(covered) if bit == ord("1")
                    )
                newer = fields - (0 if covered is None else 2)
                found[host] = FrameHolding(buckets, newer, bool(by_hour and by_day))
        return found

    def _hosts_of_days(self, days: Sequence[int]) -> Plan[dict[int, frozenset[str]]]:
        found = {}
        for chunk in chunks(days, _DAYS_PER_REQUEST):
            keys = [self.keys.hosts_of_day(day) for day in chunk]
            (answers,) = yield [Ask("SMEMBERS", keys)]
            for day, key, members in zip(chunk, keys, answers, strict=True):
                found[day] = frozenset(name(raw, key) for raw in members)
        return found

    def _host_days(
        self, hosts: str | Sequence[str] | None, days: Sequence[int]
    ) -> Plan[list[tuple[str, int]]]:
        """Which days of which hosts to look at, by host and then by day."""
        if isinstance(hosts, str):
            hosts = [hosts]
        if hosts is not None:
            return [(host, day) for host in dict.fromkeys(hosts) for day in days]
        on_day = yield from self._hosts_of_days(days)
        names = sorted(frozenset[str]().union(*on_day.values()))
        return [(host, day) for host in names for day in days if host in on_day[day]]

    def _summaries(
        self,
        host_days: Sequence[tuple[str, int]],
        resolution: Resolution,
        measures: Sequence[Measure],
        grouping: Grouping,
    ) -> Plan[dict[tuple[str, int], Summary]]:
        """The settled days among these."""
        found: dict[tuple[str, int], Summary] = {}
        for chunk in chunks(host_days, _HOST_DAYS_PER_REQUEST):
            months: dict[str, list[tuple[str, int]]] = {}
            for host, day in chunk:
                months.setdefault(self.keys.summary(host, resolution, day), []).append((host, day))
            asks = [
                Ask("HMGET", [key], tuple(day_field(day) for _, day in wanted))
                for key, wanted in months.items()
            ]
            answers = yield asks
            for (key, wanted), (blobs,) in zip(months.items(), answers, strict=True):
                for (host, day), blob in zip(wanted, blobs, strict=True):
                    if blob is not None:
                        with self._damage_told(host, day, key):
                            found[host, day] = unpack_summary(
                                blob, resolution, day, measures, grouping
                            )
        return found

    def _frame_ask(self, hosts: Sequence[str], day: int, asked: range) -> Ask:
        """For all that hosts have of a day, or for what concerns the few buckets asked of it."""
        fields = _fields(day, asked)
        keys = [self.keys.frame(host, day) for host in hosts]
        return Ask("HMGET", keys, fields) if fields else Ask("HGETALL", keys)

    def _usage(
        self, host: str, day: int, asked: range, answer: Any, measures: Sequence[Measure]
    ) -> Usage | None:
        """One host's day: what was settled as a whole, and the buckets that are newer."""
        fields: dict[bytes, bytes] = {}
        if by_name := _fields(day, asked):
            told = zip(by_name, answer, strict=True)
            fields = {field.encode(): text for field, text in told if text is not None}
        elif answer:
            fields = dict(pairs(answer))
        whole, _ = fields.pop(WHOLE_DAY.encode(), None), fields.pop(COVERED.encode(), None)
        parts = []
        with self._damage_told(host, day, self.keys.frame(host, day)):
            if whole is not None:
                settled = unpack_day(host, whole, day, measures)
                if fields:
                    newer = [bucket_field(start).encode() in fields for start in settled.start]
                    settled = settled.select(~np.array(newer, dtype=np.bool_))
                parts.append(settled)
            if texts := [text for text in fields.values() if text]:
                parts.append(unpack_buckets(host, texts, measures))
            return joined(parts) if parts else None

    @contextmanager
    def _damage_told(self, host: str, day: int, key: str) -> Iterator[None]:
        try:
            yield
        except (PackingError, ValueError) as error:
            raise StoreError(
                f"the frame of {host!r} under {key!r} at {self.address} cannot be read: {error}. "
                "If it is damaged, settle that day again"
            ) from None


@lru_cache(maxsize=64)
def _fields(day: int, asked: range) -> tuple[str, ...]:
    """The fields that tell the asked buckets of a day; none if these are many."""
    within = range(max(asked[0], day), min(asked[-1] + 1, day + DAY_SECONDS), BUCKET_SECONDS)
    if len(within) > _FEW_BUCKETS:
        return ()
    return (WHOLE_DAY, *map(bucket_field, within))


def _grouping(by: str | Sequence[str] | None) -> Grouping:
    chosen = () if by is None else (by,) if isinstance(by, str) else tuple(by)
    known = next((g for g in GROUPINGS if set(g) == set(chosen) and len(g) == len(chosen)), None)
    if known is None and chosen:
        raise ValueError(f"by {by!r} is none of None, 'username', 'comm', ('username', 'comm')")
    return known or ()
