"""How long it takes to read documents and frames, compared with a lower bound and with rivals.

A private Redis holds 30 days of 5, 50 and 200 hosts (see :mod:`benchmarks.fleet`): 29 and a half
days settled and half a day live, so that 24 hours are half settled and half live. The rivals are:

* ``wire``, the lower bound: the same requests, packed beforehand, over a bare socket, and the same
  bytes through orjson; for frames the bytes alone;
* ``KEYS and GET``: the reader that this product replaces, which sends ``KEYS *`` and then gets one
  key at a time; each of its keys is a bucket of one host;
* ``summary table``: the same entries in MariaDB, indexed by host and time and by time, through
  PyMySQL and ``pandas.read_sql``. With more than 50 hosts, the further ones have a day and a half.

All forms of a row take turns. Python's garbage collector is on. The caches are warm, and there is
no network.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pymysql

from benchmarks.fleet import KEPT, Fleet, load_table, name, newest
from benchmarks.rivals import Wire, keys_and_gets, requests_of, set_keys, summary_table
from benchmarks.settle_day import DATABASE_OPTIONS
from benchmarks.turns import Work, machine, median, number, p99, table, taking_turns
from snapshot_assets.domain.documents import documents
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS
from snapshot_assets.store.reading.async_reader import AsyncRedisReader
from snapshot_assets.store.reading.documents import DocumentPlans
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets.store.writing.writer import SnapshotWriter
from snapshot_assets_tests.support.servers import MariaDB, Redis

MOST_HOSTS_IN_TABLE = 50
HOST = name(0)
PAIR = ("username", "comm")
FORMS: dict[str, tuple[Any, str]] = {
    "frame, total": (None, "5min"),
    "frame by username": ("username", "5min"),
    "frame by both": (PAIR, "5min"),
}
COARSE: dict[str, tuple[Any, str]] = {
    "hours, total": (None, "hour"),
    "hours by username": ("username", "hour"),
    "days by username": ("username", "day"),
}
HEADER = ["form", "ms", "p99", "async ms", "wire ms", "times the wire"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Load, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.read_store")
    parser.add_argument("--hosts", type=int, nargs="*", default=[5, 50, 200])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=2.5, help="for each row's turns, about")
    options = parser.parse_args(arguments)
    noon = int(time.time()) // DAY_SECONDS * DAY_SECONDS + DAY_SECONDS // 2
    curve: dict[str, list[str]] = {}
    print(machine())
    with (
        tempfile.TemporaryDirectory(prefix="read-store-") as folder,
        MariaDB(Path(folder) / "db", DATABASE_OPTIONS) as database,
        Redis(Path(folder) / "redis") as server,
        SnapshotWriter(port=server.port, retention=KEPT, clock=lambda: noon) as writer,
        closing(database.connect("monitoring")) as connection,
    ):
        fleet = Fleet(writer, options.days, noon)
        for hosts in options.hosts:
            _load(fleet, hosts, server, connection, Path(folder))
            bench = _Bench(server, connection, fleet, options.seconds)
            for form, cell in bench.tables():
                curve.setdefault(form, []).append(cell)
            bench.close()
    header = ["one host's reads, ms", *(f"{hosts} hosts loaded" for hosts in options.hosts)]
    print(table("The same with more loaded", header, [[k, *v] for k, v in curve.items()]))


def _load(
    fleet: Fleet, hosts: int, server: Redis, connection: pymysql.Connection, folder: Path
) -> None:
    begun = time.perf_counter()
    before = fleet.hosts
    fleet.grow(hosts)
    bodies = documents(fleet.usages[0].select(fleet.usages[0].start < fleet.window.start + 300))
    # Only the documents of one host are decoded; those of the others may be empty.
    keys = {name(i): bodies["body"].iloc[0] if i == 0 else b"" for i in range(before, hosts)}
    with server.client() as client:
        set_keys(client, fleet.window, keys)
    if hosts <= MOST_HOSTS_IN_TABLE:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS load_summary")
        rows = load_table(connection, folder, fleet, range(hosts), fleet.window.start)
    else:
        start = newest(fleet.window) - DAY_SECONDS
        rows = load_table(connection, folder, fleet, range(before, hosts), start)
    seconds = time.perf_counter() - begun
    print(f"\n{hosts} hosts: {rows:,} rows put into the table; all loaded in {seconds:.0f} s")


class _Bench:
    """All rows of one number of hosts."""

    def __init__(
        self, server: Redis, connection: pymysql.Connection, fleet: Fleet, seconds: float
    ) -> None:
        self._fleet = fleet
        self._seconds = seconds
        self._connection = connection
        options: dict[str, Any] = {"port": server.port, "clock": lambda: fleet.window.end}
        self._reader = RedisReader(**options, retention=KEPT)
        self._async = AsyncRedisReader(**options, retention=KEPT)
        self._loop = asyncio.new_event_loop()
        self._wire = Wire(server.port)
        self._old = server.client()

    def close(self) -> None:
        """Close the connections."""
        self._loop.run_until_complete(self._async.close())
        self._loop.close()
        self._wire.close()
        self._reader.close()
        self._old.close()

    def tables(self) -> list[tuple[str, str]]:
        """Print a table for each range, and return the medians of one host."""
        last = newest(self._fleet.window)
        days = self._fleet.days
        curve = []
        for title, host, seconds in (
            ("one host, 24 h", HOST, DAY_SECONDS),
            (f"one host, {days} days", HOST, days * DAY_SECONDS),
            ("all hosts, newest bucket", None, BUCKET_SECONDS),
            ("all hosts, 24 h", None, DAY_SECONDS),
        ):
            end = dt.datetime.fromtimestamp(last, dt.UTC)
            start = end - dt.timedelta(seconds=seconds - BUCKET_SECONDS)
            forms = FORMS | (COARSE if seconds > DAY_SECONDS else {})
            rows = self._rows(host, start, end, forms)
            loaded = f"{self._fleet.hosts} hosts loaded: {title}"
            print(table(loaded, HEADER, rows), flush=True)
            if host is not None:
                curve += [(f"{title.partition(', ')[2]}, {row[0]}", row[1]) for row in rows]
        return curve

    def _rows(
        self, host: str | None, start: dt.datetime, end: dt.datetime, forms: dict[str, Any]
    ) -> list[list[str]]:
        works, labels = self._ours(host, start, end, forms)
        spent = taking_turns(works, self._seconds * (3 if host is None else 1))
        rows = []
        for form in labels:
            ours, bare = spent[form], median(spent[f"{form}/wire"])
            cells = [median(ours), p99(ours), median(spent[f"{form}/async"]), bare]
            rows.append([form, *map(number, cells), f"{median(ours) / bare:.2f}"])
        others: dict[str, Work] = {
            "summary table": lambda: summary_table(self._connection, host, start, end)
        }
        if host is not None:
            others["KEYS and GET"] = lambda: keys_and_gets(self._old, host, start)
        for form, turns in taking_turns(others, self._seconds, 2, 20).items():
            rows.append([form, number(median(turns)), number(p99(turns)), "", "", ""])
        return rows

    def _ours(
        self, host: str | None, start: dt.datetime, end: dt.datetime, forms: dict[str, Any]
    ) -> tuple[dict[str, Work], list[str]]:
        """Three works for each form: ours, with asyncio, and the wire alone."""
        reader, run = self._reader, self._loop.run_until_complete
        expected = reader.get_data(host, start, end)
        if len(expected) != (end - start) // dt.timedelta(seconds=BUCKET_SECONDS) + 1:
            raise RuntimeError("some buckets are missing")
        plans: dict[str, tuple[Any, Work, Work]] = {
            "documents": (
                reader._plans(DocumentPlans).data(host, start, end, "5min"),
                lambda: reader.get_data(host, start, end),
                lambda: run(self._async.get_data(host, start, end)),
            )
        }
        for form, (by, resolution) in forms.items():
            given = {"by": by, "resolution": resolution}
            plans[form] = (
                reader._frames.frames(host, start, end, ("cpu",), by, resolution),
                partial(reader.get_frame, host, start, end, **given),
                partial(self._wait_for_frame, host, start, end, **given),
            )
        works: dict[str, Work] = {}
        for form, (plan, ours, with_asyncio) in plans.items():
            requests = requests_of(plan, reader.base.client, reader.base.patience)
            decode = form == "documents"
            works[form] = ours
            works[f"{form}/async"] = with_asyncio
            works[f"{form}/wire"] = partial(self._wire.read, requests, decode)
        return works, list(plans)

    def _wait_for_frame(self, *arguments: Any, **options: Any) -> Any:
        return self._loop.run_until_complete(self._async.get_frame(*arguments, **options))


if __name__ == "__main__":
    main()
