"""The third chapter: for each row the row before it, and whether both are the same process.

This is rule 5 of docs/accounting.md. The kernel gives the pid of a process that ended to a new one,
several processes can have one pid in a table, and an age can be wrong. The next chapter decides
what CPU a row adds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snapshot_assets.domain.accounting.codes import Bools, Ints
from snapshot_assets.domain.accounting.rows import Process
from snapshot_assets.domain.accounting.snapshots import Offsets, Snapshots
from snapshot_assets.domain.rules import AccountingRules

# A process whose threads ended shows less CPU than before. A new process that shows less CPU has
# another age, so the ages have to agree better than otherwise.
_SLACK_OF_FALLEN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Before:
    """For each row the positions of two earlier rows; -1 if there is no such row.

    Attributes:
        row: the row before, as rule 5 names it.
        name: the latest earlier row of the same (pid, username, comm), but -1 if that row is
            further back than the snapshot before and the pid is of one process only.
    """

    row: Ints
    name: Ints


def rows_before(process: Process, snapshots: Snapshots) -> Before:
    """Find the row before each row."""
    count = len(process.time)
    index, shared = snapshots.snapshot_index, snapshots.shared
    above = np.arange(-1, count - 1)
    if not count:
        return Before(above, above)
    same_pid = (process.pid == process.pid[above]) & (process.host == process.host[above])
    same_pid[0] = False
    pid_before = np.where(same_pid, above, -1)
    same_name = same_pid & (process.entry == process.entry[above])
    name_before = np.where(same_name, above, -1)
    if not shared.any():
        return Before(pid_before, name_before)

    # Rows are sorted by host, pid and time. Look closer at the pids that any snapshot shares.
    pid_group = np.cumsum(~same_pid) - 1
    ever_shared = np.zeros(pid_group[-1] + 1, dtype=bool)
    ever_shared[pid_group[shared]] = True
    rows = np.flatnonzero(ever_shared[pid_group])
    order = rows[np.lexsort((index[rows], process.entry[rows], pid_group[rows]))]
    follows = np.zeros(len(order), dtype=bool)
    follows[1:] = (pid_group[order][1:] == pid_group[order][:-1]) & (
        process.entry[order][1:] == process.entry[order][:-1]
    )
    name_before[order] = np.where(follows, np.roll(order, 1), -1)

    # The rows of a pid in one snapshot are neighbours. Above the first of them is the snapshot
    # before that has the pid.
    begins = ~same_pid | (index != index[above])
    first_of_snapshot = np.maximum.accumulate(np.where(begins, np.arange(count), 0))
    pid_before = pid_before[first_of_snapshot]
    by_name = shared | (shared[pid_before] & (pid_before >= 0))
    return Before(np.where(by_name, name_before, pid_before), name_before)


@dataclass(frozen=True, slots=True)
class Identity:
    """What connects each row with the row before it.

    Attributes:
        before: position of the row before; -1 for none.
        same: whether both are the same process.
        near: whether there is a row before, and its snapshot is near.
    """

    before: Ints
    same: Bools
    near: Bools


def identify(
    process: Process, snapshots: Snapshots, offsets: Offsets, before: Ints, rules: AccountingRules
) -> Identity:
    """Decide which rows are the same process as the row before.

    Args:
        process: the kept rows.
        snapshots: their snapshots.
        offsets: how far the stamps of the snapshots are off.
        before: for each row the position of the row before; -1 for none.
        rules: slack, and how far apart two snapshots may be.
    """
    index = snapshots.snapshot_index
    etimes, fallen = process.etimes, process.cputimes < process.cputimes[before]
    apart = process.time - process.time[before]
    apart += offsets.total[index] - offsets.total[index[before]]
    aged = etimes - etimes[before]

    # Comparisons with a missing age are False.
    slack = np.where(fallen, _SLACK_OF_FALLEN_SECONDS, rules.slack_seconds)
    both_known = np.abs(aged - apart) <= slack
    old_enough = np.isnan(etimes) | (etimes >= apart - rules.slack_seconds)
    exists = before >= 0
    same = np.where(np.isnan(aged), ~fallen & old_enough, both_known)
    near = snapshots.time[index[before]] >= snapshots.time[index] - rules.near_seconds
    return Identity(before, exists & same, exists & near)
