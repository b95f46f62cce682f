"""Plans that read documents, and what can be told from which documents there are."""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from snapshot_assets.domain.documents import Document, parsed_documents
from snapshot_assets.domain.summary import GROUPINGS, Resolution, Summary, averaged
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS, bucket_start
from snapshot_assets.domain.usage import MEASURES
from snapshot_assets.errors import StoreError
from snapshot_assets.store.layout import day_field, day_of
from snapshot_assets.store.reading.frames import FramePlans
from snapshot_assets.store.reading.gc_pause import gc_paused
from snapshot_assets.store.reading.plan import Ask, Plan, chunks, days_in, resolution_of
from snapshot_assets.store.transport.server import name, pairs

# About a megabyte and a half of documents of one host.
_BUCKETS_PER_REQUEST = 1_000
_DAYS_PER_REQUEST = 400
# last_update() also sees buckets of a writer whose clock is ahead by up to this.
_CLOCK_TOLERANCE_SECONDS = 3_600
# Where last_update() looks before it searches: the newest three hours.
_NEWEST_BUCKETS = 36


class Holding(NamedTuple):
    """The hosts with a document under a bucket's key, and the key's expiry, epoch seconds.

    The expiry is -1 for a key that never expires and -2 for one that is not there.
    """

    hosts: frozenset[str]
    expire_at: int


class Plans(FramePlans):
    """All plans; what they are for is told by the readers."""

    def _data_plan(
        self,
        host: str | None,
        start_time: dt.datetime | None,
        end_time: dt.datetime | None,
        resolution: Resolution | str,
    ) -> Plan[OrderedDict[int, dict[str, Any]]]:
        asked = self._buckets(start_time, end_time)
        chosen = resolution_of(resolution, asked)
        if chosen != "5min":
            pieces = yield from self._pieces(host, asked, chosen, MEASURES, GROUPINGS[0])
            return _averaged(host, pieces, chosen)
        found: OrderedDict[int, dict[str, Any]] = OrderedDict()
        for chunk in chunks(asked, _BUCKETS_PER_REQUEST):
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
                        key = self.keys.document(bucket)
                        found[bucket] = {
                            (known := name(raw, key)): self._decode(body, bucket, known)
                            for raw, body in sorted(pairs(answer))
                        }
        return found

    def _hosts_plan(
        self, start_time: dt.datetime | None, end_time: dt.datetime | None
    ) -> Plan[list[str]]:
        asked = self._buckets(start_time, end_time)
        days = days_in(asked)[::-1]
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
        for days in chunks(range(day_of(newest), oldest - 1, -DAY_SECONDS), _DAYS_PER_REQUEST):
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
        for chunk in chunks(buckets, _BUCKETS_PER_REQUEST):
            keys = [self.keys.document(bucket) for bucket in chunk]
            hosts, expiries = yield [Ask("HKEYS", keys), Ask("EXPIRETIME", keys)]
            for bucket, key, fields, expiry in zip(chunk, keys, hosts, expiries, strict=True):
                found[bucket] = Holding(frozenset(name(raw, key) for raw in fields), expiry)
        return found

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


def _averaged(
    host: str | None, pieces: Sequence[tuple[str, Summary]], resolution: Resolution
) -> OrderedDict[int, dict[str, Any]]:
    """The means as documents, in the order of time and host."""
    found: dict[int, dict[str, Document]] = {}
    for of, summary in pieces:
        used = averaged(of, summary)
        means = parsed_documents(used, resolution)
        for start, document in zip(used.start.tolist(), means, strict=True):
            found.setdefault(start, {})[of] = document
    ascending = sorted(found.items())
    if host is not None:
        return OrderedDict((start, of_host[host]) for start, of_host in ascending)
    return OrderedDict(ascending)
