"""The invented machines of a small research group: who runs what on which host at any time.

Everything is a pure function of host and time. So the demo can make a week in seconds and continue
it minute by minute. Only the demo uses this module.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

import numpy as np

from snapshot_assets.domain.time import DAY_SECONDS
from snapshot_assets.source.collecting import snapshot as collected
from snapshot_assets.source.collecting.snapshot import Process, Snapshot

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
_DAEMON_CORES = sum(cores for _, _, cores, _ in _DAEMONS)
# One host is silent for two hours on one day of each week.
_OUTAGE = ("dave", 10 * 3600, 12 * 3600)
# The kernel counts processes, too, that begin and end between two snapshots.
_KERNEL_SHARE = 1.05


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


def demo_snapshot(machine: Machine, epoch: int) -> Snapshot:
    """One snapshot of a host, with the kernel's own count; empty while the host is down."""
    name, down, up = _OUTAGE
    day = epoch // DAY_SECONDS
    if machine.name == name and day % 7 == 2 and down <= epoch % DAY_SECONDS < up:
        return Snapshot(machine.name, epoch, ())
    # The host was booted at most a fortnight ago.
    boot = (day // 14) * 14 * DAY_SECONDS - 3600
    processes = [
        _process(100 + i, user, comm, cores * (epoch - boot), memory * GB, epoch - boot)
        for i, (user, comm, cores, memory) in enumerate(_DAEMONS)
    ]
    # By pid: of two jobs with one number, the older one counts.
    running: dict[int, Process] = {}
    cpu_seconds = _used_by_ended(machine, boot // DAY_SECONDS - 2, day - 2)
    for earlier in (2, 1, 0):
        jobs = _jobs(machine, day - earlier)
        used = _cpu_seconds(jobs, epoch)
        cpu_seconds += float(used.sum())
        for j in np.flatnonzero((jobs.start <= epoch) & (epoch < jobs.end)):
            age = int(epoch - jobs.start[j])
            memory = float(jobs.memory[j]) * (0.1 + 0.9 * (1 - math.exp(-age / 900)))
            pid = int(jobs.pid[j])
            who = jobs.user[j], jobs.comm[j]
            running.setdefault(pid, _process(pid, *who, float(used[j]), memory, age))
    processes += running.values()
    cpu_seconds += _DAEMON_CORES * (epoch - boot)
    memory_used = sum(process.rss for process in processes) + machine.memory_gb * GB // 50
    kernel = collected.Machine(
        cores=machine.cores,
        cpu_seconds=round(cpu_seconds * _KERNEL_SHARE, 2),
        memory_bytes=machine.memory_gb * GB,
        memory_used_bytes=min(memory_used, machine.memory_gb * GB),
        boot_epoch=boot,
    )
    return Snapshot(machine.name, epoch, processes, kernel)


def _process(
    pid: int, user: str, comm: str, cpu_seconds: float, memory: float, age: int
) -> Process:
    rss = int(memory) // 4096 * 4096  # memory comes in pages
    return Process(pid, user, comm, round(cpu_seconds, 2), rss, age)


def _cpu_seconds(jobs: _Jobs, epoch: int) -> np.ndarray:
    """What each job has used until now. The load swings by a third around its mean."""
    age = np.maximum(np.minimum(epoch, jobs.end) - jobs.start, 0)
    return jobs.cores * (age + 1200 * 0.33 * (1 - np.cos(age / 1200)))


@lru_cache(maxsize=128)
def _used_by_ended(machine: Machine, first_day: int, end_day: int) -> float:
    """What the jobs of these days have used, two days after the last of them: they have ended."""
    days = range(first_day, end_day)
    return sum(float(_cpu_seconds(_jobs(machine, d), 2**40).sum()) for d in days)


def snapshot_times(machine: Machine, start: int, end: int) -> Iterator[int]:
    """When the host's collector ran in ``[start, end)``: every five minutes, a little late."""
    first = -(-start // 300) * 300
    for due in range(first, end, 300):
        late = crc32(f"{machine.name}@{due}".encode()) % 20
        if due + late < end:
            yield due + late
