"""Writing snapshots to the two tables of the source.

How the tables are made is in :mod:`snapshot_assets.source.collecting.definitions`, and what text
columns can hold in :mod:`snapshot_assets.source.collecting.fitting`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from snapshot_assets.errors import SnapshotExistsError, SourceError, SourceOutageError
from snapshot_assets.source.collecting.definitions import create, machine_table, process_table
from snapshot_assets.source.collecting.fitting import (
    TextColumn,
    columns_of,
    fitted,
    fitted_host,
)
from snapshot_assets.source.collecting.snapshot import Snapshot
from snapshot_assets.source.columns import BYTES_PER_RSS_UNIT
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.source.table import COLUMNS, MACHINE_COLUMNS

log = logging.getLogger(__name__)

Row = Mapping[str, Any]

_ROWS_PER_INSERT = 10_000
_MYSQL_DUPLICATE = 1062
# Errors of MySQL and MariaDB about the values of a row that their driver takes for outages: another
# column that has no default, and two ways to break a CHECK.
_MYSQL_REJECTED = frozenset({1364, 3819, 4025})
_MYSQL_NOT_GRANTED = frozenset({1142, 1143})


class SnapshotTables:
    """The table of processes and the table of machines, for writing.

    Both tables are created at the first write, unless they exist. The table of machines is
    optional: if another table has its name, or the database does not allow it, a warning says so
    once, and processes are written without it.

    Args:
        source: the database and the names of the tables. The constructor does not connect.
    """

    def __init__(self, source: ProcessSource) -> None:
        self._source = source
        spec = source.table
        self._table = process_table(spec)
        self._physical = {column: spec.physical(column) for column in COLUMNS}
        self._rss_unit = BYTES_PER_RSS_UNIT[spec.rss_unit]
        self._machines: sa.Table | None = machine_table(spec.machines_name)
        self._found: dict[str, TextColumn] = {}
        self._found_machines: dict[str, TextColumn] = {}
        self._ready = False
        self._hosts: set[str] = set()

    def write(self, snapshots: Iterable[Snapshot]) -> int:
        """Write all snapshots in one transaction, or none of them if there is an error.

        Names that a column cannot hold are shortened, or written with ``?``. Rows whose numbers a
        column cannot hold are left out with a warning.

        Returns:
            Number of rows of processes written.

        Raises:
            SourceOutageError: the database does not answer.
            SnapshotExistsError: the table already has a snapshot of a host at its time.
            SourceError: the database rejects all rows, the table or the password.
        """
        self._prepare()
        machines: list[Row] = []
        count = 0
        with self._source.connect() as connection:
            if connection.dialect.name == "sqlite":
                # Python's driver would end the transaction at the first savepoint.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            rows = self._rows(snapshots, machines)
            while chunk := list(islice(rows, _ROWS_PER_INSERT)):
                count += self._insert_most(connection, chunk)
            if machines and self._machines is not None:
                self._insert_machines(connection, self._machines, machines)
            connection.commit()
        return count

    # --- the rows ---------------------------------------------------------------------------

    def _rows(self, snapshots: Iterable[Snapshot], machines: list[Row]) -> Iterator[Row]:
        """The rows of processes; those of machines are added to the list on the way."""
        names = self._physical
        user_column = self._column("username")
        comm_column = self._column("comm")
        has_age = not self._found or names["etimes"].casefold() in self._found
        for snapshot in snapshots:
            host = self._host(snapshot.host, self._column("host"))
            if snapshot.machine is not None:
                fit = self._found_machines.get("host", TextColumn())
                machines.append(
                    {
                        "host": self._host(snapshot.host, fit),
                        "snapshot_time_epoch": snapshot.epoch,
                        **snapshot.machine._asdict(),
                    }
                )
            for process in snapshot.processes:
                row = {
                    names["host"]: host,
                    names["snapshot_time_epoch"]: snapshot.epoch,
                    names["pid"]: process.pid,
                    names["username"]: fitted(process.username, user_column),
                    names["comm"]: fitted(process.comm, comm_column),
                    names["cputimes"]: process.cputimes,
                    names["rss"]: process.rss // self._rss_unit,
                }
                if has_age:
                    row[names["etimes"]] = process.etimes
                yield row

    def _column(self, name: str) -> TextColumn:
        return self._found.get(self._physical[name].casefold(), TextColumn())

    def _host(self, host: str, column: TextColumn) -> str:
        fit = fitted_host(host, column)
        if fit != host and fit not in self._hosts:
            self._hosts.add(fit)
            log.warning(
                "the host %r is written as %r, because its column cannot hold the name; widen the "
                "column, or give a shorter --host name",
                host,
                fit,
            )
        return fit

    # --- inserting --------------------------------------------------------------------------

    def _insert_most(self, connection: sa.Connection, rows: list[Row]) -> int:
        """Insert the rows that the table accepts.

        Returns:
            Number of rows inserted.

        Raises:
            SnapshotExistsError: the table already has one of the rows.
            SourceError: the table accepts no row.
        """
        rejected = self._insert(connection, rows)
        if not rejected:
            return len(rows)
        row, error = rejected[0]
        if len(rejected) == len(rows):
            raise SourceError(
                f"table {self._source.table.name!r} rejects all {len(rows)} rows: {error}; change "
                "the table, or name another one in SNAPSHOT_SOURCE_TABLE"
            )
        log.warning(
            "table %r rejects %d of %d rows, which are left out; the first is pid %s, %r: %s",
            self._source.table.name,
            len(rejected),
            len(rows),
            row[self._physical["pid"]],
            row[self._physical["comm"]],
            error,
        )
        return len(rows) - len(rejected)

    def _insert(self, connection: sa.Connection, rows: list[Row]) -> list[tuple[Row, Exception]]:
        """Insert rows; those that the table rejects are found by halving, and returned."""
        try:
            with connection.begin_nested():
                connection.execute(sa.insert(self._table), rows)
        except sa.exc.DBAPIError as error:
            if _is_duplicate(error):
                raise self._exists(rows[0], error) from None
            if _code(error) in _MYSQL_NOT_GRANTED:
                raise self._not_granted(error) from None
            if not _is_rejection(error):
                raise
            if len(rows) == 1:
                return [(rows[0], error.orig or error)]
            half = len(rows) // 2
            return self._insert(connection, rows[:half]) + self._insert(connection, rows[half:])
        return []

    def _insert_machines(self, connection: sa.Connection, table: sa.Table, rows: list[Row]) -> None:
        try:
            with connection.begin_nested():
                connection.execute(sa.insert(table), rows)
        except sa.exc.DBAPIError as error:
            if _is_duplicate(error):
                raise self._exists(rows[0], error) from None
            if not _is_rejection(error):
                # Whatever else is wrong with the second table must not cost the first one's rows.
                explained = self._source.explain(error)
                if isinstance(explained, SourceOutageError):
                    raise
            self._without_machines(str(error.orig))

    def _exists(self, row: Row, error: sa.exc.DBAPIError) -> SnapshotExistsError:
        host = row.get(self._physical["host"], row.get("host"))
        return SnapshotExistsError(
            f"the table already has a snapshot of {host} at this second: the clock was set back, "
            "or another collector writes for the same host; stop one of the two, or give this one "
            f"a --host name ({error.orig})"
        )

    def _not_granted(self, error: sa.exc.DBAPIError) -> SourceError:
        return SourceError(
            f"the user of SNAPSHOT_SOURCE_URL may not write to table {self._source.table.name!r}; "
            "GRANT INSERT on it to this user, and CREATE and INDEX if it does not exist yet "
            f"({error.orig})"
        )

    # --- creating ---------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Create the tables that are missing, and find out what their columns can hold."""
        if self._ready:
            return
        database = self._source.url.database
        if self._source.url.get_backend_name() == "sqlite" and database:
            path = Path(database)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        with self._source.connect() as connection:
            if connection.dialect.name == "sqlite":
                # With a write-ahead log, readers and the collector do not wait for each other.
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            try:
                create(connection, self._table)
            except sa.exc.DBAPIError as error:
                if _code(error) in _MYSQL_NOT_GRANTED:
                    raise self._not_granted(error) from None
                raise
            self._found = columns_of(connection, self._source.table.name)
        try:
            self._prepare_machines()
        except SourceOutageError:
            raise
        except SourceError as error:
            self._without_machines(str(error))
        self._ready = True

    def _prepare_machines(self) -> None:
        if self._machines is None:
            return
        with self._source.connect() as connection:
            create(connection, self._machines)
            self._found_machines = columns_of(connection, self._source.table.machines_name)
        missing = [name for name in MACHINE_COLUMNS if name not in self._found_machines]
        if missing:
            self._without_machines(f"it is another table, without a column {', '.join(missing)}")

    def _without_machines(self, reason: str) -> None:
        self._machines = None
        log.warning(
            "table %r is left alone, and the kernel's own count is not written: %s; "
            "SNAPSHOT_MACHINES_TABLE can name another table",
            self._source.table.machines_name,
            reason,
        )


def _code(error: sa.exc.DBAPIError) -> Any:
    arguments = getattr(error.orig, "args", ())
    return arguments[0] if arguments else None


def _is_duplicate(error: sa.exc.DBAPIError) -> bool:
    """Whether the table already has a row with this key."""
    if not isinstance(error, sa.exc.IntegrityError):
        return False
    text = str(error.orig).casefold()
    return _code(error) == _MYSQL_DUPLICATE or "unique" in text or "duplicate" in text


def _is_rejection(error: sa.exc.DBAPIError) -> bool:
    """Whether the values of a row are at fault, and not the server."""
    values = (sa.exc.DataError, sa.exc.IntegrityError)
    return isinstance(error, values) or _code(error) in _MYSQL_REJECTED
