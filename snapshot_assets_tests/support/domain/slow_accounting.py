"""A second accounting, slow and obvious: plain loops, dicts and exact fractions.

It was written from the contract, not from :mod:`snapshot_assets.domain.accounting`, so that tests
find any mistake that was not made twice. It shares the rules, the window and the ledger's shape
with the package, and no computation. It need not be fast, and should not be made fast.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from fractions import Fraction

import pandas as pd

from snapshot_assets.domain.ledger import Ledger
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.time import Window

BUCKET = 300

Key = tuple[int, str, str | None, str | None]


@dataclass(frozen=True)
class Use:
    """The exact use of one (bucket, host, username, comm)."""

    cpu_norm: Fraction
    rss_gb: Fraction
    covered_seconds: Fraction
    snapshots: int


@dataclass(frozen=True)
class SlowAccount:
    """Aggregates by key, with None for the names of an idle bucket, and the ledger."""

    aggregates: dict[Key, Use]
    ledger: Ledger


@dataclass
class _Row:
    host: str
    time: Fraction
    pid: int
    username: str
    comm: str
    cputimes: Fraction
    rss: int
    etimes: Fraction | None
    row_class: str = ""
    span_start: Fraction | None = None
    span_cpu: Fraction = Fraction(0)


@dataclass
class _Cover:
    seconds: Fraction = Fraction(0)
    snapshots: int = 0
    cpu: dict[tuple[str, str], Fraction] = field(default_factory=dict)
    byte_seconds: dict[tuple[str, str], Fraction] = field(default_factory=dict)


def slow_account(rows: pd.DataFrame, window: Window, rules: AccountingRules) -> SlowAccount:
    """The result that :func:`snapshot_assets.domain.accounting.account` must have."""
    max_gap = Fraction(rules.max_gap_seconds)
    everything = _read(rows)
    kept = _mark_duplicates(everything)

    snapshots: dict[str, list[Fraction]] = {}
    for row in kept:
        snapshots.setdefault(row.host, []).append(row.time)
    snapshots = {host: sorted(set(times)) for host, times in snapshots.items()}

    _find_spans(kept, snapshots, rules)

    covers: dict[tuple[int, str], _Cover] = {}
    for host, times in snapshots.items():
        for earlier, later in itertools.pairwise(times):
            if later - earlier > max_gap:
                continue
            present = [row for row in kept if row.host == host and row.time == later]
            for bucket, seconds in _overlaps(earlier, later, window):
                cover = covers.setdefault((bucket, host), _Cover())
                cover.seconds += seconds
                cover.snapshots += 1
                for row in present:
                    if row.row_class == "excluded":
                        continue
                    if rules.drop_idle_memory and _was_idle(row):
                        continue
                    who = (row.username, row.comm)
                    so_far = cover.byte_seconds.get(who, Fraction(0))
                    cover.byte_seconds[who] = so_far + row.rss * seconds

    attributed = excluded = Fraction(0)
    for row in kept:
        if row.span_start is None:
            continue
        length = row.time - row.span_start
        for bucket, seconds in _overlaps(row.span_start, row.time, window):
            share = row.span_cpu * seconds / length
            if row.row_class == "excluded":
                excluded += share
                continue
            attributed += share
            cpu = covers[bucket, row.host].cpu
            who = (row.username, row.comm)
            cpu[who] = cpu.get(who, Fraction(0)) + share

    aggregates: dict[Key, Use] = {}
    for (bucket, host), cover in covers.items():
        used = False
        for who in {*cover.cpu, *cover.byte_seconds}:
            cores = cover.cpu.get(who, Fraction(0)) / cover.seconds
            gb = cover.byte_seconds.get(who, Fraction(0)) / cover.seconds / 10**9
            if cores or gb:
                used = True
                aggregates[bucket, host, *who] = Use(cores, gb, cover.seconds, cover.snapshots)
        if not used:
            nothing = Fraction(0)
            idle = Use(nothing, nothing, cover.seconds, cover.snapshots)
            aggregates[bucket, host, None, None] = idle

    in_window = [row for row in everything if window.start <= row.time < window.end]
    gap = sum((row.span_cpu for row in in_window if row.row_class == "gap"), Fraction(0))
    ledger = Ledger(
        rows_read=len(everything),
        rows=_count(everything),
        window_rows=_count(in_window),
        attributed_cpu_seconds=float(attributed),
        excluded_cpu_seconds=float(excluded),
        gap_cpu_seconds=float(gap),
        covered_seconds=float(sum((c.seconds for c in covers.values()), Fraction(0))),
        buckets=len(covers),
    )
    return SlowAccount(aggregates, ledger)


def _read(rows: pd.DataFrame) -> list[_Row]:
    return [
        _Row(
            host=str(row["host"]),
            time=Fraction(row["snapshot_time_epoch"]),
            pid=int(row["pid"]),
            username=str(row["username"]),
            comm=str(row["comm"]),
            cputimes=Fraction(row["cputimes"]),
            rss=int(row["rss"]),
            etimes=None if pd.isna(row["etimes"]) else Fraction(row["etimes"]),
        )
        for row in rows.to_dict("records")
    ]


def _mark_duplicates(everything: list[_Row]) -> list[_Row]:
    """Mark duplicates, and return the rows that stay.

    Of each (host, pid, time) the row with the largest cputimes stays, then the one with the largest
    rss. If both are equal, the contract only requires that the order of the rows must not matter.
    Here etimes, username and comm decide.
    """
    best: dict[tuple[str, int, Fraction], _Row] = {}
    for row in everything:
        key = (row.host, row.pid, row.time)
        rival = best.get(key)
        if rival is None:
            best[key] = row
        elif _weight(row) > _weight(rival):
            rival.row_class = "duplicate"
            best[key] = row
        else:
            row.row_class = "duplicate"
    return list(best.values())


def _weight(row: _Row) -> tuple[Fraction, int, Fraction, str, str]:
    etimes = Fraction(-1) if row.etimes is None else row.etimes
    return row.cputimes, row.rss, etimes, row.username, row.comm


def _find_spans(
    kept: list[_Row], snapshots: dict[str, list[Fraction]], rules: AccountingRules
) -> None:
    """Give each row its class, and its span and CPU if it has a span."""
    max_gap, slack = Fraction(rules.max_gap_seconds), Fraction(rules.slack_seconds)
    last_row: dict[tuple[str, int], _Row] = {}
    for row in sorted(kept, key=lambda row: row.time):
        earlier = last_row.get((row.host, row.pid))
        last_row[row.host, row.pid] = row
        position = snapshots[row.host].index(row.time)
        before = snapshots[row.host][position - 1] if position else None

        row.row_class = "first_seen"
        if earlier is not None and _same_process(earlier, row, slack):
            row.span_cpu = row.cputimes - earlier.cputimes
            if row.time - earlier.time > max_gap:
                row.row_class = "gap"
            else:
                row.row_class = "attributed"
                row.span_start = earlier.time
        elif (
            before is not None
            and row.etimes is not None
            and row.etimes <= row.time - before + slack
        ):
            row.span_cpu = row.cputimes
            if row.time - before > max_gap:
                row.row_class = "gap"
            else:
                row.row_class = "attributed"
                born = min(row.time - row.etimes, row.time - 1)
                row.span_start = max(born, before)

        if any(fnmatchcase(row.username, pattern) for pattern in rules.excluded_users):
            row.row_class = "excluded"


def _same_process(earlier: _Row, later: _Row, slack: Fraction) -> bool:
    passed = later.time - earlier.time
    if later.cputimes < earlier.cputimes:
        return False
    if later.etimes is None:
        return True
    if later.etimes < passed - slack:
        return False
    if earlier.etimes is None:
        return True
    aged = later.etimes - earlier.etimes
    return abs(aged - passed) <= slack


def _was_idle(row: _Row) -> bool:
    """Whether the process used no CPU in a covered span.

    A row after a gap does not count as idle: whether the process was idle is known only from the
    row before the gap, and a partition may not read that row.
    """
    return row.row_class == "attributed" and row.span_cpu == 0


def _overlaps(start: Fraction, end: Fraction, window: Window) -> Iterator[tuple[int, Fraction]]:
    """Each bucket of the window that (start, end] overlaps, and the seconds of the overlap."""
    bucket = int(start // BUCKET) * BUCKET
    while bucket < end:
        seconds = min(end, Fraction(bucket + BUCKET)) - max(start, Fraction(bucket))
        if seconds > 0 and window.start <= bucket < window.end:
            yield bucket, seconds
        bucket += BUCKET


def _count(rows: list[_Row]) -> dict[str, int]:
    classes = ("attributed", "gap", "first_seen", "duplicate", "excluded")
    return {name: sum(row.row_class == name for row in rows) for name in classes}
