"""What is wrong with tables that people really have: faults, to be put into histories together.

A fault changes the machines or the passes before a history is sampled, or the rows afterwards. How
they are put together is in :mod:`snapshot_assets_tests.support.domain.recipes`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from snapshot_assets_tests.support.domain.histories import (
    START,
    WHENEVER,
    History,
    Process,
    Sample,
)
from snapshot_assets_tests.support.domain.process_rows import GB

NULL = math.nan
Change = Callable[[History, random.Random], None]


@dataclass(frozen=True)
class Fault:
    """A change of a history.

    Attributes:
        change: makes it, in place.
        sampled: whether it changes the rows; else the machines or the passes.
        misstates: whether a process then misstates its own total below what the machine could do,
            so that more than the truth may be published.
        shortest: the shortest cadence at which it makes sense, seconds.
    """

    change: Change
    sampled: bool = True
    misstates: bool = False
    shortest: float = 0


FAULTS: dict[str, Fault] = {}


def fault(
    sampled: bool = True, misstates: bool = False, shortest: float = 0
) -> Callable[[Change], Change]:
    """Register a fault by the name of its function."""

    def register(change: Change) -> Change:
        FAULTS[change.__name__] = Fault(change, sampled, misstates, shortest)
        return change

    return register


# --- machines and passes ----------------------------------------------------------------------


@fault(sampled=False)
def few_processes(history: History, rng: random.Random) -> None:
    """A machine with one or two processes."""
    for each in history.machines:
        del each.processes[rng.choice([2, 3]) :]
        del each.processes[0]


@fault(sampled=False)
def pid_reuse(history: History, rng: random.Random) -> None:
    """Some processes are followed at once by another one with their pid."""
    for each in history.machines:
        for process in [p for p in each.processes if p.died < WHENEVER]:
            if rng.random() < 0.5:
                ends = process.died + rng.choice([50, 500, 5_000])
                name, cores = rng.choice(["ana", "bob"]), rng.choice([0.0, 1.0])
                follower = Process(process.pid, name, "R", process.died, ends, cores, GB)
                each.processes.append(follower)


@fault(sampled=False)
def reboot(history: History, rng: random.Random) -> None:
    """A machine is off for a moment; all processes are new ones with the old pids."""
    for each in history.machines:
        times = history.passes[each.host]
        start = rng.choice(times).time + 0.5
        end = start + rng.choice([20, 200, 2_000])
        history.passes[each.host] = [p for p in times if not start <= p.time < end] or times[:1]
        each.boots.append(end)
        again = []
        for process in each.processes:
            if process.lives(start):
                again.append(replace(process, born=end + rng.uniform(0, 5), died=process.died))
                process.died = start
        again = [p for p in again if p.died > p.born]
        each.processes = [p for p in each.processes if not start < p.born < end] + again


@fault(sampled=False)
def containers(history: History, rng: random.Random) -> None:
    """Several processes have pid 1, and one more pid is in two containers for some time."""
    for each in history.machines:
        born = each.boots[0] + 1
        for name, cores in (("ana", 1.0), ("bob", 0.1)):
            each.processes.append(Process(1, name, "init", born, WHENEVER, cores, GB))
        twin = rng.choice(each.processes)
        start = max(twin.born, START) + rng.uniform(0, 3_000)
        each.processes.append(
            Process(twin.pid, "carl", "nginx", start, start + rng.choice([600, 9_000]), 0.5, GB)
        )


@fault(sampled=False)
def no_comm(history: History, rng: random.Random) -> None:
    """Some processes have no command."""
    for each in history.machines:
        for process in each.processes:
            if rng.random() < 0.3:
                process.comm = None


@fault(sampled=False)
def fractional_epochs(history: History, rng: random.Random) -> None:
    """Stamps with fractions of a second."""
    for times in history.passes.values():
        for taken in times:
            part = rng.random()
            taken.time += part
            taken.stamp += part


@fault(sampled=False)
def silence(history: History, rng: random.Random) -> None:
    """The collector is away, twice: about as long as a gap, and for longer."""
    for host, times in history.passes.items():
        for seconds in (rng.choice([880, 905, 955, 965]), rng.choice([1_500, 4_000])):
            start = rng.choice(times).time
            times = [p for p in times if not start < p.time < start + seconds]
        history.passes[host] = times


@fault(sampled=False, shortest=90)
def late_samples(history: History, rng: random.Random) -> None:
    """Two passes in five look 45 to 70 s later than their stamp says."""
    for times in history.passes.values():
        for place, taken in enumerate(times):
            if rng.random() < 0.4:
                late = rng.uniform(45, 70)
                if place + 1 < len(times):
                    late = min(late, times[place + 1].stamp - taken.stamp - 1)
                taken.time += max(late, 0)


@fault(sampled=False)
def clock_set_forward(history: History, rng: random.Random) -> None:
    """From some pass on the clock is ahead."""
    ahead = rng.choice([20, 45, 600, 3_600])
    for times in history.passes.values():
        moment = rng.choice(times).time
        for taken in times:
            if taken.time >= moment:
                taken.stamp += ahead


@fault(sampled=False)
def clock_set_back(history: History, rng: random.Random) -> None:
    """The clock was ahead until some pass, and is set right."""
    ahead = rng.choice([20, 45, 600, 3_600])
    for times in history.passes.values():
        moment = rng.choice(times).time
        for taken in times:
            if taken.time < moment:
                taken.stamp += ahead


@fault(sampled=False)
def stamped_over_seconds(history: History, rng: random.Random) -> None:
    """The rows of a pass are stamped one by one, over some 3 s."""
    history.row_delay = 0.25


@fault(sampled=False)
def stamped_apart(history: History, rng: random.Random) -> None:
    """The rows of a pass are stamped one by one, 50 ms apart."""
    history.row_delay = 0.05


# --- rows -------------------------------------------------------------------------------------


def _some(history: History, rng: random.Random, share: float) -> list[Sample]:
    return [each for each in history.samples if rng.random() < share]


@fault()
def rolled_up(history: History, rng: random.Random) -> None:
    """The processes of each (user, command) that stay are one row under pid 0, without an age."""
    kept: list[Sample] = []
    groups: dict[tuple[float, str | None, str | None, str | None], Sample] = {}
    for each in history.samples:
        if each.process.died < WHENEVER or each.process.pid == 1:
            kept.append(each)
            continue
        place = (each.taken.stamp, each.host, each.username, each.comm)
        group = groups.get(place)
        if group is None:
            groups[place] = replace(each, pid=0.0, etimes=NULL)
        else:
            group.cputimes += each.cputimes
            group.rss += each.rss
    history.samples = kept + list(groups.values())


@fault(misstates=True)
def childrens_time(history: History, rng: random.Random) -> None:
    """A shell's total has its children's time, too, once they ended; little and much of it."""
    for each in history.machines:
        shell = rng.choice([p for p in each.processes if p.died == WHENEVER])
        for _ in range(3):
            moment, size = (
                rng.choice(history.passes[each.host]).time,
                rng.choice([50, 5_000, 10**9]),
            )
            for row in history.samples:
                if row.process is shell and row.taken.time >= moment:
                    row.cputimes += size


@fault(misstates=True)
def threads_end(history: History, rng: random.Random) -> None:
    """A process forgets the time of its threads that ended: the total falls."""
    for each in history.machines:
        busy = rng.choice([p for p in each.processes if p.died == WHENEVER])
        moment = rng.choice(history.passes[each.host]).time
        lost = min(busy.used(busy.born, moment) / 2, 200)
        for row in history.samples:
            if row.process is busy and row.taken.time >= moment:
                row.cputimes -= lost


@fault()
def counter_jumps(history: History, rng: random.Random) -> None:
    """Single totals are 2⁶⁴ ticks."""
    history.damaged += (jumped := _some(history, rng, 0.001))
    for each in jumped:
        each.cputimes = 184467440737.09


@fault()
def hidden_processes(history: History, rng: random.Random) -> None:
    """The collector hides what used less than 10 core-seconds since its birth."""
    theta = 10.0
    history.rules = replace(history.rules, min_cputimes=theta)
    history.samples = [each for each in history.samples if each.cputimes >= theta]


@fault()
def constant_ages(history: History, rng: random.Random) -> None:
    """The ages are the same number everywhere."""
    history.ages_known = False
    age = rng.choice([0.0, 25.0])
    for each in history.samples:
        each.etimes = age


@fault()
def no_ages(history: History, rng: random.Random) -> None:
    """There are no ages."""
    history.ages_known = False
    for each in history.samples:
        each.etimes = NULL


@fault()
def few_ages(history: History, rng: random.Random) -> None:
    """One age in ten is missing."""
    for each in _some(history, rng, 0.1):
        each.etimes = NULL


@fault()
def impossible_ages(history: History, rng: random.Random) -> None:
    """One age in a hundred cannot be."""
    for each in _some(history, rng, 0.01):
        each.etimes = rng.choice([-1.0, 4294967295.0, math.inf, 18446744073.7])


@fault()
def missing_rows(history: History, rng: random.Random) -> None:
    """One row in 250 is missing."""
    history.damaged += (missing := _some(history, rng, 0.004))
    gone = {id(each) for each in missing}
    history.samples = [each for each in history.samples if id(each) not in gone]


@fault()
def unusable_rows(history: History, rng: random.Random) -> None:
    """Three rows in a thousand lack what is needed."""
    history.damaged += (unusable := _some(history, rng, 0.003))
    for each in unusable:
        name = rng.choice(["cputimes", "rss", "host", "pid", "username", "snapshot_time_epoch"])
        if name in ("host", "username"):
            setattr(each, name, None)
        else:
            setattr(each, name, NULL if name == "pid" else rng.choice([NULL, -1.0, math.inf]))


@fault()
def duplicates(history: History, rng: random.Random) -> None:
    """Some rows are there twice, not always equal."""
    for each in _some(history, rng, 0.02):
        again = replace(each)
        kind = rng.randrange(4)
        if kind == 1:
            again.cputimes = max(again.cputimes - 1, 0)
        elif kind == 2:
            again.rss = 5.0 * GB
        elif kind == 3:
            again.etimes = NULL
        history.samples.append(again)


@fault()
def excluded_users(history: History, rng: random.Random) -> None:
    """Accounts that are left out."""
    history.rules = replace(history.rules, excluded_users=("systemd-*", "bob"))


@fault()
def idle_memory_dropped(history: History, rng: random.Random) -> None:
    """The memory of idle processes is left out."""
    history.rules = replace(history.rules, drop_idle_memory=True)
