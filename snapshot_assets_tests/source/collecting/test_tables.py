"""Writing snapshots to real tables: ours, and those that people have."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from snapshot_assets.errors import SnapshotExistsError, SourceError, SourceOutageError
from snapshot_assets.source.collecting.snapshot import Snapshot
from snapshot_assets.source.collecting.tables import SnapshotTables
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.source.table import MACHINE_COLUMNS, SourceTable
from snapshot_assets_tests.source.collecting.invented import STAMP, process, snapshot
from snapshot_assets_tests.support.field_table import FIELD_TABLE, execute
from snapshot_assets_tests.support.servers import MariaDB

NARROW = (
    "CREATE TABLE processes (host VARCHAR(20), pid INT, username VARCHAR(16), comm VARCHAR(16), "
    "cputimes DOUBLE, rss BIGINT, etimes INT, snapshot_time_epoch INT) CHARACTER SET {charset}"
)


def rows(source: ProcessSource, query: str) -> Sequence[Any]:
    with source.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def machines(source: ProcessSource, table: str = "machines") -> Sequence[Any]:
    return rows(source, f"SELECT {', '.join(MACHINE_COLUMNS)} FROM {table} ORDER BY 1, 2")


def write(source: ProcessSource, *snapshots: Snapshot) -> int:
    return SnapshotTables(source).write(snapshots)


def test_both_databases_hold_what_was_written(mariadb: MariaDB, tmp_path: Path) -> None:
    written = [snapshot(), snapshot(STAMP + 60, processes=[process(3, "Zoë 😀\n", etimes=None)])]
    for url in (mariadb.url(), f"sqlite:///{tmp_path}/new/p.db"):
        with ProcessSource(url) as source:
            assert SnapshotTables(source).write(iter(written)) == 3
            assert rows(
                source,
                "SELECT host, snapshot_time_epoch, pid, username, comm, cputimes, rss, etimes "
                "FROM processes ORDER BY 2, 3",
            ) == [
                ("me", STAMP, 1, "ana", "python", 12.34, 1_024_000, 77),
                ("me", STAMP, 2, "ana", "R", 12.34, 1_024_000, 77),
                ("me", STAMP + 60, 3, "ana", "Zoë 😀\n", 12.34, 1_024_000, None),
            ]
            assert machines(source) == [
                ("me", epoch, 4, epoch / 1000, 8 * 10**9, 3 * 10**9, STAMP - 999)
                for epoch in (STAMP, STAMP + 60)
            ]


def test_the_tables_can_be_elsewhere_and_called_otherwise(mariadb: MariaDB) -> None:
    table = SourceTable(
        "other.rows_of_ps", {"host": "machine", "comm": "command"}, "KiB", machines="other.kernel"
    )
    with ProcessSource(mariadb.url()) as admin:
        execute(admin, "CREATE DATABASE IF NOT EXISTS other")
    try:
        with ProcessSource(mariadb.url(), table) as source:
            write(source, snapshot())
            found = rows(source, "SELECT machine, command, rss FROM other.rows_of_ps")
            assert found == [("me", "python", 1000), ("me", "R", 1000)]
            assert len(machines(source, "other.kernel")) == 1
            assert source.read_sql(0, 4e9)["rss"].tolist() == [1_024_000] * 2
    finally:
        with ProcessSource(mariadb.url()) as admin:
            execute(admin, "DROP DATABASE other")


def test_another_table_of_that_name_is_left_alone(
    mariadb: MariaDB, caplog: pytest.LogCaptureFixture
) -> None:
    with ProcessSource(mariadb.url()) as source:
        execute(source, "CREATE TABLE machines (host VARCHAR(9) PRIMARY KEY, room INT DEFAULT 3)")
        before = rows(source, "SHOW CREATE TABLE machines")
        tables = SnapshotTables(source)
        tables.write([snapshot()])
        tables.write([snapshot(STAMP + 60)])
        assert rows(source, "SHOW CREATE TABLE machines") == before
        assert rows(source, "SELECT * FROM machines") == []
        assert len(source.read_sql(0, 4e9)) == 4
    assert caplog.text.count("'machines' is left alone") == 1
    assert "without a column snapshot_time_epoch, cores, cpu_seconds" in caplog.text


def test_a_user_who_may_only_insert_processes_goes_on_without_the_machines(
    mariadb: MariaDB, caplog: pytest.LogCaptureFixture
) -> None:
    """So does a collector whose account was made for one table."""
    with ProcessSource(mariadb.url()) as admin:
        write(admin, snapshot())
        execute(admin, "DROP TABLE machines")
        execute(admin, "CREATE OR REPLACE USER narrow@'127.0.0.1' IDENTIFIED BY 'x'")
        execute(admin, "GRANT INSERT ON monitoring.processes TO narrow@'127.0.0.1'")
        url = f"mysql://narrow:x@127.0.0.1:{mariadb.port}/monitoring"
        with ProcessSource(url) as source:
            tables = SnapshotTables(source)
            tables.write([snapshot(STAMP + 60)])
            tables.write([snapshot(STAMP + 120)])
        assert caplog.text.count("'machines' is left alone") == 1
        # The same where the table is there, and the account may see it but not write to it.
        write(admin, snapshot(STAMP + 180))
        execute(admin, "GRANT SELECT ON monitoring.machines TO narrow@'127.0.0.1'")
        with ProcessSource(url) as source:
            write(source, snapshot(STAMP + 240))
        assert caplog.text.count("'machines' is left alone") == 2
        assert len(rows(admin, "SELECT * FROM processes")) == 10
        assert len(machines(admin)) == 1


def test_a_user_who_may_only_read_learns_what_is_missing(mariadb: MariaDB) -> None:
    with ProcessSource(mariadb.url()) as admin:
        execute(admin, "CREATE OR REPLACE USER narrow@'127.0.0.1' IDENTIFIED BY 'x'")
        execute(admin, "GRANT SELECT ON monitoring.* TO narrow@'127.0.0.1'")
        with ProcessSource(f"mysql://narrow:x@127.0.0.1:{mariadb.port}/monitoring") as source:
            for when in ("before there is a table", "afterwards"):
                with pytest.raises(SourceError, match=r"may not write to table 'processes'; GRANT"):
                    write(source, snapshot())
                if when != "afterwards":
                    write(admin, snapshot())


@pytest.mark.parametrize("mode", ["STRICT_ALL_TABLES", "TRADITIONAL,ANSI_QUOTES", ""])
def test_names_that_a_column_cannot_hold_are_shortened_and_replaced(
    mariadb: MariaDB, mode: str
) -> None:
    long = [
        process(1, "a-very-long-name-of-a-program"),
        process(2, "Zoë € 😀 ж", username="günther.müller-lüdenscheidt"),
        process(3, "kept"),
    ]
    with ProcessSource(mariadb.url()) as source:
        execute(source, NARROW.format(charset="latin1"))
        execute(source, f"SET GLOBAL sql_mode = '{mode}'")
    try:
        with ProcessSource(mariadb.url()) as source:
            assert write(source, snapshot(processes=long)) == 3
            assert rows(source, "SELECT comm, username FROM processes ORDER BY pid") == [
                ("a-very-long-name", "ana"),
                ("Zoë € ? ?", "günther.müller-l"),
                ("kept", "ana"),
            ]
            assert len(machines(source)) == 1
    finally:
        with ProcessSource(mariadb.url()) as source:
            execute(source, "SET GLOBAL sql_mode = DEFAULT")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("VARCHAR(8) CHARACTER SET utf8mb3", "Zoë ? жж"),
        ("VARCHAR(5) CHARACTER SET utf8mb4", "Zoë 😀"),
        ("VARCHAR(30) CHARACTER SET ascii", "Zo? ? ????"),
        ("VARCHAR(30) CHARACTER SET cp1251", "Zo? ? ????"),
        ("VARBINARY(9)", "Zoë 😀".encode()),
        ("TINYTEXT CHARACTER SET latin1", "Zoë ? ????"),
        ("VARCHAR(0)", ""),
    ],
)
def test_columns_of_many_kinds_get_what_they_can_hold(
    mariadb: MariaDB, kind: str, expected: str | bytes
) -> None:
    with ProcessSource(mariadb.url()) as source:
        execute(source, FIELD_TABLE.replace("comm VARCHAR(100)", f"comm {kind}"))
        write(source, snapshot(processes=[process(1, "Zoë 😀 жжжж")]))
        assert rows(source, "SELECT comm FROM processes") == [(expected,)]


def test_two_hosts_whose_names_do_not_fit_stay_apart(
    mariadb: MariaDB, caplog: pytest.LogCaptureFixture
) -> None:
    with ProcessSource(mariadb.url()) as source:
        execute(source, NARROW.format(charset="latin1"))
        tables = SnapshotTables(source)
        names = ("gpu-cluster-node-0001.example.org", "gpu-cluster-node-0002.example.org", "短い")
        for name in names:
            for epoch in (STAMP, STAMP + 60):
                tables.write([snapshot(epoch, name)])
        written = {host for (host,) in rows(source, "SELECT host FROM processes")}
        assert len(written) == 3
        assert sorted(host[:-5] for host in written) == ["??~", *["gpu-cluster-no~"] * 2]
        # Ours holds them as they are.
        assert {host for host, *_ in machines(source)} == set(names)
    for name in names:
        assert caplog.text.count(f"the host {name!r} is written as") == 1


def test_a_row_that_a_column_cannot_hold_costs_only_itself(
    mariadb: MariaDB, caplog: pytest.LogCaptureFixture
) -> None:
    """For example a counter that jumped, in a table of integers."""
    some = [process(pid, rss=2**50 if pid in (3, 17) else 4096) for pid in range(1, 31)]
    with ProcessSource(mariadb.url()) as source:
        execute(source, FIELD_TABLE)
        assert write(source, snapshot(processes=some)) == 28
        assert len(rows(source, "SELECT pid FROM processes WHERE rss = 4096")) == 28
    assert "rejects 2 of 30 rows, which are left out; the first is pid 3, 'python'" in caplog.text


@pytest.mark.parametrize(
    "change",
    ["ADD room INT NOT NULL", "ADD CHECK (pid > 1000000)", "MODIFY comm ENUM('a', 'b')"],
)
def test_a_table_that_accepts_no_row_is_a_defect_and_no_outage(
    mariadb: MariaDB, change: str
) -> None:
    with ProcessSource(mariadb.url()) as source:
        execute(source, FIELD_TABLE)
        execute(source, f"ALTER TABLE processes {change}")
        with pytest.raises(SourceError, match=r"rejects all 2 rows.*change the") as caught:
            write(source, snapshot())
    assert not isinstance(caught.value, SourceOutageError)


def test_a_table_without_ages_gets_none(mariadb: MariaDB) -> None:
    with ProcessSource(mariadb.url()) as source:
        execute(source, FIELD_TABLE.replace("etimes INT, ", ""))
        assert write(source, snapshot()) == 2
        assert source.read_sql(0, 4e9)["etimes"].isna().all()


def test_a_snapshot_that_is_there_already_is_not_written_even_in_part(
    mariadb: MariaDB, tmp_path: Path
) -> None:
    for url in (mariadb.url(), f"sqlite:///{tmp_path}/p.db"):
        with ProcessSource(url) as source:
            tables = SnapshotTables(source)
            tables.write([snapshot()])
            for again in (
                snapshot(processes=[process(1)]),
                snapshot(processes=[process(9), process(1)]),
                snapshot(processes=[process(9)]),  # only the machine is there already
            ):
                with pytest.raises(SnapshotExistsError, match="another collector writes"):
                    tables.write([snapshot(STAMP - 60), again])
            assert len(source.read_sql(0, 4e9)) == 2
            assert len(machines(source)) == 1
            assert tables.write([snapshot(STAMP + 60)]) == 2


def test_collectors_that_start_at_the_same_moment_share_the_tables(mariadb: MariaDB) -> None:
    failed: list[BaseException] = []
    together = threading.Barrier(8)

    def start(number: int) -> None:
        try:
            with ProcessSource(mariadb.url()) as source:
                together.wait()
                write(source, snapshot(host=f"host{number}"))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with ProcessSource(mariadb.url()) as source:
        assert len(machines(source)) == 8
        assert len(source.read_sql(0, 4e9)) == 16


def test_a_snapshot_whose_machine_cannot_be_written_yet_is_not_written_in_part(
    mariadb: MariaDB,
) -> None:
    """Somebody holds a lock on the second table: that is an outage, and the next try writes all."""
    with ProcessSource(mariadb.url()) as source:
        write(source, snapshot())
        execute(source, "SET GLOBAL innodb_lock_wait_timeout = 1")
        try:
            with ProcessSource(mariadb.url()) as waiting:
                tables = SnapshotTables(waiting)
                with source.connect() as other:
                    other.execute(sa.text("SELECT * FROM machines FOR UPDATE"))
                    with pytest.raises(SourceOutageError):
                        tables.write([snapshot(STAMP + 60)])
                assert len(source.read_sql(0, 4e9)) == 2
                assert tables.write([snapshot(STAMP + 60)]) == 2
        finally:
            execute(source, "SET GLOBAL innodb_lock_wait_timeout = DEFAULT")
        assert len(machines(source)) == 2
