"""Writing to the source table: this machine's processes, one snapshot at a time.

Sites with a collector of their own do not need it. The table is made for our queries: clustered by
(host, time, pid), indexed by time.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from snapshot_assets.errors import SourceError
from snapshot_assets.source.columns import BYTES_PER_RSS_UNIT
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.source.table import COLUMNS, SourceTable

log = logging.getLogger(__name__)

Row = Mapping[str, Any]

_ROWS_PER_INSERT = 10_000
# The kernel's own limits are 16 (comm) and 32 (user names); names from directories are longer.
_NAME_LENGTH = 255
_MYSQL_DUPLICATE = 1062


def process_table(spec: SourceTable) -> sa.Table:
    """The table that we create where there is none.

    Host names compare by their bytes and the primary key is the clustering: one host's day is read
    as one range, and two collectors cannot write the same snapshot twice.
    """
    schema, _, name = spec.name.rpartition(".")
    text = sa.String(_NAME_LENGTH)
    exact = text.with_variant(mysql.VARCHAR(_NAME_LENGTH, collation="utf8mb4_bin"), "mysql")
    kinds: dict[str, sa.types.TypeEngine[Any]] = {
        "host": exact,
        "snapshot_time_epoch": sa.BigInteger(),
        "pid": sa.BigInteger(),
        "username": text,
        "comm": text,
        "cputimes": sa.Double(),
        "rss": sa.BigInteger(),
        "etimes": sa.BigInteger(),
    }
    key = ("host", "snapshot_time_epoch", "pid")
    columns = [
        sa.Column(
            spec.physical(column),
            kinds[column],
            primary_key=column in key,
            nullable=column == "etimes",
            autoincrement=False,
        )
        for column in COLUMNS
    ]
    return sa.Table(
        name,
        sa.MetaData(),
        *columns,
        sa.Index(f"{name}_by_time", spec.physical("snapshot_time_epoch")),
        schema=schema or None,
        sqlite_with_rowid=False,
        mysql_charset="utf8mb4",
    )


class Collector:
    """Puts snapshots into the source table, creating it first if need be.

    Args:
        source: where to write.
    """

    def __init__(self, source: ProcessSource) -> None:
        self._source = source
        self._table = process_table(source.table)
        self._create()

    def _create(self) -> None:
        database = self._source.url.database
        if self._source.url.get_backend_name() == "sqlite" and database:
            path = Path(database)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        with self._source.connect() as connection:
            if connection.dialect.name == "sqlite":
                # Readers do not wait for the collector, nor it for them.
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            self._table.metadata.create_all(connection)
            connection.commit()

    def write(self, rows: Iterable[Row]) -> int:
        """Insert rows, all or none; returns how many.

        Args:
            rows: mappings with our column names, ``rss`` in bytes.

        Raises:
            SourceError: the table refuses them, for example because a snapshot is there already.
        """
        unit = BYTES_PER_RSS_UNIT[self._source.table.rss_unit]
        physical = {column: self._source.table.physical(column) for column in COLUMNS}
        count = 0
        with self._source.connect() as connection:
            try:
                for chunk in _chunks(rows, _ROWS_PER_INSERT):
                    values = [
                        {
                            physical[name]: value // unit if name == "rss" else value
                            for name, value in row.items()
                        }
                        for row in chunk
                    ]
                    connection.execute(sa.insert(self._table), values)
                    count += len(chunk)
                connection.commit()
            except sa.exc.IntegrityError as error:
                raise SourceError(
                    "this snapshot is in the table already: another collector writes for the same "
                    f"host; stop one of them, or name this one with --host ({error.orig})"
                ) from None
        return count


def sample_processes(host: str, epoch: int) -> list[dict[str, Any]]:
    """This machine's processes now.

    Args:
        host: the name to write them under.
        epoch: the snapshot's time, the same in all rows.

    Returns:
        One row per process that lets itself be looked at: those that end meanwhile, or that the
        operating system hides from this user, are left out.
    """
    rows = []
    attributes = ["pid", "username", "name", "cpu_times", "memory_info", "create_time"]
    for process in psutil.process_iter(attributes):
        seen = process.info
        if seen["cpu_times"] is None or seen["memory_info"] is None:
            continue
        rows.append(
            {
                "host": host,
                "snapshot_time_epoch": epoch,
                "pid": seen["pid"],
                "username": _text(seen["username"] or "(unknown)"),
                "comm": _text(seen["name"] or "(unknown)"),
                "cputimes": round(seen["cpu_times"].user + seen["cpu_times"].system, 2),
                "rss": seen["memory_info"].rss,
                "etimes": max(math.floor(epoch - seen["create_time"]), 0),
            }
        )
    return rows


def ticks(interval_seconds: float) -> Iterator[int]:
    """Epoch seconds at which to sample: now, then at every multiple of the interval.

    Sleeping a fixed time *after* each sample would drift by the sample's own duration, and skip a
    bucket now and then.
    """
    yield int(time.time())
    while True:
        now = time.time()
        due = (math.floor(now / interval_seconds) + 1) * interval_seconds
        time.sleep(max(due - now, 0))
        yield int(time.time())


def _text(name: str) -> str:
    """Names as UTF-8 text: the kernel allows any bytes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")[:_NAME_LENGTH]


def _chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk
