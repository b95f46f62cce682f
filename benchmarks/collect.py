"""How much CPU a snapshot of this machine takes, beside the same snapshot through psutil.

``python -m benchmarks.collect`` starts idle processes until there are enough, and takes snapshots.
The CPU of the collector's process counts, in the kernel, too; that of the database does not.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psutil

from benchmarks.turns import machine, median, number, p99, table
from snapshot_assets.source.collecting.sampling import sample_by_psutil, sampler
from snapshot_assets.source.collecting.snapshot import Snapshot
from snapshot_assets.source.collecting.tables import SnapshotTables
from snapshot_assets.source.query import ProcessSource
from snapshot_assets_tests.support.servers import MariaDB

PROCESSES = 500


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.collect")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--turns", type=int, default=30)
    options = parser.parse_args(arguments)
    print(machine())
    with (
        tempfile.TemporaryDirectory(prefix="collect-") as folder,
        MariaDB(Path(folder)) as server,
        ProcessSource(server.url()) as source,
        idle_processes(options.processes - len(psutil.pids())),
    ):
        tables = SnapshotTables(source)
        sample, seconds = sampler(), count(int(time.time()))

        def sample_and_write() -> Snapshot:
            snapshot = sample("me", next(seconds))
            tables.write([snapshot])
            return snapshot

        works: dict[str, Callable[[], Snapshot]] = {
            "/proc": lambda: sample("me", next(seconds)),
            "psutil": lambda: sample_by_psutil("me", next(seconds)),
            "/proc, and written to MariaDB": sample_and_write,
        }
        for work in works.values():
            work()  # connections, caches
        spent: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(options.turns):
            for name, work in works.items():
                begun = time.process_time()
                size = len(work().processes)
                spent[name].append((time.process_time() - begun) * 1e3 * PROCESSES / size)
    rows = [[name, number(median(turns)), number(p99(turns))] for name, turns in spent.items()]
    header = ["", f"CPU ms per {PROCESSES} processes", "p99"]
    print(table(f"Snapshots of {size} processes", header, rows), flush=True)


@contextmanager
def idle_processes(number: int) -> Iterator[None]:
    """Processes that sleep; none if the number is not positive."""
    started = [subprocess.Popen(["sleep", "900"]) for _ in range(number)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
