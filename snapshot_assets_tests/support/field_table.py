"""A source table as sites have it, and rows for it that are awkward on purpose."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from snapshot_assets.source.query import ProcessSource

FIELD_TABLE = """
CREATE TABLE processes (
    pid INT, ppid INT, username VARCHAR(50), comm VARCHAR(100), cputimes INT, rss INT, pss INT,
    vsz BIGINT, thcount INT, etimes INT, bdstart VARCHAR(100), args TEXT,
    snapshot_time_epoch INT, snapshot_datetime DATETIME, host VARCHAR(20)
)
"""
COLUMNS = (
    "pid, ppid, username, comm, cputimes, rss, pss, vsz, thcount, etimes, bdstart, args, "
    "snapshot_time_epoch, snapshot_datetime, host"
)
LOCAL = ZoneInfo("Europe/Berlin")
DAY = dt.date(2026, 11, 20)
MIDNIGHT = int(dt.datetime(2026, 11, 20, tzinfo=dt.UTC).timestamp())

HOSTILE_HOSTS = ("web|01", "../etc/x", "a'b\"; --", "Zoë 😀 %s", " lead", "WEB|01")

Row = dict[str, Any]


def row(host: str, time: int, pid: int, **values: Any) -> Row:
    """A row of the field table, ``rss`` in KiB; values that are not given get plain defaults."""
    given = {"username": "ana", "comm": "python", "cputimes": 0, "rss": 1_000_000, "etimes": None}
    given.update(values)
    return {
        "pid": pid,
        "ppid": 1,
        "pss": given["rss"],
        "vsz": 10**9,
        "thcount": 4,
        "bdstart": "12:04",
        "args": "--password hunter2 " + "x" * 50,
        "snapshot_time_epoch": time,
        "snapshot_datetime": dt.datetime.fromtimestamp(time, LOCAL).replace(tzinfo=None),
        "host": host,
        **given,
    }


def busy_host(
    host: str, start: int = MIDNIGHT - 3600, end: int = MIDNIGHT + 86_400 + 3600, seed: int = 0
) -> Iterator[Row]:
    """Rows of a host every five minutes plus jitter: long jobs, a reused pid, an idle process."""
    for step, due in enumerate(range(start, end, 300)):
        time = due + (step * 7 + seed) % 11
        age = time - start + 100_000
        yield row(host, time, 1, username="root", comm="systemd", cputimes=step // 4, etimes=age)
        yield row(host, time, 7, cputimes=2 * (time - start), etimes=age, rss=8_000_000)
        yield row(host, time, 9, username="ben", comm="R", rss=64_000_000, etimes=age)
        # One short process per snapshot, under the same pid each time.
        yield row(
            host, time, 40, username="b'en\\ |", comm="gcc 😀", cputimes=30 + step % 5, etimes=60
        )


def hosts_at_the_edge(midnight: int = MIDNIGHT) -> dict[str, tuple[int, ...]]:
    """The snapshot times of hosts with a row, or a covered second, just within a day."""
    end = midnight + 86_400
    return {
        "first second": (midnight,),
        "last second": (end - 1,),
        "across its start": (midnight - 120, midnight + 120),
        "across its end": (end - 120, end + 120),
    }


def hosts_in_the_margins(midnight: int = MIDNIGHT) -> dict[str, tuple[int, ...]]:
    """The snapshot times of hosts with rows in a day's margins, and no row in the day."""
    end = midnight + 86_400
    return {
        "before it": (midnight - 600, midnight - 300, midnight - 1),
        "after it": (end, end + 300, end + 600),
        "on both sides": (midnight - 1, end),
    }


def rows_at(times: Mapping[str, Sequence[int]]) -> list[Row]:
    """Rows of one process of each host, at these times; the process keeps a core busy."""
    return [
        row(host, time, 1, cputimes=time - sampled[0] + 1000, etimes=time - sampled[0] + 1000)
        for host, sampled in times.items()
        for time in sampled
    ]


def load(source: ProcessSource, rows: Iterable[Row], create: str | None = FIELD_TABLE) -> None:
    """Put rows into the table ``processes``; creates the table unless ``create`` is None."""
    placeholders = ", ".join(f":{name}" for name in COLUMNS.split(", "))
    statement = sa.text(f"INSERT INTO processes ({COLUMNS}) VALUES ({placeholders})")
    with source.engine.begin() as connection:
        if create is not None:
            connection.exec_driver_sql(create)
        values = list(rows)
        if values:
            connection.execute(statement, values)


def execute(source: ProcessSource, statement: str, **values: Any) -> None:
    """Run one statement on the source's database."""
    with source.engine.begin() as connection:
        connection.execute(sa.text(statement), values)
