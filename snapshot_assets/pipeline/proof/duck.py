"""Runs the proof's SQL files in DuckDB, in this process and over Arrow tables.

No rule and no number belongs here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.resources import files

import duckdb
import pyarrow as pa

# An empty database in memory, that neither loads extensions nor opens files.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "enable_external_access": "false",
}


@contextmanager
def database_of(
    tables: Mapping[str, pa.Table], variables: Mapping[str, float | bool], *scripts: str
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory in which scripts have run.

    Args:
        tables: what the scripts read, by name.
        variables: what the scripts read by ``getvariable``.
        scripts: names of SQL files of this package, in their order.
    """
    with duckdb.connect(":memory:", config=_CONFIG) as database:
        for name, value in variables.items():
            database.execute(f"SET VARIABLE {name} = ?", [value])
        for name, table in tables.items():
            database.register(name, table)
        for script in scripts:
            for statement in database.extract_statements(_text_of(script)):
                database.execute(statement)
        yield database


@cache
def _text_of(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")
