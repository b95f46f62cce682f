"""Reading the source: the table that the collectors write, in MySQL, MariaDB or SQLite.

One SELECT, two ways to run it: columnar (connectorx into Arrow) on MySQL and MariaDB, row by row
through SQLAlchemy everywhere else and whenever the first cannot serve. Writing to the table is the
collector's business (:mod:`snapshot_assets.store.collector`).
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

import connectorx
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.dialects.mysql.base import MySQLDialect

from snapshot_assets.domain.time import bucket_iso, epoch
from snapshot_assets.errors import SourceError, SourceOutageError
from snapshot_assets.store.rows import (
    COLUMNS,
    OPTIONAL_COLUMNS,
    RssUnit,
    raw_rows,
    to_canonical_types,
)

log = logging.getLogger(__name__)

Moment = dt.datetime | int | float

# What we may name in a query: the time in local clocks only ever narrows a scan.
_ASKED = (*COLUMNS, "snapshot_datetime")
_CONNECT_TIMEOUT_SECONDS = 10
# A query that takes longer than this is taken for a server that hangs.
ANSWER_TIMEOUT_SECONDS = 300
_FETCH_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class SourceTable:
    """Which table to read and how its columns are called.

    Attributes:
        name: table or view, ``table`` or ``schema.table``.
        columns: our column name to the table's, where they differ.
        rss_unit: unit of ``rss``: ``bytes``, or ``KiB`` as ``ps`` prints it.
        timezone: zone of the naive ``snapshot_datetime`` column. Where that column is the only
            indexed time, naming its zone lets it narrow the scan; the epoch column decides.
    """

    name: str = "processes"
    columns: Mapping[str, str] = field(default_factory=dict)
    rss_unit: RssUnit = "bytes"
    timezone: ZoneInfo | None = None

    def physical(self, column: str) -> str:
        """The table's name for one of our columns."""
        return self.columns.get(column, column)


@dataclass(frozen=True, slots=True)
class Tally:
    """How many rows, and the newest snapshot's epoch seconds."""

    rows: int
    newest_epoch: float


class ProcessSource:
    """The process rows of all hosts, read by time range.

    Opening one does not connect. Not shared between processes; threads may share it.

    Args:
        url: SQLAlchemy URL, for example ``mysql://reader:secret@db/monitoring`` or
            ``sqlite:///data/processes.db``. Never printed with its password.
        table: names and units.
    """

    def __init__(self, url: str, table: SourceTable | None = None) -> None:
        self.table = table or SourceTable()
        self.url = _normalised_url(url)
        self.columnar = _columnar_url(self.url) is not None
        self.engine = _engine(self.url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections."""
        self.engine.dispose()

    def __repr__(self) -> str:
        return f"ProcessSource({self.url.render_as_string(hide_password=True)!r})"

    def read_sql(
        self, start: Moment, end: Moment, hosts: Collection[str] | None = None
    ) -> pd.DataFrame:
        """Read the rows whose snapshot was taken in ``[start, end)``.

        Args:
            start: aware datetime or epoch seconds, included.
            end: aware datetime or epoch seconds, excluded.
            hosts: only these hosts, compared exactly, whatever the table's collation; all if None.

        Returns:
            An unvalidated :class:`~snapshot_assets.domain.stages.RawProcessRows` frame, sorted.

        Raises:
            SourceOutageError: the database does not answer.
            SourceError: wrong password, missing table or column, or a column of the wrong type.
            StageError: a value is missing where there must be one.
        """
        first, last = _seconds(start), _seconds(end)
        subject = f"{_whose(hosts)} in [{_iso(first)}, {_iso(last)})"
        wanted = None if hosts is None else sorted(set(hosts))
        if wanted is not None and not wanted:
            table = pa.table({name: pa.array([], pa.string()) for name in COLUMNS})
        else:
            table = self._fetch(self._select(first, last, wanted))
        rows = to_canonical_types(table)
        if wanted is not None and set(pc.unique(rows.column("host")).to_pylist()) - set(wanted):
            # Case-insensitive collations let hosts through that only look like the wanted ones.
            rows = rows.filter(pc.is_in(rows.column("host"), pa.array(wanted, pa.string())))
        return raw_rows(rows, self.table.rss_unit, subject)

    def hosts(self, start: Moment, end: Moment) -> list[str]:
        """The hosts with a snapshot in ``[start, end)``, sorted."""
        query = self._by_host(start, end)
        with self.connect() as connection:
            return sorted(str(name) for name, *_ in connection.execute(query))

    def tally(
        self, start: Moment, end: Moment, hosts: Collection[str] | None = None
    ) -> dict[str, Tally]:
        """How many rows each host has in ``[start, end)``, and the newest of their times.

        What a partition was made from can be compared with it, without reading the rows.
        """
        time = self._require_columns()["snapshot_time_epoch"]
        query = self._by_host(start, end, sa.func.count(), sa.func.max(time))
        if hosts is not None:
            query = query.where(self._of_hosts(hosts))
        with self.connect() as connection:
            found = connection.execute(query).all()
        return {str(host): Tally(int(rows), float(newest)) for host, rows, newest in found}

    def snapshots(self, start: Moment, end: Moment) -> pd.DataFrame:
        """The snapshots in ``[start, end)``, counted by the database.

        Returns:
            One row per host and time: ``host``, ``snapshot_time_epoch``, ``rows`` and ``pids``, the
            number of different ones; for :func:`snapshot_assets.domain.health.cadences`.
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
        self, hosts: Collection[str], start: Moment, end: Moment
    ) -> sa.Select[tuple[Any, ...]]:
        """The rows of these hosts in ``[start, end)`` as a query to build on.

        Its columns are :data:`~snapshot_assets.store.rows.COLUMNS`, NULL where the table has none;
        its values are bound. A case-insensitive collation lets other hosts through.
        """
        self._require_columns()
        columns = [
            (self._columns[name] if name in self._present else sa.null()).label(name)
            for name in COLUMNS
        ]
        in_range = self._in_range(_seconds(start), _seconds(end))
        return sa.select(*columns).where(self._of_hosts(hosts), *in_range)

    def span(self, since: float | None = None) -> tuple[float, float] | None:
        """The oldest and the newest snapshot's epoch seconds; None for an empty table.

        Args:
            since: rows before this epoch second do not count.
        """
        time = self._require_columns()["snapshot_time_epoch"]
        query = sa.select(sa.func.min(time), sa.func.max(time))
        if since is not None:
            query = query.where(time >= since)
        with self.connect() as connection:
            first, last = connection.execute(query).one()
        return None if first is None else (float(first), float(last))

    def rows_without_key(self) -> int:
        """How many rows have no host, no pid or no time, and so belong to no partition."""
        columns = self._require_columns()
        key = [columns[name].is_(None) for name in ("host", "pid", "snapshot_time_epoch")]
        query = sa.select(sa.func.count()).where(sa.or_(*key))
        with self.connect() as connection:
            return int(connection.scalar(query) or 0)

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        """A connection whose failures are told in the operator's words."""
        self._require_sqlite_file()
        try:
            with self.engine.connect() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            raise self._explain(error) from None

    # --- the query --------------------------------------------------------------------------

    @cached_property
    def _present(self) -> frozenset[str]:
        """Our names of the columns that the table has, asked once."""
        schema, _, name = self.table.name.rpartition(".")
        with self.connect() as connection:
            try:
                found = sa.inspect(connection).get_columns(name, schema=schema or None)
            except sa.exc.NoSuchTableError:
                raise SourceError(
                    f"table {self.table.name!r} does not exist in {self._where()}; "
                    "set SNAPSHOT_SOURCE_TABLE, or create it with 'snapshot-assets collect --once'"
                ) from None
        names = {column["name"].casefold() for column in found}
        present = frozenset(c for c in _ASKED if self.table.physical(c).casefold() in names)
        missing = [c for c in COLUMNS if c not in present and c not in OPTIONAL_COLUMNS]
        if missing:
            physical = ", ".join(repr(self.table.physical(c)) for c in missing)
            raise SourceError(
                f"table {self.table.name!r} in {self._where()} has no column {physical}; it has "
                f"{', '.join(sorted(c['name'] for c in found))}. Name yours with "
                f"SNAPSHOT_SOURCE_COLUMNS, for example {missing[0]}=your_name"
            )
        return present

    def _require_columns(self) -> dict[str, sa.ColumnClause[Any]]:
        """The columns, once it is known that the table has them."""
        return self._columns if self._present else {}

    @cached_property
    def _columns(self) -> dict[str, sa.ColumnClause[Any]]:
        """Our column names to the columns of the table's clause."""
        schema, _, name = self.table.name.rpartition(".")
        physical = {column: self.table.physical(column) for column in _ASKED}
        clause = sa.table(name, *map(sa.column, set(physical.values())), schema=schema or None)
        return {column: clause.c[theirs] for column, theirs in physical.items()}

    def _in_range(self, first: float, last: float) -> list[sa.ColumnElement[bool]]:
        time = self._columns["snapshot_time_epoch"]
        conditions = [time >= _number(first), time < _number(last)]
        if self.table.timezone is not None and "snapshot_datetime" in self._present:
            local = self._columns["snapshot_datetime"]
            low, high = _local_bounds(first, last, self.table.timezone)
            conditions += [local >= _text(low.isoformat(" ")), local <= _text(high.isoformat(" "))]
        return conditions

    def _of_hosts(self, hosts: Collection[str]) -> sa.ColumnElement[bool]:
        return self._columns["host"].in_([_text(host) for host in sorted(set(hosts))])

    def _by_host(
        self, start: Moment, end: Moment, *columns: sa.ColumnElement[Any]
    ) -> sa.Select[tuple[Any, ...]]:
        host = self._require_columns()["host"]
        # Grouped as bytes: a case-insensitive collation would merge "web" with "WEB".
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

    # --- the two ways -----------------------------------------------------------------------

    def _fetch(self, query: sa.Select[tuple[Any, ...]]) -> pa.Table:
        if self.columnar:
            # The columnar driver waits half a minute for a server that is down, and names no
            # error codes. A connection of ours first tells either within seconds.
            with self.connect() as connection:
                connection.execute(sa.text("SELECT 1"))
            try:
                return self._fetch_columnar(query)
            except BaseException as error:  # its panics are no Exceptions
                if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
                    raise
                reason = self._without_password(str(error)).splitlines()[0]
                log.warning("columnar read failed, reading row by row instead: %s", reason)
                table = self._fetch_rows(query)  # serves, or tells what is wrong
                self.columnar = False
                return table
        return self._fetch_rows(query)

    def _fetch_columnar(self, query: sa.Select[tuple[Any, ...]]) -> pa.Table:
        return connectorx.read_sql(
            str(_columnar_url(self.url)), _literal_sql(query), return_type="arrow"
        )

    def _fetch_rows(self, query: sa.Select[tuple[Any, ...]]) -> pa.Table:
        """The same columns, fetched in chunks so that only the narrow columns stay in memory."""
        with self.connect() as connection:
            result = connection.execution_options(stream_results=True).execute(query)
            names = list(result.keys())
            tables = [to_canonical_types(pa.table([[] for _ in names], names=names))]
            for chunk in result.partitions(_FETCH_ROWS):
                columns = [
                    _column_array(name, values)
                    for name, values in zip(names, zip(*chunk, strict=True), strict=True)
                ]
                tables.append(to_canonical_types(pa.table(columns, names=names)))
        return pa.concat_tables(tables)

    # --- errors -----------------------------------------------------------------------------

    def _where(self) -> str:
        return self.url.render_as_string(hide_password=True)

    def _without_password(self, text: str) -> str:
        for secret in {self.url.password, _columnar_url(self.url)} - {None, ""}:
            text = text.replace(str(secret), "***")
        return text

    def _require_sqlite_file(self) -> None:
        """SQLite would create an empty database where a mistyped path points."""
        path = self.url.database
        if self.url.get_backend_name() != "sqlite" or not path or path == ":memory:":
            return
        if not path.startswith("file:") and not Path(path).exists():
            raise SourceError(
                f"there is no SQLite database at {path}; set SNAPSHOT_SOURCE_URL, or create it "
                "with 'snapshot-assets collect --once'"
            )

    def _explain(self, error: sa.exc.SQLAlchemyError) -> SourceError:
        """The database's error as one sentence that says what to do."""
        original = getattr(error, "orig", None) or error
        code = original.args[0] if original.args and isinstance(original.args[0], int) else None
        detail = self._without_password(str(original))
        where = self._where()
        if code in _MYSQL_DENIED:
            return SourceError(
                f"{where} refuses the user or the password; set both in SNAPSHOT_SOURCE_URL "
                f"({detail})"
            )
        if code in _MYSQL_MISSING or "no such table" in detail or "no such column" in detail:
            return SourceError(
                f"{where} has no such database, table or column; set SNAPSHOT_SOURCE_URL, "
                f"SNAPSHOT_SOURCE_TABLE or SNAPSHOT_SOURCE_COLUMNS ({detail})"
            )
        if isinstance(error, sa.exc.DBAPIError) and (
            error.connection_invalidated or isinstance(error, sa.exc.OperationalError)
        ):
            return SourceOutageError(
                f"{where} does not answer; is the server up and reachable? ({detail})"
            )
        return SourceError(f"{where} cannot be read: {detail}")


# MySQL's and MariaDB's error numbers, from their "Server Error Message Reference".
_MYSQL_DENIED = frozenset({1044, 1045, 1142, 1143, 1227, 1698})
_MYSQL_MISSING = frozenset({1049, 1051, 1054, 1146})


def _normalised_url(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise SourceError(
            "the source URL is not a SQLAlchemy URL; SNAPSHOT_SOURCE_URL looks like "
            "mysql://user:password@host:3306/database or sqlite:///path/to/file.db"
        ) from None
    if parsed.drivername in ("mysql", "mariadb"):
        parsed = parsed.set(drivername="mysql+pymysql")
    if parsed.drivername.startswith("mysql") and "charset" not in parsed.query:
        parsed = parsed.update_query_dict({"charset": "utf8mb4"})
    return parsed


def _engine(url: sa.URL) -> sa.Engine:
    options: dict[str, Any] = {}
    if url.drivername == "mysql+pymysql":
        options["connect_timeout"] = _CONNECT_TIMEOUT_SECONDS
        options["read_timeout"] = options["write_timeout"] = ANSWER_TIMEOUT_SECONDS
    elif url.get_backend_name() == "sqlite":
        options["timeout"] = 30  # a collector may be writing
    try:
        return sa.create_engine(url, connect_args=options, pool_pre_ping=True, hide_parameters=True)
    except (sa.exc.NoSuchModuleError, ImportError) as error:
        raise SourceError(
            f"no driver for {url.drivername!r} is installed ({error}); SNAPSHOT_SOURCE_URL takes "
            "mysql://, mariadb:// and sqlite:// as they are"
        ) from None


def _columnar_url(url: sa.URL) -> str | None:
    """The URL for connectorx, or None where it cannot serve: sockets, TLS options, other kinds."""
    if url.get_backend_name() not in ("mysql", "mariadb") or not url.host:
        return None
    if set(url.query) - {"charset"}:
        return None
    plain = url.set(drivername="mysql", query={}, port=url.port or 3306)
    return plain.render_as_string(hide_password=False)


class _Text(sa.types.TypeDecorator[str]):
    """Text that is bound where the driver binds, and else written in hexadecimal.

    The columnar driver takes no parameters. The literal consists of digits and the letters a to f
    alone, so that no value can end it, in any SQL mode; its introducer leaves MySQL free to compare
    in the column's own character set, and so to use its index.
    """

    impl = sa.String
    cache_ok = True

    def literal_processor(self, dialect: sa.Dialect) -> Callable[[str], str]:
        return lambda value: f"_utf8mb4 X'{value.encode().hex()}'"


def _text(value: str) -> sa.BindParameter[str]:
    return sa.bindparam(None, value, type_=_Text())


def _literal_sql(query: sa.Select[tuple[Any, ...]]) -> str:
    """The statement as text, its values as numbers and hexadecimal literals."""
    compiled = query.compile(
        dialect=MySQLDialect(paramstyle="named"), compile_kwargs={"literal_binds": True}
    )
    return str(compiled)


def _column_array(name: str, values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        kinds = sorted({type(value).__name__ for value in values if value is not None})
        raise SourceError(
            f"column {name!r} of the source mixes {', '.join(kinds)}: {error}"
        ) from None


def _local_bounds(first: float, last: float, zone: ZoneInfo) -> tuple[dt.datetime, dt.datetime]:
    """Naive local times that enclose every moment of ``[first, last)``.

    Local clocks jump and repeat, so the range is widened to the smallest and the largest offset
    in force around it.
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


def _seconds(moment: Moment) -> float:
    return epoch(moment) if isinstance(moment, dt.datetime) else float(moment)


def _number(seconds: float) -> int | float:
    """Whole seconds as an integer, so that an integer index is compared with an integer."""
    return int(seconds) if seconds == int(seconds) else seconds


def _iso(seconds: float) -> str:
    return bucket_iso(int(seconds))


def _whose(hosts: Collection[str] | None) -> str:
    if hosts is None:
        return "all hosts"
    return ", ".join(sorted(hosts)) if len(hosts) <= 3 else f"{len(hosts)} hosts"
