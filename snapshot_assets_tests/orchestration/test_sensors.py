"""What heals by itself, and what says so: both sensors, the live asset, the checks in between.

Ticks are evaluated as the daemon does it, on a real source, lake and Redis; the sensors' clock is
set to noon of today, so that no night begins during a test.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapshot_assets.definitions import build_defs
from snapshot_assets.domain.time import DAY_SECONDS, Window
from snapshot_assets.orchestration import sensors
from snapshot_assets.orchestration.assets import AGGREGATES, RAW, SNAPSHOTS
from snapshot_assets.orchestration.jobs import DAY_TAG, REASON_TAG
from snapshot_assets.orchestration.partitions import host_day_of, known_hosts
from snapshot_assets.orchestration.resources import environment_resources
from snapshot_assets.orchestration.sensors import _Memory
from snapshot_assets.store.redis_writer import RedisWriter
from snapshot_assets.store.source import Tally
from snapshot_assets_tests.field import Row, busy_host, execute, load, row
from snapshot_assets_tests.orchestration.test_pipeline import QUIET, Pipeline
from snapshot_assets_tests.servers import MariaDB, Redis

HOSTS = ("alice", "bob", "web|01")
STARTED, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE


class Site(Pipeline):
    """A pipeline whose definitions take their settings from the environment, at a set time.

    Attributes:
        day: the last UTC day that is over.
        now: what the sensors take for the time.
        cursor: what the sensor of late rows remembers.
    """

    def __init__(self, *where: Any) -> None:
        super().__init__(*where)
        self.retention_days = 30.0
        today = dt.datetime.now(dt.UTC).date()
        self.day = today - dt.timedelta(days=1)
        self.midnight = int(Window.of_day(self.day).start)
        self.now = Window.of_day(today).start + 43_200.0
        self.cursor: str | None = None
        self.defs = build_defs()

    def rows(self, host: str, seed: int = 0) -> Iterator[Row]:
        """An hour of the day before noon."""
        return busy_host(host, self.midnight + 36_000, self.midnight + 39_600, seed)

    def add(self, host: str, seconds: int) -> None:
        """One more row, so long after the day's midnight."""
        load(self.source, [row(host, self.midnight + seconds, 77)], create=None)

    def take_back(self) -> None:
        execute(self.source, "DELETE FROM processes WHERE pid = 77")

    def look(self, sensor: str = "late_rows") -> tuple[list[dg.RunRequest], str]:
        """A tick: what it asks for, or why it does not."""
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources=environment_resources()
        ) as context:
            done = self.defs.resolve_sensor_def(sensor).evaluate_tick(context)
        if sensor == "late_rows":
            self.cursor = done.cursor
        assert bool(done.run_requests) != bool(done.skip_message)
        return list(done.run_requests or []), done.skip_message or ""

    def late(self, forget: bool = True) -> set[str]:
        """The hosts whose day a tick wants settled; what was tried before is forgotten or not."""
        if forget:
            self.cursor = None
        found = set()
        for request in self.look()[0]:
            assert request.job_name == "settle"
            assert request.tags[DAY_TAG] == str(self.day)
            assert request.tags[REASON_TAG] == "late"
            ends = [
                host_day_of(request.tags[f"dagster/asset_partition_range_{end}"])
                for end in ("start", "end")
            ]
            assert {end.day for end in ends} == {self.day}
            order = known_hosts(self.instance)
            found |= set(order[order.index(ends[0].host) : order.index(ends[1].host) + 1])
        return found

    def settle_day(self, *hosts: str, select: Sequence[str] | None = None) -> bool:
        return self.settle(hosts, (self.day, self.day), select).success

    def record_run(self, job: str, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
        definition = self.defs.resolve_job_def(job)
        return self.instance.create_run_for_job(
            definition,
            status=status,
            tags={**definition.tags, **{f"snapshot_assets/{k}": v for k, v in tags.items()}},
        )

    def run(self, job: str) -> dg.ExecuteInProcessResult:
        return self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance, run_config=QUIET, raise_on_error=False
        )

    def live_hosts(self) -> set[str]:
        """The hosts with a document of today or yesterday."""
        with self.reader() as reader:
            return set(reader.hosts())

    def complete(self) -> bool:
        with self.reader() as reader:
            return reader.progress().complete


@pytest.fixture
def site(
    mariadb: MariaDB, redis_server: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """With an empty table, and yesterday as the only day to look at."""
    home, lake = tmp_path / "instance", tmp_path / "lake"
    home.mkdir()
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    for name, value in {
        "SOURCE_URL": mariadb.url(),
        "RSS_UNIT": "KiB",
        "REDIS_URL": redis_server.url(),
        "LAKE": str(lake),
        "START_DATE": str(yesterday),
    }.items():
        monkeypatch.setenv(f"SNAPSHOT_{name}", value)
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        made = Site(mariadb.url(), redis_server.url(), lake, instance)
        monkeypatch.setattr(sensors, "time", SimpleNamespace(time=lambda: made.now))
        load(made.source, [])
        yield made


@pytest.fixture
def settled(site: Site) -> Site:
    """The same, with a day of all hosts that is settled."""
    for seed, host in enumerate(HOSTS):
        load(site.source, site.rows(host, seed), create=None)
    assert site.settle_day(*HOSTS)
    return site


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


def culprits(check: dg.AssetCheckEvaluation) -> dict[str, str]:
    """Host to what is wrong with it."""
    told: Any = check.metadata["culprits"].value
    if told == "none":
        return {}
    return {record.data["host"]: record.data["problem"] for record in told.records}


# --- late rows -----------------------------------------------------------------------------------


def test_a_day_that_no_night_settled_is_settled_once(site: Site) -> None:
    assert site.late() == set()
    for host in HOSTS:
        load(site.source, site.rows(host), create=None)
    assert site.late() == set(HOSTS)
    assert set(known_hosts(site.instance)) == set(HOSTS)
    assert site.settle_day(*HOSTS)
    assert site.late() == set()
    assert site.look()[1] == f"{site.day}: 3 hosts looked at, nothing new"


def test_rows_that_come_late_are_settled_for_their_host_alone(settled: Site) -> None:
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


def test_what_the_lake_or_redis_lacks_is_made_again(settled: Site) -> None:
    aggregates = Path(settled.lake.path(AGGREGATES, settled.day, "alice"))
    content = aggregates.read_bytes()
    aggregates.unlink()
    assert settled.late() == {"alice"}, "aggregates are missing"

    assert not settled.settle_day("alice", select=[SNAPSHOTS])
    aggregates.write_bytes(content)
    assert settled.late() == {"alice"}, "its documents failed"
    execute(settled.source, "DELETE FROM processes")
    assert settled.late() == {"alice"}, "whatever the source still has"
    assert settled.settle_day("alice", select=[AGGREGATES])
    assert settled.late() == {"alice"}, "its documents still failed"


def test_damaged_files_and_strangers_in_the_lake_are_survived(settled: Site) -> None:
    (settled.lake_path / AGGREGATES / ".DS_Store").write_text("left by a file manager")
    for dataset in (RAW, AGGREGATES):
        file = Path(settled.lake.path(dataset, settled.day, "alice"))
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        check = checks(settled.run("audit"))["redis_holds_what_it_should"]
        assert check.passed == (dataset == RAW)
        assert settled.late() == {"alice"}
        with settled.reader() as reader:
            reader.client.flushall()
            settled.run("restore_redis")
            assert set(reader.hosts(*day_of(settled))) >= {"bob", "web|01"}
            assert reader.progress().complete, "there is nothing more to be had"
        assert settled.settle_day("alice")
        assert settled.late() == set()
    assert checks(settled.run("audit"))["redis_holds_what_it_should"].passed


def test_stages_that_did_not_follow_are_made_up_for(settled: Site) -> None:
    settled.add("bob", 39_700)
    assert settled.settle_day("bob", select=[RAW])
    assert settled.late() == {"bob"}, "its aggregates are older than its rows"
    load(settled.source, settled.rows("dora"), create=None)
    assert settled.settle_day("dora", select=[RAW, AGGREGATES])
    assert settled.late() == {"bob", "dora"}, "its documents were never written"
    assert settled.settle_day("bob", "dora")
    assert settled.late() == set()


def test_what_failed_is_tried_again_when_its_rows_change_or_after_hours(site: Site) -> None:
    load(site.source, site.rows("dora"), create=None)
    execute(site.source, "UPDATE processes SET cputimes = -5 WHERE host = 'dora' AND pid = 7")
    assert site.late() == {"dora"}
    assert not site.settle_day("dora")
    assert site.late(forget=False) == set()
    assert site.look()[1].endswith("nothing new; 1 failed before and wait")

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


def test_a_day_that_is_being_settled_is_left_alone(site: Site) -> None:
    load(site.source, site.rows("alice"), create=None)
    site.record_run("settle", STARTED, day=str(site.day - dt.timedelta(days=1)))
    site.record_run("settle", FAILURE, day=str(site.day))
    assert site.late() == {"alice"}, "neither another day's run nor one that ended matters"
    run = site.record_run("settle", STARTED, day=str(site.day))
    site.cursor = None
    assert site.look() == ([], f"{site.day} is being settled by run {run.run_id}")
    site.instance.delete_run(run.run_id)
    assert site.late(forget=False) == {"alice"}, "it was not tried meanwhile"


def test_the_night_has_its_time_before_anybody_looks(
    site: Site, monkeypatch: pytest.MonkeyPatch
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


def test_every_day_within_reach_is_looked_at(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNAPSHOT_START_DATE", "2026-01-01")
    monkeypatch.setenv("SNAPSHOT_LATE_DAYS", "4")
    site.defs = build_defs()
    days = [site.day - dt.timedelta(days=i) for i in range(5)]
    for ago, day in enumerate(days):
        load(site.source, [row(f"h{ago}", int(Window.of_day(day).start) + 3_600, 1)], create=None)
    asked = [request.tags[DAY_TAG] for _ in range(6) for request in site.look()[0]]
    assert sorted(asked) == sorted(map(str, days[:4])), "each once; the fifth is out of reach"


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(0, 1_000))
def test_turns_visit_every_day_and_yesterday_most_often(count: int, turn: int) -> None:
    days = [dt.date(2026, 11, 20) + dt.timedelta(days=i) for i in range(count)]
    cursor: str | None = _Memory(turn).dump()
    visited = []
    for _ in range(4 * count):
        memory = _Memory.load(cursor, 0.0)
        visited.append(memory.next_day(days))
        cursor = memory.dump()
    bound = max(2 * (count - 1), 1)
    for first in range(len(visited) - bound + 1):
        others = set(visited[first : first + bound]) - {days[-1]}
        assert others == set(days[:-1]), "all the others within so many looks"
    for pair in pairwise(visited):
        assert days[-1] in pair
    assert count == 1 or visited.count(days[-1]) == len(visited) // 2


def test_the_cursor_forgets_after_hours_and_fits_into_mysql() -> None:
    days = [dt.date(2026, 11, 1) + dt.timedelta(days=i) for i in range(7)]
    memory, rows = _Memory(), Tally(5, 1.0)
    hosts = [f"host{i}.example.org" for i in range(1_500)]
    for day in days:
        memory.remember(day, dict.fromkeys(hosts, rows), 1e9)
        memory = _Memory.load(memory.dump(), 1e9 + 10)
        assert not any(memory.may_try(day, host, rows) for host in hosts[::100])
        assert memory.may_try(day, hosts[0], Tally(5, 2.0))
        assert memory.may_try(day, hosts[0], None)
        assert memory.may_try(day - dt.timedelta(days=9), hosts[0], rows)
    assert memory.may_try(days[0], hosts[0], rows), "the oldest gave way"
    assert len(memory.dump()) < 2**16 - 2_000, "a tick and its cursor are a TEXT"
    assert _Memory.load(memory.dump(), 1e9 + 6 * 3_600).tried == []


# --- a Redis that was lost -----------------------------------------------------------------------


def test_an_empty_redis_beside_an_empty_lake_has_lost_nothing(site: Site) -> None:
    """Nor is it called complete: the lake may not be mounted yet."""
    for _ in range(2):
        assert site.look("redis_lost") == ([], "nothing is settled yet")
        assert site.run("restore_redis").success
        assert not site.complete()


def test_an_emptied_redis_is_restored_and_today_is_published(settled: Site) -> None:
    with settled.reader() as reader:
        documents = reader.get_data("web|01", *whole(settled.day))
        assert len(documents) == 12
        reader.client.flushall()
    requests, _ = settled.look("redis_lost")
    assert [request.job_name for request in requests] == ["live", "restore_redis"]
    assert len({request.run_key for request in requests}) == 2
    (restore,) = [request for request in requests if request.job_name == "restore_redis"]
    assert not settled.complete(), "asking is not doing"

    run = settled.record_run("live", STARTED)
    requests, _ = settled.look("redis_lost")
    assert [request.job_name for request in requests] == ["restore_redis"]
    settled.instance.delete_run(run.run_id)

    run = settled.instance.create_run_for_job(
        settled.defs.resolve_job_def("restore_redis"), status=STARTED, tags=dict(restore.tags)
    )
    assert settled.look("redis_lost") == ([], f"being restored by run {run.run_id}")
    settled.instance.delete_run(run.run_id)
    settled.instance.create_run_for_job(
        settled.defs.resolve_job_def("restore_redis"), status=FAILURE, tags=dict(restore.tags)
    )
    assert len(settled.look("redis_lost")[0]) == 2, "a restoration that failed is tried again"

    execute(settled.source, "DROP TABLE processes")
    assert settled.run("restore_redis").success
    with settled.reader() as reader:
        assert reader.get_data("web|01", *whole(settled.day)) == documents
    assert settled.look("redis_lost") == ([], "Redis knows that it is complete")


# --- the live asset ------------------------------------------------------------------------------


def recent(host: str, seconds: int = 1_800, until: int = 0) -> list[Row]:
    """Rows of the last half-hour, up to so many seconds ago."""
    now = int(time.time())
    return list(busy_host(host, now - until - seconds, now - until))


def test_a_host_with_bad_rows_is_named_and_the_others_are_published(site: Site) -> None:
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


@pytest.mark.parametrize("before_the_first_refresh", [False, True])
def test_a_redis_that_was_set_back_is_not_complete(
    site: Site, before_the_first_refresh: bool
) -> None:
    load(site.source, recent("alice"), create=None)
    with RedisWriter(url=site.redis_url) as writer:
        writer.record_complete(True)
    assert site.run("live").success
    with site.reader() as reader:
        if before_the_first_refresh:
            reader.client.hdel("snapshot_assets:state", "live_until")
        else:
            assert site.run("live").success
            assert site.complete(), "nothing was set back"
            until = reader.progress().live_until
            assert until is not None
            reader.client.hset("snapshot_assets:state", "live_until", repr(until - 3_600))
    assert site.complete()
    assert site.run("live").success
    assert not site.complete()


# --- the checks of what happens now --------------------------------------------------------------


def test_buckets_that_are_old_and_hosts_that_fell_silent_are_told(site: Site) -> None:
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


def test_collectors_that_lag_or_are_two_are_listed(site: Site) -> None:
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


def whole(day: dt.date) -> tuple[dt.datetime, dt.datetime]:
    start = dt.datetime.combine(day, dt.time(), dt.UTC)
    return start, start + dt.timedelta(days=1, seconds=-1)


def day_of(site: Site) -> tuple[dt.datetime, dt.datetime]:
    return whole(site.day)
