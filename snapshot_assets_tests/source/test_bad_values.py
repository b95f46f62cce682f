"""A value that is no number or no text is NULL in its row, and told with its host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from snapshot_assets.domain.schemas import RawProcessRows, validate
from snapshot_assets.source.columns import Unreadable
from snapshot_assets.source.query import ProcessSource, Reading, Tally
from snapshot_assets_tests.support.field_table import MIDNIGHT, execute
from snapshot_assets_tests.support.servers import MariaDB

COLUMNS = ("host", "pid", "username", "comm", "cputimes", "rss", "etimes", "snapshot_time_epoch")
GOOD: dict[str, Any] = {
    "host": "alice",
    "pid": 1,
    "username": "ana",
    "comm": "R",
    "cputimes": 5,
    "rss": 4096,
    "etimes": 7,
    "snapshot_time_epoch": MIDNIGHT,
}


@contextmanager
def source_of(
    where: str, mariadb: MariaDB, folder: Path, types: str, rows: list[dict[str, Any]]
) -> Iterator[ProcessSource]:
    """A source whose table has these types and rows; each row says what differs from a good one."""
    (folder / "p.db").touch()
    url = f"sqlite:///{folder / 'p.db'}" if where == "SQLite" else mariadb.url()
    with ProcessSource(url) as source:
        source.columnar &= where == "columnar"
        execute(source, f"CREATE TABLE processes ({types})")
        for row in rows:
            execute(
                source,
                f"INSERT INTO processes ({', '.join(COLUMNS)}) VALUES "
                f"({', '.join(f':{name}' for name in COLUMNS)})",
                **{**GOOD, **row},
            )
        yield source
        assert source.columnar == (where == "columnar"), "the other way was used"


TEXTS = "host {0}, pid {0}, username {0}, comm {0}, cputimes {0}, rss {0}, etimes {0}, "
WAYS = pytest.mark.parametrize("where", ["columnar", "row by row", "SQLite"])
# SQLite keeps each value as it is in a column without a type.
TYPES = {"SQLite": "host, pid, username, comm, cputimes, rss, etimes, snapshot_time_epoch"}


def read_by_host(source: ProcessSource) -> tuple[Reading, dict[str, Reading]]:
    """Everything at once, and each host alone; both valid."""
    everything = source.read(0, 2e9)
    alone = {host: source.read(0, 2e9, [host]) for host in source.hosts(0, 2e9)}
    for reading in (everything, *alone.values()):
        validate(RawProcessRows, reading.rows, "test")
    return everything, alone


@WAYS
@pytest.mark.parametrize("kind", ["VARCHAR(20)", "VARBINARY(20)", "BLOB"])
def test_a_value_that_is_no_number_is_null_and_told_with_its_host(
    mariadb: MariaDB, tmp_path: Path, where: str, kind: str
) -> None:
    types = TYPES.get(where, TEXTS.format(kind) + "snapshot_time_epoch BIGINT")
    bad = {"cputimes": "01:02:03", "rss": "", "etimes": "2-00:00:01", "pid": "x"}
    rows: list[dict[str, Any]] = [
        {},
        {"host": "bob", "cputimes": " 12.5 ", "etimes": None, "rss": "1e3"},
        *({"host": "carol", "pid": i, name: value} for i, (name, value) in enumerate(bad.items())),
    ]
    with source_of(where, mariadb, tmp_path, types, rows) as source:
        everything, alone = read_by_host(source)
        tally = source.tally(0, 2e9)
    carol = alone["carol"].rows.set_index(pd.Index(["cputimes", "rss", "etimes", "pid"]))
    for name in bad:
        assert carol[name].isna().tolist() == [name == other for other in carol.index]
    assert alone["bob"].rows[["cputimes", "rss"]].iloc[0].tolist() == [12.5, 1000]
    assert alone["bob"].unreadable == alone["alice"].unreadable == ()
    numbers = ["pid", "cputimes", "rss", "etimes"]
    assert alone["alice"].rows[numbers].iloc[0].tolist() == [1, 5, 4096, 7]
    expected = {Unreadable("carol", name, 1, (repr(value),)) for name, value in bad.items()}
    assert set(alone["carol"].unreadable) == set(everything.unreadable) == expected
    counts = {"alice": 1, "bob": 1, "carol": 4}
    assert tally == {host: Tally(rows, MIDNIGHT) for host, rows in counts.items()}


@WAYS
def test_bytes_that_are_no_text_concern_their_row_alone(
    mariadb: MariaDB, tmp_path: Path, where: str
) -> None:
    """A host that is no text belongs to no host, and the others are found, counted and read."""
    types = TYPES.get(where, TEXTS.format("VARBINARY(20)") + "snapshot_time_epoch BIGINT")
    rows: list[dict[str, Any]] = [
        {"host": b"alice"},
        {"host": "bob", "username": b"\xff\xfe", "comm": b"x\xc3"},
        {"host": b"\xe9t\xe9", "pid": 3},
        {"host": None, "pid": 4},
        {"host": "été", "pid": 5},
    ]
    with source_of(where, mariadb, tmp_path, types, rows) as source:
        everything, alone = read_by_host(source)
        assert source.hosts(0, 2e9) == ["alice", "bob", "été"]
        assert set(source.tally(0, 2e9)) == {"alice", "bob", "été"}
        assert set(source.snapshots(0, 2e9)["host"]) == {"alice", "bob", "été"}
        whole = source.count_whole(0, 2e9, 10)
        assert source.span() == (MIDNIGHT, MIDNIGHT)
    assert whole is not None
    assert (whole.rows, whole.without_host, whole.hidden) == (5, 2, {})
    assert everything.rows["pid"].tolist() == [3, 4, 1, 1, 5]
    assert everything.rows["host"].isna().tolist() == [True, True, False, False, False]
    assert [reading.rows["pid"].tolist() for reading in alone.values()] == [[1], [1], [5]]
    assert alone["bob"].rows[["username", "comm"]].isna().all(axis=None)
    assert [(lost.host, lost.column) for lost in everything.unreadable] == [
        (None, "host"),
        ("bob", "comm"),
        ("bob", "username"),
    ]
    told = "host of a row without a host: 1 value is no text in UTF-8, b'"
    assert str(everything.unreadable[0]).startswith(told)


def test_text_that_is_no_utf8_stops_no_query_of_sqlite(tmp_path: Path) -> None:
    """SQLite itself accepts any bytes as text."""
    (tmp_path / "p.db").touch()
    with ProcessSource(f"sqlite:///{tmp_path / 'p.db'}") as source:
        execute(source, f"CREATE TABLE processes ({TYPES['SQLite']})")
        for host in ("'bob'", "CAST(x'ff' AS TEXT)"):
            values = f"{host}, 1, 'u', 'c', 1, 1, 1, {MIDNIGHT}"
            execute(source, f"INSERT INTO processes VALUES ({values})")
        assert source.hosts(0, 2e9) == ["bob"]
        assert source.read_sql(0, 2e9)["host"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("kind", "stored", "read"),
    [
        ("DOUBLE", -3.5, -3.5),
        ("DECIMAL(20,0)", 10**17, 1e17),
        ("DECIMAL(30,20)", "1.00000000000000000001", 1.0),
        ("BIGINT UNSIGNED", 2**64 - 1, 2.0**64),
        ("BIGINT", -1, -1.0),
        ("TIME", "01:02:03", None),
        ("DATETIME", "2026-11-20 00:00:00", None),
        ("VARCHAR(20)", "inf", float("inf")),
        ("VARCHAR(20)", "-1", -1.0),
        ("BOOLEAN", 1, 1.0),
    ],
)
@pytest.mark.parametrize("where", ["columnar", "row by row"])
def test_what_a_number_can_be_is_left_to_the_accounting(
    mariadb: MariaDB, tmp_path: Path, where: str, kind: str, stored: Any, read: float | None
) -> None:
    types = (
        f"host VARCHAR(9), pid BIGINT, username VARCHAR(9), comm VARCHAR(9), cputimes {kind}, "
        "rss BIGINT, etimes BIGINT, snapshot_time_epoch BIGINT"
    )
    rows: list[dict[str, Any]] = [{"cputimes": stored, "rss": -1, "pid": -7}]
    with source_of(where, mariadb, tmp_path, types, rows) as source:
        reading = source.read(0, 2e9)
    found = reading.rows["cputimes"]
    assert [None if pd.isna(value) else value for value in found] == [read]
    assert len(reading.unreadable) == (read is None)
    assert reading.rows[["rss", "pid"]].iloc[0].tolist() == [-1, -7]


def test_values_of_several_types_are_read_one_by_one(tmp_path: Path) -> None:
    values = [5, 5.25, "6", b"7", "x", None, 2**62, True]
    with source_of(
        "SQLite",
        None,  # type: ignore[arg-type]
        tmp_path,
        TYPES["SQLite"],
        [{"pid": pid, "cputimes": value, "comm": value} for pid, value in enumerate(values)],
    ) as source:
        reading = source.read(0, 2e9)
    found = reading.rows["cputimes"].tolist()
    assert [None if pd.isna(v) else v for v in found] == [5, 5.25, 6, 7, None, None, 2.0**62, 1]
    assert reading.rows["comm"].tolist()[:5] == ["5", "5.25", "6", "7", "x"]
    assert reading.unreadable == (Unreadable("alice", "cputimes", 1, ("'x'",)),)


def test_hosts_of_any_type_are_read_by_their_name(tmp_path: Path) -> None:
    """In SQLite a number or a blob equals no text, but is a host's name all the same."""
    hosts = ["a", b"b", 7, -3, 0]
    rows: list[dict[str, Any]] = [{"host": host, "pid": pid} for pid, host in enumerate(hosts)]
    with source_of("SQLite", None, tmp_path, TYPES["SQLite"], rows) as source:  # type: ignore[arg-type]
        assert source.hosts(0, 2e9) == ["-3", "0", "7", "a", "b"]
        for pid, name in enumerate(("a", "b", "7", "-3", "0")):
            assert source.read_sql(0, 2e9, [name])["pid"].tolist() == [pid]
            assert source.tally(0, 2e9, [name])[name].rows == 1
