"""A setting changed: the days that differ are shown, and one click settles exactly these again."""

from __future__ import annotations

import datetime as dt
from typing import Any

import dagster as dg
import pytest

from snapshot_assets.domain import fingerprint
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.lake.notes import AGGREGATES
from snapshot_assets.orchestration.assets import AGGREGATES as AGGREGATES_ASSET
from snapshot_assets.orchestration.assets import RAW, SNAPSHOTS
from snapshot_assets.orchestration.jobs import CHANGED_JOB, STARTED_BY_TAG
from snapshot_assets.orchestration.partitions import dagster_key
from snapshot_assets_tests.support.field_table import execute
from snapshot_assets_tests.support.pipelines import HOSTS, WatchedPipeline, checks

CHECK = "settings_are_current"


def settings_check(site: WatchedPipeline, job: str = "review") -> dg.AssetCheckEvaluation:
    return checks(site.run(job))[CHECK]


def told(check: dg.AssetCheckEvaluation) -> list[dict[str, Any]]:
    found: Any = check.metadata["culprits"].value
    return [] if found == "none" else [dict(record.data) for record in found.records]


def materialized(site: WatchedPipeline, run_ids: set[str]) -> dict[str, set[str]]:
    """What these runs materialized: the partitions of each asset."""
    return {
        asset: {
            str(record.partition_key)
            for record in site.instance.fetch_materializations(
                dg.AssetKey(asset), limit=1_000
            ).records
            if record.run_id in run_ids
        }
        for asset in (RAW, AGGREGATES_ASSET, SNAPSHOTS)
    }


def click(site: WatchedPipeline) -> tuple[dg.ExecuteInProcessResult, dict[str, set[str]]]:
    """Run the job, and see what it and the runs that it started have materialized."""
    result = site.run(CHANGED_JOB)
    started = site.instance.get_runs(dg.RunsFilter(tags={STARTED_BY_TAG: result.run_id}))
    assert all(run.is_finished for run in started)
    return result, materialized(site, {run.run_id for run in started})


def keys(site: WatchedPipeline, *hosts: str) -> set[str]:
    return {str(dagster_key(HostDay(site.day, host))) for host in hosts}


def test_a_changed_setting_is_shown_and_one_click_settles_what_differs(
    settled: WatchedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings_check(settled).passed
    monkeypatch.setenv("SNAPSHOT_MAX_GAP", "600")
    check = settings_check(settled)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert told(check) == [
        {
            "partition": f"3 host-days of {settled.day}",
            "problem": "max_gap 900 -> 600",
            "host_days": 3,
            "hosts": "alice, bob, web|01",
        }
    ]
    numbers = {name: check.metadata[name].value for name in ("host_days_different", "to_do")}
    assert numbers["host_days_different"] == 3
    assert "settle_changed" in str(numbers["to_do"])

    execute(settled.source, "DROP TABLE processes")
    result, made = click(settled)
    assert result.success, "from the lake; what cannot be proven is a warning"
    assert made == {
        RAW: set(),
        AGGREGATES_ASSET: keys(settled, *HOSTS),
        SNAPSHOTS: keys(settled, *HOSTS),
    }
    assert settings_check(settled).passed
    for host in HOSTS:
        note = settled.lake.read(AGGREGATES, settled.day, host)[1]
        assert note.recipe["max_gap"] == "600"


def test_exactly_the_host_days_that_differ_are_settled_from_the_first_step_that_differs(
    settled: WatchedPipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    capacity = tmp_path / "capacity.csv"
    capacity.write_text("host,cores,memory_gb\nweb|01,64,\n")
    monkeypatch.setenv("SNAPSHOT_CAPACITY", str(capacity))
    assert [one["problem"] for one in told(settings_check(settled))] == [
        "capacity_cores none -> 64"
    ]
    result, made = click(settled)
    assert result.success
    one = keys(settled, "web|01")
    assert made == {RAW: set(), AGGREGATES_ASSET: one, SNAPSHOTS: one}

    monkeypatch.setenv("SNAPSHOT_CPU_THRESHOLD", "0.5")
    assert [one["problem"] for one in told(settings_check(settled))] == [
        "cpu_threshold 0.05 -> 0.5"
    ]
    result, made = click(settled)
    assert result.success
    assert made == {RAW: set(), AGGREGATES_ASSET: set(), SNAPSHOTS: keys(settled, *HOSTS)}

    monkeypatch.setenv("SNAPSHOT_MAX_GAP", "1200")
    result, made = click(settled)
    assert result.success
    assert made == dict.fromkeys((RAW, AGGREGATES_ASSET, SNAPSHOTS), keys(settled, *HOSTS))
    assert settings_check(settled).passed
    result, made = click(settled)
    assert result.success
    assert not any(made.values()), "a second click finds nothing"


def test_a_run_that_settles_some_days_shows_those_that_still_differ(
    settled: WatchedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the check would pass in every run, as the run's own days are always current."""
    monkeypatch.setattr(fingerprint, "EDITION", 3)
    result = settled.settle(["bob"], (settled.day, settled.day))
    (one,) = told(checks(result)[CHECK])
    assert one["hosts"] == "alice, web|01"
    assert one["problem"] == "edition 2 -> 3"
    summary = settled.instance.event_log_storage.get_latest_asset_check_execution_by_key(
        [dg.AssetCheckKey(dg.AssetKey(SNAPSHOTS), CHECK)]
    )
    assert len(summary) == 1, "evaluated in the run that materializes"


def test_days_before_the_first_partition_are_shown_and_stay(
    settled: WatchedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNAPSHOT_MAX_GAP", "600")
    monkeypatch.setenv("SNAPSHOT_START_DATE", str(settled.day + dt.timedelta(days=1)))
    later = WatchedPipeline(settled.source_url, settled.redis, settled.lake_path, settled.instance)
    result, made = click(later)
    assert result.success
    assert not any(made.values())
    assert not settings_check(settled).passed


def test_what_cannot_be_settled_fails_and_the_others_go_on(
    settled: WatchedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source was purged, and the new setting needs rows that the lake does not have."""
    execute(settled.source, "DELETE FROM processes WHERE host = 'bob'")
    monkeypatch.setenv("SNAPSHOT_MAX_GAP", "1200")
    result, made = click(settled)
    assert not result.success
    (failure,) = result.filter_events(lambda event: event.is_step_failure)
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    assert "bob on" in str(data.description)
    assert "purged" in str(data.description)
    assert made[SNAPSHOTS] == keys(settled, "alice", "web|01")
    (left,) = told(settings_check(settled))
    assert left["hosts"] == "bob"


def test_an_older_version_in_redis_is_found_at_night_and_heals(settled: WatchedPipeline) -> None:
    """A restored RDB: every bucket is there, but not those that the lake has."""
    assert settled.run("restore_redis").success
    assert settled.complete()
    with settled.reader() as reader:
        client, key = reader.base.client, reader.keys.records(settled.midnight)
        record = client.hget(key, "bob")
        client.hset(key, "bob", "0123456789ab.0123456789ab cpu_threshold=0.05 mem_threshold=0.1")
    check = checks(settled.run("audit"))["redis_holds_what_it_should"]
    assert not check.passed
    found: Any = check.metadata["culprits"].value
    assert [(r.data["partition"], r.data["problem"]) for r in found.records] == [
        (f"bob on {settled.day}", "another version")
    ]
    requests, _ = settled.tick("redis_lost")
    assert "restore_redis" in [request.job_name for request in requests]
    assert settled.run("restore_redis").success
    assert checks(settled.run("audit"))["redis_holds_what_it_should"].passed
    with settled.reader() as reader:
        assert reader.base.client.hget(key, "bob") == record
