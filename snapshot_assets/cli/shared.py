"""What several commands share: source and Redis as configured, times as arguments, tables."""

from __future__ import annotations

import datetime as dt
import math
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from snapshot_assets.settings import Settings
from snapshot_assets.store.reading.reader import RedisReader

if TYPE_CHECKING:
    from snapshot_assets.pipeline.changed import SettingsNow
    from snapshot_assets.pipeline.redis_writer import RedisWriter
    from snapshot_assets.source.query import ProcessSource

# Wider than any line: what a pipe or a file gets is neither wrapped nor cut.
_PIPED_COLUMNS = 10_000


def _columns() -> int | None:
    """The width of a line; None for that of the terminal, or of the variable COLUMNS."""
    return None if sys.stdout.isatty() or os.environ.get("COLUMNS") else _PIPED_COLUMNS


console = Console(highlight=False, width=_columns())


def open_source(settings: Settings) -> ProcessSource:
    """The configured source."""
    # Imported here, as the command "read" works without the extra pipeline.
    from snapshot_assets.source.query import ProcessSource

    return ProcessSource(settings.source_url.get_secret_value(), settings.source_table_spec())


def open_reader(settings: Settings) -> RedisReader:
    """The configured Redis, for reading."""
    return RedisReader(**settings.redis())


def open_writer(settings: Settings) -> RedisWriter:
    """The configured Redis, for writing."""
    from snapshot_assets.pipeline.redis_writer import RedisWriter

    return RedisWriter(**settings.redis())


def current_settings(settings: Settings) -> SettingsNow:
    """The settings that the figures of a host-day depend on.

    Raises:
        SettingsError: the capacity file is missing or has an error.
    """
    from snapshot_assets.pipeline.changed import SettingsNow

    return SettingsNow(settings.source_table_spec(), settings.accounting(), settings.documents())


class UtcTime(click.ParamType):
    """A time such as ``2026-11-22T12:00``, in UTC unless it has an offset."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> dt.datetime:
        """Called by click with what was typed."""
        if isinstance(value, dt.datetime):
            return value
        try:
            time = dt.datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a time; write 2026-11-22T12:00 or 2026-11-22T12:00+01:00")
        return time if time.tzinfo else time.replace(tzinfo=dt.UTC)


class Day(click.ParamType):
    """A day such as ``2026-11-22``."""

    name = "day"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> dt.date:
        """Called by click with what was typed."""
        if isinstance(value, dt.date):
            return value
        try:
            return dt.date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a day; write 2026-11-22")


def duration(seconds: float) -> str:
    """A duration in its largest unit, such as ``25 minutes``."""
    if not math.isfinite(seconds):
        return "an unknown time"
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} seconds"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table with numbers aligned right; a cell's content is plain text, never markup."""
    made = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD)
    materialized = [list(row) for row in rows]
    for i, name in enumerate(columns):
        numeric = bool(materialized) and all(
            isinstance(row[i], (int, float)) for row in materialized
        )
        made.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in materialized:
        made.add_row(*(Text(_cell(value)) for value in row))
    return made


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, int):
        return f"{value:,}"
    return printable(str(value))


def printable(text: str) -> str:
    """The text without control characters; in a host's or user's name, they move the cursor."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
