"""The two tables of the source as our collector creates them.

They suit the queries of :mod:`snapshot_assets.source.query`: clustered by (host, time), and indexed
by time. Rows belong to :mod:`snapshot_assets.source.collecting.tables`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from snapshot_assets.source.table import COLUMNS, MACHINE_COLUMNS, SourceTable

# The kernel's limits are 16 (comm) and 32 (user names), but names from a directory can be longer.
_NAME_LENGTH = 255


def process_table(spec: SourceTable) -> sa.Table:
    """The definition of the table of processes that the collector creates.

    Host names compare by their bytes. The table is clustered by its primary key, so one range holds
    a host's day, and two collectors cannot write the same snapshot twice.
    """
    text = sa.String(_NAME_LENGTH)
    kinds: dict[str, sa.types.TypeEngine[Any]] = {
        "pid": sa.BigInteger(),
        "username": text,
        "comm": text,
        "cputimes": sa.Double(),
        "rss": sa.BigInteger(),
        "etimes": sa.BigInteger(),
    }
    return _table(
        spec.name,
        {spec.physical(name): kinds.get(name) for name in COLUMNS},
        key=[spec.physical(name) for name in ("host", "snapshot_time_epoch", "pid")],
        optional=[spec.physical("etimes")],
    )


def machine_table(name: str) -> sa.Table:
    """The definition of the table of machines, ``table`` or ``schema.table``."""
    kinds: dict[str, sa.types.TypeEngine[Any]] = {
        "cores": sa.Integer(),
        "cpu_seconds": sa.Double(),
        "memory_bytes": sa.BigInteger(),
        "memory_used_bytes": sa.BigInteger(),
        "boot_epoch": sa.BigInteger(),
    }
    return _table(
        name,
        {column: kinds.get(column) for column in MACHINE_COLUMNS},
        key=["host", "snapshot_time_epoch"],
    )


def _table(
    name: str,
    kinds: Mapping[str, sa.types.TypeEngine[Any] | None],
    key: list[str],
    optional: Iterable[str] = (),
) -> sa.Table:
    """A table clustered by its key, whose first two columns are host and time."""
    schema, _, table = name.rpartition(".")
    exact = mysql.VARCHAR(_NAME_LENGTH, collation="utf8mb4_bin")
    host, time = key[:2]
    known = {
        **kinds,
        host: sa.String(_NAME_LENGTH).with_variant(exact, "mysql"),
        time: sa.BigInteger(),
    }
    columns = [
        sa.Column(
            column,
            known[column],
            primary_key=column in key,
            nullable=column in optional,
            autoincrement=False,
        )
        for column in kinds
    ]
    return sa.Table(
        table,
        sa.MetaData(),
        *columns,
        sa.Index(f"{table}_by_time", time),
        schema=schema or None,
        sqlite_with_rowid=False,
        mysql_charset="utf8mb4",
    )


def create(connection: sa.Connection, table: sa.Table) -> None:
    """Create the table and its index, unless the table exists.

    Raises:
        sqlalchemy.exc.DBAPIError: the database does not allow it, or does not answer.
    """
    try:
        table.create(connection, checkfirst=True)
        connection.commit()
    except sa.exc.DBAPIError:
        # Collectors of many machines may start at the same moment: one of them creates the table.
        connection.rollback()
        if not sa.inspect(connection).has_table(table.name, schema=table.schema):
            raise
