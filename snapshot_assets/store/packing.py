"""How usage and summaries are written down in columns, and read back: bytes in, arrays out.

Three texts, all with a version and a checksum, none of which can execute anything when it is read:
a *bucket* (JSON, for the newest buckets, which change one by one), a *day* of buckets, and a day's
*summary* (arrays, compressed). Where they are kept is told in
:mod:`snapshot_assets.store.layout`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from snapshot_assets.domain.summary import (
    GROUPINGS,
    STEP_SECONDS,
    Amount,
    Group,
    Grouping,
    Part,
    Resolution,
    Summary,
    regrouped,
    remainder,
)
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS
from snapshot_assets.domain.usage import MEASURES, Entries, Ints, Measure, Owner, Usage

VERSION = 1

# A bucket's text begins with its stage, which the writer's scripts look at, and the version.
SETTLED_MARK, LIVE_MARK = b"S", b"L"
_BUCKET_HEAD = 10  # mark, version, checksum in hexadecimal

_HEAD = struct.Struct("<4sBHBII")  # magic, version, sections, 0, step in seconds, checksum
_SECTION = struct.Struct("<II")  # bytes unpacked, bytes packed
_MAGIC = b"snap"
# A day of a host with ten thousand owners in each bucket stays below this.
_LARGEST_SECTION_BYTES = 256 * 2**20
# lz4 packs no better.
_LARGEST_RATIO = 256
# A quarter more bytes than zstd, which makes a large context for each section: with it unpacking
# takes four times as long.
_CODEC = pa.Codec("lz4_raw")

# Columns of sections. Numbers are never negative, but for those marked with a sign.
_BUCKETS = ("start", "coverage", "snapshots", "settled", *MEASURES)
_ENTRIES = ("of", "owner", "micro")
_INTERVALS = ("start", "covered", "settled")
_TOTALS = ("total_seconds", "total_peak", "±other_peak")
_PAIRS = ("of", "name", "seconds", "peak")
# By how much a user's peak is above the highest of its commands alone, and a command's likewise.
_EXCESS = ("peak",)
_SECTIONS_OF_DAY = 4
_SECTIONS_OF_SUMMARY = 2 + 4 * len(MEASURES)


class PackingError(ValueError):
    """Bytes that are not what they should be; the message says what they are."""


# --- buckets ------------------------------------------------------------------------------------


def pack_buckets(usage: Usage) -> dict[int, bytes]:
    """Each bucket of one host as a text of its own, by epoch second."""
    columns = []
    for measure in MEASURES:
        entries = usage.entries[measure]
        flat: list[list[Any]] = [[] for _ in range(len(usage))]
        for bucket_index, owner_index, micro in zip(
            entries.bucket_index.tolist(),
            entries.owner_index.tolist(),
            entries.micro.tolist(),
            strict=True,
        ):
            flat[bucket_index] += (*usage.owners[owner_index], micro)
        columns.append(flat)
    packed = {}
    for start, coverage, snapshots, settled, cpu, mem, cpu_flat, mem_flat in zip(
        usage.start.tolist(),
        usage.coverage.tolist(),
        usage.snapshots.tolist(),
        usage.settled.tolist(),
        usage.totals["cpu"].tolist(),
        usage.totals["mem"].tolist(),
        *columns,
        strict=True,
    ):
        body = orjson.dumps([start, coverage, snapshots, cpu, mem, cpu_flat, mem_flat])
        mark = SETTLED_MARK if settled else LIVE_MARK
        packed[start] = b"%b%d%08x%b" % (mark, VERSION, zlib.crc32(body), body)
    return packed


def unpack_buckets(
    host: str, texts: Iterable[bytes], measures: Sequence[Measure] = MEASURES
) -> Usage:
    """The inverse of :func:`pack_buckets`, ascending; what is not asked for without entries.

    Raises:
        PackingError: a text is damaged or of another version.
    """
    bodies, settled = [], []
    for text in texts:
        if text[1:2] != b"%d" % VERSION:
            raise _version_error(text[1:2].decode("latin-1"))
        body = text[_BUCKET_HEAD:]
        if text[:1] not in (SETTLED_MARK, LIVE_MARK) or text[2:_BUCKET_HEAD] != b"%08x" % (
            zlib.crc32(body)
        ):
            raise PackingError("its checksum is wrong")
        bodies.append(body)
        settled.append(text[:1] == SETTLED_MARK)
    with _damage_told():
        buckets = orjson.loads(b"[%b]" % b",".join(bodies))
        starts, coverage, snapshots, cpu, mem, cpu_flat, mem_flat = (
            zip(*buckets, strict=True) if buckets else ((),) * 7
        )
        unasked = ((),) * len(starts)
        flats = {
            measure: flat if measure in measures else unasked
            for measure, flat in zip(MEASURES, (cpu_flat, mem_flat), strict=True)
        }
        pairs = {
            measure: [
                pair for flat in flats[measure] for pair in zip(flat[0::3], flat[1::3], strict=True)
            ]
            for measure in MEASURES
        }
        owners = tuple(sorted({pair for found in pairs.values() for pair in found}))
        place = {owner: i for i, owner in enumerate(owners)}
        entries = {}
        for measure in MEASURES:
            counts = [len(flat) // 3 for flat in flats[measure]]
            micro = [value for flat in flats[measure] for value in flat[2::3]]
            entries[measure] = Entries(
                bucket_index=np.repeat(np.arange(len(counts)), counts),
                owner_index=_ints([place[pair] for pair in pairs[measure]]),
                micro=_ints(micro),
            )
        usage = Usage(
            hosts=(host,),
            owners=owners,
            host_index=np.zeros(len(starts), dtype=np.int64),
            start=_ints(starts),
            coverage=_ints(coverage),
            snapshots=_ints(snapshots),
            settled=np.array(settled, dtype=np.bool_),
            totals={"cpu": _ints(cpu), "mem": _ints(mem)},
            entries=entries,
        )
    order = np.argsort(usage.start, kind="stable")
    return usage if bool((order == np.arange(len(order))).all()) else usage.at(order)


# --- days ---------------------------------------------------------------------------------------


def pack_day(usage: Usage, day: int) -> bytes:
    """The buckets of one host on the UTC day that starts at this epoch second."""
    whole = usage.with_needed_owners()
    return _pack(
        BUCKET_SECONDS,
        [
            _names(whole.owners),
            _columns(
                _BUCKETS,
                whole.start - day,
                whole.coverage,
                whole.snapshots,
                whole.settled,
                *(whole.totals[measure] for measure in MEASURES),
            ),
            *(
                _columns(_ENTRIES, entries.bucket_index, entries.owner_index, entries.micro)
                for entries in (whole.entries[measure] for measure in MEASURES)
            ),
        ],
    )


def unpack_day(host: str, blob: bytes, day: int, measures: Sequence[Measure] = MEASURES) -> Usage:
    """The inverse of :func:`pack_day`; what is not asked for comes without entries.

    Raises:
        PackingError: the bytes are damaged or of another version.
    """
    sections = _Sections(blob, BUCKET_SECONDS, _SECTIONS_OF_DAY)
    buckets = sections.columns(1, _BUCKETS)
    owners = sections.owners()
    entries = {}
    for position, measure in enumerate(MEASURES, 2):
        found = sections.columns(position, _ENTRIES) if measure in measures else _nothing(_ENTRIES)
        entries[measure] = Entries(
            bucket_index=found["of"], owner_index=found["owner"], micro=found["micro"]
        )
        _require_below(found["of"], len(buckets["start"]))
        _require_below(found["owner"], len(owners))
    _require_below(buckets["start"], DAY_SECONDS)
    return Usage(
        hosts=(host,),
        owners=owners,
        host_index=np.zeros(len(buckets["start"]), dtype=np.int64),
        start=buckets["start"] + day,
        coverage=buckets["coverage"],
        snapshots=buckets["snapshots"],
        settled=buckets["settled"].astype(np.bool_),
        totals={measure: buckets[measure] for measure in MEASURES},
        entries=entries,
    )


# --- summaries ----------------------------------------------------------------------------------


def pack_summary(summary: Summary, day: int) -> bytes:
    """A summary, with both measures and all groupings, of the day that starts at this second."""
    sections = [
        _names(summary.owners),
        _columns(_INTERVALS, summary.start - day, summary.covered, summary.settled),
    ]
    for measure in MEASURES:
        part = summary.parts[measure]
        pairs = part.groups[GROUPINGS[0]]
        sections.append(_columns(_TOTALS, part.total.seconds, part.total.peak, part.other.peak))
        amount = pairs.amount
        sections.append(
            _columns(_PAIRS, pairs.interval_index, pairs.name_index, amount.seconds, amount.peak)
        )
        for grouping in GROUPINGS[1:]:
            excess = part.groups[grouping].amount.peak
            excess = excess - regrouped(summary.owners, pairs, grouping).amount.peak
            sections.append(_columns(_EXCESS, excess))
    return _pack(summary.step_seconds, sections)


def unpack_summary(
    blob: bytes, resolution: Resolution, day: int, measures: Sequence[Measure], grouping: Grouping
) -> Summary:
    """The inverse of :func:`pack_summary`, with these measures, and one grouping unless empty.

    Raises:
        PackingError: the bytes are damaged or of another version.
    """
    sections = _Sections(blob, STEP_SECONDS[resolution], _SECTIONS_OF_SUMMARY)
    found = sections.columns(1, _INTERVALS)
    _require_below(found["start"], DAY_SECONDS)
    owners = sections.owners() if grouping else ()
    return Summary(
        step_seconds=STEP_SECONDS[resolution],
        owners=owners,
        start=found["start"] + day,
        covered=found["covered"],
        settled=found["settled"].astype(np.bool_),
        parts={
            measure: _unpacked_part(sections, measure, owners, grouping, len(found["start"]))
            for measure in measures
        },
    )


def _unpacked_part(
    sections: _Sections,
    measure: Measure,
    owners: Sequence[Owner],
    grouping: Grouping,
    intervals: int,
) -> Part:
    first = 2 + 4 * MEASURES.index(measure)
    totals = sections.columns(first, _TOTALS)
    total = Amount(seconds=totals["total_seconds"], peak=totals["total_peak"])
    if len(total.seconds) != intervals:
        raise PackingError("its totals are not those of its intervals")
    if not grouping:
        return Part(total=total, other=total, groups={})
    listed = sections.columns(first + 1, _PAIRS)
    _require_below(listed["of"], intervals)
    _require_below(listed["name"], len(owners))
    group = Group(
        interval_index=listed["of"],
        name_index=listed["name"],
        amount=Amount(seconds=listed["seconds"], peak=listed["peak"]),
    )
    rest = remainder(total, group, totals["±other_peak"])
    if grouping != GROUPINGS[0]:
        excess = sections.columns(first + 1 + GROUPINGS.index(grouping), _EXCESS)["peak"]
        group = regrouped(owners, group, grouping)
        if len(excess) != len(group.interval_index):
            raise PackingError("its peaks are not those of its groups")
        group = replace(group, amount=replace(group.amount, peak=group.amount.peak + excess))
    return Part(total=total, other=rest, groups={grouping: group})


# --- bytes --------------------------------------------------------------------------------------


def _pack(step: int, sections: Sequence[bytes]) -> bytes:
    packed = [_CODEC.compress(section, asbytes=True) for section in sections]
    table = b"".join(
        _SECTION.pack(len(section), len(short))
        for section, short in zip(sections, packed, strict=True)
    )
    rest = table + b"".join(packed)
    return _HEAD.pack(_MAGIC, VERSION, len(sections), 0, step, zlib.crc32(rest)) + rest


class _Sections:
    """The sections of a blob, each unpacked when it is asked for."""

    def __init__(self, blob: bytes, step: int, count: int) -> None:
        if len(blob) < _HEAD.size or blob[:4] != _MAGIC:
            raise PackingError("it is no packed frame")
        _, version, sections, unused, found_step, checksum = _HEAD.unpack_from(blob)
        if version != VERSION:
            raise _version_error(str(version))
        if zlib.crc32(memoryview(blob)[_HEAD.size :]) != checksum:
            raise PackingError("its checksum is wrong")
        if (sections, unused, found_step) != (count, 0, step):
            raise PackingError(f"it has {sections} sections of {found_step} s")
        self._blob = blob
        self._table = [
            _SECTION.unpack_from(blob, _HEAD.size + i * _SECTION.size) for i in range(count)
        ]

    def owners(self) -> tuple[Owner, ...]:
        with _damage_told():
            names = orjson.loads(self._unpacked(0))
            return tuple(zip(names[0::2], names[1::2], strict=True))

    def columns(self, position: int, fields: Sequence[str]) -> Mapping[str, Ints]:
        """The columns of a section."""
        raw = self._unpacked(position)
        widths = raw[: len(fields)]
        rows, left = divmod(len(raw) - len(fields), sum(widths) or 1)
        if left or rows < 0 or not all(1 <= width <= 8 for width in widths):
            raise PackingError("a section has other columns than it should")
        planes = np.frombuffer(raw, np.uint8, offset=len(fields))
        found = {}
        at = 0
        for name, width in zip(fields, widths, strict=True):
            if width == 1:
                column = planes[at : at + rows].astype(np.int64)
            else:
                column = np.zeros(rows, dtype="<i8")
                bytes_of = column.view(np.uint8)
                for place in range(width):
                    first = at + place * rows
                    bytes_of[place::8] = planes[first : first + rows]
            found[name] = (column >> 1) ^ -(column & 1) if name.startswith("±") else column
            at += rows * width
        return found

    def _unpacked(self, position: int) -> bytes:
        size, packed = self._table[position]
        if size > min(_LARGEST_SECTION_BYTES, _LARGEST_RATIO * packed):
            raise PackingError(f"a section claims to have {size:,} bytes")
        first = _HEAD.size + len(self._table) * _SECTION.size
        first += sum(before for _, before in self._table[:position])
        if not size:
            return b""
        with _damage_told():
            short = pa.py_buffer(self._blob).slice(first, packed)
            return bytes(_CODEC.decompress(short, size, asbytes=True))


def _names(owners: Sequence[Owner]) -> bytes:
    return orjson.dumps([name for owner in owners for name in owner])


def _columns(fields: Sequence[str], *columns: Any) -> bytes:
    """The columns one after the other, each as planes of bytes: equal bytes lie side by side.

    Before them, how many bytes each column's numbers need.
    """
    widths, planes = [], []
    for name, given in zip(fields, columns, strict=True):
        column = np.ascontiguousarray(given, dtype="<i8")
        if name.startswith("±"):
            column = (column << 1) ^ (column >> 63)
        if len(column) and int(column.min()) < 0:
            raise ValueError(f"{name} is negative: {column.min()}")
        width = max(1, (int(column.max(initial=0)).bit_length() + 7) // 8)
        widths.append(width)
        planes.append(column.view(np.uint8).reshape(-1, 8)[:, :width].T.tobytes())
    return bytes(widths) + b"".join(planes)


def _nothing(fields: Sequence[str]) -> Mapping[str, Ints]:
    return {name: np.zeros(0, dtype=np.int64) for name in fields}


def _ints(values: Sequence[int]) -> Ints:
    return np.array(values, dtype=np.int64)


def _require_below(values: Ints, bound: int) -> None:
    # Negative ones are the largest when read without a sign.
    if len(values) and int(values.view(np.uint64).max()) >= bound:
        raise PackingError("it refers to what it does not have")


def _version_error(found: str) -> PackingError:
    return PackingError(
        f"it is of version {found!r}, this snapshot_assets reads {VERSION}; update the older of "
        "reader and writer"
    )


@contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except PackingError:
        raise
    except (ValueError, TypeError, OverflowError, OSError, pa.ArrowException) as error:
        raise PackingError(f"it is damaged ({error})") from None
