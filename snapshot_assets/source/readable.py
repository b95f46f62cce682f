"""Which columns of a table this user may read, and of what type the database says they are.

The database is asked by selecting no row, not by its catalogue: a user with SELECT on a view, or on
some columns only, may read that and no more. What the values are belongs to
:mod:`snapshot_assets.source.kinds`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import sqlalchemy as sa

from snapshot_assets.errors import SourceError, SourceOutageError
from snapshot_assets.source.database import Database
from snapshot_assets.source.table import (
    COLUMNS,
    LOCAL_TIME,
    MACHINE_COLUMNS,
    OPTIONAL_COLUMNS,
    SourceTable,
)

# ``dynamic``: as in SQLite, each value has a type of its own. ``other``: the driver does not say.
DeclaredType = Literal[
    "number", "float32", "text", "datetime", "date", "time of day", "dynamic", "other"
]

# The type codes of the MySQL protocol, which all MySQL drivers give.
_DECLARED: dict[int, DeclaredType] = {
    **dict.fromkeys((0, 1, 2, 3, 5, 8, 9, 13, 246), "number"),
    4: "float32",
    **dict.fromkeys((7, 12), "datetime"),
    10: "date",
    11: "time of day",
    **dict.fromkeys((15, 245, 247, 248, 249, 250, 251, 252, 253, 254), "text"),
}


class _NoSuchTableError(SourceError):
    """The table does not exist, or this user may read none of its columns."""


def process_columns(database: Database, table: SourceTable) -> dict[str, DeclaredType]:
    """The columns of :data:`~snapshot_assets.source.table.COLUMNS` and the local time, if readable.

    Raises:
        SourceOutageError: the database does not answer.
        SourceError: the table does not exist, or a required column does not or may not be read.
    """
    names = {column: table.physical(column) for column in (*COLUMNS, LOCAL_TIME)}
    try:
        found = _readable(database, table.name, names.values())
    except _NoSuchTableError as error:
        raise SourceError(
            f"table {table.name!r} does not exist in {database.where()}, or its user may read "
            "none of its columns; set SNAPSHOT_SOURCE_TABLE, create the table with "
            f"'snapshot-assets collect --once', or GRANT SELECT on it ({error})"
        ) from None
    present = {column: found[name] for column, name in names.items() if name in found}
    missing = [c for c in COLUMNS if c not in present and c not in OPTIONAL_COLUMNS]
    if missing:
        physical = ", ".join(repr(names[c]) for c in missing)
        raise SourceError(
            f"table {table.name!r} in {database.where()} has no column {physical} that its user "
            f"may read; it has {', '.join(_all_columns(database, table.name))}. Set your names in "
            f"SNAPSHOT_SOURCE_COLUMNS, for example {missing[0]}=your_name, or GRANT SELECT on the "
            "columns"
        )
    return present


def has_machines(database: Database, table: SourceTable) -> bool:
    """Whether the table of the machines is there, and can be read.

    Raises:
        SourceOutageError: the database does not answer.
        SourceError: the settings name the table, and it cannot be read.
    """
    name, why = table.machines_name, ""
    try:
        found = _readable(database, name, MACHINE_COLUMNS)
    except SourceOutageError:
        raise
    except SourceError as error:
        found, why = {}, f" ({error})"
    missing = [column for column in MACHINE_COLUMNS if column not in found]
    if missing and table.machines is not None:
        raise SourceError(
            f"table {name!r} in {database.where()} has no column {', '.join(missing)} that its "
            "user may read; set SNAPSHOT_MACHINES_TABLE to a table that 'snapshot-assets collect' "
            f"writes, or remove this setting{why}"
        )
    return not missing


def clause(table: str, columns: Collection[str]) -> sa.TableClause:
    """The table, ``table`` or ``schema.table``, with these columns, to select from."""
    schema, _, name = table.rpartition(".")
    return sa.table(name, *map(sa.column, columns), schema=schema or None)


def _readable(database: Database, table: str, names: Collection[str]) -> dict[str, DeclaredType]:
    """Those of the columns that exist and that this user may read, each with its declared type.

    Args:
        database: where the table is.
        table: ``table`` or ``schema.table``; a view is a table.
        names: the columns to try; upper and lower case count as the database does.

    Raises:
        _NoSuchTableError: there is no such table, or none of its columns may be read.
        SourceOutageError: the database does not answer.
        SourceError: another error, such as a wrong password.
    """
    wanted = sorted(set(names))
    with database.connect() as connection:
        try:
            return _types(connection, table, wanted)
        except sa.exc.DBAPIError as error:
            whole = _explained(database, error)
        found: dict[str, DeclaredType] = {}
        for name in wanted:
            connection.rollback()  # PostgreSQL answers nothing after an error
            try:
                found |= _types(connection, table, [name])
            except sa.exc.DBAPIError as error:
                _explained(database, error)
    if not found:
        raise _NoSuchTableError(str(whole))
    return found


def _all_columns(database: Database, table: str) -> list[str]:
    """All columns of the table that the catalogue shows to this user, for error messages.

    Returns:
        Names, sorted; empty if the catalogue shows none.
    """
    schema, _, name = table.rpartition(".")
    try:
        with database.connect() as connection:
            if database.url.get_backend_name() not in ("mysql", "mariadb"):
                found = sa.inspect(connection).get_columns(name, schema=schema or None)
                return sorted(column["name"] for column in found)
            # The inspector asks by SHOW CREATE TABLE, which a user with SELECT alone may not use.
            query = sa.text(
                "SELECT column_name FROM information_schema.columns "
                "WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :name"
            )
            rows = connection.execute(query, {"schema": schema or None, "name": name})
            return sorted(str(row[0]) for row in rows)
    except (sa.exc.NoSuchTableError, SourceError):
        return []


def _types(connection: sa.Connection, table: str, names: list[str]) -> dict[str, DeclaredType]:
    columns = clause(table, names).c
    result = connection.execute(sa.select(*(columns[name] for name in names)).limit(0))
    described: Any = result.cursor.description if result.cursor else []
    unknown: DeclaredType = "dynamic" if connection.dialect.name == "sqlite" else "other"
    kinds = [_DECLARED.get(column[1], unknown) for column in described]
    result.close()
    return dict(zip(names, kinds, strict=True))


def _explained(database: Database, error: sa.exc.DBAPIError) -> SourceError:
    """The error for the operator; an outage is raised, as it says nothing about the columns."""
    explained = database.explain(error)
    if isinstance(explained, SourceOutageError):
        raise explained from None
    return explained
