"""The live asset through Dagster, and the checks of the live path."""

from __future__ import annotations

import time

import dagster as dg

from snapshot_assets.orchestration.partitions import known_hosts
from snapshot_assets_tests.support.field_table import Row, execute, load, row
from snapshot_assets_tests.support.pipelines import HOSTS, WatchedPipeline, checks, culprits, recent


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
