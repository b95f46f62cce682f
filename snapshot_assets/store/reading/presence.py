"""Plans that find out what Redis holds without reading it: hosts, newest buckets, expiries.

The modules ``documents`` and ``frames`` read the contents.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS, bucket_start
from snapshot_assets.store.layout import COMPLETE, COVERED, Keys, day_field, day_of
from snapshot_assets.store.reading.plan import Plan, Plans, Request, buckets_before, chunks, days_in
from snapshot_assets.store.transport.answers import decoded_host, decoded_number, pairs

_BUCKETS_PER_REQUEST = 1_000
_DAYS_PER_REQUEST = 400
_HOSTS_PER_REQUEST = 500
# A day has a record of about 90 bytes for each host.
_RECORD_DAYS_PER_REQUEST = 50
# last_update() also finds buckets of a writer whose clock is ahead by up to this.
_CLOCK_TOLERANCE_SECONDS = 3_600
# last_update() first tries the newest three hours, and only then searches day by day.
_NEWEST_BUCKETS = 36


class Holding(NamedTuple):
    """The hosts with a document under a bucket's key, and the key's expiry, epoch seconds.

    The expiry is -1 for a key that never expires, and -2 for a key that does not exist.
    """

    hosts: frozenset[str]
    expire_at: int


class FrameHolding(NamedTuple):
    """The frames of one host on one day.

    Attributes:
        buckets: starts of the buckets in the day that was settled as a whole, epoch seconds; None
            if Redis has no such day.
        newer: number of buckets that were written one by one.
        summaries: whether Redis has both summaries, by hour and by day.
    """

    buckets: tuple[int, ...] | None
    newer: int
    summaries: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far Redis was filled. Redis keeps this record and loses it together with the documents.

    Attributes:
        live_until: epoch second up to which the live path has published; None if never.
        complete: whether Redis has all settled days; False after the server was emptied.
        newest_epoch: for each host the time of the newest snapshot that the live path has read,
            epoch seconds.
        arrived_epoch: when that snapshot arrived at the earliest, epoch seconds. Hosts that an
            earlier version has read are missing.
        live_recipe: the settings that made everything live, as text; None if that is not known.
    """

    live_until: float | None
    complete: bool
    newest_epoch: dict[str, float]
    arrived_epoch: dict[str, float]
    live_recipe: str | None


class PresencePlans(Plans):
    """Plans that find out what Redis holds."""

    def hosts(
        self, start_time: dt.datetime | None, end_time: dt.datetime | None
    ) -> Plan[list[str]]:
        """The hosts with a frame or a summary on the UTC days that the range touches, sorted."""
        days = days_in(buckets_before(start_time, end_time, self.clock()))[::-1]
        on_day = yield from hosts_of_days(self.keys, days)
        confirmed: set[str] = set()
        for day in days:
            names = sorted(on_day[day] - confirmed)
            if names:
                # The set of a day's hosts keeps a host even if all its frames were removed.
                fine = Request("EXISTS", [self.keys.frame(host, day) for host in names])
                coarse = [self.keys.summary(host, "day", day) for host in names]
                answers = yield [fine, Request("HEXISTS", coarse, (day_field(day),))]
                confirmed |= {host for host, a, b in zip(names, *answers, strict=True) if a or b}
        return sorted(confirmed)

    def last_update(self, host: str | None) -> Plan[dt.datetime | None]:
        """The start of the newest bucket with a document of this host, or of any host if None."""
        newest = bucket_start(self.clock() + _CLOCK_TOLERANCE_SECONDS)
        found = yield from self._newest_document(
            range(newest, newest - _NEWEST_BUCKETS * BUCKET_SECONDS, -BUCKET_SECONDS), host
        )
        if found is not None:
            return found
        oldest = day_of(bucket_start(self.clock() - self.keys.retention.longest))
        for days in chunks(range(day_of(newest), oldest - 1, -DAY_SECONDS), _DAYS_PER_REQUEST):
            index = [self.keys.hosts_of_day(day) for day in days]
            request = (
                Request("EXISTS", index) if host is None else Request("SISMEMBER", index, (host,))
            )
            (answers,) = yield [request]
            for day, known in zip(days, answers, strict=True):
                if known:
                    buckets = range(day + DAY_SECONDS - BUCKET_SECONDS, day - 1, -BUCKET_SECONDS)
                    found = yield from self._newest_document(buckets, host)
                    if found is not None:
                        return found
        return None

    def holdings(self, buckets: Sequence[int]) -> Plan[dict[int, Holding]]:
        """For each of these buckets the hosts with a document, and the expiry of the key."""
        found: dict[int, Holding] = {}
        for chunk in chunks(buckets, _BUCKETS_PER_REQUEST):
            keys = [self.keys.document(bucket) for bucket in chunk]
            hosts, expiries = yield [Request("HKEYS", keys), Request("EXPIRETIME", keys)]
            for bucket, key, fields, expiry in zip(chunk, keys, hosts, expiries, strict=True):
                names = frozenset(decoded_host(raw, key) for raw in fields)
                found[bucket] = Holding(names, expiry)
        return found

    def frame_holdings(self, day: int, hosts: Sequence[str]) -> Plan[dict[str, FrameHolding]]:
        """The frames of these hosts on the UTC day that starts at this epoch second."""
        found: dict[str, FrameHolding] = {}
        for chunk in chunks(hosts, _HOSTS_PER_REQUEST):
            fine = [self.keys.frame(host, day) for host in chunk]
            hours = [self.keys.summary(host, "hour", day) for host in chunk]
            in_days = [self.keys.summary(host, "day", day) for host in chunk]
            field = (day_field(day),)
            answers = yield [
                Request("HGET", fine, (COVERED,)),
                Request("HLEN", fine),
                Request("HEXISTS", hours, field),
                Request("HEXISTS", in_days, field),
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

    def records(self, days: Sequence[int]) -> Plan[dict[int, dict[str, str]]]:
        """For each of these UTC days (epoch seconds) the record of each settled host."""
        found: dict[int, dict[str, str]] = {}
        for chunk in chunks(days, _RECORD_DAYS_PER_REQUEST):
            keys = [self.keys.records(day) for day in chunk]
            (answers,) = yield [Request("HGETALL", keys)]
            for day, key, fields in zip(chunk, keys, answers, strict=True):
                found[day] = {
                    decoded_host(host, key): text.decode("utf-8", "replace")
                    for host, text in pairs(fields)
                }
        return found

    def progress(self) -> Plan[Progress]:
        """How far this server was filled, and the hosts that the live path has read."""
        state, known, arrivals = self.keys.state, self.keys.newest_snapshots, self.keys.arrivals
        ((until, complete, recipe),), (newest,), (arrived,) = yield [
            Request("HMGET", [state], ("live_until", COMPLETE, "live_recipe")),
            Request("HGETALL", [known]),
            Request("HGETALL", [arrivals]),
        ]
        return Progress(
            live_until=None if until is None else decoded_number(until, state),
            complete=complete is not None,
            newest_epoch=_numbers(newest, known),
            arrived_epoch=_numbers(arrived, arrivals),
            live_recipe=None if recipe is None else recipe.decode("utf-8", "replace"),
        )

    def _newest_document(self, buckets: range, host: str | None) -> Plan[dt.datetime | None]:
        keys = [self.keys.document(bucket) for bucket in buckets]
        request = Request("EXISTS", keys) if host is None else Request("HEXISTS", keys, (host,))
        (answers,) = yield [request]
        for bucket, present in zip(buckets, answers, strict=True):
            if present:
                return dt.datetime.fromtimestamp(bucket, dt.UTC)
        return None


def _numbers(answer: Any, key: str) -> dict[str, float]:
    return {decoded_host(host, key): decoded_number(number, key) for host, number in pairs(answer)}


def hosts_of_days(keys: Keys, days: Sequence[int]) -> Plan[dict[int, frozenset[str]]]:
    """For each of these UTC days (epoch seconds) the hosts that ever had frames on that day."""
    found = {}
    for chunk in chunks(days, _DAYS_PER_REQUEST):
        index = [keys.hosts_of_day(day) for day in chunk]
        (answers,) = yield [Request("SMEMBERS", index)]
        for day, key, members in zip(chunk, index, answers, strict=True):
            found[day] = frozenset(decoded_host(raw, key) for raw in members)
    return found
