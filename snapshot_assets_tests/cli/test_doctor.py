"""Doctor: a clean table has no finding; each fault is one line with its fix."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snapshot_assets.source.query import ProcessSource
from snapshot_assets_tests.support.field_table import Row, execute, load, row
from snapshot_assets_tests.support.machines import good_rows, load_good, load_machines
from snapshot_assets_tests.support.servers import MariaDB, Redis
from snapshot_assets_tests.support.shell import Shell

GOOD = ("alice", "bob")


class Site:
    """A table of two good hosts, to which a test adds; and doctor, who looks at it."""

    def __init__(self, shell: Shell, source: ProcessSource) -> None:
        self.shell, self.source = shell, source
        self.now = int(time.time()) // 60 * 60

    def add(self, rows: Iterator[Row] | list[Row]) -> None:
        load(self.source, rows, create=None)

    def rows(self, host: str = "ill", **change: Any) -> list[Row]:
        """Good rows of another host, with changed columns; a function gets the row."""
        changed = []
        for good in good_rows(host, self.now, seed=7):
            values = {k: v(good) if callable(v) else v for k, v in change.items()}
            changed.append(good | values)
        return changed

    def findings(self, code: int = 1, **settings: str) -> dict[str, str]:
        """Each problem that doctor prints, and its fix."""
        found: dict[str, str] = {}
        last = ""
        for line in self.shell.run("doctor", code=code, **settings).splitlines():
            if line.startswith(("warning", "error")):
                last = line
                found[last] = ""
            elif line.startswith("        fix: ") and last:
                found[last] = line.removeprefix("        fix: ")
        return found

    def one(self, text: str, **settings: str) -> str:
        """The fix of the one finding there is, which has this text."""
        found = self.findings(1, **settings)
        assert len(found) == 1, found
        (line,) = found
        assert text in line
        return found[line]


@pytest.fixture
def site(mariadb: MariaDB, redis_server: Redis, tmp_path: Path) -> Iterator[Site]:
    shell = Shell(tmp_path, SOURCE_URL=mariadb.url(), RSS_UNIT="KiB", REDIS_URL=redis_server.url())
    with ProcessSource(mariadb.url()) as source:
        made = Site(shell, source)
        load_good(
            source,
            [r for i, host in enumerate(GOOD) for r in good_rows(host, made.now, seed=i + 1)],
        )
        shell.run("live")
        yield made


def test_a_clean_table_has_no_finding_and_looking_creates_nothing(
    site: Site, redis_server: Redis
) -> None:
    before = site.shell.folder.stat().st_mtime_ns, redis_server.contents()
    output = site.shell.run("doctor")
    assert "warning" not in output, output
    assert "error" not in output
    assert "2 hosts, typically every 60 s" in output
    assert list(site.shell.folder.iterdir()) == []
    assert (site.shell.folder.stat().st_mtime_ns, redis_server.contents()) == before
    missing = site.shell.run("doctor", code=1, SOURCE_URL="sqlite:///no.db")
    assert "there is no SQLite database at no.db" in missing
    assert list(site.shell.folder.iterdir()) == []


def test_one_host_days_ahead_hides_nothing_of_the_others(site: Site) -> None:
    ahead = site.now + 3 * 86_400
    site.add(good_rows("ahead", ahead, seed=3))
    site.add(r | {"username": "very_lo+"} for r in good_rows("ill", site.now, seed=4))
    found = site.findings()
    assert len(found) == 2, found
    (clock,) = [line for line in found if "ahead" in line]
    assert "the newest snapshot of ahead is 3 days in the future" in clock
    assert "NTP" in found[clock]
    (cut,) = [line for line in found if "are cut" in line]
    assert "ill: accounts are cut: 'very_lo+'" in cut


def test_a_table_that_is_old_as_a_whole_is_looked_at_too(site: Site, redis_server: Redis) -> None:
    with redis_server.client() as client:
        client.flushall()
    site.add(site.rows(username="1004"))
    execute(
        site.source,
        "UPDATE processes SET snapshot_time_epoch = snapshot_time_epoch - 90 * 86400",
    )
    problems = "\n".join(site.findings())
    assert "ill: accounts are numbers" in problems
    assert "the newest snapshot is 90 days old" in problems
    assert "alice, bob, ill: nothing for more than 7 days" in problems


@pytest.mark.parametrize(
    ("change", "text", "fix"),
    [
        ({"username": "1004"}, "ill: accounts are numbers: '1004'", "ps -eo user:32"),
        ({"username": "very_lo+"}, "ill: accounts are cut: 'very_lo+'", "ps -eo user:32"),
        (
            {"cputimes": lambda r: 2_000_000_000 if r["comm"] == "gcc" else r["cputimes"]},
            "claim more CPU than the machine has",
            "counter jumps",
        ),
        (
            {"etimes": lambda r: -1 if r["comm"] == "gcc" else r["etimes"]},
            "61 rows have an age that cannot be",
            "ps",
        ),
        (
            {
                "rss": lambda r: (
                    -1 if r["comm"] == "gcc" and r["snapshot_time_epoch"] % 3600 == 0 else r["rss"]
                )
            },
            "rows cannot be used, so they count nothing",
            "repair the collector",
        ),
        (
            {
                "etimes": lambda r: r["etimes"] + (45 if r["snapshot_time_epoch"] // 60 % 2 else 0),
                "cputimes": lambda r: (
                    r["cputimes"] + (45 if r["snapshot_time_epoch"] // 60 % 2 else 0)
                ),
            },
            "disagree with the ages",
            "NTP",
        ),
        (
            {"pid": lambda r: r["pid"] if r["comm"] != "python" else 1},
            "have one pid",
            "host name for each container",
        ),
    ],
)
def test_a_fault_of_rows_is_one_line_with_its_fix(
    site: Site, change: dict[str, Any], text: str, fix: str
) -> None:
    site.add(site.rows("ill", **change))
    assert fix in site.one(text)


def test_rows_stamped_one_by_one_are_one_snapshot_and_a_finding(site: Site) -> None:
    def stamped(r: Row) -> int:
        return int(r["snapshot_time_epoch"]) - (r["pid"] % 4)

    site.add(site.rows(snapshot_time_epoch=stamped))
    assert "one time" in site.one("ill: the rows of 60 snapshots were stamped one after the other")


def test_two_collectors_are_found_by_the_same_rows_twice_and_by_close_snapshots(
    site: Site,
) -> None:
    rows = site.rows("twice")
    site.add([*rows, *rows])
    site.add(good_rows("close", site.now, seed=5))
    site.add(good_rows("close", site.now - 7, seed=5))
    found = site.findings()
    assert len(found) == 2, found
    assert any("twice seems to have two collectors: 1464 rows" in line for line in found)
    assert any("close seems to have two collectors: 0 rows" in line for line in found)


def test_one_machine_under_two_names_is_found(site: Site) -> None:
    site.add(site.rows("web"))
    site.add(site.rows("web.example.org"))
    assert "hosts rename" in site.one("web and web.example.org have")
    execute(site.source, "DELETE FROM processes WHERE host = 'web.example.org'")
    later = [
        r | {"snapshot_time_epoch": r["snapshot_time_epoch"] - 20, "etimes": r["etimes"] - 20}
        for r in site.rows("web.example.org")
    ]
    site.add(later)
    assert "processes with the same pids, which began at the same times" in "".join(site.findings())


def test_a_collector_that_hides_small_processes_proposes_the_threshold(site: Site) -> None:
    theta = 10

    def hidden(rows: list[Row]) -> list[Row]:
        return [r for r in rows if r["cputimes"] >= theta]

    emerging = [
        row(
            "ill",
            t,
            600 + i,
            comm="idle",
            cputimes=(t - site.now + 3_600) / 300 + 5 - i / 4,
            rss=4 * (900 + i),
            etimes=90_000 + t - site.now,
        )
        for t in range(site.now - 3_600, site.now + 1, 60)
        for i in range(8)
    ]
    site.add(hidden([*site.rows(), *emerging]))
    fix = site.one("ill: the collector hides small processes")
    assert fix == "set SNAPSHOT_MIN_CPUTIMES=10 and settle again"
    execute(site.source, "DELETE FROM processes WHERE cputimes < 10")
    assert not site.findings(code=0, MIN_CPUTIMES="10")
    assert "SNAPSHOT_MIN_CPUTIMES=10, or remove it" in site.one(
        "a process with 10 CPU-seconds is shown", MIN_CPUTIMES="12"
    )


def test_memory_above_the_machine_is_known_from_the_kernel_and_from_the_file(site: Site) -> None:
    site.add(site.rows(rss=lambda r: 20_000_000 if r["comm"] == "python" else r["rss"]))
    (site.shell.folder / "sizes.csv").write_text("host,cores,memory_gb\nill,64,64\nbob,64,512\n")
    assert "write pss" in site.one(
        "rss of all processes is 102.4 GB, on a machine of 64.0 GB", CAPACITY="sizes.csv"
    )
    load_machines(
        site.source,
        (
            {
                "host": "ill",
                "snapshot_time_epoch": t,
                "cores": 64,
                "cpu_seconds": 9e6 + t % 3_600 * 3,
                "memory_bytes": 10**11,
                "memory_used_bytes": 10**10,
                "boot_epoch": 1_700_000_000,
            }
            for t in range(site.now // 3_600 * 3_600, site.now + 1, 60)
        ),
    )
    found = site.findings(CAPACITY="sizes.csv")
    assert any("on a machine of 100.0 GB" in line for line in found), found


def test_a_late_host_is_told_from_a_silent_one(site: Site, redis_server: Redis) -> None:
    behind = site.now - 46 * 60
    site.add(good_rows("late", behind, seed=3))
    site.add(good_rows("silent", behind, seed=4))
    with redis_server.client() as client:
        for host, arrived in (("late", site.now), ("silent", behind)):
            client.hset("snapshot_assets:hosts", host, behind)
            client.hset("snapshot_assets:arrivals", host, arrived)
    found = site.findings()
    assert len(found) == 2, found
    assert any("late is 4" in line and "behind: its rows come, but old" in line for line in found)
    assert any("silent has sent nothing for 4" in line for line in found)


def test_both_times_are_compared(site: Site) -> None:
    zone = "Europe/Berlin"
    assert not site.findings(code=0, SOURCE_TIMEZONE=zone)
    site.add(
        site.rows("tokyo", snapshot_datetime=lambda r: _local(r["snapshot_time_epoch"], 9 * 3_600))
    )
    site.add(site.rows("null", snapshot_datetime=None, pid=lambda r: r["pid"] + 40_000))
    site.add(
        site.rows(
            "wrong",
            snapshot_datetime=lambda r: _local(r["snapshot_time_epoch"], 5_000),
            pid=lambda r: r["pid"] + 90_000,
            username=lambda r: f"{r['username']}x",
        )
    )
    found = site.findings(SOURCE_TIMEZONE=zone)
    lines = [line for line in found if "local time" in line]
    assert any("tokyo writes the local time of UTC+09:00" in line for line in lines), found
    assert any("null has 1,464 rows without snapshot_datetime" in line for line in lines)
    assert any("on wrong, snapshot_datetime and the epoch disagree by +01:23" in f for f in lines)


def test_columns_of_another_kind_have_one_sentence_and_the_others_are_still_looked_at(
    site: Site,
) -> None:
    site.add(site.rows(etimes=lambda r: r["etimes"] * 1_000))
    found = site.findings()
    (line,) = [line for line in found if "milliseconds" in line]
    assert "(on ill)" in line
    assert "SNAPSHOT_SOURCE_COLUMNS" in found[line]


def test_the_epoch_in_milliseconds_is_one_line(site: Site) -> None:
    execute(site.source, "ALTER TABLE processes MODIFY snapshot_time_epoch BIGINT")
    execute(site.source, "UPDATE processes SET snapshot_time_epoch = snapshot_time_epoch * 1000")
    (line,) = site.findings()
    assert "(snapshot_time_epoch) holds milliseconds" in line
    assert "divided by 1,000" in line


def test_misspelt_settings_missing_files_and_malformed_urls_are_named(site: Site) -> None:
    (site.shell.folder / ".env").write_text("SNAPSHOT_EXCLUDE_USER=root\nOTHER=1\n")
    site.shell.settings["SNAPSHOTS_LIVE_LIMIT"] = "3"
    found = site.findings(
        SORCE_URL="mysql://u:geheim@h/d",
        CAPACITY="nowhere.csv",
        MAX_GAP="soon",
        WEBHOOK_URL="hooks.example.org/geheim",
        DASHBOARD_PASSWORD_FILE="nobody",
    )
    problems = "\n".join(f"{line} {fix}" for line, fix in found.items())
    for expected in (
        "SNAPSHOT_SORCE_URL is set, but there is no such setting",
        "rename it if SNAPSHOT_SOURCE_URL is meant",
        "SNAPSHOT_EXCLUDE_USER is set",
        "SNAPSHOT_EXCLUDE_USERS is meant",
        "SNAPSHOTS_LIVE_LIMIT is set, but settings begin with SNAPSHOT_",
        "SNAPSHOT_CAPACITY: nowhere.csv",
        "SNAPSHOT_MAX_GAP: ",
        "SNAPSHOT_WEBHOOK_URL (not shown",
        "SNAPSHOT_DASHBOARD_PASSWORD_FILE names a file that does not exist",
    ):
        assert expected in problems, problems
    assert "geheim" not in problems
    assert len(found) == 7, found


def test_malformed_urls_of_servers_hide_nothing_else(site: Site) -> None:
    found = site.findings(SOURCE_URL="mysql://u:p#w@h:x/d", REDIS_URL="redis://h:x")
    assert len(found) == 2, found
    assert all("cannot be read" in line for line in found)
    found = site.findings(REDIS_URL="redis://:a/b@h:1")
    assert len(found) == 1


def test_a_server_that_is_away_is_code_3_and_the_rest_is_looked_at(site: Site) -> None:
    site.add(site.rows(username="1004"))
    found = site.findings(code=3, REDIS_URL="redis://127.0.0.1:1/0")
    assert any("accounts are numbers" in line for line in found)
    away = "mysql://u:p@127.0.0.1:1/monitoring"
    assert len(site.findings(code=3, SOURCE_URL=away)) == 1


def _local(epoch: int, offset: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(epoch + offset))
