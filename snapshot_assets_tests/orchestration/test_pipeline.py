"""The three assets through Dagster, from a table as sites have it to the reader."""

from __future__ import annotations

import dataclasses
import datetime as dt
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from snapshot_assets.definitions import build_defs
from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.ledger import Ledger
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.time import Window, bucket_iso
from snapshot_assets.orchestration.assets import settled_assets
from snapshot_assets.orchestration.checks import settled_checks
from snapshot_assets.orchestration.partitions import (
    HostDay,
    add_hosts,
    batches,
    host_day_partitions,
    host_days,
    known_hosts,
)
from snapshot_assets.orchestration.resources import (
    LakeResource,
    RedisResource,
    RulesResource,
    SourceResource,
)
from snapshot_assets.store.keys import Retention
from snapshot_assets.store.lake import Lake
from snapshot_assets.store.redis_reader import RedisReader
from snapshot_assets.store.source import ProcessSource, SourceTable
from snapshot_assets_tests.field import (
    DAY,
    HOSTILE_HOSTS,
    MIDNIGHT,
    busy_host,
    execute,
    load,
    row,
)
from snapshot_assets_tests.servers import MariaDB, Redis

PARTITIONS = host_day_partitions(dt.date(2026, 11, 1))
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
# Long enough for the fixed days of these tests, whenever they run.
FOREVER_DAYS = 36_500.0


class Pipeline:
    """The assets on a source, a lake and a Redis, materialized in process."""

    def __init__(self, source_url: str, redis: Redis, lake: Path, instance: dg.DagsterInstance):
        self.source_url, self.redis, self.lake_path = source_url, redis, lake
        self.redis_url = redis.url()
        self.instance = instance
        self.retention_days = FOREVER_DAYS

    @property
    def source(self) -> ProcessSource:
        return ProcessSource(self.source_url, SourceTable(rss_unit="KiB"))

    @property
    def lake(self) -> Lake:
        return Lake(str(self.lake_path))

    def reader(self) -> RedisReader:
        return RedisReader(
            url=self.redis_url, retention=Retention(*[int(FOREVER_DAYS * 86_400)] * 4)
        )

    def settle(
        self,
        hosts: Sequence[str],
        days: tuple[dt.date, dt.date] = (DAY, DAY),
        select: Sequence[str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        add_hosts(self.instance, hosts)
        ordered = [host for host in known_hosts(self.instance) if host in hosts]
        return dg.materialize(
            [*settled_assets(PARTITIONS), *settled_checks()],
            instance=self.instance,
            resources={
                "source": SourceResource(url=self.source_url, rss_unit="KiB"),
                "lake": LakeResource(base=str(self.lake_path)),
                "redis": RedisResource(url=self.redis_url, retention_days=self.retention_days),
                "rules": RulesResource(),
            },
            tags={
                "dagster/asset_partition_range_start": HostDay(days[0], ordered[0]).key,
                "dagster/asset_partition_range_end": HostDay(days[1], ordered[-1]).key,
            },
            run_config=QUIET,
            raise_on_error=False,
            selection=dg.AssetSelection.assets(*select).without_checks() if select else None,
        )

    def state(self) -> tuple[dict[str, bytes], dict[Any, Any]]:
        """Every byte of the lake and of Redis."""
        files = {
            str(path.relative_to(self.lake_path)): path.read_bytes()
            for path in sorted(self.lake_path.rglob("*.parquet"))
        }
        return files, self.redis.contents()


@pytest.fixture
def pipeline(mariadb: MariaDB, redis_server: Redis, tmp_path: Path) -> Iterator[Pipeline]:
    home = tmp_path / "instance"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        yield Pipeline(mariadb.url(), redis_server, tmp_path / "lake", instance)


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, dict[str, Any]]:
    """Partition to the metadata that was told of it."""
    return {
        str(event.materialization.partition): {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
        if event.materialization.asset_key == dg.AssetKey(asset)
    }


def test_rows_in_the_table_become_documents_that_equal_the_accounting(pipeline: Pipeline) -> None:
    hosts = list(HOSTILE_HOSTS)
    load(pipeline.source, [r for i, h in enumerate(hosts) for r in busy_host(h, seed=i)])
    result = pipeline.settle(hosts)
    assert result.success
    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert len(result.get_asset_check_evaluations()) == 6

    everything = pipeline.source.read_sql(0, 2e9)
    told = metadata(result, "five_minute_aggregates")
    for host in hosts:
        rows = everything[everything["host"] == host]
        expected = account(rows, Window.of_day(DAY), AccountingRules())
        found, note = pipeline.lake.read("five_minute_aggregates", DAY, host)
        assert found["cpu_norm"].tolist() == expected.aggregates["cpu_norm"].tolist()
        ledger = Ledger.from_dict(note["ledger"])
        assert ledger.attributed_cpu_seconds == pytest.approx(
            expected.ledger.attributed_cpu_seconds, rel=1e-12
        )
        mine = told[HostDay(DAY, host).key]
        assert mine["cpu_core_seconds_attributed"] == ledger.attributed_cpu_seconds
        assert mine["buckets"] == 288
        assert mine["coverage"] == 1.0
        with pipeline.reader() as reader:
            documents = reader.get_data(host, *_day(DAY))
        assert list(documents) == list(Window.of_day(DAY).buckets())
        in_redis = sum(d["cpu"]["command"]["cpu_norm"] * 300 for d in documents.values())
        assert in_redis == pytest.approx(ledger.attributed_cpu_seconds, abs=288 * 300 * 1e-6)
        # The idle hog holds 64e6 KiB all day, and stays visible.
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
        assert max(reader.get_data("alice", *_day(DAY))) < border
        assert max(reader.get_data("bob", *_day(DAY))) > border
    removed = metadata(result, "redis_snapshots")[HostDay(DAY, "alice").key]
    assert removed["documents_removed"] > 0
    execute(pipeline.source, "DELETE FROM processes WHERE host = 'alice'")
    assert pipeline.settle(["alice"]).success
    with pipeline.reader() as reader:
        assert reader.get_data("alice", *_day(DAY)) == {}


def test_days_settled_apart_equal_one_long_range(pipeline: Pipeline) -> None:
    """Midnight loses nothing, whatever the order in which the days are backfilled."""
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
    ledgers = [
        Ledger.from_dict(pipeline.lake.read("five_minute_aggregates", day, "alice")[1]["ledger"])
        for day in days
    ]
    raw = pipeline.source.read_sql(0, 2e9)
    whole = account(raw, Window(MIDNIGHT - 86_400, MIDNIGHT + 86_400), AccountingRules()).ledger
    total = Ledger.total(ledgers)
    assert total.attributed_cpu_seconds == pytest.approx(whole.attributed_cpu_seconds, rel=1e-12)
    assert sum(total.window_rows.values()) == len(rows)


def test_one_bad_host_day_fails_visibly_and_the_others_are_done(pipeline: Pipeline) -> None:
    hosts = ("alice", "bob", "carol")
    load(pipeline.source, [r for host in hosts for r in busy_host(host, end=MIDNIGHT + 3600)])
    execute(pipeline.source, "UPDATE processes SET cputimes = -5 WHERE host = 'bob' AND pid = 7")
    result = pipeline.settle(["alice", "bob", "carol"])
    assert not result.success
    (failure,) = [e.step_failure_data for e in result.all_events if e.is_step_failure]
    told = failure.user_failure_data.description if failure.user_failure_data else ""
    assert told
    for part in ("1 of 3 partitions", "bob on 2026-11-20", "cputimes", "RawProcessRows", "pid=7"):
        assert part in told
    for asset in ("raw_process_rows", "five_minute_aggregates", "redis_snapshots"):
        done = pipeline.instance.get_materialized_partitions(dg.AssetKey(asset))
        assert done == {HostDay(DAY, "alice").key, HostDay(DAY, "carol").key}
    with pipeline.reader() as reader:
        assert reader.get_data("carol", *_day(DAY)), "the good ones go all the way"
        assert not reader.get_data("bob", *_day(DAY))
    assert not Path(pipeline.lake.path("raw_process_rows", DAY, "bob")).exists()
    assert not any(e.event_type_value == "STEP_UP_FOR_RETRY" for e in result.all_events)


def test_later_stages_can_be_made_again_without_the_source(pipeline: Pipeline) -> None:
    load(pipeline.source, busy_host("alice", end=MIDNIGHT + 3600))
    assert pipeline.settle(["alice"]).success
    before = pipeline.state()
    execute(pipeline.source, "DROP TABLE processes")
    with pipeline.reader() as reader:
        reader.client.flushall()
    result = pipeline.settle(["alice"], select=["five_minute_aggregates", "redis_snapshots"])
    assert result.success
    assert metadata(result, "raw_process_rows") == {}
    assert pipeline.state() == before


def test_a_ledger_that_does_not_balance_stops_the_host_day(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(pipeline.source, [r for h in ("alice", "bob") for r in busy_host(h, end=MIDNIGHT + 3600)])

    def lossy(rows: Any, window: Window, rules: AccountingRules) -> Any:
        whole = account(rows, window, rules)
        if "bob" not in set(rows["host"]):
            return whole
        return dataclasses.replace(whole, aggregates=whole.aggregates.iloc[1:])

    monkeypatch.setattr("snapshot_assets.orchestration.assets.account", lossy)
    result = pipeline.settle(["alice", "bob"])
    (failure,) = [e.step_failure_data for e in result.all_events if e.is_step_failure]
    assert "bob on 2026-11-20: core-seconds" in str(failure.user_failure_data)
    with pipeline.reader() as reader:
        assert reader.get_data("alice", *_day(DAY))
        assert not reader.get_data("bob", *_day(DAY))


def test_a_missing_value_blames_its_own_host_only(pipeline: Pipeline) -> None:
    load(pipeline.source, busy_host("alice", end=MIDNIGHT + 3600))
    load(pipeline.source, [row("bob", MIDNIGHT, 1, rss=None)], create=None)
    result = pipeline.settle(["alice", "bob"])
    done = pipeline.instance.get_materialized_partitions(dg.AssetKey("raw_process_rows"))
    assert not result.success
    assert done == {HostDay(DAY, "alice").key}


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
    told = metadata(result, "redis_snapshots")[HostDay(old, "alice").key]
    assert told["documents_written"] == 0
    assert told["documents_past_retention"] == 12
    assert Path(pipeline.lake.path("five_minute_aggregates", old, "alice")).exists()
    assert pipeline.settle(["alice"]).success
    with pipeline.reader() as reader:
        assert reader.get_data("alice", *_day(old)) == {}
        assert len(reader.get_data("alice", *_day(DAY))) == 12


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
    key = bucket_iso(MIDNIGHT + 300)
    with pipeline.reader() as reader:
        good = reader.client.hget(key, "alice")
        assert isinstance(good, bytes)
        expiry = reader.client.expiretime(key)
        assert isinstance(expiry, int)
        for names, problem, bad in (
            ({"documents_sum_up"}, "do not sum up", (b'"rss":0.0}', b'"rss":0.5}')),
            (
                {"cpu_seconds_equal_source"},
                "mismatch",
                (b'"command":{"cpu_norm":2', b'"command":{"cpu_norm":3'),
            ),
            ({"redis_holds_what_it_should", "cpu_seconds_equal_source"}, "missing", None),
        ):
            reader.client.hdel(key, "alice")
            if bad is not None:
                assert bad[0] in good
                reader.client.hset(key, "alice", good.replace(*bad))
                reader.client.expireat(key, expiry)
            found = failing()
            assert names <= set(found)
            assert any(problem in told for told in found.values())
        reader.client.hset(key, "alice", good)
        assert "wrong expiry" in failing()["redis_holds_what_it_should"]
        reader.client.expireat(key, expiry)
        reader.client.hset(bucket_iso(MIDNIGHT + 7200), "alice", good)
        assert "surplus" in failing()["redis_holds_what_it_should"]
        reader.client.delete(bucket_iso(MIDNIGHT + 7200))

    load(pipeline.source, [row("alice", MIDNIGHT + 3900, 7, cputimes=9 * 10**5)], create=None)
    assert "inconclusive" in failing()["cpu_seconds_equal_source"]
    execute(pipeline.source, "DELETE FROM processes WHERE cputimes = 900000")
    assert failing() == {}

    frame, note = pipeline.lake.read("five_minute_aggregates", DAY, "alice")
    frame.loc[0, "cpu_norm"] += 0.01
    pipeline.lake.write("five_minute_aggregates", DAY, "alice", frame, note)
    assert "core-seconds" in failing()["ledger_balances"]

    rows, raw_note = pipeline.lake.read("raw_process_rows", DAY, "alice")
    pipeline.lake.write("raw_process_rows", DAY, "alice", rows.head(5), raw_note)
    assert "lost or counted twice" in failing()["ledger_balances"]
    rows["snapshot_time_epoch"] += 86_400.0
    pipeline.lake.write("raw_process_rows", DAY, "alice", rows, raw_note)
    assert "another host or time" in failing()["raw_rows_match_schema"]


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
    told = failure.user_failure_data.description if failure.user_failure_data else ""
    assert "purged" in str(told)
    assert pipeline.state() == before
    execute(pipeline.source, "DELETE FROM processes")
    assert not pipeline.settle(["alice", "bob"]).success
    assert pipeline.state() == before
    load(pipeline.source, [row("carol", 5, 1)], create=None)
    assert not pipeline.settle(["alice", "bob"]).success, "a clock from 1970 changes nothing"
    assert pipeline.state() == before


def test_metadata_shows_the_ledger_the_schema_and_a_picture(pipeline: Pipeline) -> None:
    load(pipeline.source, busy_host("alice", end=MIDNIGHT + 3600))
    result = pipeline.settle(["alice"])
    told = metadata(result, "five_minute_aggregates")[HostDay(DAY, "alice").key]
    assert {record.data["class"] for record in told["ledger"].records} == {
        "attributed",
        "gap",
        "first_seen",
        "duplicate",
        "excluded",
    }
    rows = {record.data["class"]: record.data["rows_read"] for record in told["ledger"].records}
    assert sum(rows.values()) == told["rows_read"]
    assert told["cores"].startswith("![cores by 5 minutes](data:image/svg+xml;base64,")
    assert {"seconds_read", "seconds_account", "seconds_validate", "seconds_write"} <= set(told)
    for spec in settled_assets(PARTITIONS)[0].specs:
        assert all(column.description for column in spec.metadata["dagster/column_schema"].columns)


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
        assert host_days([host_day.key]) == [host_day]
        assert str(host_day.key).count("|") == 1


def test_batches_hold_hosts_of_one_day() -> None:
    other = DAY + dt.timedelta(days=1)
    partitions = [HostDay(day, f"h{i}") for i in range(5) for day in (DAY, other)]
    found = list(batches(partitions, 2))
    sizes = [(day, len(hosts)) for day, hosts in found]
    assert sizes == [(day, size) for day in (DAY, other) for size in (2, 2, 1)]
    assert sorted(HostDay(day, host) for day, hosts in found for host in hosts) == sorted(
        partitions
    )


def _day(day: dt.date) -> tuple[dt.datetime, dt.datetime]:
    start = dt.datetime.combine(day, dt.time(), dt.UTC)
    return start, start + dt.timedelta(days=1, seconds=-1)
