"""The rows of the source a second time, by a query, a connection and conversions of their own.

The range of times decides and nothing else: no local time narrows the scan. Only the driver is
shared with the settling; docs/adr/0019 says why. What the rows add up to belongs to
:mod:`snapshot_assets.pipeline.proof.recount`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from snapshot_assets.source.database import Database, bound_text
from snapshot_assets.source.readable import has_machines, process_columns
from snapshot_assets.source.table import SourceTable

_TEXTS = ("host", "username", "comm")
_ROWS = ("host", "snapshot_time_epoch", "pid", "username", "comm", "cputimes", "rss", "etimes")
_MACHINES = (
    *("host", "snapshot_time_epoch", "cores", "cpu_seconds"),
    *("memory_bytes", "memory_used_bytes", "boot_epoch"),
)
_BYTES = {"bytes": 1, "KiB": 1024}


class SecondSource(Database):
    """The source's tables, read again. Has connections of its own.

    Args:
        url: as of the source.
        table: names and units, as of the source.
    """

    def __init__(self, url: sa.URL, table: SourceTable) -> None:
        super().__init__(url.render_as_string(hide_password=False))
        self._table = table

    def rows(self, hosts: Collection[str], start: float, end: float) -> pa.Table:
        """The process rows of these hosts with a stamp in ``[start, end)``.

        Returns:
            The columns that :func:`~snapshot_assets.pipeline.proof.recount.recount` takes. A value
            that is no number, or no text, is NULL.

        Raises:
            SourceOutageError: the database does not answer.
            SourceError: wrong password, missing table or column.
        """
        names = {name: self._table.physical(name) for name in _ROWS if name in self._present}
        found = self._read(self._table.name, names, _ROWS, hosts, start, end)
        rss = pc.multiply(found.column("rss"), float(_BYTES[self._table.rss_unit]))
        return found.set_column(found.column_names.index("rss"), "rss", rss)

    def machines(self, hosts: Collection[str], start: float, end: float) -> pa.Table | None:
        """The machines' own count in ``[start, end)``; None if the source has no such table.

        Raises:
            SourceOutageError: the database does not answer.
            SourceError: the settings name a table that cannot be read.
        """
        if not self._has_machines:
            return None
        names = {name: name for name in _MACHINES}
        return self._read(self._table.machines_name, names, _MACHINES, hosts, start, end)

    @cached_property
    def _present(self) -> Collection[str]:
        return process_columns(self, self._table)

    @cached_property
    def _has_machines(self) -> bool:
        return has_machines(self, self._table)

    def _read(
        self,
        table: str,
        names: Mapping[str, str],
        wanted: Sequence[str],
        hosts: Collection[str],
        start: float,
        end: float,
    ) -> pa.Table:
        schema, _, plain = table.rpartition(".")
        host: sa.ColumnElement[Any] = sa.column(names["host"])
        time: sa.ColumnElement[Any] = sa.column(names["snapshot_time_epoch"])
        columns: list[sa.ColumnElement[Any]] = [
            sa.column(physical).label(name) for name, physical in names.items()
        ]
        query = (
            sa.select(*columns)
            .select_from(sa.table(plain, schema=schema or None))
            .where(host.in_(self._as_stored(hosts)))
            .where(time >= _plain(start), time < _plain(end))
        )
        rows = self._fetch(query, lambda found: _with_types(found, wanted))
        if set(pc.unique(rows.column("host")).to_pylist()) <= set(hosts):
            return rows
        # A collation may find "WEB" where "web" was asked for.
        return rows.filter(pc.is_in(rows.column("host"), pa.array(sorted(hosts), pa.string())))

    def _as_stored(self, hosts: Collection[str]) -> list[sa.BindParameter[Any]]:
        """The names as values of the column; in SQLite that can be a text, bytes, or a number."""
        names: list[sa.BindParameter[Any]] = [bound_text(host) for host in sorted(hosts)]
        if self.url.get_backend_name() == "sqlite":
            names += [sa.literal(host.encode()) for host in sorted(hosts)]
            names += [sa.literal(int(host)) for host in sorted(hosts) if host.isdecimal()]
        return names


def _plain(seconds: float) -> int | float:
    """A whole number without a point, so that an index on an integer column is used."""
    return int(seconds) if float(seconds).is_integer() else float(seconds)


def _with_types(found: pa.Table, names: Sequence[str]) -> pa.Table:
    columns: dict[str, Any] = {}
    for name in names:
        kind = pa.string() if name in _TEXTS else pa.float64()
        if name not in found.column_names:
            columns[name] = pa.nulls(found.num_rows, kind)
        elif name in _TEXTS:
            columns[name] = _texts(found.column(name))
        else:
            columns[name] = _numbers(found.column(name))
    return pa.table(columns)


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_string(column.type):
        return column
    return _by_value(column, pa.string(), _text)


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return pc.cast(column, pa.float64(), safe=False)
    return _by_value(column, pa.float64(), _number)


def _by_value(
    column: pa.ChunkedArray, kind: pa.DataType, convert: Callable[[Any], Any]
) -> pa.ChunkedArray:
    """The column with each different value converted once."""
    encoded = column.combine_chunks()
    if pa.types.is_null(encoded.type):
        return pa.chunked_array([pa.nulls(len(encoded), kind)])
    encoded = encoded.dictionary_encode()
    values = pa.array([convert(value) for value in encoded.dictionary.to_pylist()], kind)
    return pa.chunked_array([values.take(encoded.indices)])


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return str(value)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return float(value)
    text = _text(value) if isinstance(value, (str, bytes)) else None
    try:
        return None if text is None or "_" in text else float(text)
    except ValueError:
        return None
