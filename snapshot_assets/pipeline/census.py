"""The census: does Redis hold exactly the buckets that it should hold, until their expiry?

The footers of the lake's files say which buckets those are, and which version of a host-day the
lake has, so :func:`census` reads no document, no frame and no row. What a census finds is mended by
a restore, which :func:`request_restore` requests. :func:`disagreements` reads contents: it compares
a host's documents with its frames.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from snapshot_assets.domain.documents import parsed_documents
from snapshot_assets.domain.fingerprint import parts_of_record
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.time import Window
from snapshot_assets.errors import LakeError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.notes import AGGREGATES
from snapshot_assets.pipeline.inspection import kept_documents
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets.store.writing.writer import SnapshotWriter


@dataclass(frozen=True, slots=True)
class Irregularity:
    """One difference between a day in Redis and the same day in the lake.

    Attributes:
        day: UTC day.
        host: the host concerned; None for the expiry of whole buckets and for a lake file.
        problem: ``missing``, ``surplus`` or ``wrong expiry`` of documents, ``missing in frames`` or
            ``surplus in frames``, ``no summary``, ``no record`` or ``another version`` of a
            host-day, or the error of a lake file.
        buckets: epoch seconds of the buckets concerned, ascending; empty for a record and for a
            lake file.
        restorable: whether a restore from the lake mends it; False for a lake file.
    """

    day: dt.date
    host: str | None
    problem: str
    buckets: tuple[int, ...]
    restorable: bool = True


@dataclass(frozen=True, slots=True)
class DayCensus:
    """One day: how many documents Redis should hold, and the irregularities found."""

    day: dt.date
    expected: int
    irregularities: tuple[Irregularity, ...]


def census(
    lake: Lake, reader: RedisReader, day: dt.date, hosts: Collection[str] | None = None
) -> DayCensus:
    """Compare a settled day in Redis with the same day in the lake.

    Args:
        lake: where the aggregates are; each file says which buckets it has.
        reader: the Redis to compare.
        day: UTC day. Buckets past the retention are not expected.
        hosts: only these hosts; None for all hosts in the lake.

    Raises:
        LakeError: the lake cannot be listed.
        StoreError: Redis cannot be read.
    """
    window = Window.of_day(day)
    # A bucket that expires during the census is neither missing nor surplus.
    horizon = reader.clock() + 60
    keys = reader.keys
    alive = [bucket for bucket in window.buckets() if keys.document_expiry(bucket) > horizon]
    settled: dict[str, set[int]] = {}
    fingerprints: dict[str, str] = {}
    damaged: list[LakeError] = []
    for entry in lake.entries(AGGREGATES, day, damaged.append):
        if hosts is None or entry.host in hosts:
            settled[entry.host] = set(entry.note.bucket_starts(window))
            fingerprints[entry.host] = entry.note.fingerprint
    expected = {host: buckets & set(alive) for host, buckets in settled.items()}
    holdings = reader.holdings(alive)
    frames = {}
    if keys.frame_expiry(window.start) > horizon:
        frames = reader.frame_holdings(window.start, sorted(settled))
    records: dict[str, str] | None = None
    if keys.retains(window.end, horizon):
        records = reader.records([window.start])[window.start]

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
        if records is not None:
            for host, fingerprint in sorted(fingerprints.items()):
                if wrong_record := _problem_of_record(records.get(host), fingerprint):
                    yield Irregularity(day, host, wrong_record, ())
        stale = [
            bucket
            for bucket, holding in holdings.items()
            if holding.hosts and holding.expire_at != keys.document_expiry(bucket)
        ]
        for error in damaged:
            yield Irregularity(day, None, str(error), (), restorable=False)
        if stale:
            yield Irregularity(day, None, "wrong expiry", tuple(stale))

    return DayCensus(day, sum(map(len, expected.values())), tuple(irregularities()))


def census_of(lake: Lake, reader: RedisReader, host_days: Iterable[HostDay]) -> list[DayCensus]:
    """The census of some host-days, one result for each day.

    Raises:
        LakeError, StoreError: as :func:`census`.
    """
    by_day = groupby(sorted(host_days), key=lambda host_day: host_day.day)
    return [census(lake, reader, day, {one.host for one in group}) for day, group in by_day]


def whole_census(lake: Lake, reader: RedisReader) -> list[DayCensus]:
    """The census of every day in the lake of which Redis still keeps documents or frames.

    A day with irregularities is compared once more, as a run may just have been replacing it.

    Raises:
        LakeError, StoreError: as :func:`census`.
    """
    horizon = reader.clock() - reader.keys.retention.frames
    alive = [day for day in lake.days(AGGREGATES) if Window.of_day(day).end > horizon]
    found = [census(lake, reader, day) for day in alive]
    return [census(lake, reader, one.day) if one.irregularities else one for one in found]


def request_restore(writer: SnapshotWriter, days: Iterable[DayCensus]) -> bool:
    """Mark Redis as incomplete if a restore mends something that a census has found.

    A Redis that is marked so is restored as one that was emptied.

    Returns:
        Whether Redis is marked.

    Raises:
        StoreError: Redis cannot be written.
    """
    if not any(one.restorable for day in days for one in day.irregularities):
        return False
    writer.record_complete(False)
    return True


def disagreements(reader: RedisReader, host: str, window: Window) -> list[int]:
    """The buckets of a host whose document differs from its frame, ascending.

    The frames are converted to documents and then compared.

    Raises:
        StoreError: Redis cannot be read, or a document or frame is damaged.
    """
    buckets = window.buckets()
    if not buckets:
        return []
    held = kept_documents(reader, host, window)
    used = reader.usage(host, buckets)
    framed: dict[int, object] = {}
    if used is not None:
        framed = dict(zip(used.start.tolist(), parsed_documents(used), strict=True))
    return sorted(b for b in held.keys() | framed.keys() if held.get(b) != framed.get(b))


def _problem_of_record(record: str | None, fingerprint: str) -> str | None:
    """What is wrong with a record, given the fingerprint of the aggregates in the lake."""
    if record is None:
        return "no record"
    return None if parts_of_record(record)[0] == fingerprint else "another version"
