"""How long it takes to settle a day of about two million rows, beside a straightforward version.

It measures each step from the rows in the database to the documents in Redis, and the peak memory
of a fresh process, on a private MariaDB and a private Redis on this machine. Both versions read the
same table and write documents of the same layout. The versions take turns, so that other load
affects both; the table shows best and median. ``own CPU`` is the CPU time of the version's process,
which varies least when the machine is busy.

Not measured: Dagster's overhead, the Parquet lake between the steps (see benchmarks/README.md),
imports, and the network between machines. The database has the day's pages in memory. The product
reads a quarter of an hour beyond both ends of the day; for both versions, rows per second count
only the rows of the day.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import field_day
from benchmarks.measure import Job, Run, run_alone
from snapshot_assets_tests.support.servers import MariaDB, Redis

STEPS = ("read", "validate", "account", "document", "write", "total")
DATABASE_OPTIONS = (
    "--innodb-buffer-pool-size=2G",
    "--innodb-log-file-size=1G",
    "--innodb-flush-method=fsync",
    "--secure-file-priv=",
)
OURS, OVERLAPPED, NAIVE = "ours", "ours, reading ahead", "naive"

Runs = dict[str, list[Run]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Load, measure, print."""
    options = _parser().parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="settle-day-") as folder,
        MariaDB(Path(folder) / "db", DATABASE_OPTIONS) as database,
        Redis(Path(folder) / "redis") as store,
    ):
        rows, runs = _measure(options, database, store, Path(folder))
        facts = _facts(database, store)
    print(f"\n{facts}\n")
    print(_table(runs, rows))
    print(f"\n{_summary(runs, rows)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.settle_day", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rows", type=int, default=2_160_000, help="about how many in the day")
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--hosts-per-group", type=int, default=8, help="read at once")
    return parser


def _measure(
    options: argparse.Namespace, database: MariaDB, store: Redis, folder: Path
) -> tuple[int, Runs]:
    # Yesterday is over, and well within Redis' retention.
    day = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    start = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp())
    hosts = field_day.host_names(options.hosts)
    begun = time.perf_counter()
    with database.connect("monitoring") as connection:
        rows = field_day.load(connection, folder, hosts, options.rows, start)
    _report(f"{rows:,} rows in {day}, loaded in {time.perf_counter() - begun:.0f} s")

    job = Job(database.url(), store.url(), hosts, start, start + 86_400, options.hosts_per_group)
    contestants = {
        NAIVE: ("benchmarks.naive", job),
        OURS: ("benchmarks.ours", job),
        OVERLAPPED: ("benchmarks.ours", replace(job, overlap=True)),
    }
    runs: Runs = {name: [] for name in contestants}
    for repeat in range(options.repeat):
        for name, (module, its_job) in contestants.items():
            with store.client() as client:
                client.flushall()
            run = run_alone(module, its_job)
            runs[name].append(run)
            _report(f"run {repeat + 1} of {options.repeat}: {name} {run.seconds['total']:.2f} s")
    return rows, runs


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _table(runs: Runs, rows: int) -> str:
    """One row per step; seconds as best and median, rows per second of the median."""
    names = (OURS, OVERLAPPED, NAIVE)
    header = ["step"]
    for name in names:
        header += [f"{name}: best", "median s", "rows/s"]
    lines = [_line(header), _line(["---"] + ["---:"] * (len(header) - 1))]
    for step in STEPS:
        cells = [step]
        for name in names:
            cells += _step_cells([run.seconds.get(step) for run in runs[name]], rows)
        lines.append(_line(cells))
    lines += [
        _plain_line("own CPU, s", runs, names, lambda run: run.cpu_seconds, ".2f"),
        _plain_line("peak memory, MB", runs, names, lambda run: run.peak_bytes / 1e6, ",.0f"),
        _plain_line("of it imports, MB", runs, names, lambda run: run.imported_bytes / 1e6, ",.0f"),
    ]
    return "\n".join(lines)


def _step_cells(seconds: Sequence[float | None], rows: int) -> list[str]:
    known = [value for value in seconds if value is not None]
    if not known:
        return ["", "", ""]
    median = statistics.median(known)
    return [f"{min(known):.2f}", f"{median:.2f}", f"{rows / max(median, 1e-3):,.0f}"]


def _plain_line(
    label: str, runs: Runs, names: Sequence[str], amount: Callable[[Run], float], form: str
) -> str:
    """Best and median of an amount that has no rows per second."""
    cells = [label]
    for name in names:
        amounts = [amount(run) for run in runs[name]]
        cells += [format(min(amounts), form), format(statistics.median(amounts), form), ""]
    return _line(cells)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _summary(runs: Runs, rows: int) -> str:
    lines = [f"{rows:,} rows in the day."]
    for name, its_runs in runs.items():
        run = its_runs[0]
        lines.append(
            f"{name}: {run.rows_read:,} rows read, {run.documents:,} documents of "
            f"{run.document_bytes / max(run.documents, 1):,.0f} bytes on average, "
            f"{run.cpu_core_seconds:,.0f} core-seconds."
        )
    naive = [run.seconds["total"] for run in runs[NAIVE]]
    for name in (OURS, OVERLAPPED):
        totals = [run.seconds["total"] for run in runs[name]]
        lines.append(
            f"naive / {name}: {statistics.median(naive) / statistics.median(totals):.1f} times by "
            f"the medians, {min(naive) / min(totals):.1f} by the best runs."
        )
    lines.append("ours: published CPU is the ledger's attributed CPU, checked in every run.")
    return "\n".join(lines)


def _facts(database: MariaDB, store: Redis) -> str:
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT VERSION()")
        ((mariadb,),) = cursor.fetchall()
    with store.client() as client:
        redis_version = client.info("server")["redis_version"]
    return (
        f"{os.cpu_count()} cores ({platform.machine()}, load {os.getloadavg()[0]:.1f}), "
        f"{platform.system()}, Python {platform.python_version()}, MariaDB {mariadb}, "
        f"Redis {redis_version}"
    )


if __name__ == "__main__":
    main()
