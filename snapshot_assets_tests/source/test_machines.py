"""Reading the kernel's count: it is read where it is, and not missed where it is not."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from snapshot_assets.errors import SourceError, SourceOutageError
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.source.table import MACHINE_COLUMNS, SourceTable
from snapshot_assets_tests.support.field_table import execute
from snapshot_assets_tests.support.servers import MariaDB

COLUMNS = ", ".join(MACHINE_COLUMNS)
TABLE = (
    "CREATE TABLE machines (host VARCHAR(20), snapshot_time_epoch BIGINT, cores INT, "
    "cpu_seconds DECIMAL(18,2), memory_bytes BIGINT, memory_used_bytes BIGINT, boot_epoch INT)"
)
ROWS = (
    f"INSERT INTO machines ({COLUMNS}) VALUES ('bob', 600, 8, 12.5, 1000, NULL, 5), "
    "('alice', 600, 4, 7.25, 2000, 500, NULL), ('alice', 300, 4, 7.25, 2000, 500, 5), "
    "('ALICE', 300, 2, 1, 1, 1, 1), ('alice', 900, 4, 8, 2000, 500, 5), (NULL, 300, 1, 1, 1, 1, 1)"
)


def expected(*rows: tuple[object, ...]) -> pd.DataFrame:
    """The machines' rows as the source returns them."""
    frame = pd.DataFrame(list(rows), columns=list(MACHINE_COLUMNS))
    frame = frame.astype(dict.fromkeys(MACHINE_COLUMNS[1:], "float64"))
    hosts = pd.Index(sorted(set(frame["host"])), dtype="str")
    return frame.assign(host=pd.Categorical(frame["host"], categories=hosts))


ALICE = [("alice", 300, 4, 7.25, 2000, 500, 5), ("alice", 600, 4, 7.25, 2000, 500, None)]


@pytest.mark.parametrize("kind", ["columnar", "row by row", "SQLite"])
def test_the_machines_are_read_by_range_and_host_in_order(
    mariadb: MariaDB, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "p.db").touch()
    url = f"sqlite:///{tmp_path / 'p.db'}" if kind == "SQLite" else mariadb.url()
    with ProcessSource(url) as source:
        source.columnar &= kind == "columnar"
        execute(source, TABLE)
        execute(source, ROWS)
        alice, everyone = source.read_machines(300, 900, ["alice"]), source.read_machines(300, 900)
        nobody = source.read_machines(300, 900, [])
    pd.testing.assert_frame_equal(alice, expected(*ALICE), check_exact=True)
    others = [("ALICE", 300, 2, 1, 1, 1, 1), *ALICE, ("bob", 600, 8, 12.5, 1000, None, 5)]
    pd.testing.assert_frame_equal(everyone, expected(*others), check_exact=True)
    pd.testing.assert_frame_equal(nobody, expected())


@pytest.mark.parametrize(
    "statement",
    ["SELECT 1", "CREATE TABLE machines (host VARCHAR(20), room INT, cores INT)"],
    ids=["absent", "another table"],
)
@pytest.mark.parametrize("database", ["MariaDB", "SQLite"])
def test_a_table_that_is_not_named_is_not_missed(
    mariadb: MariaDB, tmp_path: Path, database: str, statement: str
) -> None:
    (tmp_path / "p.db").touch()
    url = mariadb.url() if database == "MariaDB" else f"sqlite:///{tmp_path / 'p.db'}"
    with ProcessSource(url) as source:
        execute(source, statement)
        pd.testing.assert_frame_equal(source.read_machines(0, 900), expected())
    with (
        ProcessSource(url, SourceTable(machines="machines")) as source,
        pytest.raises(SourceError, match=r"'machines' .* no column .*SNAPSHOT_MACHINES_TABLE"),
    ):
        source.read_machines(0, 900)


def test_the_machines_stand_beside_the_process_rows(mariadb: MariaDB) -> None:
    """By default both tables have one schema, and a setting can name any other table."""
    with ProcessSource(mariadb.url()) as source:
        execute(source, "CREATE DATABASE IF NOT EXISTS elsewhere")
        try:
            execute(source, TABLE.replace("machines", "elsewhere.machines"))
            execute(source, ROWS.replace("INTO machines", "INTO elsewhere.machines"))
            for table in (
                SourceTable("elsewhere.processes"),
                SourceTable(machines="elsewhere.machines"),
            ):
                with ProcessSource(mariadb.url(), table) as other:
                    assert len(other.read_machines(300, 900, ["alice"])) == 2
            assert len(source.read_machines(300, 900)) == 0
        finally:
            execute(source, "DROP DATABASE elsewhere")


def test_an_outage_is_not_taken_for_a_missing_table(mariadb: MariaDB) -> None:
    url = mariadb.url().replace(str(mariadb.port), "1")
    with ProcessSource(url) as source, pytest.raises(SourceOutageError):
        source.read_machines(0, 900)
