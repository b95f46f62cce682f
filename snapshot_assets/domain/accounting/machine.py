"""The last chapter: the kernel's own count of CPU and memory, and how many cores a host has.

This is rule 12 of docs/accounting.md. The count never changes what users are charged; it says how
much of the machine's use the snapshots saw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from snapshot_assets.domain.accounting.buckets import BYTES_PER_GB, Cover, split_at_borders
from snapshot_assets.domain.accounting.codes import Floats, Ints, sums
from snapshot_assets.domain.accounting.snapshots import Snapshots
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.time import Window

# The kernel computes the time of the boot from a clock that is corrected while it runs.
_SAME_BOOT_SECONDS = 60.0
# What a host is taken to have if nobody says how many cores it has.
_MOST_CORES = 1_024.0


@dataclass(frozen=True, slots=True)
class Machines:
    """The usable rows of the kernel's count, sorted by host and time; each time once.

    Attributes:
        host: code of the host, as in the process rows.
        time: epoch seconds.
        cpu_seconds: CPU-seconds of all CPUs since the boot; NaN if unknown.
        cores: number of logical CPUs; NaN if unknown.
        memory: bytes; NaN if unknown.
        memory_used: bytes; NaN if unknown.
        boot: when the machine booted, epoch seconds; NaN if unknown.
    """

    host: Ints
    time: Floats
    cpu_seconds: Floats
    cores: Floats
    memory: Floats
    memory_used: Floats
    boot: Floats


def usable_machines(rows: pd.DataFrame | None, hosts: npt.NDArray[np.object_]) -> Machines:
    """The rows of these hosts whose time can be used.

    Args:
        rows: as the schema :class:`~snapshot_assets.domain.schemas.MachineRows`, in any order; None
            if the source has no such table.
        hosts: the host of each code, ascending.
    """
    if rows is None or not len(rows):
        none = np.zeros(0)
        return Machines(np.zeros(0, np.int64), none, none, none, none, none, none)
    place = {host: code for code, host in enumerate(hosts)}
    code_of_category = [place.get(host, -1) for host in rows["host"].cat.categories]
    host = np.array([*code_of_category, -1], dtype=np.int64)[rows["host"].cat.codes.to_numpy()]
    time = rows["snapshot_time_epoch"].to_numpy()
    used = np.flatnonzero((host >= 0) & _is_amount(time))
    columns = ("cpu_seconds", "cores", "memory_bytes", "memory_used_bytes", "boot_epoch")
    values = [np.where(_is_amount(rows[c].to_numpy()), rows[c].to_numpy(), np.nan) for c in columns]
    values[1] = np.where(values[1] > 0, values[1], np.nan)

    # Of rows with the same time, the one with the most CPU counts; the others decide among equals.
    decisive = [np.nan_to_num(value, nan=-1.0)[used] for value in reversed(values)]
    order = used[np.lexsort((*decisive, time[used], host[used]))]
    last = np.ones(len(order), dtype=bool)
    last[:-1] = (host[order][1:] != host[order][:-1]) | (time[order][1:] != time[order][:-1])
    order = order[last]
    return Machines(host[order], time[order], *(value[order] for value in values))


def cores_of_snapshots(
    machines: Machines,
    snapshots: Snapshots,
    hosts: npt.NDArray[np.object_],
    rules: AccountingRules,
) -> Floats:
    """For each snapshot the number of cores of its host.

    The kernel's newest count decides if it is recent, else the capacity that is configured. Without
    either, no machine has as many cores as the result.
    """
    configured = _configured_cores(hosts, rules.capacity_cores)
    cores = configured[snapshots.host] if len(hosts) else np.zeros(0)
    known = np.flatnonzero(~np.isnan(machines.cores))
    if not len(known):
        return cores
    # Both are sorted by host and time. Count the machine's rows up to each snapshot.
    host = np.concatenate([machines.host[known], snapshots.host])
    time = np.concatenate([machines.time[known], snapshots.time])
    is_snapshot = np.arange(len(host)) >= len(known)
    order = np.lexsort((is_snapshot, time, host))
    up_to = np.empty(len(host), dtype=np.int64)
    up_to[order] = np.cumsum(~is_snapshot[order])
    newest = known[np.maximum(up_to[len(known) :] - 1, 0)]
    age = snapshots.time - machines.time[newest]
    recent = (
        (up_to[len(known) :] > 0)
        & (machines.host[newest] == snapshots.host)
        & (age >= 0)
        & (age <= rules.max_gap_seconds)
    )
    return np.where(recent, machines.cores[newest], cores)


@dataclass(frozen=True, slots=True)
class MachineUse:
    """What the kernel counted, for each covered bucket; NaN where it counted nothing.

    Attributes:
        cpu_norm: cores busy on average.
        cores: number of logical CPUs.
        used_gb: memory used on average, GB (1e9 bytes).
        total_gb: memory of the machine, GB (1e9 bytes).
        covered_seconds: how much of the bucket the kernel's count covers; 0 for nothing.
    """

    cpu_norm: Floats
    cores: Floats
    used_gb: Floats
    total_gb: Floats
    covered_seconds: Floats


def machine_use(
    machines: Machines, cover: Cover, window: Window, rules: AccountingRules
) -> MachineUse:
    """Split what the kernel counted between two rows into the covered buckets.

    Args:
        machines: the kernel's count.
        cover: the covered buckets of all hosts.
        window: the buckets of the result.
        rules: how far two rows may be apart.
    """
    count = len(cover.bucket)
    time, cpu = machines.time, machines.cpu_seconds
    together = machines.host[1:] == machines.host[:-1]
    together &= time[1:] - time[:-1] <= rules.max_gap_seconds
    together &= cpu[1:] >= cpu[:-1]
    together &= ~(np.abs(machines.boot[1:] - machines.boot[:-1]) > _SAME_BOOT_SECONDS)
    later = np.flatnonzero(together) + 1
    pieces = split_at_borders(time[later - 1], time[later], window)
    row = later[pieces.span_index]

    # The covered bucket that each piece lies in; pieces of buckets without cover are left out.
    hosts = int(max(cover.host.max(initial=0), machines.host.max(initial=0))) + 1
    cover_key = cover.bucket * hosts + cover.host
    piece_key = pieces.bucket * hosts + machines.host[row]
    index = np.minimum(np.searchsorted(cover_key, piece_key), max(count - 1, 0))
    found = np.flatnonzero(cover_key[index] == piece_key) if count else np.zeros(0, np.int64)
    index, row = index[found], row[found]
    seconds, share = pieces.seconds[found], pieces.share[found]

    covered = sums(index, seconds, count)
    with np.errstate(invalid="ignore", divide="ignore"):
        cpu_norm = sums(index, (cpu[row] - cpu[row - 1]) * share, count) / covered
        has_memory = ~np.isnan(machines.memory_used[row])
        memory = np.where(has_memory, machines.memory_used[row], 0.0)
        remembered = sums(index, np.where(has_memory, seconds, 0.0), count)
        used = sums(index, memory * seconds, count) / remembered
    # Pieces are in the order of time, so the last of a bucket decides.
    cores, total = np.full(count, np.nan), np.full(count, np.nan)
    cores[index], total[index] = machines.cores[row], machines.memory[row]
    return MachineUse(cpu_norm, cores, used / BYTES_PER_GB, total / BYTES_PER_GB, covered)


def _is_amount(values: Floats) -> npt.NDArray[np.bool_]:
    return (values >= 0) & (values < np.inf)


def _configured_cores(hosts: npt.NDArray[np.object_], capacity: Mapping[str, float]) -> Floats:
    return np.array([capacity.get(host, _MOST_CORES) for host in hosts], dtype=np.float64)
