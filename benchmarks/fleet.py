"""An invented fleet of hosts in Redis, and the same entries in a summary table of a database.

Each bucket has six CPU and five memory entries: jobs last for hours, CPU is noisy, memory hardly
changes. The kernel counts a little more than the processes used. Documents have about 1.4 kB. Five
hosts are invented and written as the product writes them: the last half day as live, the days
before as settled. Redis copies these hosts under other names to make further hosts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pymysql

from snapshot_assets.domain.measures import COUNTS, MEASURES, Measure
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS, Window
from snapshot_assets.domain.usage import MICRO, Bools, Entries, Ints, MachineCount, Usage
from snapshot_assets.store.layout import Retention, days_of
from snapshot_assets.store.writing.frames import SUMMARIES
from snapshot_assets.store.writing.writer import SnapshotWriter

INVENTED = 5
# Long enough that nothing expires during a measurement.
KEPT = Retention(*[400 * DAY_SECONDS] * 4)
_JOBS = {"cpu": 6, "mem": 5}
_CAPACITY: dict[Measure, int] = {"cpu": 64, "mem": 512}
_POOL = 30
_BUCKETS_PER_COPY = 50

_COPY_DOCUMENTS = """
for _, key in ipairs(KEYS) do
  for i = tonumber(ARGV[1]), tonumber(ARGV[2]) - 1 do
    local source = string.format('node%03d', i % ARGV[3])
    redis.call('HSET', key, string.format('node%03d', i), redis.call('HGET', key, source))
  end
end
"""
_CREATE_TABLE = """
CREATE TABLE load_summary (
    snapshot_datetime DATETIME NOT NULL, host VARCHAR(20) NOT NULL, username VARCHAR(50),
    comm VARCHAR(100), cpu_norm DOUBLE, rss DOUBLE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
"""
_INDEX_TABLE = """
ALTER TABLE load_summary ADD INDEX (host, snapshot_datetime), ADD INDEX (snapshot_datetime)
"""


def name(number: int) -> str:
    """The name of a host."""
    return f"node{number:03}"


def invent(host: str, window: Window, seed: int) -> Usage:
    """The invented usage of a host in a window."""
    random = np.random.default_rng(seed)
    starts = np.array(window.buckets(), dtype=np.int64)
    count = len(starts)
    entries: dict[Measure, Entries] = {}
    totals: dict[Measure, Ints] = {}
    for measure in MEASURES:
        owner = np.empty((count, _JOBS[measure]), dtype=np.int64)
        running = random.choice(_POOL, _JOBS[measure], replace=False)
        for i in range(count):
            if random.random() < 0.15:
                running[random.integers(len(running))] = random.choice(
                    np.setdiff1d(np.arange(_POOL), running)
                )
            owner[i] = np.sort(running)
        base = random.lognormal(0.5, 1.2, _POOL)[owner]
        noise = random.standard_normal(owner.shape)
        if measure == "mem":
            noise = np.where(random.random(owner.shape) < 0.1, noise, 0) * 0.1
        micro = (base * MICRO * np.abs(1 + 0.1 * noise)).astype(np.int64).ravel() + 60_000
        entries[measure] = Entries(
            bucket_index=np.repeat(np.arange(count), _JOBS[measure]),
            owner_index=owner.ravel(),
            micro=micro,
        )
        rest = random.integers(100_000, 300_000, count)
        totals[measure] = micro.reshape(count, -1).sum(axis=1) + rest
    commands = ("python", "R", "julia")
    owners = tuple((f"user{i // 3:02}", commands[i % 3]) for i in range(_POOL))
    return Usage(
        hosts=(host,),
        owners=tuple(sorted(owners)),
        host_index=np.zeros(count, dtype=np.int64),
        start=starts,
        coverage=np.full(count, MICRO),
        counts=dict.fromkeys(COUNTS, np.full(count, 5)),
        settled=np.ones(count, dtype=np.bool_),
        totals=totals,
        entries=entries,
        machine={
            measure: MachineCount(
                used=totals[measure] + random.integers(0, 500_000, count),
                capacity=np.full(count, _CAPACITY[measure] * MICRO),
            )
            for measure in MEASURES
        },
    )


class Fleet:
    """Hosts in a Redis; more can be added.

    Args:
        writer: to the Redis.
        days: number of whole days.
        end: epoch second, noon of the last day.
    """

    def __init__(self, writer: SnapshotWriter, days: int, end: int) -> None:
        self._writer = writer
        midnight = end // DAY_SECONDS * DAY_SECONDS
        self.window = Window(midnight - days * DAY_SECONDS, end)
        self.days = days
        self.hosts = 0
        self.usages = [invent(name(i), self.window, i) for i in range(INVENTED)]
        self._settled = Window(self.window.start, midnight)
        self._live = Window(midnight, end)

    def grow(self, hosts: int) -> None:
        """Add hosts until there are so many."""
        if not self.hosts:
            self._write()
        self._copy(self.hosts, hosts)
        self.hosts = hosts

    def _write(self) -> None:
        for i, usage in enumerate(self.usages):
            settled = usage.start < self._settled.end
            self._writer.replace([name(i)], self._settled, usage.select(settled), "settled")
            live = as_live(usage.select(~settled))
            self._writer.replace([name(i)], self._live, live, "live")
        self.hosts = INVENTED

    def _copy(self, first: int, last: int) -> None:
        keys, execute = self._writer.keys, self._writer.base.execute
        buckets = self.window.buckets()
        for chunk in range(0, len(buckets), _BUCKETS_PER_COPY):
            found = [keys.document(b) for b in buckets[chunk : chunk + _BUCKETS_PER_COPY]]
            execute([("EVAL", _COPY_DOCUMENTS, len(found), *found, first, last, INVENTED)])
        for day in days_of(self.window):
            for i in range(first, last):
                source, copy = name(i % INVENTED), name(i)
                execute(
                    [
                        ("COPY", keys.frame(source, day), keys.frame(copy, day)),
                        ("SADD", keys.hosts_of_day(day), copy),
                    ]
                )
                for resolution in SUMMARIES:
                    summaries = [keys.summary(host, resolution, day) for host in (source, copy)]
                    execute([("COPY", *summaries)])


def as_live(usage: Usage) -> Usage:
    """The same usage, marked as live."""
    return replace(usage, settled=np.zeros(len(usage), dtype=np.bool_))


def load_table(
    connection: pymysql.Connection, folder: Path, fleet: Fleet, hosts: Sequence[int], start: int
) -> int:
    """Load the usage of hosts from ``start`` on into the summary table, ordered by time.

    Returns:
        Number of rows loaded.
    """
    loaded = 0
    with connection.cursor() as cursor:
        cursor.execute("SHOW TABLES LIKE 'load_summary'")
        fresh = not cursor.fetchall()
        if fresh:
            cursor.execute(_CREATE_TABLE)
        rows = [_rows(usage) for usage in fleet.usages]
        for day in days_of(Window(start, fleet.window.end)):
            days = [
                {
                    column: values[(found["start"] >= day) & (found["start"] < day + DAY_SECONDS)]
                    for column, values in found.items()
                }
                for found in rows
            ]
            chosen = [days[i % INVENTED] for i in hosts]
            sizes = [len(found["start"]) for found in chosen]
            whole = {c: np.concatenate([found[c] for found in chosen]) for c in chosen[0]}
            order = np.argsort(whole["start"], kind="stable")
            host = np.repeat([name(i) for i in hosts], sizes)[order]
            columns = {c: values[order] for c, values in whole.items()}
            times = pa.array(columns.pop("start").astype("datetime64[s]"))
            file = folder / "load_summary.csv"
            options = pyarrow.csv.WriteOptions(include_header=False)
            table = pa.table({"start": times, "host": host} | columns)
            pyarrow.csv.write_csv(table, file, options)
            loaded += cursor.execute(
                f"LOAD DATA INFILE '{file.as_posix()}' INTO TABLE load_summary CHARACTER SET "
                "utf8mb4 FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' ESCAPED BY ''"
            )
            file.unlink()
        if fresh:
            cursor.execute(_INDEX_TABLE)
        cursor.execute("ANALYZE TABLE load_summary")
    return loaded


def _rows(usage: Usage) -> dict[str, np.ndarray]:
    """A row for each bucket and (username, comm) that either measure lists."""
    width = len(usage.owners)
    keys = {m: e.bucket_index * width + e.owner_index for m, e in usage.entries.items()}
    listed: Bools = np.zeros(len(usage) * width, dtype=np.bool_)
    amounts = {}
    for measure in MEASURES:
        listed[keys[measure]] = True
        dense = np.zeros(len(listed))
        dense[keys[measure]] = usage.entries[measure].micro / MICRO
        amounts[measure] = dense
    at = np.flatnonzero(listed)
    names = np.array(usage.owners)
    return {
        "start": usage.start[at // width],
        "username": names[at % width, 0],
        "comm": names[at % width, 1],
        "cpu_norm": amounts["cpu"][at],
        "rss": amounts["mem"][at],
    }


def newest(window: Window) -> int:
    """The start of the window's last bucket."""
    return window.end - BUCKET_SECONDS
