"""The cores and memory of each host, from a CSV file: ``host,cores,memory_gb``.

Process rows do not contain these numbers. The file may leave a number out. It is read again when it
changes. An error in the file never breaks the pages: the last good numbers stay in use, and a page
shows the error.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

COLUMNS = ("host", "cores", "memory_gb")
_CHECK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Capacity:
    """The size of a host; None for an unknown number.

    Attributes:
        cores: number of cores.
        memory_gb: memory in GB (1e9 bytes).
    """

    cores: float | None = None
    memory_gb: float | None = None


_UNKNOWN = Capacity()


class Capacities:
    """The capacities in a file, read again when it changes. Threads may share it.

    Args:
        path: of the file; None without a file.
        monotonic: seconds; the file is checked at most once a second.
    """

    def __init__(self, path: Path | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic = monotonic
        self._lock = Lock()
        self._checked: float | None = None
        self._signature: tuple[int, int, int] | None = None
        self._known: dict[str, Capacity] = {}
        self._problem: str | None = None

    def get(self, host: str) -> Capacity:
        """The capacity of a host."""
        self._refresh()
        return self._known.get(host, _UNKNOWN)

    @property
    def problem(self) -> str | None:
        """The error in the file and how to mend it; None without an error."""
        self._refresh()
        return self._problem

    def _refresh(self) -> None:
        if self._path is None:
            return
        with self._lock:
            now = self._monotonic()
            if self._checked is not None and now - self._checked < _CHECK_SECONDS:
                return
            self._checked = now
            try:
                found = self._path.stat()
                signature = found.st_mtime_ns, found.st_size, found.st_ino
                if signature == self._signature:
                    return
                self._known = parse(self._path.read_text(encoding="utf-8-sig"), self._path.name)
                self._signature, self._problem = signature, None
            except (OSError, UnicodeDecodeError) as error:
                self._signature = None
                reason = getattr(error, "strerror", None) or "it is not UTF-8"
                self._problem = f"{self._path.name} cannot be read: {reason}"
            except ValueError as error:
                self._signature, self._problem = signature, str(error)


def parse(text: str, name: str) -> dict[str, Capacity]:
    """Read the file's text.

    Args:
        text: of the file.
        name: of the file, for messages.

    Raises:
        ValueError: the text has an error; the message names the file, the line and the fix.
    """
    reader = csv.reader(io.StringIO(text, newline=""))
    found: dict[str, Capacity] = {}
    header = [cell.strip() for cell in next(reader, [])]
    if sorted(header) != sorted(COLUMNS):
        raise ValueError(f"{name}, line 1: write the columns' names there: {','.join(COLUMNS)}")
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"{name}, line {reader.line_num}"
            if len(cells) != len(COLUMNS):
                raise ValueError(f"{where}: {len(cells)} cells instead of {len(COLUMNS)}")
            row = dict(zip(header, cells, strict=True))
            if row["host"] in found:
                raise ValueError(f"{where}: the host {row['host']!r} is there twice")
            found[row["host"]] = Capacity(
                *(_number(row[column], column, where) for column in COLUMNS[1:])
            )
    except csv.Error as error:
        raise ValueError(f"{name}, line {reader.line_num}: {error}") from None
    return found


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
