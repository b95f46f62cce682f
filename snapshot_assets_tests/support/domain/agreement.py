"""Whether the fast and the slow accounting came to the same, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from snapshot_assets.domain.accounting import Account, account
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.time import Window
from snapshot_assets_tests.support.domain.process_rows import (
    HOUR,
    RULES,
    KernelRow,
    Row,
    kernel_rows,
    raw_rows,
)
from snapshot_assets_tests.support.domain.slow_accounting import (
    GB,
    SlowAccount,
    SlowBucket,
    slow_account,
)

CLOSE = 1e-9

Key = tuple[int, str, str | None, str | None]
NUMBERS = (
    "cpu_norm",
    "rss_gb",
    "covered_seconds",
    "snapshots",
    "machine_cpu_norm",
    "machine_cores",
    "machine_used_gb",
    "machine_gb",
)


def agreed(
    rows: list[Row],
    rules: AccountingRules = RULES,
    machines: list[KernelRow] | None = None,
    window: Window = HOUR,
) -> Account:
    """The account of a few rows, after both implementations came to the same."""
    table, kernel = raw_rows(rows), None if machines is None else kernel_rows(machines)
    result = account(table, window, rules, kernel)
    assert disagreements(result, slow_account(table, window, rules, kernel)) == []
    assert result.ledger.imbalances(len(rows), result.aggregates) == []
    return result


def disagreements(fast: Account, slow: SlowAccount) -> list[str]:
    """Every number of the two that is not the same, to rounding; empty if all are."""
    found = list(_differing("rows", fast.ledger.rows, slow.rows))
    found += _differing("window_rows", fast.ledger.window_rows, slow.window_rows)
    ledger = {name: getattr(fast.ledger, name) for name in slow.counts}
    found += _differing("ledger", ledger, slow.counts)

    ours, theirs = _entries(fast.aggregates), dict(_expected(slow))
    if len(ours) != len(fast.aggregates):
        found.append("the aggregates have a key twice")
    found += [f"{key} is missing" for key in theirs.keys() - ours.keys()]
    found += [f"{key} should not be there" for key in ours.keys() - theirs.keys()]
    for key in ours.keys() & theirs.keys():
        found += _differing(str(key), ours[key], theirs[key])
    return found


def _entries(aggregates: pd.DataFrame) -> dict[Key, dict[str, Any]]:
    found = {}
    for row in aggregates.to_dict("records"):
        names = [None if pd.isna(row[name]) else str(row[name]) for name in ("username", "comm")]
        key = (int(row["bucket_start"].timestamp()), str(row["host"]), names[0], names[1])
        found[key] = {name: row[name] for name in NUMBERS}
    return found


def _expected(slow: SlowAccount) -> Iterator[tuple[Key, dict[str, Any]]]:
    for (start, host), bucket in slow.buckets.items():
        same = _of_bucket(bucket)
        for (username, comm), use in bucket.uses.items():
            numbers = {
                "cpu_norm": use.core_seconds / bucket.covered,
                "rss_gb": use.byte_seconds / bucket.covered / GB,
            }
            yield (start, host, username, comm), numbers | same
        if not bucket.uses:
            yield (start, host, None, None), {"cpu_norm": 0, "rss_gb": 0} | same


def _of_bucket(bucket: SlowBucket) -> dict[str, Any]:
    machine = bucket.machine
    return {
        "covered_seconds": bucket.covered,
        "snapshots": bucket.snapshots,
        "machine_cpu_norm": machine.core_seconds / machine.seconds if machine.seconds else None,
        "machine_cores": machine.cores,
        "machine_used_gb": (
            machine.used_byte_seconds / machine.used_seconds / GB if machine.used_seconds else None
        ),
        "machine_gb": None if machine.memory_bytes is None else machine.memory_bytes / GB,
    }


def _differing(where: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    for name, number in theirs.items():
        expected = math.nan if number is None else float(number)
        got = float(ours[name])
        if math.isnan(expected) and math.isnan(got):
            continue
        if not math.isclose(got, expected, rel_tol=CLOSE, abs_tol=1e-9):
            yield f"{where}: {name} is {got!r}, not {expected!r}"
