"""What is odd about the rows of a host, although each row alone can be used.

Every function takes the rows of one host in an hour or so; :func:`same_machines` those of several.
The figures are made of such rows all the same, and are wrong or poorer than they could be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import numpy as np
import pandas as pd

from snapshot_assets.domain.accounting.rows import is_rejected, usable_rows
from snapshot_assets.domain.accounting.snapshots import take_snapshots
from snapshot_assets.domain.rules import AccountingRules

Kind = Literal["numbers", "cut names", "memory", "hidden", "theta", "one machine"]

_GB: Final = 1e9
_SAMPLE_NAMES = 3
# Memory that processes share is in the sum several times: some of it is nothing to speak of.
_SNAPSHOTS_ABOVE = 0.1
# So many old processes that are suddenly there, or so many of root without any that is idle, as
# threads of the kernel are: somebody hides processes.
_EMERGED = 3
_OF_ROOT = 10
# Two hosts are one machine if they share this many rows, and this share of the smaller one's.
_SHARED_ROWS = 5
_SHARED_SHARE = 0.5
# So many processes are no coincidence.
_SHARED_PROCESSES = 4
_KEY = ["snapshot_time_epoch", "pid", "username", "comm", "cputimes", "rss", "etimes"]
# Machines that were cloned and started together have the same processes since their boot.
_STARTS_APART_SECONDS = 600
_START_ROUNDING_SECONDS = 10
_PROCESS_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Oddity:
    """One finding.

    Attributes:
        kind: what it is about; whoever shows it knows the fix.
        text: what is odd, with numbers and examples.
        proposal: the value for the setting that repairs it; None if no setting repairs it.
    """

    kind: Kind
    text: str
    proposal: float | None = None


def odd_names(rows: pd.DataFrame) -> list[Oddity]:
    """Accounts that are numbers, or that were cut, as ``ps`` prints long and unknown names."""
    names = sorted({str(name) for name in rows["username"].dropna().unique()})
    found: list[Oddity] = []
    kinds: tuple[tuple[Kind, list[str], str], ...] = (
        ("numbers", [name for name in names if name.isdecimal()], "are numbers"),
        ("cut names", [n for n in names if n.endswith("+") and len(n) > 1], "are cut"),
    )
    for kind, odd, text in kinds:
        if odd:
            more = f" and {len(odd) - _SAMPLE_NAMES} more" if len(odd) > _SAMPLE_NAMES else ""
            shown = ", ".join(map(repr, odd[:_SAMPLE_NAMES]))
            found.append(Oddity(kind, f"accounts {text}: {shown}{more}"))
    return found


def memory_above_machine(
    rows: pd.DataFrame, memory_bytes: float | None, rules: AccountingRules
) -> list[Oddity]:
    """Snapshots whose processes have more memory together than the machine has.

    Args:
        rows: of one host.
        memory_bytes: memory of the machine; None if nobody knows it.
        rules: which stamps are one snapshot.
    """
    process = usable_rows(rows)
    if memory_bytes is None or not len(process.time):
        return []
    snapshots = take_snapshots(process, rules)
    total = np.bincount(snapshots.snapshot_index, process.rss, len(snapshots.time))
    above = total > memory_bytes
    if above.mean() < _SNAPSHOTS_ABOVE:
        return []
    return [
        Oddity(
            "memory",
            f"the rss of all processes is {total.max() / _GB:,.1f} GB, on a machine of "
            f"{memory_bytes / _GB:,.1f} GB, in {above.sum()} of {len(total)} snapshots",
        )
    ]


def hidden_processes(rows: pd.DataFrame, rules: AccountingRules) -> list[Oddity]:
    """Whether the collector hides processes that have used little CPU, and from when it shows them.

    Args:
        rows: of one host.
        rules: the threshold that the accounting knows of, and which stamps are one snapshot.
    """
    process = usable_rows(rows)
    if not len(process.time):
        return []
    least = float(process.cputimes.min())
    known = rules.min_cputimes
    if known > 0 and least < known:
        return [
            Oddity(
                "theta",
                f"a process with {least:,.10g} CPU-seconds is shown, although "
                f"SNAPSHOT_MIN_CPUTIMES says that those below {known:,.10g} are hidden",
                _rounded_down(least),
            )
        ]
    if known > 0 or least <= 0:
        return []
    snapshots = take_snapshots(process, rules)
    keys = pd.DataFrame({"pid": process.pid, "entry": process.entry})
    first = ~keys.duplicated().to_numpy()  # rows of a process are sorted by time
    of_root = int((process.usernames[process.username[first]] == "root").sum())
    time_before = snapshots.previous[snapshots.snapshot_index]
    born = process.etimes <= process.time - time_before + rules.slack_seconds
    emerged = process.cputimes[first & ~np.isnan(time_before) & ~born]
    widest = np.nanmax(snapshots.time - snapshots.previous, initial=0.0) + rules.slack_seconds
    piled = emerged[emerged - least <= widest]
    seen = f"no process has used less than {least:,.10g} CPU-seconds"
    if len(piled) >= max(_EMERGED, len(emerged) / 2):
        seen += (
            f", and {len(piled)} old ones were first seen with {piled.min():,.10g} to "
            f"{piled.max():,.10g}"
        )
    elif of_root < _OF_ROOT or least < 1:
        return []
    return [Oddity("hidden", f"the collector hides small processes: {seen}", _rounded_down(least))]


def same_machines(rows: pd.DataFrame) -> list[Oddity]:
    """Hosts that are one machine under two names.

    They have the same rows at the same times, or the same processes that began at the same times.

    Args:
        rows: of any number of hosts.
    """
    usable = rows[~is_rejected(rows)]
    named = usable.assign(host=usable["host"].astype(str))
    # Idle processes have equal rows on all machines.
    pairs = _pairs(named[named["cputimes"] > 0], _KEY, _SHARED_SHARE, {})
    began = named["snapshot_time_epoch"] - named["etimes"]
    # Young processes may have equal pids by chance, as when cron runs the same jobs everywhere.
    old = began < named["snapshot_time_epoch"].min()
    processes = named.assign(began=(began / _START_ROUNDING_SECONDS).round())[old]
    processes = processes[["host", "pid", "username", "comm", "began"]].drop_duplicates()
    pairs = _pairs(processes, ["pid", "username", "comm", "began"], _PROCESS_SHARE, pairs)
    return [
        Oddity("one machine", f"{one} and {other} have {text}, so they are one machine")
        for (one, other), text in sorted(pairs.items())
    ]


def _pairs(
    rows: pd.DataFrame, key: list[str], share: float, known: dict[tuple[str, str], str]
) -> dict[tuple[str, str], str]:
    """The pairs of hosts that share most rows of this key, in addition to the known pairs."""
    rows = rows.drop_duplicates(["host", *key])
    shared = rows[rows.duplicated(key, keep=False)]
    if not len(shared):
        return known
    sizes = rows["host"].value_counts()
    alike: dict[tuple[str, str], list[tuple[float, float]]] = {}
    pid, last = key.index("pid"), len(key) - 1
    for values, group in shared.groupby(key, observed=True, dropna=False, sort=False):
        for pair in pairwise(sorted(group["host"])):
            alike.setdefault(pair, []).append((values[pid], values[last]))
    found = dict(known)
    for pair, members in alike.items():
        count, pids = len(members), len({pid for pid, _ in members})
        if count < max(_SHARED_ROWS, share * min(sizes[pair[0]], sizes[pair[1]])):
            continue
        text = f"{count:,} rows with the same pids and times"
        if key[last] == "began":
            starts = [start * _START_ROUNDING_SECONDS for _, start in members]
            if max(starts) - min(starts) <= _STARTS_APART_SECONDS:
                continue
            text = f"{count:,} processes with the same pids, which began at the same times"
        if pids >= _SHARED_PROCESSES:
            found.setdefault(pair, text)
    return found


def _rounded_down(seconds: float) -> float:
    """The number with two digits, never more than it was."""
    if seconds <= 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(seconds)) - 1)
    return float(f"{math.floor(seconds / step * (1 + 1e-12)) * step:.12g}")
