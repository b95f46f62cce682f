"""A column that holds something else gets one sentence with the setting; one odd row gets none."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from snapshot_assets.errors import SourceError
from snapshot_assets.source.columns import Unreadable
from snapshot_assets.source.kinds import merged_hosts, misfits
from snapshot_assets.source.query import ProcessSource, SourceTable
from snapshot_assets_tests.support.domain.process_rows import Row, raw_rows
from snapshot_assets_tests.support.field_table import FIELD_TABLE, MIDNIGHT, execute, load, row
from snapshot_assets_tests.support.servers import MariaDB

TIMES = range(MIDNIGHT, MIDNIGHT + 4_200, 300)
TABLE = SourceTable()
KIB = SourceTable(rss_unit="KiB")


def good_rows(host: str = "alice", processes: int = 30) -> pd.DataFrame:
    """Rows of processes of all ages, some of which keep a core busy; memory in whole pages."""
    return raw_rows(
        [
            Row(
                host=host,
                time=time,
                pid=100 + pid,
                comm=f"c{pid % 7}",
                cputimes=(time - MIDNIGHT) * (pid % 3 == 0) + pid,
                rss=4096 * (50 + 37 * pid),
                etimes=time - MIDNIGHT + 1_000 * pid,
            )
            for time in TIMES
            for pid in range(processes)
        ]
    )


def test_good_columns_get_no_sentence() -> None:
    for rows in (good_rows(), good_rows()[:0], good_rows(processes=1), raw_rows([])):
        assert misfits(rows, TABLE) == []
        assert merged_hosts(rows, TABLE) == {}


Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.mark.parametrize(
    ("change", "table", "column", "told"),
    [
        (lambda r: r.assign(etimes=r.etimes // 60), TABLE, "etimes", "minutes"),
        (lambda r: r.assign(etimes=r.etimes * 1000), TABLE, "etimes", "milliseconds"),
        (lambda r: r.assign(etimes=25.0), TABLE, "etimes", "does not grow"),
        (lambda r: r.assign(etimes=r.etimes / 3600), TABLE, "etimes", "no seconds"),
        (lambda r: r.assign(cputimes=r.cputimes * 1000), TABLE, "cputimes", "milliseconds"),
        (lambda r: r.assign(cputimes=r.cputimes * 100), TABLE, "cputimes", "ticks"),
        (lambda r: r.assign(rss=0.0), TABLE, "rss", "is 0 in all rows"),
        (lambda r: r.assign(rss=r.rss / 1024), TABLE, "rss", "SNAPSHOT_RSS_UNIT=KiB"),
        (lambda r: r.assign(rss=r.rss * 1024), KIB, "rss", "SNAPSHOT_RSS_UNIT=bytes"),
        (lambda r: r.assign(rss=r.pid), TABLE, "rss", "values of pid"),
        (lambda r: r.assign(rss=r.etimes, etimes=r.rss), TABLE, "rss", "is it etimes"),
        (lambda r: r.assign(rss=r.etimes * 1024, etimes=r.rss), KIB, "rss", "is it etimes"),
        (lambda r: r.assign(rss=r.cputimes, cputimes=r.rss), TABLE, "rss", "bytes of memory"),
        (lambda r: r.assign(rss=r.pid, pid=r.rss * 100), TABLE, "pid", "as no process id is"),
    ],
)
def test_a_whole_column_of_another_kind_is_named(
    change: Change, table: SourceTable, column: str, told: str
) -> None:
    named = SourceTable("ps", {column: "theirs"}, rss_unit=table.rss_unit)
    found = {misfit.column: str(misfit) for misfit in misfits(change(good_rows()), named)}
    assert told in found[column]
    for part in ("column 'theirs' of 'ps'", f"({column})", "SNAPSHOT_"):
        assert part in found[column]
    assert "\n" not in found[column]


@pytest.mark.parametrize("column", ["etimes", "cputimes", "rss", "pid", "snapshot_time_epoch"])
@pytest.mark.parametrize("value", [0.0, -1.0, 1e15, np.nan, np.inf])
def test_single_odd_rows_do_not_decide(column: str, value: float) -> None:
    rows = good_rows()
    rows.loc[rows.index % 5 == 0, column] = value
    rows = rows.sort_values(["host", "snapshot_time_epoch", "pid"], ignore_index=True)
    assert [m for m in misfits(rows, TABLE) if m.column != "cputimes"] == []


def test_more_cores_at_work_than_there_are_are_named_with_their_host() -> None:
    rows = good_rows()
    assert misfits(rows, TABLE, cores={"alice": 11}) == []
    (misfit,) = misfits(rows, TABLE, cores={"alice": 8})
    assert misfit.column == "cputimes"
    assert "10 cores at work on alice, which has at most 8" in misfit.sentence


def test_a_column_that_mostly_cannot_be_read_is_named() -> None:
    rows = good_rows()
    some = Unreadable("alice", "cputimes", len(rows) // 3, ("'01:02:03'",))
    assert misfits(rows, TABLE, [some]) == []
    (misfit,) = misfits(rows, TABLE, [some, Unreadable("bob", "cputimes", 140, ("'x'",))])
    assert "'cputimes' of 'processes' (cputimes) mostly holds no number" in misfit.sentence
    assert "'01:02:03'" in misfit.sentence


@pytest.mark.parametrize("step", [128, 10_000])
def test_times_of_32_bits_stop_their_host_alone(step: int) -> None:
    """Snapshots that were taken each whole hour, or once a day, are no such times."""
    stretched = good_rows("bob")["snapshot_time_epoch"] * 20 - 19 * MIDNIGHT
    bob = good_rows("bob").assign(snapshot_time_epoch=(stretched / step).round() * step)
    daily = raw_rows([Row("daily", MIDNIGHT + day * 86_400) for day in range(9)])
    rows = pd.concat([good_rows("alice"), bob, daily], ignore_index=True)
    rows["host"] = rows["host"].astype("category")
    found = merged_hosts(rows, TABLE)
    assert list(found) == ["bob"]
    assert found["bob"].stops
    assert "FLOAT" in found["bob"].sentence


EPOCHS: dict[str, tuple[str, Any, str]] = {
    "ms": ("BIGINT", MIDNIGHT * 1_000, "milliseconds"),
    "us": ("BIGINT", MIDNIGHT * 1_000_000, "microseconds"),
    "ns": ("BIGINT", MIDNIGHT * 10**9, "nanoseconds"),
    "digits": ("BIGINT", 20261120000000, "no time in seconds"),
    "ms as decimal": ("DECIMAL(20,3)", MIDNIGHT * 1_000, "milliseconds"),
    "text": ("VARCHAR(30)", str(MIDNIGHT), "holds text"),
    "iso": ("VARCHAR(30)", "2026-11-20 00:00:00", "holds text"),
    "datetime": ("DATETIME", "2026-11-20 00:00:00", "type of dates and times"),
    "timestamp": ("TIMESTAMP NULL", "2026-11-20 00:00:00", "type of dates and times"),
    "date": ("DATE", "2026-11-20", "type of dates and times"),
    "time": ("TIME", "00:00:00", "type of dates and times"),
    "float": ("FLOAT", MIDNIGHT, "FLOAT"),
}
ASK: dict[str, Callable[[ProcessSource], Any]] = {
    "hosts": lambda source: source.hosts(0, 4e9),
    "tally": lambda source: source.tally(0, 4e9),
    "rows": lambda source: source.read_sql(0, 4e9, ["a"]),
    "live": lambda source: source.read(MIDNIGHT, MIDNIGHT + 300),
    "span": lambda source: source.span(),
    "whole": lambda source: source.count_whole(0, 4e9, 5),
}


@pytest.mark.parametrize(
    ("where", "kind"),
    # In SQLite, each number has 64 bits.
    [
        (where, kind)
        for where in ("MariaDB", "SQLite")
        for kind in EPOCHS
        if (where, kind) != ("SQLite", "float")
    ],
)
def test_an_epoch_of_another_kind_stops_every_query_with_one_sentence(
    mariadb: MariaDB, tmp_path: Path, where: str, kind: str
) -> None:
    declared, value, told = EPOCHS[kind]
    if where == "SQLite":
        told = "holds text" if declared[:4] in ("DATE", "TIME") else told
        declared = "" if declared[:4] in ("DATE", "TIME") else declared
    (tmp_path / "p.db").touch()
    url = f"sqlite:///{tmp_path / 'p.db'}" if where == "SQLite" else mariadb.url()
    table = SourceTable(columns={"snapshot_time_epoch": "stamp"})
    with ProcessSource(url, table) as source:
        create = FIELD_TABLE.replace("snapshot_time_epoch INT", f"stamp {declared}")
        execute(source, create)
        insert = "INSERT INTO processes (host, pid, username, comm, cputimes, rss, stamp) VALUES "
        for pid in range(3):
            execute(source, f"{insert} ('a', {pid}, 'u', 'c', 1, 1, :value)", value=value)
        for ask in ASK.values():
            with pytest.raises(SourceError, match=told) as caught:
                ask(source)
            message = str(caught.value)
            assert "column 'stamp' of 'processes' (snapshot_time_epoch)" in message
            assert "SNAPSHOT_SOURCE_COLUMNS (snapshot_time_epoch=your_name)" in message
            assert "\n" not in message


def test_one_host_with_milliseconds_stops_nobody(mariadb: MariaDB) -> None:
    with ProcessSource(mariadb.url()) as source:
        create = FIELD_TABLE.replace("snapshot_time_epoch INT", "snapshot_time_epoch BIGINT")
        local = dt.datetime.fromtimestamp(MIDNIGHT, dt.UTC).replace(tzinfo=None)
        rows = [row("ms", MIDNIGHT, 1, snapshot_datetime=local) for _ in range(9)]
        for other in rows:
            other["snapshot_time_epoch"] *= 1_000
        load(source, [*rows, row("good", MIDNIGHT, 1)], create)
        assert source.hosts(0, 4e9) == ["good"]
        assert source.span() == (MIDNIGHT, MIDNIGHT)
        assert source.rows_without_key() == 9
