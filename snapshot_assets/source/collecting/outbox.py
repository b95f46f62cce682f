"""Keeping snapshots until the database has them. A thread writes, so that sampling never waits.

How a snapshot is written belongs to :mod:`snapshot_assets.source.collecting.tables`, and when one
is taken to :mod:`snapshot_assets.source.collecting.loop`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from snapshot_assets.errors import SnapshotExistsError, SourceOutageError
from snapshot_assets.source.collecting.snapshot import Snapshot

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an outbox keeps while the database is away; the newest snapshot is always kept.

    Attributes:
        rows: number of rows of processes; a row takes about 300 bytes.
        seconds: age of the oldest snapshot.
    """

    rows: int = 100_000
    seconds: float = 3_600


@dataclass(slots=True)
class _Kept:
    """A snapshot that waits, and whether the database was away when it should have been written."""

    snapshot: Snapshot
    since: float = field(default_factory=time.monotonic)
    tried: bool = False


class Outbox:
    """Writes snapshots one by one, in the order in which they were put.

    While the database is away, each new snapshot is a new try. The oldest snapshots are dropped
    beyond the limits. A snapshot that the table already has is lost, with a warning.

    Args:
        write: writes one snapshot; called in the outbox's own thread.
        on_defect: called there when ``write`` raised an error that another try does not mend.
        limits: how much is kept.
    """

    def __init__(
        self,
        write: Callable[[Snapshot], None],
        on_defect: Callable[[], None],
        limits: Limits | None = None,
    ) -> None:
        self._write = write
        self._on_defect = on_defect
        self._limits = limits or Limits()
        self._kept: deque[_Kept] = deque()
        self._away = False
        self._dropped = 0
        self._repeats = 0
        self._defect: Exception | None = None
        self._due = False
        self._closing = False
        self._changed = threading.Condition()
        # A daemon, so that a server that hangs cannot hold back the end of the program.
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def put(self, snapshot: Snapshot) -> None:
        """Hand over a snapshot, to be written as soon as possible. Returns at once."""
        with self._changed:
            self._kept.append(_Kept(snapshot))
            self._trim()
            self._due = True
            self._changed.notify()

    def close(self, patience_seconds: float) -> None:
        """Write what is kept, if the database answers within this time, and end the thread.

        Raises:
            SourceOutageError: snapshots are left, which are lost now.
            Exception: the error that ``on_defect`` was called for.
        """
        with self._changed:
            self._closing = self._due = True
            self._changed.notify()
        self._thread.join(patience_seconds)
        if self._defect is not None:
            raise self._defect
        # The one that a hanging server has not acknowledged is not among those that are kept.
        left = len(self._kept) + self._thread.is_alive()
        if left:
            raise SourceOutageError(
                f"{left} snapshots are lost: the database did not answer until the collector ended"
            )

    # --- in the thread ----------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._due)
                self._due = False
                closing = self._closing
            try:
                self._write_kept()
            except Exception as error:  # whatever it is, the other thread has to end with it
                self._defect = error
                self._on_defect()
                return
            if closing:
                return

    def _write_kept(self) -> None:
        """Write what is kept until nothing is left or the database does not answer."""
        written = 0
        while (kept := self._next()) is not None:
            try:
                self._write(kept.snapshot)
            except SourceOutageError as error:
                self._put_back(kept, error)
                return
            except SnapshotExistsError as error:
                # After an outage it may be this very snapshot, whose acknowledgement was lost.
                if kept.tried:
                    written += 1
                else:
                    self._report_repeat(kept.snapshot, error)
            else:
                self._repeats = 0
                written += 1
        if self._away:
            log.warning(
                "the database answers again: %d snapshots are written, %d had to be dropped",
                written,
                self._dropped,
            )
            self._away = False
            self._dropped = 0

    def _next(self) -> _Kept | None:
        with self._changed:
            return self._kept.popleft() if self._kept else None

    def _put_back(self, kept: _Kept, error: SourceOutageError) -> None:
        with self._changed:
            self._away = kept.tried = True
            self._kept.appendleft(kept)
            self._trim()
            snapshots, dropped = len(self._kept), self._dropped
        log.warning(
            "%s: %d snapshots are kept in memory, %d had to be dropped", error, snapshots, dropped
        )

    def _trim(self) -> None:
        """Drop the oldest snapshots beyond the limits. The caller holds the lock."""
        rows = sum(len(kept.snapshot.processes) for kept in self._kept)
        oldest = time.monotonic() - self._limits.seconds
        while len(self._kept) > 1 and (rows > self._limits.rows or self._kept[0].since < oldest):
            rows -= len(self._kept.popleft().snapshot.processes)
            self._dropped += 1

    def _report_repeat(self, snapshot: Snapshot, error: SnapshotExistsError) -> None:
        self._repeats += 1
        if self._repeats > 1:
            log.warning("the snapshot of %d is lost: %s", snapshot.epoch, error)
        else:
            log.warning(
                "the snapshot of %d is lost: the table already has one of %s at this second",
                snapshot.epoch,
                snapshot.host,
            )
