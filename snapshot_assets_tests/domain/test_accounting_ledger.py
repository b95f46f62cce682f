"""Worked examples, small enough to check by hand: nothing is lost, and what has no use is a zero.

Midnight, the ledger, idle hosts, empty input, awkward names.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.ledger import Ledger
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.time import Window
from snapshot_assets_tests.support.domain import process_rows as show
from snapshot_assets_tests.support.domain.process_rows import (
    DAY,
    GB,
    HOUR,
    MIDNIGHT,
    RULES,
    Row,
    at,
    count,
    minutes,
    raw_rows,
    read_by,
)
from snapshot_assets_tests.support.domain.scenarios import AWKWARD_HOSTS
from snapshot_assets_tests.support.domain.slow_accounting import CLASSES

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
    assert show.cores(yesterday) == pytest.approx({"23:55": 1.0})
    assert show.cores(today) == pytest.approx({"00:00": 1.0, "00:05": 1.0})
    assert show.coverage(yesterday) == {"23:55": 240}
    assert show.coverage(today) == {"00:00": 300, "00:05": 60}
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
    assert show.cores(yesterday) == pytest.approx({"23:55": 0.5})
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
    assert list(ledger.as_dict()["rows"]) == list(CLASSES)


def test_a_ledger_of_an_earlier_version_reads_with_zeros_and_one_of_a_later_without_its_own() -> (
    None
):
    """The classes that it does not have had no rows, and numbers that nobody knows are left out."""
    text = Ledger(rows_read=3).as_dict()
    del text["rows"]["rejected"], text["odd_ages"], text["samples"]
    ledger = Ledger.from_dict({**text, "of_the_future": 1})
    assert ledger == Ledger(rows_read=3)


def test_a_ledger_with_a_row_in_no_class_is_not_balanced() -> None:
    """One row read, none classified: somebody forgot a row."""
    assert not Ledger(rows_read=1).balanced


# --- 9: idle hosts, empty input, awkward names ------------------------------------------------


def test_an_idle_host_is_a_zero_row_without_names() -> None:
    """Looked at from 12:00 to 12:10, nothing used: a zero in each bucket, and cover as always."""
    result = count([Row(time=at(clock), cputimes=5) for clock in ("12:00", "12:05", "12:10")])
    frame = result.aggregates
    assert show.cores(result) == show.gigabytes(result) == {"12:00": 0.0, "12:05": 0.0}
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
    assert show.classes(result) == {"first_seen": 1, "attributed": 1}
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
