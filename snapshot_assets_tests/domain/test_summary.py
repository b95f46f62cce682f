"""Every zoom exact: sums, means, peaks and coverage at 5 minutes, an hour and a day."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshot_assets.domain import measures as domain_measures
from snapshot_assets.domain.frames import COLUMNS, OTHER, tidy
from snapshot_assets.domain.measures import (
    GROUPINGS,
    MEASURES,
    Grouping,
    Measure,
    Owner,
    Resolution,
)
from snapshot_assets.domain.summary import Amount, coarsened, summarise
from snapshot_assets.domain.usage import Usage, joined
from snapshot_assets_tests.support.domain.process_rows import MIDNIGHT, NOON
from snapshot_assets_tests.support.domain.slow_summary import slow_frame
from snapshot_assets_tests.support.domain.usages import as_documents, usage_of, usages

RESOLUTIONS: tuple[Resolution, ...] = ("5min", "hour", "day")
measures = st.sampled_from(MEASURES)
groupings = st.sampled_from([(), *GROUPINGS])


def frame_of(
    usage: Usage, resolution: Resolution, measure: Measure = "cpu", by: Grouping = ()
) -> pd.DataFrame:
    groups = [by] if by else []
    summary = summarise(usage, resolution, (measure,), groups)
    return tidy([(usage.hosts[0], summary)], measure, by, resolution)


def worked_example() -> Usage:
    """Two buckets of an hour: 1.0 core over 300 s, then 3.0 cores over 150 s."""
    return usage_of(
        "alice",
        {
            NOON: (
                *(10**6, 1, True),
                {"cpu": (0, {("ana", "R"): 600_000, ("ana", "gcc"): 400_000}), "mem": (5, {})},
            ),
            NOON + 300: (
                *(500_000, 1, True),
                {"cpu": (100_000, {("ana", "R"): 2_900_000}), "mem": (5, {})},
            ),
        },
    )


def test_a_mean_is_weighed_by_the_time_looked_at_and_a_peak_is_of_five_minutes() -> None:
    """1.0 * 300 s + 3.0 * 150 s = 750 core-s over 450 s: 1.667 cores, 3.0 at most, 12.5 %."""
    (row,) = frame_of(worked_example(), "hour").to_dict("records")
    assert row["start"] == pd.Timestamp("2026-11-22T12:00", tz="UTC")
    assert row["core_seconds"] == 750
    assert row["cores_mean"] == pytest.approx(750 / 450)
    assert (row["cores_peak"], row["covered_seconds"], row["coverage"]) == (3.0, 450, 0.125)


def test_a_users_peak_is_of_all_its_commands_at_once() -> None:
    """Pairs peak each on its own; within a bucket, what a user's commands use is used at once."""
    by_pair = frame_of(worked_example(), "day", by=("username", "comm"))
    assert dict(zip(by_pair["comm"], by_pair["cores_peak"], strict=True)) == {
        "R": 2.9,
        "gcc": 0.4,
        OTHER: 0.1,
    }
    both_at_once = usage_of(
        "alice",
        {NOON: (10**6, 1, True, {"cpu": (0, {("a", "R"): 5, ("a", "gcc"): 7}), "mem": (0, {})})},
    )
    by_user = frame_of(both_at_once, "hour", by=("username",))
    assert by_user["cores_peak"].tolist() == [12e-6, 0]


def test_gaps_are_absent_and_zeros_are_zero() -> None:
    idle: Mapping[Measure, tuple[int, Mapping[Owner, int]]] = {"cpu": (0, {}), "mem": (0, {})}
    usage = usage_of("alice", {NOON: (10**6, 1, True, idle), NOON + 900: (1, 1, False, idle)})
    for by in ((), ("username",)):
        frame = frame_of(usage, "5min", by=by)
        assert frame["start"].dt.minute.tolist() == [0, 15]
        assert frame["cores_mean"].tolist() == [0, 0]
        assert frame["settled"].tolist() == [True, False]
    assert len(frame_of(usage_of("alice", {}), "day")) == 0


def test_the_columns_are_as_documented() -> None:
    frame = frame_of(worked_example(), "hour", "mem", ("username", "comm"))
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        "start": "datetime64[us, UTC]",
        "host": "category",
        "username": "category",
        "comm": "category",
        "gb_mean": "float64",
        "gb_peak": "float64",
        "gb_seconds": "float64",
        "covered_seconds": "float64",
        "coverage": "float64",
        "settled": "bool",
    }


@given(usages(days=2), measures, groupings, st.sampled_from(RESOLUTIONS))
def test_frames_equal_the_slow_way_over_documents(
    usage: Usage, measure: Measure, by: Grouping, resolution: Resolution
) -> None:
    step = domain_measures.STEP_SECONDS[resolution]
    frame = frame_of(usage, resolution, measure, by)
    expected = slow_frame(as_documents(usage), measure, by, step)
    mean, peak, unit_seconds = COLUMNS[measure]
    found = set()
    for row in frame.to_dict("records"):
        key = int(row["start"].timestamp()), tuple(row[name] for name in by)
        found.add(key)
        slow = expected[key]
        # Each entry's unit-seconds are rounded to a millionth in each bucket; the rest takes it up.
        tolerance = (step // 300) * 1e-6 * (1 + len(usage.owners))
        assert row[peak] == pytest.approx(float(slow.peak), rel=1e-12, abs=1e-12)
        assert row[unit_seconds] == pytest.approx(float(slow.unit_seconds), abs=tolerance)
        assert row["covered_seconds"] == pytest.approx(float(slow.covered_seconds), rel=1e-12)
        assert row["settled"] == slow.settled
        if resolution == "5min":
            assert Fraction(repr(round(row[mean], 6))) == slow.mean
        else:
            off = tolerance / row["covered_seconds"]
            assert row[mean] == pytest.approx(float(slow.mean), abs=off, rel=1e-12)
    assert found == expected.keys()
    assert len(frame) == len(found), "no interval and name twice"


@given(usages(days=3), measures)
def test_whichever_resolution_and_grouping_is_asked_the_sum_is_the_same(
    usage: Usage, measure: Measure
) -> None:
    """In whole millionths, so to the last digit."""
    sums = set()
    for resolution in RESOLUTIONS:
        part = summarise(usage, resolution).parts[measure]
        sums.add(int(part.total.seconds.sum()))
        for group in part.groups.values():
            sums.add(int(group.amount.seconds.sum() + part.other.seconds.sum()))
    assert len(sums) == 1


@given(usages(days=2))
def test_hours_add_up_to_the_same_days_as_buckets(usage: Usage) -> None:
    hours = summarise(usage, "hour")
    once, twice = summarise(usage, "day"), coarsened(hours, "day")
    for measure in MEASURES:
        for grouping in GROUPINGS:
            one = once.parts[measure].groups[grouping]
            two = twice.parts[measure].groups[grouping]
            assert np.array_equal(one.interval_index, two.interval_index)
            assert np.array_equal(one.name_index, two.name_index)
            assert same_amount(one.amount, two.amount)
        assert same_amount(once.parts[measure].total, twice.parts[measure].total)
        assert same_amount(once.parts[measure].other, twice.parts[measure].other)


def same_amount(one: Amount, other: Amount) -> bool:
    return np.array_equal(one.seconds, other.seconds) and np.array_equal(one.peak, other.peak)


@given(usages(days=3), st.data())
def test_usage_cut_by_days_and_joined_in_any_order_is_the_same(
    usage: Usage, data: st.DataObject
) -> None:
    parts = data.draw(st.permutations([part for _, _, part in usage.by_host_day()]))
    whole = as_documents(joined(parts)) if parts else {}
    assert whole == as_documents(usage)


def test_a_range_is_shown_in_some_hundred_points() -> None:
    day = 86_400
    asked = {day: "5min", 2 * day: "5min", 7 * day: "hour", 31 * day: "hour", 365 * day: "day"}
    assert {seconds: domain_measures.resolution_for(seconds) for seconds in asked} == asked


def test_hosts_stay_in_the_order_given_and_rows_in_that_of_time_and_name() -> None:
    one, two = worked_example(), worked_example()
    pieces = [(host, summarise(u, "5min")) for host, u in (("zoe", one), ("alice", two))]
    frame = tidy(pieces, "cpu", ("username", "comm"), "5min")
    assert frame["host"].tolist() == ["zoe"] * 5 + ["alice"] * 5
    assert frame["comm"].tolist()[:5] == ["R", "gcc", OTHER, "R", OTHER]
    assert frame["start"].astype("int64").tolist()[:3] == [NOON * 10**6] * 3
    assert frame["start"].astype("int64").min() > MIDNIGHT * 10**6
