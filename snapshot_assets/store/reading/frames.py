"""Plans that read frames: usage in columns, at any resolution. Layout: docs/frames.md."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from snapshot_assets.domain.frames import machine_frame, tidy
from snapshot_assets.domain.measures import GROUPINGS, MEASURES, Grouping, Measure, Resolution
from snapshot_assets.domain.summary import Summary, summarise
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS
from snapshot_assets.domain.usage import Usage, joined
from snapshot_assets.errors import StoreError
from snapshot_assets.store.layout import COVERED, WHOLE_DAY, bucket_field, day_field
from snapshot_assets.store.packing.buckets import unpack_buckets
from snapshot_assets.store.packing.damage import PackingError
from snapshot_assets.store.packing.days import unpack_day
from snapshot_assets.store.packing.summaries import unpack_summary
from snapshot_assets.store.reading.gc_pause import gc_paused
from snapshot_assets.store.reading.plan import (
    Plan,
    Plans,
    Request,
    buckets_before,
    chunks,
    days_in,
    resolution_of,
)
from snapshot_assets.store.reading.presence import hosts_of_days
from snapshot_assets.store.transport.answers import pairs

# A breakdown that is none: what the kernel counted of the whole machine.
_MACHINE = ("machine",)
# About three megabytes of frames.
_HOST_DAYS_PER_REQUEST = 500
# Up to this many buckets of a day are requested field by field; more come with all other fields.
_FEW_BUCKETS = 36


class FramePlans(Plans):
    """Plans that read frames."""

    def frames(
        self,
        hosts: str | Sequence[str] | None,
        start_time: dt.datetime | None,
        end_time: dt.datetime | None,
        measures: Sequence[Measure],
        by: str | Sequence[str] | None,
        resolution: Resolution | str,
    ) -> Plan[dict[Measure, pd.DataFrame]]:
        """The plan of ``get_frames``, for these measures."""
        of_machine = _chosen(by) == _MACHINE
        grouping = () if of_machine else _grouping(by)
        pieces, chosen = yield from self._pieces(
            hosts, start_time, end_time, measures, grouping, resolution, of_machine
        )
        if of_machine:
            return {measure: machine_frame(pieces, measure, chosen) for measure in measures}
        return {measure: tidy(pieces, measure, grouping, chosen) for measure in measures}

    def frames_and_machine(
        self,
        hosts: str | Sequence[str] | None,
        start_time: dt.datetime | None,
        end_time: dt.datetime | None,
        by: str | Sequence[str] | None,
        resolution: Resolution | str,
    ) -> Plan[tuple[dict[Measure, pd.DataFrame], dict[Measure, pd.DataFrame]]]:
        """The plan of ``get_frames`` twice, with this ``by`` and by machine, from one reading."""
        grouping = _grouping(by)
        pieces, chosen = yield from self._pieces(
            hosts, start_time, end_time, MEASURES, grouping, resolution, machine=True
        )
        return (
            {measure: tidy(pieces, measure, grouping, chosen) for measure in MEASURES},
            {measure: machine_frame(pieces, measure, chosen) for measure in MEASURES},
        )

    def _pieces(
        self,
        hosts: str | Sequence[str] | None,
        start_time: dt.datetime | None,
        end_time: dt.datetime | None,
        measures: Sequence[Measure],
        grouping: Grouping,
        resolution: Resolution | str,
        machine: bool,
    ) -> Plan[tuple[list[tuple[str, Summary]], Resolution]]:
        """What a frame is made of, and its resolution."""
        for measure in measures:
            if measure not in MEASURES:
                raise ValueError(f"measure {measure!r} is unknown; use {' or '.join(MEASURES)}")
        requested = buckets_before(start_time, end_time, self.clock())
        chosen = resolution_of(resolution, requested)
        pieces = yield from self.summaries(hosts, requested, chosen, measures, grouping, machine)
        return pieces, chosen

    def summaries(
        self,
        hosts: str | Sequence[str] | None,
        requested: range,
        resolution: Resolution,
        measures: Sequence[Measure],
        grouping: Grouping,
        machine: bool,
    ) -> Plan[list[tuple[str, Summary]]]:
        """Host and summary of each day in the range, by host and then by day.

        The summaries have what the kernel counted only if ``machine`` asks for it.
        """
        wanted = yield from self._host_days(hosts, days_in(requested))
        found: dict[tuple[str, int], Summary] = {}
        if resolution != "5min":
            # A day that lies only partly in the range is summed up from its buckets in the range.
            whole = [
                (host, day)
                for host, day in wanted
                if requested[0] <= day and day + DAY_SECONDS - BUCKET_SECONDS <= requested[-1]
            ]
            found = yield from self._kept_summaries(whole, resolution, measures, grouping, machine)
        left = [host_day for host_day in wanted if host_day not in found]
        groupings = [grouping] if grouping else []
        for chunk in chunks(left, _HOST_DAYS_PER_REQUEST):
            hosts_by_day: dict[int, list[str]] = {}
            for host, day in chunk:
                hosts_by_day.setdefault(day, []).append(host)
            answers = yield [
                self._frame_request(day_hosts, day, requested)
                for day, day_hosts in hosts_by_day.items()
            ]
            with gc_paused():
                for (day, day_hosts), host_answers in zip(
                    hosts_by_day.items(), answers, strict=True
                ):
                    for host, answer in zip(day_hosts, host_answers, strict=True):
                        usage = self._unpacked(host, day, requested, answer, measures, machine)
                        if usage is not None:
                            usage = usage.between(requested[0], requested[-1])
                            found[host, day] = summarise(usage, resolution, measures, groupings)
        return [(host, found[host, day]) for host, day in wanted if (host, day) in found]

    def usage(self, host: str, buckets: range) -> Plan[Usage | None]:
        """A host's usage in these buckets, from the frames, for a comparison with the documents."""
        days = days_in(buckets)
        answers = yield [self._frame_request([host], day, buckets) for day in days]
        found = [
            usage
            for day, (answer,) in zip(days, answers, strict=True)
            if (usage := self._unpacked(host, day, buckets, answer, MEASURES, True)) is not None
        ]
        if not found:
            return None
        return joined(found).between(buckets[0], buckets[-1])

    def _host_days(
        self, hosts: str | Sequence[str] | None, days: Sequence[int]
    ) -> Plan[list[tuple[str, int]]]:
        """The (host, day) pairs to read, by host and then by day."""
        if isinstance(hosts, str):
            hosts = [hosts]
        if hosts is not None:
            return [(host, day) for host in dict.fromkeys(hosts) for day in days]
        on_day = yield from hosts_of_days(self.keys, days)
        all_hosts = sorted(frozenset[str]().union(*on_day.values()))
        return [(host, day) for host in all_hosts for day in days if host in on_day[day]]

    def _kept_summaries(
        self,
        host_days: Sequence[tuple[str, int]],
        resolution: Resolution,
        measures: Sequence[Measure],
        grouping: Grouping,
        machine: bool,
    ) -> Plan[dict[tuple[str, int], Summary]]:
        """The summaries that Redis keeps of these days; only settled days have one."""
        found: dict[tuple[str, int], Summary] = {}
        for chunk in chunks(host_days, _HOST_DAYS_PER_REQUEST):
            months: dict[str, list[tuple[str, int]]] = {}
            for host, day in chunk:
                months.setdefault(self.keys.summary(host, resolution, day), []).append((host, day))
            answers = yield [
                Request("HMGET", [key], tuple(day_field(day) for _, day in wanted))
                for key, wanted in months.items()
            ]
            for (key, wanted), (blobs,) in zip(months.items(), answers, strict=True):
                for (host, day), blob in zip(wanted, blobs, strict=True):
                    if blob is not None:
                        with self._damage_reported(host, day, key):
                            found[host, day] = unpack_summary(
                                blob, resolution, day, measures, grouping, machine
                            )
        return found

    def _frame_request(self, hosts: Sequence[str], day: int, requested: range) -> Request:
        """A request for all fields of the hosts' day, or for a few requested buckets."""
        fields = _fields(day, requested)
        keys = [self.keys.frame(host, day) for host in hosts]
        return Request("HMGET", keys, fields) if fields else Request("HGETALL", keys)

    def _unpacked(
        self,
        host: str,
        day: int,
        requested: range,
        answer: Any,
        measures: Sequence[Measure],
        machine: bool,
    ) -> Usage | None:
        """One host's day: the day settled as a whole, replaced by newer buckets if there are any.

        None if Redis has nothing of this day.
        """
        fields: dict[bytes, bytes] = {}
        if by_name := _fields(day, requested):
            texts_by_field = zip(by_name, answer, strict=True)
            fields = {field.encode(): text for field, text in texts_by_field if text is not None}
        elif answer:
            fields = dict(pairs(answer))
        whole, _ = fields.pop(WHOLE_DAY.encode(), None), fields.pop(COVERED.encode(), None)
        parts = []
        with self._damage_reported(host, day, self.keys.frame(host, day)):
            if whole is not None:
                settled = unpack_day(host, whole, day, measures, machine)
                if fields:
                    newer = [bucket_field(start).encode() in fields for start in settled.start]
                    settled = settled.select(~np.array(newer, dtype=np.bool_))
                parts.append(settled)
            if texts := [text for text in fields.values() if text]:
                parts.append(unpack_buckets(host, texts, measures, machine))
            return joined(parts) if parts else None

    @contextmanager
    def _damage_reported(self, host: str, day: int, key: str) -> Iterator[None]:
        try:
            yield
        except (PackingError, ValueError) as error:
            raise StoreError(
                f"the frame of {host!r} under {key!r} at {self.address} cannot be read: {error}. "
                "If it is damaged, settle that day again"
            ) from None


@lru_cache(maxsize=64)
def _fields(day: int, requested: range) -> tuple[str, ...]:
    """The fields that hold the requested buckets of a day; empty to request all fields."""
    within = range(
        max(requested[0], day), min(requested[-1] + 1, day + DAY_SECONDS), BUCKET_SECONDS
    )
    if len(within) > _FEW_BUCKETS:
        return ()
    return (WHOLE_DAY, *map(bucket_field, within))


def _chosen(by: str | Sequence[str] | None) -> Grouping:
    return () if by is None else (by,) if isinstance(by, str) else tuple(by)


def _grouping(by: str | Sequence[str] | None) -> Grouping:
    chosen = _chosen(by)
    known = next((g for g in GROUPINGS if set(g) == set(chosen) and len(g) == len(chosen)), None)
    if known is None and chosen:
        raise ValueError(
            f"by {by!r} is unknown; use None, 'username', 'comm', ('username', 'comm') or 'machine'"
        )
    return known or ()
