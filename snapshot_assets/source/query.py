"""Reading the source: the queries on the table that the collectors write.

URLs and drivers belong to :mod:`snapshot_assets.source.database`, and the types of columns to
:mod:`snapshot_assets.source.columns`. :mod:`snapshot_assets.source.collecting` writes to the table.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from snapshot_assets.domain.time import epoch
from snapshot_assets.errors import SourceError, SourceOutageError
from snapshot_assets.source.columns import (
    machine_rows,
    raw_rows,
    to_canonical_types,
    to_machine_types,
)
from snapshot_assets.source.database import Database, bound_text
from snapshot_assets.source.readable import (
    DeclaredType,
    NoSuchTableError,
    clause,
    column_names,
    readable_columns,
)
from snapshot_assets.source.table import COLUMNS, MACHINE_COLUMNS, OPTIONAL_COLUMNS
from snapshot_assets.source.table import SourceTable as SourceTable

Instant = dt.datetime | int | float

# The columns that queries use. The local time only narrows a scan and is never read.
_QUERIED = (*COLUMNS, "snapshot_datetime")


@dataclass(frozen=True, slots=True)
class Tally:
    """The number of rows, and the time of the newest snapshot, epoch seconds."""

    rows: int
    newest_epoch: float


class ProcessSource(Database):
    """The process rows of all hosts, read by time range.

    The constructor does not connect. Threads may share a source; processes may not. Every method
    that queries raises ``SourceOutageError`` if the database does not answer, and ``SourceError``
    for a wrong password or a missing table or column.

    Args:
        url: SQLAlchemy URL, for example ``mysql://reader:secret@db/monitoring`` or
            ``sqlite:///data/processes.db``. Its password is never printed.
        table: names and units; the defaults if None.
    """

    def __init__(self, url: str, table: SourceTable | None = None) -> None:
        super().__init__(url)
        self.table = table or SourceTable()

    def read_sql(
        self, start: Instant, end: Instant, hosts: Collection[str] | None = None
    ) -> pd.DataFrame:
        """Read the rows whose snapshot was taken in ``[start, end)``.

        Args:
            start: aware datetime or epoch seconds, included.
            end: aware datetime or epoch seconds, excluded.
            hosts: only these hosts, compared by their bytes under any collation; all if None.

        Returns:
            Rows as the schema :class:`~snapshot_assets.domain.schemas.RawProcessRows`, sorted, not
            yet validated.

        Raises:
            SourceOutageError: the database does not answer.
            SourceError: wrong password, missing table or column, or a column of the wrong type.
        """
        first, last = _seconds(start), _seconds(end)
        requested = None if hosts is None else sorted(set(hosts))
        if requested is not None and not requested:
            rows = to_canonical_types(
                pa.table({name: pa.array([], pa.string()) for name in COLUMNS})
            )
        else:
            rows = self._fetch(self._select(first, last, requested), to_canonical_types)
        hosts_read = set(pc.unique(rows.column("host")).to_pylist())
        if requested is not None and hosts_read - set(requested):
            # Under a case-insensitive collation, the query also selects similar host names.
            rows = rows.filter(pc.is_in(rows.column("host"), pa.array(requested, pa.string())))
        return raw_rows(rows, self.table.rss_unit)

    def read_machines(
        self, start: Instant, end: Instant, hosts: Collection[str] | None = None
    ) -> pd.DataFrame:
        """Read the kernel's own count of the machines in ``[start, end)``.

        Args:
            start: aware datetime or epoch seconds, included.
            end: aware datetime or epoch seconds, excluded.
            hosts: only these hosts, compared by their bytes under any collation; all if None.

        Returns:
            The columns of :data:`~snapshot_assets.source.table.MACHINE_COLUMNS`: ``host``
            categorical, else float64 with NaN for NULL; sorted by host and time. No row if the
            settings name no table and there is none with these columns that this user may read:
            another table called ``machines`` is left alone.

        Raises:
            SourceOutageError: the database does not answer.
            SourceError: the table that the settings name is missing, or lacks a column.
        """
        requested = None if hosts is None else sorted(set(hosts))
        if not self._has_machines or (requested is not None and not requested):
            return machine_rows(to_machine_types(pa.table({})))
        columns = clause(self.table.machines_name, MACHINE_COLUMNS).c
        time = columns["snapshot_time_epoch"]
        query = sa.select(*columns).where(
            time >= _number(_seconds(start)), time < _number(_seconds(end))
        )
        if requested is not None:
            query = query.where(columns["host"].in_([bound_text(host) for host in requested]))
        rows = self._fetch(query, to_machine_types)
        if requested is not None:
            # Under a case-insensitive collation, the query also selects similar host names.
            rows = rows.filter(pc.is_in(rows.column("host"), pa.array(requested, pa.string())))
        return machine_rows(rows)

    def hosts(self, start: Instant, end: Instant) -> list[str]:
        """The hosts with a snapshot in ``[start, end)``, sorted."""
        query = self._by_host(start, end)
        with self.connect() as connection:
            return sorted(str(host) for host, *_ in connection.execute(query))

    def tally(
        self,
        start: Instant,
        end: Instant,
        hosts: Collection[str] | None = None,
        *,
        own: tuple[Instant, Instant] | None = None,
    ) -> dict[str, Tally]:
        """The number of rows of each host in ``[start, end)``, and the newest time among them.

        A caller can compare the tally with the rows of a partition, without reading the rows.

        Args:
            start: aware datetime or epoch seconds, included.
            end: aware datetime or epoch seconds, excluded.
            hosts: only these hosts; all if None.
            own: only hosts that have a row in this half-open part of the range.

        Returns:
            Host to tally, only of hosts with a row. A case-insensitive collation can add hosts with
            names similar to the requested names.
        """
        time = self._require_columns()["snapshot_time_epoch"]
        query = self._by_host(start, end, sa.func.count(), sa.func.max(time))
        if hosts is not None:
            query = query.where(self._of_hosts(hosts))
        if own is not None:
            first, last = map(_seconds, own)
            within = sa.and_(time >= _number(first), time < _number(last))
            query = query.having(sa.func.sum(sa.case((within, 1), else_=0)) > 0)
        with self.connect() as connection:
            found = connection.execute(query).all()
        return {str(host): Tally(int(rows), float(newest)) for host, rows, newest in found}

    def snapshots(self, start: Instant, end: Instant) -> pd.DataFrame:
        """The snapshots in ``[start, end)``, counted by the database.

        Returns:
            One row per host and time, for :func:`snapshot_assets.domain.sampling.cadences`:
            ``host``, ``snapshot_time_epoch``, ``rows`` (number of rows) and ``pids`` (number of
            distinct pids).
        """
        columns = self._require_columns()
        time, pid = columns["snapshot_time_epoch"], columns["pid"]
        counts = (time, sa.func.count(), sa.func.count(pid.distinct()))
        query = self._by_host(start, end, *counts).group_by(time)
        with self.connect() as connection:
            found = connection.execute(query).all()
        names = ["host", "snapshot_time_epoch", "rows", "pids"]
        types = {"host": str, "snapshot_time_epoch": float, "rows": int, "pids": int}
        return pd.DataFrame([tuple(row) for row in found], columns=names).astype(types)

    def rows_of(
        self, hosts: Collection[str], start: Instant, end: Instant
    ) -> sa.Select[tuple[Any, ...]]:
        """A query for the rows of these hosts in ``[start, end)``, to build on.

        The query has the columns :data:`~snapshot_assets.source.table.COLUMNS`, as NULL if the
        table has no such column. Values are bound. Under a case-insensitive collation the query
        also selects hosts with similar names.
        """
        self._require_columns()
        columns = [
            (self._columns[name] if name in self._present else sa.null()).label(name)
            for name in COLUMNS
        ]
        in_range = self._in_range(_seconds(start), _seconds(end))
        return sa.select(*columns).where(self._of_hosts(hosts), *in_range)

    def span(self, since: float | None = None) -> tuple[float, float] | None:
        """The times of the oldest and the newest snapshot, epoch seconds; None without rows.

        Args:
            since: rows before this epoch second are left out.
        """
        time = self._require_columns()["snapshot_time_epoch"]
        query = sa.select(sa.func.min(time), sa.func.max(time))
        if since is not None:
            query = query.where(time >= since)
        with self.connect() as connection:
            first, last = connection.execute(query).one()
        return None if first is None else (float(first), float(last))

    def rows_without_key(self) -> int:
        """The number of rows without host, pid or time, which therefore belong to no partition."""
        columns = self._require_columns()
        key = [columns[name].is_(None) for name in ("host", "pid", "snapshot_time_epoch")]
        query = sa.select(sa.func.count()).where(sa.or_(*key))
        with self.connect() as connection:
            return int(connection.scalar(query) or 0)

    # --- the query --------------------------------------------------------------------------

    @cached_property
    def _present(self) -> dict[str, DeclaredType]:
        """The columns of :data:`_QUERIED` that can be read; the database is queried once."""
        names = {column: self.table.physical(column) for column in _QUERIED}
        try:
            found = readable_columns(self, self.table.name, names.values())
        except NoSuchTableError as error:
            raise SourceError(
                f"table {self.table.name!r} does not exist in {self._where()}, or its user may "
                "read none of its columns; set SNAPSHOT_SOURCE_TABLE, create it with "
                f"'snapshot-assets collect --once', or GRANT SELECT ({error})"
            ) from None
        present = {column: found[name] for column, name in names.items() if name in found}
        missing = [c for c in COLUMNS if c not in present and c not in OPTIONAL_COLUMNS]
        if missing:
            physical = ", ".join(repr(names[c]) for c in missing)
            raise SourceError(
                f"table {self.table.name!r} in {self._where()} has no column {physical} that its "
                f"user may read; it has {', '.join(column_names(self, self.table.name))}. Set your "
                f"names in SNAPSHOT_SOURCE_COLUMNS, for example {missing[0]}=your_name, or GRANT "
                "SELECT on the columns"
            )
        return present

    @cached_property
    def _has_machines(self) -> bool:
        """Whether the table of the machines can be read; the database is queried once."""
        name = self.table.machines_name
        try:
            found = readable_columns(self, name, MACHINE_COLUMNS)
        except SourceOutageError:
            raise
        except SourceError as error:
            found, why = {}, f" ({error})"
        else:
            why = ""
        missing = [column for column in MACHINE_COLUMNS if column not in found]
        if missing and self.table.machines is not None:
            raise SourceError(
                f"table {name!r} in {self._where()} has no column {', '.join(missing)} that its "
                "user may read; set SNAPSHOT_MACHINES_TABLE to a table that 'snapshot-assets "
                f"collect' writes, or remove this setting{why}"
            )
        return not missing

    def _require_columns(self) -> dict[str, sa.ColumnClause[Any]]:
        """The columns, after the check that the table has the required columns.

        Raises:
            SourceError: the table or a required column is missing.
        """
        return self._columns if self._present else {}

    @cached_property
    def _columns(self) -> dict[str, sa.ColumnClause[Any]]:
        """Names of :data:`_QUERIED` to SQLAlchemy's columns of the table."""
        physical = {column: self.table.physical(column) for column in _QUERIED}
        table = clause(self.table.name, set(physical.values()))
        return {column: table.c[name] for column, name in physical.items()}

    def _in_range(self, first: float, last: float) -> list[sa.ColumnElement[bool]]:
        time = self._columns["snapshot_time_epoch"]
        conditions = [time >= _number(first), time < _number(last)]
        if self.table.timezone is not None and "snapshot_datetime" in self._present:
            local = self._columns["snapshot_datetime"]
            low, high = _local_bounds(first, last, self.table.timezone)
            conditions += [
                local >= bound_text(low.isoformat(" ")),
                local <= bound_text(high.isoformat(" ")),
            ]
        return conditions

    def _of_hosts(self, hosts: Collection[str]) -> sa.ColumnElement[bool]:
        return self._columns["host"].in_([bound_text(host) for host in sorted(set(hosts))])

    def _by_host(
        self, start: Instant, end: Instant, *columns: sa.ColumnElement[Any]
    ) -> sa.Select[tuple[Any, ...]]:
        host = self._require_columns()["host"]
        # Grouped by bytes, because a case-insensitive collation would merge "web" with "WEB".
        return (
            sa.select(sa.func.min(host), *columns)
            .where(*self._in_range(_seconds(start), _seconds(end)), host.is_not(None))
            .group_by(sa.cast(host, sa.LargeBinary))
        )

    def _select(
        self, first: float, last: float, hosts: Sequence[str] | None
    ) -> sa.Select[tuple[Any, ...]]:
        present = [name for name in COLUMNS if name in self._present]
        query = sa.select(*(self._columns[name].label(name) for name in present))
        if hosts is not None:
            query = query.where(self._of_hosts(hosts))
        return query.where(*self._in_range(first, last))


def _local_bounds(first: float, last: float, zone: ZoneInfo) -> tuple[dt.datetime, dt.datetime]:
    """Two naive local times, with all of ``[first, last)`` between them.

    Local clocks jump and repeat, so the range is widened by the smallest and the largest offset
    from UTC in force around the range.
    """
    hours = range(int(first) - 86_400, int(last) + 2 * 86_400, 3_600)
    offsets = {dt.datetime.fromtimestamp(hour, zone).utcoffset() for hour in hours}
    known = [offset for offset in offsets if offset is not None]
    low = dt.datetime.fromtimestamp(first, dt.UTC) + min(known)
    high = dt.datetime.fromtimestamp(last, dt.UTC) + max(known)
    return (
        low.replace(tzinfo=None, microsecond=0),
        high.replace(tzinfo=None, microsecond=0) + dt.timedelta(seconds=1),
    )


def _seconds(instant: Instant) -> float:
    return epoch(instant) if isinstance(instant, dt.datetime) else float(instant)


def _number(seconds: float) -> int | float:
    """Whole seconds as an integer, so that an integer column is compared with an integer."""
    return int(seconds) if seconds == int(seconds) else seconds
