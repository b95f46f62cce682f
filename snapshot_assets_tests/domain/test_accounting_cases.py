"""Small tables with their right answers, by both implementations of the contract.

The arithmetic is in the comments. T is noon, a multiple of 300.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.accounting.rows import RejectedRowsError, require_usable
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.time import Window
from snapshot_assets_tests.support.domain import process_rows as show
from snapshot_assets_tests.support.domain.agreement import agreed, disagreements
from snapshot_assets_tests.support.domain.process_rows import (
    GB,
    NOON,
    RULES,
    KernelRow,
    Row,
    raw_rows,
)
from snapshot_assets_tests.support.domain.slow_accounting import slow_account

T = NOON
FIELD = sorted((Path(__file__).parents[1] / "data" / "field").glob("*.csv"))


def row(
    pid: float,
    user: str | None,
    comm: str,
    cputimes: float,
    rss: float,
    etimes: float | None,
    epoch: float,
) -> Row:
    """A row of the host h, in the order of the issue's table."""
    return Row("h", epoch, pid, user, comm, cputimes, rss, etimes)


def busy(pid: int, epoch: float, used: float, etimes: float | None = None) -> Row:
    """A row of ana's python without memory."""
    return row(pid, "ana", "python", used, 0, etimes, epoch)


# --- the contract's worked examples -----------------------------------------------------------


def test_a_span_is_split_where_its_bucket_ends() -> None:
    """Snapshots at 12:00, 12:04 and 12:09; pid 7 has cputimes 100, 340, 640."""
    result = agreed([busy(7, T, 100), busy(7, T + 240, 340), busy(7, T + 540, 640)])
    # 12:00: 240 + 300 * 60/300 = 300 core-s over 300 s; 12:05: 300 * 240/300 = 240 over 240 s
    assert show.cores(result) == pytest.approx({"12:00": 1.0, "12:05": 1.0})
    assert show.coverage(result) == {"12:00": 300, "12:05": 240}


def test_a_late_sample_is_the_stamps_fault() -> None:
    """In the third of five snapshots all three processes are 45 s older than its stamp says."""
    late = {2: 45}
    rows = [
        busy(pid, T + 300 * i, 9_000 + 300 * i + late.get(i, 0), 9_000 + 300 * i + late.get(i, 0))
        for i in range(5)
        for pid in (1, 2, 3)
    ]
    result = agreed(rows)
    # 3 * 345 / 300 = 3.45 and 3 * 255 / 300 = 2.55, and 3 * 300 / 300 before and after
    cores = {"12:00": 3.0, "12:05": 3.45, "12:10": 2.55, "12:15": 3.0}
    assert show.cores(result) == pytest.approx(cores)
    assert sum(cores.values()) / 4 == pytest.approx(3.0)
    # d = 45, then -45
    assert result.ledger.clock_offsets == 2
    assert show.classes(result) == {"first_seen": 3, "attributed": 12}


# --- small cases ------------------------------------------------------------------------------


@pytest.mark.parametrize("age", [0, 25])
def test_an_age_that_never_changes_is_no_age(age: float) -> None:
    """One process, one core, every minute: its first 100,000 core-seconds are not of now."""
    rows = [row(7, "u", "py", 100_000 + 60 * i, 1e9, age, T + 60 * i) for i in range(11)]
    result = agreed(rows)
    # 60 core-s in each 60 s
    assert show.cores(result) == pytest.approx({"12:00": 1.0, "12:05": 1.0})
    assert show.gigabytes(result) == pytest.approx({"12:00": 1.0, "12:05": 1.0})
    assert show.classes(result) == {"first_seen": 1, "attributed": 10}


def test_a_clock_set_forward_counts_the_minute_once() -> None:
    """Three old processes and a young one, a core each; from the 7th snapshot on 600 s ahead."""
    ages = {1: 50_000, 2: 60_000, 3: 70_000, 4: 30}
    rows = [
        busy(pid, T + 60 * i + (600 if i >= 6 else 0), age + 60 * i, age + 60 * i)
        for i in range(12)
        for pid, age in ages.items()
    ]
    result = agreed(rows)
    # 11 minutes of 4 processes. The span (12:05, 12:16] has one of them: 4 * 60 / 660 cores
    assert result.ledger.attributed_cpu_seconds == pytest.approx(11 * 4 * 60)
    assert show.cores(result)["12:10"] == pytest.approx(4 * 60 / 660)
    assert result.ledger.clock_offsets == 1
    assert show.classes(result) == {"first_seen": 4, "attributed": 44}


def test_groups_rolled_up_under_pid_0_are_processes_of_their_own() -> None:
    """Three users' groups, without ages: 3,000, 600 and 300 core-seconds in each 300 s."""
    groups = {("u1", "bwa"): 3_000, ("u2", "python"): 600, ("u3", "Rscript"): 300}
    rows = [
        row(0, user, comm, 50_000 + used * i, 2e9, None, T + 300 * i)
        for i in range(3)
        for (user, comm), used in groups.items()
    ]
    result = agreed(rows)
    owners = {
        (clock, *owner): used / 300
        for clock in ("12:00", "12:05")
        for owner, used in groups.items()
    }
    assert show.entries(result, "cpu_norm") == pytest.approx(owners)
    assert show.gigabytes(result) == pytest.approx({"12:00": 6.0, "12:05": 6.0})
    # one pid in each of three snapshots
    assert result.ledger.shared_pids == 3


def test_two_containers_have_a_pid_1_each() -> None:
    """300 and 30 core-seconds in each 300 s: 1.1 cores, and the memory of both."""
    rows = []
    for i in range(4):
        rows.append(row(1, "u1", "java", 100 + 300 * i, 3e9, None, T + 300 * i))
        rows.append(row(1, "u2", "nginx", 5_000 + 30 * i, 1e9, None, T + 300 * i))
    result = agreed(rows)
    assert show.cores(result) == pytest.approx(dict.fromkeys(["12:00", "12:05", "12:10"], 1.1))
    assert show.gigabytes(result) == pytest.approx(dict.fromkeys(["12:00", "12:05", "12:10"], 4.0))
    assert show.classes(result) == {"first_seen": 2, "attributed": 6}


@pytest.mark.parametrize("delay", [3 / 29, 0.05])
def test_a_pass_that_stamps_row_by_row_is_one_snapshot(delay: float) -> None:
    """30 processes of 1 GB every minute, stamped over 3 s, or 50 ms apart: 30 GB."""
    rows = [
        row(pid, "u", "py", 60 * i, 1e9, 9_000 + 60 * i, T + 60 * i + pid * delay)
        for i in range(11)
        for pid in range(1, 31)
    ]
    result = agreed(rows)
    assert show.gigabytes(result) == pytest.approx(dict.fromkeys(["12:00", "12:05", "12:10"], 30.0))
    assert show.cores(result)["12:05"] == pytest.approx(30.0)
    assert result.ledger.stamped_snapshots == 11
    assert show.classes(result) == {"first_seen": 30, "attributed": 300}


@pytest.mark.parametrize(
    ("ages", "last"), [((None, None, None), "first_seen"), ((50, 350, 650), "attributed")]
)
def test_a_counter_that_jumps_publishes_nothing_of_the_jump(
    ages: tuple[float | None, ...], last: str
) -> None:
    """2⁶⁴ ticks between 100 and 130 core-seconds: the row is implausible, and named."""
    totals = (100, 184467440737.09, 130)
    rows = [busy(7, T + 300 * i, totals[i], ages[i]) for i in range(3)]
    result = agreed(rows)
    assert show.cores(result) == {"12:00": 0.0, "12:05": 0.0}
    # the last total fell: without ages that is another process, with ages the same, 0 core-s
    assert show.classes(result) == Counter(["first_seen", "implausible", last])
    assert result.ledger.implausible_cpu_seconds == pytest.approx(184467440737.09 - 100)
    (named,) = result.ledger.samples["implausible"]
    assert "ana python on h" in named


def many(change: Callable[[Row], Row], *places: int) -> list[Row]:
    """3,000 rows: 100 processes in 30 snapshots; some of the rows changed."""
    rows = [
        row(pid, "u", "py", 60 * i, 1e9, 9_000 + 60 * i, T + 60 * i)
        for i in range(30)
        for pid in range(1, 101)
    ]
    for place in places:
        rows[place] = change(rows[place])
    return rows


@pytest.mark.parametrize("age", [-1.0, 4294967295.0, math.inf, 18446744073.7])
def test_an_impossible_age_is_an_unknown_one(age: float) -> None:
    """One row in 3,000: counted, and nothing else is different."""
    result = agreed(many(lambda each: each._replace(etimes=age), 1_500))
    assert result.ledger.odd_ages == 1
    # 29 minutes of 100 processes, a core each
    assert result.ledger.attributed_cpu_seconds == pytest.approx(29 * 60 * 100)
    assert show.classes(result) == {"first_seen": 100, "attributed": 2_900}


@pytest.mark.parametrize(
    ("name", "value"), [("rss", -1.0), ("username", None), ("cputimes", math.nan)]
)
def test_a_row_without_what_is_needed_is_left_out_and_named(name: str, value: Any) -> None:
    """One row in 3,000 is rejected; the process's next row spans both minutes."""
    rows = many(lambda each: each._replace(**{name: value}), 1_500)
    result = agreed(rows)
    require_usable(raw_rows(rows), Window(T, T + 3_600), "a day")
    assert show.classes(result) == {"first_seen": 100, "attributed": 2_899, "rejected": 1}
    assert result.ledger.attributed_cpu_seconds == pytest.approx(29 * 60 * 100)
    (named,) = result.ledger.samples["rejected"]
    assert f"{name}={'NULL' if value is None or math.isnan(value) else value}" in named


def test_more_than_one_row_in_a_hundred_without_what_is_needed_is_too_much() -> None:
    """30 of 3,000 rows are left out; with 60 of them the day is refused, and a row is named."""
    window = Window(T, T + 3_600)
    enough = many(lambda each: each._replace(rss=-1.0), *range(0, 3_000, 100))
    require_usable(raw_rows(enough), window, "a day")
    many_bad = many(lambda each: each._replace(rss=-1.0), *range(0, 3_000, 50))
    with pytest.raises(RejectedRowsError, match=r"60 of 3,000 rows.*\n.*rss=-1"):
        require_usable(raw_rows(many_bad), window, "a day")


def test_a_process_that_was_hidden_emerges_with_what_it_used_above_the_threshold() -> None:
    """θ = 10: idle for 305 s, then one core. At 700 s it has 295, and was not shown before."""
    rows = [busy(1, T + 300 * i, 1_000, 50_000 + 300 * i) for i in range(3)]
    result = agreed([*rows, busy(2, T + 600, 295, 700)], AccountingRules(min_cputimes=10))
    # 295 - 10 = 285 core-s in the last span
    assert show.cores(result) == pytest.approx({"12:00": 0.0, "12:05": 285 / 300})
    assert result.ledger.attributed_cpu_seconds == pytest.approx(285)
    # without the setting it is an old process that nobody saw before
    assert show.classes(agreed([*rows, busy(2, T + 600, 295, 700)])) == {
        "first_seen": 2,
        "attributed": 2,
    }


# --- against the kernel -----------------------------------------------------------------------


def test_the_kernels_count_stands_beside_what_the_snapshots_saw() -> None:
    """Two snapshots and three counts, 300 s apart; the kernel counted 450 core-seconds in each."""
    rows = [busy(7, T, 0, 50_000), busy(7, T + 300, 300, 50_300)]
    machines = [
        KernelRow("h", T + 300 * i, 8, 1_000 + 450 * i, 16 * GB, 4 * GB + i * GB, T - 50_000)
        for i in range(3)
    ]
    result = agreed(rows, machines=machines)
    (bucket,) = result.aggregates.to_dict("records")
    assert bucket["machine_cpu_norm"] == pytest.approx(450 / 300)
    assert (bucket["machine_cores"], bucket["machine_gb"]) == (8, 16)
    # by the later row
    assert bucket["machine_used_gb"] == pytest.approx(5)
    assert result.ledger.seen_share == pytest.approx(300 / 450)


def test_the_kernels_cores_bound_what_a_process_can_have_used() -> None:
    """4 cores can give 4 * (300 + 30) = 1,320 core-seconds in a span of 300 s, and no more."""
    machines = [KernelRow("h", T, 4, 0.0)]
    enough = agreed([busy(7, T, 0, 9_000), busy(7, T + 300, 1_320, 9_300)], machines=machines)
    assert show.classes(enough) == {"first_seen": 1, "attributed": 1}
    more = agreed([busy(7, T, 0, 9_000), busy(7, T + 300, 1_320.5, 9_300)], machines=machines)
    assert show.classes(more) == {"first_seen": 1, "implausible": 1}


# --- samples of other collectors --------------------------------------------------------------


@pytest.mark.parametrize("path", FIELD, ids=[path.stem for path in FIELD])
def test_the_rows_of_other_collectors_run_through_and_balance(path: Path) -> None:
    """Every row is in a class, both implementations agree, and no owner is lost as a duplicate."""
    table = pd.read_csv(path)
    rows = raw_rows(
        Row(
            each.host,
            each.snapshot_time_epoch,
            each.pid,
            each.username,
            each.comm,
            each.cputimes,
            each.rss * 1024,
            each.etimes,
        )
        for each in table.itertuples()
    )
    taken = rows["snapshot_time_epoch"]
    window = Window.around(taken.min(), taken.max())
    result, slow = account(rows, window, RULES), slow_account(rows, window, RULES)
    assert disagreements(result, slow) == []
    assert result.ledger.imbalances(len(rows), result.aggregates) == []
    assert "" not in slow.classes

    owner = ["host", "pid", "username", "comm"]
    lives = table.groupby(owner)["snapshot_time_epoch"].nunique() > 1
    living = table.set_index(owner).index.isin(lives[lives].index)
    kept = pd.Series(slow.classes) != "duplicate"
    assert kept[living].all()
    shown = {(host, user) for (_, host), b in slow.buckets.items() for user, _ in b.uses}
    users = set(map(tuple, table.loc[living & (table["rss"] > 0), ["host", "username"]].to_numpy()))
    assert users <= shown
