"""The first chapter: rows in order, without duplicates, and the snapshots of these rows.

The next chapters decide the CPU that a row adds, and the buckets that get this CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from snapshot_assets.domain.accounting.codes import (
    Bools,
    Floats,
    Ints,
    category_codes,
    ordered_codes,
)
from snapshot_assets.domain.rules import AccountingRules


@dataclass(frozen=True, slots=True)
class Process:
    """The kept rows, sorted by host, pid and time. Codes sort like the values they stand for.

    Attributes:
        host: code of the host.
        pid: code of the pid.
        time: snapshot time, epoch seconds.
        cputimes: CPU-seconds since the process started.
        rss: bytes.
        etimes: seconds since the process started; NaN if unknown.
        entry: position in ``entry_keys``.
        entry_keys: the distinct (host, username, comm), each as one number.
        users: number of usernames, at least 1.
        comms: number of comms, at least 1.
        username: position in ``usernames``.
        dropped_time: snapshot times of the duplicates that were left out, not of the kept rows.
        usernames: the text of each username code.
    """

    host: Ints
    pid: Ints
    time: Floats
    cputimes: Floats
    rss: Floats
    etimes: Floats
    entry: Ints
    entry_keys: Ints
    users: int
    comms: int
    username: Ints
    dropped_time: Floats
    usernames: npt.NDArray[np.object_]


def sort_and_deduplicate(rows: pd.DataFrame) -> Process:
    """Sort by (host, pid, time); of equal rows keep the largest cputimes, then the largest rss."""
    host, _ = category_codes(rows["host"])
    username, usernames = category_codes(rows["username"])
    comm, comms = category_codes(rows["comm"])
    time, times = ordered_codes(rows["snapshot_time_epoch"].to_numpy())
    pid, pids = ordered_codes(rows["pid"].to_numpy())
    cputimes = rows["cputimes"].to_numpy()
    rss = rows["rss"].to_numpy()
    etimes = rows["etimes"].to_numpy()

    # Below 2**63 for as many hosts, pids and times as fit into memory.
    key = (host * len(pids) + pid) * len(times) + time
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    repeated = np.zeros(len(key), dtype=bool)
    repeated[1:] = ordered[1:] == ordered[:-1]
    kept = np.ones(len(key), dtype=bool)
    if repeated.any():
        # Within a run of equal keys, the order still depends on the order of the input. Sort each
        # run by cputimes and rss, which decide, and then by the remaining columns, so that ties do
        # not depend on the input either.
        run = repeated.copy()
        run[:-1] |= repeated[1:]
        members = order[run]
        etimes_or_none = np.nan_to_num(etimes[members], nan=-1.0)
        decisive = (comm[members], username[members], etimes_or_none, rss[members])
        order[run] = members[np.lexsort((*decisive, cputimes[members], key[members]))]
        kept[:-1] = ~repeated[1:]
    dropped = order[~kept]
    order = order[kept]

    entry_key = (host[order] * max(len(usernames), 1) + username[order]) * max(len(comms), 1)
    entry, entry_keys = ordered_codes(entry_key + comm[order])
    return Process(
        host=host[order],
        pid=pid[order],
        time=times[time[order]],
        cputimes=cputimes[order],
        rss=rss[order].astype(np.float64),
        etimes=etimes[order],
        entry=entry,
        entry_keys=entry_keys,
        users=max(len(usernames), 1),
        comms=max(len(comms), 1),
        username=username[order],
        dropped_time=times[time[dropped]],
        usernames=usernames,
    )


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The distinct times of each host, sorted by host and time.

    Attributes:
        host: code of the host.
        time: snapshot time, epoch seconds.
        previous: time of the host's snapshot before; NaN for the first.
        covered: whether the time since the snapshot before is covered.
        snapshot_index: for each row (not for each snapshot) the position of its snapshot.
    """

    host: Ints
    time: Floats
    previous: Floats
    covered: Bools
    snapshot_index: Ints


def take_snapshots(process: Process, rules: AccountingRules) -> Snapshots:
    """The snapshots of each host, and which of them cover the time since the snapshot before."""
    time, times = ordered_codes(process.time)
    snapshot_index, keys = ordered_codes(process.host * max(len(times), 1) + time)
    host, time_of_key = np.divmod(keys, max(len(times), 1))
    time_of_snapshot = times[time_of_key]
    previous = np.full(len(keys), np.nan)
    follows = host[1:] == host[:-1]
    previous[1:][follows] = time_of_snapshot[:-1][follows]
    covered = time_of_snapshot - previous <= rules.max_gap_seconds
    return Snapshots(host, time_of_snapshot, previous, covered, snapshot_index)
