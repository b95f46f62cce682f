"""Reading the source: both ways give the same frame, and what cannot be read is named."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from snapshot_assets.domain.schemas import RawProcessRows, validate
from snapshot_assets.errors import SourceError, SourceOutageError
from snapshot_assets.source.query import ProcessSource, SourceTable
from snapshot_assets_tests.support.field_table import (
    FIELD_TABLE,
    HOSTILE_HOSTS,
    LOCAL,
    MIDNIGHT,
    busy_host,
    execute,
    load,
    row,
)
from snapshot_assets_tests.support.servers import MariaDB

KIB = SourceTable(rss_unit="KiB")


def both_ways(
    server: MariaDB, table: SourceTable, hosts: list[str] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same range read in columns and row by row."""
    with ProcessSource(server.url(), table) as source:
        assert source.columnar
        fast = source.read_sql(0, 2e9, hosts)
        assert source.columnar, "the columnar read failed and fell back"
        source.columnar = False
        return fast, source.read_sql(0, 2e9, hosts)


@pytest.mark.parametrize(
    "types",
    [
        "host VARCHAR(20), pid INT, username VARCHAR(50), comm VARCHAR(100), cputimes INT, "
        "rss INT, etimes INT, snapshot_time_epoch INT",
        "host VARCHAR(20) CHARACTER SET latin1, pid INT UNSIGNED, username TEXT, comm TINYTEXT, "
        "cputimes BIGINT UNSIGNED, rss BIGINT UNSIGNED, etimes MEDIUMINT, "
        "snapshot_time_epoch INT UNSIGNED",
        "host CHAR(20), pid SMALLINT, username VARCHAR(50) CHARACTER SET latin1, "
        "comm VARCHAR(100), cputimes DECIMAL(18,6), rss DECIMAL(20,0), etimes DECIMAL(10,2), "
        "snapshot_time_epoch DECIMAL(18,6)",
        "host VARCHAR(20), pid BIGINT, username VARCHAR(50), comm VARCHAR(100), cputimes DOUBLE, "
        "rss DOUBLE, etimes FLOAT, snapshot_time_epoch DOUBLE",
        "host VARCHAR(20), pid VARCHAR(10), username VARCHAR(50), comm VARCHAR(100), "
        "cputimes VARCHAR(20), rss VARCHAR(20), etimes VARCHAR(20), "
        "snapshot_time_epoch BIGINT",
    ],
    ids=["int", "unsigned and latin1", "decimal", "double", "text"],
)
def test_both_ways_give_the_same_frame_for_all_column_types(mariadb: MariaDB, types: str) -> None:
    with ProcessSource(mariadb.url()) as source:
        execute(source, f"CREATE TABLE processes ({types})")
        execute(
            source,
            "INSERT INTO processes (host, pid, username, comm, cputimes, rss, etimes, "
            "snapshot_time_epoch) VALUES ('b', 2, 'é', 'R', 12, 3000, NULL, 1763800000), "
            "('a', 2, 'ana', 'R', 0, 0, 5, 1763800000), ('a', 1, 'ana', 'R', 7, 64, 5, 1763800000)",
        )
    fast, slow = both_ways(mariadb, KIB)
    pd.testing.assert_frame_equal(fast, slow, check_exact=True)
    validate(RawProcessRows, fast, "test")
    assert fast["host"].tolist() == ["a", "a", "b"]
    assert fast["pid"].tolist() == [1, 2, 2]
    assert fast["rss"].tolist() == [64 * 1024, 0, 3000 * 1024]
    assert fast["cputimes"].tolist() == [7.0, 0.0, 12.0]
    assert fast["etimes"].isna().tolist() == [False, False, True]


def test_fractions_of_seconds_survive_both_ways(mariadb: MariaDB) -> None:
    with ProcessSource(mariadb.url()) as source:
        execute(
            source,
            "CREATE TABLE processes (host VARCHAR(9), pid INT, username VARCHAR(9), "
            "comm VARCHAR(9), cputimes DECIMAL(18,6), rss BIGINT, "
            "snapshot_time_epoch DECIMAL(18,6))",
        )
        execute(
            source,
            "INSERT INTO processes VALUES ('a', 1, 'u', 'c', 0.123456, 1, 1763800000.250000), "
            "('a', 1, 'u', 'c', 123456789.654321, 1, 1763800300.333333)",
        )
    fast, slow = both_ways(mariadb, SourceTable())
    pd.testing.assert_frame_equal(fast, slow, check_exact=True)
    assert fast["cputimes"].tolist() == pytest.approx([0.123456, 123456789.654321], rel=1e-15)
    assert fast["snapshot_time_epoch"].tolist()[0] == 1763800000.25
    assert fast["etimes"].isna().all(), "a table without etimes has none"


def test_zero_rows_have_the_same_columns_and_types(mariadb: MariaDB) -> None:
    with ProcessSource(mariadb.url()) as source:
        load(source, [])
    fast, slow = both_ways(mariadb, KIB)
    nothing_asked, _ = both_ways(mariadb, KIB, hosts=[])
    pd.testing.assert_frame_equal(fast, slow)
    pd.testing.assert_frame_equal(fast, nothing_asked)
    validate(RawProcessRows, fast, "nothing")


def test_mariadb_and_sqlite_give_the_same_frame(mariadb: MariaDB, tmp_path: Path) -> None:
    rows = [r for host in HOSTILE_HOSTS for r in busy_host(host, end=MIDNIGHT + 3600)]
    with ProcessSource(mariadb.url(), KIB) as maria:
        load(maria, rows)
        (tmp_path / "p.db").touch()
        with ProcessSource(f"sqlite:///{tmp_path / 'p.db'}", KIB) as lite:
            load(lite, reversed(rows))
            asked = ["web|01", "Zoë 😀 %s"]
            for hosts in (None, asked):
                pd.testing.assert_frame_equal(
                    maria.read_sql(MIDNIGHT - 600, MIDNIGHT + 600, hosts),
                    lite.read_sql(MIDNIGHT - 600, MIDNIGHT + 600, hosts),
                    check_exact=True,
                )
            assert maria.hosts(0, 2e9) == lite.hosts(0, 2e9) == sorted(HOSTILE_HOSTS)


def test_hosts_that_a_collation_takes_for_equal_stay_apart(mariadb: MariaDB) -> None:
    with ProcessSource(mariadb.url()) as source:
        load(source, [row("web", MIDNIGHT, 1), row("WEB", MIDNIGHT, 2), row("web ", MIDNIGHT, 3)])
    fast, slow = both_ways(mariadb, SourceTable(), ["web"])
    assert fast["pid"].tolist() == slow["pid"].tolist() == [1]


@pytest.mark.parametrize("mode", ["", "NO_BACKSLASH_ESCAPES,ANSI_QUOTES"])
def test_no_host_name_can_end_the_literal(mariadb: MariaDB, mode: str) -> None:
    evil = ["x' OR '1'='1", "x\\' OR 1=1 -- ", 'x" OR ""="', "%s", ":host", "x'; DROP TABLE y; #"]
    with ProcessSource(mariadb.url()) as source:
        load(source, [row(name, MIDNIGHT, pid) for pid, name in enumerate([*evil, "other"])])
        execute(source, f"SET GLOBAL sql_mode = '{mode}'")
    try:
        for pid, name in enumerate(evil):
            fast, slow = both_ways(mariadb, SourceTable(), [name])
            assert fast["pid"].tolist() == slow["pid"].tolist() == [pid]
    finally:
        with ProcessSource(mariadb.url()) as source:
            execute(source, "SET GLOBAL sql_mode = DEFAULT")


def test_ranges_are_half_open(mariadb: MariaDB) -> None:
    with ProcessSource(mariadb.url()) as source:
        load(source, [row("a", MIDNIGHT + second, 1) for second in (-1, 0, 299, 300)])
        for columnar in (True, False):
            source.columnar = columnar
            found = source.read_sql(MIDNIGHT, MIDNIGHT + 300)["snapshot_time_epoch"]
            assert (found - MIDNIGHT).tolist() == [0, 299]


def test_the_local_time_column_narrows_but_never_decides(mariadb: MariaDB) -> None:
    """In the repeated hour of 2026-10-25 and around it no row is lost, whatever its local time."""
    from_epoch = 1_792_879_200 - 4 * 3600
    times = range(from_epoch, from_epoch + 8 * 3600, 600)
    with ProcessSource(mariadb.url(), SourceTable(timezone=LOCAL)) as source:
        load(source, [row("a", time, 1) for time in times])
        assert "snapshot_datetime" in str(source._select(0, 1, None))
        for start in times:
            found = source.read_sql(start, start + 1800)["snapshot_time_epoch"].tolist()
            assert found == [time for time in times if start <= time < start + 1800]


def test_columns_and_table_can_be_called_otherwise(mariadb: MariaDB) -> None:
    table = SourceTable(
        "monitoring.`odd`".replace("`", ""), {"host": "machine name", "pid": "order"}
    )
    with ProcessSource(mariadb.url(), table) as source:
        execute(source, FIELD_TABLE.replace("processes", "odd"))
        execute(source, "ALTER TABLE odd CHANGE host `machine name` VARCHAR(9)")
        execute(source, "ALTER TABLE odd CHANGE pid `order` INT")
        execute(
            source,
            "INSERT INTO odd (`machine name`, `order`, username, comm, cputimes, rss, "
            "snapshot_time_epoch) VALUES ('a', 5, 'u', 'c', 1, 1, 1763800000)",
        )
    fast, slow = both_ways(mariadb, table, ["a"])
    assert fast["pid"].tolist() == slow["pid"].tolist() == [5]


def test_what_is_wrong_with_the_source_is_named_without_the_password(
    mariadb: MariaDB, tmp_path: Path
) -> None:
    with ProcessSource(mariadb.url()) as source:
        load(source, [row("a", MIDNIGHT, 1)])
    good = mariadb.url()
    cases: list[tuple[str, SourceTable, type[Exception], str]] = [
        (good.replace("snapshot:p%40", "snapshot:q%40"), SourceTable(), SourceError, "password"),
        (good.replace("/monitoring", "/nope"), SourceTable(), SourceError, "no such database"),
        (good, SourceTable("nope"), SourceError, "table 'nope' does not exist"),
        (good, SourceTable(columns={"rss": "mem"}), SourceError, "no column 'mem'"),
        (good.replace(str(mariadb.port), "1"), SourceTable(), SourceOutageError, "not answer"),
        (f"sqlite:///{tmp_path}/nope.db", SourceTable(), SourceError, "no SQLite database"),
        ("not a url", SourceTable(), SourceError, "SNAPSHOT_SOURCE_URL"),
        ("oracle://u:hunter2@h/d", SourceTable(), SourceError, "driver"),
    ]
    for url, table, kind, told in cases:
        with pytest.raises(kind, match=told) as caught:
            ProcessSource(url, table).read_sql(0, 2e9)
        assert type(caught.value) is kind
        for secret in ("ss:/w#rd", "ss%3A%2Fw", "hunter2"):
            assert secret not in str(caught.value) + repr(caught.value.__cause__)
    assert not (tmp_path / "nope.db").exists()
    assert "w%23rd" not in repr(ProcessSource(good))


def test_a_server_that_accepts_and_never_answers_is_an_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshot_assets.source.database.ANSWER_TIMEOUT_SECONDS", 1)
    with MariaDB(tmp_path / "paused") as server, ProcessSource(server.url()) as source:
        load(source, [row("alice", MIDNIGHT, 1)])
        assert source.hosts(0, 2e9) == ["alice"]
        with server.paused():
            for ask in (lambda: source.hosts(0, 2e9), lambda: source.read_sql(0, 2e9)):
                with pytest.raises(SourceOutageError):
                    ask()
        assert source.hosts(0, 2e9) == ["alice"]


def test_a_columnar_driver_that_cannot_serve_is_replaced(
    mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its panics are no Exceptions; the rows come all the same, and it is not asked again."""

    class Panic(BaseException):
        pass

    def panic(*_: object, **__: object) -> None:
        raise Panic(f"unsupported: {mariadb.url()} {mariadb.password}")

    monkeypatch.setattr("snapshot_assets.source.database.connectorx.read_sql", panic)
    with ProcessSource(mariadb.url()) as source:
        load(source, [row("a", MIDNIGHT, 1)])
        assert len(source.read_sql(0, 2e9)) == 1
        assert not source.columnar
    assert "row by row instead" in caplog.text
    assert mariadb.password not in caplog.text
