"""Process rows for tests: worked examples and their results.

Generated rows are in ``scenarios`` and ``histories``.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from snapshot_assets.domain.accounting import Account, account
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.schemas import FiveMinuteAggregates, RawProcessRows, validate
from snapshot_assets.domain.time import Window

DAY = dt.date(2026, 11, 22)
MIDNIGHT = int(dt.datetime.combine(DAY, dt.time(), dt.UTC).timestamp())
NOON = MIDNIGHT + 12 * 3600
GB = 10**9


class Row(NamedTuple):
    """One process in one snapshot, in the order of the schema's columns."""

    host: str | None = "alice"
    time: float = NOON
    pid: float = 7
    username: str | None = "ana"
    comm: str | None = "python"
    cputimes: float = 0.0
    rss: float = 0
    etimes: float | None = None


class KernelRow(NamedTuple):
    """What the kernel of a host counted at a time, in the order of the schema's columns."""

    host: str = "alice"
    time: float = NOON
    cores: float | None = 64
    cpu_seconds: float | None = 0.0
    memory_bytes: float | None = 256 * GB
    memory_used_bytes: float | None = 0.0
    boot_epoch: float | None = MIDNIGHT


def at(clock: str) -> int:
    """Epoch seconds of ``HH:MM`` or ``HH:MM:SS`` on the day of the examples, UTC."""
    return int(dt.datetime.combine(DAY, dt.time.fromisoformat(clock), dt.UTC).timestamp())


def minutes(first: str, last: str) -> Window:
    """The window between two clock times of the day of the examples."""
    return Window(at(first), at(last))


def raw_rows(rows: Iterable[Row | tuple[Any, ...] | Mapping[str, Any]]) -> pd.DataFrame:
    """A valid RawProcessRows table from :class:`Row`, plain tuples in its order, or dicts."""
    whole = [Row(**row) if isinstance(row, Mapping) else Row(*row) for row in rows]
    return pd.DataFrame(
        {
            "host": _category([row.host for row in whole]),
            "snapshot_time_epoch": _numbers([row.time for row in whole]),
            "pid": _numbers([row.pid for row in whole]),
            "username": _category([row.username for row in whole]),
            "comm": _category([row.comm for row in whole]),
            "cputimes": _numbers([row.cputimes for row in whole]),
            "rss": _numbers([row.rss for row in whole]),
            "etimes": _numbers([row.etimes for row in whole]),
        }
    )


def kernel_rows(rows: Iterable[KernelRow | tuple[Any, ...]]) -> pd.DataFrame:
    """A valid MachineRows table from :class:`KernelRow`, or plain tuples in its order."""
    whole = [KernelRow(*row) for row in rows]
    columns = ("cores", "cpu_seconds", "memory_bytes", "memory_used_bytes", "boot_epoch")
    return pd.DataFrame(
        {
            "host": _category([row.host for row in whole]),
            "snapshot_time_epoch": _numbers([row.time for row in whole]),
            **{name: _numbers([getattr(row, name) for row in whole]) for name in columns},
        }
    )


def _numbers(values: Sequence[float | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _category(values: Sequence[str | None]) -> pd.Categorical:
    return pd.Categorical(pd.array(list(values), dtype="str"))


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
