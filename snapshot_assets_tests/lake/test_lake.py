"""The lake: whole files, any host name, the same bytes for the same frame."""

from __future__ import annotations

import datetime as dt
import itertools
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.hosts import file_name, host_of_partition_key, partition_key
from snapshot_assets.domain.ledger import Ledger
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.schemas import FiveMinuteAggregates, validate
from snapshot_assets.domain.time import Window
from snapshot_assets.errors import LakeError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.notes import AGGREGATES, AggregatesNote
from snapshot_assets_tests.support.domain.process_rows import Row, raw_rows

DAY = dt.date(2026, 11, 22)
HOSTS = ("a", "A", "..", ".", "a/b", "a|b", "", "%", "%2F", "é" * 90, "é" * 91, "~", "x y", "CON")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def note_of(rows: int, newest: float | None = None) -> AggregatesNote:
    return AggregatesNote(Ledger(rows_read=rows), "5", rows, newest)


def aggregates(count: int = 3) -> pd.DataFrame:
    start = Window.of_day(DAY).start
    rows = raw_rows([Row(time=start + i * 300, cputimes=i * 60, rss=10**9) for i in range(count)])
    return account(rows, Window.of_day(DAY), AccountingRules()).aggregates


def test_each_host_has_a_file_of_its_own_inside_the_lake(lake: Lake, tmp_path: Path) -> None:
    frame = aggregates()
    for i, host in enumerate(HOSTS):
        lake.write(AGGREGATES, DAY, host, frame, note_of(i))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    folder = tmp_path / "lake" / "five_minute_aggregates" / f"day={DAY}"
    assert {path.parent for path in files} == {folder}
    assert len({path.name.casefold() for path in files}) == len(HOSTS), "safe on macOS as well"
    assert {entry.host: entry.note.raw_rows for entry in lake.entries(AGGREGATES, DAY)} == {
        host: i for i, host in enumerate(HOSTS)
    }
    for i, host in enumerate(HOSTS):
        found, note = lake.read(AGGREGATES, DAY, host)
        assert note == note_of(i)
        pd.testing.assert_frame_equal(found, frame, check_exact=True)


@given(st.lists(st.text(max_size=40), min_size=2, max_size=2, unique=True))
def test_different_hosts_never_share_a_key_or_a_file(hosts: list[str]) -> None:
    hosts = [h.encode("utf-8", "replace").decode() for h in hosts]
    if hosts[0] == hosts[1]:
        return
    for name in (file_name, partition_key):
        assert name(hosts[0]) != name(hosts[1])
    for host in hosts:
        key = partition_key(host)
        assert host_of_partition_key(key) == host
        assert "|" not in key
        assert "..." not in key
        assert file_name(host) not in ("", ".", "..")
        assert "/" not in file_name(host)


def test_the_same_frame_gives_the_same_bytes(lake: Lake) -> None:
    for frame in (aggregates(), aggregates(0)):
        lake.write(AGGREGATES, DAY, "a", frame, note_of(7, 1.5))
        first = Path(lake.path(AGGREGATES, DAY, "a")).read_bytes()
        lake.write(AGGREGATES, DAY, "a", frame.copy(), note_of(7, 1.5))
        assert Path(lake.path(AGGREGATES, DAY, "a")).read_bytes() == first
        found, _ = lake.read(AGGREGATES, DAY, "a")
        validate(FiveMinuteAggregates, found, "test")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.write(AGGREGATES, DAY, "a", aggregates(3), note_of(1))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(LakeError, match="No space left"):
        lake.write(AGGREGATES, DAY, "a", aggregates(9), note_of(1))
    found, _ = lake.read(AGGREGATES, DAY, "a")
    assert len(found) == len(aggregates(3))
    folder = Path(lake.path(AGGREGATES, DAY, "a")).parent
    assert [path.name for path in folder.iterdir()] == ["host=a.parquet"]


def test_what_is_missing_or_damaged_is_named(lake: Lake) -> None:
    with pytest.raises(LakeError, match=r"five_minute_aggregates of 'a' on 2026-11-22 is not in"):
        lake.read(AGGREGATES, DAY, "a")
    lake.write(AGGREGATES, DAY, "a", aggregates(), note_of(1))
    path = Path(lake.path(AGGREGATES, DAY, "a"))
    whole = path.read_bytes()
    for damage in (b"", whole[:100], whole[:-20], b"PAR1" + whole[4:-8] + b"\0" * 8):
        path.write_bytes(damage)
        with pytest.raises(LakeError, match="damaged"):
            lake.read(AGGREGATES, DAY, "a")


def test_other_file_systems_serve_as_well() -> None:
    lake = Lake("memory://lake")
    for frame, day in itertools.product((aggregates(2), aggregates(5)), (DAY,)):
        lake.write(AGGREGATES, day, "a/b", frame, note_of(1))
        found, _ = lake.read(AGGREGATES, day, "a/b")
        pd.testing.assert_frame_equal(found, frame, check_exact=True)


def test_an_unknown_file_system_names_the_setting() -> None:
    with pytest.raises(LakeError, match="SNAPSHOT_LAKE 'nope://x'"):
        Lake("nope://x")
