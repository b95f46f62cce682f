"""The collector as a person runs it: a process that goes on until a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from snapshot_assets.source.query import ProcessSource
from snapshot_assets_tests.support.servers import MariaDB, wait_for
from snapshot_assets_tests.support.shell import Shell

DATA = Path(__file__).parent.parent / "data" / "proc"


class Running:
    """``collect`` with an interval of a second, in a folder, on a source."""

    def __init__(self, folder: Path, url: str, *options: str) -> None:
        self.output = folder / f"{len(list(folder.iterdir()))}.log"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "snapshot_assets.cli", "collect"),
                    *("--interval", "1", "--host", "me", *options),
                ],
                cwd=folder,
                env={**os.environ, "SNAPSHOT_SOURCE_URL": url, "COLUMNS": "200"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def says(self, text: str, times: int = 1) -> None:
        """Wait until the output has the text so many times."""
        wait_for(f"{text!r} is printed", lambda: self.output.read_text().count(text) >= times)

    def end(self, signum: int, code: int = 0) -> str:
        """Send a signal; return the output."""
        self.process.send_signal(signum)
        assert self.process.wait(30) == code, self.output.read_text()
        return self.output.read_text()


@contextmanager
def running(folder: Path, url: str, *options: str) -> Iterator[Running]:
    started = Running(folder, url, *options)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()


def stamps(source: ProcessSource, table: str = "processes") -> list[int]:
    query = f"SELECT DISTINCT snapshot_time_epoch FROM {table} ORDER BY 1"
    with source.connect() as connection:
        return [int(epoch) for epoch in connection.scalars(sa.text(query))]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_with_every_snapshot_written(
    mariadb: MariaDB, tmp_path: Path, signum: signal.Signals
) -> None:
    with running(tmp_path, mariadb.url()) as collector:
        collector.says("processes of me", 2)
        output = collector.end(signum)
    assert output.endswith("stopped\n")
    taken = [int(line.split(":")[0]) for line in output.splitlines() if "processes of me" in line]
    with ProcessSource(mariadb.url()) as source:
        assert stamps(source) == stamps(source, "machines") == taken
        assert source.read_sql(0, 4e9).groupby("snapshot_time_epoch").size().min() > 3


def test_it_goes_on_after_a_hang_up_if_nohup_started_it(mariadb: MariaDB, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the child inherits that
    try:
        with running(tmp_path, mariadb.url()) as collector:
            collector.says("processes of me")
            collector.process.send_signal(signal.SIGHUP)
            seen = collector.output.read_text().count("processes of me")
            collector.says("processes of me", seen + 2)
            collector.end(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_it_goes_on_while_the_server_is_away_and_writes_everything_later(
    mariadb: MariaDB, tmp_path: Path
) -> None:
    with running(tmp_path, mariadb.url()) as collector:
        collector.says("processes of me")
        with mariadb.stopped():
            collector.says("3 snapshots are kept in memory")
        output = collector.end(signal.SIGTERM)
    assert "the database answers again" in output
    assert mariadb.password not in output
    taken = [int(line.split(":")[0]) for line in output.splitlines() if "processes of me" in line]
    assert len(taken) >= 4
    assert taken == sorted(taken)
    with ProcessSource(mariadb.url()) as source:
        assert stamps(source) == taken


def test_it_ends_although_the_server_is_away_and_says_what_is_lost(
    mariadb: MariaDB, tmp_path: Path
) -> None:
    with running(tmp_path, mariadb.url()) as collector:
        collector.says("processes of me")
        with mariadb.stopped():
            collector.says("2 snapshots are kept in memory")
            output = collector.end(signal.SIGTERM, code=3)
    assert "snapshots are lost: the database did not answer" in output
    assert "Traceback" not in output


def test_a_wrong_password_ends_it_at_once(mariadb: MariaDB, tmp_path: Path) -> None:
    url = mariadb.url().replace("p%40ss", "wrong")
    with running(tmp_path, url, "--interval", "3600") as collector:
        assert collector.process.wait(30) == 1
    output = collector.output.read_text()
    assert "rejects the user or the password" in output
    assert "Traceback" not in output


def test_two_collectors_of_one_host_both_go_on_and_say_so(mariadb: MariaDB, tmp_path: Path) -> None:
    with running(tmp_path, mariadb.url()) as one, running(tmp_path, mariadb.url()) as other:
        wait_for(
            "one of them has named the other",
            lambda: (
                "another collector writes for the same host"
                in one.output.read_text() + other.output.read_text()
            ),
        )
        lost = one.output.read_text() + other.output.read_text()
        for collector in (one, other):
            collector.end(signal.SIGTERM)
    assert "is lost: the table already has one of me at this second" in lost
    with ProcessSource(mariadb.url()) as source:
        rows = source.read_sql(0, 4e9)
    assert not rows.duplicated(["pid", "snapshot_time_epoch"]).any()


def test_one_snapshot_of_a_given_tree_is_written_with_one_stamp(
    mariadb: MariaDB, tmp_path: Path
) -> None:
    shell = Shell(tmp_path, SOURCE_URL=mariadb.url())
    begun = int(time.time())
    output = shell.run("collect", "--once", "--host", "golden", "--procfs", str(DATA / "root"))
    golden = json.loads((DATA / "golden.json").read_text())
    with ProcessSource(mariadb.url()) as source:
        (stamp,) = stamps(source)
        assert stamps(source, "machines") == [stamp]
        with source.connect() as connection:
            query = "SELECT pid, comm, cputimes, rss FROM processes WHERE host = 'golden'"
            found = {pid: row for pid, *row in connection.execute(sa.text(query))}
    assert begun <= stamp <= time.time()
    assert f"{len(found)} processes of golden" in output
    # The golden output was made by an account that may not read pid 4100.
    del found[4100]
    names = ("comm", "cputimes", "rss")
    assert found == {row["pid"]: [row[name] for name in names] for row in golden["processes"]}


def test_once_fails_if_the_server_is_away(mariadb: MariaDB, tmp_path: Path) -> None:
    url = mariadb.url().replace(str(mariadb.port), "1")
    output = Shell(tmp_path, SOURCE_URL=url).run("collect", "--once", code=3)
    assert "does not answer" in output
