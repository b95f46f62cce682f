"""Writing to the source table: this machine's processes, one snapshot at a time.

Who already has a collector does not need this one. The table that it creates suits the queries of
:mod:`snapshot_assets.source.query`: clustered by (host, time, pid) and indexed by time.
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
# The kernel's limits are 16 (comm) and 32 (user names), but names from a directory can be longer.
_NAME_LENGTH = 255
_MYSQL_DUPLICATE = 1062


def process_table(spec: SourceTable) -> sa.Table:
    """The definition of the table that the collector creates.

    Host names compare by their bytes. The table is clustered by its primary key, so one range holds
    a host's day, and two collectors cannot write the same snapshot twice.
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
    """Puts snapshots into the source table.

    Args:
        source: the database and the table. The constructor connects, and creates the table unless
            the table exists.
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
                # With a write-ahead log, readers and the collector do not wait for each other.
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            self._table.metadata.create_all(connection)
            connection.commit()

    def write(self, rows: Iterable[Row]) -> int:
        """Insert all rows, or no row if there is an error.

        Args:
            rows: mappings with the names of :data:`~snapshot_assets.source.table.COLUMNS`, ``rss``
                in bytes.

        Returns:
            Number of rows inserted.

        Raises:
            SourceOutageError: the database does not answer.
            SourceError: the database rejects the rows, for example because the table already has a
                snapshot of this host and time.
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
                    "the table already has this snapshot: another collector writes for the same "
                    f"host; stop one of the two, or give this one a --host name ({error.orig})"
                ) from None
        return count


def sample_processes(host: str, epoch: int) -> list[dict[str, Any]]:
    """This machine's processes now.

    Args:
        host: the host name in the rows.
        epoch: the snapshot's time in the rows, epoch seconds.

    Returns:
        One row per process, with the names of :data:`~snapshot_assets.source.table.COLUMNS` and
        ``rss`` in bytes. Processes that end meanwhile, or whose figures the operating system hides
        from this user, are left out.
    """
    rows = []
    attributes = ["pid", "username", "name", "cpu_times", "memory_info", "create_time"]
    for process in psutil.process_iter(attributes):
        found = process.info
        if found["cpu_times"] is None or found["memory_info"] is None:
            continue
        rows.append(
            {
                "host": host,
                "snapshot_time_epoch": epoch,
                "pid": found["pid"],
                "username": _text(found["username"] or "(unknown)"),
                "comm": _text(found["name"] or "(unknown)"),
                "cputimes": round(found["cpu_times"].user + found["cpu_times"].system, 2),
                "rss": found["memory_info"].rss,
                "etimes": max(math.floor(epoch - found["create_time"]), 0),
            }
        )
    return rows


def ticks(interval_seconds: float) -> Iterator[int]:
    """Yield the epoch second when it is time to sample: now, then at each multiple of the interval.

    Sleeping a fixed time *after* each sample would add the duration of the sample to each interval,
    and now and then a bucket would have no snapshot.
    """
    yield int(time.time())
    while True:
        now = time.time()
        due = (math.floor(now / interval_seconds) + 1) * interval_seconds
        time.sleep(max(due - now, 0))
        yield int(time.time())


def _text(name: str) -> str:
    """A name as valid UTF-8 text of at most 255 characters; the kernel allows any bytes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")[:_NAME_LENGTH]


def _chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk
