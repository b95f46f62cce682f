"""An invented day of process rows, in the table that sites have, loaded into a database.

Each host has about 150 processes of about 40 users and commands: idle kernel threads and daemons, a
dozen people with a shell each, jobs that use cores and gigabytes for hours, and short-lived
processes that appear in one snapshot, under pids that return. A snapshot is taken every 5 minutes
plus jitter; some hosts have a gap. The same arguments give the same rows.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pymysql

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]

CADENCE_SECONDS = 300
MARGIN_SECONDS = 3_600
SNAPSHOTS_PER_DAY = 86_400 // CADENCE_SECONDS
USERS_PER_HOST = 12
JOBS_PER_HOST = 54
JOB_SECONDS = 7_200.0
SHORT_PER_SNAPSHOT = 5

CREATE_TABLE = """
CREATE TABLE processes (
    pid INT NOT NULL, ppid INT, username VARCHAR(50), comm VARCHAR(100), cputimes INT, rss INT,
    pss INT, vsz BIGINT, thcount INT, etimes INT, bdstart VARCHAR(100), args TEXT,
    snapshot_time_epoch INT NOT NULL, snapshot_datetime DATETIME, host VARCHAR(20) NOT NULL,
    PRIMARY KEY (host, snapshot_time_epoch, pid)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
"""
CREATE_INDEX = "CREATE INDEX by_time ON processes (snapshot_time_epoch)"

_KERNEL = ["kthreadd", "kworker", "ksoftirqd", "migration", "rcu_sched", "kswapd0", "nfsd"]
_DAEMONS = [
    *(("root", comm) for comm in ("systemd", "sshd", "cron", "rsyslogd", "slurmd", "udevd")),
    *(("root", comm) for comm in ("containerd", "dockerd", "zabbix_agentd", "lldpd", "smartd")),
    *(("postgres", "postgres"), ("www-data", "nginx"), ("redis", "redis-server")),
    *(("ntp", "ntpd"), ("dbus", "dbus-daemon"), ("munge", "munged"), ("rpc", "rpcbind")),
]
_PEOPLE = [f"{name}{digit}" for name in ("ana", "ben", "chen", "dora", "emil") for digit in "12345"]
_JOBS = ["python", "R", "julia", "java", "matlab", "gromacs", "blastn", "jupyter-lab"]
_SHORT = ["cc1plus", "sh", "git", "rsync", "awk", "gzip"]


@dataclass(frozen=True, slots=True)
class _Processes:
    """One entry per process of a host; ``cores`` is its mean use while it lives."""

    pid: _Ints
    username: list[str]
    comm: list[str]
    born: _Ints
    died: _Ints
    cores: _Floats
    rss_kib: _Floats


def host_names(count: int) -> list[str]:
    """The hosts, sorted."""
    return [f"node{number:04d}" for number in range(1, count + 1)]


def load(
    connection: pymysql.Connection, folder: Path, hosts: Sequence[str], rows: int, start: int
) -> int:
    """Create the table and fill it with the day and an hour on both sides.

    Args:
        connection: to the database that gets the table; its server reads the files.
        folder: holds one file at a time.
        hosts: names of the hosts.
        rows: about how many rows the day should have.
        start: epoch second of the start of the day.

    Returns:
        Number of rows in the day itself.
    """
    per_snapshot = round(rows / len(hosts) / SNAPSHOTS_PER_DAY)
    loaded = 0
    with connection.cursor() as cursor:
        cursor.execute(CREATE_TABLE)
        cursor.execute("SET unique_checks = 0, foreign_key_checks = 0")
        files = _files(folder, hosts, per_snapshot, start)
        for number, file in enumerate(files, 1):
            loaded += cursor.execute(
                f"LOAD DATA INFILE '{file.as_posix()}' INTO TABLE processes CHARACTER SET utf8mb4 "
                "FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' ESCAPED BY ''"
            )
            file.unlink()
            _progress(f"loaded {number} of {len(hosts)} hosts, {loaded:,} rows")
        _progress(f"loaded {loaded:,} rows, indexing", end="\n")
        cursor.execute(CREATE_INDEX)
        cursor.execute("ANALYZE TABLE processes")
        cursor.execute(
            "SELECT COUNT(*) FROM processes WHERE snapshot_time_epoch >= %s "
            "AND snapshot_time_epoch < %s",
            (start, start + 86_400),
        )
        ((in_day,),) = cursor.fetchall()
    return int(in_day)


def _progress(text: str, end: str = "") -> None:
    if sys.stderr.isatty() or end:
        print(f"\r{text}", end=end, file=sys.stderr, flush=True)


def _files(folder: Path, hosts: Sequence[str], per_snapshot: int, start: int) -> Iterator[Path]:
    """One CSV file per host; a thread writes the next file while the database loads this one."""

    def written(number: int) -> Path:
        file = folder / f"{hosts[number]}.csv"
        options = pyarrow.csv.WriteOptions(include_header=False)
        table = _host_rows(hosts[number], np.random.default_rng(number), per_snapshot, start)
        pyarrow.csv.write_csv(table, file, options)
        return file

    with ThreadPoolExecutor(1) as writer:
        ahead = writer.submit(written, 0)
        for following in range(1, len(hosts)):
            file = ahead.result()
            ahead = writer.submit(written, following)
            yield file
        yield ahead.result()


def _host_rows(host: str, random: np.random.Generator, per_snapshot: int, start: int) -> pa.Table:
    """A host's rows in the order of the primary key."""
    times = _snapshot_times(random, start)
    processes = _processes(random, times, per_snapshot)
    alive = (processes.born <= times[:, None]) & (times[:, None] < processes.died)
    snapshot, process = np.nonzero(alive)
    order = np.lexsort((processes.pid[process], snapshot))
    time, process = times[snapshot[order]], process[order]
    cpu, rss = _cpu_and_rss(random, processes, time, process)
    texts = _texts(host, random, processes)
    pick = {name: pa.array(values).take(pa.array(process)) for name, values in texts.items()}
    threads = random.integers(1, 32, len(processes.pid))[process]
    columns = {
        "pid": processes.pid[process],
        "ppid": np.where(processes.pid[process] > 1, 1, 0),
        "username": pick["username"],
        "comm": pick["comm"],
        "cputimes": cpu,
        "rss": rss,
        "pss": rss * 4 // 5,
        "vsz": rss * 3 + 200_000,
        "thcount": threads,
        "etimes": time - processes.born[process],
        "bdstart": pick["bdstart"],
        "args": pick["args"],
        "snapshot_time_epoch": time,
        "snapshot_datetime": pa.array(time.astype("datetime64[s]")),
        "host": pick["host"],
    }
    return pa.table(columns)


def _snapshot_times(random: np.random.Generator, start: int) -> _Ints:
    """Times every five minutes plus up to ten seconds; a third of the hosts have a gap."""
    due = np.arange(start - MARGIN_SECONDS, start + 86_400 + MARGIN_SECONDS, CADENCE_SECONDS)
    times = due + random.integers(0, 11, len(due))
    if random.random() < 1 / 3:
        gap = start + int(random.integers(3_600, 80_000))
        times = times[(times < gap) | (times >= gap + int(random.integers(600, 3_600)))]
    return times


def _processes(random: np.random.Generator, times: _Ints, per_snapshot: int) -> _Processes:
    people = random.choice(_PEOPLE, USERS_PER_HOST, replace=False).tolist()
    jobs_at_once = round(JOBS_PER_HOST * JOB_SECONDS / 86_400)
    system = per_snapshot - USERS_PER_HOST - jobs_at_once - SHORT_PER_SNAPSHOT
    parts = [
        _system(random, times, max(system, 1)),
        _shells(random, times, people),
        _jobs(random, times, people),
        _short(random, times, people),
    ]
    return _Processes(
        pid=np.concatenate([part.pid for part in parts]),
        username=[name for part in parts for name in part.username],
        comm=[name for part in parts for name in part.comm],
        born=np.concatenate([part.born for part in parts]),
        died=np.concatenate([part.died for part in parts]),
        cores=np.concatenate([part.cores for part in parts]),
        rss_kib=np.concatenate([part.rss_kib for part in parts]),
    )


def _system(random: np.random.Generator, times: _Ints, count: int) -> _Processes:
    """Two thirds kernel threads without memory, one third daemons; nearly idle."""
    kinds = [("root", _KERNEL[i % len(_KERNEL)]) for i in range(count * 2 // 3)]
    kinds += [_DAEMONS[i % len(_DAEMONS)] for i in range(count - len(kinds))]
    kernel = np.array([comm in _KERNEL for _, comm in kinds])
    busy = random.random(count) < 0.15
    return _Processes(
        pid=np.arange(1, count + 1),
        username=[username for username, _ in kinds],
        comm=[comm for _, comm in kinds],
        born=np.full(count, times[0] - 40 * 86_400),
        died=np.full(count, times[-1] + 1),
        cores=np.where(busy, random.uniform(0.001, 0.02, count), 1e-6),
        rss_kib=np.where(kernel, 0, random.lognormal(9.0, 0.7, count)),
    )


def _shells(random: np.random.Generator, times: _Ints, people: list[str]) -> _Processes:
    count = len(people)
    return _Processes(
        pid=np.arange(2_000, 2_000 + count),
        username=people,
        comm=["bash"] * count,
        born=times[0] - random.integers(3_600, 5 * 86_400, count),
        died=np.full(count, times[-1] + 1),
        cores=np.full(count, 1e-6),
        rss_kib=random.uniform(4_000, 12_000, count),
    )


def _jobs(random: np.random.Generator, times: _Ints, people: list[str]) -> _Processes:
    """Minutes to hours, up to eight cores, up to tens of GB."""
    span = int(times[-1] - times[0])
    lead = int(3 * JOB_SECONDS)
    count = round(JOBS_PER_HOST * (span + lead) / 86_400)
    born = times[0] - lead + random.integers(0, span + lead, count)
    return _Processes(
        pid=np.arange(3_000, 3_000 + count),
        username=random.choice(people, count).tolist(),
        comm=random.choice(_JOBS, count).tolist(),
        born=born,
        died=born + random.exponential(JOB_SECONDS, count).astype(np.int64) + 60,
        cores=random.choice([0.01, 0.3, 1.0, 1.0, 4.0, 8.0], count),
        rss_kib=random.lognormal(13.5, 1.5, count),
    )


def _short(random: np.random.Generator, times: _Ints, people: list[str]) -> _Processes:
    """Processes of one snapshot each; after two hundred, the pids start again."""
    sampled = np.repeat(times, random.poisson(SHORT_PER_SNAPSHOT, len(times)))
    count = len(sampled)
    return _Processes(
        pid=20_000 + np.arange(count) % 200,
        username=random.choice([*people[:3], "root"], count).tolist(),
        comm=random.choice(_SHORT, count).tolist(),
        born=sampled - random.integers(0, 120, count),
        died=sampled + 1,
        cores=random.uniform(0.05, 1.0, count),
        rss_kib=random.uniform(2_000, 60_000, count),
    )


def _cpu_and_rss(
    random: np.random.Generator, processes: _Processes, time: _Ints, process: _Ints
) -> tuple[_Ints, _Ints]:
    """CPU seconds that rise at a varying rate and never fall; memory in whole pages."""
    count = len(processes.pid)
    period = random.uniform(1_800, 20_000, count)[process] / (2 * np.pi)
    phase = random.uniform(0, 2 * np.pi, count)[process]
    swing = random.uniform(0, 0.9, count)[process]
    born = processes.born[process]
    wave = np.sin(time / period + phase) - np.sin(born / period + phase)
    cpu = processes.cores[process] * np.maximum(time - born + swing * period * wave, 0)
    breathing = 1 + 0.2 * swing * np.sin(time / period)
    pages = (processes.rss_kib[process] * breathing / 4).astype(np.int64)
    return cpu.astype(np.int64), pages * 4


def _texts(host: str, random: np.random.Generator, processes: _Processes) -> dict[str, list[str]]:
    """The texts of each process; command lines have about a hundred characters."""
    words = random.integers(0, 2**63, (len(processes.pid), 12)).tolist()
    lengths = random.integers(4, 12, len(processes.pid)).tolist()
    args = [
        f"/usr/bin/{comm} " + " ".join(f"--option={word:x}" for word in drawn[:length])
        for comm, drawn, length in zip(processes.comm, words, lengths, strict=True)
    ]
    born = np.datetime_as_string(processes.born.astype("datetime64[s]"), unit="m")
    return {
        "username": processes.username,
        "comm": processes.comm,
        "bdstart": [str(text)[-5:] for text in born],
        "args": args,
        "host": [host] * len(args),
    }
