"""The commands as a person types them; each is a process, on real servers."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from snapshot_assets.source.query import ProcessSource, SourceTable
from snapshot_assets_tests.support.field_table import (
    DAY,
    FIELD_TABLE,
    MIDNIGHT,
    busy_host,
    execute,
    load,
    row,
)
from snapshot_assets_tests.support.servers import MariaDB, Redis
from snapshot_assets_tests.support.shell import Shell

SETTLE_DAY = ("settle", "--from", str(DAY), "--to", str(DAY))


def test_a_site_settles_reads_and_settles_again(shell: Shell, mariadb: MariaDB) -> None:
    """The table as sites have it is settled and read back, both through the command line."""
    with ProcessSource(mariadb.url()) as source:
        load(source, [r for i, h in enumerate(("alice", "b|b")) for r in busy_host(h, seed=i)])
    # The day is fixed, and the test runs on any later day.
    shell.settings["SNAPSHOT_RETENTION_DAYS"] = "36500"
    first = shell.run(*SETTLE_DAY)
    assert "11 of 11 checks passed" in first
    lines = {line.split()[0]: line.split() for line in first.splitlines() if line.strip()}
    assert lines["alice"][1] == "1"
    assert lines["alice"][3:5] == ["288", "100.0%"]
    assert lines["b|b"][-2:] == ["288", "0"]

    output = shell.run(
        "read", "alice", "--start", f"{DAY}T12:00", "--end", f"{DAY}T12:10", "--json"
    )
    documents = json.loads(output)
    assert list(documents) == [str(MIDNIGHT + 43_200 + t) for t in (0, 300, 600)]
    with ProcessSource(mariadb.url(), SourceTable(rss_unit="KiB")) as source:
        rows = source.read_sql(0, 2e9, ["alice"])
    # pid 7 keeps two cores busy all the time.
    assert (rows["pid"] == 7).any()
    for document in documents.values():
        (python,) = [e for e in document["cpu"]["user"] if e["comm"] == "python"]
        assert python["cpu_norm"] == pytest.approx(2.0, abs=1e-6)

    table = shell.run("read", "alice", "--start", f"{DAY}T12:00", "--end", f"{DAY}T12:10")
    assert "2026-11-20T12:05:00+00:00" in table
    assert "ana: python (2.00)" in table
    again = shell.run(*SETTLE_DAY, "--host", "b|b")
    assert "alice" not in again
    kept = json.loads(shell.run("read", "alice", "--start", str(DAY), "--end", str(DAY), "--json"))
    assert list(kept) == [str(MIDNIGHT)], "settling one host leaves the documents of the other"


def test_user_errors_are_one_message_and_a_code(shell: Shell, mariadb: MariaDB) -> None:
    assert "table 'processes' does not exist" in shell.run(*SETTLE_DAY, code=1)
    with ProcessSource(mariadb.url()) as source:
        load(source, [row("alice", MIDNIGHT, 1)])
    assert "hosts with rows: alice" in shell.run(*SETTLE_DAY, "--host", "alic", code=1)
    assert "no rows in these days" in shell.run(
        "settle", "--from", "2026-03-01", "--to", "2026-03-01", code=1
    )
    assert "is after" in shell.run("settle", "--from", "2026-03-02", "--to", "2026-03-01", code=2)
    assert "not over yet" in shell.run(
        "settle", "--from", "2026-03-02", "--to", "2999-01-01", code=2
    )
    assert "SNAPSHOT_START_DATE" in shell.run(
        "settle", "--from", "2020-01-01", "--to", "2020-01-02", code=2
    )
    assert "is not a day" in shell.run("settle", "--from", "x", "--to", "2999-01-01", code=2)
    assert "SNAPSHOT_MAX_GAP" in shell.run("live", code=1, MAX_GAP="soon")
    assert "no documents of 'nobody'" in shell.run("read", "nobody", code=1)
    assert "is not a time" in shell.run("read", "a", "--start", "noon", code=2)
    gone = "redis://127.0.0.1:1/0"
    assert "does not answer" in shell.run("read", "a", code=3, REDIS_URL=gone)
    wrong = mariadb.url().replace("snapshot:p", "snapshot:q")
    output = shell.run("live", code=1, SOURCE_URL=wrong)
    assert "password" in output
    assert "w%23rd" not in output
    down = mariadb.url().replace(str(mariadb.port), "1")
    assert "does not answer" in shell.run("live", code=3, SOURCE_URL=down)


def test_help_leads_a_newcomer(shell: Shell) -> None:
    output = shell.run("--help")
    for command in ("demo", "ui", "collect", "settle", "live", "restore", "read", "doctor"):
        assert command in output
        assert "Usage" in shell.run(command, "--help")
    assert "SNAPSHOT_SOURCE_URL" in output


def test_bad_rows_stop_their_host_day_and_the_command_says_so(
    shell: Shell, mariadb: MariaDB
) -> None:
    with ProcessSource(mariadb.url()) as source:
        load(source, [r for h in ("alice", "bob") for r in busy_host(h, end=MIDNIGHT + 3600)])
        execute(source, "UPDATE processes SET rss = -1 WHERE host = 'bob' AND pid = 9")
    output = shell.run(*SETTLE_DAY, code=1)
    assert "1 of 2 partitions are defective" in output
    assert "bob on 2026-11-20" in output
    assert "rss" in output


def test_collect_live_and_read_on_this_very_machine(redis_server: Redis, tmp_path: Path) -> None:
    shell = Shell(tmp_path, REDIS_URL=redis_server.url())
    shell.run("collect", "--once", "--host", "me")
    time.sleep(2)
    assert "processes of me" in shell.run("collect", "--once", "--host", "me")
    assert (tmp_path / "data" / "processes.db").exists()
    output = shell.run("live")
    assert "1 hosts" in output
    found = json.loads(shell.run("read", "me", "--json"))
    assert found
    newest = found[max(found)]
    assert newest["meta"]["stage"] == "live"
    assert newest["mem"]["command"]["rss"] > 0
    with ProcessSource(f"sqlite:///{tmp_path}/data/processes.db") as source:
        rows = source.read_sql(0, 4e9)
    assert rows["snapshot_time_epoch"].nunique() == 2
    assert os.getpid() in set(rows["pid"])


def test_collect_writes_the_field_table_in_its_own_unit(shell: Shell, mariadb: MariaDB) -> None:
    with ProcessSource(mariadb.url()) as source:
        execute(source, FIELD_TABLE)
    shell.run("collect", "--once", "--host", "me")
    with ProcessSource(mariadb.url(), SourceTable(rss_unit="KiB")) as source:
        rows = source.read_sql(0, 4e9)
    mine = rows[rows["pid"] == os.getpid()]["rss"]
    assert 10**7 < mine.iloc[0] < 10**10


def test_doctor_names_each_trouble_with_its_fix(shell: Shell, mariadb: MariaDB) -> None:
    now = int(time.time()) // 300 * 300
    rows = []
    for time_ in range(now - 3600, now + 1, 300):
        for pid in range(1, 20):
            rss = 4096 * (pid + 1) + 4  # KiB: multiples of 4, not of 4096
            rows.append(row("well", time_, pid, rss=rss))
            rows.append(row("doubled", time_, pid, rss=rss))
            rows.append(row("doubled", time_ - 20, pid, rss=rss))
    rows += [row("quiet", now - 7200, 1), row("slow", now - 3500, 1), row("slow", now - 2000, 1)]
    with ProcessSource(mariadb.url()) as source:
        load(source, rows)
        execute(source, "INSERT INTO processes (pid, comm) VALUES (5, 'lost')")
    output = shell.run("doctor", code=1, RSS_UNIT="bytes", LAKE="lake")
    for expected in (
        "CREATE INDEX snapshot_by_snapshot_time_epoch ON processes (snapshot_time_epoch);",
        "CREATE INDEX snapshot_by_host_snapshot_time_epoch ON processes (host, snapshot_time",
        "1 rows have no host, or no time",
        "looks like KiB, but is read as bytes",
        "SNAPSHOT_RSS_UNIT=KiB",
        "doubled seems to have two collectors",
        "quiet has sent nothing for 2 hours",
        "slow was silent for 25 minutes",
        "holds no document",
        "lake: lake can be written",
    ):
        assert expected in output, output
    assert not [line for line in output.splitlines() if "well" in line and "KiB" not in line]
    with ProcessSource(mariadb.url()) as source:
        for line in output.splitlines():
            if "CREATE INDEX" in line:
                execute(source, line.split("fix: ")[1].rstrip(";"))
        execute(source, "DELETE FROM processes WHERE host IS NULL OR host <> 'well'")
    shell.run("live")
    healthy = shell.run("doctor")
    assert "warning" not in healthy, healthy
    assert "error" not in healthy
    assert "there is one on (host, snapshot_time_epoch)" in healthy


def test_doctor_goes_on_when_one_thing_is_down(shell: Shell) -> None:
    output = shell.run("doctor", code=3, REDIS_URL="redis://127.0.0.1:1/0", LAKE="/proc/nope")
    assert "table 'processes' does not exist" in output
    assert "does not answer" in output
    assert "cannot write to the lake" in output


def test_doctor_warns_of_eviction(shell: Shell, redis_server: Redis) -> None:
    with redis_server.client() as client:
        client.config_set("maxmemory", "50mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            assert "may evict documents (allkeys-lru at 52 MB)" in shell.run("doctor", code=1)
        finally:
            client.config_set("maxmemory", "0")
            client.config_set("maxmemory-policy", "noeviction")
