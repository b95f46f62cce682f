"""Strategies for small, awkward tables: rows at the edges of each rule, with rules and a window.

Whole machines with a known truth are in :mod:`snapshot_assets_tests.support.domain.histories`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from hypothesis import strategies as st

from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.time import BUCKET_SECONDS, Window, bucket_start
from snapshot_assets_tests.support.domain.process_rows import (
    DAY,
    GB,
    MIDNIGHT,
    KernelRow,
    Row,
    kernel_rows,
    raw_rows,
)

AWKWARD_HOSTS = (
    "alice",
    "a|b",
    "a/b",
    "..",
    "two words",
    'it\'s "quoted"',
    "größe-01",
    "データ",
    "box🐍",
    "Alice",
)
USERS = ("ana", "bo|b", "system d", "systemd-x", "ünal", "root")
COMMS = ("python", "kworker/0:1", "a b", "…", "")
EXCLUSIONS: tuple[tuple[str, ...], ...] = ((), ("root",), ("system*", "ana"), ("*",))

rules_strategy: st.SearchStrategy[AccountingRules] = st.builds(
    AccountingRules,
    max_gap_seconds=st.sampled_from([900, 300, 600.5, 1200, 61]),
    slack_seconds=st.sampled_from([30, 30, 0, 5, 45.5]),
    excluded_users=st.sampled_from(EXCLUSIONS),
    drop_idle_memory=st.booleans(),
    pass_seconds=st.sampled_from([5, 5, 0, 1]),
    pass_span_seconds=st.sampled_from([120, 10, 0]),
    min_cputimes=st.sampled_from([0.0, 0.0, 1.0, 60.0]),
    capacity_cores=st.sampled_from([{}, {}, {"alice": 1.0, "größe-01": 2.0}]),
)


@dataclass(frozen=True)
class Scenario:
    """Generated rows, the rules to account them by, the kernel's count, a window to publish."""

    rows: pd.DataFrame
    rules: AccountingRules
    window: Window
    machines: pd.DataFrame | None = None

    @property
    def whole(self) -> Window:
        """A window that holds every row with a time."""
        return around(self.rows)

    def __repr__(self) -> str:
        return (
            f"{self.rules}, window {self.window.start - MIDNIGHT}..{self.window.end - MIDNIGHT}, "
            f"rows (host, seconds since {DAY}, pid, username, comm, cputimes, rss, etimes):"
            f"{_listed(self.rows)}{_listed(self.machines)}"
        )


def _listed(table: pd.DataFrame | None) -> str:
    if table is None:
        return ""
    since = table["snapshot_time_epoch"] - MIDNIGHT
    records = table.assign(snapshot_time_epoch=since).to_dict("records")
    return "".join(f"\n  {tuple(record.values())}" for record in records)


def around(rows: pd.DataFrame) -> Window:
    """The smallest window that holds every row whose time can be; one bucket without any."""
    time = rows["snapshot_time_epoch"]
    time = time[(time >= 0) & (time < math.inf)]
    if time.empty:
        return Window(MIDNIGHT, MIDNIGHT + BUCKET_SECONDS)
    return Window.around(time.min(), time.max())


@st.composite
def windows_around(draw: st.DrawFn, rows: pd.DataFrame) -> Window:
    """A window that holds all rows, some rows or no row, or that is empty."""
    whole = around(rows)
    last = (whole.end - whole.start) // BUCKET_SECONDS
    first = draw(st.integers(-1, min(last, 40)))
    count = draw(st.one_of(st.just(last + 2), st.integers(0, 12)))
    start = whole.start + first * BUCKET_SECONDS
    return Window(start, start + count * BUCKET_SECONDS)


@st.composite
def scenarios(
    draw: st.DrawFn,
    rules: st.SearchStrategy[AccountingRules] = rules_strategy,
    max_hosts: int = 3,
) -> Scenario:
    """Rows of plausible processes or noise, with rules and a window."""
    drawn_rules = draw(rules)
    hosts = draw(
        st.lists(st.sampled_from(AWKWARD_HOSTS), min_size=1, max_size=max_hosts, unique=True)
    )
    rows: list[Row] = []
    for host in hosts:
        kind = draw(st.sampled_from([lifetimes, lifetimes, noise]))
        rows += draw(kind(host, drawn_rules))
    rows += draw(_duplicates(rows))
    rows = draw(_damaged(rows))
    table = raw_rows(rows)
    machines = draw(_kernel(rows)) if draw(st.booleans()) else None
    return Scenario(table, drawn_rules, draw(windows_around(table)), machines)


@st.composite
def snapshot_times(draw: st.DrawFn, rules: AccountingRules) -> list[float]:
    """Irregular times around midnight: jitter, edges of gap and slack, borders, fractions."""
    gap, slack = rules.max_gap_seconds, rules.slack_seconds
    edges = [gap - 1, gap, gap + 0.25, gap + 1, gap + 2 * slack, gap + 2 * slack + 1, 2 * gap]
    step = st.one_of(
        st.sampled_from([300, 300, 60, 240, 299, 301, 30, 0.5, 1, 3, 5, 5.25, 86_400 - 600]),
        st.sampled_from(edges),
        st.integers(1, 1500),
        st.integers(1, 900_000).map(lambda ms: ms / 1000),
        st.sampled_from(["border", "border + 0.5", "border + 1.5", "border - 0.25"]),
    )
    time = float(MIDNIGHT + draw(st.sampled_from([-2400, -1800, -900, -300, 0, 60.25])))
    times = [time]
    for ahead in draw(st.lists(step, max_size=9)):
        if isinstance(ahead, str):
            beside = float(ahead.removeprefix("border").replace(" ", "") or 0)
            time = bucket_start(time + 1) + BUCKET_SECONDS + beside
        else:
            time += float(ahead)
        times.append(time)
    return times


@st.composite
def _stamps(draw: st.DrawFn, times: Sequence[float], rules: AccountingRules) -> list[float]:
    """What the collector calls these times: the clock is off at one, or from one on, or right."""
    slack = rules.slack_seconds
    off = draw(st.sampled_from([0, 0, 0, slack, slack + 0.25, 45, -45, 600, -600.5]))
    first = draw(st.integers(0, len(times) - 1))
    last = draw(st.sampled_from([first, len(times) - 1]))
    return [time + off * (first <= place <= last) for place, time in enumerate(times)]


@st.composite
def lifetimes(draw: st.DrawFn, host: str, rules: AccountingRules) -> list[Row]:
    """Rows of plausible processes, from a collector that misses and misreports some of them.

    Processes are born before the first snapshot, between two snapshots, or at a snapshot. They
    idle, work and die. Some change their user. A few pids are reused, some while still in use. Some
    collectors stamp the rows of a snapshot one after the other; the ages of some are all the same.
    """
    times = draw(snapshot_times(rules))
    stamps = draw(_stamps(times, rules))
    delay = draw(st.sampled_from([0, 0, 0, 0.25, 4, rules.pass_seconds, rules.pass_seconds + 0.25]))
    ages = draw(st.sampled_from([None, None, None, "exact", "constant"]))
    rows: list[Row] = []
    for place in range(draw(st.integers(1, 5))):
        found = draw(_lifetime(host, times, stamps, ages, rules))
        rows += [row._replace(time=row.time + place * delay) for row in found]
    return rows


@st.composite
def _lifetime(
    draw: st.DrawFn,
    host: str,
    times: Sequence[float],
    stamps: Sequence[float],
    ages: str | None,
    rules: AccountingRules,
) -> list[Row]:
    slack = rules.slack_seconds
    pid = draw(st.sampled_from([1, 2, 3, 1, 2, 3, 0, -1]))
    username = draw(st.one_of(st.just("ana"), st.sampled_from(USERS)))
    comm = draw(st.one_of(st.just("python"), st.sampled_from(COMMS)))
    first = draw(st.integers(0, len(times) - 1))
    last = draw(st.integers(first, len(times) - 1))
    age = draw(st.sampled_from([0, 0.25, 1, 10, 59, 250, 300, 900, 5000]))
    born = times[first] - age
    kinds = ["exact", "exact", "whole seconds", "never", "drifting"]
    reports_age = ages or draw(st.sampled_from(kinds))
    rate = draw(st.sampled_from([0, 0, 0.125, 0.7, 1, 16, 1500]))
    cputimes = age * draw(st.sampled_from([0, 0.5, 1]))
    rss = draw(st.sampled_from([0, 1, 10**6, 3 * GB]))
    setuid = draw(st.one_of(st.none(), st.integers(first, last)))
    loses_threads = draw(st.one_of(st.none(), st.none(), st.integers(first, last)))
    missed = draw(st.sets(st.integers(first, last), max_size=2))

    rows = []
    for index in range(first, last + 1):
        time = times[index]
        if index > first:
            cputimes += rate * (time - times[index - 1])
        if index == loses_threads:
            cputimes /= 2
        if index == setuid:
            username = draw(st.sampled_from(USERS))
        if index in missed:
            continue
        etimes: float | None = time - born
        if reports_age == "whole seconds":
            etimes = float(math.floor(time - born))
        elif reports_age == "constant":
            etimes = 25.0
        elif reports_age == "never":
            etimes = None
        elif reports_age == "drifting":
            drifts = [None, 0, 2, 2.25, slack, slack + 0.25, -slack, -slack - 1]
            drift = draw(st.sampled_from(drifts))
            etimes = None if drift is None else max(time - born + drift, 0.0)
        rows.append(Row(host, stamps[index], pid, username, comm, cputimes, rss, etimes))
    return rows


@st.composite
def noise(draw: st.DrawFn, host: str, rules: AccountingRules) -> list[Row]:
    """Unrelated rows, with a few times, pids and values.

    A known age reaches back to one of the other times, exactly or with an error of about the slack.
    """
    times = draw(snapshot_times(rules))
    slack = rules.slack_seconds
    misses = [0.0, slack, -slack, slack + 0.25, -slack - 0.25]
    drawn = st.tuples(
        st.sampled_from(times),
        st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0, 60.0]), st.sampled_from(times)),
        st.sampled_from(misses),
        st.integers(0, 3),
        st.sampled_from(USERS[:3]),
        st.sampled_from(COMMS[:2]),
        st.sampled_from([0.0, 0.25, 1.0, 1.0, 300.0, 1e6]),
        st.sampled_from([0, 4096, 2 * GB]),
    )
    rows = []
    for time, born, miss, pid, username, comm, cputimes, rss in draw(st.lists(drawn, max_size=14)):
        etimes = born
        if born is not None and born >= times[0]:
            etimes = max(time - born + miss, 0.0)
        rows.append(Row(host, time, pid, username, comm, cputimes, rss, etimes))
    return rows


@st.composite
def _duplicates(draw: st.DrawFn, rows: list[Row]) -> list[Row]:
    """Some of the rows again, as a second collector would write them: equal or almost equal."""
    if not rows:
        return []
    again = draw(st.lists(st.integers(0, len(rows) - 1), max_size=4))
    changes: list[dict[str, Any]] = [
        {},
        {},
        {"rss": 5 * GB},
        {"cputimes": 0.5},
        {"username": "ana", "comm": "python"},
        {"etimes": None},
        {"etimes": 2.0, "username": "ünal"},
    ]
    return [rows[index]._replace(**draw(st.sampled_from(changes))) for index in again]


@st.composite
def _damaged(draw: st.DrawFn, rows: list[Row]) -> list[Row]:
    """The rows, a few of them with values that cannot be or are missing."""
    if not rows or not draw(st.booleans()):
        return rows
    changes: list[dict[str, Any]] = [
        *({"etimes": age} for age in (-1.0, 20 * 365.25 * 86_400, 4294967295.0, math.inf)),
        *({"cputimes": used} for used in (-0.5, math.nan, math.inf, 184467440737.09)),
        *({"rss": size} for size in (-1.0, math.nan, math.inf)),
        *({"time": time} for time in (-1.0, math.nan, math.inf)),
        *({name: None} for name in ("host", "username", "comm")),
        {"pid": math.nan},
    ]
    damaged = list(rows)
    for index in draw(st.lists(st.integers(0, len(rows) - 1), max_size=4)):
        damaged[index] = damaged[index]._replace(**draw(st.sampled_from(changes)))
    return damaged


@st.composite
def _kernel(draw: st.DrawFn, rows: list[Row]) -> pd.DataFrame:
    """What the kernels of the rows' hosts counted at some of the rows' times, or beside them."""
    places = sorted({(row.host, row.time) for row in rows if row.host and 0 <= row.time < math.inf})
    if not places:
        return kernel_rows([])
    amounts = st.sampled_from([1.0, 2.0, 64.0, None, 0.0, -1.0, math.inf])
    boots = st.sampled_from([0.0, 0.0, 0.0, 60.0, 60.25, 1e6, None])
    missing = st.sampled_from([None, -1.0, math.inf])
    found = []
    for host, time in draw(st.lists(st.sampled_from(places), max_size=12)):
        busy: float | None = (time - MIDNIGHT + 3_000) * draw(st.sampled_from([1.0, 1.0, 0.5]))
        if draw(st.integers(0, 9)) == 0:
            busy = draw(missing)
        time += draw(st.sampled_from([0, 0, 0, 1, -0.5, 150]))
        used = draw(st.sampled_from([0.0, 1.0 * GB, 3.0 * GB, None, -1.0]))
        found.append(KernelRow(host, time, draw(amounts), busy, 4.0 * GB, used, draw(boots)))
    return kernel_rows(found)
