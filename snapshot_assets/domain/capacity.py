"""The sizes of hosts, as a text in CSV says them: ``host,cores,memory_gb``.

Process rows do not have these numbers. The text may leave a number out. Who reads the file, when,
and what an error means for them is decided in :mod:`snapshot_assets.settings` (the accounting) and
:mod:`snapshot_assets.dashboard.capacity` (the pages).
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

COLUMNS: Final = ("host", "cores", "memory_gb")
# The end of a line, as files from any system have it. A quoted cell may hold other separators.
_LINE_ENDS = re.compile(r"(?<=\n)|(?<=\r)(?!\n)")


@dataclass(frozen=True, slots=True)
class Capacity:
    """The size of a host; None for an unknown number.

    Attributes:
        cores: number of cores.
        memory_gb: memory in GB (1e9 bytes).
    """

    cores: float | None = None
    memory_gb: float | None = None


def parse(text: str, name: str) -> dict[str, Capacity]:
    """Read the text of a capacity file.

    Args:
        text: of the file.
        name: of the file, for messages.

    Returns:
        The capacity of each host.

    Raises:
        ValueError: the text has an error; the message names the file, the line and the fix.
    """
    reader = csv.reader(_LINE_ENDS.split(text))
    found: dict[str, Capacity] = {}
    try:
        header = [cell.strip() for cell in next(reader, [])]
        if sorted(header) != sorted(COLUMNS):
            raise ValueError(f"{name}, line 1: write the columns' names there: {','.join(COLUMNS)}")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"{name}, line {reader.line_num}"
            if len(cells) != len(COLUMNS):
                raise ValueError(
                    f"{where}: {len(cells)} cells instead of {len(COLUMNS)}; write "
                    f"{','.join(header)}, and leave a number empty if it is not known"
                )
            row = dict(zip(header, cells, strict=True))
            if row["host"] in found:
                raise ValueError(
                    f"{where}: the host {row['host']!r} is there twice; remove one of the lines"
                )
            found[row["host"]] = Capacity(
                *(_number(row[column], column, where) for column in COLUMNS[1:])
            )
    except csv.Error as error:
        raise ValueError(
            f"{name}, line {reader.line_num}: {error}; write on each line {','.join(COLUMNS)}"
        ) from None
    return found


def known_cores(capacities: Mapping[str, Capacity]) -> dict[str, float]:
    """The number of cores of each host of which it is known."""
    return {host: one.cores for host, one in capacities.items() if one.cores is not None}


def _number(text: str, column: str, where: str) -> float | None:
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ValueError(
            f"{where}: {column} is {text[:40]!r}; write a number above zero, or nothing"
        )
    return value
