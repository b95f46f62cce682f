"""The recount gives what the contract says: its worked examples, and small cases with answers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pytest

from snapshot_assets.pipeline.proof.recount import Limits, Recounted, recount

T = 1_795_651_200
NAMES = ("host", "pid", "username", "comm", "cputimes", "rss", "etimes", "snapshot_time_epoch")
MACHINE_NAMES = (
    *("host", "snapshot_time_epoch", "cores", "cpu_seconds"),
    *("memory_bytes", "memory_used_bytes", "boot_epoch"),
)
TEXTS = ("host", "username", "comm")
Row = tuple[Any, ...]


def table(rows: Iterable[Row], names: tuple[str, ...] = NAMES) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return pa.table(
        {
            name: pa.array(values, pa.string() if name in TEXTS else pa.float64())
            for name, values in zip(names, columns, strict=True)
        }
    )


def counted(
    rows: Iterable[Row],
    seconds: int = 3600,
    limits: Limits | None = None,
    machines: Iterable[Row] | None = None,
) -> Recounted:
    kernel = None if machines is None else table(machines, MACHINE_NAMES)
    return recount(table(rows), kernel, limits or Limits(), T - 3600, T + seconds)


def core_seconds(found: Recounted) -> float:
    return sum(row["cpu_norm"] * row["covered"] for row in found.buckets.to_pylist())


def by_bucket(found: Recounted, column: str = "cpu_norm") -> list[Any]:
    rows = sorted(found.buckets.to_pylist(), key=lambda row: row["bucket"])
    return [pytest.approx(row[column]) for row in rows]


def by_owner(found: Recounted) -> dict[tuple[str, str], Any]:
    covered = {row["bucket"]: row["covered"] for row in found.buckets.to_pylist()}
    sums: dict[tuple[str, str], float] = {}
    for row in found.entries.to_pylist():
        owner = row["username"], row["comm"]
        sums[owner] = sums.get(owner, 0.0) + row["cpu_norm"] * covered[row["bucket"]]
    return {owner: pytest.approx(seconds) for owner, seconds in sums.items()}


def classes(found: Recounted) -> dict[str, int]:
    return {row["class"]: int(row["rows"]) for row in found.classes.to_pylist() if row["rows"]}


def ledger(found: Recounted, name: str) -> float:
    (row,) = found.ledgers.to_pylist()
    return float(row[name])


def test_the_worked_example_of_the_contract() -> None:
    rows = [("h", 7, "u", "py", c, 0, None, T + t) for c, t in ((100, 0), (340, 240), (640, 540))]
    found = counted(rows)
    # 240 + 300 * 60/300 over 300 s; 300 * 240/300 over the 240 s that are covered.
    assert by_bucket(found) == [1.0, 1.0]
    assert by_bucket(found, "covered") == [300, 240]
    assert by_bucket(found, "snapshots") == [2, 1]
    assert classes(found) == {"attributed": 2, "first_seen": 1}


def test_a_late_sample_moves_no_cpu_between_processes() -> None:
    rows = [
        ("h", pid, "u", f"p{pid}", 9_000 + 300 * i + late, 0, 9_000 + 300 * i + late, T + 300 * i)
        for i, late in enumerate((0, 0, 45, 0, 0))
        for pid in (1, 2, 3)
    ]
    found = counted(rows)
    assert by_bucket(found) == [3.0, 3.45, 2.55, 3.0]
    assert classes(found) == {"attributed": 12, "first_seen": 3}
    assert ledger(found, "clock_offsets") == 2


@pytest.mark.parametrize("age", [0, 25])
def test_ages_that_never_change_are_one_core(age: int) -> None:
    rows = [("h", 7, "u", "py", 100_000 + 60 * i, 1e9, age, T + 60 * i) for i in range(11)]
    assert by_bucket(counted(rows)) == [1.0, 1.0]


def test_a_clock_set_forward_counts_its_span_once() -> None:
    ages = [(pid, 50_000) for pid in (1, 2, 3)] + [(4, 30)]
    rows = [
        (
            "h",
            pid,
            "u",
            f"p{pid}",
            age + 60 * i,
            0,
            age + 60 * i,
            T + 60 * i + (600 if i > 6 else 0),
        )
        for i in range(12)
        for pid, age in ages
    ]
    found = counted(rows)
    assert by_owner(found) == {("u", f"p{pid}"): 60 * 11 for pid, _ in ages}
    assert ledger(found, "clock_offsets") == 1


def test_groups_under_one_pid_are_told_apart_by_user_and_command() -> None:
    groups = (("u1", "bwa", 3000), ("u2", "python", 600), ("u3", "Rscript", 300))
    rows = [
        ("h", 0, user, comm, cpu * i, 1e9, None, T + 300 * i)
        for i in range(3)
        for user, comm, cpu in groups
    ]
    found = counted(rows)
    assert by_owner(found) == {(user, comm): 2 * cpu for user, comm, cpu in groups}
    assert by_bucket(found, "rss_gb") == [3.0, 3.0]
    # The pid is shared in three snapshots.
    assert ledger(found, "shared_pids") == 3


def test_two_containers_with_the_same_pid_are_two_processes() -> None:
    rows = [
        ("h", 1, user, comm, start + used * i, 2e9, None, T + 300 * i)
        for i in range(3)
        for user, comm, start, used in (("u1", "java", 100, 300), ("u2", "nginx", 5000, 30))
    ]
    found = counted(rows)
    assert by_bucket(found) == [1.1, 1.1]
    assert by_bucket(found, "rss_gb") == [4.0, 4.0]


@pytest.mark.parametrize("apart", [0.1, 0.05])
def test_rows_stamped_one_by_one_are_one_snapshot(apart: float) -> None:
    rows = [
        ("h", pid, "u", f"p{pid}", 0, 1e9, None, T + 60 * i + apart * pid)
        for i in range(12)
        for pid in range(30)
    ]
    found = counted(rows)
    assert by_bucket(found, "rss_gb")[:2] == [30.0, 30.0]
    assert ledger(found, "stamped_snapshots") == 12
    # A process that appears twice in it makes each stamp a snapshot, and so does a long one.
    twice = [*rows, ("h", 0, "u", "p0", 0, 1e9, None, T + apart)]
    assert ledger(counted(twice), "stamped_snapshots") == 11
    slow = [("h", pid, "u", "p", 0, 0, None, T + 5 * pid) for pid in range(26)]
    assert ledger(counted(slow), "stamped_snapshots") == 0
    assert ledger(counted(slow[:-1]), "stamped_snapshots") == 1


def test_a_counter_that_jumps_is_published_by_nobody() -> None:
    rows = [
        ("h", 7, "u", "py", cpu, 1e9, 9_000 + 300 * i, T + 300 * i)
        for i, cpu in enumerate((100, 184_467_440_737.09, 130))
    ]
    found = counted(rows)
    # The row after it fell by more than threads that end explain, and 2 s of age agree.
    assert by_bucket(found) == [0, 0]
    assert classes(found) == {"first_seen": 1, "implausible": 1, "attributed": 1}
    assert ledger(found, "implausible_cpu_seconds") == pytest.approx(184_467_440_637.09)


def test_what_a_machine_cannot_have_used_depends_on_its_size() -> None:
    rows = [("h", 7, "u", "py", 100 + 3000 * i, 0, None, T + 300 * i) for i in range(3)]
    small = Limits(capacity_cores={"h": 8})
    assert by_bucket(counted(rows)) == [10.0, 10.0]
    assert classes(counted(rows, limits=small)) == {"first_seen": 1, "implausible": 2}
    # (300 s + slack) * cores is allowed, and a machine's own reading beats the file.
    assert by_bucket(counted(rows, limits=Limits(capacity_cores={"h": 3000 / 330}))) == [10, 10]
    reading = [("h", T - 600, 16, 1, 1, 1, 1)]
    assert by_bucket(counted(rows, limits=small, machines=reading)) == [10.0, 0.0]


@pytest.mark.parametrize("age", [-1, 4_294_967_295, math.inf, None])
def test_an_impossible_age_is_none(age: float | None) -> None:
    rows: list[Row] = [
        ("h", 7, "u", "py", 60 * i, 0, 9_000 + 60 * i, T + 60 * i) for i in range(10)
    ]
    rows[5] = (*rows[5][:6], age, rows[5][7])
    found = counted(rows)
    assert core_seconds(found) == pytest.approx(540)
    assert ledger(found, "odd_ages") == (age is not None)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("cputimes", v) for v in (-1, None, math.inf)),
        *(("rss", v) for v in (-1, None, math.inf)),
        *(("snapshot_time_epoch", v) for v in (-1, None, math.inf)),
        *((name, None) for name in ("host", "pid", "username")),
    ],
)
def test_a_row_that_cannot_be_used_is_rejected_alone(column: str, value: float | None) -> None:
    rows: list[Row] = [("h", 7, "u", "py", 60 * i, 0, -1, T + 60 * i) for i in range(10)]
    bad = list(rows[4])
    bad[NAMES.index(column)] = value
    rows[4] = tuple(bad)
    found = counted(rows)
    assert core_seconds(found) == pytest.approx(540)
    assert classes(found) == {"attributed": 8, "first_seen": 1, "rejected": 1}
    assert ledger(found, "odd_ages") == 9, "of rejected rows the age does not matter"


def test_a_row_without_a_command_has_an_empty_one() -> None:
    rows = [("h", 7, "u", (None, "")[i % 2], 60 * i, 0, None, T + 60 * i) for i in range(5)]
    assert by_owner(counted(rows)) == {("u", ""): 240}


def test_of_duplicates_the_largest_row_is_kept_whole() -> None:
    first = ("h", 7, "u", "py", 100, 1e9, None, T)
    same = [
        ("h", 7, "u", "py", 400, 2e9, None, T + 300),
        ("h", 7, "u", "py", 400, 1e9, 9_000, T + 300),
        ("h", 7, "u", "py", 399, 5e9, 9_000, T + 300),
        ("h", 7, "u", "py", 400, 2e9, 9_000, T + 300),
    ]
    for rows in ([first, *same], [*same[::-1], first]):
        found = counted(rows)
        assert by_bucket(found) == [1.0]
        assert by_bucket(found, "rss_gb") == [2.0]
        assert classes(found) == {"attributed": 1, "first_seen": 1, "duplicate": 3}


def test_a_hidden_process_counts_from_the_threshold_on() -> None:
    def shown(second: int, cpu: float, age: float) -> Row:
        return ("h", 7, "u", "py", cpu, 0, age, T + second)

    others = [("h", 1, "root", "init", 50, 0, 9_000 + t, T + t) for t in (0, 300, 600)]
    rows = [*others, shown(600, 295, 700)]
    assert by_owner(counted(rows, limits=Limits(theta=10))) == {("u", "py"): 285}
    assert by_owner(counted(rows)) == {}
    # With more CPU than the span could have given, it was not hidden.
    tiny = Limits(theta=10, capacity_cores={"h": 0.5})
    assert by_owner(counted(rows, limits=tiny)) == {}


def test_a_short_process_counts_with_all_it_used() -> None:
    others = [("h", 1, "root", "init", 0, 0, 9_000 + t, T + t) for t in (0, 300, 600)]
    short = ("h", 9, "u", "cc", 40, 1e9, 100, T + 600)
    found = counted([*others, short])
    assert by_owner(found)["u", "cc"] == 40
    # It holds its memory for the whole span of the snapshot that saw it.
    assert by_bucket(found, "rss_gb") == [0.0, 1.0]
    at_once = ("h", 9, "u", "cc", 40, 0, 0, T + 600)
    assert by_owner(counted([*others, at_once]))["u", "cc"] == 40


def test_gaps_are_counted_and_never_spread() -> None:
    rows = [("h", 7, "u", "py", 100 + t, 1e9, 9_000 + t, T + t) for t in (0, 901, 1201)]
    found = counted(rows)
    assert core_seconds(found) == pytest.approx(300)
    assert ledger(found, "gap_cpu_seconds") == 901
    assert ledger(found, "covered_seconds") == 300
    assert classes(found) == {"first_seen": 1, "gap": 1, "attributed": 1}


def test_excluded_accounts_are_counted_apart() -> None:
    rows = [
        ("h", pid, user, "py", 300 * i, 1e9, None, T + 300 * i)
        for i in range(3)
        for pid, user in ((1, "root"), (2, "systemd-x"), (3, "u"))
    ]
    found = counted(rows, limits=Limits(excluded=("root", "system*")))
    assert by_owner(found) == {("u", "py"): 600}
    assert by_bucket(found, "rss_gb") == [1.0, 1.0]
    assert ledger(found, "excluded_cpu_seconds") == 1200
    assert classes(found) == {"attributed": 2, "first_seen": 1, "excluded": 6}


def test_idle_memory_can_be_dropped() -> None:
    rows = [
        ("h", pid, "u", "py", cpu * i, 1e9, None, T + 300 * i)
        for i in range(3)
        for pid, cpu in ((1, 0), (2, 10))
    ]
    assert by_bucket(counted(rows), "rss_gb") == [2.0, 2.0]
    assert by_bucket(counted(rows, limits=Limits(drop_idle_memory=True)), "rss_gb") == [1.0, 1.0]


def test_the_kernel_is_counted_between_readings_of_one_boot() -> None:
    rows = [("h", 7, "u", "py", 300 * i, 0, None, T + 300 * i) for i in range(4)]
    readings = [
        ("h", T, 4, 1_000, 16e9, 3e9, 50),
        ("h", T + 300, 4, 1_600, 16e9, 4e9, 50),
        ("h", T + 450, 8, 1_600, 16e9, 5e9, 111),  # more than 60 s later: another boot
        ("h", T + 600, 8, 1_750, 32e9, 6e9, 111),
        ("h", T + 900, 8, 20, 32e9, 7e9, 111),  # fell: another boot
    ]
    found = counted(rows, machines=readings)
    assert by_bucket(found, "machine_cpu_norm")[:2] == [2.0, 1.0]
    assert by_bucket(found, "machine_used_gb")[:2] == [4.0, 6.0]
    assert by_bucket(found, "machine_cores")[:2] == [4, 8]
    assert by_bucket(found, "machine_gb")[:2] == [16.0, 32.0]
    (_, _, third) = sorted(found.buckets.to_pylist(), key=lambda row: row["bucket"])
    assert third["machine_cpu_norm"] is None
    # Both cover the first bucket whole, and no other.
    assert ledger(found, "machine_cpu_seconds") == 600
    assert ledger(found, "seen_cpu_seconds") == 300


def test_hosts_are_counted_each_by_itself() -> None:
    def rows(host: str, shift: int) -> list[Row]:
        return [
            (host, 7, "u", "py", 100 + 300 * i, 1e9, 9_000 + 300 * i, T + 300 * i + shift)
            for i in range(4)
        ]

    both = counted([*rows("b", 70), *rows("a", 0)])
    for host, shift in (("a", 0), ("b", 70)):
        alone = counted(rows(host, shift))
        for name in ("buckets", "entries", "classes", "ledgers"):
            ours = [row for row in getattr(both, name).to_pylist() if row["host"] == host]
            theirs = getattr(alone, name).to_pylist()
            assert sorted(map(str, ours)) == sorted(map(str, theirs))


def test_no_rows_add_up_to_nothing() -> None:
    found = counted([])
    assert [len(getattr(found, name)) for name in ("buckets", "entries", "classes")] == [0, 0, 0]
