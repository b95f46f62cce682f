"""Process rows for tests: worked examples and their results, strategies for invariants."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from snapshot_assets.domain.accounting import Account, account
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.schemas import FiveMinuteAggregates, RawProcessRows, validate
from snapshot_assets.domain.time import BUCKET_SECONDS, Window, bucket_start

DAY = dt.date(2026, 11, 22)
MIDNIGHT = int(dt.datetime.combine(DAY, dt.time(), dt.UTC).timestamp())
NOON = MIDNIGHT + 12 * 3600
GB = 10**9


class Row(NamedTuple):
    """One process in one snapshot, in the order of the schema's columns."""

    host: str = "alice"
    time: float = NOON
    pid: int = 7
    username: str = "ana"
    comm: str = "python"
    cputimes: float = 0.0
    rss: int = 0
    etimes: float | None = None


def at(clock: str) -> int:
    """Epoch seconds of ``HH:MM`` or ``HH:MM:SS`` on the day of the examples, UTC."""
    return int(dt.datetime.combine(DAY, dt.time.fromisoformat(clock), dt.UTC).timestamp())


def minutes(first: str, last: str) -> Window:
    """The window between two clock times of the day of the examples."""
    return Window(at(first), at(last))


def raw_rows(rows: Iterable[Row | tuple[Any, ...] | Mapping[str, Any]]) -> pd.DataFrame:
    """A valid RawProcessRows table from :class:`Row`, plain tuples in its order, or dicts."""
    whole = [Row(**row) if isinstance(row, Mapping) else Row(*row) for row in rows]
    etimes = [math.nan if row.etimes is None else float(row.etimes) for row in whole]
    return pd.DataFrame(
        {
            "host": _category([row.host for row in whole]),
            "snapshot_time_epoch": np.array([row.time for row in whole], dtype=np.float64),
            "pid": np.array([row.pid for row in whole], dtype=np.float64),
            "username": _category([row.username for row in whole]),
            "comm": _category([row.comm for row in whole]),
            "cputimes": np.array([row.cputimes for row in whole], dtype=np.float64),
            "rss": np.array([row.rss for row in whole], dtype=np.float64),
            "etimes": np.array(etimes, dtype=np.float64),
        }
    )


def _category(values: list[str]) -> pd.Categorical:
    return pd.Categorical(pd.array(values, dtype="str"))


def read_by(rows: pd.DataFrame, window: Window, rules: AccountingRules) -> pd.DataFrame:
    """The rows that a partition of this window reads."""
    start, end = rules.read_range(window)
    time = rows["snapshot_time_epoch"]
    return rows[(time >= start) & (time < end)]


# --- worked examples ---------------------------------------------------------------------------

RULES = AccountingRules()
HOUR = minutes("12:00", "13:00")


def count(rows: list[Row], rules: AccountingRules = RULES, window: Window = HOUR) -> Account:
    """The account of a few rows; the rows and the aggregates are validated."""
    table = validate(RawProcessRows, raw_rows(rows), "an example")
    result = account(table, window, rules)
    validate(FiveMinuteAggregates, result.aggregates, "an example")
    assert result.ledger.balanced
    return result


def totals(result: Account, column: str) -> dict[str, float]:
    """A column summed over each bucket, by the bucket's clock time; idle buckets are zeros."""
    clock = result.aggregates["bucket_start"].dt.strftime("%H:%M")
    return {str(k): float(v) for k, v in result.aggregates[column].groupby(clock).sum().items()}


def cores(result: Account) -> dict[str, float]:
    return totals(result, "cpu_norm")


def gigabytes(result: Account) -> dict[str, float]:
    return totals(result, "rss_gb")


def coverage(result: Account) -> dict[str, float]:
    """Covered seconds by bucket; all rows of a bucket and host have the same value."""
    distinct = result.aggregates.drop_duplicates(["bucket_start", "host"])
    return totals(Account(distinct, result.ledger), "covered_seconds")


def entries(result: Account, column: str) -> dict[tuple[str, str, str], float]:
    """A column by clock time, username and comm."""
    table = result.aggregates
    clock = table["bucket_start"].dt.strftime("%H:%M")
    keys = zip(clock, table["username"], table["comm"], strict=True)
    return {
        (str(time), str(username), str(comm)): float(value)
        for (time, username, comm), value in zip(keys, table[column], strict=True)
    }


def classes(result: Account) -> dict[str, int]:
    """The classes that any row read landed in."""
    return {name: rows for name, rows in result.ledger.rows.items() if rows}


# --- strategies -------------------------------------------------------------------------------

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
    slack_seconds=st.sampled_from([30, 0, 5, 45.5]),
    excluded_users=st.sampled_from(EXCLUSIONS),
    drop_idle_memory=st.booleans(),
)


@dataclass(frozen=True)
class Scenario:
    """Generated rows, the rules to account them by, and a window to publish."""

    rows: pd.DataFrame
    rules: AccountingRules
    window: Window

    @property
    def whole(self) -> Window:
        """A window that holds every row."""
        return around(self.rows)

    def __repr__(self) -> str:
        columns = self.rows.assign(
            snapshot_time_epoch=self.rows["snapshot_time_epoch"] - MIDNIGHT
        ).to_dict("records")
        listed = "".join(f"\n  {tuple(row.values())}" for row in columns)
        return (
            f"{self.rules}, window {self.window.start - MIDNIGHT}..{self.window.end - MIDNIGHT}, "
            f"rows (host, seconds since {DAY}, pid, username, comm, cputimes, rss, etimes):{listed}"
        )


def around(rows: pd.DataFrame) -> Window:
    """The smallest window that holds every row; one bucket if there are no rows."""
    time = rows["snapshot_time_epoch"]
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
    table = raw_rows(rows)
    return Scenario(table, drawn_rules, draw(windows_around(table)))


@st.composite
def snapshot_times(draw: st.DrawFn, rules: AccountingRules) -> list[float]:
    """Irregular times around midnight: jitter, edges of gap and slack, borders, fractions."""
    gap, slack = rules.max_gap_seconds, rules.slack_seconds
    edges = [gap - 1, gap, gap + 0.25, gap + 1, gap + 2 * slack, gap + 2 * slack + 1, 2 * gap]
    step = st.one_of(
        st.sampled_from([300, 300, 60, 240, 299, 301, 30, 0.5, 1, 86_400 - 600]),
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
def lifetimes(draw: st.DrawFn, host: str, rules: AccountingRules) -> list[Row]:
    """Rows of plausible processes, from a collector that misses and misreports some of them.

    Processes are born before the first snapshot, between two snapshots, or at a snapshot. They
    idle, work and die. Some change their user. A few pids are reused, some while still in use.
    """
    times = draw(snapshot_times(rules))
    rows: list[Row] = []
    for _ in range(draw(st.integers(1, 5))):
        rows += draw(_lifetime(host, times, rules))
    return rows


@st.composite
def _lifetime(
    draw: st.DrawFn, host: str, times: Sequence[float], rules: AccountingRules
) -> list[Row]:
    slack = rules.slack_seconds
    pid = draw(st.integers(1, 3))
    username = draw(st.one_of(st.just("ana"), st.sampled_from(USERS)))
    comm = draw(st.one_of(st.just("python"), st.sampled_from(COMMS)))
    first = draw(st.integers(0, len(times) - 1))
    last = draw(st.integers(first, len(times) - 1))
    age = draw(st.sampled_from([0, 0.25, 1, 10, 59, 250, 300, 900, 5000]))
    born = times[first] - age
    reports_age = draw(st.sampled_from(["exact", "exact", "whole seconds", "never", "drifting"]))
    rate = draw(st.sampled_from([0, 0, 0.125, 0.7, 1, 16]))
    cputimes = age * draw(st.sampled_from([0, 0.5, 1]))
    rss = draw(st.sampled_from([0, 1, 10**6, 3 * GB]))
    setuid = draw(st.one_of(st.none(), st.integers(first, last)))
    missed = draw(st.sets(st.integers(first, last), max_size=2))

    rows = []
    for index in range(first, last + 1):
        time = times[index]
        if index > first:
            cputimes += rate * (time - times[index - 1])
        if index == setuid:
            username = draw(st.sampled_from(USERS))
        if index in missed:
            continue
        etimes: float | None = time - born
        if reports_age == "whole seconds":
            etimes = float(math.floor(time - born))
        elif reports_age == "never":
            etimes = None
        elif reports_age == "drifting":
            drift = draw(st.sampled_from([None, 0, slack, slack + 0.25, -slack, -slack - 1]))
            etimes = None if drift is None else max(time - born + drift, 0.0)
        rows.append(Row(host, time, pid, username, comm, cputimes, rss, etimes))
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
        st.integers(1, 3),
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
