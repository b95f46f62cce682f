"""A database: URL, engine, timeouts, two ways to fetch, and error messages for the operator.

On MySQL and MariaDB, rows are fetched in columns (connectorx into Arrow). On other databases, and
after connectorx has failed, rows are fetched one by one through SQLAlchemy. No table and no column
belongs here: :mod:`snapshot_assets.source.query` makes the queries.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import connectorx
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects.mysql.base import MySQLDialect

from snapshot_assets.errors import SourceError, SourceOutageError
from snapshot_assets.source.values import array_of
from snapshot_assets.urls import UnreadableUrlError, masked, secrets_of, split_url, unreadable

log = logging.getLogger(__name__)

_CONNECT_TIMEOUT_SECONDS = 10
# The server counts as hanging if a query takes longer than this.
ANSWER_TIMEOUT_SECONDS = 300
_FETCH_ROWS = 100_000
_SETTING = "SNAPSHOT_SOURCE_URL"
_EXAMPLE = "mysql://user:password@host:3306/database or sqlite:///path/to/file.db"


class Database:
    """MySQL, MariaDB, SQLite, or any other database with an installed SQLAlchemy driver.

    The constructor does not connect. Threads may share a database object; processes may not.

    Args:
        url: SQLAlchemy URL, for example ``mysql://reader:secret@db/monitoring`` or
            ``sqlite:///data/processes.db``. Its password is never printed.

    Attributes:
        url: the URL with driver and character set.
        columnar: whether the columnar driver is used; false after it failed where the other way
            succeeded.
        engine: SQLAlchemy's engine.

    Raises:
        SourceError: the URL is not a SQLAlchemy URL, its password is not escaped so that it could
            be read in two ways, or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = _normalised_url(url)
        self._secrets = secrets_of(url)
        self.columnar = _columnar_url(self.url) is not None
        self.engine = _engine(self.url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.where()!r})"

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        """A connection. Errors of SQLAlchemy become errors for the operator.

        Raises:
            SourceOutageError: the database does not answer.
            SourceError: another error, such as a wrong password or a missing SQLite file.
        """
        self._require_sqlite_file()
        try:
            with self._opened() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            raise self.explain(error) from None

    def rows_within(
        self, query: sa.Select[tuple[Any, ...]], seconds: float
    ) -> list[tuple[Any, ...]] | None:
        """The rows that the query selects; None if MySQL or MariaDB gave up after this time.

        Raises:
            SourceOutageError: the database does not answer.
            SourceError: another error, as in :meth:`connect`.
        """
        with self.connect() as connection:
            limit = _statement_limit(connection.dialect, seconds)
            if limit is None:
                return [tuple(row) for row in connection.execute(query)]
            connection.exec_driver_sql(limit)
            try:
                return [tuple(row) for row in connection.execute(query)]
            except sa.exc.DBAPIError as error:
                if _code(error) not in _MYSQL_GAVE_UP:
                    raise
                return None
            finally:
                # The limit belongs to the connection, which others would get from the pool.
                connection.invalidate()

    def _opened(self) -> sa.Connection:
        try:
            return self.engine.connect()
        except sa.exc.SQLAlchemyError:
            raise
        except Exception as error:  # drivers raise errors of any kind for options they do not like
            raise SourceError(
                f"the driver of {self.where()} rejects what {_SETTING} says, for example an "
                f"option after the question mark ({self._without_password(_kind_and_text(error))})"
            ) from None

    # --- the two ways -----------------------------------------------------------------------

    def _fetch(
        self, query: sa.Select[tuple[Any, ...]], with_types: Callable[[pa.Table], pa.Table]
    ) -> pa.Table:
        """The rows that the query selects, the same with either driver.

        Args:
            query: a query with bound values; texts are bound by :func:`bound_text`.
            with_types: casts a table to the requested types, from the types of either driver.
        """
        if self.columnar:
            # The columnar driver waits half a minute for a server that is down, and gives no error
            # codes. A connection through SQLAlchemy first fails within seconds, with a code.
            with self.connect() as connection:
                connection.execute(sa.text("SELECT 1"))
            try:
                table = self._fetch_columnar(query)
            except BaseException as error:  # panics of connectorx do not derive from Exception
                if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
                    raise
                reason = self._without_password(str(error)).splitlines()[0]
                log.warning("columnar read failed, reading row by row instead: %s", reason)
                table = self._fetch_rows(query, with_types)  # succeeds, or raises a better error
                self.columnar = False
                return table
            return with_types(table)
        return self._fetch_rows(query, with_types)

    def _fetch_columnar(self, query: sa.Select[tuple[Any, ...]]) -> pa.Table:
        return connectorx.read_sql(
            str(_columnar_url(self.url)), _literal_sql(query), return_type="arrow"
        )

    def _fetch_rows(
        self, query: sa.Select[tuple[Any, ...]], with_types: Callable[[pa.Table], pa.Table]
    ) -> pa.Table:
        """The same rows, fetched in chunks, so that only their Arrow columns stay in memory."""
        with self.connect() as connection:
            result = connection.execution_options(stream_results=True).execute(query)
            names = list(result.keys())
            tables = [with_types(pa.table([[] for _ in names], names=names))]
            for chunk in result.partitions(_FETCH_ROWS):
                columns = [array_of(values) for values in zip(*chunk, strict=True)]
                tables.append(with_types(pa.table(columns, names=names)))
        return pa.concat_tables(tables)

    # --- errors -----------------------------------------------------------------------------

    def where(self) -> str:
        """The database in messages: no password, and no options, as a driver may take one there."""
        shown = self.url.set(query={}).render_as_string(hide_password=True)
        return self._without_password(shown)

    def _without_password(self, text: str) -> str:
        return masked(text, self._secrets)

    def _require_sqlite_file(self) -> None:
        """Raise an error if the SQLite file is missing: SQLite would create an empty database."""
        path = self.url.database
        if self.url.get_backend_name() != "sqlite" or not path or path == ":memory:":
            return
        if not path.startswith("file:") and not Path(path).exists():
            raise SourceError(
                f"there is no SQLite database at {path}; set {_SETTING}, or create it "
                "with 'snapshot-assets collect --once'"
            )

    def explain(self, error: sa.exc.SQLAlchemyError) -> SourceError:
        """The database's error as a message that says what to do."""
        code = _code(error)
        detail = self._without_password(str(getattr(error, "orig", None) or error))
        where = self.where()
        if code in _MYSQL_DENIED:
            return SourceError(
                f"{where} rejects the user or the password; set both in SNAPSHOT_SOURCE_URL "
                f"({detail})"
            )
        if code in _MYSQL_NOT_GRANTED:
            return SourceError(
                f"the user of {where} may not read that; GRANT SELECT on the table, on the view or "
                f"on its columns to this user ({detail})"
            )
        if code in _MYSQL_BROKEN_VIEW:
            return SourceError(
                f"{where} cannot show a view, because of what the view selects or of who defined "
                f"it; repair the view, or set SNAPSHOT_SOURCE_TABLE to another ({detail})"
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


def _code(error: sa.exc.SQLAlchemyError) -> int | None:
    original = getattr(error, "orig", None) or error
    return original.args[0] if original.args and isinstance(original.args[0], int) else None


def _statement_limit(dialect: sa.Dialect, seconds: float) -> str | None:
    """The statement that bounds the time of the following ones; None if there is none."""
    if dialect.name not in ("mysql", "mariadb"):
        return None
    if getattr(dialect, "is_mariadb", False):
        return f"SET SESSION max_statement_time = {seconds:f}"
    return f"SET SESSION max_execution_time = {max(round(seconds * 1000), 1)}"


# MySQL's and MariaDB's error numbers, from their "Server Error Message Reference".
_MYSQL_DENIED = frozenset({1044, 1045, 1698})
_MYSQL_NOT_GRANTED = frozenset({1142, 1143, 1227, 1370})
_MYSQL_BROKEN_VIEW = frozenset({1356, 1449})
_MYSQL_GAVE_UP = frozenset({1969, 3024})
_MYSQL_MISSING = frozenset({1049, 1051, 1054, 1146})


def _normalised_url(url: str) -> sa.URL:
    try:
        split = split_url(url, _SETTING, _EXAMPLE)
        try:
            parsed = sa.make_url(url)
        except (sa.exc.ArgumentError, ValueError):  # its text may hold a piece of the password
            raise unreadable(url, _SETTING, _EXAMPLE) from None
        if not split.agrees(parsed.username, parsed.password):
            raise unreadable(url, _SETTING, _EXAMPLE)
    except UnreadableUrlError as error:
        raise SourceError(f"the source URL is not a SQLAlchemy URL: {error}") from None
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
        if url.password is not None:
            # PyMySQL would encode text as Latin-1, which has not all characters of a password.
            options["password"] = url.password.encode()
    elif url.get_backend_name() == "sqlite":
        options["timeout"] = 30  # a collector may be writing
    try:
        engine = sa.create_engine(
            url, connect_args=options, pool_pre_ping=True, hide_parameters=True
        )
    except (sa.exc.NoSuchModuleError, ImportError) as error:
        raise SourceError(
            f"no driver for {url.drivername!r} is installed ({error}); mysql://, mariadb:// and "
            f"sqlite:// in {_SETTING} need no further driver"
        ) from None
    except (sa.exc.ArgumentError, TypeError, ValueError) as error:
        reason = masked(_kind_and_text(error), secrets_of(url.render_as_string(False)))
        raise SourceError(f"{_SETTING} has an option that no driver takes ({reason})") from None
    if url.get_backend_name() == "sqlite":

        @sa.event.listens_for(engine, "connect")
        def _read_any_text(connection: Any, _: object) -> None:
            connection.text_factory = _text_or_bytes

    return engine


def _text_or_bytes(raw: bytes) -> str | bytes:
    """What SQLite has as text; bytes if it is no UTF-8, which must not stop the query."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _kind_and_text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _columnar_url(url: sa.URL) -> str | None:
    """The URL for connectorx; None for sockets, TLS and other options, and other databases."""
    if url.get_backend_name() not in ("mysql", "mariadb") or not url.host:
        return None
    if set(url.query) - {"charset"}:
        return None
    plain = url.set(drivername="mysql", query={}, port=url.port or 3306)
    return plain.render_as_string(hide_password=False)


class _Text(sa.types.TypeDecorator[str]):
    """Text that SQLAlchemy binds as a parameter, and that is a hexadecimal literal in SQL text.

    The columnar driver takes SQL text without parameters. The literal has only digits and the
    letters a to f, so no value can end the literal, in any SQL mode. With the introducer
    ``_utf8mb4``, MySQL compares in the column's own character set and can use the column's index.
    """

    impl = sa.String
    cache_ok = True

    def literal_processor(self, dialect: sa.Dialect) -> Callable[[str], str]:
        return lambda value: f"_utf8mb4 X'{value.encode().hex()}'"


def bound_text(value: str) -> sa.BindParameter[str]:
    """Text in a query, for both ways of fetching."""
    return sa.bindparam(None, value, type_=_Text())


def _literal_sql(query: sa.Select[tuple[Any, ...]]) -> str:
    """The query as SQL text, with values as numbers and hexadecimal literals."""
    compiled = query.compile(
        dialect=MySQLDialect(paramstyle="named"), compile_kwargs={"literal_binds": True}
    )
    return str(compiled)
