"""The sensor of late rows: days, hosts and stages that were missed are settled by themselves."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from snapshot_assets.definitions import build_defs
from snapshot_assets.domain.time import DAY_SECONDS, Window
from snapshot_assets.lake.notes import AGGREGATES, RAW_ROWS
from snapshot_assets.orchestration.assets import SNAPSHOTS
from snapshot_assets.orchestration.jobs import DAY_TAG
from snapshot_assets.orchestration.partitions import known_hosts
from snapshot_assets_tests.support.field_table import execute, load, row
from snapshot_assets_tests.support.pipelines import (
    FAILURE,
    HOSTS,
    STARTED,
    WatchedPipeline,
    checks,
    day_of,
)


def test_a_day_that_no_night_settled_is_settled_once(site: WatchedPipeline) -> None:
    assert site.late() == set()
    for host in HOSTS:
        load(site.source, site.rows(host), create=None)
    assert site.late() == set(HOSTS)
    assert set(known_hosts(site.instance)) == set(HOSTS)
    assert site.settle_day(*HOSTS)
    assert site.late() == set()
    assert site.look()[1] == f"{site.day}: 3 hosts compared, nothing new"


def test_rows_that_come_late_are_settled_for_their_host_alone(settled: WatchedPipeline) -> None:
    for seconds, why in (
        (39_700, "newer than all others"),
        (30_000, "older than all others"),
        (DAY_SECONDS + 300, "after the day, but what the day's end is accounted from"),
        (-600, "before the day, likewise"),
    ):
        settled.add("bob", seconds)
        assert settled.late() == {"bob"}, why
        settled.take_back()
    for seconds in (-7_200, DAY_SECONDS + 7_200):
        settled.add("bob", seconds)
    assert settled.late() == set(), "rows of other days"
    settled.take_back()

    gone = "DELETE FROM processes WHERE host = 'web|01' AND snapshot_time_epoch < :t"
    execute(settled.source, gone, t=settled.midnight + 37_000)
    assert settled.late() == set(), "purged rows are no reason: the settled day is better"
    settled.add("web|01", 39_800)
    assert settled.late() == {"web|01"}, "fewer rows, but new ones among them"
    execute(settled.source, "DELETE FROM processes")
    assert settled.late() == set()


def test_what_the_lake_or_redis_lacks_is_made_again(settled: WatchedPipeline) -> None:
    aggregates = Path(settled.lake.path(AGGREGATES, settled.day, "alice"))
    content = aggregates.read_bytes()
    aggregates.unlink()
    assert settled.late() == {"alice"}, "aggregates are missing"

    assert not settled.settle_day("alice", select=[SNAPSHOTS])
    aggregates.write_bytes(content)
    assert settled.late() == {"alice"}, "its documents failed"
    execute(settled.source, "DELETE FROM processes")
    assert settled.late() == {"alice"}, "whatever the source still has"
    assert settled.settle_day("alice", select=[AGGREGATES.name])
    assert settled.late() == {"alice"}, "its documents still failed"


def test_damaged_files_and_strangers_in_the_lake_are_survived(settled: WatchedPipeline) -> None:
    (settled.lake_path / AGGREGATES.name / ".DS_Store").write_text("left by a file manager")
    for dataset in (RAW_ROWS, AGGREGATES):
        file = Path(settled.lake.path(dataset, settled.day, "alice"))
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        check = checks(settled.run("audit"))["redis_holds_what_it_should"]
        assert check.passed == (dataset is RAW_ROWS)
        assert settled.late() == {"alice"}
        with settled.reader() as reader:
            reader.base.client.flushall()
            settled.run("restore_redis")
            assert set(reader.hosts(*day_of(settled))) >= {"bob", "web|01"}
            assert reader.progress().complete, "there is nothing more to be had"
        assert settled.settle_day("alice")
        assert settled.late() == set()
    assert checks(settled.run("audit"))["redis_holds_what_it_should"].passed


def test_stages_that_did_not_follow_are_made_up_for(settled: WatchedPipeline) -> None:
    settled.add("bob", 39_700)
    assert settled.settle_day("bob", select=[RAW_ROWS.name])
    assert settled.late() == {"bob"}, "its aggregates are older than its rows"
    load(settled.source, settled.rows("dora"), create=None)
    assert settled.settle_day("dora", select=[RAW_ROWS.name, AGGREGATES.name])
    assert settled.late() == {"bob", "dora"}, "its documents were never written"
    assert settled.settle_day("bob", "dora")
    assert settled.late() == set()


def test_what_failed_is_tried_again_when_its_rows_change_or_after_hours(
    site: WatchedPipeline,
) -> None:
    load(site.source, site.rows("dora"), create=None)
    execute(site.source, "UPDATE processes SET cputimes = -5 WHERE host = 'dora' AND pid = 7")
    assert site.late() == {"dora"}
    assert not site.settle_day("dora")
    assert site.late(forget=False) == set()
    assert site.look()[1].endswith("nothing new; 1 failed before and wait for their next try")

    site.add("dora", 39_700)
    assert site.late(forget=False) == {"dora"}, "one row more"
    assert site.late(forget=False) == set()
    site.take_back()
    assert site.late(forget=False) == set(), "these very rows were tried already"

    site.now += 6 * 3_600 - 1
    assert site.late(forget=False) == set()
    site.now += 1
    assert site.late(forget=False) == {"dora"}, "whatever broke it may be mended"
    assert site.late(forget=False) == set()


def test_a_day_that_is_being_settled_is_left_alone(site: WatchedPipeline) -> None:
    load(site.source, site.rows("alice"), create=None)
    site.record_run("settle", STARTED, day=str(site.day - dt.timedelta(days=1)))
    site.record_run("settle", FAILURE, day=str(site.day))
    assert site.late() == {"alice"}, "neither another day's run nor one that ended matters"
    run = site.record_run("settle", STARTED, day=str(site.day))
    site.cursor = None
    assert site.look() == ([], f"run {run.run_id} settles {site.day} now")
    site.instance.delete_run(run.run_id)
    assert site.late(forget=False) == {"alice"}, "it was not tried meanwhile"


def test_the_night_has_its_time_before_anybody_looks(
    site: WatchedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(site.source, site.rows("alice"), create=None)
    over = site.midnight + DAY_SECONDS
    site.now = over + 6_299
    assert site.look() == ([], "no day is over yet")
    site.now = over + 6_300
    assert site.late() == {"alice"}
    monkeypatch.setenv("SNAPSHOT_START_DATE", str(site.day + dt.timedelta(days=1)))
    site.defs = build_defs()
    assert site.look() == ([], "no day is over yet")


def test_every_day_within_reach_is_looked_at(
    site: WatchedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNAPSHOT_START_DATE", "2026-01-01")
    monkeypatch.setenv("SNAPSHOT_LATE_DAYS", "4")
    site.defs = build_defs()
    days = [site.day - dt.timedelta(days=i) for i in range(5)]
    for ago, day in enumerate(days):
        load(site.source, [row(f"h{ago}", int(Window.of_day(day).start) + 3_600, 1)], create=None)
    asked = [request.tags[DAY_TAG] for _ in range(6) for request in site.look()[0]]
    assert sorted(asked) == sorted(map(str, days[:4])), "each once; the fifth is out of reach"
