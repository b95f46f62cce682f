"""The second chapter: the snapshots of each host, and by how much their clocks are off.

These are rules 3 and 4 of docs/accounting.md. The next chapter decides which rows of two snapshots
are the same process.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snapshot_assets.domain.accounting.codes import Bools, Floats, Ints, groups, ordered_codes
from snapshot_assets.domain.accounting.rows import Process
from snapshot_assets.domain.rules import AccountingRules

# Offsets are added as whole multiples of this, the precision of a stamp of today. Their sum over
# many snapshots is then exact, so it does not depend on where the rows begin.
_OFFSET_UNIT_SECONDS = 2.0**-22


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The snapshots of each host, sorted by host and time, and the rows that are in them.

    Attributes:
        host: code of the host.
        time: the last stamp of the snapshot, epoch seconds.
        previous: time of the host's snapshot before; NaN for the first.
        covered: whether the time since the snapshot before is covered.
        stamps: number of different times that the rows of the snapshot have.
        snapshot_index: for each row (not for each snapshot) the position of its snapshot.
        shared: for each row whether several rows of its snapshot have its pid, or the pid is not
            the pid of one process.
    """

    host: Ints
    time: Floats
    previous: Floats
    covered: Bools
    stamps: Ints
    snapshot_index: Ints
    shared: Bools


def take_snapshots(process: Process, rules: AccountingRules) -> Snapshots:
    """Join the stamps of a host that one snapshot has, and see which time snapshots cover."""
    time, times = ordered_codes(process.time)
    stamp_of_row, keys = ordered_codes(process.host * max(len(times), 1) + time)
    host, time_of_key = np.divmod(keys, max(len(times), 1))
    stamp = times[time_of_key]

    apart = np.ones(len(keys), dtype=bool)
    apart[1:] = (host[1:] != host[:-1]) | (stamp[1:] - stamp[:-1] > rules.pass_seconds)
    cluster = np.cumsum(apart) - 1
    first = np.flatnonzero(apart)
    last = np.append(first[1:], len(keys))[: len(first)] - 1
    joined = (last > first) & (stamp[last] - stamp[first] <= rules.pass_span_seconds)
    _part_clusters_with_repetitions(process, cluster[stamp_of_row], joined)

    ends = ~joined[cluster]
    ends[last] = True
    snapshot_of_stamp = np.cumsum(ends) - ends
    snapshot_index = snapshot_of_stamp[stamp_of_row]
    host, snapshot_time = host[ends], stamp[ends]
    previous = np.full(len(host), np.nan)
    follows = host[1:] == host[:-1]
    previous[1:][follows] = snapshot_time[:-1][follows]

    # Rows are sorted by host, pid and time, so the rows of a pid in a snapshot are neighbours.
    neighbours, first_rows = groups(_pid_and_snapshot(process, snapshot_index, len(host)))
    several = np.bincount(neighbours, minlength=len(first_rows)) > 1
    return Snapshots(
        host=host,
        time=snapshot_time,
        previous=previous,
        covered=snapshot_time - previous <= rules.max_gap_seconds,
        stamps=np.bincount(snapshot_of_stamp, minlength=len(host)),
        snapshot_index=snapshot_index,
        shared=several[neighbours] | process.container,
    )


def _part_clusters_with_repetitions(process: Process, cluster: Ints, joined: Bools) -> None:
    """Set ``joined`` to False for clusters in which a (pid, username, comm) occurs twice.

    Args:
        process: the rows.
        cluster: for each row its cluster.
        joined: for each cluster whether it is one snapshot so far; changed in place.
    """
    rows = np.flatnonzero(joined[cluster])
    order = rows[np.lexsort((process.entry[rows], process.pid[rows], cluster[rows]))]
    twice = np.ones(max(len(order) - 1, 0), dtype=bool)
    for column in (cluster, process.pid, process.entry):
        twice &= column[order][1:] == column[order][:-1]
    joined[cluster[order][1:][twice]] = False


def _pid_and_snapshot(process: Process, snapshot_index: Ints, snapshots: int) -> Ints:
    """One number for host, pid and snapshot; a snapshot belongs to one host."""
    return process.pid * max(snapshots, 1) + snapshot_index


@dataclass(frozen=True, slots=True)
class Offsets:
    """By how much each snapshot's stamp is off, compared with the snapshot before.

    Attributes:
        seconds: by how much more the processes aged than the stamps say; 0 if they agree.
        total: the sum of ``seconds`` of the host's snapshots up to this one.
    """

    seconds: Floats
    total: Floats


def clock_offsets(
    process: Process, snapshots: Snapshots, name_before: Ints, rules: AccountingRules
) -> Offsets:
    """Find the snapshots whose stamp disagrees with the ages of most processes.

    Args:
        process: the kept rows.
        snapshots: their snapshots.
        name_before: for each row the latest earlier row of its (pid, username, comm); -1 for none.
        rules: slack, and how far apart two snapshots may be.
    """
    index, time, etimes = snapshots.snapshot_index, process.time, process.etimes
    before = name_before
    near = snapshots.time - snapshots.previous <= rules.near_seconds
    seen_in_both = (before >= 0) & (index[before] == index - 1) & near[index]
    grown = process.cputimes >= process.cputimes[before]
    rows = np.flatnonzero(seen_in_both & grown & ~np.isnan(etimes - etimes[before]))
    aged = etimes[rows] - etimes[before[rows]]
    delta = aged - (time[rows] - time[before[rows]])

    def count(chosen: Bools) -> Ints:
        return np.bincount(index[rows][chosen], minlength=len(snapshots.time))

    members = count(np.ones(len(rows), dtype=bool))
    agree = count(np.abs(delta) <= rules.slack_seconds)
    seconds = np.zeros(len(snapshots.time))
    few = (members > 0) & (members <= 2) & (count(aged != 0) == 0)
    seconds[few] = snapshots.previous[few] - snapshots.time[few]

    # If most of them agree with the stamps, so does their median.
    suspect = (members >= 3) & (2 * agree <= members)
    chosen = np.flatnonzero(suspect[index[rows]])
    if len(chosen):
        order = chosen[np.lexsort((delta[chosen], index[rows][chosen]))]
        group, first = groups(index[rows][order])
        size = np.bincount(group)
        value = delta[order]
        median = (value[first + (size - 1) // 2] + value[first + size // 2]) / 2
        close = np.abs(value - median[group]) <= rules.slack_seconds
        within = np.bincount(group[close], minlength=len(size))
        seconds[index[rows][order[first]]] = np.where(2 * within > size, median, 0.0)
    seconds[np.abs(seconds) <= rules.slack_seconds] = 0.0
    units = np.rint(seconds / _OFFSET_UNIT_SECONDS)
    return Offsets(seconds, np.cumsum(units) * _OFFSET_UNIT_SECONDS)
