"""The three assets through Dagster, from a table as sites have it to the reader."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

import pytest

from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.ledger import Ledger
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.time import Window
from snapshot_assets.lake.notes import AGGREGATES
from snapshot_assets.orchestration.assets import settled_assets
from snapshot_assets.orchestration.partitions import dagster_key
from snapshot_assets_tests.support.domain.slow_accounting import CLASSES
from snapshot_assets_tests.support.field_table import (
    DAY,
    HOSTILE_HOSTS,
    MIDNIGHT,
    busy_host,
    execute,
    load,
)
from snapshot_assets_tests.support.pipelines import PARTITIONS, Pipeline, metadata, whole


def test_rows_in_the_table_become_documents_that_equal_the_accounting(pipeline: Pipeline) -> None:
    hosts = list(HOSTILE_HOSTS)
    load(pipeline.source, [r for i, h in enumerate(hosts) for r in busy_host(h, seed=i)])
    result = pipeline.settle(hosts)
    assert result.success
    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert len(result.get_asset_check_evaluations()) == 11

    everything = pipeline.source.read_sql(0, 2e9)
    recorded = metadata(result, "five_minute_aggregates")
    for host in hosts:
        rows = everything[everything["host"] == host]
        expected = account(rows, Window.of_day(DAY), AccountingRules())
        found, note = pipeline.lake.read(AGGREGATES, DAY, host)
        assert found["cpu_norm"].tolist() == expected.aggregates["cpu_norm"].tolist()
        ledger = note.ledger
        assert ledger.attributed_cpu_seconds == pytest.approx(
            expected.ledger.attributed_cpu_seconds, rel=1e-12
        )
        mine = recorded[dagster_key(HostDay(DAY, host))]
        assert mine["cpu_core_seconds_attributed"] == ledger.attributed_cpu_seconds
        assert mine["buckets"] == 288
        assert mine["coverage"] == 1.0
        with pipeline.reader() as reader:
            documents = reader.get_data(host, *whole(DAY))
        assert list(documents) == list(Window.of_day(DAY).buckets())
        in_redis = sum(d["cpu"]["command"]["cpu_norm"] * 300 for d in documents.values())
        assert in_redis == pytest.approx(ledger.attributed_cpu_seconds, abs=288 * 300 * 1e-6)
        # The idle process holds 64e6 KiB all day, and the documents list it.
        hog = [e["rss"] for e in documents[MIDNIGHT]["mem"]["user"] if e["username"] == "ben"]
        assert hog == [pytest.approx(64e6 * 1024 / 1e9, abs=1e-6)]


def test_materializing_twice_gives_the_same_bytes(pipeline: Pipeline) -> None:
    rows = list(busy_host("alice", end=MIDNIGHT + 7200))
    load(pipeline.source, rows)
    assert pipeline.settle(["alice"]).success
    first = pipeline.state()
    execute(pipeline.source, "DELETE FROM processes")
    load(pipeline.source, reversed(rows), create=None)
    assert pipeline.settle(["alice"]).success
    assert pipeline.state() == first


def test_a_smaller_second_input_leaves_nothing_stale(pipeline: Pipeline) -> None:
    load(pipeline.source, busy_host("alice", end=MIDNIGHT + 7200))
    load(pipeline.source, busy_host("bob", end=MIDNIGHT + 7200), create=None)
    assert pipeline.settle(["alice", "bob"]).success
    border = MIDNIGHT + 3600
    execute(
        pipeline.source,
        "DELETE FROM processes WHERE host = 'alice' AND snapshot_time_epoch >= :t",
        t=border,
    )
    result = pipeline.settle(["alice"])
    assert result.success
    with pipeline.reader() as reader:
        assert max(reader.get_data("alice", *whole(DAY))) < border
        assert max(reader.get_data("bob", *whole(DAY))) > border
    removed = metadata(result, "redis_snapshots")[dagster_key(HostDay(DAY, "alice"))]
    assert removed["documents_removed"] > 0
    execute(pipeline.source, "DELETE FROM processes WHERE host = 'alice'")
    assert pipeline.settle(["alice"]).success
    with pipeline.reader() as reader:
        assert reader.get_data("alice", *whole(DAY)) == {}


def test_days_settled_apart_equal_one_long_range(pipeline: Pipeline) -> None:
    """No CPU is lost at midnight, whatever the order in which the days are backfilled."""
    days = [DAY - dt.timedelta(days=1), DAY]
    rows = list(busy_host("alice", start=MIDNIGHT - 86_400, end=MIDNIGHT + 86_400))
    load(pipeline.source, rows)
    for day in reversed(days):
        assert pipeline.settle(["alice"], (day, day)).success
    apart = pipeline.state()
    for file in pipeline.lake_path.rglob("*.parquet"):
        file.unlink()
    assert pipeline.settle(["alice"], (days[0], days[1])).success
    assert pipeline.state() == apart
    ledgers = [pipeline.lake.read(AGGREGATES, day, "alice")[1].ledger for day in days]
    raw = pipeline.source.read_sql(0, 2e9)
    whole = account(raw, Window(MIDNIGHT - 86_400, MIDNIGHT + 86_400), AccountingRules()).ledger
    total = Ledger.total(ledgers)
    assert total.attributed_cpu_seconds == pytest.approx(whole.attributed_cpu_seconds, rel=1e-12)
    assert sum(total.window_rows.values()) == len(rows)


def test_later_stages_can_be_made_again_without_the_source(pipeline: Pipeline) -> None:
    load(pipeline.source, busy_host("alice", end=MIDNIGHT + 3600))
    assert pipeline.settle(["alice"]).success
    before = pipeline.state()
    execute(pipeline.source, "DROP TABLE processes")
    with pipeline.reader() as reader:
        reader.base.client.flushall()
    result = pipeline.settle(["alice"], select=["five_minute_aggregates", "redis_snapshots"])
    assert result.success
    assert metadata(result, "raw_process_rows") == {}
    assert pipeline.state() == before


def test_days_past_the_retention_reach_the_lake_and_are_reported(pipeline: Pipeline) -> None:
    load(pipeline.source, busy_host("alice", end=MIDNIGHT + 3600))
    old = DAY - dt.timedelta(days=10)
    shifted = [
        {**r, "snapshot_time_epoch": r["snapshot_time_epoch"] - 10 * 86_400}
        for r in busy_host("alice", end=MIDNIGHT + 3600)
    ]
    load(pipeline.source, shifted, create=None)
    pipeline.retention_days = (time.time() - MIDNIGHT) / 86_400 + 5
    result = pipeline.settle(["alice"], (old, old))
    assert result.success
    recorded = metadata(result, "redis_snapshots")[dagster_key(HostDay(old, "alice"))]
    assert recorded["documents_written"] == 0
    assert recorded["documents_past_retention"] == 12
    assert Path(pipeline.lake.path(AGGREGATES, old, "alice")).exists()
    assert pipeline.settle(["alice"]).success
    with pipeline.reader() as reader:
        assert reader.get_data("alice", *whole(old)) == {}
        assert len(reader.get_data("alice", *whole(DAY))) == 12


def test_metadata_shows_the_ledger_the_schema_and_a_picture(pipeline: Pipeline) -> None:
    load(pipeline.source, busy_host("alice", end=MIDNIGHT + 3600))
    result = pipeline.settle(["alice"])
    recorded = metadata(result, "five_minute_aggregates")[dagster_key(HostDay(DAY, "alice"))]
    assert {record.data["class"] for record in recorded["ledger"].records} == set(CLASSES)
    rows = {record.data["class"]: record.data["rows_read"] for record in recorded["ledger"].records}
    assert sum(rows.values()) == recorded["rows_read"]
    assert recorded["cores"].startswith("![cores by 5 minutes](data:image/svg+xml;base64,")
    assert {"seconds_read", "seconds_account", "seconds_validate", "seconds_write"} <= set(recorded)
    for spec in settled_assets(PARTITIONS)[0].specs:
        assert all(column.description for column in spec.metadata["dagster/column_schema"].columns)
