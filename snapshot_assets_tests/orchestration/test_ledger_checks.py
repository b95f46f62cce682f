"""The checks of the ledgers, and what Dagster shows of a ledger: of settled and of live rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import dagster as dg
import pytest

from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.orchestration.partitions import dagster_key
from snapshot_assets_tests.support.field_table import DAY, MIDNIGHT, Row, execute, load, row
from snapshot_assets_tests.support.pipelines import (
    Pipeline,
    WatchedPipeline,
    checks,
    culprits,
    metadata,
)

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR
MACHINES = (
    "CREATE TABLE machines (host VARCHAR(20), snapshot_time_epoch BIGINT, cores INT, cpu_seconds "
    "DOUBLE, memory_bytes BIGINT, memory_used_bytes BIGINT, boot_epoch INT)"
)
STEPS = range(0, 3_601, 60)


def two_cores(host: str, start: int = MIDNIGHT, **values: Any) -> list[Row]:
    """An hour of four old processes that use half a core each, sampled every minute."""
    return [
        row(host, start + t, pid, cputimes=100 + t // 2, etimes=10_000 + t, **values)
        for t in STEPS
        for pid in (11, 12, 13, 14)
    ]


def kernel(pipeline: Pipeline, host: str, cores_used: float, start: int = MIDNIGHT) -> None:
    """The kernel's count of the same hour."""
    values = ", ".join(
        f"('{host}', {start + t}, 4, {1000 + cores_used * t}, 8000000000, 1000000000, 5)"
        for t in STEPS
    )
    execute(pipeline.source, f"INSERT INTO machines VALUES {values}")


def fill(pipeline: Pipeline, rows: Iterable[Row]) -> None:
    load(pipeline.source, list(rows))
    execute(pipeline.source, MACHINES)


def ledger_of(result: dg.ExecuteInProcessResult, host: str) -> dict[str, Any]:
    return metadata(result, "five_minute_aggregates")[dagster_key(HostDay(DAY, host))]


def test_more_than_the_kernel_counted_is_an_error_and_less_than_half_a_warning(
    pipeline: Pipeline,
) -> None:
    """2 cores seen: of 1.95 and of 3.9 that is close enough, of 1.5 and of 5 it is not."""
    counted = {"close": 1.95, "half": 3.9, "blind": 5.0}
    fill(pipeline, [r for host in counted for r in two_cores(host)])
    for host, cores in counted.items():
        kernel(pipeline, host, cores)
    result = pipeline.settle(list(counted))
    assert result.success
    check = checks(result)["snapshots_agree_with_kernel"]
    assert (check.passed, check.severity) == (False, WARN)
    (told,) = culprits(check).items()
    assert told[0] == "blind"
    assert told[1].startswith("seen 0.40 of what the kernel counted (7,200 of 18,000 core-seconds)")
    assert ledger_of(result, "half")["seen_share_of_machine"] == pytest.approx(2 / 3.9)
    assert ledger_of(result, "half")["cpu_core_seconds_machine"] == pytest.approx(3.9 * 3600)

    execute(pipeline.source, "DELETE FROM machines WHERE host = 'close'")
    kernel(pipeline, "close", 1.5)
    check = checks(pipeline.settle(list(counted)))["snapshots_agree_with_kernel"]
    assert (check.passed, check.severity) == (False, ERROR), "the worst decides"
    assert set(culprits(check)) == {"blind", "close"}
    assert culprits(check)["close"].startswith("seen 1.33 times what the kernel counted")
    assert "invented" in culprits(check)["close"]


def test_an_idle_machine_whose_seconds_are_rounded_is_no_finding(pipeline: Pipeline) -> None:
    """`ps` counts whole seconds: 4 of them, where the kernel counted 2.2 and 8.9."""
    rows = [
        row(host, MIDNIGHT + t, pid, cputimes=100 + (t == 3_600), etimes=10_000 + t)
        for host in ("less", "more")
        for t in STEPS
        for pid in (11, 12, 13, 14)
    ]
    fill(pipeline, rows)
    kernel(pipeline, "less", 2.2 / 3_600)
    kernel(pipeline, "more", 8.9 / 3_600)
    result = pipeline.settle(["less", "more"])
    assert ledger_of(result, "less")["seen_share_of_machine"] > 1.05
    assert ledger_of(result, "more")["seen_share_of_machine"] < 0.5
    assert checks(result)["snapshots_agree_with_kernel"].passed


def test_without_a_count_of_the_kernel_there_is_nothing_to_compare(pipeline: Pipeline) -> None:
    load(pipeline.source, two_cores("alice"))
    result = pipeline.settle(["alice"])
    assert checks(result)["snapshots_agree_with_kernel"].passed
    assert "seen_share_of_machine" not in ledger_of(result, "alice")


def test_rows_that_were_left_out_are_a_warning_with_a_sample(pipeline: Pipeline) -> None:
    """A counter that jumps to 2**64 ticks, and a row without a user among many."""
    fill(pipeline, two_cores("alice") + two_cores("bob") + two_cores("carol"))
    at = MIDNIGHT + 1_800
    execute(
        pipeline.source,
        "UPDATE processes SET cputimes = 2000000000 WHERE host = 'alice' AND pid = 11 AND "
        "snapshot_time_epoch = :t",
        t=at,
    )
    execute(
        pipeline.source,
        "UPDATE processes SET username = NULL WHERE host = 'bob' AND pid = 11 AND "
        "snapshot_time_epoch = :t",
        t=at,
    )
    result = pipeline.settle(["alice", "bob", "carol"])
    assert result.success
    check = checks(result)["rows_are_usable"]
    assert (check.passed, check.severity) == (False, WARN)
    found = culprits(check)
    assert set(found) == {"alice", "bob"}
    assert found["alice"].startswith("1 rows are implausible (the machine cannot have used")
    assert "such as ana python on alice" in found["alice"]
    assert found["bob"].startswith("1 rows are rejected (a value that is needed is missing")
    assert "such as " in found["bob"]
    alice = ledger_of(result, "alice")
    assert (alice["rows_implausible"], alice["rows_rejected"]) == (1, 0)
    assert alice["cpu_core_seconds_implausible"] == pytest.approx(2e9, rel=1e-3)
    assert [r.data["class"] for r in alice["samples"].records] == ["implausible"]
    by_class = {r.data["class"]: r.data for r in alice["ledger"].records}
    assert by_class["implausible"]["cpu_core_seconds"] > 1e9
    assert "samples" not in ledger_of(result, "carol")


def test_a_late_collector_is_named_and_a_single_late_snapshot_is_not(pipeline: Pipeline) -> None:
    """Every fifth snapshot of one host is taken 45 s after its stamp; of the other, one is."""
    rows = two_cores("late") + two_cores("once")
    for one in rows:
        step = (one["snapshot_time_epoch"] - MIDNIGHT) // 60
        if step % 5 == 4 if one["host"] == "late" else step == 4:
            one["etimes"] += 45
            one["cputimes"] += 22
    fill(pipeline, rows)
    result = pipeline.settle(["late", "once"])
    check = checks(result)["clocks_agree"]
    assert (check.passed, check.severity) == (False, WARN)
    (told,) = culprits(check).items()
    assert told[0] == "late"
    assert told[1].startswith("the stamps of 24 of 61 snapshots disagree")
    assert "this host's clock or collector is late" in told[1]
    assert ledger_of(result, "once")["clock_offsets"] == 2


def test_ages_shared_pids_and_stamps_are_shown(pipeline: Pipeline) -> None:
    rows = two_cores("alice")
    rows += [row("alice", MIDNIGHT + t + 2, 1, username="x", comm="a") for t in STEPS]
    rows += [row("alice", MIDNIGHT + t, 1, username="y", comm="b") for t in STEPS]
    rows[0]["etimes"] = -1
    fill(pipeline, rows)
    shown = ledger_of(pipeline.settle(["alice"]), "alice")
    names = ("odd_ages", "shared_pids", "stamped_snapshots", "clock_offsets")
    assert [shown[name] for name in names] == [1, 61, 61, 0]


def test_a_live_run_shows_the_same(site: WatchedPipeline) -> None:
    start = int(site.now - 43_200) - 7_200  # two hours before midnight: yesterday is not settled
    execute(site.source, MACHINES)
    load(site.source, two_cores("alice", start), create=None)
    kernel(site, "alice", 4.0, start)
    execute(
        site.source,
        "UPDATE processes SET cputimes = -1 WHERE pid = 11 AND snapshot_time_epoch = :t",
        t=start + 1_800,
    )
    result = site.run("live")
    assert result.success
    ((made,),) = [result.asset_materializations_for_node("live_snapshots")]
    shown = {name: value.value for name, value in made.metadata.items()}
    assert shown["rows_rejected"] == 1
    assert shown["seen_share_of_machine"] == pytest.approx(0.5, abs=0.01)
    assert {"odd_ages", "clock_offsets", "shared_pids", "stamped_snapshots"} <= set(shown)
    samples: Any = shown["samples"]
    assert [record.data["class"] for record in samples.records] == ["rejected"]
    classes: Any = shown["ledger"]
    assert sum(r.data["rows_read"] for r in classes.records) == shown["rows_read"]
