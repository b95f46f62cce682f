"""Each limit of the rules, reached and passed, by both implementations of the contract."""

from __future__ import annotations

from typing import Any

import pytest

from snapshot_assets.domain.accounting import Account, account
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.time import Window
from snapshot_assets_tests.support.domain import process_rows as show
from snapshot_assets_tests.support.domain.agreement import agreed
from snapshot_assets_tests.support.domain.invariants import assert_identical, plain
from snapshot_assets_tests.support.domain.process_rows import (
    GB,
    NOON,
    RULES,
    KernelRow,
    Row,
    raw_rows,
    read_by,
)

T = NOON
HIDING = AccountingRules(min_cputimes=10, capacity_cores={"alice": 2})


def used(pid: int, after: float, cputimes: float, etimes: float | None = None) -> Row:
    """A row of a process, so many seconds after T."""
    return Row(time=T + after, pid=pid, cputimes=cputimes, etimes=etimes)


# --- 3: snapshots -----------------------------------------------------------------------------


@pytest.mark.parametrize(("apart", "stamped"), [(5, 2), (5.25, 0)])
def test_stamps_of_one_snapshot_are_at_most_a_pass_apart(apart: float, stamped: int) -> None:
    """Two processes, stamped one after the other, every 300 s."""
    rows = [used(pid, 300 * i + apart * pid, 0) for i in range(2) for pid in (1, 2)]
    assert agreed(rows).ledger.stamped_snapshots == stamped


@pytest.mark.parametrize(("last", "stamped"), [(120, 2), (120.25, 0)])
def test_a_snapshot_is_at_most_a_pass_span_long(last: float, stamped: int) -> None:
    """25 or 26 processes of 1 GB, stamped 5 s apart, over 120 s and a little more."""
    stamps = sorted({*range(0, 121, 5), last})
    rows = [
        Row(time=T + 600 * i + stamp, pid=pid, rss=GB)
        for i in range(2)
        for pid, stamp in enumerate(stamps, start=1)
    ]
    assert agreed(rows).ledger.stamped_snapshots == stamped


def test_a_process_is_in_a_snapshot_once() -> None:
    """Two rows of one process 5 s apart are two snapshots, and so are all stamps between them."""
    rows = [used(1, 0, 0), used(2, 2, 0), used(1, 5, 5)]
    result = agreed(rows)
    assert result.ledger.stamped_snapshots == 0
    assert result.aggregates["snapshots"].max() == 2


# --- 4: the clock's offset ----------------------------------------------------------------------


def offsets(*deltas: float, cputimes: float = 0) -> int:
    """How many offsets there are if processes age by so much more than the 300 s of the stamps."""
    rows = [used(pid, 0, 0, 9_000) for pid in range(1, len(deltas) + 1)]
    rows += [used(pid, 300, cputimes, 9_300 + delta) for pid, delta in enumerate(deltas, start=1)]
    return agreed(rows).ledger.clock_offsets


@pytest.mark.parametrize(
    ("deltas", "count"),
    [
        ((30, 30, 30), 0),  # not more than the slack
        ((30.5, 30.5, 30.5), 1),
        ((45, 45), 0),  # two may be wrong together
        ((-300, -300), 1),  # unless they do not age at all
        ((-300,), 1),
        ((-300, -299), 0),
        ((0, 100, 140, 300), 0),  # half of them lie within the slack of 120
        ((100, 100, 140, 300), 1),  # three of four do
        ((-300, -300, -300), 1),
    ],
)
def test_more_than_half_of_three_ages_tell_of_an_offset(
    deltas: tuple[float, ...], count: int
) -> None:
    """Fewer than three tell of one only if they do not move."""
    assert offsets(*deltas) == count


def test_the_offset_is_the_mean_of_the_middle_two() -> None:
    """45, 45, 50 and 80 s: d = 47.5, and 80 is more than the slack away from it."""
    rows = [used(pid, 0, 100, 9_000) for pid in range(1, 5)]
    rows += [used(pid, 300, 160, 9_300 + d) for pid, d in enumerate((45, 45, 50, 80), start=1)]
    result = agreed(rows)
    # three continue with 60 core-s each
    assert result.ledger.attributed_cpu_seconds == pytest.approx(3 * 60)
    assert show.classes(result) == {"first_seen": 5, "attributed": 3}


@pytest.mark.parametrize(("apart", "count"), [(960, 1), (960.5, 0)])
def test_offsets_reach_as_far_as_near_snapshots(apart: float, count: int) -> None:
    """NEAR is 900 + 2 * 30 s."""
    rows = [used(pid, after, 0, 25) for pid in (1, 2, 3) for after in (0, apart)]
    assert agreed(rows).ledger.clock_offsets == count


# --- 5: the same process ------------------------------------------------------------------------


@pytest.mark.parametrize(("etimes", "row_class"), [(9_302, "attributed"), (9_302.5, "first_seen")])
def test_a_total_that_fell_needs_an_age_to_two_seconds(etimes: float, row_class: str) -> None:
    """A thread ended: 500 core-seconds, and 400 after 300 s."""
    rows = [used(1, 0, 500, 9_000), used(1, 300, 400, etimes)]
    assert agreed(rows).ledger.rows[row_class] == (2 if row_class == "first_seen" else 1)


@pytest.mark.parametrize(("etimes", "row_class"), [(270, "attributed"), (269.5, "first_seen")])
def test_a_later_age_alone_reaches_back_to_the_row_before(etimes: float, row_class: str) -> None:
    """At most the slack younger than the 300 s between both. One that is younger has been born."""
    rows = [used(1, 0, 500), used(1, 300, 560, etimes), used(2, 0, 0), used(2, 300, 0)]
    result = agreed(rows)
    # of the same process, the 60 core-s since; else, born after T, all 560
    assert result.ledger.attributed_cpu_seconds == (60 if row_class == "attributed" else 560)


# --- 6: spans -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cputimes", "row_class"),
    [(9.5, "first_seen"), (10, "attributed"), (670, "attributed"), (670.5, "first_seen")],
)
def test_what_emerges_used_what_the_machine_can_give(cputimes: float, row_class: str) -> None:
    """Two cores for 300 s and the slack: 660 core-seconds above θ = 10, and not less than none."""
    rows = [used(1, 0, 0), used(1, 300, 0), used(2, 300, cputimes)]
    result = agreed(rows, HIDING)
    assert result.ledger.rows[row_class] == 2
    expected = cputimes - 10 if row_class == "attributed" else 0
    assert result.ledger.attributed_cpu_seconds == pytest.approx(expected)


def test_a_pid_that_was_near_does_not_emerge() -> None:
    """Another process had the pid in the snapshot before, so this one was not hidden."""
    rows = [used(1, 0, 0), used(1, 300, 0), used(2, 0, 500), used(2, 300, 100)]
    assert show.classes(agreed(rows, HIDING)) == {"first_seen": 3, "attributed": 1}


@pytest.mark.parametrize(("etimes", "row_class"), [(375, "attributed"), (375.5, "first_seen")])
def test_a_late_sample_sees_processes_that_are_older(etimes: float, row_class: str) -> None:
    """Sampled 45 s late, 300 s after the snapshot before: born at most 345 s ago, and the slack."""
    rows = [used(pid, after, 0, 9_000 + after) for pid in (1, 2, 3) for after in (0, 300)]
    rows = [row._replace(etimes=9_345) if row.time == T + 300 else row for row in rows]
    result = agreed([*rows, used(4, 300, 60, etimes)])
    assert result.ledger.rows[row_class] == 4
    assert result.ledger.attributed_cpu_seconds == (60 if row_class == "attributed" else 0)


def test_ages_that_never_change_tell_of_no_birth() -> None:
    """All are 25 s old at all times, so no time has passed in which the fourth could be born."""
    rows = [used(pid, 300 * i, 0, 25) for pid in (1, 2, 3) for i in range(3)]
    result = agreed([*rows, used(4, 600, 1_000, 25)])
    assert show.classes(result) == {"first_seen": 4, "attributed": 6}


@pytest.mark.parametrize(
    ("cputimes", "row_class"), [(1_024 * 330, "attributed"), (1_024 * 330 + 0.5, "implausible")]
)
def test_a_host_of_which_nobody_knows_has_1024_cores(cputimes: float, row_class: str) -> None:
    """300 s and the slack."""
    result = agreed([used(1, 0, 0), used(1, 300, cputimes)])
    assert show.classes(result) == {"first_seen": 1, row_class: 1}


def test_what_a_gap_cannot_hold_is_implausible_too() -> None:
    """2 cores for 2,000 s and the slack: 4,060 core-seconds."""
    rows = [used(1, 0, 0), used(1, 2_000, 4_060), used(2, 0, 0), used(2, 2_000, 4_060.5)]
    result = agreed(rows, HIDING)
    assert show.classes(result) == {"first_seen": 2, "gap": 1, "implausible": 1}
    assert result.ledger.gap_cpu_seconds == 4_060
    assert result.ledger.implausible_cpu_seconds == 4_060.5


# --- the read range -----------------------------------------------------------------------------


def assert_stands_alone(rows: list[Row], rules: AccountingRules = RULES) -> Account:
    """The bucket from T on is the same from the rows that it asks for; returned from all rows."""
    window, table = Window(T, T + 300), raw_rows(rows)
    whole = agreed(rows, rules, window=window)
    alone = account(read_by(table, window, rules), window, rules)
    assert_identical(plain(alone.aggregates), plain(whole.aggregates))
    return whole


def one_by_one(first: float, last: float) -> list[Row]:
    """Processes of their own, stamped 5 s apart, from the first to the last second after T."""
    count = int((last - first) // 5) + 1
    return [used(100 + place, first + 5 * place, 0) for place in range(count)]


def test_a_window_knows_all_rows_of_a_near_snapshot() -> None:
    """The snapshot lasts from 1,070 to 955 s before T, and ends 960 s before the window's first."""
    rows = [*one_by_one(-1_065, -955), used(2, -1_070, 50)]
    rows += [*(used(1, after, 0) for after in (-900, -600, -300, 5)), used(2, 5, 60)]
    whole = assert_stands_alone(rows, HIDING)
    # near, so it does not emerge; 960 s are a gap
    assert whole.ledger.gap_cpu_seconds == 10
    assert whole.ledger.attributed_cpu_seconds == 0


def test_a_window_knows_that_stamps_before_it_are_many_snapshots() -> None:
    """125 s of stamps are no snapshot. Of a range that shows 120 s of them they would be one."""
    rows = [*one_by_one(-1_083, -958), used(2, -1_003, 50)]
    rows += [*(used(1, after, 0) for after in (-900, -600, -300, 1)), used(2, 1, 60)]
    whole = assert_stands_alone(rows, HIDING)
    # not near, and so it emerges with 60 - 10
    assert whole.ledger.attributed_cpu_seconds > 0


def test_a_window_knows_that_stamps_after_it_are_many_snapshots() -> None:
    """The first of them, 899 s after the window's last snapshot, covers the rest of the window."""
    rows = [used(1, 0, 0), used(1, 298, 0), *one_by_one(300 + 897, 300 + 897 + 125)]
    whole = assert_stands_alone(rows)
    assert whole.ledger.covered_seconds == 300


# --- 12: the kernel's count ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("later", "seen"),
    [
        ({}, True),
        ({"boot_epoch": 60.0}, True),
        ({"boot_epoch": 60.25}, False),
        ({"cpu_seconds": 500.0}, True),  # an idle machine
        ({"cpu_seconds": 499.0}, False),
        ({"time": T + 900}, True),
        ({"time": T + 900.5}, False),
    ],
)
def test_a_boot_and_a_silence_end_the_kernels_span(later: dict[str, Any], seen: bool) -> None:
    """The counter fell, the boot is another one, or the two counts are too far apart."""
    one = KernelRow(time=T, cpu_seconds=500, boot_epoch=0)
    two = one._replace(**{"time": T + 300, "cpu_seconds": 800, **later})
    result = agreed([used(1, 0, 0), used(1, 300, 0)], machines=[one, two])
    assert result.aggregates["machine_cpu_norm"].notna().all() == seen


@pytest.mark.parametrize(("before", "row_class"), [(900, "implausible"), (900.5, "attributed")])
def test_the_kernels_cores_hold_for_as_long_as_a_gap(before: float, row_class: str) -> None:
    """One core cannot give 331 core-seconds in 300 s and the slack; 1,024 can."""
    machines = [KernelRow(time=T + 300 - before, cores=1)]
    result = agreed([used(1, 0, 0), used(1, 300, 331)], machines=machines)
    assert show.classes(result) == {"first_seen": 1, row_class: 1}
