"""A bucket as a text of its own, for the newest ones, which change one by one: docs/frames.md.

A text begins with its stage, at which the scripts in Redis look, and its version.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np
import orjson

from snapshot_assets.domain.measures import MEASURES, Measure
from snapshot_assets.domain.usage import Entries, Ints, Usage
from snapshot_assets.store.packing.damage import PackingError, damage_reported, unknown_version
from snapshot_assets.store.packing.sections import Column, Columns, columns_in

BUCKET_VERSION = 2

# The first byte, in every version: a script that writes live buckets leaves settled ones alone.
SETTLED_MARK, LIVE_MARK = b"S", b"L"
_HEAD = 10  # mark, version, checksum in hexadecimal
_VERSIONS = {b"%d" % version: version for version in range(1, BUCKET_VERSION + 1)}

_BUCKET: Columns = (
    Column("start"),
    Column("coverage"),
    Column("snapshots"),
    *map(Column, MEASURES),
)


def pack_buckets(usage: Usage) -> dict[int, bytes]:
    """Each bucket of one host as a text of its own, by epoch second."""
    columns: dict[str, Ints] = {measure: usage.totals[measure] for measure in MEASURES}
    columns |= {
        "start": usage.start,
        "coverage": usage.coverage,
        "snapshots": usage.snapshots,
    }
    rows = zip(*(columns[column.name].tolist() for column in _BUCKET), strict=True)
    tables = [_tables(usage, usage.entries[measure]) for measure in MEASURES]
    packed = {}
    for start, settled, row, *of_measures in zip(
        usage.start.tolist(), usage.settled.tolist(), rows, *tables, strict=True
    ):
        head = b"%b%d" % (SETTLED_MARK if settled else LIVE_MARK, BUCKET_VERSION)
        body = orjson.dumps([row, *of_measures])
        packed[start] = b"%b%08x%b" % (head, zlib.crc32(body, zlib.crc32(head)), body)
    return packed


def unpack_buckets(
    host: str, texts: Iterable[bytes], measures: Sequence[Measure] = MEASURES
) -> Usage:
    """The inverse of :func:`pack_buckets`, ascending; only the requested measures have entries.

    Raises:
        PackingError: a text is damaged or of an unknown version.
    """
    bodies: dict[int, list[bytes]] = {version: [] for version in _VERSIONS.values()}
    marks: dict[int, list[bool]] = {version: [] for version in _VERSIONS.values()}
    for text in texts:
        version = _VERSIONS.get(text[1:2])
        if version is None:
            raise unknown_version(text[1:2].decode("latin-1"), BUCKET_VERSION)
        body = text[_HEAD:]
        # In version 1 the stage was not under the checksum.
        before = zlib.crc32(text[:2]) if version > 1 else 0
        if text[:1] not in (SETTLED_MARK, LIVE_MARK) or text[2:_HEAD] != b"%08x" % (
            zlib.crc32(body, before)
        ):
            raise PackingError("its checksum is wrong")
        bodies[version].append(body)
        marks[version].append(text[:1] == SETTLED_MARK)
    columns: dict[str, list[int]] = {column.name: [] for column in _BUCKET}
    tables: dict[Measure, list[Any]] = {measure: [] for measure in MEASURES}
    with damage_reported():
        for version, found in bodies.items():
            _unpack_into(columns, tables, version, found)
        usage = _usage(host, columns, tables, list(chain(*marks.values())), measures)
    order = np.argsort(usage.start, kind="stable")
    return usage if bool((order == np.arange(len(order))).all()) else usage.at(order)


def _tables(usage: Usage, entries: Entries) -> list[tuple[list[Any], ...]]:
    """For each bucket the columns of what is listed: username, comm, millionths."""
    bounds = np.searchsorted(entries.bucket_index, np.arange(len(usage) + 1)).tolist()
    owners = [usage.owners[i] for i in entries.owner_index.tolist()]
    columns = ([o[0] for o in owners], [o[1] for o in owners], entries.micro.tolist())
    return [tuple(column[low:high] for column in columns) for low, high in pairwise(bounds)]


def _unpack_into(
    columns: dict[str, list[int]],
    tables: dict[Measure, list[Any]],
    version: int,
    bodies: Sequence[bytes],
) -> None:
    """Append what texts of one version say; what a version does not have yet is 0."""
    if not bodies:
        return
    buckets = orjson.loads(b"[%b]" % b",".join(bodies))
    if version == 1:
        buckets = [_of_version_1(*bucket) for bucket in buckets]
    rows, *of_measures = zip(*buckets, strict=True)
    present = columns_in(_BUCKET, version)
    for column, values in zip(present, zip(*rows, strict=True), strict=True):
        columns[column.name] += values
    for column in _BUCKET[len(present) :]:
        columns[column.name] += [0] * len(rows)
    for measure, found in zip(MEASURES, of_measures, strict=True):
        tables[measure] += found


def _of_version_1(*bucket: Any) -> list[Any]:
    """A bucket as version 2 has it; its entries were flat: username, comm, millionths, ...."""
    *row, cpu, mem = bucket
    return [row, *([flat[0::3], flat[1::3], flat[2::3]] for flat in (cpu, mem))]


def _usage(
    host: str,
    columns: dict[str, list[int]],
    tables: dict[Measure, list[Any]],
    settled: list[bool],
    measures: Sequence[Measure],
) -> Usage:
    lengths, pairs, micros = {}, {}, {}
    for measure in MEASURES:
        wanted = tables[measure] if measure in measures else [((), (), ())] * len(settled)
        usernames, comms, micro = zip(*wanted, strict=True) if wanted else ((), (), ())
        lengths[measure] = list(map(len, micro))
        if not list(map(len, usernames)) == list(map(len, comms)) == lengths[measure]:
            raise PackingError("its columns differ in length")
        pairs[measure] = list(zip(chain(*usernames), chain(*comms), strict=True))
        micros[measure] = list(chain(*micro))
    owners = tuple(sorted({pair for found in pairs.values() for pair in found}))
    place = {owner: i for i, owner in enumerate(owners)}
    return Usage(
        hosts=(host,),
        owners=owners,
        host_index=np.zeros(len(settled), dtype=np.int64),
        start=_ints(columns["start"]),
        coverage=_ints(columns["coverage"]),
        snapshots=_ints(columns["snapshots"]),
        settled=np.array(settled, dtype=np.bool_),
        totals={measure: _ints(columns[measure]) for measure in MEASURES},
        entries={
            measure: Entries(
                bucket_index=np.repeat(np.arange(len(settled)), lengths[measure]),
                owner_index=_ints([place[pair] for pair in pairs[measure]]),
                micro=_ints(micros[measure]),
            )
            for measure in MEASURES
        },
    )


def _ints(values: Sequence[int]) -> Ints:
    return np.array(values, dtype=np.int64)
