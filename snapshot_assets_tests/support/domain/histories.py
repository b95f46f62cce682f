"""Histories of machines whose truth is known, as a collector samples them.

Processes are born, work at a steady rate and die; a kernel counts all of it. A collector passes by
at a cadence and writes rows. What can be wrong with such rows is in
:mod:`snapshot_assets_tests.support.domain.faults`.
"""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass, field

import pandas as pd

from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.time import Window
from snapshot_assets_tests.support.domain.process_rows import (
    GB,
    MIDNIGHT,
    KernelRow,
    Row,
    kernel_rows,
    raw_rows,
)

CADENCES = (3, 10, 30, 60, 120, 300, 600)
USERS = ("ana", "bob", "root", "systemd-x")
COMMS = ("python", "R", "java", "bwa")
START = float(MIDNIGHT)
WHENEVER = math.inf
_COLUMNS = (Row._fields[0], "snapshot_time_epoch", *Row._fields[2:])


@dataclass(eq=False)
class Process:
    """One process: it uses ``cores`` from its birth to its death."""

    pid: int
    username: str
    comm: str | None
    born: float
    died: float
    cores: float
    rss: float

    def used(self, start: float, end: float) -> float:
        """The core-seconds between two times."""
        return self.cores * max(min(end, self.died) - max(start, self.born), 0.0)

    def lives(self, time: float) -> bool:
        return self.born <= time < self.died


@dataclass(eq=False)
class Machine:
    """A host, its processes, and when its kernel started, ascending; the last start counts."""

    host: str
    cores: int
    boots: list[float]
    processes: list[Process]

    def booted(self, time: float) -> float:
        return max(boot for boot in self.boots if boot <= time)

    def busy(self, time: float) -> float:
        """What the kernel's counter shows: core-seconds since the boot."""
        return sum(process.used(self.booted(time), time) for process in self.processes)


@dataclass
class Pass:
    """The collector looks at ``time`` and calls it ``stamp``."""

    time: float
    stamp: float


@dataclass
class Sample:
    """A row, what it is of, and when the process was really looked at."""

    process: Process
    taken: Pass
    host: str | None
    snapshot_time_epoch: float
    pid: float
    username: str | None
    comm: str | None
    cputimes: float
    rss: float
    etimes: float


@dataclass
class History:
    """Everything about one generated table.

    Attributes:
        machines: the truth.
        passes: of each host, ascending by time.
        samples: the rows.
        rules: how to account them.
        row_delay: seconds between the stamps of two rows of a pass.
        ages_known: whether ``etimes`` says how old a process is; if not, nothing is known of a
            process before its first row.
        damaged: rows that are gone, or as good as gone.
        misstated: whether a process misstates its own total below what the machine could do.
    """

    machines: list[Machine]
    passes: dict[str, list[Pass]]
    samples: list[Sample] = field(default_factory=list)
    rules: AccountingRules = field(default_factory=AccountingRules)
    row_delay: float = 0.0
    ages_known: bool = True
    damaged: list[Sample] = field(default_factory=list)
    misstated: bool = False

    @property
    def rows(self) -> pd.DataFrame:
        """The table of the processes."""
        return raw_rows(
            Row(*(getattr(sample, name) for name in _COLUMNS)) for sample in self.samples
        )

    @property
    def kernel(self) -> pd.DataFrame:
        """The table ``machines``."""
        found = []
        for machine in self.machines:
            for taken in self.passes[machine.host]:
                memory = sum(p.rss for p in machine.processes if p.lives(taken.time))
                found.append(
                    KernelRow(
                        host=machine.host,
                        time=taken.stamp,
                        cores=machine.cores,
                        cpu_seconds=machine.busy(taken.time),
                        memory_used_bytes=memory,
                        boot_epoch=machine.booted(taken.time) + taken.stamp - taken.time,
                    )
                )
        return kernel_rows(found)

    @property
    def window(self) -> Window:
        """The smallest window that holds every row."""
        stamps = [taken.stamp for passes in self.passes.values() for taken in passes]
        return Window.around(min(stamps), max(stamps) + 600)

    def truth(self, host: str) -> tuple[float, float]:
        """The core-seconds that a host's snapshots have to show, and those that they could show.

        They have to show what each process used in covered time until the last pass that met it;
        from its first one only if ages are not known, and from its ``min_cputimes`` on if it was
        hidden. They could show all that was used in covered time.
        """
        machine = next(m for m in self.machines if m.host == host)
        covered = [
            (one.time, two.time)
            for one, two in itertools.pairwise(self.passes[host])
            if 0 < two.stamp - one.stamp <= self.rules.max_gap_seconds
        ]
        least = most = 0.0
        for process in machine.processes:
            if self.rules.excludes(process.username):
                continue
            shown = self._shown(process, host)
            for start, end in covered:
                most += process.used(start, end)
                if shown is not None:
                    least += process.used(max(start, shown[0]), min(end, shown[1]))
        return least, most

    def damage(self, host: str) -> float:
        """The core-seconds of a host that are lost, at most, because rows are damaged."""
        times = [taken.time for taken in self.passes[host]]
        lost = 0.0
        for row in self.damaged:
            place = times.index(row.taken.time) if row.taken in self.passes[host] else None
            if place is not None:
                start, end = times[max(place - 1, 0)], times[min(place + 1, len(times) - 1)]
                lost += row.process.used(start, end)
        return lost

    def _shown(self, process: Process, host: str) -> tuple[float, float] | None:
        theta = self.rules.min_cputimes
        met = [p.time for p in self.passes[host] if process.lives(p.time)]
        met = [time for time in met if process.used(process.born, time) >= theta]
        if not met:
            return None
        before = [p.time for p in self.passes[host] if p.time < met[0]]
        start = process.born if self.ages_known else met[0]
        if theta and before and (not self.ages_known or process.born < before[-1]):
            start = process.born + theta / process.cores
        return start, met[-1]


# --- generated machines -----------------------------------------------------------------------


def machine(rng: random.Random, host: str, start: float, seconds: float, cadence: float) -> Machine:
    """A machine with some processes that stay and some that come and go."""
    cores = rng.choice([4, 16, 64])
    boot = start - rng.choice([500, 5_000, 500_000])
    pids = itertools.count(100)
    found = [Process(1, "root", "systemd", boot, WHENEVER, 0.001, 10**7)]
    births = [boot + rng.uniform(0, start - boot) for _ in range(rng.randint(3, 5))]
    found += [_process(rng, next(pids), born, WHENEVER, cores) for born in births]
    for _ in range(rng.randint(2, 8)):
        born = start + rng.uniform(-cadence, seconds)
        alive = rng.choice([0.5, 3, 10, 100]) * max(cadence, 20) * rng.uniform(0.5, 2)
        found.append(_process(rng, next(pids), born, born + alive, cores))
    return Machine(host, cores, [boot], found)


def _process(rng: random.Random, pid: int, born: float, died: float, cores: int) -> Process:
    used = rng.choice([0.0, 0.02, 0.3, 1.0, 1.0, 1.0, cores / 8])
    username, comm = rng.choice(USERS), rng.choice(COMMS)
    return Process(pid, username, comm, born, died, used, rng.choice([0, 4096, GB, 3 * GB]))


def passes(
    rng: random.Random, start: float, seconds: float, cadence: float, jitter: float
) -> list[Pass]:
    """The collector's passes, each up to ``jitter`` of a cadence late, in whole seconds."""
    times = [
        start + math.floor(i * cadence + rng.uniform(0, jitter) * cadence)
        for i in range(int(seconds // cadence))
    ]
    return [Pass(float(time), float(time)) for time in sorted(set(times))]


def sample(history: History, whole: bool) -> None:
    """Fill in the rows that the passes see.

    Args:
        history: what to sample.
        whole: ages and CPU in whole seconds, as ``ps`` has them; else exactly.
    """
    cut = math.floor if whole else float
    for each in history.machines:
        for taken in history.passes[each.host]:
            alive = [p for p in each.processes if p.lives(taken.time)]
            for place, process in enumerate(alive):
                delay = place * history.row_delay
                time = taken.time + delay
                if not process.lives(time):
                    continue
                history.samples.append(
                    Sample(
                        process=process,
                        taken=taken,
                        host=each.host,
                        snapshot_time_epoch=taken.stamp + delay,
                        pid=float(process.pid),
                        username=process.username,
                        comm=process.comm,
                        cputimes=float(cut(process.used(process.born, time))),
                        rss=float(process.rss),
                        etimes=float(cut(time - process.born)),
                    )
                )
