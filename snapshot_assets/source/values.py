"""Values of any type as numbers and texts; a value that is neither becomes NULL, alone.

A collector may write ``'01:02:03'`` or an empty text where a number belongs, or bytes that are no
UTF-8 into a name. That concerns its row, and stops no other row. Which columns there are belongs to
:mod:`snapshot_assets.source.columns`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

# Wide enough for every DECIMAL that holds a time or a CPU time, and the type that the columnar
# driver delivers. Both ways of reading convert to this type, so both round alike.
_DECIMAL = pa.decimal128(38, 10)
# What Arrow itself takes for a number, with blanks around it.
_NUMBER = r"(?i)^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$|^[+-]?inf(inity)?$|^nan$"


def numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column as float64; a value that is no number is NULL.

    Integers above 2**53 are rounded. No second and no byte that can be is so large.
    """
    kind = column.type
    if pa.types.is_decimal(kind):
        try:
            return pc.cast(pc.cast(column, _DECIMAL), pa.float64())
        except pa.ArrowInvalid:  # more digits than the driver would deliver
            return pc.cast(column, pa.float64())
    if pa.types.is_temporal(kind):  # Arrow would take a date for a number of days
        return _all_null(column, pa.float64())
    whole = _cast(column, pa.float64(), safe=not pa.types.is_integer(kind))
    if whole is not None:
        return whole
    if not _is_textual(kind):
        return _all_null(column, pa.float64())
    trimmed = pc.utf8_trim_whitespace(texts(column))
    readable = pc.match_substring_regex(trimmed, _NUMBER)
    return pc.cast(pc.if_else(readable, trimmed, None), pa.float64())


def texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column as text; bytes that are no UTF-8 are NULL."""
    whole = _cast(column, pa.string())
    if whole is not None:
        return whole
    if not _is_textual(column.type):
        return _all_null(column, pa.string())
    encoded = column.combine_chunks().dictionary_encode()
    known = pa.array([text(value) for value in encoded.dictionary.to_pylist()], pa.string())
    return pa.chunked_array([known.take(encoded.indices)], pa.string())


def _cast(
    column: pa.ChunkedArray, target: pa.DataType, *, safe: bool = True
) -> pa.ChunkedArray | None:
    """The whole column as another type; None if Arrow cannot convert every value."""
    try:
        return pc.cast(column, target, safe=safe)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def text(value: Any) -> str | None:
    """One value as text; None for NULL and for bytes that are no UTF-8."""
    if value is None:
        return None
    if isinstance(value, (bytes, bytearray, memoryview)):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return None
    return str(value)


def array_of(values: Sequence[Any]) -> pa.Array:
    """Values of a driver as an Arrow array.

    Values of several types, which SQLite may have in one column, become bytes: numbers as the
    shortest text that is read as the same number again.
    """
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([_bytes(value) for value in values], pa.binary())


def _bytes(value: Any) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, bool):
        value = int(value)
    return str(value).encode()


def _is_textual(kind: pa.DataType) -> bool:
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _all_null(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(len(column), kind)], kind)
