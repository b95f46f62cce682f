"""Nobody's data is left behind: the present code reads and upgrades what version 0.1 wrote.

The files are version 0.1's own, see ``data/version_0_1/README.md``; here is what they mean. All
days are fixed: readers get a fixed clock, commands a retention that never ends, so the date of the
run does not matter. A test that fails here means that users of 0.1 lose something.
"""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import lzma
import shutil
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from snapshot_assets import RedisReader, RedisWriter
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.schemas import FiveMinuteAggregates, RawProcessRows, validate
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.notes import AGGREGATES, RAW_ROWS, Dataset
from snapshot_assets.orchestration.partitions import dagster_key, host_day_of, known_hosts
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.store.layout import Retention
from snapshot_assets_tests.support.servers import Redis
from snapshot_assets_tests.support.shell import Shell
from snapshot_assets_tests.support.version_0_1 import WRITTEN, dump, load

DAYS = (dt.date(2026, 11, 20), dt.date(2026, 11, 21))
LIVE_DAY = dt.date(2026, 11, 22)
BUSY = ("alice", "web|01")
HOSTS = (*BUSY, "young")
MIDNIGHT = int(dt.datetime(2026, 11, 20, tzinfo=dt.UTC).timestamp())
# When the last command of version 0.1 ran.
NOW = MIDNIGHT + 2 * 86_400 + 2 * 3_600 + 12 * 60
START = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
END = dt.datetime(2026, 11, 22, 23, 59, tzinfo=dt.UTC)
SETTLED_END = dt.datetime(2026, 11, 21, 23, 59, tzinfo=dt.UTC)
FOREVER_DAYS = 36_500
FOREVER = Retention(*[FOREVER_DAYS * 86_400] * 4)
SETTLED_ASSETS = ("raw_process_rows", "five_minute_aggregates", "redis_snapshots")
SCHEMAS = {"raw_process_rows": RawProcessRows, "five_minute_aggregates": FiveMinuteAggregates}
# Bucket's key, and host, to the document's bytes.
Documents = dict[tuple[str, str], bytes]


def written_documents(stage: str | None = None) -> Documents:
    """All that version 0.1 wrote, or those of a stage."""
    return {
        (key.name, host.decode()): body
        for key in dump()
        if key.is_of_documents and key.fields is not None
        for host, body in key.fields.items()
        if stage is None or json.loads(body)["meta"]["stage"] == stage
    }


def documents_of(server: Redis) -> Documents:
    return {
        (key.decode(), host.decode()): body
        for key, (_, fields) in server.contents("2026-*").items()
        for host, body in fields.items()
    }


def epoch(key: str) -> int:
    return int(dt.datetime.fromisoformat(key).timestamp())


def written_frame(measure: str, resolution: str, until: dt.datetime = END) -> pd.DataFrame:
    """What version 0.1's reader answered."""
    packed = (WRITTEN / "frames" / f"{measure}-{resolution}.csv.gz").read_bytes()
    frame = plain(gzip.decompress(packed).decode())
    return frame[frame["start"] <= until].reset_index(drop=True)


def plain(text: str) -> pd.DataFrame:
    """A frame without categories, every number as it was printed."""
    return pd.read_csv(io.StringIO(text), parse_dates=["start"], keep_default_na=False)


def assert_frames_as_written(reader: RedisReader, until: dt.datetime = END) -> None:
    """At each resolution, CPU and memory; columns that were added since are left out."""
    for resolution in ("5min", "hour", "day"):
        for measure in ("cpu", "mem"):
            frame = reader.get_frame(
                None, START, until, measure=measure, by=["username", "comm"], resolution=resolution
            )
            expected = written_frame(measure, resolution, until)
            assert len(expected) > 10
            found = plain(frame[list(expected.columns)].to_csv(index=False))
            pd.testing.assert_frame_equal(found, expected, check_exact=True)


@pytest.fixture
def loaded(redis_server: Redis) -> Redis:
    load(redis_server)
    return redis_server


@pytest.fixture
def reader(redis_server: Redis) -> Iterator[RedisReader]:
    with RedisReader(port=redis_server.port, clock=lambda: NOW) as made:
        yield made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "processes.db"
    path.write_bytes(lzma.decompress((WRITTEN / "processes.db.xz").read_bytes()))
    return path


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(shutil.copytree(WRITTEN / "lake", tmp_path / "lake")))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The Dagster home.

    Should a Dagster of ours refuse it and ask for ``dagster instance migrate``, then do that here,
    and let the notes of the release say so.
    """
    folder = tmp_path / "dagster"
    with tarfile.open(WRITTEN / "dagster.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def shell(redis_server: Redis, source: Path, lake: Lake, home: Path, tmp_path: Path) -> Shell:
    """The commands, with the settings that version 0.1 had, on copies of what it left."""
    made = Shell(
        tmp_path,
        SOURCE_URL=f"sqlite:///{source}",
        REDIS_URL=redis_server.url(),
        LAKE=lake.base,
        EXCLUDE_USERS="root",
        START_DATE="2026-11-19",
        RETENTION_DAYS=str(FOREVER_DAYS),
    )
    made.settings["DAGSTER_HOME"] = str(home)
    return made


# --- Redis -------------------------------------------------------------------------------------


def test_its_documents_are_read(loaded: Redis, reader: RedisReader) -> None:
    written = written_documents()
    stages = {s: len(written_documents(s)) for s in ("settled", "live")}
    # Buckets of the silences are absent: 8 of alice's; 18 and 4 of the other's, and 2 live ones.
    assert stages == {"settled": 4 * 288 - 8 - 18 - 4, "live": 26 + 24 + 8}
    by_bucket: dict[int, dict[str, Any]] = defaultdict(dict)
    for (key, host), body in written.items():
        by_bucket[epoch(key)][host] = json.loads(body)
    assert reader.get_data(None, START, END) == by_bucket
    assert list(reader.get_data(None, START, END)) == sorted(by_bucket)
    for host in HOSTS:
        assert reader.get_data(host, START, END) == {
            bucket: found[host] for bucket, found in by_bucket.items() if host in found
        }


def test_its_documents_say_what_the_rows_were(loaded: Redis, reader: RedisReader) -> None:
    """By hand: two cores of ana's, the silence, the idle time, the excluded account."""
    # Without processes but root's from 06:00 to 08:00 of the second day.
    idle = range(MIDNIGHT + 86_400 + 6 * 3_600 - 300, MIDNIGHT + 86_400 + 8 * 3_600 + 300, 300)
    for host in BUSY:
        for bucket, document in reader.get_data(host, START, END).items():
            cores = {e["comm"]: e["cpu_norm"] for e in document["cpu"]["user"]}
            assert "systemd" not in cores
            if host == "alice" or bucket not in idle:
                assert cores["python"] == pytest.approx(2.0, abs=1e-6)
    alice, web = (set(reader.get_data(host, START, END)) for host in BUSY)
    day = set(range(MIDNIGHT, MIDNIGHT + 86_400, 300))
    # Nobody sampled it from 13:00 to 13:40.
    assert day - alice == {MIDNIGHT + 13 * 3_600 + t for t in range(0, 2_400, 300)}
    assert day - web == set()
    found = reader.get_data("web|01", START, END)
    # The last row before is 9 s into its bucket: 2 cores x 9 s / 300 s.
    (python,) = [e for e in found[idle[0]]["cpu"]["user"] if e["comm"] == "python"]
    assert python["cpu_norm"] == 0.06
    document = found[idle[13]]
    assert document["cpu"]["command"]["cpu_norm"] == document["mem"]["command"]["rss"] == 0
    assert document["meta"] == {"coverage": 1.0, "snapshots": 2, "stage": "settled"}


def test_its_frames_are_read(loaded: Redis, reader: RedisReader) -> None:
    assert reader.hosts(START, END) == list(HOSTS)
    assert_frames_as_written(reader)


def test_its_frames_agree_with_its_documents(loaded: Redis, reader: RedisReader) -> None:
    """Core-seconds and GB-seconds by host, hour and user, added up from the documents' JSON."""
    expected: dict[str, dict[tuple[str, dt.datetime, str], float]] = {
        "cpu": defaultdict(float),
        "mem": defaultdict(float),
    }
    for (key, host), body in written_documents().items():
        document = json.loads(body)
        seconds = 300 * document["meta"]["coverage"]
        hour = dt.datetime.fromisoformat(key).replace(minute=0)
        for measure, value in (("cpu", "cpu_norm"), ("mem", "rss")):
            sums = expected[measure]
            for entry in document[measure]["user"]:
                sums[host, hour, entry["username"]] += entry[value] * seconds
            sums[host, hour, "(other)"] += document[measure]["other"][value] * seconds
    frames = reader.get_frames(None, START, END, by="username", resolution="hour")
    columns = {"cpu": "core_seconds", "mem": "gb_seconds"}
    for measure, frame in frames.items():
        column = columns[measure]
        found = {
            (row["host"], row["start"].to_pydatetime(), row["username"]): row[column]
            for row in frame.to_dict("records")
        }
        # Documents round the coverage to a millionth.
        assert found == pytest.approx(dict(expected[measure]), abs=0.5)


def test_the_live_path_goes_on_from_the_settled_days(
    redis_server: Redis, reader: RedisReader, source: Path
) -> None:
    """Nobody knows with which settings version 0.1 made what is live: all of it is made again."""
    newest = ("2026-11-22T02:00:00+00:00", "2026-11-22T02:05:00+00:00")
    load(redis_server, lambda key: key.name not in newest)
    with redis_server.client() as client:
        for key in client.keys("snapshot_assets:*:5min:2026-11-22"):
            client.hdel(key, "02:00", "02:05")
    with (
        ProcessSource(f"sqlite:///{source}") as table,
        RedisWriter(port=redis_server.port, clock=lambda: NOW, retention=FOREVER) as writer,
    ):
        rules, settled = AccountingRules(excluded_users=("root",)), MIDNIGHT + 2 * 86_400
        report = writer.store_data(table, accounting=rules, settled_until=settled)
        assert report.window.start == settled
        # The next refresh publishes the half hour before the last one again.
        report = writer.store_data(table, accounting=rules, settled_until=settled)
        assert report.window.start == NOW - 1_800 - NOW % 300
    assert report.new_hosts == ()
    assert documents_of(redis_server) == written_documents()
    assert_frames_as_written(reader)


# --- the lake ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", [RAW_ROWS, AGGREGATES], ids=str)
def test_its_lake_is_read(dataset: Dataset[Any], lake: Lake) -> None:
    files = (WRITTEN / "lake" / dataset.name).rglob("*.parquet")
    assert len(list(files)) == len(DAYS) * len(HOSTS)
    assert lake.days(dataset) == list(DAYS)
    for day in DAYS:
        assert [entry.host for entry in lake.entries(dataset, day)] == list(HOSTS)
        for host in HOSTS:
            frame, note = lake.read(dataset, day, host)
            validate(SCHEMAS[dataset.name], frame, host)
            as_written = pd.read_parquet(lake.path(dataset, day, host))
            for column in as_written.columns:
                assert frame[column].astype(object).equals(as_written[column].astype(object))
            if dataset is AGGREGATES:
                used = (frame["cpu_norm"] * frame["covered_seconds"]).sum()
                assert used == pytest.approx(note.ledger.attributed_cpu_seconds)
                assert (used > 0) == (host in BUSY)


def test_its_lake_fills_an_empty_redis(
    shell: Shell, redis_server: Redis, reader: RedisReader
) -> None:
    shell.run("restore")
    assert documents_of(redis_server) == written_documents("settled")
    assert_frames_as_written(reader, SETTLED_END)


def test_restoring_over_its_redis_changes_nothing_that_is_read(
    shell: Shell, loaded: Redis, reader: RedisReader
) -> None:
    """As the sensor does it after an upgrade, if the layout of the frames has changed."""
    shell.run("restore")
    assert documents_of(loaded) == written_documents()
    assert_frames_as_written(reader)


# --- Dagster -----------------------------------------------------------------------------------


def test_its_dagster_home_is_opened(home: Path) -> None:
    """The same partitions are materialized, and each tells the core-seconds of its documents."""
    core_seconds: dict[HostDay, float] = defaultdict(float)
    for (key, host), body in written_documents("settled").items():
        document = json.loads(body)
        seconds = 300 * document["meta"]["coverage"]
        day = dt.datetime.fromisoformat(key).date()
        core_seconds[HostDay(day, host)] += document["cpu"]["command"]["cpu_norm"] * seconds
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert sorted(known_hosts(instance)) == list(HOSTS)
        for asset in SETTLED_ASSETS:
            assert materialized(instance, asset) == {HostDay(d, h) for d in DAYS for h in HOSTS}
        for host_day, seconds in core_seconds.items():
            (made,) = materializations(instance, "redis_snapshots", host_day)
            told = made.metadata["cpu_core_seconds_attributed"].value
            assert told == pytest.approx(seconds, rel=1e-5)
        event = instance.get_latest_materialization_event(dg.AssetKey("live_snapshots"))
        assert event is not None
        assert event.asset_materialization is not None
        until = event.asset_materialization.metadata["live_until_epoch"].value
        assert isinstance(until, float)
        assert NOW - 120 <= until <= NOW


def test_a_day_settled_again_is_the_same(
    shell: Shell, redis_server: Redis, reader: RedisReader, lake: Lake, home: Path
) -> None:
    """The second day's documents and frames are lost; an earlier version made the day."""
    day = str(DAYS[1])
    load(redis_server, lambda key: day not in key.name)
    assert len(documents_of(redis_server)) < len(written_documents())
    before = {file: file.stat().st_mtime_ns for file in Path(lake.base).rglob("*.parquet")}
    told = shell.run("settle", "--changed", "--from", day)
    assert f"{day}: 3 host-days: made by an earlier version" in told
    assert " checks passed" in told
    assert "was made with the settings of now" in shell.run("settle", "--changed", "--from", day)
    assert documents_of(redis_server) == written_documents()
    assert_frames_as_written(reader)
    for dataset in (RAW_ROWS, AGGREGATES):
        for host in BUSY:
            path = Path(lake.path(dataset, DAYS[1], host))
            assert path.stat().st_mtime_ns > before[path], "it was written again"
            found, expected = (
                pd.read_parquet(folder / path.relative_to(lake.base))
                for folder in (Path(lake.base), WRITTEN / "lake")
            )
            if dataset is RAW_ROWS:
                # This version reads a little further around the day, and keeps numbers as floats.
                time, known = found["snapshot_time_epoch"], expected["snapshot_time_epoch"]
                found = found[(time >= known.min()) & (time <= known.max())].reset_index(drop=True)
            expected = expected.astype({n: t for n, t in dataset.columns.items() if n in expected})
            pd.testing.assert_frame_equal(found[list(expected.columns)], expected, check_exact=True)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for asset in SETTLED_ASSETS:
            assert materialized(instance, asset) == {HostDay(d, h) for d in DAYS for h in HOSTS}
            for host in BUSY:
                assert len(materializations(instance, asset, HostDay(DAYS[0], host))) == 1
                assert len(materializations(instance, asset, HostDay(DAYS[1], host))) == 2


def materialized(instance: dg.DagsterInstance, asset: str) -> set[HostDay]:
    keys = instance.get_materialized_partitions(dg.AssetKey(asset))
    return {host_day_of(key) for key in keys}


def materializations(
    instance: dg.DagsterInstance, asset: str, host_day: HostDay
) -> list[dg.AssetMaterialization]:
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=dg.AssetKey(asset), asset_partitions=[dagster_key(host_day)]
        ),
        limit=10,
    ).records
    return [made for record in records if (made := record.asset_materialization)]
