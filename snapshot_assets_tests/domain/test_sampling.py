"""What recent rows say about how a host is sampled."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd
import pytest

from snapshot_assets.domain.sampling import cadences, likely_rss_unit
from snapshot_assets_tests.support.domain.process_rows import NOON, Row, raw_rows


def counted(rows: Iterable[Row]) -> pd.DataFrame:
    """The rows as the database counts them, by host and time."""
    frame = raw_rows(rows).astype({"host": str})
    by_snapshot = frame.groupby(["host", "snapshot_time_epoch"])["pid"]
    return by_snapshot.agg(rows="size", pids="nunique").reset_index()


def test_a_steady_collector_has_nothing_to_report() -> None:
    (found,) = cadences(counted([Row(time=NOON + i * 300 + i % 3) for i in range(12)]))
    assert found.snapshots == 12
    assert found.median_interval_seconds == pytest.approx(301, abs=1)
    assert (found.duplicate_rows, found.crowded_snapshots) == (0, 0)
    assert not found.has_two_collectors
    assert found.newest_epoch == NOON + 11 * 300 + 2


def test_two_interleaved_collectors_crowd_each_other() -> None:
    rows = [Row(time=NOON + i * 300 + late) for i in range(12) for late in (0, 20)]
    (found,) = cadences(counted(rows))
    assert found.crowded_snapshots == 12
    assert found.has_two_collectors


def test_the_same_snapshot_twice_counts_as_duplicates() -> None:
    rows = [Row(time=NOON + i * 300, pid=pid) for i in range(3) for pid in (1, 2)]
    (found,) = cadences(counted([*rows, *rows[:3]]))
    assert found.duplicate_rows == 3
    assert found.has_two_collectors


@pytest.mark.parametrize(
    ("times", "problems"),
    [
        ([0, 300, 600, 900], []),
        ([0, 330, 660], []),
        ([0, 331, 662], ["sampled every 331 s"]),
        ([0, 300, 600, 900, 1_800], []),
        ([0, 300, 600, 900, 1_801], ["a gap of 901 s"]),
        ([0, 20, 300, 320, 600, 620], ["two collectors: 0 rows twice, 3 snapshots close to "]),
    ],
)
def test_a_cadence_says_what_is_wrong_with_it(times: list[int], problems: list[str]) -> None:
    (found,) = cadences(counted([Row(time=NOON + time) for time in times]))
    shown = found.problems(max_gap_seconds=900)
    assert len(shown) == len(problems)
    for problem, beginning in zip(shown, problems, strict=True):
        assert problem.startswith(beginning)


def test_one_snapshot_has_no_interval() -> None:
    (found,) = cadences(counted([Row()]))
    assert math.isnan(found.median_interval_seconds)
    assert cadences(counted([])) == []


@pytest.mark.parametrize(
    ("configured", "source_values", "expected"),
    [
        ("bytes", [4096 * n for n in range(1, 30)], "bytes"),
        ("bytes", [4 * n for n in range(1, 30)], "KiB"),
        ("KiB", [4 * n for n in range(1, 30)], "KiB"),
        ("KiB", [4096 * n for n in range(1, 30)], "bytes"),
        ("bytes", [4096] * 10, None),
        ("bytes", [n * 7 + 1 for n in range(1, 30)], None),
    ],
)
def test_the_unit_of_rss_shows_in_its_pages(
    configured: str, source_values: list[int], expected: str | None
) -> None:
    unit = 1024 if configured == "KiB" else 1
    rows = raw_rows([Row(pid=i, rss=value * unit) for i, value in enumerate(source_values)])
    assert likely_rss_unit(rows, configured) == expected
