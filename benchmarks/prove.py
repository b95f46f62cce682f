"""How long the proof of a day's host-days takes, beside their settling.

It settles a day of many hosts from a private MariaDB through a lake to a private Redis, then proves
all of it, in turns. It also reads some of the rows by each way that the proof could read them, and
recounts them in batches of several sizes. Both sides run without Dagster, whose events only make
the settling longer. The machine's other load affects both; look at the share.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from benchmarks import field_day
from benchmarks.settle_day import DATABASE_OPTIONS
from benchmarks.turns import machine, median, number, table
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.rules import AccountingRules, DocumentRules
from snapshot_assets.domain.time import Window
from snapshot_assets.lake.lake import Lake
from snapshot_assets.pipeline.proof.fetch import SecondSource
from snapshot_assets.pipeline.proof.prove import limits_of, prove_host_days
from snapshot_assets.pipeline.proof.recount import recount
from snapshot_assets.pipeline.publish import publish
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.pipeline.settle import (
    Defect,
    RowsKeeper,
    Step,
    account_day,
    settle,
)
from snapshot_assets.source.query import ProcessSource, SourceTable
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets.timing import Timer
from snapshot_assets_tests.support.servers import MariaDB, Redis

RULES, DOCUMENTS = AccountingRules(), DocumentRules()
TABLE = SourceTable(rss_unit="KiB")


@dataclass
class Spent:
    """Wall and CPU seconds of each turn."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Measure what happens inside."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(time.process_time() - cpu)

    def cells(self, rows: int) -> list[str]:
        """Medians, and the rows a second."""
        return [
            number(median(self.wall)),
            number(median(self.cpu)),
            f"{rows / median(self.wall):,.0f}",
        ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Load, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prove")
    parser.add_argument("--rows", type=int, default=1_000_000, help="about how many in the day")
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args(arguments)
    day = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    hosts = field_day.host_names(options.hosts)
    with tempfile.TemporaryDirectory(prefix="prove-") as name, ExitStack() as stack:
        folder = Path(name)
        database = stack.enter_context(MariaDB(folder / "db", DATABASE_OPTIONS))
        store = stack.enter_context(Redis(folder / "redis"))
        with database.connect("monitoring") as connection:
            start = Window.of_day(day).start
            field_day.load(connection, folder, hosts, options.rows, start)
        source = stack.enter_context(ProcessSource(database.url(), TABLE))
        writer = stack.enter_context(RedisWriter(url=store.url()))
        reader = stack.enter_context(RedisReader(url=store.url()))
        print(machine())
        host_days = [HostDay(day, host) for host in hosts]
        print(_side_by_side(source, writer, reader, folder, host_days, options.turns), flush=True)
        second = stack.enter_context(SecondSource(source.url, TABLE))
        print(_ways_to_read(source, second, host_days, options.turns), flush=True)
        print(_batches(second, host_days, options.turns), flush=True)


def _side_by_side(
    source: ProcessSource,
    writer: RedisWriter,
    reader: RedisReader,
    folder: Path,
    host_days: Sequence[HostDay],
    turns: int,
) -> str:
    settled, proven = Spent(), Spent()
    rows = 0
    for turn in range(turns):
        lake = Lake(str(folder / f"lake-{turn}"))
        with settled.turn():
            rows = _settle(source, lake, writer, host_days)
        with proven.turn():
            proofs = prove_host_days(source, lake, reader, host_days, RULES, DOCUMENTS, 9e9)
        verdicts = {proof.verdict for _, proof in proofs.found}
        if verdicts != {"match"} or proofs.unproven:
            sys.exit(f"not every host-day matches: {proofs}")
    share = median(proven.wall) / median(settled.wall)
    return table(
        f"{len(host_days)} host-days of {rows // len(host_days):,} rows",
        ["", "s", "CPU s", "rows/s"],
        [
            ["settle", *settled.cells(rows)],
            ["prove", *proven.cells(rows)],
            [
                "prove ÷ settle",
                f"{share:.2f}",
                f"{median(proven.cpu) / median(settled.cpu):.2f}",
                "",
            ],
        ],
    )


def _settle(
    source: ProcessSource, lake: Lake, writer: RedisWriter, host_days: Sequence[HostDay]
) -> int:
    timer = Timer()
    steps: dict[str, Step] = {
        "keep": RowsKeeper(source, lake, host_days, RULES, timer).keep,
        "account": lambda one: account_day(lake, one, RULES, timer),
        "publish": lambda one: publish(lake, writer, one, DOCUMENTS, timer),
    }
    rows = 0
    for done in settle(host_days, steps, timer):
        if isinstance(done, Defect):
            raise done.error
        rows += getattr(done.report, "rows", 0) if done.step == "keep" else 0
    return rows


def _ways_to_read(
    source: ProcessSource, second: SecondSource, host_days: Sequence[HostDay], turns: int
) -> str:
    some = host_days[: max(len(host_days) // 4, 1)]
    span = RULES.read_range(some[0].window)
    hosts = [one.host for one in some]
    row_by_row = SecondSource(source.url, TABLE)
    row_by_row.columnar = False
    ways: dict[str, Callable[[], Sized]] = {
        "settling, into pandas": lambda: source.read_sql(*span, hosts),
        "proof, into Arrow": lambda: second.rows(hosts, *span),
        "row by row (PyMySQL), into Arrow": lambda: row_by_row.rows(hosts[:1], *span),
    }
    cells = []
    for name, way in ways.items():
        spent, rows = Spent(), 0
        for _ in range(turns):
            with spent.turn():
                rows = len(way())
        million = 1e6 / max(rows, 1)
        cells.append(
            [name, number(median(spent.wall) * million), number(median(spent.cpu) * million)]
        )
    return table("A million rows, by each way to read them", ["", "s", "CPU s"], cells)


def _batches(second: SecondSource, host_days: Sequence[HostDay], turns: int) -> str:
    window, limits = host_days[0].window, limits_of(RULES)
    span = limits.read_range(window.start, window.end)
    cells = []
    for size in sorted({1, 4, 12, 25, len(host_days)}):
        if size > len(host_days):
            continue
        rows: pa.Table = second.rows([one.host for one in host_days[:size]], *span)
        spent = Spent()
        for _ in range(turns):
            with spent.turn():
                recount(rows, None, limits, window.start, window.end)
        per = 1e6 / max(rows.num_rows, 1)
        cells.append([f"{size}", number(median(spent.wall) * per), number(median(spent.cpu) * per)])
    return table("A million rows recounted, by host-days a batch", ["", "s", "CPU s"], cells)


if __name__ == "__main__":
    main()
