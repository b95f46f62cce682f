"""The requests for runs: boxes, the ticks of schedules, and what runs unless it is stopped."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

import dagster as dg
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from snapshot_assets.definitions import build_defs
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.errors import SettingsError
from snapshot_assets.orchestration.assets import PARTITIONS_PER_RUN
from snapshot_assets.orchestration.jobs import DAY_TAG, PATH_TAG, REASON_TAG
from snapshot_assets.orchestration.partitions import (
    Box,
    add_hosts,
    boxes,
    dagster_key,
    host_day_of,
    known_hosts,
)
from snapshot_assets.orchestration.resources import environment_resources
from snapshot_assets_tests.support.field_table import (
    DAY,
    HOSTILE_HOSTS,
    MIDNIGHT,
    busy_host,
    load,
    row,
)
from snapshot_assets_tests.support.pipelines import Pipeline
from snapshot_assets_tests.support.servers import MariaDB, Redis

# --- boxes ---------------------------------------------------------------------------------------


@st.composite
def wishes(draw: st.DrawFn) -> tuple[dt.date, list[str], list[str], int]:
    """The last day (the first is DAY), the known hosts in any order, the requested ones, a size."""
    known = [f"h{i}" for i in draw(st.permutations(range(draw(st.integers(1, 30)))))]
    wanted = draw(st.lists(st.sampled_from(known), max_size=40))
    days = draw(st.integers(0, 9))
    return DAY + dt.timedelta(days=days), known, wanted, draw(st.integers(1, 40))


def partitions_of(found: Sequence[Box]) -> list[HostDay]:
    return [
        HostDay(box.first_day + dt.timedelta(days=i), host)
        for box in found
        for i in range((box.last_day - box.first_day).days + 1)
        for host in box.hosts
    ]


def assert_within_bounds(found: Sequence[Box], known: Sequence[str], size: int) -> None:
    for box in found:
        assert box.partitions <= size
        assert box.partitions == len(partitions_of([box]))
        first = known.index(box.hosts[0])
        assert tuple(known[first : first + len(box.hosts)]) == box.hosts, "neighbours, in order"
    everything = partitions_of(found)
    assert len(set(everything)) == len(everything), "no host-day is in two boxes"


@settings(deadline=None)
@given(wishes())
def test_boxes_hold_what_is_wanted_once_and_nothing_else(
    wish: tuple[dt.date, list[str], list[str], int],
) -> None:
    last, known, wanted, size = wish
    found = list(boxes(DAY, last, wanted, known, size))
    days = [DAY + dt.timedelta(days=i) for i in range((last - DAY).days + 1)]
    assert sorted(partitions_of(found)) == sorted(
        HostDay(day, host) for day in days for host in set(wanted)
    )
    assert_within_bounds(found, known, size)


@settings(deadline=None)
@given(wishes())
def test_all_hosts_of_a_day_take_as_few_boxes_as_can_be(
    wish: tuple[dt.date, list[str], list[str], int],
) -> None:
    _, known, _, size = wish
    found = list(boxes(DAY, DAY, known, known, size))
    assert len(found) == -(-len(known) // size)


@settings(deadline=None)
@given(wishes())
def test_all_hosts_of_days_that_fit_fill_their_boxes(
    wish: tuple[dt.date, list[str], list[str], int],
) -> None:
    last, known, _, days = wish
    found = list(boxes(DAY, last, known, known, days * len(known)))
    assert len(found) == -(-((last - DAY).days + 1) // days)


# --- ticks ---------------------------------------------------------------------------------------


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    home = tmp_path / "instance"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as made:
        yield made


@pytest.fixture
def site(
    mariadb: MariaDB,
    redis_server: Redis,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Pipeline:
    """A pipeline with an empty table; the environment names its servers to the definitions."""
    pipeline = Pipeline(mariadb.url(), redis_server, tmp_path / "lake", instance)
    monkeypatch.setenv("SNAPSHOT_SOURCE_URL", pipeline.source_url)
    monkeypatch.setenv("SNAPSHOT_RSS_UNIT", "KiB")
    monkeypatch.setenv("SNAPSHOT_REDIS_URL", pipeline.redis_url)
    monkeypatch.setenv("SNAPSHOT_RETENTION_DAYS", str(pipeline.retention_days))
    monkeypatch.setenv("SNAPSHOT_LAKE", str(pipeline.lake_path))
    monkeypatch.setenv("SNAPSHOT_START_DATE", "2026-11-01")
    load(pipeline.source, [])
    return pipeline


def tick(
    instance: dg.DagsterInstance, name: str, at: dt.datetime | None = None
) -> tuple[list[dg.RunRequest], str | None]:
    """The run requests of a schedule's tick, or why there are none."""
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=at, resources=environment_resources()
    )
    with context:
        done = build_defs().resolve_schedule_def(name).evaluate_tick(context)
    return list(done.run_requests or []), done.skip_message


def night_after(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(0, 45), dt.UTC) + dt.timedelta(days=1)


def boxed(request: dg.RunRequest) -> tuple[HostDay, HostDay]:
    first, last = (
        host_day_of(request.tags[f"dagster/asset_partition_range_{end}"])
        for end in ("start", "end")
    )
    return first, last


def test_a_live_tick_is_left_out_while_the_one_before_runs(instance: dg.DagsterInstance) -> None:
    job = build_defs().resolve_job_def("live")
    busy, ended = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE
    instance.create_run_for_job(job, status=busy, tags={PATH_TAG: "settled"})
    instance.create_run_for_job(job, status=ended, tags=dict(job.tags))
    requests, skipped = tick(instance, "live_every_five_minutes")
    assert (len(requests), skipped) == (1, None), "other runs and ended runs block no run"
    for status in (
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ):
        run = instance.create_run_for_job(job, status=status, tags=dict(job.tags))
        requests, skipped = tick(instance, "live_every_five_minutes")
        assert not requests
        assert run.run_id in str(skipped)
        instance.delete_run(run.run_id)


def test_the_night_settles_the_day_before_in_few_runs(site: Pipeline) -> None:
    hosts = [f"h{i:03}" for i in range(250)]
    rows = [row(host, MIDNIGHT + 60 * i, 1) for i, host in enumerate(hosts)]
    load(site.source, rows, create=None)
    days_off = {"before": MIDNIGHT - 7200, "after": MIDNIGHT + 86_400 + 7200}
    load(site.source, [row(h, time, 1) for h, time in days_off.items()], create=None)
    add_hosts(site.instance, ["zebra", "h007", "after"])
    requests, skipped = tick(site.instance, "settle_the_day_before", night_after(DAY))
    assert skipped is None
    known = known_hosts(site.instance)
    assert known[:3] == ["after", "h007", "zebra"]
    assert sorted(known) == sorted([*hosts, "zebra", "after"])
    done: list[str] = []
    for request in requests:
        assert request.job_name == "settle"
        assert request.tags[DAY_TAG] == str(DAY)
        assert request.tags[REASON_TAG] == "nightly"
        first, last = boxed(request)
        assert first.day == last.day == DAY
        done += known[known.index(first.host) : known.index(last.host) + 1]
    assert len(done) == len(set(done))
    assert set(done) == set(hosts), "a silent host has no host-day"
    # In Dagster's order, which is that of the first rows, h007 is apart, after zebra.
    assert len(requests) == 1 + -(-(len(done) - 1) // PARTITIONS_PER_RUN)
    assert len({request.run_key for request in requests}) == len(requests)


def test_the_day_before_is_that_of_utc(site: Pipeline) -> None:
    rows = [row("alice", MIDNIGHT - 43_200, 1), row("bob", MIDNIGHT + 43_200, 1)]
    load(site.source, rows, create=None)
    # It is the 21st in that zone, and still the 20th in UTC.
    early = dt.datetime(2026, 11, 21, 0, 30, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    ((request,), _) = tick(site.instance, "settle_the_day_before", early)
    day_before = DAY - dt.timedelta(days=1)
    assert boxed(request) == (HostDay(day_before, "alice"), HostDay(day_before, "alice"))
    ((request,), _) = tick(site.instance, "settle_the_day_before", night_after(DAY))
    assert boxed(request) == (HostDay(DAY, "bob"), HostDay(DAY, "bob"))


def test_awkward_names_come_through_the_tags_into_the_run(site: Pipeline) -> None:
    assert "web|01" in HOSTILE_HOSTS
    for seed, host in enumerate(HOSTILE_HOSTS):
        load(site.source, busy_host(host, MIDNIGHT, MIDNIGHT + 1800, seed), create=None)
    ((request,), _) = tick(site.instance, "settle_the_day_before", night_after(DAY))
    result = (
        build_defs()
        .resolve_job_def(str(request.job_name))
        .execute_in_process(instance=site.instance, tags=dict(request.tags), raise_on_error=False)
    )
    assert result.success
    done = site.instance.get_materialized_partitions(dg.AssetKey("redis_snapshots"))
    assert done == {dagster_key(HostDay(DAY, host)) for host in HOSTILE_HOSTS}


def test_a_night_without_work_is_skipped(site: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    requests, skipped = tick(site.instance, "settle_the_day_before", night_after(DAY))
    assert (requests, skipped) == ([], "no host has rows on 2026-11-20")
    load(site.source, [row("alice", MIDNIGHT, 1)], create=None)
    monkeypatch.setenv("SNAPSHOT_START_DATE", str(DAY + dt.timedelta(days=1)))
    requests, skipped = tick(site.instance, "settle_the_day_before", night_after(DAY))
    assert requests == []
    assert skipped == "2026-11-20 is before SNAPSHOT_START_DATE, 2026-11-21"
    assert known_hosts(site.instance) == []
    monkeypatch.setenv("SNAPSHOT_START_DATE", str(DAY))
    requests, _ = tick(site.instance, "settle_the_day_before", night_after(DAY))
    assert len(requests) == 1, "the start date is the first day with partitions"


# --- definitions ---------------------------------------------------------------------------------


def test_everything_runs_unless_it_is_stopped_and_says_what_it_does() -> None:
    repository = build_defs().get_repository_def()
    schedules, sensors = repository.schedule_defs, repository.sensor_defs
    assert {schedule.name for schedule in schedules} == {
        "live_every_five_minutes",
        "settle_the_day_before",
        "review_every_quarter_hour",
        "audit_every_night",
        "housekeeping_every_night",
    }
    assert {sensor.name for sensor in sensors} == {"late_rows", "redis_lost", "tell_failures"}
    for schedule in schedules:
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
        assert schedule.execution_timezone == "UTC"
        assert schedule.description
    for sensor in sensors:
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
        assert sensor.description
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    assert {schedule.job_name for schedule in schedules} < {job.name for job in jobs}
    assert all(job.description for job in jobs)


@pytest.mark.parametrize("name", ["SNAPSHOT_LIVE_CRON", "SNAPSHOT_SETTLE_CRON"])
@pytest.mark.parametrize("cron", ["0 0 31 2 *", "61 * * * *", "* * * * NOPE"])
def test_a_time_that_never_comes_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, cron: str
) -> None:
    monkeypatch.setenv(name, cron)
    with pytest.raises(SettingsError, match=f"^{name}: ") as error:
        build_defs()
    assert cron in str(error.value)


@pytest.mark.parametrize("name", ["dagster.yaml", "dagster.mysql.yaml"])
def test_a_run_that_a_dead_machine_left_behind_is_ended(name: str) -> None:
    """Otherwise such a run would occupy the only slot of its kind forever."""
    text = resources.files("snapshot_assets.deploy").joinpath(name).read_text()
    shipped = yaml.safe_load(text)
    assert shipped["run_monitoring"]["enabled"]
    assert 0 < shipped["run_monitoring"]["max_runtime_seconds"] <= 6 * 3_600
    definitions = build_defs()
    for job in ("live", "review", "audit"):
        assert 0 < int(definitions.resolve_job_def(job).tags["dagster/max_runtime"]) <= 1_800
