"""Reading the source: the queries on the tables that the collectors write.

URLs and drivers belong to :mod:`snapshot_assets.source.database`, and the types of columns to
:mod:`snapshot_assets.source.columns`. :mod:`snapshot_assets.source.narrowing` says how the local
time narrows a scan. :mod:`snapshot_assets.source.collecting` writes to the tables.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from snapshot_assets.errors import SourceError
from snapshot_assets.source.columns import CanonicalTypes, Unreadable, machine_rows, raw_rows
from snapshot_assets.source.database import Database, bound_text
from snapshot_assets.source.kinds import EARLIEST_EPOCH, LATEST_EPOCH, epoch_misfit
from snapshot_assets.source.narrowing import Instant, between, seconds_of, within_any_zone
from snapshot_assets.source.readable import DeclaredType, clause, has_machines, process_columns
from snapshot_assets.source.table import COLUMNS, LOCAL_TIME, MACHINE_COLUMNS
from snapshot_assets.source.table import SourceTable as SourceTable
from snapshot_assets.source.values import text

# The columns that queries use.
_QUERIED = (*COLUMNS, LOCAL_TIME)
_SAMPLE_ROWS = 1_000
_WHOLE_NUMBER = re.compile(r"-?[1-9][0-9]{0,17}|0")


@dataclass(frozen=True, slots=True)
class Reading:
    """Rows of the source, and what of them could not be read.

    Attributes:
        rows: as the schema :class:`~snapshot_assets.domain.schemas.RawProcessRows`, sorted, not
            yet validated. Rows without a host are among them only if the rows of all hosts were
            read.
        unreadable: values that are no number or no text, by host and column.
    """

    rows: pd.DataFrame
    unreadable: tuple[Unreadable, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """The number of rows, and the time of the newest snapshot, epoch seconds."""

    rows: int
    newest_epoch: float


@dataclass(frozen=True, slots=True)
class WholeCount:
    """All rows of a range, counted by the epoch alone.

    Attributes:
        rows: number of rows.
        without_host: how many of them belong to no host: their host is NULL or no text.
        hidden: number of rows that reading by the local time would miss, by host.
    """

    rows: int
    without_host: int
    hidden: dict[str, int]


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

        The same as :meth:`read`, without what could not be read.
        """
        return self.read(start, end, hosts).rows

    def read(self, start: Instant, end: Instant, hosts: Collection[str] | None = None) -> Reading:
        """Read the rows whose snapshot was taken in ``[start, end)``.

        A value that is no number or no text is NULL in its row, and stops no other row.

        Args:
            start: aware datetime or epoch seconds, included.
            end: aware datetime or epoch seconds, excluded.
            hosts: only these hosts, compared by their bytes under any collation; all if None.

        Raises:
            SourceOutageError: the database does not answer.
            SourceError: wrong password, missing table or column, or a column of another kind.
        """
        requested = None if hosts is None else sorted(set(hosts))
        cast = CanonicalTypes()
        if requested is not None and not requested:
            return Reading(raw_rows(cast(pa.table({})), self.table.rss_unit), ())
        query = self._select(seconds_of(start), seconds_of(end), requested)
        rows = _of_these(self._fetch(query, cast), requested)
        unreadable = tuple(
            lost for lost in cast.unreadable() if requested is None or lost.host in requested
        )
        return Reading(raw_rows(rows, self.table.rss_unit), unreadable)

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
        cast = CanonicalTypes(MACHINE_COLUMNS)
        if not self.has_machines or (requested is not None and not requested):
            return machine_rows(cast(pa.table({})))
        columns = clause(self.table.machines_name, MACHINE_COLUMNS).c
        query = sa.select(*columns).where(
            *between(columns["snapshot_time_epoch"], seconds_of(start), seconds_of(end))
        )
        if requested is not None:
            query = query.where(self._is_any(columns["host"], requested))
        return machine_rows(_of_these(self._fetch(query, cast), requested))

    def hosts(self, start: Instant, end: Instant) -> list[str]:
        """The hosts with a snapshot in ``[start, end)``, sorted."""
        query = self._by_host(start, end)
        with self.connect() as connection:
            found = {text(host) for host, *_ in connection.execute(query)}
        return sorted(host for host in found if host is not None)

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
            query = query.where(self.is_any_host(hosts))
        if own is not None:
            within = sa.and_(*between(time, *map(seconds_of, own)))
            query = query.having(sa.func.sum(sa.case((within, 1), else_=0)) > 0)
        with self.connect() as connection:
            found = connection.execute(query).all()
        return {
            name: Tally(int(rows), float(newest))
            for host, rows, newest in found
            if (name := text(host)) is not None
        }

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
        counted = [(text(host), *rest) for host, *rest in found]
        return pd.DataFrame(counted, columns=names).dropna(subset="host").astype(types)

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
        in_range = self._in_range(seconds_of(start), seconds_of(end))
        return sa.select(*columns).where(self.is_any_host(hosts), *in_range)

    def span(self, since: float | None = None) -> tuple[float, float] | None:
        """The times of the oldest and the newest snapshot, epoch seconds; None without rows.

        Args:
            since: rows before this epoch second are left out.
        """
        time = self._require_columns()["snapshot_time_epoch"]
        # A time that cannot be would hide all others, and a text of SQLite is above all numbers.
        query = sa.select(sa.func.min(time), sa.func.max(time)).where(time < LATEST_EPOCH)
        if since is not None:
            query = query.where(time >= since)
        with self.connect() as connection:
            first, last = connection.execute(query).one()
        return None if first is None else (float(first), float(last))

    def rows_without_key(self) -> int:
        """The number of rows without a host, or without a time of this century.

        They belong to no partition.
        """
        columns = self._require_columns()
        host, time = columns["host"], columns["snapshot_time_epoch"]
        query = sa.select(sa.func.count()).where(
            sa.or_(host.is_(None), time.is_(None), time < 0, time >= LATEST_EPOCH)
        )
        with self.connect() as connection:
            return int(connection.scalar(query) or 0)

    def count_whole(self, start: Instant, end: Instant, seconds: float) -> WholeCount | None:
        """Count the rows in ``[start, end)`` by the epoch alone, whatever their local time.

        Without an index on the epoch, the database looks at the whole table.

        Args:
            start: aware datetime or epoch seconds, included.
            end: aware datetime or epoch seconds, excluded.
            seconds: MySQL and MariaDB give up after this time.

        Returns:
            The count; None if the database gave up.
        """
        columns = self._require_columns()
        first, last = seconds_of(start), seconds_of(end)
        narrow = self._narrow(first, last)
        hidden = sa.literal(0) if narrow is None else sa.case((narrow, 0), else_=1)
        counts: list[sa.ColumnElement[Any]] = [sa.func.count(), sa.func.sum(hidden)]
        query = (
            sa.select(sa.func.min(columns["host"]), *counts)
            .where(*between(columns["snapshot_time_epoch"], first, last))
            .group_by(sa.cast(columns["host"], sa.LargeBinary))
        )
        found = self.rows_within(query, seconds)
        if found is None:
            return None
        by_host = [(text(host), int(rows), int(missed)) for host, rows, missed in found]
        return WholeCount(
            rows=sum(rows for _, rows, _ in by_host),
            without_host=sum(rows for host, rows, _ in by_host if host is None),
            hidden={str(host): missed for host, _, missed in by_host if missed},
        )

    # --- the query --------------------------------------------------------------------------

    @cached_property
    def _present(self) -> dict[str, DeclaredType]:
        """The columns of :data:`_QUERIED` that can be read; the database is queried once.

        Raises:
            SourceError: a column is missing, or the epoch is not in seconds.
        """
        present = process_columns(self, self.table)
        time, declared = self._columns["snapshot_time_epoch"], present["snapshot_time_epoch"]
        with self.connect() as connection:
            sample = connection.scalars(sa.select(time).limit(_SAMPLE_ROWS)).all()
            misfit = epoch_misfit(self.table, declared, sample)
            if misfit is not None and declared in ("number", "dynamic", "other"):
                # The sample may be old: a table with any row in seconds is read.
                century = between(time, EARLIEST_EPOCH, LATEST_EPOCH)
                usable = sa.select(time).where(*century).limit(1)
                misfit = misfit if connection.scalar(usable) is None else None
        if misfit is not None:
            raise SourceError(str(misfit))
        return present

    @cached_property
    def has_machines(self) -> bool:
        """Whether the table of the machines can be read; the database is queried once."""
        return has_machines(self, self.table)

    @property
    def columns(self) -> dict[str, sa.ColumnClause[Any]]:
        """The columns that this user may read, for the queries of other modules."""
        return {name: column for name, column in self._columns.items() if name in self._present}

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
        narrow = self._narrow(first, last)
        in_range = between(self._columns["snapshot_time_epoch"], first, last)
        return in_range if narrow is None else [*in_range, narrow]

    def _narrow(self, first: float, last: float) -> sa.ColumnElement[bool] | None:
        declared = self._present.get(LOCAL_TIME)
        if self.table.timezone is None or declared is None:
            return None
        return within_any_zone(self._columns[LOCAL_TIME], declared, first, last)

    def is_any_host(self, hosts: Collection[str]) -> sa.ColumnElement[bool]:
        """The condition that a row is of one of these hosts."""
        return self._is_any(self._columns["host"], hosts)

    def _is_any(
        self, column: sa.ColumnElement[Any], hosts: Collection[str]
    ) -> sa.ColumnElement[bool]:
        wanted = sorted(set(hosts))
        names: list[sa.BindParameter[Any]] = [bound_text(host) for host in wanted]
        if self.url.get_backend_name() == "sqlite":  # there no blob and no number equals a text
            names += [sa.literal(host.encode()) for host in wanted]
            names += [sa.literal(int(host)) for host in wanted if _WHOLE_NUMBER.fullmatch(host)]
        return column.in_(names)

    def _by_host(
        self, start: Instant, end: Instant, *columns: sa.ColumnElement[Any]
    ) -> sa.Select[tuple[Any, ...]]:
        host = self._require_columns()["host"]
        # Grouped by bytes, because a case-insensitive collation would merge "web" with "WEB".
        return (
            sa.select(sa.func.min(host), *columns)
            .where(*self._in_range(seconds_of(start), seconds_of(end)), host.is_not(None))
            .group_by(sa.cast(host, sa.LargeBinary))
        )

    def _select(
        self, first: float, last: float, hosts: Sequence[str] | None
    ) -> sa.Select[tuple[Any, ...]]:
        present = [name for name in COLUMNS if name in self._present]
        query = sa.select(*(self._columns[name].label(name) for name in present))
        if hosts is not None:
            query = query.where(self.is_any_host(hosts))
        return query.where(*self._in_range(first, last))


def _of_these(rows: pa.Table, hosts: Sequence[str] | None) -> pa.Table:
    """The rows of exactly these hosts; of all hosts if None.

    Under a case-insensitive collation, a query also selects similar host names.
    """
    if hosts is None or set(pc.unique(rows.column("host")).to_pylist()) <= set(hosts):
        return rows
    return rows.filter(pc.is_in(rows.column("host"), pa.array(hosts, pa.string())))
