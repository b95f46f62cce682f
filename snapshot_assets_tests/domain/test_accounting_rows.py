"""Worked examples, small enough to check by hand: which rows count, and what they are rows of.

Duplicates, snapshots and what they cover, gaps, and which process instance a row belongs to.
"""

from __future__ import annotations

import pandas as pd
import pytest

from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets_tests.support.domain import process_rows as show
from snapshot_assets_tests.support.domain.process_rows import GB, Row, at, count, minutes

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
    assert show.cores(result) == pytest.approx({"12:00": 1.0, "12:05": 1.0})
    assert show.coverage(result) == {"12:00": 300.0, "12:05": 240.0}
    assert show.totals(result, "snapshots") == {"12:00": 2, "12:05": 1}
    assert result.ledger.attributed_cpu_seconds == pytest.approx(540)
    assert result.ledger.covered_seconds == 540
    assert result.ledger.buckets == 2
    assert show.classes(result) == {"first_seen": 1, "attributed": 2}


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
    assert show.classes(twice) == {**show.classes(once), "duplicate": 3}
    assert twice.ledger.rows_read == 6
    # (310 - 10 + 30) core-seconds / 300 s
    assert show.cores(twice) == pytest.approx({"12:00": 1.1})
    assert show.gigabytes(twice) == pytest.approx({"12:00": 2.0})


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [0, 3, 2, 1], [0, 2, 1, 3], [3, 2, 1, 0]])
def test_of_duplicates_the_largest_cputimes_stays_and_then_the_largest_rss(
    order: list[int],
) -> None:
    """Not the first row, not the last one, and not the largest memory alone."""
    rows = [
        Row(time=at("12:00"), cputimes=0),
        Row(time=at("12:05"), cputimes=100, rss=9 * GB),
        Row(time=at("12:05"), cputimes=150, rss=1 * GB),
        Row(time=at("12:05"), cputimes=150, rss=2 * GB),
    ]
    result = count([rows[position] for position in order])
    # 150 core-seconds / 300 s of the row that stayed, with its memory
    assert show.entries(result, "cpu_norm") == {("12:00", "ana", "python"): 0.5}
    assert show.entries(result, "rss_gb") == {("12:00", "ana", "python"): 2.0}
    assert show.classes(result) == {"first_seen": 1, "duplicate": 2, "attributed": 1}


def test_rows_of_other_users_or_commands_are_no_duplicates() -> None:
    """Two containers show a process 1 each, with the same pid at the same time."""
    result = count(
        [
            Row(time=time, pid=1, username=username, comm=comm, cputimes=cputimes, rss=GB)
            for time, cputimes in [(at("12:00"), 0), (at("12:05"), 150)]
            for username, comm in [("ana", "python"), ("bob", "python"), ("ana", "R")]
        ]
    )
    assert show.entries(result, "cpu_norm") == {
        ("12:00", "ana", "R"): 0.5,
        ("12:00", "ana", "python"): 0.5,
        ("12:00", "bob", "python"): 0.5,
    }
    assert show.classes(result) == {"first_seen": 3, "attributed": 3}
    assert result.ledger.shared_pids == 2  # of both snapshots


def test_the_same_pid_on_two_hosts_or_at_two_times_is_no_duplicate() -> None:
    """Only rows with equal host, pid and time are duplicates."""
    result = count(
        [
            Row(host=host, time=time, pid=7, cputimes=50)
            for host in ("alice", "bob")
            for time in (at("12:00"), at("12:05"))
        ]
    )
    assert show.classes(result) == {"first_seen": 2, "attributed": 2}


# --- 2: snapshots, cover and gaps -------------------------------------------------------------


def test_a_silence_of_exactly_max_gap_is_covered() -> None:
    """900 s with 450 core-seconds: half a core in each of three whole buckets."""
    result = count([Row(time=at("12:00"), cputimes=0), Row(time=at("12:15"), cputimes=450)])
    assert show.cores(result) == pytest.approx({"12:00": 0.5, "12:05": 0.5, "12:10": 0.5})
    assert show.coverage(result) == {"12:00": 300, "12:05": 300, "12:10": 300}
    assert show.classes(result) == {"first_seen": 1, "attributed": 1}
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
    assert show.classes(result) == {"first_seen": 1, "gap": 1}
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
    assert show.cores(result) == pytest.approx({"12:00": 0.5})
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
    assert show.cores(result) == pytest.approx({"12:00": 1.0, "12:20": 0.5})
    assert show.coverage(result) == {"12:00": 120, "12:20": 120}
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
    assert show.classes(result) == {"first_seen": 1}
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
    assert show.classes(result) == {"first_seen": 3}


def test_snapshots_that_end_on_a_border_do_not_reach_into_the_next_bucket() -> None:
    """(12:00, 12:05] and (12:05, 12:10] fill one bucket each, with one snapshot each."""
    result = count(
        [
            Row(time=at("12:00"), cputimes=0),
            Row(time=at("12:05"), cputimes=300),
            Row(time=at("12:10"), cputimes=900),
        ]
    )
    assert show.cores(result) == pytest.approx({"12:00": 1.0, "12:05": 2.0})
    assert show.totals(result, "snapshots") == {"12:00": 1, "12:05": 1}


def test_snapshots_with_fractions_of_a_second_cover_to_the_fraction() -> None:
    """(12:00:00.5, 12:04:00.25] is 239.75 s with 959 core-seconds: 4 cores."""
    result = count(
        [
            Row(time=at("12:00") + 0.5, cputimes=1),
            Row(time=at("12:04") + 0.25, cputimes=960),
        ]
    )
    assert show.coverage(result) == {"12:00": 239.75}
    assert show.cores(result) == pytest.approx({"12:00": 4.0})


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
    assert show.cores(result) == pytest.approx({"12:00": 20 / 300})
    assert show.classes(result) == {"first_seen": 1, "attributed": 1}


def test_a_pid_reused_by_a_process_of_unknown_age_is_first_seen() -> None:
    """cputimes fell and there is no etimes: when the 20 seconds were used, nobody can say."""
    result = count(
        [Row(time=at("12:00"), cputimes=500), Row(time=at("12:05"), cputimes=20, rss=GB)]
    )
    assert show.cores(result) == {"12:00": 0.0}
    assert show.gigabytes(result) == {"12:00": 1.0}
    assert show.classes(result) == {"first_seen": 2}
    assert result.ledger.attributed_cpu_seconds == 0


def test_equal_cputimes_are_the_same_idle_process() -> None:
    """It did not fall, so nobody was born: a span without CPU, not one with all of its past."""
    result = count([Row(time=at("12:00"), cputimes=500), Row(time=at("12:05"), cputimes=500)])
    assert show.cores(result) == {"12:00": 0.0}
    assert show.classes(result) == {"first_seen": 1, "attributed": 1}


def test_a_process_too_young_to_have_been_seen_before_is_a_new_one() -> None:
    """cputimes rose, but etimes reaches back 269 of 300 s, one more than the slack of 30."""
    earlier = Row(time=at("12:00"), cputimes=100)
    young = count([earlier, Row(time=at("12:05"), cputimes=130, etimes=269)])
    # born at 12:00:31, all of its 130 core-seconds / 300 s
    assert show.cores(young) == pytest.approx({"12:00": 130 / 300})
    just_old_enough = count([earlier, Row(time=at("12:05"), cputimes=130, etimes=270)])
    # the same process as before: 30 core-seconds / 300 s
    assert show.cores(just_old_enough) == pytest.approx({"12:00": 30 / 300})


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
    assert show.classes(drifted) == {"first_seen": 3, "attributed": 2}
    assert drifted.ledger.attributed_cpu_seconds == 0
    rows[1] = rows[1]._replace(etimes=9430)
    within_slack = count([*rows, Row(time=at("12:10"), cputimes=160, etimes=10_000)])
    assert within_slack.ledger.attributed_cpu_seconds == pytest.approx(60)


def test_a_process_that_aged_by_more_than_the_time_that_passed_is_another_one() -> None:
    """The difference counts in both directions: 300 s passed, and etimes grew by 331."""
    earlier = Row(time=at("12:00"), cputimes=100, etimes=1000)
    other = count([earlier, Row(time=at("12:05"), cputimes=160, etimes=1331)])
    assert show.classes(other) == {"first_seen": 2}
    same = count([earlier, Row(time=at("12:05"), cputimes=160, etimes=1330)])
    assert show.classes(same) == {"first_seen": 1, "attributed": 1}


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
