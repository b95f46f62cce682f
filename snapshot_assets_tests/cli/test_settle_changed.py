"""``settle --changed``: one command after a setting has changed. Each run is a process."""

from __future__ import annotations

import datetime as dt

import pytest

from snapshot_assets.source.query import ProcessSource
from snapshot_assets_tests.support.field_table import DAY, MIDNIGHT, busy_host, execute, load
from snapshot_assets_tests.support.servers import MariaDB
from snapshot_assets_tests.support.shell import Shell

SETTLE_DAY = ("settle", "--from", str(DAY), "--to", str(DAY))


@pytest.fixture(autouse=True)
def _past_days_are_kept(shell: Shell) -> None:
    shell.settings["SNAPSHOT_RETENTION_DAYS"] = "36500"


@pytest.fixture
def settled(shell: Shell, mariadb: MariaDB) -> Shell:
    """Two hosts of a fixed day are settled."""
    with ProcessSource(mariadb.url()) as source:
        load(source, [r for h in ("alice", "bob") for r in busy_host(h, end=MIDNIGHT + 14_400)])
    shell.run(*SETTLE_DAY)
    return shell


def test_one_command_settles_what_a_changed_setting_concerns(settled: Shell) -> None:
    shell = settled
    told = "Every settled host-day was made with the settings of now."
    assert told in shell.run("settle", "--changed")
    shell.settings["SNAPSHOT_EXCLUDE_USERS"] = "ben"
    doctor = shell.run("doctor", code=1)
    assert (
        f'2 host-days from {DAY} to {DAY} were made otherwise: exclude_users none -> "ben"'
        in doctor
    )
    assert "fix: snapshot-assets settle --changed" in doctor
    assert "ben" in shell.run("read", "bob", "--start", str(DAY), "--end", str(DAY), "--json")
    output = shell.run("settle", "--changed", "--host", "bob")
    assert f'{DAY}: 1 host-days: exclude_users none -> "ben"' in output
    assert "alice" not in output
    assert "ben" not in shell.run("read", "bob", "--start", str(DAY), "--end", str(DAY), "--json")
    assert told not in shell.run("settle", "--changed", "--from", str(DAY))
    assert told in shell.run("settle", "--changed")
    assert "all were made with the settings of now" in shell.run("doctor", code=1)


def test_what_a_later_run_of_the_command_mended_is_no_warning_of_it(
    settled: Shell, mariadb: MariaDB
) -> None:
    """Two days apart are two runs; when the first one ends, the other day still differs."""
    later = DAY + dt.timedelta(days=2)
    begin = MIDNIGHT + 2 * 86_400
    with ProcessSource(mariadb.url()) as source:
        load(source, busy_host("carol", begin, begin + 14_400), create=None)
    settled.run("settle", "--from", str(later), "--to", str(later))
    settled.settings["SNAPSHOT_EXCLUDE_USERS"] = "ben"
    output = settled.run("settle", "--changed")
    assert f"{DAY}: 2 host-days" in output
    assert f"{later}: 1 host-days" in output
    assert "warning: settings_are_current" not in output


def test_a_warning_of_a_check_is_printed_and_is_no_failure(
    settled: Shell, mariadb: MariaDB
) -> None:
    """Days that somebody else has to settle again must not fail every night's settling."""
    with ProcessSource(mariadb.url()) as source:
        execute(
            source,
            "UPDATE processes SET username = NULL WHERE host = 'alice' AND pid = 9 AND "
            "snapshot_time_epoch > :t LIMIT 1",
            t=MIDNIGHT,
        )
    output = settled.run(*SETTLE_DAY, "--host", "alice", MIN_CPUTIMES="10")
    assert "9 of 11 checks passed" in output
    assert "warning: rows_are_usable: alice on 2026-11-20: 1 rows are rejected" in output
    assert "warning: settings_are_current: 1 host-days of 2026-11-20" in output
    assert "min_cputimes 0 -> 10" in output


def test_a_capacity_file_that_is_missing_stops_the_commands_that_need_it(shell: Shell) -> None:
    for command in (SETTLE_DAY, ("live",), ("settle", "--changed")):
        output = shell.run(*command, code=1, CAPACITY="nowhere.csv")
        assert "SNAPSHOT_CAPACITY: nowhere.csv cannot be read: No such file" in output


def test_wrong_usage_is_told(shell: Shell) -> None:
    assert "--from and --to are needed, or --changed" in shell.run("settle", code=2)
    assert "are needed" in shell.run("settle", "--from", str(DAY), code=2)
    assert "is after" in shell.run(
        "settle", "--changed", "--from", "2026-03-02", "--to", "2026-03-01", code=2
    )
