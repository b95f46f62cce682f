"""Changed settings: the host-days that differ are found, with what differs and what to do again."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snapshot_assets.domain import fingerprint
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.rules import AccountingRules, DocumentRules
from snapshot_assets.domain.time import Window
from snapshot_assets.errors import LakeError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.notes import AGGREGATES, MACHINE_ROWS, RAW_ROWS
from snapshot_assets.pipeline.changed import (
    Changed,
    ChangedDay,
    FirstStep,
    SettingsNow,
    by_day,
    changed,
)
from snapshot_assets.pipeline.publish import publish
from snapshot_assets.pipeline.settle import account_day
from snapshot_assets.source.table import MACHINE_COLUMNS, SourceTable
from snapshot_assets.store.layout import Retention
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets.timing import Timer
from snapshot_assets_tests.support.field_table import DAY, execute
from snapshot_assets_tests.support.settlings import ALICE, DOCUMENTS, NEXT_DAY, RULES, Settling

BOB, LATER = HostDay(DAY, "bob"), HostDay(NEXT_DAY, "alice")
NOW = SettingsNow(SourceTable(rss_unit="KiB"), RULES, DOCUMENTS)
ROWS, FROM_AGGREGATES, FROM_DOCUMENTS = FirstStep


@pytest.fixture
def settled(settling: Settling) -> Settling:
    """Three host-days of two days, settled with the settings of NOW."""
    settling.load("alice", "bob")
    settling.run(ALICE, BOB, LATER)
    return settling


def find(settled: Settling, now: SettingsNow = NOW, **limits: Any) -> list[Changed]:
    with RedisReader(port=settled.redis.port) as reader:
        return list(changed(settled.lake, reader, now, **limits))


def with_rules(**rules: Any) -> SettingsNow:
    return dataclasses.replace(NOW, accounting=dataclasses.replace(RULES, **rules))


def steps(found: list[Changed]) -> dict[HostDay, FirstStep]:
    return {one.host_day: one.first_step for one in found}


def test_nothing_differs_after_settling(settled: Settling) -> None:
    assert find(settled) == []


@pytest.mark.parametrize(
    ("now", "differences", "first_step"),
    [
        (with_rules(max_gap_seconds=600), "max_gap 900 -> 600", FROM_AGGREGATES),
        (with_rules(max_gap_seconds=1200), "max_gap 900 -> 1200", ROWS),
        (with_rules(min_cputimes=10), "min_cputimes 0 -> 10", FROM_AGGREGATES),
        (with_rules(pass_seconds=0), "pass_seconds 5 -> 0", FROM_AGGREGATES),
        (with_rules(pass_seconds=9), "pass_seconds 5 -> 9", ROWS),
        (
            with_rules(excluded_users=("root", "a*")),
            'exclude_users none -> "a*", "root"',
            FROM_AGGREGATES,
        ),
        (with_rules(drop_idle_memory=True), "drop_idle_memory no -> yes", FROM_AGGREGATES),
        (
            dataclasses.replace(NOW, table=SourceTable(rss_unit="bytes")),
            "rss_unit KiB -> bytes",
            ROWS,
        ),
        (
            dataclasses.replace(NOW, table=SourceTable(columns={"rss": "pss"}, rss_unit="KiB")),
            'source_columns none -> "rss=pss"',
            ROWS,
        ),
        (
            dataclasses.replace(NOW, documents=DocumentRules(0.5)),
            "cpu_threshold 0.05 -> 0.5",
            FROM_DOCUMENTS,
        ),
    ],
)
def test_each_setting_that_figures_depend_on_is_told_with_the_first_step(
    settled: Settling, now: SettingsNow, differences: str, first_step: FirstStep
) -> None:
    found = find(settled, now)
    assert {one.differences for one in found} == {(differences,)}
    assert steps(found) == dict.fromkeys((ALICE, BOB, LATER), first_step)
    assert [one.host_day for one in found] == [ALICE, BOB, LATER], "by day and host"


def test_a_capacity_concerns_its_host_alone(settled: Settling) -> None:
    found = find(settled, with_rules(capacity_cores={"bob": 64, "nobody": 8}))
    assert [(one.host_day, one.differences) for one in found] == [
        (BOB, ("capacity_cores none -> 64",))
    ]


def test_where_rows_and_machines_are_is_no_setting_of_the_figures(settled: Settling) -> None:
    moved = SourceTable("elsewhere.rows", {"snapshot_datetime": "t"}, "KiB", machines="kernel")
    assert find(settled, dataclasses.replace(NOW, table=moved)) == []


def test_days_and_hosts_can_be_chosen(settled: Settling) -> None:
    now = with_rules(min_cputimes=10)
    assert list(steps(find(settled, now, first=NEXT_DAY))) == [LATER]
    assert list(steps(find(settled, now, last=DAY, hosts=["bob"]))) == [BOB]
    assert list(steps(find(settled, now, first=DAY, last=DAY))) == [ALICE, BOB]


def test_host_days_that_differ_alike_are_told_together() -> None:
    def one(day: dt.date, host: str, *differences: str) -> Changed:
        return Changed(HostDay(day, host), differences, ROWS)

    found = [one(NEXT_DAY, "a", "x"), one(DAY, "b", "y"), one(DAY, "a", "y"), one(DAY, "c", "x")]
    assert by_day(found) == [
        ChangedDay(DAY, ("x",), ("c",)),
        ChangedDay(DAY, ("y",), ("a", "b")),
        ChangedDay(NEXT_DAY, ("x",), ("a",)),
    ]


def test_settled_again_from_the_first_step_nothing_differs(settled: Settling) -> None:
    now = with_rules(max_gap_seconds=600, excluded_users=("root",))
    for one in find(settled, now):
        assert one.first_step is FROM_AGGREGATES
        account_day(settled.lake, one.host_day, now.accounting, Timer())
    assert steps(find(settled, now)) == dict.fromkeys((ALICE, BOB, LATER), FROM_DOCUMENTS)
    publish(settled.lake, settled.writer, ALICE, now.documents)
    assert list(steps(find(settled, now))) == [BOB, LATER]


def test_a_file_of_an_earlier_version_is_known_to_be_one(settled: Settling) -> None:
    """Its note has no recipe; Redis may have it as it is."""
    aggregates, note = settled.lake.read(AGGREGATES, *BOB)
    old = dataclasses.replace(note, recipe={}, digest="")
    settled.lake.write(AGGREGATES, *BOB, aggregates, old)
    publish(settled.lake, settled.writer, BOB, DOCUMENTS)
    (found,) = find(settled)
    assert (found.host_day, found.differences) == (BOB, ("made by an earlier version",))
    assert found.first_step is FROM_AGGREGATES

    rows, raw = settled.lake.read(RAW_ROWS, *BOB)
    settled.lake.write(RAW_ROWS, *BOB, rows, dataclasses.replace(raw, read_from=None))
    assert steps(find(settled)) == {BOB: ROWS}, "nobody knows how far its rows reach"


def test_another_edition_of_the_accounting_concerns_every_day(
    settled: Settling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "EDITION", 3)
    found = find(settled)
    assert {one.differences for one in found} == {("edition 2 -> 3",)}
    assert len(found) == 3


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"x")])
def test_rows_that_the_lake_lost_are_read_from_the_source(
    settled: Settling, damage: Callable[[Path], Any]
) -> None:
    damage(Path(settled.lake.path(RAW_ROWS, *ALICE)))
    found = steps(find(settled, with_rules(min_cputimes=10)))
    assert found == {ALICE: ROWS, BOB: FROM_AGGREGATES, LATER: FROM_AGGREGATES}


def test_records_that_are_missing_or_of_another_version_are_found(settled: Settling) -> None:
    client, window = settled.writer.base.client, Window.of_day(DAY)
    key = settled.writer.keys.records(window.start)
    client.hdel(key, "alice")
    client.hset(key, "bob", "0.1 cpu_threshold=0.05 mem_threshold=0.1")
    assert [(one.host_day, one.differences, one.first_step) for one in find(settled)] == [
        (ALICE, ("Redis has no record of it",), FROM_DOCUMENTS),
        (BOB, ("Redis holds another version than the lake",), FROM_DOCUMENTS),
    ]


def test_nothing_is_expected_in_redis_past_its_retention(settled: Settling) -> None:
    settled.writer.base.client.flushall()
    ends, kept = Window.of_day(DAY).end, Retention.of_days(1, 1, 1, 1)
    now = ends + kept.longest
    with RedisReader(port=settled.redis.port, clock=lambda: now, retention=kept) as reader:
        assert list(steps(list(changed(settled.lake, reader, NOW)))) == [LATER]
        differing = list(changed(settled.lake, reader, with_rules(min_cputimes=10)))
    assert len(differing) == 3, "the lake is kept for good"


def test_a_file_whose_record_is_current_is_not_opened(
    settled: Settling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cost follows the host-days that differ."""
    opened: list[str] = []
    entry = Lake._entry

    def counted(lake: Lake, dataset: Any, path: str) -> Any:
        opened.append(path)
        return entry(lake, dataset, path)

    monkeypatch.setattr(Lake, "_entry", counted)
    assert find(settled) == []
    assert opened == []
    assert len(find(settled, with_rules(capacity_cores={"bob": 64}))) == 1
    assert set(opened) == {settled.lake.path(d, *BOB) for d in (AGGREGATES, RAW_ROWS)}


def test_a_damaged_file_is_reported_and_the_others_are_compared(settled: Settling) -> None:
    now = with_rules(min_cputimes=10)
    Path(settled.lake.path(AGGREGATES, *BOB)).write_bytes(b"x")
    damaged: list[LakeError] = []
    assert list(steps(find(settled, now, on_damage=damaged.append))) == [ALICE, LATER]
    assert len(damaged) == 1


def test_rows_that_reach_less_far_than_the_rules_are_not_accounted(settled: Settling) -> None:
    """With missing rows at the margins, the figures would be wrong in silence."""
    wider = AccountingRules(max_gap_seconds=1200)
    with pytest.raises(LakeError, match="smaller SNAPSHOT_MAX_GAP or"):
        account_day(settled.lake, ALICE, wider, Timer())


def test_machines_say_how_they_were_read_too(settling: Settling) -> None:
    columns = ", ".join(f"{name} REAL" for name in MACHINE_COLUMNS[1:])
    execute(settling.source, f"CREATE TABLE machines (host TEXT, {columns})")
    values = f"'alice', {ALICE.window.start}, 4, 1, 1, 1, 1"
    execute(settling.source, f"INSERT INTO machines VALUES ({values})")
    settling.load("alice")
    settling.run(ALICE)
    notes = [settling.lake.read(dataset, *ALICE)[1] for dataset in (RAW_ROWS, MACHINE_ROWS)]
    assert [note.recipe for note in notes] == [NOW.reading_recipe()] * 2
    assert [note.reaches(*RULES.read_range(ALICE.window)) for note in notes] == [True, True]
