"""A second accounting, slow and obvious: plain loops, dicts and exact fractions.

It was written from the contract, not from :mod:`snapshot_assets.domain.accounting`, so that tests
find any mistake that was not made twice. It shares the rules' values and the window with the
package, and no computation. It need not be fast, and should not be made fast. Each rule is one
function, and its docstring is the rule's text: 1 to 5 are in ``slow_rows``, 12 is in
``slow_machines``, the others are here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import NamedTuple

import pandas as pd

from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.time import Window
from snapshot_assets_tests.support.domain.slow_machines import (
    BUCKET,
    MachineRow,
    MachineUse,
    cores_of,
    machine_use,
    overlaps,
    read_machines,
)
from snapshot_assets_tests.support.domain.slow_rows import (
    Memory,
    Rejected,
    RowBefore,
    SlowRow,
    Snapshot,
    drop_duplicates,
    find_clock_offsets,
    is_near,
    is_same_process,
    read,
    snapshots_of,
)

CLASSES = (
    "attributed",
    "gap",
    "first_seen",
    "duplicate",
    "excluded",
    "implausible",
    "rejected",
)
GB = 10**9

Owner = tuple[str, str]


class Use(NamedTuple):
    """What one (username, comm) used in a bucket."""

    core_seconds: Fraction
    byte_seconds: Fraction


@dataclass
class SlowBucket:
    """A covered bucket of a host; ``uses`` has no entries of zero."""

    covered: Fraction = Fraction(0)
    snapshots: int = 0
    uses: dict[Owner, Use] = field(default_factory=dict)
    excluded: Fraction = Fraction(0)
    machine: MachineUse = field(default_factory=MachineUse)

    @property
    def attributed(self) -> Fraction:
        return sum((use.core_seconds for use in self.uses.values()), Fraction(0))

    def add(self, owner: Owner, core_seconds: Fraction, byte_seconds: Fraction) -> None:
        if core_seconds or byte_seconds:
            so_far = self.uses.get(owner, Use(Fraction(0), Fraction(0)))
            self.uses[owner] = Use(
                so_far.core_seconds + core_seconds, so_far.byte_seconds + byte_seconds
            )


@dataclass(frozen=True)
class SlowAccount:
    """The buckets of a window, the class of each row in the table's order, and the ledger.

    ``rows`` counts the classes of all rows read, ``window_rows`` of those stamped in the window;
    ``counts`` has the other numbers of the ledger, by their names there.
    """

    buckets: dict[tuple[int, str], SlowBucket]
    classes: list[str]
    rows: dict[str, int]
    window_rows: dict[str, int]
    counts: dict[str, Fraction | int]


def slow_account(
    table: pd.DataFrame,
    window: Window,
    rules: AccountingRules,
    machines: pd.DataFrame | None = None,
) -> SlowAccount:
    """The result that :func:`snapshot_assets.domain.accounting.account` must have."""
    everything = read(table)
    kept = drop_duplicates(row for row in everything if isinstance(row, SlowRow))
    machine_rows = read_machines(machines)

    snapshots: dict[str, list[Snapshot]] = {}
    for host in sorted({row.host for row in kept}):
        snapshots[host] = snapshots_of([row for row in kept if row.host == host], rules)
        find_clock_offsets(snapshots[host], rules)
        find_spans(host, snapshots[host], rules, machine_rows)

    buckets: dict[tuple[int, str], SlowBucket] = {}
    for host in snapshots:
        of_host = cover(snapshots[host], rules)
        add_cpu(of_host, snapshots[host])
        add_memory(of_host, snapshots[host], rules)
        machine = machine_use(machine_rows.get(host, []), rules)
        for bucket, found in of_host.items():
            if window.start <= bucket < window.end:
                found.machine = machine.get(bucket, MachineUse())
                buckets[bucket, host] = found

    in_window = [row for row in everything if row.stamp is not None and _in(row.stamp, window)]
    return SlowAccount(
        buckets=buckets,
        classes=[row.row_class for row in everything],
        rows=_count(everything),
        window_rows=_count(in_window),
        counts=_ledger_counts(buckets, snapshots, in_window, window),
    )


def _is_covered(snapshot: Snapshot, rules: AccountingRules) -> bool:
    """3: consecutive snapshots T₁ < T₂ with T₂ - T₁ ≤ MAX_GAP *cover* (T₁, T₂]."""
    before = snapshot.before
    return before is not None and snapshot.time - before.time <= rules.max_gap_seconds


def find_spans(
    host: str,
    snapshots: list[Snapshot],
    rules: AccountingRules,
    machines: dict[str, list[MachineRow]],
) -> None:
    """6, CPU spans: sets the class, the span and its CPU of each row of a host.

    Each row ends at most one span, charged to its ``username`` and ``comm``. A span, of a gap too,
    whose CPU exceeds (its length + SLACK) · cores(host, T) makes its row *implausible* instead
    (counter jumps, children's time): never published, its CPU in the ledger; no later letter is
    tried; the row still has memory and can be a row before.

    9. Excluded accounts (a setting) are left out of 7 and 8 and counted.
    """
    memory = Memory()
    for snapshot in snapshots:
        cores = cores_of(host, snapshot.time, machines, rules)
        for row in snapshot.rows.values():
            before = memory.row_before(row, snapshot)
            row.row_class, row.span_start, row.span_cpu = _span(row, snapshot, before, cores, rules)
            if row.span_start is not None:
                length = snapshot.time - row.span_start
                if row.span_cpu > (length + Fraction(rules.slack_seconds)) * cores:
                    row.row_class = "implausible"
            if row.row_class != "attributed":
                row.span_start = None  # only attributed spans are spread
            if any(fnmatchcase(row.username, pattern) for pattern in rules.excluded_users):
                row.row_class = "excluded"
        memory.add(snapshot)


def _span(
    row: SlowRow,
    snapshot: Snapshot,
    before: RowBefore | None,
    cores: Fraction,
    rules: AccountingRules,
) -> tuple[str, Fraction | None, Fraction]:
    """6: class, start and CPU of the row's span, which ends at T. The first that holds.

    a. the row before is the same process and near: span (T₁, T], CPU max(Δcputimes, 0);
       *attributed*, or *gap* if T - T₁ > MAX_GAP;
    b. born: (T_prev, T] is covered, ``etimes`` known, elapsed > 0, ``etimes`` ≤ elapsed + SLACK:
       span (max(τ - etimes, T_prev), T], at least 1 s long but not before T_prev, CPU =
       ``cputimes``, *attributed*. This is how short-lived processes count that a snapshot saw;
    c. emerged, only with θ > 0: (T_prev, T] is covered, there is no row before that is near, and
       0 ≤ cputimes - θ ≤ (T - T_prev + SLACK) · cores: span (T_prev, T], CPU = cputimes - θ,
       *attributed*;
    d. the row before is the same process: span (T₁, T], CPU max(Δcputimes, 0), *gap*;
    e. as b, but (T_prev, T] is not covered: *gap* with ``cputimes``;
    f. else *first seen*: no span.
    """
    slack = Fraction(rules.slack_seconds)
    same = before is not None and is_same_process(before, row, snapshot, rules)
    near = before is not None and is_near(before, snapshot, rules)

    born_at = None
    if snapshot.before is not None and row.etimes is not None:
        elapsed = row.stamp - snapshot.before.time + snapshot.offset
        if elapsed > 0 and row.etimes <= elapsed + slack:
            born_at = max(row.stamp - row.etimes, snapshot.before.time)
            born_at = max(min(born_at, snapshot.time - 1), snapshot.before.time)

    if before is not None and same and near:
        used = max(row.cputimes - before.row.cputimes, Fraction(0))
        far = snapshot.time - before.snapshot.time > rules.max_gap_seconds
        return "gap" if far else "attributed", before.snapshot.time, used

    if born_at is not None and _is_covered(snapshot, rules):
        return "attributed", born_at, row.cputimes

    theta = Fraction(rules.min_cputimes)
    if theta > 0 and _is_covered(snapshot, rules) and not near and snapshot.before is not None:
        length = snapshot.time - snapshot.before.time
        if 0 <= row.cputimes - theta <= (length + slack) * cores:
            return "attributed", snapshot.before.time, row.cputimes - theta

    if before is not None and same:
        used = max(row.cputimes - before.row.cputimes, Fraction(0))
        return "gap", before.snapshot.time, used

    if born_at is not None:
        return "gap", born_at, row.cputimes

    return "first_seen", None, Fraction(0)


def cover(snapshots: list[Snapshot], rules: AccountingRules) -> dict[int, SlowBucket]:
    """3 and 11: the covered buckets of a host, still without use.

    T₂ speaks for (T₁, T₂]: that is the span of T₂. ``covered(b)`` is the covered time in a bucket.
    11. No bucket without cover. A gap is absent, an idle host is a zero.
    """
    found: dict[int, SlowBucket] = {}
    for snapshot in snapshots:
        if snapshot.before is not None and _is_covered(snapshot, rules):
            for bucket, seconds in overlaps(snapshot.before.time, snapshot.time):
                covered = found.setdefault(bucket, SlowBucket())
                covered.covered += seconds
                covered.snapshots += 1
    return found


def add_cpu(buckets: dict[int, SlowBucket], snapshots: list[Snapshot]) -> None:
    """6 and 7, the CPU of a bucket.

    An attributed span is spread evenly over its length and split at bucket borders. Gap CPU is
    never spread, only reported. 7. ``cpu_norm`` = core-seconds in it ÷ covered(b).
    """
    for snapshot in snapshots:
        for row in snapshot.rows.values():
            if row.span_start is None:
                continue
            for bucket, seconds in overlaps(row.span_start, snapshot.time):
                share = row.span_cpu * seconds / (snapshot.time - row.span_start)
                if row.row_class == "excluded":
                    buckets[bucket].excluded += share
                else:
                    buckets[bucket].add((row.username, row.comm), share, Fraction(0))


def add_memory(
    buckets: dict[int, SlowBucket], snapshots: list[Snapshot], rules: AccountingRules
) -> None:
    """8, the memory of a bucket.

    GB = Σ over snapshots (Σ rss * overlap of its span with b) ÷ covered(b) ÷ 10⁹. Entries of zero
    are left out, here and in 7. Idle processes count; ``drop_idle_memory`` leaves out rows whose
    attributed span used no CPU (rows after a gap keep theirs, so that days stay independent).
    """
    for snapshot in snapshots:
        if snapshot.before is None or not _is_covered(snapshot, rules):
            continue
        for row in snapshot.rows.values():
            idle = row.span_start is not None and row.span_cpu == 0
            if row.row_class == "excluded" or (idle and rules.drop_idle_memory):
                continue
            for bucket, seconds in overlaps(snapshot.before.time, snapshot.time):
                owner = (row.username, row.comm)
                buckets[bucket].add(owner, Fraction(0), row.rss * seconds)


def _ledger_counts(
    buckets: dict[tuple[int, str], SlowBucket],
    snapshots: dict[str, list[Snapshot]],
    in_window: list[SlowRow | Rejected],
    window: Window,
) -> dict[str, Fraction | int]:
    """10, conservation, and what 1, 3, 4 and 12 count.

    The ledger also counts odd ages, clock offsets, shared pids and snapshots of several stamps.
    *Seen* = (attributed + excluded) ÷ machine core-seconds, over a host-day's buckets that both
    cover whole.
    """
    rows = [row for row in in_window if isinstance(row, SlowRow)]
    taken = [s for of_host in snapshots.values() for s in of_host if _in(s.time, window)]
    whole = [b for b in buckets.values() if b.covered == b.machine.seconds == BUCKET]

    def cpu(row_class: str) -> Fraction:
        return sum((row.span_cpu for row in rows if row.row_class == row_class), Fraction(0))

    return {
        "attributed_cpu_seconds": sum((b.attributed for b in buckets.values()), Fraction(0)),
        "excluded_cpu_seconds": sum((b.excluded for b in buckets.values()), Fraction(0)),
        "gap_cpu_seconds": cpu("gap"),
        "implausible_cpu_seconds": cpu("implausible"),
        "covered_seconds": sum((b.covered for b in buckets.values()), Fraction(0)),
        "buckets": len(buckets),
        "odd_ages": sum(row.odd for row in rows),
        "clock_offsets": sum(snapshot.offset != 0 for snapshot in taken),
        "shared_pids": sum(len(_pids(snapshot) & snapshot.shared) for snapshot in taken),
        "stamped_snapshots": sum(snapshot.stamps > 1 for snapshot in taken),
        "machine_cpu_seconds": sum((b.machine.core_seconds for b in whole), Fraction(0)),
        "seen_cpu_seconds": sum((b.attributed + b.excluded for b in whole), Fraction(0)),
    }


def _pids(snapshot: Snapshot) -> set[Fraction]:
    return {row.pid for row in snapshot.rows.values()}


def _count(rows: list[SlowRow | Rejected]) -> dict[str, int]:
    return {name: sum(row.row_class == name for row in rows) for name in CLASSES}


def _in(time: Fraction, window: Window) -> bool:
    return window.start <= time < window.end
