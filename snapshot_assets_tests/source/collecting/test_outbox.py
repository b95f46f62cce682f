"""What happens to snapshots while the database is away, and when it is back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from snapshot_assets.errors import SourceError, SourceOutageError
from snapshot_assets.source.collecting.outbox import Limits, Outbox
from snapshot_assets.source.collecting.snapshot import Snapshot
from snapshot_assets.source.collecting.tables import SnapshotTables
from snapshot_assets.source.query import ProcessSource
from snapshot_assets_tests.source.collecting.invented import STAMP, snapshot
from snapshot_assets_tests.support.servers import MariaDB, wait_for

PATIENCE = 30.0


class Writing:
    """An outbox on a source, and what it has written, in order.

    Args:
        source: where it writes.
        limits: how much it keeps.
    """

    def __init__(self, source: ProcessSource, limits: Limits | None = None) -> None:
        self._tables = SnapshotTables(source)
        self.written: list[int] = []
        self.tried = 0
        self.ended = threading.Event()
        self.outbox = Outbox(self.write, self.ended.set, limits)

    def write(self, snapshot: Snapshot) -> None:
        try:
            self._tables.write([snapshot])
        finally:
            self.tried += 1
        self.written.append(snapshot.epoch)

    def put(self, epoch: int) -> None:
        """Put a snapshot, and wait until the outbox has tried to write something."""
        before = self.tried
        self.outbox.put(snapshot(epoch))
        wait_for("the outbox has tried", lambda: self.tried > before)


@contextmanager
def stopped(server: MariaDB) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


def epochs(source: ProcessSource) -> list[int]:
    return sorted(set(source.read_sql(0, 4e9)["snapshot_time_epoch"].astype(int)))


def test_snapshots_of_an_outage_are_written_in_order_when_it_is_over(
    mariadb: MariaDB, caplog: pytest.LogCaptureFixture
) -> None:
    times = [STAMP + 60 * i for i in range(6)]
    with ProcessSource(mariadb.url()) as source:
        writing = Writing(source)
        writing.put(times[0])
        with stopped(mariadb):
            for epoch in times[1:5]:
                writing.put(epoch)
            assert "4 snapshots are kept in memory, 0 had to be dropped" in caplog.text
        writing.put(times[5])
        writing.outbox.close(PATIENCE)
        assert writing.written == times
        assert epochs(source) == times
    assert "5 snapshots are written, 0 had to be dropped" in caplog.text


def test_a_collector_that_starts_before_its_database_writes_everything_later(
    mariadb: MariaDB,
) -> None:
    with ProcessSource(mariadb.url()) as source:
        with stopped(mariadb):
            writing = Writing(source)
            writing.put(STAMP)
            writing.put(STAMP + 60)
        writing.outbox.close(PATIENCE)
        assert epochs(source) == [STAMP, STAMP + 60]


def test_the_oldest_are_dropped_beyond_the_limit_of_rows(
    mariadb: MariaDB, caplog: pytest.LogCaptureFixture
) -> None:
    times = [STAMP + 60 * i for i in range(6)]
    with ProcessSource(mariadb.url()) as source:
        writing = Writing(source, Limits(rows=7))  # three snapshots of two rows
        with stopped(mariadb):
            for epoch in times[:5]:
                writing.put(epoch)
        writing.put(times[5])
        writing.outbox.close(PATIENCE)
        assert epochs(source) == times[3:]
    assert "3 snapshots are written, 3 had to be dropped" in caplog.text


def test_the_oldest_are_dropped_beyond_the_limit_of_minutes(
    mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ProcessSource(mariadb.url()) as source:
        writing = Writing(source, Limits(seconds=600))
        with stopped(mariadb):
            writing.put(STAMP)
            begun = time.monotonic()
            monkeypatch.setattr(time, "monotonic", lambda: begun + 700)
            writing.put(STAMP + 700)
            monkeypatch.undo()
        writing.outbox.close(PATIENCE)
        assert epochs(source) == [STAMP + 700]


def test_a_snapshot_larger_than_the_limit_is_kept_if_it_is_the_newest(mariadb: MariaDB) -> None:
    with ProcessSource(mariadb.url()) as source:
        writing = Writing(source, Limits(rows=1))
        with stopped(mariadb):
            writing.put(STAMP)
            writing.put(STAMP + 60)
        writing.outbox.close(PATIENCE)
        assert epochs(source) == [STAMP + 60]


def test_a_server_that_hangs_does_not_hold_up_sampling(mariadb: MariaDB) -> None:
    times = [STAMP + 60 * i for i in range(10)]
    with ProcessSource(mariadb.url()) as source:
        writing = Writing(source)
        writing.put(times[0])
        with mariadb.paused():
            for epoch in times[1:]:
                writing.outbox.put(snapshot(epoch))  # would not return if it waited
            assert writing.written == times[:1]
        writing.outbox.close(PATIENCE)
        assert epochs(source) == writing.written == times


def test_what_is_kept_is_written_at_the_end(mariadb: MariaDB) -> None:
    with ProcessSource(mariadb.url()) as source:
        writing = Writing(source)
        with stopped(mariadb):
            writing.put(STAMP)
        writing.outbox.close(PATIENCE)
        assert epochs(source) == [STAMP]


def test_what_is_lost_at_the_end_is_counted(mariadb: MariaDB) -> None:
    with ProcessSource(mariadb.url()) as source:
        writing = Writing(source)
        with stopped(mariadb):
            writing.put(STAMP)
            writing.put(STAMP + 60)
            with pytest.raises(SourceOutageError, match="2 snapshots are lost"):
                writing.outbox.close(PATIENCE)
        writing = Writing(source)
        writing.put(STAMP)
        with mariadb.paused():
            writing.outbox.put(snapshot(STAMP + 60))
            writing.outbox.put(snapshot(STAMP + 120))
            with pytest.raises(SourceOutageError, match="2 snapshots are lost"):
                writing.outbox.close(0.2)


def test_a_snapshot_that_is_there_already_is_lost_and_the_next_one_is_not(
    mariadb: MariaDB, caplog: pytest.LogCaptureFixture
) -> None:
    with ProcessSource(mariadb.url()) as source:
        SnapshotTables(source).write(snapshot(STAMP + 60 * i) for i in (0, 1, 3, 4))
        writing = Writing(source)
        writing.put(STAMP)
        assert f"the snapshot of {STAMP} is lost: the table already has one of me" in caplog.text
        assert "another collector" not in caplog.text
        for i in range(1, 6):
            writing.put(STAMP + 60 * i)
        writing.outbox.close(PATIENCE)
        assert writing.written == [STAMP + 120, STAMP + 300]
        assert epochs(source) == [STAMP + 60 * i for i in range(6)]
    assert "another collector writes for the same host; stop one of the two" in caplog.text
    assert f"the snapshot of {STAMP + 60} is lost: the table already has a snap" in caplog.text


def test_a_snapshot_whose_acknowledgement_was_lost_is_not_lost(
    mariadb: MariaDB, caplog: pytest.LogCaptureFixture
) -> None:
    with ProcessSource(mariadb.url()) as source:
        tables = SnapshotTables(source)
        tried: list[int] = []

        def write(one: Snapshot) -> None:
            tried.append(one.epoch)
            tables.write([one])
            if len(tried) == 1:
                raise SourceOutageError("the connection broke after the commit")

        outbox = Outbox(write, lambda: None)
        outbox.put(snapshot(STAMP))
        wait_for("the first try", lambda: len(tried) == 1)
        outbox.put(snapshot(STAMP + 60))
        outbox.close(PATIENCE)
        assert tried == [STAMP, STAMP, STAMP + 60]
        assert epochs(source) == [STAMP, STAMP + 60]
    assert "is lost" not in caplog.text


def test_a_defect_ends_the_collector_at_once(mariadb: MariaDB) -> None:
    with ProcessSource(mariadb.url("no_such_database")) as source:
        writing = Writing(source)
        writing.put(STAMP)
        assert writing.ended.wait(PATIENCE)
        with pytest.raises(SourceError, match="no such database"):
            writing.outbox.close(PATIENCE)


def test_an_error_of_the_program_keeps_its_traceback(tmp_path: Path) -> None:
    def write(_: Snapshot) -> None:
        raise ZeroDivisionError

    ended = threading.Event()
    outbox = Outbox(write, ended.set)
    outbox.put(snapshot())
    assert ended.wait(PATIENCE)
    with pytest.raises(ZeroDivisionError):
        outbox.close(PATIENCE)
