"""What the text columns of a table can hold, and names that are made to fit.

Servers in strict mode reject a whole snapshot for one name that is too long or in another character
set. The tables themselves belong to :mod:`snapshot_assets.source.collecting.tables`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import sqlalchemy as sa

# MySQL's names of character sets to Python's. Text for any other character set becomes ASCII, which
# all of them have.
_CODECS = {
    "utf8mb4": "utf-8",
    "utf8mb3": "utf-8",
    "utf8": "utf-8",
    "latin1": "cp1252",  # MySQL's latin1 is Windows' superset of ISO 8859-1
}
# These hold no character beyond the first 65,536.
_NARROW = frozenset({"utf8mb3", "utf8"})

_MYSQL_COLUMNS = sa.text(
    "SELECT column_name, character_maximum_length, character_octet_length, character_set_name "
    "FROM information_schema.columns "
    "WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :name"
)


@dataclass(frozen=True, slots=True)
class TextColumn:
    """What a column can hold.

    Attributes:
        characters: largest number of characters; None without a limit.
        octets: largest number of bytes in the column's character set; None without a limit.
        charset: MySQL's name of the character set; None for all of Unicode.
    """

    characters: int | None = None
    octets: int | None = None
    charset: str | None = None


def columns_of(connection: sa.Connection, table: str) -> dict[str, TextColumn]:
    """The columns that a table has, and what each can hold.

    Args:
        connection: an open connection.
        table: name of the table or view, ``table`` or ``schema.table``.

    Returns:
        Names of columns, in lower case, to what they can hold; a number holds any text. Empty if
        there is no such table.
    """
    schema, _, name = table.rpartition(".")
    if connection.dialect.name in ("mysql", "mariadb"):
        found = connection.execute(_MYSQL_COLUMNS, {"schema": schema or None, "name": name})
        return {str(name).casefold(): TextColumn(*facts) for name, *facts in found}
    try:
        columns = sa.inspect(connection).get_columns(name, schema=schema or None)
    except sa.exc.NoSuchTableError:
        return {}
    enforced = connection.dialect.name != "sqlite"  # SQLite stores any length
    return {
        column["name"].casefold(): TextColumn(
            getattr(column["type"], "length", None) if enforced else None
        )
        for column in columns
    }


@lru_cache(maxsize=20_000)
def fitted(name: str, column: TextColumn) -> str:
    """The name as the column can hold it: shortened, with ``?`` for what it cannot represent."""
    if column.charset in _NARROW:
        name = "".join(char if ord(char) < 0x10000 else "?" for char in name)
    codec = _codec(column.charset)
    name = name.encode(codec, "replace").decode(codec)[: column.characters]
    while column.octets is not None and len(name.encode(codec)) > column.octets:
        name = name[:-1]
    return name


def fitted_host(name: str, column: TextColumn) -> str:
    """The host name as the column can hold it; a name that has to change stays unique.

    Two hosts whose names begin alike must not become one, so a changed name ends in ``~`` and five
    digits that are made of the whole name.
    """
    fit = fitted(name, column)
    if fit == name:
        return name
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    mark = f"~{digest[:5]}"
    while fit and fitted(fit + mark, column) != fit + mark:
        fit = fit[:-1]
    return fit + mark if fit else fitted(digest, column)


def _codec(charset: str | None) -> str:
    return "utf-8" if charset is None else _CODECS.get(charset, "ascii")
