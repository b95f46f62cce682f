"""Worked examples, small enough to check by hand: whose CPU and memory, when, and how much."""

from __future__ import annotations

import pytest

from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets_tests.support.domain import process_rows as show
from snapshot_assets_tests.support.domain.process_rows import (
    GB,
    Row,
    at,
    count,
    minutes,
)

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
    assert show.cores(result) == pytest.approx({"12:00": 0.0, "12:05": 0.75})
    assert show.classes(result) == {"first_seen": 1, "attributed": 2}


def test_a_process_a_little_older_than_the_silence_was_born_at_its_start() -> None:
    """etimes of 330 s in a silence of 300: within slack, so born, but never before 12:00."""
    snapshot = [Row(time=at("12:00"), pid=1), Row(time=at("12:05"), pid=1)]
    born = count([*snapshot, Row(time=at("12:05"), cputimes=150, etimes=330)])
    assert show.cores(born) == pytest.approx({"12:00": 0.5})
    assert born.ledger.attributed_cpu_seconds == pytest.approx(150)
    older = count([*snapshot, Row(time=at("12:05"), cputimes=150, etimes=331)])
    assert show.cores(older) == {"12:00": 0.0}
    assert show.classes(older) == {"first_seen": 2, "attributed": 1}


def test_birth_is_never_before_the_previous_snapshot_even_where_that_was_looked_at() -> None:
    """Born within slack before 12:05, where it was not seen: nothing of it goes to 12:00."""
    result = count(
        [
            *(Row(time=at(clock), pid=1) for clock in ("12:00", "12:05", "12:10")),
            Row(time=at("12:10"), cputimes=150, etimes=320),
        ]
    )
    assert show.cores(result) == pytest.approx({"12:00": 0.0, "12:05": 0.5})


def test_a_process_born_in_its_snapshot_used_its_cpu_in_the_last_second() -> None:
    """etimes 0 and 4 core-seconds, half a second after a border: half before it, half after."""
    snapshot = [Row(time=at("12:04"), pid=1), Row(time=at("12:05") + 0.5, pid=1)]
    result = count([*snapshot, Row(time=at("12:05") + 0.5, cputimes=4, etimes=0)])
    # 2 core-seconds / 60 s covered in 12:00, 2 / 0.5 s covered in 12:05
    assert show.cores(result) == pytest.approx({"12:00": 2 / 60, "12:05": 4.0})
    assert result.ledger.attributed_cpu_seconds == pytest.approx(4)


def test_the_second_of_a_birth_never_begins_before_the_previous_snapshot() -> None:
    """Snapshots half a second apart, at a border: all 4 core-seconds lie behind it.

    Process 1 is in both stamps, so they are two snapshots.
    """
    result = count(
        [
            Row(time=at("12:04"), pid=1),
            Row(time=at("12:05"), pid=1),
            Row(time=at("12:05") + 0.5, pid=1),
            Row(time=at("12:05") + 0.5, cputimes=4, etimes=0),
        ]
    )
    assert show.cores(result) == pytest.approx({"12:00": 0.0, "12:05": 8.0})


def test_a_process_born_in_a_gap_is_gap() -> None:
    """Silence of 901 s, born 60 s ago: its time is not covered, so its CPU is only reported."""
    result = count(
        [
            Row(time=at("12:00"), pid=1),
            Row(time=at("12:15:01"), cputimes=45, etimes=60),
        ]
    )
    assert result.aggregates.empty
    assert show.classes(result) == {"first_seen": 1, "gap": 1}
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
    assert show.cores(result) == {"12:00": 0.0}
    assert show.gigabytes(result) == {"12:00": 1.0}
    assert show.classes(result) == {"first_seen": 2, "attributed": 1}


def test_a_process_missing_from_one_snapshot_is_charged_over_both() -> None:
    """Rows at 12:00 and 12:10, none at 12:05: 300 core-seconds over 600 s."""
    result = count(
        [
            *(Row(time=at(clock), pid=1) for clock in ("12:00", "12:05", "12:10")),
            Row(time=at("12:00"), cputimes=0, rss=GB),
            Row(time=at("12:10"), cputimes=300, rss=GB),
        ]
    )
    assert show.cores(result) == pytest.approx({"12:00": 0.5, "12:05": 0.5})
    # memory is what each snapshot shows: none at 12:05, 1 GB at 12:10
    assert show.gigabytes(result) == pytest.approx({"12:00": 0.0, "12:05": 1.0})


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
    assert set(show.cores(result).values()) == {0.0}
    assert show.classes(result) == {"first_seen": 2, "attributed": 2, "gap": 1}


def test_a_span_is_split_at_bucket_borders_by_time() -> None:
    """900 core-seconds from 12:03 to 12:12: 200, 500 and 200 of them."""
    result = count([Row(time=at("12:03"), cputimes=0), Row(time=at("12:12"), cputimes=900)])
    # by time: 120/540, 300/540, 120/540 of 900; covered 120, 300, 120 s: 900/540 cores in each
    assert show.cores(result) == pytest.approx({"12:00": 5 / 3, "12:05": 5 / 3, "12:10": 5 / 3})
    assert show.coverage(result) == {"12:00": 120, "12:05": 300, "12:10": 120}
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
    assert show.entries(result, "cpu_norm") == pytest.approx({("12:00", "ana", "bash"): 0.2})
    assert show.classes(result) == {"first_seen": 1, "attributed": 1}


# --- 5: the CPU of a bucket -------------------------------------------------------------------


def test_cores_are_an_average_over_the_covered_time_not_over_the_bucket() -> None:
    """One minute looked at, 60 core-seconds used: one core, not a fifth of one."""
    result = count([Row(time=at("12:01"), cputimes=0), Row(time=at("12:02"), cputimes=60)])
    assert show.cores(result) == pytest.approx({"12:00": 1.0})


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
    assert show.entries(result, "cpu_norm") == pytest.approx(
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
    assert set(show.entries(result, "cpu_norm")) == {("12:00", "ana", "python")}


# --- 6: memory --------------------------------------------------------------------------------


def test_an_idle_hog_holds_its_memory() -> None:
    """No CPU at all and 80 GB: that is what a memory chart is for."""
    result = count(
        [
            Row(time=at("12:00"), cputimes=7, rss=80 * GB),
            Row(time=at("12:05"), cputimes=7, rss=80 * GB),
        ]
    )
    assert show.entries(result, "rss_gb") == {("12:00", "ana", "python"): 80.0}
    assert show.entries(result, "cpu_norm") == {("12:00", "ana", "python"): 0.0}


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
    assert show.gigabytes(result) == pytest.approx({"12:00": 1.75})


def test_memory_of_processes_in_one_snapshot_adds_up() -> None:
    """Two processes of one name with 1.5 and 2.5 GB: 4 GB, and GB are 10**9 bytes."""
    result = count(
        [
            Row(time=time, pid=pid, rss=rss)
            for time in (at("12:00"), at("12:05"))
            for pid, rss in ((1, 1_500_000_000), (2, 2_500_000_000))
        ]
    )
    assert show.gigabytes(result) == pytest.approx({"12:00": 4.0})


def test_memory_speaks_for_the_whole_span_of_its_snapshot_however_young_the_process() -> None:
    """Born 30 s before 12:05: its 3 GB count for all of (12:00, 12:05], as the snapshot does."""
    result = count(
        [
            Row(time=at("12:00"), pid=1),
            Row(time=at("12:05"), cputimes=3, rss=3 * GB, etimes=30),
        ]
    )
    assert show.gigabytes(result) == pytest.approx({"12:00": 3.0})


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
    kept = {username for _, username, _ in show.entries(count(rows), "rss_gb")}
    assert kept == {"idle", "busy", "born idle", "born busy", "first seen"}
    dropping = count(rows, AccountingRules(drop_idle_memory=True))
    assert show.entries(dropping, "rss_gb") == {
        ("12:00", "busy", "python"): 1.0,
        ("12:00", "born busy", "python"): 1.0,
        ("12:00", "first seen", "python"): 1.0,
    }
    assert dropping.ledger.rows == count(rows).ledger.rows


def test_drop_idle_memory_does_not_depend_on_rows_that_a_partition_does_not_read() -> None:
    """Back after half an hour, as idle as before: the partition that sees it come back must not
    need the row from before, which it does not read."""
    rows = show.raw_rows(
        [
            Row(time=at("11:00"), cputimes=5, rss=GB),
            *(Row(time=at("11:00") + step * 300, pid=1) for step in range(14)),
            Row(time=at("12:05"), cputimes=5, rss=GB),
        ]
    )
    rules = AccountingRules(drop_idle_memory=True)
    window = minutes("12:00", "12:05")
    everything = account(rows, window, rules)
    partition = account(show.read_by(rows, window, rules), window, rules)
    assert show.gigabytes(everything) == show.gigabytes(partition) == {"12:00": 1.0}


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
    assert {username for _, username, _ in show.entries(result, "cpu_norm")} == left
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
    assert show.classes(result) == {"excluded": 3, "duplicate": 1}
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
    assert show.coverage(result) == {"12:00": 300}
    assert show.cores(result) == show.gigabytes(result) == {"12:00": 0.0}
