"""Tables as a good collector writes them, to which tests add faults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from snapshot_assets.source.query import ProcessSource
from snapshot_assets_tests.support.field_table import Row, execute, load, row

INDEXES = (
    "CREATE INDEX by_time ON processes (snapshot_time_epoch)",
    "CREATE INDEX by_host ON processes (host, snapshot_time_epoch)",
)
_MACHINES = """
CREATE TABLE machines (
    host VARCHAR(255), snapshot_time_epoch BIGINT, cores INT, cpu_seconds DOUBLE,
    memory_bytes BIGINT, memory_used_bytes BIGINT, boot_epoch BIGINT
)
"""


def good_rows(
    host: str, until: int, seconds: int = 3_600, step: int = 60, seed: int = 1
) -> Iterator[Row]:
    """A machine of its own: idle threads of the kernel, a few busy processes, one young one."""
    booted = until - 500_000 - 7_919 * seed
    for time in range(until - seconds, until + 1, step):
        age = time - booted
        for pid in range(2, 20):
            yield row(
                host,
                time,
                pid + 100 * seed,
                username="root",
                comm=f"kworker/{pid}",
                rss=4 * pid + 4 * seed,
                etimes=age - pid,
            )
        for pid in range(20, 25):
            yield row(
                host,
                time,
                pid + 1_000 * seed,
                username=f"user{pid}",
                comm="python",
                cputimes=age // 2 + pid + seed,
                rss=4 * (50_001 * seed + pid),
                etimes=age - 1_000 * pid,
            )
        yield row(host, time, 30_000 + time % 9_000, comm="gcc", cputimes=9, rss=40_004, etimes=20)


def load_good(source: ProcessSource, rows: Iterable[Row]) -> None:
    """Create the table with its indexes, and put rows into it."""
    load(source, rows)
    for index in INDEXES:
        execute(source, index)


def load_machines(source: ProcessSource, rows: Iterable[dict[str, Any]]) -> None:
    """Create the table of the machines, and put rows into it."""
    execute(source, _MACHINES)
    for values in rows:
        names, places = ", ".join(values), ", ".join(f":{name}" for name in values)
        execute(source, f"INSERT INTO machines ({names}) VALUES ({places})", **values)
