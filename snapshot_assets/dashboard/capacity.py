"""The capacity file: reading it, and reading it again for the pages when it changes.

An error in the file never breaks the pages: the last good numbers stay in use, and a page shows the
error. The accounting stops at such an error (:mod:`snapshot_assets.settings`).
:mod:`snapshot_assets.domain.capacity` says what is in the file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from snapshot_assets.domain.capacity import Capacity, parse

_CHECK_SECONDS = 1.0
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
            signature = self._signature_now()
            if signature is not None and signature == self._signature:
                return
            try:
                self._known = read(self._path, self._path.name)
            except ValueError as error:
                self._signature, self._problem = None, str(error)
            else:
                self._signature, self._problem = signature, None

    def _signature_now(self) -> tuple[int, int, int] | None:
        """What changes with the file; None if there is no file."""
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def read(file: Path, name: str) -> dict[str, Capacity]:
    """The capacity of each host in a file.

    Args:
        file: the file.
        name: of the file, for messages.

    Raises:
        ValueError: the file cannot be read, or has an error; the message names the file and the
            fix.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(
            f"{name} cannot be read: {error.strerror}; make it, or remove the setting"
        ) from None
    except UnicodeDecodeError:
        raise ValueError(f"{name} cannot be read: it is not UTF-8; save it as UTF-8") from None
    return parse(text, name)
