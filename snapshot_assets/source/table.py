"""The collectors' table as settings describe it: its name, its columns' names, the unit of ``rss``.

Values only, so that the settings load where no database driver is installed: no query, no frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from zoneinfo import ZoneInfo

RssUnit = Literal["bytes", "KiB"]

COLUMNS = (
    *("host", "snapshot_time_epoch", "pid", "username", "comm"),
    *("cputimes", "rss", "etimes"),
)
TEXT_COLUMNS = ("host", "username", "comm")
OPTIONAL_COLUMNS = frozenset({"etimes"})


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
