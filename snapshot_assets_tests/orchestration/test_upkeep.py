"""Housekeeping: it deletes old runs of Dagster, and the status of partitions stays the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from snapshot_assets.orchestration import upkeep
from snapshot_assets.orchestration.jobs import IN_PROGRESS
from snapshot_assets.orchestration.resources import environment_resources
from snapshot_assets.orchestration.upkeep import tidy, upkeep_jobs
from snapshot_assets_tests.support.pipelines import QUIET
from snapshot_assets_tests.support.servers import MariaDB, Redis

LATER = 1e10  # epoch seconds that no run reaches


class Tiny:
    """Two assets, their runs in order, and the folder of the instance that keeps them."""

    def __init__(self, instance: dg.DagsterInstance, home: Path) -> None:
        self.instance, self.home = instance, home

        @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b", "c"]))
        def divided() -> None: ...

        @dg.asset
        def whole() -> None: ...

        self.divided, self.whole = divided, whole

    def make(self, partition: str | None = None) -> str:
        """Materialize a partition, or the asset without partitions; returns the run's id."""
        asset = self.divided if partition else self.whole
        result = dg.materialize(
            [asset], instance=self.instance, partition_key=partition, run_config=QUIET
        )
        return result.run_id

    def recorded(self, status: dg.DagsterRunStatus, **tags: str) -> str:
        """Record a run that never ran; returns its id."""
        job = dg.Definitions(assets=[self.whole]).resolve_implicit_global_asset_job_def()
        return self.instance.create_run_for_job(job, status=status, tags=tags).run_id

    def runs(self) -> set[str]:
        return {run.run_id for run in self.instance.get_runs()}

    def materialized_by(self) -> set[str]:
        """The runs of all materializations in the instance."""
        return {
            record.run_id
            for key in (self.divided.key, self.whole.key)
            for record in self.instance.fetch_materializations(key, limit=100).records
        }

    def created(self, run_id: str) -> float:
        record = self.instance.get_run_record_by_id(run_id)
        assert record is not None
        return record.create_timestamp.timestamp()

    def status(self) -> tuple[set[str], dict[str, str]]:
        """What is materialized, and by which run, as the UI counts it."""
        newest = {}
        for partition in sorted(self.instance.get_materialized_partitions(self.divided.key)):
            records = self.instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=self.divided.key, asset_partitions=[partition]),
                limit=1,
            ).records
            newest[partition] = records[0].run_id
        record = self.instance.fetch_materializations(self.whole.key, limit=1).records
        newest |= {"whole": record[0].run_id} if record else {}
        return self.instance.get_materialized_partitions(self.divided.key), newest

    def files_of(self, run_id: str) -> list[Path]:
        return [path for path in self.home.rglob("*") if run_id in str(path) and path.is_file()]


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tiny]:
    """On SQLite, with one file per run. A query returns two runs, so that several are needed."""
    monkeypatch.setattr(upkeep, "_RUNS_PER_QUERY", 2)
    home = tmp_path / "instance"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        yield Tiny(instance, home)


@pytest.fixture
def tiny_on_mysql(
    mariadb: MariaDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Tiny]:
    """With all events in one table."""
    monkeypatch.setattr(upkeep, "_RUNS_PER_QUERY", 2)
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS dagster")
        cursor.execute("CREATE DATABASE dagster CHARACTER SET utf8mb4")
    home = tmp_path / "instance"
    home.mkdir()
    url = mariadb.url("dagster").replace("mysql://", "mysql+mysqlconnector://")
    storage = {"mysql": {"mysql_url": url}}
    with dg.DagsterInstance.local_temp(str(home), overrides={"storage": storage}) as instance:
        yield Tiny(instance, home)
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute("DROP DATABASE dagster")


def assert_only_superseded_runs_go(tiny: Tiny) -> list[str]:
    """Delete old runs, and return those that were deleted."""
    superseded = [tiny.make("a"), tiny.make("b"), tiny.make(), tiny.make("b")]
    newest = {"b": tiny.make("b"), "c": tiny.make("c"), "whole": tiny.make(), "a": tiny.make("a")}
    running = {tiny.recorded(dg.DagsterRunStatus.STARTED)}
    before = tiny.status()
    assert before == ({"a", "b", "c"}, newest)
    assert tiny.materialized_by() == {*superseded, *newest.values()}
    assert tidy(tiny.instance, LATER) == (len(superseded), len(newest))
    assert tiny.runs() == {*newest.values(), *running}
    assert tiny.status() == before
    assert tiny.materialized_by() == set(newest.values())
    assert all(tiny.instance.all_logs(run_id) for run_id in newest.values())
    assert tidy(tiny.instance, LATER) == (0, len(newest)), "doing it again changes nothing"
    assert tiny.status() == before
    return superseded


def test_superseded_runs_go_and_every_status_stays(tiny: Tiny) -> None:
    assert_only_superseded_runs_go(tiny)


def test_the_same_on_mysql(tiny_on_mysql: Tiny) -> None:
    gone = assert_only_superseded_runs_go(tiny_on_mysql)
    assert not any(tiny_on_mysql.instance.all_logs(run_id) for run_id in gone)
    assert not list(tiny_on_mysql.home.rglob("*.db"))


def test_nothing_of_a_deleted_run_stays_on_disk(tiny: Tiny) -> None:
    gone, kept = tiny.make("a"), tiny.make("a")
    kinds = {path.suffix for path in tiny.files_of(gone)}
    assert kinds >= {".db", ".err", ".out"}, "its events and its compute logs"
    tidy(tiny.instance, LATER)
    assert {path.suffix for path in tiny.files_of(kept)} == kinds
    assert tiny.files_of(gone) == []


def test_runs_in_progress_stay(tiny: Tiny) -> None:
    # A queued run cannot be made without a deployment.
    statuses = [s for s in IN_PROGRESS if s is not dg.DagsterRunStatus.QUEUED]
    running = {tiny.recorded(status) for status in statuses}
    ended = {tiny.recorded(s) for s in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)}
    assert len(running) == 4
    assert tidy(tiny.instance, LATER) == (len(ended), 0)
    assert tiny.runs() == running


def test_runs_that_are_young_stay(tiny: Tiny) -> None:
    old, young, newest = tiny.make("a"), tiny.make("a"), tiny.make("a")
    assert tidy(tiny.instance, tiny.created(old)) == (0, 0)
    assert tidy(tiny.instance, tiny.created(young)) == (1, 0)
    assert tiny.runs() == {young, newest}


def test_only_runs_with_the_tags_go(tiny: Tiny) -> None:
    ended = dg.DagsterRunStatus.SUCCESS
    others = {tiny.recorded(ended), tiny.recorded(ended, path="settled"), tiny.make()}
    gone = [tiny.recorded(ended, path=path) for path in ("live", "review", "live")]
    running = {tiny.recorded(dg.DagsterRunStatus.STARTED, path="live")}
    wanted = {"path": ["live", "review"]}
    assert tidy(tiny.instance, tiny.created(gone[1]), wanted) == (1, 0)
    assert tidy(tiny.instance, LATER, wanted) == (2, 0)
    assert tiny.runs() == others | running


def test_the_job_spares_itself_and_tells_what_it_did(
    tiny: Tiny, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNAPSHOT_REDIS_URL", redis_server.url())
    resources = environment_resources()
    gone, kept = tiny.make("a"), tiny.make("a")
    (job,) = [job for job in upkeep_jobs(history_days=0, late_days=7) if job.name == "housekeeping"]
    result = job.execute_in_process(instance=tiny.instance, resources=resources)
    assert result.success
    assert tiny.runs() == {kept, result.run_id}
    assert gone not in tiny.runs()
    recorded = {
        name: value.value
        for event in result.all_events
        if event.is_successful_output
        for name, value in event.step_output_data.metadata.items()
    }
    assert recorded == {"runs_deleted": 1, "runs_kept": 1, "hosts_removed": "none"}
    (job,) = [job for job in upkeep_jobs(history_days=1, late_days=7) if job.name == "housekeeping"]
    assert job.execute_in_process(instance=tiny.instance, resources=resources).success
    assert kept in tiny.runs(), "nothing is a day old"
    assert result.run_id in tiny.runs()
