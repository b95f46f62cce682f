"""The census: is everything in Redis that should be there, for as long as it should, and no more?

What should be there is told by the lake's footers; no document, no frame and no row is read.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from snapshot_assets.domain.documents import parsed_documents
from snapshot_assets.domain.time import Window
from snapshot_assets.errors import LakeError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.store.reading.reader import RedisReader


@dataclass(frozen=True, slots=True)
class Irregularity:
    """Something that is not as it should be with a host's day in Redis.

    Attributes:
        day: UTC day.
        host: whose documents; None where it is about whole buckets.
        problem: ``missing``, ``surplus`` or ``wrong expiry`` of documents, ``missing in frames`` or
            ``surplus in frames``, ``no summary``, or what is wrong with a lake file.
        buckets: epoch seconds of the buckets concerned, ascending; none for a lake file.
    """

    day: dt.date
    host: str | None
    problem: str
    buckets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DayCensus:
    """One day: how many documents should be in Redis, and what is irregular."""

    day: dt.date
    expected: int
    irregularities: tuple[Irregularity, ...]


def census(
    lake: Lake, reader: RedisReader, day: dt.date, hosts: Collection[str] | None = None
) -> DayCensus:
    """Compare what Redis holds of a settled day with the lake.

    Args:
        lake: where the aggregates are; each file says which buckets it has.
        reader: the Redis to look at.
        day: UTC day. Buckets past the retention are not expected.
        hosts: only these; all that the lake has if None.

    Raises:
        LakeError: the lake cannot be listed.
        StoreError: Redis cannot be read.
    """
    window = Window.of_day(day)
    # A bucket that expires while we look is neither missing nor surplus.
    horizon = reader.clock() + 60
    keys = reader.keys
    alive = [bucket for bucket in window.buckets() if keys.document_expiry(bucket) > horizon]
    settled: dict[str, set[int]] = {}
    damaged: list[LakeError] = []
    for entry in lake.entries("five_minute_aggregates", day, damaged.append):
        if hosts is None or entry.host in hosts:
            settled[entry.host] = set(window.decode(entry.note["buckets"]))
    expected = {host: buckets & set(alive) for host, buckets in settled.items()}
    holdings = reader.holdings(alive)
    frames = {}
    if keys.frame_expiry(window.start) > horizon:
        frames = reader.frame_holdings(window.start, sorted(settled))

    def irregularities() -> Iterator[Irregularity]:
        for host, buckets in sorted(expected.items()):
            held = {bucket for bucket in alive if host in holdings[bucket].hosts}
            for problem, wrong in (("missing", buckets - held), ("surplus", held - buckets)):
                if wrong:
                    yield Irregularity(day, host, problem, tuple(sorted(wrong)))
        for host, frame in frames.items():
            framed = set(frame.buckets or ())
            for problem, wrong in (
                ("missing in frames", settled[host] - framed),
                ("surplus in frames", framed - settled[host]),
            ):
                if wrong:
                    yield Irregularity(day, host, problem, tuple(sorted(wrong)))
            if settled[host] and not frame.summaries and not frame.newer:
                yield Irregularity(day, host, "no summary", (window.start,))
        stale = [
            bucket
            for bucket, holding in holdings.items()
            if holding.hosts and holding.expire_at != keys.document_expiry(bucket)
        ]
        for told in damaged:
            yield Irregularity(day, None, str(told), ())
        if stale:
            yield Irregularity(day, None, "wrong expiry", tuple(stale))

    return DayCensus(day, sum(map(len, expected.values())), tuple(irregularities()))


def disagreements(reader: RedisReader, host: str, window: Window) -> list[int]:
    """The buckets of a host of which documents and frames do not say the same, ascending.

    The frames are written down as documents once more, and compared as such.

    Raises:
        StoreError: Redis cannot be read, or one of them is damaged.
    """
    buckets = window.buckets()
    if not buckets:
        return []
    first, last = (dt.datetime.fromtimestamp(b, dt.UTC) for b in (buckets[0], buckets[-1]))
    held = reader.get_data(host, first, last)
    used = reader.usage(host, buckets)
    framed: dict[int, object] = {}
    if used is not None:
        framed = dict(zip(used.start.tolist(), parsed_documents(used), strict=True))
    return sorted(b for b in held.keys() | framed.keys() if held.get(b) != framed.get(b))
