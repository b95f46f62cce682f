"""Rules 1 to 5 of the contract's accounting, slow and obvious: rows, snapshots, identity.

Each function is one rule, and its docstring is the rule's text. What rows used is
:mod:`snapshot_assets_tests.support.domain.slow_accounting`.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pandas as pd

from snapshot_assets.domain.rules import AccountingRules

OLDEST = 20 * Fraction("365.25") * 86_400

Key = tuple[Fraction, str, str]


@dataclass(eq=False)
class SlowRow:
    """One row of the table, its needed values usable, and what became of it."""

    host: str
    stamp: Fraction
    pid: Fraction
    username: str
    comm: str
    cputimes: Fraction
    rss: Fraction
    etimes: Fraction | None
    odd: bool
    row_class: str = ""
    span_start: Fraction | None = None
    span_cpu: Fraction = Fraction(0)

    @property
    def key(self) -> Key:
        return self.pid, self.username, self.comm


@dataclass(eq=False)
class Rejected:
    """A row of the table whose needed values cannot be; its stamp where that can be."""

    stamp: Fraction | None
    row_class: str = "rejected"


@dataclass(eq=False)
class Snapshot:
    """What one pass of a collector saw of a host."""

    time: Fraction
    stamps: int
    rows: dict[Key, SlowRow]
    shared: set[Fraction]
    before: Snapshot | None = None
    # The clock offset since the snapshot before, and the sum of all offsets up to here.
    offset: Fraction = Fraction(0)
    offsets: Fraction = Fraction(0)


@dataclass
class RowBefore:
    """The row before a row, and its snapshot."""

    snapshot: Snapshot
    row: SlowRow


def near_seconds(rules: AccountingRules) -> Fraction:
    """NEAR = MAX_GAP + 2·SLACK."""
    return Fraction(rules.max_gap_seconds) + 2 * Fraction(rules.slack_seconds)


def read(table: pd.DataFrame) -> list[SlowRow | Rejected]:
    """1, unusable values.

    An ``etimes`` below 0 or above 20 years (of 365.25 days) or infinite is NULL, and the row
    counted as *odd*: an optional column never refuses a row (dropped duplicates count too, rejected
    rows do not). A row whose needed values cannot be is *rejected*: ``cputimes`` or ``rss`` NULL,
    negative or not finite; host, pid, username or epoch NULL; epoch not finite or negative. It
    changes nothing but the ledger: left out of all below, counted, shown with a sample. A NULL
    ``comm`` is an empty one.
    """
    return [_read_row(record) for record in table.to_dict("records")]


def _read_row(record: dict[Any, Any]) -> SlowRow | Rejected:
    stamp = _possible(record["snapshot_time_epoch"])
    cputimes, rss = _possible(record["cputimes"]), _possible(record["rss"])
    nameless = pd.isna(record["host"]) or pd.isna(record["username"])
    numberless = not math.isfinite(record["pid"])
    if nameless or numberless or stamp is None or cputimes is None or rss is None:
        return Rejected(stamp)
    etimes = _possible(record["etimes"])
    if etimes is not None and etimes > OLDEST:
        etimes = None
    return SlowRow(
        host=str(record["host"]),
        stamp=stamp,
        pid=Fraction(record["pid"]),
        username=str(record["username"]),
        comm="" if pd.isna(record["comm"]) else str(record["comm"]),
        cputimes=cputimes,
        rss=rss,
        etimes=etimes,
        odd=etimes is None and not pd.isna(record["etimes"]),
    )


def _possible(value: float) -> Fraction | None:
    """The exact number, or None for NULL, negative and infinite ones."""
    return Fraction(value) if math.isfinite(value) and value >= 0 else None


def drop_duplicates(rows: Iterable[SlowRow]) -> list[SlowRow]:
    """2, duplicates.

    Rows equal in (host, pid, username, comm, time): keep one whole row, by the largest
    ``cputimes``, then ``rss``, then ``etimes`` (NULL is smallest). Rows equal in (host, pid, time)
    only are different processes.
    """
    best: dict[tuple[str, Key, Fraction], SlowRow] = {}
    for row in rows:
        place = (row.host, row.key, row.stamp)
        rival = best.get(place)
        if rival is None or _weight(row) > _weight(rival):
            best[place] = row
            dropped = rival
        else:
            dropped = row
        if dropped is not None:
            dropped.row_class = "duplicate"
    return list(best.values())


def _weight(row: SlowRow) -> tuple[Fraction, Fraction, Fraction]:
    return row.cputimes, row.rss, Fraction(-1) if row.etimes is None else row.etimes


def snapshots_of(rows: Sequence[SlowRow], rules: AccountingRules) -> list[Snapshot]:
    """3, snapshots, of the rows of one host, ascending.

    A host's distinct times, cut wherever two are more than PASS apart, are clusters. A cluster at
    most PASS_SPAN long in which no (pid, username, comm) occurs twice is one snapshot: a collector
    that stamps row by row took one, not thirty. In any other cluster each time is a snapshot. A
    snapshot's time T is its last stamp; a row keeps its own stamp τ ≤ T. A pid that several rows of
    a snapshot have is *shared* there (containers, rolled-up groups); a pid ≤ 0 always is.
    """
    at: dict[Fraction, list[SlowRow]] = {}
    for row in rows:
        at.setdefault(row.stamp, []).append(row)

    clusters: list[list[Fraction]] = []
    for stamp in sorted(at):
        if clusters and stamp - clusters[-1][-1] <= rules.pass_seconds:
            clusters[-1].append(stamp)
        else:
            clusters.append([stamp])

    snapshots: list[Snapshot] = []
    for cluster in clusters:
        keys = [row.key for stamp in cluster for row in at[stamp]]
        short = cluster[-1] - cluster[0] <= rules.pass_span_seconds
        one_pass = short and len(set(keys)) == len(keys)
        for stamps in [cluster] if one_pass else [[stamp] for stamp in cluster]:
            taken = [row for stamp in stamps for row in at[stamp]]
            pids = Counter(row.pid for row in taken)
            snapshot = Snapshot(
                time=stamps[-1],
                stamps=len(stamps),
                rows={row.key: row for row in taken},
                shared={pid for pid, times in pids.items() if times > 1 or pid <= 0},
                before=snapshots[-1] if snapshots else None,
            )
            snapshots.append(snapshot)
    return snapshots


def find_clock_offsets(snapshots: Sequence[Snapshot], rules: AccountingRules) -> None:
    """4, clock offset: sets ``offset`` and ``offsets`` of each snapshot of a host.

    Between consecutive snapshots at most NEAR apart: over all (pid, username, comm) in both, with
    both ``etimes`` known and ``cputimes`` not fallen, δ = Δetimes - Δτ. With three or more of them:
    d = their median (mean of the middle two) if more than half lie within SLACK of it; with one or
    two: d = -(T₂ - T₁) if none of their ``etimes`` moved at all. A d with abs(d) ≤ SLACK, or none,
    is 0. It is the stamp that is off (a late sample, a clock that was set, a column that is not
    filled), not the processes. Offsets add up over several snapshots: Σd.
    """
    for one, two in itertools.pairwise(snapshots):
        d = Fraction(0)
        if two.time - one.time <= near_seconds(rules):
            d = _clock_offset(one, two, rules)
        two.offset = d if abs(d) > rules.slack_seconds else Fraction(0)
        two.offsets = one.offsets + two.offset


def _clock_offset(one: Snapshot, two: Snapshot, rules: AccountingRules) -> Fraction:
    aged: list[Fraction] = []
    passed: list[Fraction] = []
    for key, later in two.rows.items():
        earlier = one.rows.get(key)
        if earlier is None or earlier.etimes is None or later.etimes is None:
            continue
        if later.cputimes >= earlier.cputimes:
            aged.append(later.etimes - earlier.etimes)
            passed.append(later.stamp - earlier.stamp)

    if len(aged) >= 3:
        deltas = sorted(a - p for a, p in zip(aged, passed, strict=True))
        middle = len(deltas) // 2
        median = deltas[middle] if len(deltas) % 2 else (deltas[middle - 1] + deltas[middle]) / 2
        agreeing = [delta for delta in deltas if abs(delta - median) <= rules.slack_seconds]
        return median if 2 * len(agreeing) > len(deltas) else Fraction(0)
    if aged and not any(aged):
        return -(two.time - one.time)
    return Fraction(0)


@dataclass
class Memory:
    """The latest rows of a host's snapshots so far, by pid and by key."""

    by_pid: dict[Fraction, tuple[Snapshot, list[SlowRow]]] = field(default_factory=dict)
    by_key: dict[Key, RowBefore] = field(default_factory=dict)

    def row_before(self, row: SlowRow, snapshot: Snapshot) -> RowBefore | None:
        """5, the row before a row of snapshot T.

        That of the latest earlier snapshot with its pid; if the pid is shared in T or was in that
        one, the latest earlier row with its (pid, username, comm).
        """
        if row.pid not in self.by_pid:
            return None
        earlier, rows = self.by_pid[row.pid]
        if row.pid in snapshot.shared or row.pid in earlier.shared:
            return self.by_key.get(row.key)
        return RowBefore(earlier, rows[0])

    def add(self, snapshot: Snapshot) -> None:
        """Remember the rows of this snapshot, once those before them are found."""
        pids: dict[Fraction, list[SlowRow]] = {}
        for key, row in snapshot.rows.items():
            self.by_key[key] = RowBefore(snapshot, row)
            pids.setdefault(row.pid, []).append(row)
        self.by_pid.update({pid: (snapshot, rows) for pid, rows in pids.items()})


def is_same_process(
    before: RowBefore, row: SlowRow, snapshot: Snapshot, rules: AccountingRules
) -> bool:
    """5, the *same process*, with x = Δτ + Σd.

    Both ``etimes`` known: abs(Δetimes - x) is at most SLACK, but at most 2 s if ``cputimes`` fell
    (threads that ended); only the later known: ``etimes`` ≥ x - SLACK and ``cputimes`` not fallen;
    later unknown: not fallen.
    """
    slack = Fraction(rules.slack_seconds)
    x = row.stamp - before.row.stamp + snapshot.offsets - before.snapshot.offsets
    fell = row.cputimes < before.row.cputimes
    if row.etimes is None:
        return not fell
    if before.row.etimes is None:
        return row.etimes >= x - slack and not fell
    return abs(row.etimes - before.row.etimes - x) <= (2 if fell else slack)


def is_near(before: RowBefore, snapshot: Snapshot, rules: AccountingRules) -> bool:
    """5: the row before is *near* if its snapshot T₁ ≥ T - NEAR."""
    return before.snapshot.time >= snapshot.time - near_seconds(rules)
