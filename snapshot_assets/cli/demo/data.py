"""The invented machines of a small research group: who runs what on which host at any time.

Everything is a pure function of host and time. So the demo can make a week in seconds and continue
it minute by minute. Only the demo uses this module.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from zlib import crc32

import numpy as np

from snapshot_assets.domain.time import DAY_SECONDS

GB = 10**9


@dataclass(frozen=True, slots=True)
class Machine:
    """An invented host: its cores, its memory and how busy its users keep it (0 to 1)."""

    name: str
    cores: int
    memory_gb: int
    busy: float


MACHINES = (
    Machine("alice", 64, 512, 0.7),
    Machine("bob", 64, 512, 0.4),
    Machine("carol", 128, 1024, 0.8),
    Machine("dave", 32, 256, 0.25),
    Machine("erin", 32, 256, 0.5),
    Machine("login", 16, 64, 0.3),
)

_USERS = ("ana", "ben", "chen", "dora", "emil", "fatima", "george", "hana", "ivan", "julia")
# command, cores, GB, median minutes
_WORK = (
    ("python", 4.0, 24.0, 90),
    ("python", 1.0, 3.0, 25),
    ("R", 1.0, 12.0, 120),
    ("julia", 8.0, 16.0, 60),
    ("bwa", 16.0, 8.0, 45),
    ("samtools", 2.0, 2.0, 8),
    ("java", 3.0, 20.0, 240),
    ("MATLAB", 2.0, 10.0, 150),
    ("gcc", 1.0, 0.4, 1),
    ("rsync", 0.4, 0.1, 4),
)
_DAEMONS = (
    ("root", "systemd", 0.001, 0.02),
    ("root", "sshd", 0.002, 0.01),
    ("root", "kworker/0:1", 0.004, 0.0),
    ("root", "cron", 0.0001, 0.005),
    ("root", "node_exporter", 0.01, 0.03),
    ("messagebus", "dbus-daemon", 0.0005, 0.006),
    ("systemd+", "systemd-resolve", 0.0005, 0.02),
    ("ana", "jupyter-lab", 0.01, 0.3),
    ("chen", "rsession", 0.0, 31.0),  # an idle session that holds its data for days
    ("dora", "code-server", 0.03, 0.9),
)
# One host is silent for two hours on one day of each week.
_OUTAGE = ("dave", 10 * 3600, 12 * 3600)


@dataclass(frozen=True, slots=True)
class _Jobs:
    """Processes that start on one day, as columns."""

    start: np.ndarray
    end: np.ndarray
    cores: np.ndarray
    memory: np.ndarray
    pid: np.ndarray
    user: list[str]
    comm: list[str]


@lru_cache(maxsize=128)
def _jobs(machine: Machine, day: int) -> _Jobs:
    rng = np.random.default_rng(crc32(f"{machine.name}/{day}".encode()))
    weekend = (day + 4) % 7 in (0, 6)
    count = int(60 * machine.busy * (0.5 if weekend else 1.0)) + 8
    kind = rng.integers(0, len(_WORK), count)
    # Three quarters of the jobs start around half past one, the others at any hour.
    hour = np.where(
        rng.random(count) < 0.75, rng.normal(13.5, 3.0, count), rng.uniform(0, 24, count)
    )
    start = day * DAY_SECONDS + np.clip(hour, 0, 23.9) * 3600
    minutes = np.array([_WORK[k][3] for k in kind]) * rng.lognormal(0.0, 0.8, count)
    scale = machine.cores / 64
    return _Jobs(
        start=np.floor(start),
        end=np.floor(start + np.clip(minutes, 0.4, 60 * 30) * 60),
        cores=np.array([_WORK[k][1] for k in kind]) * np.clip(scale, 0.25, 2),
        memory=np.array([_WORK[k][2] for k in kind]) * rng.lognormal(0, 0.4, count) * scale * GB,
        pid=rng.integers(2_000, 4_000_000, count),
        user=[_USERS[int(u)] for u in rng.integers(0, len(_USERS), count)],
        comm=[_WORK[k][0] for k in kind],
    )


def demo_rows(machine: Machine, epoch: int) -> Iterator[dict[str, Any]]:
    """The rows of one snapshot of a host; no rows while the host is down."""
    name, down, up = _OUTAGE
    day = epoch // DAY_SECONDS
    if machine.name == name and day % 7 == 2 and down <= epoch % DAY_SECONDS < up:
        return
    # The host was booted at most a fortnight ago.
    boot = (day // 14) * 14 * DAY_SECONDS - 3600
    for i, (user, comm, cores, memory) in enumerate(_DAEMONS):
        age = epoch - boot
        yield _row(machine, epoch, 100 + i, user, comm, (cores * age, int(memory * GB), age))
    seen: set[int] = set()
    for earlier in (2, 1, 0):
        jobs = _jobs(machine, day - earlier)
        for j in np.flatnonzero((jobs.start <= epoch) & (epoch < jobs.end)):
            pid = int(jobs.pid[j])
            if pid in seen:
                continue
            seen.add(pid)
            age = int(epoch - jobs.start[j])
            # The load swings by a third around its mean; its integral never falls.
            swing = 1200 * 0.33 * (1 - math.cos(age / 1200))
            growth = 1 - math.exp(-age / 900)
            used = (
                round(float(jobs.cores[j]) * (age + swing), 2),
                int(jobs.memory[j] * (0.1 + 0.9 * growth)),
                age,
            )
            yield _row(machine, epoch, pid, jobs.user[j], jobs.comm[j], used)


def _row(
    machine: Machine, epoch: int, pid: int, user: str, comm: str, used: tuple[float, int, int]
) -> dict[str, Any]:
    cputimes, rss, etimes = used
    return {
        "host": machine.name,
        "snapshot_time_epoch": epoch,
        "pid": pid,
        "username": user,
        "comm": comm,
        "cputimes": round(cputimes, 2),
        "rss": rss // 4096 * 4096,  # memory comes in pages
        "etimes": etimes,
    }


def snapshot_times(machine: Machine, start: int, end: int) -> Iterator[int]:
    """When the host's collector ran in ``[start, end)``: every five minutes, a little late."""
    first = -(-start // 300) * 300
    for due in range(first, end, 300):
        late = crc32(f"{machine.name}@{due}".encode()) % 20
        if due + late < end:
            yield due + late
