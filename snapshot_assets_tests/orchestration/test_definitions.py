"""The definitions as a code location loads them, and the keys of the partitions."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys

import dagster as dg

from snapshot_assets.definitions import build_defs
from snapshot_assets.domain.host_day import HostDay, batches
from snapshot_assets.orchestration.partitions import dagster_key, host_days
from snapshot_assets_tests.support.field_table import DAY, HOSTILE_HOSTS


def test_definitions_load_in_an_empty_environment_without_connecting() -> None:
    """A fresh interpreter with no setting and no server, as a code location starts."""
    program = (
        "import socket, dagster as dg\n"
        "socket.socket.connect = None\n"
        "from snapshot_assets.definitions import defs\n"
        "loaded = defs()\n"
        "print(sorted(k.to_user_string() for k in loaded.resolve_all_asset_keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in ("five_minute_aggregates", "live_snapshots", "raw_process_rows", "redis_snapshots"):
        assert f"'{name}'" in done.stdout
    dg.Definitions.validate_loadable(build_defs())


def test_partition_keys_give_back_day_and_host() -> None:
    for host in (*HOSTILE_HOSTS, "", "...", "a..b", "x\ny"):
        host_day = HostDay(DAY, host)
        assert host_days([dagster_key(host_day)]) == [host_day]
        assert str(dagster_key(host_day)).count("|") == 1


def test_batches_hold_hosts_of_one_day() -> None:
    other = DAY + dt.timedelta(days=1)
    partitions = [HostDay(day, f"h{i}") for i in range(5) for day in (DAY, other)]
    found = list(batches(partitions, 2))
    sizes = [(day, len(hosts)) for day, hosts in found]
    assert sizes == [(day, size) for day in (DAY, other) for size in (2, 2, 1)]
    assert sorted(HostDay(day, host) for day, hosts in found for host in hosts) == sorted(
        partitions
    )
