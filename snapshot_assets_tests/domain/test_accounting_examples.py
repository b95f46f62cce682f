"""One worked example for each rule of the accounting, small enough to check by hand."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from snapshot_assets.domain.accounting import Account, account
from snapshot_assets.domain.ledger import Ledger
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.stages import FiveMinuteAggregates, RawProcessRows, validate
from snapshot_assets.domain.time import Window
from snapshot_assets_tests.domain.frames import (
    AWKWARD_HOSTS,
    DAY,
    GB,
    MIDNIGHT,
    Row,
    at,
    minutes,
    raw_rows,
    read_by,
)

RULES = AccountingRules()
HOUR = minutes("12:00", "13:00")


def count(rows: list[Row], rules: AccountingRules = RULES, window: Window = HOUR) -> Account:
    """The account of a few rows, both ends of the way validated."""
    frame = validate(RawProcessRows, raw_rows(rows), "an example")
    result = account(frame, window, rules)
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
    """Covered seconds by bucket; they are the same in all rows of a bucket of one host."""
    distinct = result.aggregates.drop_duplicates(["bucket_start", "host"])
    return totals(Account(distinct, result.ledger), "covered_seconds")


def entries(result: Account, column: str) -> dict[tuple[str, str, str], float]:
    """A column by clock time, username and comm."""
    frame = result.aggregates
    clock = frame["bucket_start"].dt.strftime("%H:%M")
    keys = zip(clock, frame["username"], frame["comm"], strict=True)
    return {
        (str(time), str(username), str(comm)): float(value)
        for (time, username, comm), value in zip(keys, frame[column], strict=True)
    }


def classes(result: Account) -> dict[str, int]:
    """The classes that any row read landed in."""
    return {name: rows for name, rows in result.ledger.rows.items() if rows}


# --- the contract's own example ---------------------------------------------------------------


def test_the_worked_example_of_the_contract_holds() -> None:
    """Spans cut at 12:05: 240 + 60 core-seconds over 300 s, then 240 over the 240 s looked at."""
    result = count(
        [
            Row(time=at("12:00"), cputimes=100),
            Row(time=at("12:04"), cputimes=340),
            Row(time=at("12:09"), cputimes=640),
        ]
    )
    # 12:00: (240 + 300 * 60/300) / 300 = 1.0; 12:05: (300 * 240/300) / 240 = 1.0
    assert cores(result) == pytest.approx({"12:00": 1.0, "12:05": 1.0})
    assert coverage(result) == {"12:00": 300.0, "12:05": 240.0}
    assert totals(result, "snapshots") == {"12:00": 2, "12:05": 1}
    assert result.ledger.attributed_cpu_seconds == pytest.approx(540)
    assert result.ledger.covered_seconds == 540
    assert result.ledger.buckets == 2
    assert classes(result) == {"first_seen": 1, "attributed": 2}


# --- 1: duplicates ----------------------------------------------------------------------------


def test_two_collectors_that_write_every_row_count_once() -> None:
    """The same rows twice: the same use, and each repeated row is reported as a duplicate."""
    rows = [
        Row(time=at("12:00"), cputimes=10, rss=GB),
        Row(time=at("12:05"), cputimes=310, rss=GB),
        Row(time=at("12:05"), pid=8, cputimes=30, rss=GB, etimes=200),
    ]
    once, twice = count(rows), count(rows + rows)
    pd.testing.assert_frame_equal(twice.aggregates, once.aggregates, check_exact=True)
    assert classes(twice) == {**classes(once), "duplicate": 3}
    assert twice.ledger.rows_read == 6
    # (310 - 10 + 30) core-seconds / 300 s
    assert cores(twice) == pytest.approx({"12:00": 1.1})
    assert gigabytes(twice) == pytest.approx({"12:00": 2.0})


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [0, 3, 2, 1], [0, 2, 1, 3], [3, 2, 1, 0]])
def test_of_duplicates_the_largest_cputimes_stays_and_then_the_largest_rss(
    order: list[int],
) -> None:
    """Not the first row, not the last one, and not the largest memory alone."""
    rows = [
        Row(time=at("12:00"), cputimes=0),
        Row(time=at("12:05"), username="low", cputimes=100, rss=9 * GB),
        Row(time=at("12:05"), username="high", cputimes=150, rss=1 * GB),
        Row(time=at("12:05"), username="best", cputimes=150, rss=2 * GB),
    ]
    result = count([rows[position] for position in order])
    # 150 core-seconds / 300 s, charged to the row that stayed, with its memory
    assert entries(result, "cpu_norm") == {("12:00", "best", "python"): 0.5}
    assert entries(result, "rss_gb") == {("12:00", "best", "python"): 2.0}
    assert classes(result) == {"first_seen": 1, "duplicate": 2, "attributed": 1}


def test_a_tie_between_duplicates_does_not_depend_on_the_order_of_the_rows() -> None:
    """Equal in all that decides, different in owner: whichever stays, it is always the same."""
    start = Row(time=at("12:00"), cputimes=0)
    tied = [
        Row(time=at("12:05"), username=username, cputimes=150, rss=GB, etimes=etimes)
        for username, etimes in [("ana", 900.0), ("bob", 900.0), ("eve", None)]
    ]
    first = count([start, *tied])
    for turned in ([start, *reversed(tied)], [tied[1], tied[2], start, tied[0]]):
        pd.testing.assert_frame_equal(count(turned).aggregates, first.aggregates)


def test_the_same_pid_on_two_hosts_or_at_two_times_is_no_duplicate() -> None:
    """Only rows with equal host, pid and time are duplicates."""
    result = count(
        [
            Row(host=host, time=time, pid=7, cputimes=50)
            for host in ("alice", "bob")
            for time in (at("12:00"), at("12:05"))
        ]
    )
    assert classes(result) == {"first_seen": 2, "attributed": 2}


# --- 2: snapshots, cover and gaps -------------------------------------------------------------


def test_a_silence_of_exactly_max_gap_is_covered() -> None:
    """900 s with 450 core-seconds: half a core in each of three whole buckets."""
    result = count([Row(time=at("12:00"), cputimes=0), Row(time=at("12:15"), cputimes=450)])
    assert cores(result) == pytest.approx({"12:00": 0.5, "12:05": 0.5, "12:10": 0.5})
    assert coverage(result) == {"12:00": 300, "12:05": 300, "12:10": 300}
    assert classes(result) == {"first_seen": 1, "attributed": 1}
    assert result.ledger.gap_cpu_seconds == 0


def test_a_silence_of_one_second_more_is_a_gap_and_its_cpu_is_only_reported() -> None:
    """901 s: no bucket, no memory, nothing spread; 450 core-seconds in the ledger."""
    result = count(
        [
            Row(time=at("12:00"), cputimes=0, rss=GB),
            Row(time=at("12:15:01"), cputimes=450, rss=GB),
        ]
    )
    assert result.aggregates.empty
    assert classes(result) == {"first_seen": 1, "gap": 1}
    assert result.ledger.gap_cpu_seconds == 450
    assert result.ledger.attributed_cpu_seconds == 0
    assert result.ledger.covered_seconds == 0
    assert result.ledger.buckets == 0


def test_max_gap_is_a_setting() -> None:
    """With 240 s, a silence of 240 s is covered and one of 241 s is not."""
    rows = [
        Row(time=at("12:00"), cputimes=0),
        Row(time=at("12:04"), cputimes=120),
        Row(time=at("12:08:01"), cputimes=361),
    ]
    result = count(rows, AccountingRules(max_gap_seconds=240))
    # 12:00: 120 core-seconds / 240 s covered; the 241 core-seconds after it are gap
    assert cores(result) == pytest.approx({"12:00": 0.5})
    assert result.ledger.gap_cpu_seconds == 241


def test_a_gap_has_no_bucket_and_the_buckets_at_its_edges_are_partly_covered() -> None:
    """Silence from 12:02 to 12:23: 12:05 to 12:15 are absent, not zero."""
    result = count(
        [
            Row(time=at("12:00"), cputimes=0),
            Row(time=at("12:02"), cputimes=120),
            Row(time=at("12:23"), cputimes=200),
            Row(time=at("12:25"), cputimes=260),
        ]
    )
    # 12:00: 120 / 120 s = 1.0; 12:20: 60 / 120 s = 0.5, only (12:23, 12:25] being covered
    assert cores(result) == pytest.approx({"12:00": 1.0, "12:20": 0.5})
    assert coverage(result) == {"12:00": 120, "12:20": 120}
    assert result.ledger.gap_cpu_seconds == 80


def test_gap_cpu_counts_in_the_window_that_its_row_lies_in() -> None:
    """The row at 12:20 ends the gap: the window before it reports nothing, its own reports 80."""
    rows = [Row(time=at("12:00"), cputimes=0), Row(time=at("12:20"), cputimes=80)]
    before = count(rows, window=minutes("12:00", "12:20"))
    after = count(rows, window=minutes("12:20", "12:40"))
    assert before.ledger.gap_cpu_seconds == 0
    assert after.ledger.gap_cpu_seconds == 80
    assert before.ledger.window_rows["first_seen"] == 1
    assert before.ledger.window_rows["gap"] == 0
    assert after.ledger.window_rows["gap"] == 1
    assert after.ledger.window_rows["first_seen"] == 0


def test_the_first_snapshot_of_a_host_covers_nothing() -> None:
    """Nobody looked before it: whatever its processes used or hold is not of our time."""
    result = count([Row(time=at("12:03"), cputimes=500, rss=GB, etimes=10)])
    assert result.aggregates.empty
    assert classes(result) == {"first_seen": 1}
    assert result.ledger.attributed_cpu_seconds == 0
    assert result.ledger.gap_cpu_seconds == 0


def test_the_previous_snapshot_of_a_host_is_its_own() -> None:
    """bob was looked at 60 s before alice's first snapshot: of alice nothing is known before."""
    result = count(
        [
            Row(host="alice", time=at("12:02"), cputimes=50, rss=GB, etimes=10),
            Row(host="bob", time=at("12:01"), cputimes=50),
            Row(host="carol", time=at("12:03"), cputimes=50, rss=GB, etimes=10),
        ]
    )
    assert result.aggregates.empty
    assert classes(result) == {"first_seen": 3}


def test_snapshots_that_end_on_a_border_do_not_reach_into_the_next_bucket() -> None:
    """(12:00, 12:05] and (12:05, 12:10] fill one bucket each, with one snapshot each."""
    result = count(
        [
            Row(time=at("12:00"), cputimes=0),
            Row(time=at("12:05"), cputimes=300),
            Row(time=at("12:10"), cputimes=900),
        ]
    )
    assert cores(result) == pytest.approx({"12:00": 1.0, "12:05": 2.0})
    assert totals(result, "snapshots") == {"12:00": 1, "12:05": 1}


def test_snapshots_with_fractions_of_a_second_cover_to_the_fraction() -> None:
    """(12:00:00.5, 12:04:00.25] is 239.75 s with 959 core-seconds: 4 cores."""
    result = count(
        [
            Row(time=at("12:00") + 0.5, cputimes=1),
            Row(time=at("12:04") + 0.25, cputimes=960),
        ]
    )
    assert coverage(result) == {"12:00": 239.75}
    assert cores(result) == pytest.approx({"12:00": 4.0})


# --- 3: process instances ---------------------------------------------------------------------


def test_a_reused_pid_never_gives_negative_cpu() -> None:
    """cputimes fell from 500 to 20: another process, and its etimes say born since 12:00."""
    result = count(
        [
            Row(time=at("12:00"), cputimes=500, etimes=9000),
            Row(time=at("12:05"), cputimes=20, etimes=100),
        ]
    )
    # 20 core-seconds / 300 s
    assert cores(result) == pytest.approx({"12:00": 20 / 300})
    assert classes(result) == {"first_seen": 1, "attributed": 1}


def test_a_pid_reused_by_a_process_of_unknown_age_is_first_seen() -> None:
    """cputimes fell and there is no etimes: when the 20 seconds were used, nobody can say."""
    result = count(
        [Row(time=at("12:00"), cputimes=500), Row(time=at("12:05"), cputimes=20, rss=GB)]
    )
    assert cores(result) == {"12:00": 0.0}
    assert gigabytes(result) == {"12:00": 1.0}
    assert classes(result) == {"first_seen": 2}
    assert result.ledger.attributed_cpu_seconds == 0


def test_equal_cputimes_are_the_same_idle_process() -> None:
    """It did not fall, so nobody was born: a span without CPU, not one with all of its past."""
    result = count([Row(time=at("12:00"), cputimes=500), Row(time=at("12:05"), cputimes=500)])
    assert cores(result) == {"12:00": 0.0}
    assert classes(result) == {"first_seen": 1, "attributed": 1}


def test_a_process_too_young_to_have_been_seen_before_is_a_new_one() -> None:
    """cputimes rose, but etimes reaches back 269 of 300 s, one more than the slack of 30."""
    earlier = Row(time=at("12:00"), cputimes=100)
    young = count([earlier, Row(time=at("12:05"), cputimes=130, etimes=269)])
    # born at 12:00:31, all of its 130 core-seconds / 300 s
    assert cores(young) == pytest.approx({"12:00": 130 / 300})
    just_old_enough = count([earlier, Row(time=at("12:05"), cputimes=130, etimes=270)])
    # the same process as before: 30 core-seconds / 300 s
    assert cores(just_old_enough) == pytest.approx({"12:00": 30 / 300})


def test_a_reuse_that_only_the_drift_of_etimes_shows_is_seen() -> None:
    """Missing from 12:05, back at 12:10: 600 s passed, but the process aged by 569.

    Its etimes of 10,000 reaches back far beyond the earlier row, so only the difference tells.
    """
    rows = [
        Row(time=at("12:00"), pid=1, cputimes=0),
        Row(time=at("12:00"), cputimes=100, etimes=9431),
        Row(time=at("12:05"), pid=1, cputimes=0),
        Row(time=at("12:10"), pid=1, cputimes=0),
    ]
    drifted = count([*rows, Row(time=at("12:10"), cputimes=160, etimes=10_000)])
    assert classes(drifted) == {"first_seen": 3, "attributed": 2}
    assert drifted.ledger.attributed_cpu_seconds == 0
    rows[1] = rows[1]._replace(etimes=9430)
    within_slack = count([*rows, Row(time=at("12:10"), cputimes=160, etimes=10_000)])
    assert within_slack.ledger.attributed_cpu_seconds == pytest.approx(60)


def test_a_process_that_aged_by_more_than_the_time_that_passed_is_another_one() -> None:
    """The difference counts in both directions: 300 s passed, and etimes grew by 331."""
    earlier = Row(time=at("12:00"), cputimes=100, etimes=1000)
    other = count([earlier, Row(time=at("12:05"), cputimes=160, etimes=1331)])
    assert classes(other) == {"first_seen": 2}
    same = count([earlier, Row(time=at("12:05"), cputimes=160, etimes=1330)])
    assert classes(same) == {"first_seen": 1, "attributed": 1}


@pytest.mark.parametrize(("earlier", "later"), [(None, None), (None, 5000.0), (4000.0, None)])
def test_a_missing_etimes_never_speaks_against_a_process(
    earlier: float | None, later: float | None
) -> None:
    """Where etimes is unknown, cputimes that did not fall are enough."""
    result = count(
        [
            Row(time=at("12:00"), cputimes=100, etimes=earlier),
            Row(time=at("12:05"), cputimes=160, etimes=later),
        ]
    )
    assert result.ledger.attributed_cpu_seconds == pytest.approx(60)


def test_slack_is_a_setting() -> None:
    """Without slack an etimes of 299 does not reach back 300 s; with 1 s it does."""
    rows = [
        Row(time=at("12:00"), cputimes=100),
        Row(time=at("12:05"), cputimes=160, etimes=299),
    ]
    strict = count(rows, AccountingRules(slack_seconds=0))
    assert strict.ledger.attributed_cpu_seconds == pytest.approx(160)
    lenient = count(rows, AccountingRules(slack_seconds=1))
    assert lenient.ledger.attributed_cpu_seconds == pytest.approx(60)


# --- 4: CPU spans -----------------------------------------------------------------------------


def test_a_short_lived_process_counts_from_its_birth() -> None:
    """Seen once, 120 s old, at 12:07: its 90 core-seconds belong to (12:05, 12:07]."""
    result = count(
        [
            Row(time=at("12:02"), pid=1),
            Row(time=at("12:07"), pid=1),
            Row(time=at("12:07"), cputimes=90, etimes=120),
        ]
    )
    # 12:05: 90 / 120 s covered; nothing in 12:00, although its snapshot began at 12:02
    assert cores(result) == pytest.approx({"12:00": 0.0, "12:05": 0.75})
    assert classes(result) == {"first_seen": 1, "attributed": 2}


def test_a_process_a_little_older_than_the_silence_was_born_at_its_start() -> None:
    """etimes of 330 s in a silence of 300: within slack, so born, but never before 12:00."""
    snapshot = [Row(time=at("12:00"), pid=1), Row(time=at("12:05"), pid=1)]
    born = count([*snapshot, Row(time=at("12:05"), cputimes=150, etimes=330)])
    assert cores(born) == pytest.approx({"12:00": 0.5})
    assert born.ledger.attributed_cpu_seconds == pytest.approx(150)
    older = count([*snapshot, Row(time=at("12:05"), cputimes=150, etimes=331)])
    assert cores(older) == {"12:00": 0.0}
    assert classes(older) == {"first_seen": 2, "attributed": 1}


def test_birth_is_never_before_the_previous_snapshot_even_where_that_was_looked_at() -> None:
    """Born within slack before 12:05, where it was not seen: nothing of it goes to 12:00."""
    result = count(
        [
            *(Row(time=at(clock), pid=1) for clock in ("12:00", "12:05", "12:10")),
            Row(time=at("12:10"), cputimes=150, etimes=320),
        ]
    )
    assert cores(result) == pytest.approx({"12:00": 0.0, "12:05": 0.5})


def test_a_process_born_in_its_snapshot_used_its_cpu_in_the_last_second() -> None:
    """etimes 0 and 4 core-seconds, half a second after a border: half before it, half after."""
    snapshot = [Row(time=at("12:04"), pid=1), Row(time=at("12:05") + 0.5, pid=1)]
    result = count([*snapshot, Row(time=at("12:05") + 0.5, cputimes=4, etimes=0)])
    # 2 core-seconds / 60 s covered in 12:00, 2 / 0.5 s covered in 12:05
    assert cores(result) == pytest.approx({"12:00": 2 / 60, "12:05": 4.0})
    assert result.ledger.attributed_cpu_seconds == pytest.approx(4)


def test_the_second_of_a_birth_never_begins_before_the_previous_snapshot() -> None:
    """Snapshots half a second apart, at a border: all 4 core-seconds lie behind it."""
    result = count(
        [
            Row(time=at("12:04"), pid=1),
            Row(time=at("12:05"), pid=1),
            Row(time=at("12:05") + 0.5, cputimes=4, etimes=0),
        ]
    )
    assert cores(result) == pytest.approx({"12:00": 0.0, "12:05": 8.0})


def test_a_process_born_in_a_gap_is_gap() -> None:
    """Silence of 901 s, born 60 s ago: its time is not covered, so its CPU is only reported."""
    result = count(
        [
            Row(time=at("12:00"), pid=1),
            Row(time=at("12:15:01"), cputimes=45, etimes=60),
        ]
    )
    assert result.aggregates.empty
    assert classes(result) == {"first_seen": 1, "gap": 1}
    assert result.ledger.gap_cpu_seconds == 45


def test_an_old_process_that_shows_up_between_others_is_first_seen() -> None:
    """Running for an hour, seen for the first time: its 1800 core-seconds are not of now."""
    result = count(
        [
            Row(time=at("12:00"), pid=1),
            Row(time=at("12:05"), pid=1),
            Row(time=at("12:05"), cputimes=1800, rss=GB, etimes=3600),
        ]
    )
    assert cores(result) == {"12:00": 0.0}
    assert gigabytes(result) == {"12:00": 1.0}
    assert classes(result) == {"first_seen": 2, "attributed": 1}


def test_a_process_missing_from_one_snapshot_is_charged_over_both() -> None:
    """Rows at 12:00 and 12:10, none at 12:05: 300 core-seconds over 600 s."""
    result = count(
        [
            *(Row(time=at(clock), pid=1) for clock in ("12:00", "12:05", "12:10")),
            Row(time=at("12:00"), cputimes=0, rss=GB),
            Row(time=at("12:10"), cputimes=300, rss=GB),
        ]
    )
    assert cores(result) == pytest.approx({"12:00": 0.5, "12:05": 0.5})
    # memory is what each snapshot shows: none at 12:05, 1 GB at 12:10
    assert gigabytes(result) == pytest.approx({"12:00": 0.0, "12:05": 1.0})


def test_a_process_missing_for_longer_than_max_gap_is_gap_though_all_is_covered() -> None:
    """Away for 901 s while others were seen: covered buckets, but its CPU is not spread."""
    result = count(
        [
            *(Row(time=at(clock), pid=1) for clock in ("12:00", "12:10", "12:15:01")),
            Row(time=at("12:00"), cputimes=0),
            Row(time=at("12:15:01"), cputimes=450),
        ]
    )
    assert result.ledger.gap_cpu_seconds == 450
    assert result.ledger.attributed_cpu_seconds == 0
    assert set(cores(result).values()) == {0.0}
    assert classes(result) == {"first_seen": 2, "attributed": 2, "gap": 1}


def test_a_span_is_split_at_bucket_borders_by_time() -> None:
    """900 core-seconds from 12:03 to 12:12: 200, 500 and 200 of them."""
    result = count([Row(time=at("12:03"), cputimes=0), Row(time=at("12:12"), cputimes=900)])
    # by time: 120/540, 300/540, 120/540 of 900; covered 120, 300, 120 s: 900/540 cores in each
    assert cores(result) == pytest.approx({"12:00": 5 / 3, "12:05": 5 / 3, "12:10": 5 / 3})
    assert coverage(result) == {"12:00": 120, "12:05": 300, "12:10": 120}
    seconds = result.aggregates["cpu_norm"] * result.aggregates["covered_seconds"]
    assert list(seconds) == pytest.approx([200, 500, 200])


def test_cpu_used_before_and_after_setuid_is_charged_to_the_later_user() -> None:
    """One process, 60 core-seconds since the last row: the row that ends the span pays."""
    result = count(
        [
            Row(time=at("12:00"), username="root", comm="sshd", cputimes=1, etimes=5),
            Row(time=at("12:05"), username="ana", comm="bash", cputimes=61, etimes=305),
        ]
    )
    assert entries(result, "cpu_norm") == pytest.approx({("12:00", "ana", "bash"): 0.2})
    assert classes(result) == {"first_seen": 1, "attributed": 1}


# --- 5: the CPU of a bucket -------------------------------------------------------------------


def test_cores_are_an_average_over_the_covered_time_not_over_the_bucket() -> None:
    """One minute looked at, 60 core-seconds used: one core, not a fifth of one."""
    result = count([Row(time=at("12:01"), cputimes=0), Row(time=at("12:02"), cputimes=60)])
    assert cores(result) == pytest.approx({"12:00": 1.0})


def test_equal_names_add_up_and_different_names_stay_apart() -> None:
    """Four processes with 30, 60, 90 and 120 core-seconds in a bucket; two share both names."""
    owners = [("ana", "python", 30), ("ana", "python", 60), ("ana", "R", 90), ("bob", "R", 120)]
    result = count(
        [
            Row(time=time, pid=pid, username=username, comm=comm, cputimes=used)
            for pid, (username, comm, seconds) in enumerate(owners)
            for time, used in ((at("12:00"), 0), (at("12:05"), seconds))
        ]
    )
    assert entries(result, "cpu_norm") == pytest.approx(
        {
            ("12:00", "ana", "R"): 0.3,
            ("12:00", "ana", "python"): 0.3,
            ("12:00", "bob", "R"): 0.4,
        }
    )


def test_a_process_without_use_has_no_entry() -> None:
    """Next to one that works, one with neither CPU nor memory is left out."""
    result = count(
        [
            Row(time=at("12:00"), cputimes=0),
            Row(time=at("12:00"), pid=8, username="idler"),
            Row(time=at("12:05"), cputimes=30),
            Row(time=at("12:05"), pid=8, username="idler"),
        ]
    )
    assert set(entries(result, "cpu_norm")) == {("12:00", "ana", "python")}


# --- 6: memory --------------------------------------------------------------------------------


def test_an_idle_hog_holds_its_memory() -> None:
    """No CPU at all and 80 GB: that is what a memory chart is for."""
    result = count(
        [
            Row(time=at("12:00"), cputimes=7, rss=80 * GB),
            Row(time=at("12:05"), cputimes=7, rss=80 * GB),
        ]
    )
    assert entries(result, "rss_gb") == {("12:00", "ana", "python"): 80.0}
    assert entries(result, "cpu_norm") == {("12:00", "ana", "python"): 0.0}


def test_memory_is_weighted_by_how_long_its_snapshot_speaks() -> None:
    """4 GB for a minute, then 1 GB for three, in 240 covered seconds: 1.75 GB."""
    result = count(
        [
            Row(time=at("12:00"), rss=64 * GB),
            Row(time=at("12:01"), rss=4 * GB),
            Row(time=at("12:04"), rss=1 * GB),
        ]
    )
    # (4 * 60 + 1 * 180) / 240
    assert gigabytes(result) == pytest.approx({"12:00": 1.75})


def test_memory_of_processes_in_one_snapshot_adds_up() -> None:
    """Two processes of one name with 1.5 and 2.5 GB: 4 GB, and GB are 10**9 bytes."""
    result = count(
        [
            Row(time=time, pid=pid, rss=rss)
            for time in (at("12:00"), at("12:05"))
            for pid, rss in ((1, 1_500_000_000), (2, 2_500_000_000))
        ]
    )
    assert gigabytes(result) == pytest.approx({"12:00": 4.0})


def test_memory_speaks_for_the_whole_span_of_its_snapshot_however_young_the_process() -> None:
    """Born 30 s before 12:05: its 3 GB count for all of (12:00, 12:05], as the snapshot does."""
    result = count(
        [
            Row(time=at("12:00"), pid=1),
            Row(time=at("12:05"), cputimes=3, rss=3 * GB, etimes=30),
        ]
    )
    assert gigabytes(result) == pytest.approx({"12:00": 3.0})


def test_the_setting_drop_idle_memory_leaves_out_only_spans_without_cpu() -> None:
    """Idle since the last row, or born without using CPU: out. All others hold their memory."""
    rows = [
        Row(time=at("12:00"), pid=1, username="idle", cputimes=5),
        Row(time=at("12:00"), pid=2, username="busy", cputimes=5),
        Row(time=at("12:05"), pid=1, username="idle", cputimes=5, rss=GB),
        Row(time=at("12:05"), pid=2, username="busy", cputimes=6, rss=GB),
        Row(time=at("12:05"), pid=3, username="born idle", rss=GB, etimes=100),
        Row(time=at("12:05"), pid=4, username="born busy", cputimes=1, rss=GB, etimes=100),
        Row(time=at("12:05"), pid=5, username="first seen", rss=GB, etimes=9000),
    ]
    kept = {username for _, username, _ in entries(count(rows), "rss_gb")}
    assert kept == {"idle", "busy", "born idle", "born busy", "first seen"}
    dropping = count(rows, AccountingRules(drop_idle_memory=True))
    assert entries(dropping, "rss_gb") == {
        ("12:00", "busy", "python"): 1.0,
        ("12:00", "born busy", "python"): 1.0,
        ("12:00", "first seen", "python"): 1.0,
    }
    assert dropping.ledger.rows == count(rows).ledger.rows


def test_drop_idle_memory_does_not_depend_on_rows_that_a_partition_does_not_read() -> None:
    """Back after half an hour, as idle as before: the partition that sees it come back must not
    need the row from before, which it does not read."""
    rows = raw_rows(
        [
            Row(time=at("11:00"), cputimes=5, rss=GB),
            *(Row(time=at("11:00") + step * 300, pid=1) for step in range(14)),
            Row(time=at("12:05"), cputimes=5, rss=GB),
        ]
    )
    rules = AccountingRules(drop_idle_memory=True)
    window = minutes("12:00", "12:05")
    everything = account(rows, window, rules)
    partition = account(read_by(rows, window, rules), window, rules)
    assert gigabytes(everything) == gigabytes(partition) == {"12:00": 1.0}


# --- 7: excluded accounts ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("excluded_users", "left"),
    [
        (("root",), {"ana", "systemd-network", "Root"}),
        (("systemd-*",), {"ana", "root", "Root"}),
        (("root", "systemd-?etwork"), {"ana", "Root"}),
        (("[rR]oot", "*-network"), {"ana"}),
        (("systemd",), {"ana", "root", "systemd-network", "Root"}),
    ],
)
def test_excluded_accounts_are_left_out_of_cpu_and_memory_and_counted(
    excluded_users: tuple[str, ...], left: set[str]
) -> None:
    """By name or shell pattern, the whole name and the case of its letters included."""
    users = ["ana", "root", "systemd-network", "Root"]
    result = count(
        [
            Row(time=time, pid=pid, username=username, cputimes=used, rss=GB)
            for pid, username in enumerate(users)
            for time, used in ((at("12:00"), 0), (at("12:05"), 30))
        ],
        AccountingRules(excluded_users=excluded_users),
    )
    assert {username for _, username, _ in entries(result, "cpu_norm")} == left
    out = len(users) - len(left)
    assert result.ledger.rows["excluded"] == 2 * out
    assert result.ledger.excluded_cpu_seconds == pytest.approx(30 * out)
    assert result.ledger.attributed_cpu_seconds == pytest.approx(30 * len(left))


def test_every_row_of_an_excluded_account_is_excluded_unless_it_is_a_duplicate() -> None:
    """What it would have been, attributed, gap or first seen, does not matter."""
    row = Row(time=at("12:00"), username="root", cputimes=0)
    result = count(
        [
            row,
            row,
            row._replace(time=at("12:05"), cputimes=60),
            row._replace(time=at("12:25"), cputimes=100),
        ],
        AccountingRules(excluded_users=("root",)),
    )
    assert classes(result) == {"excluded": 3, "duplicate": 1}
    assert result.ledger.excluded_cpu_seconds == pytest.approx(60)
    assert result.ledger.gap_cpu_seconds == 0


def test_snapshots_that_show_only_excluded_accounts_still_cover() -> None:
    """We did look, and nobody who counts used anything: a zero, not a gap."""
    result = count(
        [
            Row(time=time, username="root", cputimes=used, rss=GB)
            for time, used in ((at("12:00"), 0), (at("12:05"), 60))
        ],
        AccountingRules(excluded_users=("root",)),
    )
    assert coverage(result) == {"12:00": 300}
    assert cores(result) == gigabytes(result) == {"12:00": 0.0}


# --- 8: conservation and the ledger -----------------------------------------------------------


def test_midnight_loses_nothing_and_each_day_can_be_accounted_alone() -> None:
    """600 core-seconds from 23:56 to 00:06: 240 of yesterday, 360 of today, from the same rows."""
    rows = raw_rows(
        [
            Row(time=MIDNIGHT - 240, cputimes=1000, rss=GB),
            Row(time=MIDNIGHT + 360, cputimes=1600, rss=GB),
        ]
    )
    yesterday, today = (
        account(read_by(rows, window, RULES), window, RULES)
        for window in (Window.of_day(DAY - dt.timedelta(days=1)), Window.of_day(DAY))
    )
    assert yesterday.ledger.attributed_cpu_seconds == pytest.approx(240)
    assert today.ledger.attributed_cpu_seconds == pytest.approx(360)
    assert cores(yesterday) == pytest.approx({"23:55": 1.0})
    assert cores(today) == pytest.approx({"00:00": 1.0, "00:05": 1.0})
    assert coverage(yesterday) == {"23:55": 240}
    assert coverage(today) == {"00:00": 300, "00:05": 60}
    # a row is counted by the day that it lies in, and by no other
    assert yesterday.ledger.window_rows["first_seen"] == 1
    assert yesterday.ledger.window_rows["attributed"] == 0
    assert today.ledger.window_rows["first_seen"] == 0
    assert today.ledger.window_rows["attributed"] == 1


def test_sums_of_awkward_fractions_do_not_depend_on_where_the_window_is_cut() -> None:
    """Nine processes of one name, some of them missing from a snapshot, and numbers that no float
    holds: summed in another order they would differ in the last bit."""
    times = [at("12:03") + 7.3, at("12:06") + 0.7, at("12:11") + 0.1, at("12:18") + 59.9]
    rows = raw_rows(
        [
            Row(time=time, pid=pid, cputimes=0.1 * (number + 1) * pid**1.5, rss=10**pid + pid)
            for number, time in enumerate(times)
            for pid in range(1, 10)
            if (number, pid) not in {(1, 3), (2, 5), (2, 6)}
        ]
    )
    whole = account(rows, HOUR, RULES).aggregates
    parts = [
        account(read_by(rows, window, RULES), window, RULES).aggregates
        for window in map(Window, HOUR.buckets(), (start + 300 for start in HOUR.buckets()))
    ]
    assert len(whole) == 4
    for column in ("cpu_norm", "rss_gb", "covered_seconds"):
        assert [value for part in parts for value in part[column]] == list(whole[column])


def test_a_snapshot_taken_at_midnight_belongs_to_the_day_that_begins() -> None:
    """Its span ends yesterday, so the use is yesterday's; its row is counted today."""
    rows = [
        Row(time=MIDNIGHT - 300, cputimes=0),
        Row(time=MIDNIGHT, cputimes=150),
        Row(time=MIDNIGHT, cputimes=150),
    ]
    yesterday = count(rows, window=Window.of_day(DAY - dt.timedelta(days=1)))
    today = count(rows, window=Window.of_day(DAY))
    assert cores(yesterday) == pytest.approx({"23:55": 0.5})
    assert today.aggregates.empty
    assert sum(yesterday.ledger.window_rows.values()) == 1
    assert today.ledger.window_rows["attributed"] == 1
    assert today.ledger.window_rows["duplicate"] == 1
    assert yesterday.ledger.window_rows["duplicate"] == 0


def test_the_ledger_counts_only_the_share_of_a_span_that_falls_in_the_window() -> None:
    """Half of 600 core-seconds lies before the window, the other half in it."""
    result = count(
        [Row(time=at("11:55"), cputimes=0), Row(time=at("12:05"), cputimes=600)],
        window=minutes("12:00", "12:05"),
    )
    assert result.ledger.attributed_cpu_seconds == pytest.approx(300)
    assert result.ledger.covered_seconds == 300
    assert result.ledger.buckets == 1
    assert result.ledger.rows_read == 2


def test_ledgers_of_hosts_add_up() -> None:
    """The total of two ledgers is that of their rows together; of none, it is empty."""
    alice = [Row(time=at("12:00"), cputimes=0), Row(time=at("12:05"), cputimes=30)]
    bob = [
        Row(host="bob", time=at("12:00"), username="root", cputimes=0),
        Row(host="bob", time=at("12:05"), username="root", cputimes=60),
        Row(host="bob", time=at("12:30"), username="ana", cputimes=70),
    ]
    rules = AccountingRules(excluded_users=("root",))
    ledgers = [count(rows, rules).ledger for rows in (alice, bob)]
    assert Ledger.total(ledgers) == count(alice + bob, rules).ledger
    assert Ledger.total([]) == Ledger()
    assert Ledger().balanced


def test_a_ledger_survives_its_way_through_plain_types() -> None:
    """Nothing is lost between as_dict and from_dict, and every class is spelled out."""
    rows = [Row(time=at("12:00"), cputimes=0), Row(time=at("12:20"), cputimes=30)]
    ledger = count(rows).ledger
    assert Ledger.from_dict(ledger.as_dict()) == ledger
    assert list(ledger.as_dict()["rows"]) == [
        "attributed",
        "gap",
        "first_seen",
        "duplicate",
        "excluded",
    ]


def test_a_ledger_with_a_row_in_no_class_is_not_balanced() -> None:
    """One row read, none classified: somebody forgot a row."""
    assert not Ledger(rows_read=1).balanced


# --- 9: idle hosts, empty input, awkward names ------------------------------------------------


def test_an_idle_host_is_a_zero_row_without_names() -> None:
    """Looked at from 12:00 to 12:10, nothing used: a zero in each bucket, and cover as always."""
    result = count([Row(time=at(clock), cputimes=5) for clock in ("12:00", "12:05", "12:10")])
    frame = result.aggregates
    assert cores(result) == gigabytes(result) == {"12:00": 0.0, "12:05": 0.0}
    assert len(frame) == 2
    assert frame["username"].isna().all()
    assert frame["comm"].isna().all()
    assert list(frame["host"]) == ["alice", "alice"]
    assert list(frame["covered_seconds"]) == [300, 300]
    assert list(frame["snapshots"]) == [1, 1]


def test_an_idle_host_beside_a_busy_one_is_still_a_zero() -> None:
    """One zero row for alice; bob's row does not hide it."""
    busy = [Row(host="bob", time=at("12:00")), Row(host="bob", time=at("12:05"), cputimes=300)]
    idle = [Row(host="alice", time=at("12:00")), Row(host="alice", time=at("12:05"))]
    frame = count(busy + idle).aggregates
    assert list(frame["host"]) == ["alice", "bob"]
    assert list(frame["cpu_norm"]) == [0.0, 1.0]
    assert list(frame["username"].isna()) == [True, False]


@pytest.mark.parametrize("window", [HOUR, minutes("12:00", "12:00")])
def test_no_rows_make_an_empty_and_valid_frame(window: Window) -> None:
    """Nothing read: nothing to publish, nothing in the ledger, and no error."""
    result = count([], window=window)
    assert result.aggregates.empty
    assert result.ledger == Ledger()


def test_rows_far_from_the_window_make_an_empty_and_valid_frame() -> None:
    """All is read and classified, but no bucket of the window is covered."""
    rows = [Row(time=at("12:00"), cputimes=0), Row(time=at("12:05"), cputimes=300)]
    result = count(rows, window=minutes("18:00", "19:00"))
    assert result.aggregates.empty
    assert classes(result) == {"first_seen": 1, "attributed": 1}
    assert sum(result.ledger.window_rows.values()) == 0
    assert result.ledger.attributed_cpu_seconds == 0


def test_rows_come_out_sorted_by_bucket_host_username_and_comm() -> None:
    """In the order of the text, whatever order the rows and the categories came in."""
    names = [("bob", "z"), ("ana", "b"), ("ana", "a"), ("Zoe", "m"), ("ünal", "a")]
    rows = raw_rows(
        [
            Row(host, time, pid, username, comm, cputimes=time - at("12:00"))
            for host in ("bob", "Alice", "alice")
            for pid, (username, comm) in enumerate(names)
            for time in (at("12:10"), at("12:00"), at("12:05"))
        ]
    )
    for column in ("host", "username", "comm"):
        backwards = rows[column].cat.categories[::-1]
        rows[column] = rows[column].cat.reorder_categories(backwards)
    frame = account(rows, HOUR, RULES).aggregates
    keys = list(
        zip(
            frame["bucket_start"],
            frame["host"].astype(str),
            frame["username"].astype(str),
            frame["comm"].astype(str),
            strict=True,
        )
    )
    assert keys == sorted(keys)
    assert len(keys) == 2 * 3 * 5


def test_categories_that_no_row_has_change_nothing() -> None:
    """A filtered frame keeps the categories of the whole: they must not come out again."""
    both = raw_rows(
        [
            Row(host, at(clock), 1, f"user of {host}", f"comm of {host}", cputimes)
            for host in ("alice", "bob")
            for clock, cputimes in (("12:00", 0), ("12:05", 30))
        ]
    )
    filtered = both[both["host"] == "bob"]
    result = account(filtered, HOUR, RULES).aggregates
    again = account(raw_rows(filtered.itertuples(index=False)), HOUR, RULES).aggregates
    pd.testing.assert_frame_equal(result, again, check_exact=True)
    assert list(result["host"].cat.categories) == ["bob"]


def test_any_text_is_a_host_and_no_two_are_mixed_up() -> None:
    """Separators, dots, quotes, case and emoji: each host keeps its own use."""
    used = {host: 30.0 * (number + 1) for number, host in enumerate(AWKWARD_HOSTS)}
    result = count(
        [
            Row(host=host, time=time, cputimes=seconds if time == at("12:05") else 0)
            for host, seconds in used.items()
            for time in (at("12:00"), at("12:05"))
        ]
    )
    frame = result.aggregates
    found = dict(zip(frame["host"].astype(str), frame["cpu_norm"] * 300, strict=True))
    assert found == pytest.approx(used)


def test_the_frame_handed_in_is_not_changed() -> None:
    """Values, order and index stay what they were."""
    rows = raw_rows(
        [
            Row(time=at("12:05"), cputimes=30),
            Row(time=at("12:00"), cputimes=0),
            Row(time=at("12:05"), cputimes=30),
        ]
    )
    before = rows.copy(deep=True)
    account(rows, HOUR, RULES)
    pd.testing.assert_frame_equal(rows, before)


def test_the_index_of_the_rows_means_nothing() -> None:
    """A concatenated frame with repeated labels is accounted like one with fresh labels."""
    rows = raw_rows([Row(time=at("12:00"), cputimes=0), Row(time=at("12:05"), cputimes=30)])
    relabelled = rows.set_axis(np.zeros(len(rows), dtype=np.int64), axis="index")
    pd.testing.assert_frame_equal(
        account(relabelled, HOUR, RULES).aggregates, account(rows, HOUR, RULES).aggregates
    )
