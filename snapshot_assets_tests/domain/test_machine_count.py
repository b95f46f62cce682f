"""The kernel's own count on its way from aggregates to documents and frames."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.documents import documents, parsed_documents, sums_up
from snapshot_assets.domain.frames import COLUMNS, MACHINE_COLUMNS, machine_frame, tidy
from snapshot_assets.domain.measures import MEASURES, STEP_SECONDS, Measure, Resolution
from snapshot_assets.domain.rules import AccountingRules, DocumentRules
from snapshot_assets.domain.schemas import MachineRows, numbers_of, validate
from snapshot_assets.domain.summary import Summary, averaged, coarsened, summarise
from snapshot_assets.domain.time import Window
from snapshot_assets.domain.usage import MachineCount, Usage, usage_from_aggregates
from snapshot_assets_tests.support.domain.process_rows import GB, NOON, Row, raw_rows
from snapshot_assets_tests.support.domain.slow_summary import slow_machine_frame
from snapshot_assets_tests.support.domain.usages import Bucket, as_documents, usage_of, usages

HOUR = Window(NOON, NOON + 3600)
Machine = tuple[int, float, float, float, float, float]


def counted(*machines: Machine) -> Usage:
    """One core and 2 GB of ana's for half an hour, and these rows of the kernel's count."""
    rows = [Row("h", NOON + t, 7, "ana", "R", 1000.0 + t, 2 * GB) for t in range(0, 2100, 300)]
    aggregates = account(raw_rows(rows), HOUR, AccountingRules(), machine_rows(machines))
    return usage_from_aggregates(aggregates.aggregates, DocumentRules(), "settled")


def machine_rows(machines: Sequence[Machine]) -> pd.DataFrame:
    """Seconds after noon, cores, CPU-seconds, memory, memory used, boot: rows of the host ``h``."""
    columns = list(numbers_of(MachineRows))
    table = pd.DataFrame(
        [(NOON + time, *others) for time, *others in machines], columns=columns, dtype=np.float64
    )
    table.insert(0, "host", pd.Categorical(["h"] * len(machines)))
    return validate(MachineRows, table, "h")


def one(usage: Usage, bucket: int = 0) -> Mapping[str, Any]:
    return as_documents(usage)[NOON + 300 * bucket]


def test_a_document_says_what_the_kernel_counted() -> None:
    """12.9 cores of 64, and 90.2 GB of 512, as the page of documents has it."""
    usage = counted(
        (0, 64, 1e6, 512e9, 90.2e9, 1e9), (300, 64, 1e6 + 12.9 * 300, 512e9, 90.2e9, 1e9)
    )
    document = one(usage)
    assert document["cpu"]["machine"] == {"cpu_norm": 12.9, "cores": 64}
    assert document["mem"]["machine"] == {"used": 90.2, "total": 512.0}
    assert document["cpu"]["command"]["cpu_norm"] == 1.0, "users are charged as before"
    assert list(document["cpu"]) == ["command", "user", "other", "machine"]
    assert sums_up(document)
    body = documents(usage)["body"][0].decode()
    assert '"machine":{"cpu_norm":12.9,"cores":64}' in body
    assert '"machine":{"used":90.2,"total":512.0}' in body


def test_what_is_not_known_is_not_there() -> None:
    nan = np.nan
    usage = counted(
        (0, nan, 0, nan, nan, nan),
        (300, nan, 600, nan, nan, nan),  # the CPU alone
        (600, 64, 1200, 512e9, nan, nan),  # what there is, not how much memory is used
        (900, nan, 1800, nan, 4e9, nan),  # what is used, not what there is
        (1200, 64, 100, 512e9, 4e9, 1e9),  # a reboot: of the span before, nothing is known
    )
    parts = [{m: one(usage, i)[m].get("machine") for m in MEASURES} for i in range(5)]
    assert parts == [
        {"cpu": {"cpu_norm": 2.0}, "mem": None},
        {"cpu": {"cpu_norm": 2.0, "cores": 64}, "mem": {"total": 512.0}},
        {"cpu": {"cpu_norm": 2.0}, "mem": {"used": 4.0}},
        {"cpu": None, "mem": None},
        {"cpu": None, "mem": None},
    ]
    for document in as_documents(usage).values():
        assert sums_up(document)


def test_without_the_kernels_count_a_document_is_as_it_always_was() -> None:
    usage = counted()
    for body in documents(usage)["body"]:
        assert b"machine" not in body


def test_a_counter_that_jumps_is_unknown_and_breaks_no_sum() -> None:
    """2 to the 64 nanoseconds in five minutes: six hundred million cores."""
    usage = counted((0, 64, 0, 512e9, 4e9, 1e9), (300, 64, 2**64 / 1e8, 1e300, 1e300, 1e9))
    assert one(usage)["cpu"]["machine"] == {"cores": 64}
    assert "machine" not in one(usage)["mem"]


def worked_example() -> Usage:
    """1 of 4 cores for 300 s, then 3 of 6 for 150 s, then 5 without a count of the kernel."""

    def cores(micro: int, coverage: int = 10**6) -> Bucket:
        return coverage, 1, True, {"cpu": (0, {("ana", "R"): micro}), "mem": (0, {})}

    return usage_of(
        "alice",
        {NOON: cores(10**6), NOON + 300: cores(3 * 10**6, 500_000), NOON + 600: cores(5 * 10**6)},
        {
            NOON: {"cpu": (4 * 10**6, 64 * 10**6)},
            NOON + 300: {"cpu": (6 * 10**6, 128 * 10**6), "mem": (0, 10**9)},
        },
    )


def frame_of(usage: Usage, resolution: Resolution, measure: Measure = "cpu") -> pd.DataFrame:
    summary = summarise(usage, resolution, (measure,), ())
    return machine_frame([(usage.hosts[0], summary)], measure, resolution)


def test_an_hour_of_the_machine_is_weighed_by_the_covered_time_of_the_counted_buckets() -> None:
    """4.0 * 300 s + 6.0 * 150 s = 2,100 core-s over 450 s; users: 750 core-s of them."""
    (row,) = frame_of(worked_example(), "hour").to_dict("records")
    assert row["core_seconds"] == 2_100
    assert row["cores_mean"] == pytest.approx(2_100 / 450)
    assert (row["cores_peak"], row["cores_capacity"]) == (6.0, 128.0), "the newest capacity"
    assert row["users_core_seconds"] == 750, "not the uncounted third bucket's"
    assert row["users_share"] == pytest.approx(750 / 2_100)
    assert (row["covered_seconds"], row["coverage"]) == (450, 0.125)
    (document,) = parsed_documents(averaged("alice", summarise(worked_example(), "hour")), "hour")
    assert document["cpu"]["machine"] == {"cpu_norm": 4.666667, "cores": 128}
    assert document["mem"]["machine"] == {"used": 0.0, "total": 1000.0}


def test_a_frame_by_machine_has_the_rows_of_the_hosts_total_and_nan_for_the_unknown() -> None:
    for resolution in STEP_SECONDS:
        summary = summarise(worked_example(), resolution)
        total = tidy([("alice", summary)], "cpu", (), resolution)
        machine = machine_frame([("alice", summary)], "cpu", resolution)
        keys = ["start", "host", "settled"]
        pd.testing.assert_frame_equal(machine[keys], total[keys])
    frame = frame_of(worked_example(), "5min")
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        "start": "datetime64[us, UTC]",
        "host": "category",
        "cores_mean": "float64",
        "cores_peak": "float64",
        "core_seconds": "float64",
        "cores_capacity": "float64",
        "users_core_seconds": "float64",
        "users_share": "float64",
        "covered_seconds": "float64",
        "coverage": "float64",
        "settled": "bool",
    }
    unknown = frame.iloc[2]
    assert unknown[["cores_mean", "cores_peak", "core_seconds", "cores_capacity"]].isna().all()
    assert unknown[["users_core_seconds", "users_share"]].isna().all()
    assert (unknown["covered_seconds"], unknown["coverage"]) == (0, 0)
    memory = frame_of(worked_example(), "5min", "mem").iloc[1]
    assert (memory["gb_mean"], memory["gb_capacity"]) == (0, 1000)
    assert np.isnan(memory["users_share"]), "nothing of nothing"
    assert len(frame_of(usage_of("alice", {}), "day")) == 0


@given(usages(days=2), st.sampled_from(MEASURES), st.sampled_from(list(STEP_SECONDS)))
def test_frames_by_machine_equal_the_slow_way_over_documents(
    usage: Usage, measure: Measure, resolution: Resolution
) -> None:
    step = STEP_SECONDS[resolution]
    expected = slow_machine_frame(as_documents(usage), measure, step)
    frame = frame_of(usage, resolution, measure)
    mean, peak, unit_seconds = COLUMNS[measure]
    capacity, users_seconds = MACHINE_COLUMNS[measure]
    assert [int(start.timestamp()) for start in frame["start"]] == list(expected)
    for row, slow in zip(frame.to_dict("records"), expected.values(), strict=True):
        rounding = (step // 300) * 1e-6
        assert row["covered_seconds"] == pytest.approx(float(slow.covered_seconds), rel=1e-12)
        assert row[peak] == known(slow.peak)
        assert row[capacity] == known(slow.capacity)
        assert row[unit_seconds] == known(slow.unit_seconds, rounding)
        assert row[users_seconds] == known(slow.users_seconds, rounding)
        off = rounding / max(row["covered_seconds"], 1e-9)
        assert row[mean] == known(slow.mean, 0 if resolution == "5min" else off)


def known(value: Any, rounding: float = 0) -> Any:
    """About this value; NaN for None."""
    number = np.nan if value is None else float(value)
    return pytest.approx(number, rel=1e-12, abs=rounding + 1e-12, nan_ok=True)


@given(usages(days=2))
def test_hours_of_the_machine_add_up_to_the_same_days_as_buckets(usage: Usage) -> None:
    def said(summary: Summary) -> list[Any]:
        machines = [summary.parts[measure].counted for measure in MEASURES]
        return [
            (
                machine.covered.tolist(),
                machine.amount.seconds.tolist(),
                machine.amount.peak.tolist(),
                machine.users_seconds.tolist(),
                machine.capacity.tolist(),
            )
            for machine in machines
        ]

    assert said(summarise(usage, "day")) == said(coarsened(summarise(usage, "hour"), "day"))


@given(usages(days=2))
def test_users_are_charged_the_same_whatever_the_kernel_counted(usage: Usage) -> None:
    nothing = {measure: MachineCount.unknown(len(usage)) for measure in MEASURES}
    blind = replace(usage, machine=nothing)
    for seen, told in zip(parsed_documents(usage), parsed_documents(blind), strict=True):
        for measure in MEASURES:
            seen[measure].pop("machine", None)
        assert json.dumps(seen) == json.dumps(told)
        assert sums_up(told)
