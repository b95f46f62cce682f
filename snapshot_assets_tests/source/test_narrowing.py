"""A local time narrows the scan, and loses no row, whatever its host writes there."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from snapshot_assets.source.database import _literal_sql
from snapshot_assets.source.query import ProcessSource, SourceTable, Tally, WholeCount
from snapshot_assets_tests.support.field_table import FIELD_TABLE, MIDNIGHT, execute, load, row
from snapshot_assets_tests.support.servers import MariaDB

NARROW = SourceTable(timezone=ZoneInfo("Europe/Berlin"))
DAY_END = MIDNIGHT + 86_400
EDGES = (MIDNIGHT, MIDNIGHT + 7_500, MIDNIGHT + 70_000, MIDNIGHT + 73_000, DAY_END - 1)
FORTY_DAYS = range(MIDNIGHT - 20 * 86_400, MIDNIGHT + 20 * 86_400, 7_200)
ZONES = {
    "line": ZoneInfo("Etc/GMT+12"),
    "kiritimati": ZoneInfo("Pacific/Kiritimati"),
    "kathmandu": ZoneInfo("Asia/Kathmandu"),
    "utc": ZoneInfo("UTC"),
}
# What columns of text hold, by the name of the host that writes it.
SPELLINGS = {
    "iso": "%Y-%m-%d %H:%M:%S",
    "t": "%Y-%m-%dT%H:%M:%S",
    "t and zone": "%Y-%m-%dT%H:%M:%S.123456+00:00",
    "z": "%Y-%m-%dT%H:%M:%SZ",
    "basic": "%Y%m%dT%H%M%S",
    "slashes": "%Y/%m/%d %H:%M:%S",
    "german": "%d.%m.%Y %H:%M",
    "american": "%m/%d/%Y %I:%M %p",
    "words": "%a %b %d %H:%M:%S %Y",
    "clock": "%H:%M:%S",
    "empty": "",
    "garbage": "n/a",
    "zero": "0000-00-00 00:00:00",
}


def everything_is_found(source: ProcessSource, hosts: list[str]) -> None:
    """Every query finds every row of the hosts, which all have one at each of the edges."""
    day = MIDNIGHT, DAY_END
    assert source.hosts(*day) == sorted(hosts)
    assert source.tally(*day) == dict.fromkeys(hosts, Tally(len(EDGES), DAY_END - 1))
    assert len(source.snapshots(*day)) == len(hosts) * len(EDGES)
    assert source.span() == (MIDNIGHT - 1, DAY_END)
    for host in hosts:
        times = source.read_sql(*day, [host])["snapshot_time_epoch"]
        assert tuple(times) == EDGES, host
    assert source.count_whole(*day, 10) == WholeCount(len(hosts) * len(EDGES), 0, {})
    for edge in EDGES:
        assert len(source.read_sql(edge, edge + 1)) == len(hosts)


@pytest.mark.parametrize("kind", ["DATETIME", "DATETIME(6)", "TIMESTAMP NULL", "DATE"])
def test_hosts_of_all_zones_and_without_a_local_time_are_read_whole(
    mariadb: MariaDB, kind: str
) -> None:
    with ProcessSource(mariadb.url(), NARROW) as source:
        execute(source, FIELD_TABLE.replace("DATETIME", f"{kind}"))
        execute(source, "CREATE INDEX i ON processes (snapshot_datetime)")
        rows = [
            row(host, time, 1, snapshot_datetime=dt.datetime.fromtimestamp(time, zone))
            for host, zone in ZONES.items()
            for time in EDGES
        ]
        for other in rows:
            other["snapshot_datetime"] = other["snapshot_datetime"].replace(tzinfo=None)
        rows += [row("null", time, 1, snapshot_datetime=None) for time in EDGES]
        hosts = [*ZONES, "null"]
        if kind != "TIMESTAMP NULL":
            for name, value in (("no clock", "1970-01-01"), ("zero", "0000-00-00")):
                rows += [row(name, time, 1, snapshot_datetime=value) for time in EDGES]
                hosts.append(name)
        rows += [row("outside", time, 1) for time in (MIDNIGHT - 1, DAY_END)]
        load(source, rows, create=None)
        everything_is_found(source, hosts)


@pytest.mark.parametrize("where", ["MariaDB", "MariaDB, words", "SQLite"])
def test_texts_of_any_form_are_read_whole(mariadb: MariaDB, tmp_path: Path, where: str) -> None:
    (tmp_path / "p.db").touch()
    url = f"sqlite:///{tmp_path / 'p.db'}" if where == "SQLite" else mariadb.url()
    with ProcessSource(url, NARROW) as source:
        kind = "VARCHAR(40)" + (" COLLATE utf8mb4_unicode_ci" if "words" in where else "")
        execute(source, FIELD_TABLE.replace("DATETIME", kind if "Maria" in where else ""))
        execute(source, "CREATE INDEX i ON processes (snapshot_datetime)")
        rows = []
        for time in EDGES:
            utc = dt.datetime.fromtimestamp(time, dt.UTC)
            rows += [
                row(host, time, 1, snapshot_datetime=utc.strftime(form))
                for host, form in SPELLINGS.items()
            ]
        hosts = list(SPELLINGS)
        if where == "SQLite":
            for name, value in (("number", MIDNIGHT), ("day", 2461364.5), ("blob", b"2026")):
                rows += [row(name, time, 1, snapshot_datetime=value) for time in EDGES]
                hosts.append(name)
        rows += [row("outside", time, 1) for time in (MIDNIGHT - 1, DAY_END)]
        load(source, rows, create=None)
        everything_is_found(source, hosts)


def test_a_column_of_another_type_does_not_narrow(mariadb: MariaDB) -> None:
    with ProcessSource(mariadb.url(), NARROW) as source:
        execute(source, FIELD_TABLE.replace("DATETIME", "BIGINT"))
        rows = [row("a", time, 1, snapshot_datetime=20261120000000) for time in EDGES]
        load(source, rows, create=None)
        assert len(source.read_sql(MIDNIGHT, DAY_END)) == len(EDGES)


@pytest.mark.parametrize("kind", ["DATETIME", "VARCHAR(30)"])
@pytest.mark.parametrize("hosts", [None, ["a", "b"]])
def test_the_index_on_the_local_time_serves_the_scan(
    mariadb: MariaDB, kind: str, hosts: list[str] | None
) -> None:
    """The database looks at about two of forty days."""
    with ProcessSource(mariadb.url(), NARROW) as source:
        create = FIELD_TABLE.replace("DATETIME", kind)
        load(source, [row("a", time, 1) for time in FORTY_DAYS], create)
        execute(source, "CREATE INDEX i ON processes (snapshot_datetime)")
        execute(source, "ANALYZE TABLE processes")
        query = _literal_sql(source._select(MIDNIGHT, DAY_END, hosts))
        with source.connect() as connection:
            connection.exec_driver_sql("FLUSH STATUS")
            connection.exec_driver_sql(query).all()
            looked = connection.exec_driver_sql("SHOW STATUS LIKE 'Handler_read%%'").all()
        of_a_day = len(FORTY_DAYS) // 40
        assert of_a_day <= sum(int(count) for _, count in looked) < 5 * of_a_day


@pytest.mark.parametrize("hosts", [None, ["a", "b"]])
def test_the_index_serves_the_scan_of_sqlite(tmp_path: Path, hosts: list[str] | None) -> None:
    """Even of a narrow table, which SQLite would rather look at as a whole."""
    (tmp_path / "p.db").touch()
    with ProcessSource(f"sqlite:///{tmp_path / 'p.db'}", NARROW) as source:
        execute(
            source,
            "CREATE TABLE processes (pid INT, username TEXT, comm TEXT, cputimes INT, rss INT, "
            "snapshot_time_epoch INT, snapshot_datetime TEXT, host TEXT)",
        )
        for time in FORTY_DAYS:
            inserted = f"1, 'u', 'c', 1, 1, {time}, datetime({time}, 'unixepoch'), 'a'"
            execute(source, f"INSERT INTO processes VALUES ({inserted})")
        execute(source, "CREATE INDEX i ON processes (snapshot_datetime)")
        execute(source, "ANALYZE")
        compiled = source._select(MIDNIGHT, DAY_END, hosts).compile(source.engine)
        values = tuple(compiled.params[name] for name in compiled.positiontup or ())
        with source.connect() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values).all()
        steps = " ".join(step[3] for step in plan)
        assert "USING INDEX i" in steps
        assert "SCAN" not in steps


def test_rows_that_the_local_time_hides_are_counted(mariadb: MariaDB) -> None:
    """A local time may be wrong by more than a zone. The count without narrowing shows that."""
    with ProcessSource(mariadb.url(), NARROW) as source:
        late = "2026-11-25 12:00:00"
        rows = [row("late", MIDNIGHT + i, 1, snapshot_datetime=late) for i in range(3)]
        load(source, [*rows, row("good", MIDNIGHT, 1), row("late", MIDNIGHT, 2)])
        assert source.tally(MIDNIGHT, DAY_END)["late"].rows == 1
        whole = source.count_whole(MIDNIGHT, DAY_END, 10)
        assert whole == WholeCount(5, 0, {"late": 3})
