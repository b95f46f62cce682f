"""Sections: tables of whole numbers, and names, as compressed bytes under one checksum.

A text is a head, a line for each section, and the sections. Each section is compressed on its own,
so that a reader unpacks only the sections that it needs. :mod:`snapshot_assets.store.packing.days`
and :mod:`snapshot_assets.store.packing.summaries` define the layouts, that is, the sections of a
text.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import orjson
import pyarrow as pa

from snapshot_assets.domain.measures import Owner
from snapshot_assets.domain.usage import Ints
from snapshot_assets.store.packing.damage import PackingError, damage_reported, unknown_version

_HEAD = struct.Struct("<4sBHBII")  # magic, version, sections, 0, step in seconds, checksum
_CHECKSUM_AT = 12
_MAGIC = b"snap"
# Bytes unpacked, bytes packed, and from version 2 on columns.
_LINE = struct.Struct("<IIB")
_LINE_OF_VERSION_1 = struct.Struct("<II")
_COLUMNS_OF_NAMES = 2
# A day of a host with ten thousand owners in each bucket stays below this.
_LARGEST_SECTION_BYTES = 256 * 2**20
# The compression ratio of lz4 never exceeds this.
_LARGEST_RATIO = 256
# lz4 needs a quarter more bytes than zstd. But zstd makes a large context for each section, and
# unpacking with zstd takes four times as long.
_CODEC = pa.Codec("lz4_raw")


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: the name in the code; the bytes do not contain it.
        signed: whether numbers may be negative.
        since: the layout's first version with this column; in older versions it reads as 0.
    """

    name: str
    signed: bool = False
    since: int = 1


# Newer columns come last.
Columns: TypeAlias = tuple[Column, ...]


class Layout(NamedTuple):
    """The sections of a text: names first, then tables.

    Attributes:
        version: the version that is written; this version and all older versions can be read.
        step_seconds: length of a bucket or interval.
        tables: the columns of each.
    """

    version: int
    step_seconds: int
    tables: tuple[Columns, ...]


def columns_in(columns: Columns, version: int) -> Columns:
    """The columns that a version has."""
    if columns[-1].since <= version:
        return columns
    return tuple(column for column in columns if column.since <= version)


def pack(layout: Layout, owners: Sequence[Owner], tables: Sequence[Mapping[str, Any]]) -> bytes:
    """Names and tables as one text.

    Args:
        layout: of the text.
        owners: (username, comm).
        tables: for each table of the layout: column name to numbers.

    Raises:
        ValueError: a column that is not signed has a negative number, or a table has other columns
            than the layout.
    """
    names = orjson.dumps([name for owner in owners for name in owner])
    sections = [(names, _COLUMNS_OF_NAMES)]
    for columns, given in zip(layout.tables, tables, strict=True):
        sections.append((_planes(columns, given), len(columns)))
    packed = [_CODEC.compress(section, asbytes=True) for section, _ in sections]
    lines = b"".join(
        _LINE.pack(len(section), len(short), count)
        for (section, count), short in zip(sections, packed, strict=True)
    )
    rest = lines + b"".join(packed)
    fields = (_MAGIC, layout.version, len(sections), 0, layout.step_seconds)
    head = _HEAD.pack(*fields, 0)[:_CHECKSUM_AT]
    return _HEAD.pack(*fields, zlib.crc32(rest, zlib.crc32(head))) + rest


class Sections:
    """The sections of a text, each unpacked when it is needed.

    Raises:
        PackingError: the bytes are damaged, of another layout, or of an unknown version.
    """

    def __init__(self, blob: bytes, layout: Layout) -> None:
        if len(blob) < _HEAD.size or blob[:4] != _MAGIC:
            raise PackingError("it is not a packed frame")
        _, version, sections, unused, step, checksum = _HEAD.unpack_from(blob)
        # First of all: each layout counts its versions on its own.
        if step != layout.step_seconds:
            raise PackingError(f"it is of {step} s where {layout.step_seconds} s should be")
        if not 1 <= version <= layout.version:
            raise unknown_version(version, layout.version)
        # In version 1 the head was not under the checksum.
        before = zlib.crc32(blob[:_CHECKSUM_AT]) if version > 1 else 0
        if zlib.crc32(memoryview(blob)[_HEAD.size :], before) != checksum:
            raise PackingError("its checksum is wrong")
        count = 1 + len(layout.tables)
        if (sections, unused) != (count, 0):
            raise PackingError(f"it has {sections} sections and should have {count}")
        self._blob = blob
        self._layout = layout
        self._version = version
        line = _LINE if version > 1 else _LINE_OF_VERSION_1
        self._first = _HEAD.size + count * line.size
        if len(blob) < self._first:
            raise PackingError("it ends before its sections")
        self._lines = list(line.iter_unpack(blob[_HEAD.size : self._first]))

    def owners(self) -> tuple[Owner, ...]:
        """The names, (username, comm)."""
        self._require_columns(0, _COLUMNS_OF_NAMES)
        with damage_reported():
            names = orjson.loads(self._unpacked(0))
            return tuple(zip(names[0::2], names[1::2], strict=True))

    def table(self, number: int, without: Columns = ()) -> Mapping[str, Ints]:
        """The columns of the layout's table at this position, by name, but for some of them."""
        columns = self._layout.tables[number]
        present = columns_in(columns, self._version)
        self._require_columns(1 + number, len(present))
        raw = self._unpacked(1 + number)
        widths = raw[: len(present)]
        rows, left = divmod(len(raw) - len(present), sum(widths) or 1)
        if left or rows < 0 or not all(1 <= width <= 8 for width in widths):
            raise PackingError("a section has other columns than it should")
        planes = np.frombuffer(raw, np.uint8, offset=len(present))
        found = {}
        at = 0
        for one, width in zip(present, widths, strict=True):
            name, signed, _ = one
            if one in without:
                at += rows * width
                continue
            if width == 1:
                column = planes[at : at + rows].astype(np.int64)
            else:
                column = np.zeros(rows, dtype="<i8")
                column_bytes = column.view(np.uint8)
                for place in range(width):
                    first = at + place * rows
                    column_bytes[place::8] = planes[first : first + rows]
            found[name] = (column >> 1) ^ -(column & 1) if signed else column
            at += rows * width
        for one in columns[len(present) :]:
            if one not in without:
                found[one.name] = np.zeros(rows, dtype=np.int64)
        return found

    def empty(self, number: int) -> Mapping[str, Ints]:
        """The columns of the layout's table at this position without rows, unpacking nothing."""
        return {column.name: np.zeros(0, np.int64) for column in self._layout.tables[number]}

    def _require_columns(self, position: int, count: int) -> None:
        # Version 1 does not contain the number of columns.
        if self._version > 1 and (found := self._lines[position][2]) != count:
            raise PackingError(f"a section has {found} columns and should have {count}")

    def _unpacked(self, position: int) -> bytes:
        size, packed = self._lines[position][:2]
        if size > min(_LARGEST_SECTION_BYTES, _LARGEST_RATIO * packed):
            raise PackingError(f"a section claims to have {size:,} bytes")
        first = self._first + sum(line[1] for line in self._lines[:position])
        if not size:
            return b""
        with damage_reported():
            short = pa.py_buffer(self._blob).slice(first, packed)
            return bytes(_CODEC.decompress(short, size, asbytes=True))


def require_below(values: Ints, bound: int) -> None:
    """Reject positions outside an array of length ``bound``.

    Raises:
        PackingError: a value is negative, or ``bound`` or more.
    """
    # Read as unsigned integers, negative values are the largest.
    if len(values) and int(values.view(np.uint64).max()) >= bound:
        raise PackingError("it refers to a position that does not exist")


def _planes(columns: Columns, given: Mapping[str, Any]) -> bytes:
    """The columns one after the other, each as planes: first all lowest bytes, then the next.

    Before the planes there is one byte for each column: the number of its planes.
    """
    if given.keys() != {column.name for column in columns}:
        raise ValueError(f"columns {sorted(given)} for the table {[c.name for c in columns]}")
    widths, planes = [], []
    for name, signed, _ in columns:
        column = np.ascontiguousarray(given[name], dtype="<i8")
        if signed:
            column = (column << 1) ^ (column >> 63)
        if len(column) and int(column.min()) < 0:
            raise ValueError(f"{name} is negative: {column.min()}")
        width = max(1, (int(column.max(initial=0)).bit_length() + 7) // 8)
        widths.append(width)
        planes.append(column.view(np.uint8).reshape(-1, 8)[:, :width].T.tobytes())
    return bytes(widths) + b"".join(planes)
