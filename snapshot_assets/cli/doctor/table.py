"""Checks of the source's table as a whole: connection, columns, keys, indexes, its two times."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import sqlalchemy as sa

from snapshot_assets.cli.doctor.finding import Check, Finding
from snapshot_assets.errors import SourceError, SourceOutageError
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.source.table import OPTIONAL_COLUMNS


def table_checks(source: ProcessSource) -> list[Check]:
    """The checks of the table."""
    return [partial(check, source) for check in (_answers, _keys, _indexes, _machines)]


def _answers(source: ProcessSource) -> Iterator[Finding]:
    missing = sorted(OPTIONAL_COLUMNS - source.columns.keys())
    without = f", except {', '.join(missing)}, which it can do without" if missing else ""
    yield Finding(
        "ok", "source", f"{source!r} answers, table {source.table.name!r} has its columns{without}"
    )
    if source.url.get_backend_name() != "sqlite" and not source.columnar:
        yield Finding(
            "warning",
            "source",
            "the source is read row by row, which is several times slower than in columns",
            "use a mysql://user:password@host:port/database URL without further options",
        )


def _keys(source: ProcessSource) -> Iterator[Finding]:
    missing_keys = source.rows_without_key()
    if missing_keys:
        yield Finding(
            "error",
            "rows",
            f"{missing_keys:,} rows have no host, or no time of this century, so they belong to no "
            "partition",
            "repair the collector; correct rows whose time can be converted, such as milliseconds, "
            "and delete those that nobody can repair",
        )


def _machines(source: ProcessSource) -> Iterator[Finding]:
    name = source.table.machines_name
    if source.has_machines:
        yield Finding("ok", "machines", f"table {name!r} has the kernel's own count")


def _indexes(source: ProcessSource) -> Iterator[Finding]:
    schema, _, name = source.table.name.rpartition(".")
    time_column, host = (source.columns[c].name for c in ("snapshot_time_epoch", "host"))
    try:
        with source.connect() as connection:
            inspector = sa.inspect(connection)
            key: Any = inspector.get_pk_constraint(name, schema=schema or None)
            indexes: list[Any] = [key["constrained_columns"]]
            indexes += [i["column_names"] for i in inspector.get_indexes(name, schema or None)]
            is_view = name in inspector.get_view_names(schema or None)
            quote = connection.dialect.identifier_preparer.quote
    except SourceOutageError:
        raise
    except SourceError:
        yield Finding(
            "ok", "index", f"this user may not see the indexes of {source.table.name!r}, if any"
        )
        return
    if is_view:
        yield Finding(
            "ok",
            "index",
            f"{source.table.name!r} is a view; let its table have indexes on ({time_column}) and "
            f"({host}, {time_column})",
        )
        return
    starts = [[str(column).casefold() for column in columns[:2]] for columns in indexes]
    table = ".".join(quote(part) for part in source.table.name.split("."))
    for columns, purpose in (
        ((time_column,), "live refreshes and host lists scan the whole table"),
        ((host, time_column), "settling reads the rows of every host to get those of one host"),
    ):
        wanted = [column.casefold() for column in columns]
        if any(start[: len(wanted)] == wanted for start in starts):
            yield Finding("ok", "index", f"there is one on ({', '.join(columns)})")
            continue
        listed = ", ".join(quote(column) for column in columns)
        index = quote("snapshot_by_" + "_".join(columns))
        yield Finding(
            "warning",
            "index",
            f"no index starts with ({', '.join(columns)}): {purpose}",
            f"CREATE INDEX {index} ON {table} ({listed});",
        )
