"""How big the machines are, from a CSV file: ``host,cores,memory_gb``.

Nothing in the process rows says it, so somebody has to. A number may be left out. The file is read
again when it changes; a wrong one never takes the pages down: the last good one stays in use, and
what is wrong is told.
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
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a host has; None for what is not known.

    Attributes:
        cores: number of cores.
        memory_gb: memory in GB (1e9 bytes).
    """

    cores: float | None = None
    memory_gb: float | None = None


_UNKNOWN = Capacity()


class Capacities:
    """The capacities of a file, as it is now. Threads may share it.

    Args:
        path: of the file; None if nothing is known.
        monotonic: seconds, for looking at the file at most once a second.
    """

    def __init__(self, path: Path | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic = monotonic
        self._lock = Lock()
        self._looked: float | None = None
        self._seen: tuple[int, int, int] | None = None
        self._known: dict[str, Capacity] = {}
        self._problem: str | None = None

    def of(self, host: str) -> Capacity:
        """What a host has."""
        self._look()
        return self._known.get(host, _UNKNOWN)

    @property
    def problem(self) -> str | None:
        """What is wrong with the file, with what to do; None if nothing is."""
        self._look()
        return self._problem

    def _look(self) -> None:
        if self._path is None:
            return
        with self._lock:
            now = self._monotonic()
            if self._looked is not None and now - self._looked < _LOOK_SECONDS:
                return
            self._looked = now
            try:
                found = self._path.stat()
                seen = found.st_mtime_ns, found.st_size, found.st_ino
                if seen == self._seen:
                    return
                self._known = parse(self._path.read_text(encoding="utf-8-sig"), self._path.name)
                self._seen, self._problem = seen, None
            except (OSError, UnicodeDecodeError) as error:
                self._seen = None
                reason = getattr(error, "strerror", None) or "it is not UTF-8"
                self._problem = f"{self._path.name} cannot be read: {reason}"
            except ValueError as error:
                self._seen, self._problem = seen, str(error)


def parse(text: str, name: str) -> dict[str, Capacity]:
    """Read the file's text.

    Args:
        text: of the file.
        name: of the file, for messages.

    Raises:
        ValueError: it is wrong; the message has the file, the line and what to write.
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
