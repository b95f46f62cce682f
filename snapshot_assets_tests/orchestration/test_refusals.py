"""What the three assets and their checks reject: bad rows, purged days, changed files and keys."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.time import bucket_iso
from snapshot_assets.lake.notes import AGGREGATES, RAW_ROWS
from snapshot_assets.orchestration.checks import settled_checks
from snapshot_assets.orchestration.partitions import dagster_key
from snapshot_assets.orchestration.resources import (
    LakeResource,
    RedisResource,
    RulesResource,
    SourceResource,
)
from snapshot_assets_tests.support.field_table import DAY, MIDNIGHT, busy_host, execute, load, row
from snapshot_assets_tests.support.pipelines import FOREVER_DAYS, QUIET, Pipeline, whole


def test_one_bad_host_day_fails_visibly_and_the_others_are_done(pipeline: Pipeline) -> None:
    hosts = ("alice", "bob", "carol")
    load(pipeline.source, [r for host in hosts for r in busy_host(host, end=MIDNIGHT + 3600)])
    execute(pipeline.source, "UPDATE processes SET cputimes = -5 WHERE host = 'bob' AND pid = 7")
    result = pipeline.settle(["alice", "bob", "carol"])
    assert not result.success
    (failure,) = [e.step_failure_data for e in result.all_events if e.is_step_failure]
    description = failure.user_failure_data.description if failure.user_failure_data else ""
    assert description
    for part in (
        "1 of 3 partitions",
        "bob on 2026-11-20",
        "12 of 48 rows",
        "cputimes=-5.0",
        "pid=7",
    ):
        assert part in description
    for asset in ("raw_process_rows", "five_minute_aggregates", "redis_snapshots"):
        done = pipeline.instance.get_materialized_partitions(dg.AssetKey(asset))
        assert done == {dagster_key(HostDay(DAY, "alice")), dagster_key(HostDay(DAY, "carol"))}
    with pipeline.reader() as reader:
        assert reader.get_data("carol", *whole(DAY)), "the good host-days are published"
        assert not reader.get_data("bob", *whole(DAY))
    assert not Path(pipeline.lake.path(RAW_ROWS, DAY, "bob")).exists()
    assert not any(e.event_type_value == "STEP_UP_FOR_RETRY" for e in result.all_events)


def test_a_ledger_that_does_not_balance_stops_the_host_day(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(pipeline.source, [r for h in ("alice", "bob") for r in busy_host(h, end=MIDNIGHT + 3600)])

    def lossy(rows: Any, *arguments: Any) -> Any:
        whole = account(rows, *arguments)
        if "bob" not in set(rows["host"]):
            return whole
        return dataclasses.replace(whole, aggregates=whole.aggregates.iloc[1:])

    monkeypatch.setattr("snapshot_assets.pipeline.settle.account", lossy)
    result = pipeline.settle(["alice", "bob"])
    (failure,) = [e.step_failure_data for e in result.all_events if e.is_step_failure]
    assert "bob on 2026-11-20: core-seconds" in str(failure.user_failure_data)
    with pipeline.reader() as reader:
        assert reader.get_data("alice", *whole(DAY))
        assert not reader.get_data("bob", *whole(DAY))


def test_a_missing_value_blames_its_own_host_only(pipeline: Pipeline) -> None:
    load(pipeline.source, busy_host("alice", end=MIDNIGHT + 3600))
    load(pipeline.source, [row("bob", MIDNIGHT, 1, rss=None)], create=None)
    result = pipeline.settle(["alice", "bob"])
    done = pipeline.instance.get_materialized_partitions(dg.AssetKey("raw_process_rows"))
    assert not result.success
    assert done == {dagster_key(HostDay(DAY, "alice"))}


def test_a_day_that_the_source_has_purged_is_kept(pipeline: Pipeline) -> None:
    load(pipeline.source, [r for h in ("alice", "bob") for r in busy_host(h)])
    assert pipeline.settle(["alice", "bob"]).success
    before = pipeline.state()
    execute(
        pipeline.source, "DELETE FROM processes WHERE snapshot_time_epoch < :t", t=MIDNIGHT + 43_200
    )
    result = pipeline.settle(["alice", "bob"])
    assert not result.success
    (failure,) = [e.step_failure_data for e in result.all_events if e.is_step_failure]
    description = failure.user_failure_data.description if failure.user_failure_data else ""
    assert "purged" in str(description)
    assert pipeline.state() == before
    execute(pipeline.source, "DELETE FROM processes")
    assert not pipeline.settle(["alice", "bob"]).success
    assert pipeline.state() == before
    load(pipeline.source, [row("carol", 5, 1)], create=None)
    assert not pipeline.settle(["alice", "bob"]).success, "a clock from 1970 changes nothing"
    assert pipeline.state() == before


def test_checks_see_what_was_tampered_with(pipeline: Pipeline) -> None:
    load(pipeline.source, busy_host("alice", end=MIDNIGHT + 3600))
    pipeline.settle(["alice"])

    def failing() -> dict[str, str]:
        result = dg.materialize(
            settled_checks(),
            instance=pipeline.instance,
            resources={
                "source": SourceResource(url=pipeline.source_url, rss_unit="KiB"),
                "lake": LakeResource(base=str(pipeline.lake_path)),
                "redis": RedisResource(url=pipeline.redis_url, retention_days=FOREVER_DAYS),
                "rules": RulesResource(),
            },
            run_config=QUIET,
            raise_on_error=False,
            selection=dg.AssetSelection.all_asset_checks(),
        )
        return {
            check.check_name: str(check.metadata["culprits"].value)
            for check in result.get_asset_check_evaluations()
            if not check.passed
        }

    assert failing() == {}
    key, agree = bucket_iso(MIDNIGHT + 300), "frames_agree_with_documents"
    with pipeline.reader() as reader:
        good = reader.base.client.hget(key, "alice")
        assert isinstance(good, bytes)
        expiry = reader.base.client.expiretime(key)
        assert isinstance(expiry, int)
        for names, problem, bad in (
            ({"documents_sum_up", agree}, "do not sum up", (b'"rss":0.0}', b'"rss":0.5}')),
            (
                {"cpu_seconds_equal_source", agree},
                "mismatch",
                (b'"command":{"cpu_norm":2', b'"command":{"cpu_norm":3'),
            ),
            ({"redis_holds_what_it_should", "cpu_seconds_equal_source", agree}, "missing", None),
        ):
            reader.base.client.hdel(key, "alice")
            if bad is not None:
                assert bad[0] in good
                reader.base.client.hset(key, "alice", good.replace(*bad))
                reader.base.client.expireat(key, expiry)
            found = failing()
            assert names <= set(found)
            assert any(problem in text for text in found.values())
        reader.base.client.hset(key, "alice", good)
        assert "wrong expiry" in failing()["redis_holds_what_it_should"]
        reader.base.client.expireat(key, expiry)
        reader.base.client.hset(bucket_iso(MIDNIGHT + 7200), "alice", good)
        assert "surplus" in failing()["redis_holds_what_it_should"]
        assert "1 buckets differ" in failing()[agree]
        reader.base.client.delete(bucket_iso(MIDNIGHT + 7200))
        frame = reader.keys.frame("alice", MIDNIGHT)
        held: Any = reader.base.client.hgetall(frame)
        reader.base.client.hset(frame, "00:05", "")
        assert "1 buckets differ" in failing()[agree]
        reader.base.client.delete(frame)
        assert "missing in frames" in failing()["redis_holds_what_it_should"]
        reader.base.client.hset(frame, mapping=held)

    load(pipeline.source, [row("alice", MIDNIGHT + 3900, 7, cputimes=9 * 10**5)], create=None)
    assert "inconclusive" in failing()["cpu_seconds_equal_source"]
    execute(pipeline.source, "DELETE FROM processes WHERE cputimes = 900000")
    assert failing() == {}

    frame, note = pipeline.lake.read(AGGREGATES, DAY, "alice")
    frame.loc[0, "cpu_norm"] += 0.01
    pipeline.lake.write(AGGREGATES, DAY, "alice", frame, note)
    assert "core-seconds" in failing()["ledger_balances"]

    rows, raw_note = pipeline.lake.read(RAW_ROWS, DAY, "alice")
    pipeline.lake.write(RAW_ROWS, DAY, "alice", rows.head(5), raw_note)
    assert "lost or counted twice" in failing()["ledger_balances"]
    rows["snapshot_time_epoch"] += 86_400.0
    pipeline.lake.write(RAW_ROWS, DAY, "alice", rows, raw_note)
    assert "another host or time" in failing()["raw_rows_match_schema"]
