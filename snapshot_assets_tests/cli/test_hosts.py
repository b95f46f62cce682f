"""The hosts: they are listed, retired and renamed, and nothing of them is lost."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from snapshot_assets.source.query import ProcessSource
from snapshot_assets_tests.support.field_table import busy_host, load
from snapshot_assets_tests.support.pipelines import recent
from snapshot_assets_tests.support.servers import MariaDB, Redis
from snapshot_assets_tests.support.shell import Shell

YESTERDAY = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86_400))
NOON = int(time.time()) // 86_400 * 86_400 - 43_200


@pytest.fixture
def shell(mariadb: MariaDB, redis_server: Redis, tmp_path: Path) -> Shell:
    """Three hosts: one reports, one fell silent yesterday, one has an odd name."""
    with ProcessSource(mariadb.url()) as source:
        load(source, recent("alice"))
        for host in ("bob", "web|01"):
            load(source, busy_host(host, NOON, NOON + 3_600), create=None)
    return Shell(tmp_path, SOURCE_URL=mariadb.url(), RSS_UNIT="KiB", REDIS_URL=redis_server.url())


def lines_of(listing: str) -> dict[str, list[str]]:
    """The columns of each host's line."""
    return {words[0]: words for line in listing.splitlines() if (words := line.split())}


def test_each_host_is_listed_with_its_rows_its_days_and_its_state(shell: Shell) -> None:
    shell.run("settle", "--from", YESTERDAY, "--to", YESTERDAY)
    shell.run("live")
    found = lines_of(shell.run("hosts"))
    assert found["alice"][-1] == "reporting"
    assert found["bob"][1] == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(NOON))
    assert found["bob"][-3:] == ["1", YESTERDAY, "silent"]
    assert found["web|01"][-1] == "silent"


def test_a_retired_host_is_forgotten_until_it_reports_again(
    shell: Shell, mariadb: MariaDB, redis_server: Redis
) -> None:
    shell.run("live")
    assert "bob is retired" in shell.run("hosts", "retire", "bob")
    assert lines_of(shell.run("hosts"))["bob"][-1] == "retired"
    with redis_server.client() as client:
        known = client.hkeys("snapshot_assets:hosts") + client.hkeys("snapshot_assets:arrivals")
    assert b"bob" not in known
    documents = json.loads(shell.run("read", "bob", "--start", YESTERDAY, "--json"))
    assert documents, "its figures stay"
    with redis_server.client() as client:
        client.flushall()
    assert lines_of(shell.run("hosts"))["bob"][-1] == "retired", "a lost Redis loses no word of it"
    with ProcessSource(mariadb.url()) as source:
        load(source, recent("bob"), create=None)
    shell.run("live")
    assert "retired, reports again" in shell.run("hosts")
    shell.run("hosts", "unretire", "bob")
    assert lines_of(shell.run("hosts"))["bob"][-1] == "reporting"


def test_a_renamed_host_is_linked_to_its_new_name(shell: Shell) -> None:
    shell.run("live")
    output = shell.run("hosts", "rename", "web|01", "web-2")
    assert "its figures stay under web|01" in output
    assert "renamed to web-2" in shell.run("hosts")
    assert shell.run("read", "web|01", "--start", YESTERDAY)
    shell.run("hosts", "unretire", "web|01")
    assert lines_of(shell.run("hosts"))["web|01"][-1] == "silent"


def test_what_cannot_be_said_of_a_host_is_an_error_with_the_fix(shell: Shell) -> None:
    shell.run("live")
    assert "is 'alice' meant?" in shell.run("hosts", "retire", "alcie", code=1)
    assert "its name already" in shell.run("hosts", "rename", "bob", "bob", code=1)
    shell.run("hosts", "rename", "bob", "web|01")
    wrong = shell.run("hosts", "rename", "web|01", "bob", code=1)
    assert "hosts unretire bob" in wrong
    assert "neither retired nor renamed; these are: bob" in shell.run(
        "hosts", "unretire", "alice", code=1
    )
    (shell.folder / "data/lake/hosts.json").write_text('{"hosts": {"bob": 3}}')
    assert "hosts.json in the lake is damaged" in shell.run("hosts", code=1)
    assert "does not answer" in shell.run("hosts", code=3, REDIS_URL="redis://127.0.0.1:1/0")


def test_looking_creates_nothing(shell: Shell) -> None:
    shell.run("hosts")
    assert list(shell.folder.iterdir()) == []
