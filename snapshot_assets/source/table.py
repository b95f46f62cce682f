"""The collectors' tables as the settings describe them: names of tables and columns, the rss unit.

Values, and how they are written as text, so that the settings load without a database driver. No
query belongs here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from zoneinfo import ZoneInfo

RssUnit = Literal["bytes", "KiB"]

COLUMNS = (
    *("host", "snapshot_time_epoch", "pid", "username", "comm"),
    *("cputimes", "rss", "etimes"),
)
TEXT_COLUMNS = ("host", "username", "comm")
OPTIONAL_COLUMNS = frozenset({"etimes"})
# It only narrows a scan and is never read.
LOCAL_TIME = "snapshot_datetime"

# The kernel's own count: one row per host and snapshot. These names cannot be configured.
MACHINE_COLUMNS = (
    *("host", "snapshot_time_epoch", "cores", "cpu_seconds"),
    *("memory_bytes", "memory_used_bytes", "boot_epoch"),
)
_MACHINES = "machines"


@dataclass(frozen=True, slots=True)
class SourceTable:
    """Which table to read, and the names of its columns.

    Attributes:
        name: table or view, ``table`` or ``schema.table``.
        columns: column name of :data:`COLUMNS` to the table's name, where the names differ.
        rss_unit: unit of ``rss``: ``bytes``, or ``KiB`` as ``ps`` prints it.
        timezone: time zone of the naive ``snapshot_datetime`` column. With a time zone, queries
            also filter by that column, so that an index on it narrows the scan. The epoch column
            decides which rows are read.
        machines: the table with the columns :data:`MACHINE_COLUMNS`, ``table`` or
            ``schema.table``; None for the table ``machines`` beside the processes, if that table
            has these columns.
    """

    name: str = "processes"
    columns: Mapping[str, str] = field(default_factory=dict)
    rss_unit: RssUnit = "bytes"
    timezone: ZoneInfo | None = None
    machines: str | None = None

    @property
    def machines_name(self) -> str:
        """The name of the table of machines, ``table`` or ``schema.table``."""
        if self.machines is not None:
            return self.machines
        schema, dot, _ = self.name.rpartition(".")
        return f"{schema}{dot}{_MACHINES}"

    @property
    def renamed(self) -> dict[str, str]:
        """The columns of :data:`COLUMNS` that have another name in the table, with that name."""
        return {c: self.physical(c) for c in COLUMNS if self.physical(c) != c}

    def physical(self, column: str) -> str:
        """The table's name for a column of :data:`COLUMNS` or for ``snapshot_datetime``."""
        return self.columns.get(column, column)


def column_pairs(value: Any) -> Any:
    """The columns with other names in a text such as ``comm=command,rss=resident``.

    Raises:
        ValueError: the text is not written so; the message says what to write.
    """
    if not isinstance(value, str):
        return value
    pairs = [pair.strip() for pair in value.split(",") if pair.strip()]
    if any("=" not in pair for pair in pairs):
        raise ValueError("write column=your_name, separated by commas, such as comm=command")
    return {k.strip(): v.strip() for k, v in (pair.split("=", 1) for pair in pairs)}


def known_columns(columns: dict[str, str]) -> dict[str, str]:
    """The columns, if the table has all of them and each has a name.

    Raises:
        ValueError: one is not; the message names it and the columns that there are.
    """
    known = {*COLUMNS, "snapshot_datetime"}
    if unknown := sorted(set(columns) - known):
        raise ValueError(
            f"no column {', '.join(unknown)}; the columns are {', '.join(sorted(known))}"
        )
    if empty := sorted(column for column, physical in columns.items() if not physical):
        raise ValueError(f"no name given for {', '.join(empty)}")
    return columns


def zone_name(name: str) -> str:
    """The name, if there is a time zone of this name.

    Raises:
        ValueError: there is none; the message says what to write.
    """
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            f"there is no time zone {name!r}; write, for example, Europe/Berlin"
        ) from None
    return name
