"""A bucket as a text of its own, for the newest buckets, which change one by one: docs/frames.md.

A text begins with a mark of its stage, which the scripts in Redis read, and its version.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np
import orjson

from snapshot_assets.domain.measures import COUNTS, MEASURES, Measure
from snapshot_assets.domain.usage import Entries, Ints, Usage
from snapshot_assets.store.packing.damage import PackingError, damage_reported, unknown_version
from snapshot_assets.store.packing.machines import (
    MACHINE_OF_BUCKETS,
    packed_machine,
    unpacked_machine,
)
from snapshot_assets.store.packing.sections import Column, Columns, columns_in

BUCKET_VERSION = 3

# The first byte, in every version. A script that writes live buckets does not overwrite settled
# buckets.
SETTLED_MARK, LIVE_MARK = b"S", b"L"
_HEAD = 10  # mark, version, checksum in hexadecimal
_VERSIONS = {b"%d" % version: version for version in range(1, BUCKET_VERSION + 1)}

_ENTRY_COLUMNS = 3  # username, comm, millionths
_BUCKET: Columns = (
    Column("start"),
    Column("coverage"),
    Column("snapshots"),
    *map(Column, MEASURES),
    *MACHINE_OF_BUCKETS,
)


def pack_buckets(usage: Usage) -> dict[int, bytes]:
    """Each bucket of one host as a text: start of the bucket (epoch second) to text."""
    columns: dict[str, Ints] = {
        **{measure: usage.totals[measure] for measure in MEASURES},
        **{count: usage.counts[count] for count in COUNTS},
        "start": usage.start,
        "coverage": usage.coverage,
        **packed_machine(usage.machine),
    }
    rows = zip(*(columns[column.name].tolist() for column in _BUCKET), strict=True)
    lists = [_flat_lists(usage, usage.entries[measure]) for measure in MEASURES]
    packed = {}
    for start, settled, row, *of_measures in zip(
        usage.start.tolist(), usage.settled.tolist(), rows, *lists, strict=True
    ):
        head = b"%b%d" % (SETTLED_MARK if settled else LIVE_MARK, BUCKET_VERSION)
        body = orjson.dumps([*row, _ENTRY_COLUMNS, *of_measures])
        packed[start] = b"%b%08x%b" % (head, zlib.crc32(body, zlib.crc32(head)), body)
    return packed


def unpack_buckets(
    host: str,
    texts: Iterable[bytes],
    measures: Sequence[Measure] = MEASURES,
    machine: bool = True,
) -> Usage:
    """The inverse of :func:`pack_buckets`, ascending; only the requested measures have entries.

    What the kernel counted is left out unless ``machine`` asks for it.

    Raises:
        PackingError: a text is damaged or of an unknown version.
    """
    bodies: dict[int, list[bytes]] = {version: [] for version in _VERSIONS.values()}
    settled: dict[int, list[bool]] = {version: [] for version in _VERSIONS.values()}
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
        settled[version].append(text[:1] == SETTLED_MARK)
    columns: dict[str, list[int]] = {column.name: [] for column in _BUCKET}
    lists: dict[Measure, list[list[Any]]] = {measure: [] for measure in MEASURES}
    with damage_reported():
        for version, found in bodies.items():
            if found:
                _unpack_into(columns, lists, version, found)
        usage = _usage(host, columns, lists, [*chain(*settled.values())], measures, machine)
    order = np.argsort(usage.start, kind="stable")
    return usage if bool((order == np.arange(len(order))).all()) else usage.at(order)


def _flat_lists(usage: Usage, entries: Entries) -> list[list[Any]]:
    """For each bucket its entries, one after the other in one list: username, comm, millionths."""
    width = _ENTRY_COLUMNS
    owners = [usage.owners[i] for i in entries.owner_index.tolist()]
    flat: list[Any] = [None] * (width * len(owners))
    flat[0::width] = [username for username, _ in owners]
    flat[1::width] = [comm for _, comm in owners]
    flat[2::width] = entries.micro.tolist()
    bounds = width * np.searchsorted(entries.bucket_index, np.arange(len(usage) + 1))
    return [flat[low:high] for low, high in pairwise(bounds.tolist())]


def _unpack_into(
    columns: dict[str, list[int]],
    lists: dict[Measure, list[list[Any]]],
    version: int,
    bodies: Sequence[bytes],
) -> None:
    """Append the columns and entries of texts of one version; columns that it lacks are 0."""
    *found, flat_cpu, flat_mem = zip(*orjson.loads(b"[%b]" % b",".join(bodies)), strict=True)
    # Version 1 does not say how many columns an entry has.
    if version > 1 and set(found.pop()) != {_ENTRY_COLUMNS}:
        raise PackingError(f"its entries should have {_ENTRY_COLUMNS} columns")
    present = columns_in(_BUCKET, version)
    if len(found) != len(present):
        raise PackingError(f"it has {len(found)} columns and should have {len(present)}")
    for column, values in zip(present, found, strict=True):
        columns[column.name] += values
    for column in _BUCKET[len(present) :]:
        columns[column.name] += [0] * len(bodies)
    for measure, flat in zip(MEASURES, (flat_cpu, flat_mem), strict=True):
        lists[measure] += flat


def _usage(
    host: str,
    columns: dict[str, list[int]],
    lists: dict[Measure, list[list[Any]]],
    settled: list[bool],
    measures: Sequence[Measure],
    machine: bool,
) -> Usage:
    width = _ENTRY_COLUMNS
    sizes, pairs, micros = {}, {}, {}
    for measure in MEASURES:
        of_buckets = lists[measure] if measure in measures else [[]] * len(settled)
        sizes[measure] = [len(flat) for flat in of_buckets]
        if any(size % width for size in sizes[measure]):
            raise PackingError("its last entry is not whole")
        flat = [*chain(*of_buckets)]
        pairs[measure] = [*zip(flat[0::width], flat[1::width], strict=True)]
        micros[measure] = flat[2::width]
    owners = tuple(sorted({pair for found in pairs.values() for pair in found}))
    place = {owner: i for i, owner in enumerate(owners)}
    positions = np.arange(len(settled))
    return Usage(
        hosts=(host,),
        owners=owners,
        host_index=np.zeros(len(settled), dtype=np.int64),
        start=_ints(columns["start"]),
        coverage=_ints(columns["coverage"]),
        counts={count: _ints(columns[count]) for count in COUNTS},
        settled=np.array(settled, dtype=np.bool_),
        totals={measure: _ints(columns[measure]) for measure in MEASURES},
        entries={
            measure: Entries(
                bucket_index=np.repeat(positions, _ints(sizes[measure]) // width),
                owner_index=_ints([place[pair] for pair in pairs[measure]]),
                micro=_ints(micros[measure]),
            )
            for measure in MEASURES
        },
        machine=unpacked_machine({name: _ints(values) for name, values in columns.items()})
        if machine
        else {},
    )


def _ints(values: Sequence[int]) -> Ints:
    return np.array(values, dtype=np.int64)
