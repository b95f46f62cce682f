"""What is asked of Redis, and what is made of the answers, without asking: plans.

A *plan* is a generator. It yields what it wants to know, is sent the answers, and returns the
result; so the reader for threads and the one for asyncio do the same, and differ only in how they
wait. Nothing here opens a connection. Keys are computed from the asked range, never searched: the
cost follows the range, not the keyspace.
"""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import orjson
import pandas as pd
from redis.exceptions import ResponseError

from snapshot_assets.domain.summary import (
    GROUPINGS,
    Grouping,
    Resolution,
    Summary,
    resolution_for,
    summarise,
    tidy,
)
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS, bucket_start, epoch
from snapshot_assets.domain.usage import MEASURES, Measure, Usage, joined
from snapshot_assets.errors import StoreError
from snapshot_assets.store.gc_pause import gc_paused
from snapshot_assets.store.keys import COVERED, WHOLE_DAY, bucket_field, day_field, day_of
from snapshot_assets.store.packing import (
    PackingError,
    unpack_buckets,
    unpack_day,
    unpack_summary,
)
from snapshot_assets.store.redis_base import RedisServer, pairs, refusal
from snapshot_assets.store.wire import Batch, pack

Document = dict[str, Any]
_Result = TypeVar("_Result")

DEFAULT_RANGE = dt.timedelta(hours=24)
# About a megabyte and a half of documents of one host.
_BUCKETS_PER_REQUEST = 1_000
# About three megabytes of frames.
_HOST_DAYS_PER_REQUEST = 500
_DAYS_PER_REQUEST = 400
# Up to so many buckets of a live day are asked for by name rather than with all others.
_FEW_BUCKETS = 36
# last_update() also sees buckets of a writer whose clock is ahead by up to this.
_CLOCK_TOLERANCE_SECONDS = 3_600
# Where last_update() looks before it searches: the newest three hours.
_NEWEST_BUCKETS = 36


@dataclass(frozen=True, slots=True)
class Ask:
    """One command, on each of these keys."""

    command: str
    keys: Sequence[str]
    arguments: tuple[str, ...] = ()

    def packed(self) -> bytes:
        """The requests as they go over the wire; ten times faster than packing each command."""
        # Only the key varies.
        head, tail = pack((self.command,)), b"".join(map(_bulk, self.arguments))
        head = b"*%d%b$" % (2 + len(self.arguments), head[2:])
        return b"".join(
            [
                b"%b%d\r\n%b\r\n%b" % (head, len(encoded), encoded, tail)
                for encoded in (key.encode() for key in self.keys)
            ]
        )


def batch_of(asks: Sequence[Ask]) -> Batch:
    """What is sent together."""
    return Batch(
        b"".join([ask.packed() for ask in asks]),
        sum(len(ask.keys) for ask in asks),
        lambda: [(key, (ask.command, key, *ask.arguments)) for ask in asks for key in ask.keys],
    )


def answers_of(asks: Sequence[Ask], answers: list[Any]) -> list[list[Any]]:
    """To each ask its answers, if none is a refusal.

    Raises:
        redis.ResponseError: the first refusal, with the command and key that it is about.
    """
    found, first = [], 0
    for ask in asks:
        mine = answers[first : first + len(ask.keys)]
        first += len(ask.keys)
        for key, answer in zip(ask.keys, mine, strict=True):
            if isinstance(answer, ResponseError):
                raise refusal(answer, ask.command, key)
        found.append(mine)
    return found


def _bulk(argument: str) -> bytes:
    encoded = argument.encode()
    return b"$%d\r\n%b\r\n" % (len(encoded), encoded)


# Yields what to ask, is sent the answers to each, in order, and returns the result.
Plan: TypeAlias = Generator[Sequence[Ask], list[list[Any]], _Result]


class Holding(NamedTuple):
    """The hosts with a document under a bucket's key, and the key's expiry, epoch seconds.

    The expiry is -1 for a key that never expires and -2 for one that is not there.
    """

    hosts: frozenset[str]
    expire_at: int


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


class Plans(RedisServer):
    """The plans of what a reader can be asked; see :class:`RedisReader` for what they mean."""

    # --- documents --------------------------------------------------------------------------

    def _data_plan(
        self,
        host: str | None,
        start_time: dt.datetime | None,
        end_time: dt.datetime | None,
    ) -> Plan[OrderedDict[int, dict[str, Any]]]:
        found: OrderedDict[int, dict[str, Any]] = OrderedDict()
        for chunk in _chunks(self._buckets(start_time, end_time), _BUCKETS_PER_REQUEST):
            keys = [self.keys.document(bucket) for bucket in chunk]
            ask = Ask("HGETALL", keys) if host is None else Ask("HGET", keys, (host,))
            (answers,) = yield [ask]
            with gc_paused():
                for bucket, answer in zip(chunk, answers, strict=True):
                    if not answer:
                        continue
                    if host is not None:
                        found[bucket] = self._decode(answer, bucket, host)
                    else:
                        found[bucket] = {
                            (name := raw.decode()): self._decode(body, bucket, name)
                            for raw, body in sorted(pairs(answer))
                        }
        return found

    def _hosts_plan(
        self, start_time: dt.datetime | None, end_time: dt.datetime | None
    ) -> Plan[list[str]]:
        asked = self._buckets(start_time, end_time)
        days = _days(asked)[::-1]
        on_day = yield from self._hosts_of_days(days)
        confirmed: set[str] = set()
        for day in days:
            names = sorted(on_day[day] - confirmed)
            if names:
                # A host stays among a day's hosts when all it had there was removed.
                fine = Ask("EXISTS", [self.keys.frame(name, day) for name in names])
                coarse = [self.keys.summary(name, "day", day) for name in names]
                whether = yield [fine, Ask("HEXISTS", coarse, (day_field(day),))]
                confirmed |= {name for name, a, b in zip(names, *whether, strict=True) if a or b}
        return sorted(confirmed)

    def _last_update_plan(self, host: str | None) -> Plan[dt.datetime | None]:
        newest = bucket_start(self.clock() + _CLOCK_TOLERANCE_SECONDS)
        found = yield from self._newest_document(
            range(newest, newest - _NEWEST_BUCKETS * BUCKET_SECONDS, -BUCKET_SECONDS), host
        )
        if found is not None:
            return found
        oldest = day_of(bucket_start(self.clock() - self.keys.retention.longest))
        for days in _chunks(range(day_of(newest), oldest - 1, -DAY_SECONDS), _DAYS_PER_REQUEST):
            index = [self.keys.hosts_of_day(day) for day in days]
            ask = Ask("EXISTS", index) if host is None else Ask("SISMEMBER", index, (host,))
            (answers,) = yield [ask]
            for day, known in zip(days, answers, strict=True):
                if known:
                    buckets = range(day + DAY_SECONDS - BUCKET_SECONDS, day - 1, -BUCKET_SECONDS)
                    found = yield from self._newest_document(buckets, host)
                    if found is not None:
                        return found
        return None

    def _newest_document(self, buckets: range, host: str | None) -> Plan[dt.datetime | None]:
        keys = [self.keys.document(bucket) for bucket in buckets]
        ask = Ask("EXISTS", keys) if host is None else Ask("HEXISTS", keys, (host,))
        (answers,) = yield [ask]
        for bucket, present in zip(buckets, answers, strict=True):
            if present:
                return dt.datetime.fromtimestamp(bucket, dt.UTC)
        return None

    def _holdings_plan(self, buckets: Sequence[int]) -> Plan[dict[int, Holding]]:
        found: dict[int, Holding] = {}
        for chunk in _chunks(buckets, _BUCKETS_PER_REQUEST):
            keys = [self.keys.document(bucket) for bucket in chunk]
            hosts, expiries = yield [Ask("HKEYS", keys), Ask("EXPIRETIME", keys)]
            for bucket, names, expiry in zip(chunk, hosts, expiries, strict=True):
                found[bucket] = Holding(frozenset(name.decode() for name in names), expiry)
        return found

    # --- frames -----------------------------------------------------------------------------

    def _frame_plan(
        self,
        hosts: str | Sequence[str] | None,
        start_time: dt.datetime | None,
        end_time: dt.datetime | None,
        measure: Measure,
        by: str | Sequence[str] | None,
        resolution: Resolution | str,
    ) -> Plan[pd.DataFrame]:
        grouping = _grouping(by)
        if measure not in MEASURES:
            raise ValueError(f"measure {measure!r} is none of {', '.join(MEASURES)}")
        asked = self._buckets(start_time, end_time)
        chosen = _resolution(resolution, asked)
        days = _days(asked)
        wanted = yield from self._host_days(hosts, days)
        found: dict[tuple[str, int], Summary] = {}
        if chosen != "5min":
            # A day that the range cuts is summed up from its buckets within the range.
            whole = [
                (host, day)
                for host, day in wanted
                if asked[0] <= day and day + DAY_SECONDS - BUCKET_SECONDS <= asked[-1]
            ]
            found = yield from self._summaries(whole, chosen, measure, grouping)
        left = [host_day for host_day in wanted if host_day not in found]
        groupings = [grouping] if grouping else []
        for chunk in _chunks(left, _HOST_DAYS_PER_REQUEST):
            of_day: dict[int, list[str]] = {}
            for host, day in chunk:
                of_day.setdefault(day, []).append(host)
            answers = yield [self._frame_ask(names, day, asked) for day, names in of_day.items()]
            with gc_paused():
                for (day, names), texts in zip(of_day.items(), answers, strict=True):
                    for host, answer in zip(names, texts, strict=True):
                        usage = self._usage(host, day, asked, answer, (measure,))
                        if usage is not None:
                            usage = usage.between(asked[0], asked[-1])
                            found[host, day] = summarise(usage, chosen, (measure,), groupings)
        pieces = [(host, found[host, day]) for host, day in wanted if (host, day) in found]
        return tidy(pieces, measure, grouping, chosen)

    def _usage_plan(self, host: str, buckets: range) -> Plan[Usage | None]:
        """What the frames say of a host's buckets, for comparing it with the documents."""
        days = _days(buckets)
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
        for chunk in _chunks(hosts, _HOST_DAYS_PER_REQUEST):
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
        for chunk in _chunks(days, _DAYS_PER_REQUEST):
            (answers,) = yield [Ask("SMEMBERS", [self.keys.hosts_of_day(day) for day in chunk])]
            for day, names in zip(chunk, answers, strict=True):
                found[day] = frozenset(name.decode() for name in names)
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
        measure: Measure,
        grouping: Grouping,
    ) -> Plan[dict[tuple[str, int], Summary]]:
        """The settled days among these."""
        found: dict[tuple[str, int], Summary] = {}
        for chunk in _chunks(host_days, _HOST_DAYS_PER_REQUEST):
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
                                blob, resolution, day, measure, grouping
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
        if names := _fields(day, asked):
            found = zip(names, answer, strict=True)
            fields = {name.encode(): text for name, text in found if text is not None}
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

    # --- ranges and texts -------------------------------------------------------------------

    def _buckets(self, start_time: dt.datetime | None, end_time: dt.datetime | None) -> range:
        """The starts of the buckets in ``[start_time, end_time]``, both included."""
        end = self.clock() if end_time is None else epoch(end_time, "end_time")
        if start_time is None:
            start = end - DEFAULT_RANGE.total_seconds()
        else:
            start = epoch(start_time, "start_time")
        if start > end:
            raise ValueError(f"start_time {start_time} is after end_time {end_time or 'now'}")
        first = -bucket_start(-start)  # rounded up
        return range(first, bucket_start(end) + 1, BUCKET_SECONDS)

    def _decode(self, body: bytes, bucket: int, host: str) -> Document:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise StoreError(
                f"{self._document_of(host, bucket)} is no JSON ({error}); settle that day again"
            ) from None
        if not isinstance(document, dict) or not document.keys() >= {"cpu", "mem", "meta"}:
            raise StoreError(
                f"{self._document_of(host, bucket)} is no document of ours; another program uses "
                "the same keys, set SNAPSHOT_KEY_PREFIX, or a newer snapshot_assets wrote it"
            )
        return document

    def _document_of(self, host: str, bucket: int) -> str:
        return f"the document of {host!r} under {self.keys.document(bucket)!r} at {self.address}"

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


def _resolution(resolution: str, asked: range) -> Resolution:
    if resolution == "auto":
        return resolution_for(len(asked) * BUCKET_SECONDS)
    for known in ("5min", "hour", "day"):
        if resolution == known:
            return known
    raise ValueError(f"resolution {resolution!r} is none of auto, 5min, hour, day")


def _days(buckets: range) -> list[int]:
    """The UTC days that these buckets lie in, ascending."""
    if not buckets:
        return []
    return list(range(day_of(buckets[0]), day_of(buckets[-1]) + 1, DAY_SECONDS))


_Item = TypeVar("_Item")


def _chunks(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]
