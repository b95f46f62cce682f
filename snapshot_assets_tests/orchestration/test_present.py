"""The live asset through Dagster, and the checks of the live path."""

from __future__ import annotations

import time
from typing import Any

import dagster as dg

from snapshot_assets.lake.register import Farewell, write_register
from snapshot_assets.orchestration.partitions import add_hosts, known_hosts
from snapshot_assets_tests.support.field_table import Row, busy_host, execute, load, row
from snapshot_assets_tests.support.pipelines import (
    HOSTS,
    WatchedPipeline,
    checks,
    culprits,
    recent,
    whole,
)


def test_a_host_with_bad_rows_is_named_and_the_others_are_published(site: WatchedPipeline) -> None:
    load(site.source, [r for host in HOSTS for r in recent(host)], create=None)
    broken = "UPDATE processes SET cputimes = :v WHERE host = 'bob' AND pid = 9"
    execute(site.source, broken, v=-5)
    result = site.run("live")
    assert result.success
    (check,) = checks(result).values()
    assert check.check_name == "live_rows_match_schema"
    assert not check.passed
    assert list(culprits(check)) == ["bob"]
    assert "cputimes" in culprits(check)["bob"]
    assert check.metadata["hosts_left_out"].value == 1
    assert site.live_hosts() == {"alice", "web|01"}
    assert set(known_hosts(site.instance)) == {"alice", "web|01"}

    execute(site.source, broken, v=0)
    result = site.run("live")
    (check,) = checks(result).values()
    assert check.passed
    assert culprits(check) == {}
    assert site.live_hosts() == set(HOSTS)
    assert set(known_hosts(site.instance)) == set(HOSTS)
    ((made,),) = [result.asset_materializations_for_node("live_snapshots")]
    assert made.metadata["new_hosts"].value == "bob"


def test_the_checks_report_old_buckets_and_hosts_that_fell_silent(site: WatchedPipeline) -> None:
    def review() -> tuple[dg.AssetCheckEvaluation, dg.AssetCheckEvaluation]:
        found = checks(site.run("review"))
        fresh, silent = found["newest_bucket_is_fresh"], found["hosts_report"]
        assert fresh.severity is dg.AssetCheckSeverity.ERROR
        assert silent.passed or silent.severity is dg.AssetCheckSeverity.WARN
        return fresh, silent

    fresh, silent = review()
    assert not fresh.passed
    assert fresh.metadata["newest_bucket"].value == "none"
    assert (silent.passed, silent.metadata["hosts"].value) == (True, 0)

    load(site.source, recent("web|01", until=7_200), create=None)
    assert site.run("live").success
    fresh, silent = review()
    assert not fresh.passed
    age = fresh.metadata["age_seconds"].value
    assert isinstance(age, float)
    assert age > 7_200
    assert not silent.passed
    assert list(culprits(silent)) == ["web|01"]

    load(site.source, recent("bob"), create=None)
    assert site.run("live").success
    fresh, silent = review()
    assert fresh.passed
    assert not silent.passed
    assert list(culprits(silent)) == ["web|01"], "it stays listed"
    assert (silent.metadata["hosts"].value, silent.metadata["hosts_silent"].value) == (2, 1)


def test_collectors_that_lag_or_are_two_are_listed(site: WatchedPipeline) -> None:
    now = int(time.time())

    def sampled(host: str, *seconds_ago: int) -> list[Row]:
        return [row(host, now - ago, pid) for ago in seconds_ago for pid in (1, 7)]

    regular = range(3_300, 0, -300)
    load(site.source, sampled("regular", *regular), create=None)
    check = checks(site.run("review"))["collectors_keep_pace"]
    assert check.passed
    assert (check.metadata["hosts"].value, check.metadata["snapshots"].value) == (1, 11)
    for rows in (
        sampled("twice", *regular, 900),
        sampled("interleaved", *regular, *(ago + 40 for ago in regular)),
        sampled("gap", 3_300, 3_000, 2_700, 1_200, 900, 600, 300),
        sampled("slow", *range(3_300, 0, -600)),
        sampled("long ago", *(ago + 7_200 for ago in (3_300, 300))),
    ):
        load(site.source, rows, create=None)
    check = checks(site.run("review"))["collectors_keep_pace"]
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    found = culprits(check)
    assert found == {
        "gap": "a gap of 1500 s",
        "interleaved": "two collectors: 0 rows twice, 11 snapshots close to another",
        "slow": "sampled every 600 s",
        "twice": "two collectors: 2 rows twice, 0 snapshots close to another",
    }
    assert check.metadata["hosts_irregular"].value == 4


def test_shared_pids_and_rows_stamped_one_by_one_are_not_two_collectors(
    site: WatchedPipeline,
) -> None:
    now = int(time.time())
    times = range(now - 3_300, now, 300)
    containers = [row("containers", t, 1, comm=comm) for t in times for comm in ("java", "nginx")]
    one_by_one = [row("slow", t + pid % 4, pid) for t in times for pid in range(2, 12)]
    load(site.source, [*containers, *one_by_one], create=None)
    check = checks(site.run("review"))["collectors_keep_pace"]
    assert check.passed, culprits(check)
    assert check.metadata["snapshots"].value == 22


def test_a_host_whose_rows_come_late_is_called_late_and_the_pipeline_is_not_blamed(
    site: WatchedPipeline,
) -> None:
    """46 minutes behind: its rows come all the time, and are published when they come."""
    behind = 46 * 60
    load(site.source, recent("alice", until=behind + 300), create=None)
    assert site.run("live").success
    time.sleep(1.1)
    now = int(time.time())
    load(site.source, busy_host("alice", now - behind - 300, now - behind), create=None)
    # As if the refresh before had run five minutes ago.
    with site.redis.client() as client:
        client.hset("snapshot_assets:state", "live_until", repr(now - 300.0))
    result = site.run("live")
    ((made,),) = [result.asset_materializations_for_node("live_snapshots")]
    listed: Any = made.metadata["late_hosts"].value
    (late,) = listed.records
    assert late.data["host"] == "alice"
    assert 45 <= late.data["minutes"] <= 51
    found = checks(site.run("review"))
    fresh, hosts = found["newest_bucket_is_fresh"], found["hosts_report"]
    assert (fresh.passed, fresh.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert (hosts.passed, hosts.metadata["hosts_late"].value) == (False, 1)
    assert culprits(hosts)["alice"].startswith("late: its rows come")


def test_the_checks_forget_a_retired_host_until_it_reports_again(site: WatchedPipeline) -> None:
    load(site.source, [*recent("alice"), *recent("bob", until=7_200)], create=None)
    assert site.run("live").success
    with site.reader() as reader:
        newest = reader.progress().newest_epoch["bob"]
    write_register(site.lake, {"bob": Farewell(time.time(), newest)})
    hosts = checks(site.run("review"))["hosts_report"]
    assert (hosts.passed, hosts.metadata["hosts"].value) == (True, 1)
    assert hosts.metadata["hosts_retired"].value == 1

    load(site.source, recent("bob"), create=None)
    assert site.run("live").success
    hosts = checks(site.run("review"))["hosts_report"]
    assert culprits(hosts) == {
        "bob": "retired, reports again: run 'snapshot-assets hosts unretire bob', or stop its "
        "collector"
    }


def test_housekeeping_removes_the_partitions_of_a_host_that_is_long_gone(
    settled: WatchedPipeline,
) -> None:
    now = time.time()
    week = 8 * 86_400
    write_register(
        settled.lake,
        {"alice": Farewell(now, now - week), "bob": Farewell(now, now - 86_400)},
    )
    before = settled.instance.get_materialized_partitions(dg.AssetKey("redis_snapshots"))
    assert settled.run("housekeeping").success
    assert set(known_hosts(settled.instance)) == {"bob", "web|01"}
    assert (settled.lake_path / "five_minute_aggregates").exists()
    assert settled.late() == set(), "and it is not settled again for that"
    # With its partitions, their status comes back.
    add_hosts(settled.instance, ["alice"])
    after = settled.instance.get_materialized_partitions(dg.AssetKey("redis_snapshots"))
    assert after == before
    with settled.reader() as reader:
        assert reader.get_data("alice", *whole(settled.day)), "its figures stay"
