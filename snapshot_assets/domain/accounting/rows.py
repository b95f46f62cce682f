"""The first chapter: rows that can be used, in order and without duplicates.

These are rules 1 and 2 of docs/accounting.md. The next chapters find the snapshots of the rows and
decide which rows are the same process.
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
from snapshot_assets.domain.time import Window
from snapshot_assets.errors import SnapshotAssetsError

# A host-day with a larger share of rejected rows is refused.
_MOST_REJECTED = 0.01
# An error and a ledger name this many rows.
_SAMPLE_ROWS = 3
# No process is older. Collectors that have no age, or a wrong one, write numbers far above.
LONGEST_AGE_SECONDS = 20 * 365.25 * 86_400


class RejectedRowsError(SnapshotAssetsError):
    """Too many rows of a host-day cannot be used, so leaving them out would falsify the rest."""


@dataclass(frozen=True, slots=True)
class Process:
    """The kept rows, sorted by host, pid, time, username and comm.

    Codes sort like the values they stand for. Arrays without another remark have one element for
    each kept row.

    Attributes:
        host: code of the host.
        pid: code of the pid.
        container: whether the pid is at most 0, which is never the pid of one process.
        time: when the row was stamped, epoch seconds.
        cputimes: CPU-seconds since the process started.
        rss: bytes.
        etimes: seconds since the process started; NaN if unknown.
        entry: position in ``entry_keys``.
        username: position in ``usernames``.
        entry_keys: the distinct (host, username, comm), each as one number.
        hosts: the text of each host code.
        usernames: the text of each username code.
        comms: the text of each comm code.
        dropped_time: times of the duplicates, which are not among the kept rows.
        odd_time: times of the rows whose age cannot be; duplicates are among them.
        rejected: position in the table of rows of each rejected row, ascending.
    """

    host: Ints
    pid: Ints
    container: Bools
    time: Floats
    cputimes: Floats
    rss: Floats
    etimes: Floats
    entry: Ints
    username: Ints
    entry_keys: Ints
    hosts: npt.NDArray[np.object_]
    usernames: npt.NDArray[np.object_]
    comms: npt.NDArray[np.object_]
    dropped_time: Floats
    odd_time: Floats
    rejected: Ints

    def split_entries(self, entry: Ints) -> tuple[Ints, Ints, Ints]:
        """The codes of host, username and comm of these positions in ``entry_keys``."""
        comms, usernames = max(len(self.comms), 1), max(len(self.usernames), 1)
        host_user, comm = np.divmod(self.entry_keys[entry], comms)
        host, username = np.divmod(host_user, usernames)
        return host, username, comm


def usable_rows(rows: pd.DataFrame) -> Process:
    """Leave out the rows that are rejected and the duplicates, and sort the others."""
    rejected = is_rejected(rows)
    used = rows[~rejected] if rejected.any() else rows
    etimes = used["etimes"].to_numpy()
    odd = (etimes < 0) | (etimes > LONGEST_AGE_SECONDS)  # an infinite age is too long, too
    etimes = np.where(odd, np.nan, etimes) if odd.any() else etimes

    host, hosts = category_codes(used["host"])
    username, usernames = category_codes(used["username"])
    comm, comms = category_codes(used["comm"], missing="")
    time, times = ordered_codes(used["snapshot_time_epoch"].to_numpy())
    pid, pids = ordered_codes(used["pid"].to_numpy())
    cputimes, rss = used["cputimes"].to_numpy(), used["rss"].to_numpy()

    # Below 2**63 for as many hosts, pids and times as fit into memory.
    key = (host * len(pids) + pid) * len(times) + time
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    repeated = ordered[1:] == ordered[:-1]
    kept = np.ones(len(key), dtype=bool)
    if repeated.any():
        # Rows that are equal in host, pid and time: several processes, or duplicates.
        run = np.zeros(len(key), dtype=bool)
        run[1:] |= repeated
        run[:-1] |= repeated
        members = order[run]
        age = np.nan_to_num(etimes[members], nan=-1.0)
        decisive = (age, rss[members], cputimes[members])
        identity = (comm[members], username[members], key[members])
        order[run] = members = members[np.lexsort((*decisive, *identity))]
        last = np.ones(len(members), dtype=bool)
        same = [column[members][1:] == column[members][:-1] for column in (key, username, comm)]
        last[:-1] = ~np.logical_and.reduce(same)
        kept[run] = last
    dropped = order[~kept]
    order = order[kept]

    entry_key = (host[order] * max(len(usernames), 1) + username[order]) * max(len(comms), 1)
    entry, entry_keys = ordered_codes(entry_key + comm[order])
    return Process(
        host=host[order],
        pid=pid[order],
        container=(pids <= 0)[pid[order]],
        time=times[time[order]],
        cputimes=cputimes[order],
        rss=rss[order].astype(np.float64, copy=False),
        etimes=etimes[order],
        entry=entry,
        username=username[order],
        entry_keys=entry_keys,
        hosts=hosts,
        usernames=usernames,
        comms=comms,
        dropped_time=times[time[dropped]],
        odd_time=times[time[odd]],
        rejected=np.flatnonzero(rejected),
    )


def is_rejected(rows: pd.DataFrame) -> Bools:
    """For each row whether a value that is needed is missing, or is one that no process has."""
    rejected = np.zeros(len(rows), dtype=bool)
    for name in ("host", "username"):
        rejected |= rows[name].cat.codes.to_numpy() < 0
    for name in ("cputimes", "rss", "snapshot_time_epoch"):
        values = rows[name].to_numpy()
        rejected |= ~((values >= 0) & (values < np.inf))  # a missing value is no number
    return rejected | ~np.isfinite(rows["pid"].to_numpy())


def sample_of_rejected(rows: pd.DataFrame, position: Ints) -> list[str]:
    """A few of these rows as text, the earliest first, whatever the order of the rows.

    Args:
        rows: as the schema :class:`~snapshot_assets.domain.schemas.RawProcessRows`.
        position: positions of rejected rows.
    """
    columns = ("rss", "cputimes", "pid", "snapshot_time_epoch")
    numbers = [rows[column].to_numpy()[position] for column in columns]
    codes = [rows[column].cat.codes.to_numpy()[position] for column in ("comm", "username", "host")]
    earliest = position[np.lexsort((*codes, *numbers))[:_SAMPLE_ROWS]]
    return [
        ", ".join(f"{name}={'NULL' if pd.isna(v) else v}" for name, v in rows.iloc[i].items())
        for i in earliest
    ]


def require_usable(rows: pd.DataFrame, window: Window, subject: str) -> None:
    """Raise an error if too many rows of the window are rejected.

    Args:
        rows: as the schema :class:`~snapshot_assets.domain.schemas.RawProcessRows`.
        window: the day; rows in the margins around it are not counted.
        subject: the host-day, for the error.

    Raises:
        RejectedRowsError: more than 1 % of the window's rows are rejected.
    """
    rejected = is_rejected(rows)
    if rejected.any():
        time = rows["snapshot_time_epoch"].to_numpy()
        inside = (time >= window.start) & (time < window.end)
        _require_few(rows, rejected & inside, int(inside.sum()), subject)


def refused_hosts(rows: pd.DataFrame) -> dict[str, RejectedRowsError]:
    """The hosts of which more than 1 % of the rows are rejected, each with the error.

    Args:
        rows: as the schema :class:`~snapshot_assets.domain.schemas.RawProcessRows`.
    """
    rejected = is_rejected(rows)
    refused: dict[str, RejectedRowsError] = {}
    if rejected.any():
        code = rows["host"].cat.codes.to_numpy()
        for suspect in np.unique(code[rejected & (code >= 0)]).tolist():
            host, of_host = str(rows["host"].cat.categories[suspect]), code == suspect
            try:
                _require_few(rows, rejected & of_host, int(of_host.sum()), host)
            except RejectedRowsError as error:
                refused[host] = error
    return refused


def _require_few(rows: pd.DataFrame, rejected: Bools, count: int, subject: str) -> None:
    found = int(rejected.sum())
    if found > _MOST_REJECTED * count:
        position = np.flatnonzero(rejected)
        sample = "".join(f"\n  - {text}" for text in sample_of_rejected(rows, position))
        raise RejectedRowsError(
            f"{found:,} of {count:,} rows of {subject} ({found / count:.1%}) have a needed value "
            f"that is missing or impossible, and more than {_MOST_REJECTED:.0%} are too many to "
            "leave out. Nothing was written. Correct the rows in the source, or the names in "
            f"SNAPSHOT_SOURCE_COLUMNS, and settle the day again. For example:{sample}"
        )
