"""Settling a table that is not what it should be: what is said, and what is published anyway."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import pytest

from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.orchestration.partitions import dagster_key
from snapshot_assets_tests.support.field_table import (
    DAY,
    FIELD_TABLE,
    MIDNIGHT,
    busy_host,
    execute,
    load,
)
from snapshot_assets_tests.support.pipelines import Pipeline, metadata, whole

CHECK = "rows_are_read_whole"


def check(result: dg.ExecuteInProcessResult) -> tuple[bool, str, str]:
    """Whether the check passed, its severity, and its culprits as text."""
    (found,) = [e for e in result.get_asset_check_evaluations() if e.check_name == CHECK]
    culprits = found.metadata["culprits"]
    records = culprits.records if isinstance(culprits, dg.TableMetadataValue) else []
    told = "; ".join(f"{r.data['partition']}: {r.data['problem']}" for r in records)
    return found.passed, found.severity.value, told


def test_rows_that_the_local_time_hides_are_an_error(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zones differ by less than a day; a local time that is off by five is found by counting."""
    monkeypatch.setenv("SNAPSHOT_SOURCE_TIMEZONE", "Europe/Berlin")
    rows = [r for host in ("alice", "bob") for r in busy_host(host, end=MIDNIGHT + 3600)]
    for r in rows:
        away = dt.timedelta(hours=9 if r["host"] == "alice" else 0)
        r["snapshot_datetime"] += away
    load(pipeline.source, rows)
    result = pipeline.settle(["alice", "bob"])
    assert result.success
    assert check(result) == (True, "WARN", "")
    kept = metadata(result, "raw_process_rows")
    assert (
        len({kept[dagster_key(HostDay(DAY, h))]["dagster/row_count"] for h in ("alice", "bob")})
        == 1
    )

    execute(
        pipeline.source,
        "UPDATE processes SET snapshot_datetime = '2026-11-27' WHERE host = 'bob' AND pid = 7 "
        "AND snapshot_time_epoch >= :t",
        t=MIDNIGHT,
    )
    passed, severity, told = check(pipeline.settle(["alice"]))
    assert (passed, severity) == (False, "ERROR")
    assert told.startswith("bob from 2026-11-20T00:00:00+00:00: 12 rows have a local time")


def test_rows_without_a_host_are_counted_and_stop_nothing(pipeline: Pipeline) -> None:
    load(pipeline.source, busy_host("alice", end=MIDNIGHT + 3600))
    execute(
        pipeline.source,
        "INSERT INTO processes (pid, username, comm, cputimes, rss, snapshot_time_epoch) "
        "VALUES (1, 'u', 'c', 1, 1, :t)",
        t=MIDNIGHT,
    )
    result = pipeline.settle(["alice"])
    assert result.success
    passed, severity, told = check(result)
    assert (passed, severity) == (False, "WARN")
    assert "1 rows have no host" in told
    with pipeline.reader() as reader:
        assert reader.get_data("alice", *whole(DAY))


def test_a_warning_about_a_column_goes_with_the_host_day(pipeline: Pipeline) -> None:
    create = FIELD_TABLE.replace("etimes INT", "etimes VARCHAR(20)")
    load(pipeline.source, busy_host("alice", end=MIDNIGHT + 7200), create)
    execute(pipeline.source, "UPDATE processes SET etimes = etimes DIV 60")
    execute(
        pipeline.source,
        "UPDATE processes SET etimes = '2-00' WHERE snapshot_time_epoch BETWEEN :t AND :t + 299",
        t=MIDNIGHT + 3000,
    )
    result = pipeline.settle(["alice"])
    assert result.success
    (made,) = (
        event.materialization
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey("raw_process_rows")
    )
    table = made.metadata["remarks"]
    assert isinstance(table, dg.TableMetadataValue)
    first, second = (str(record.data["remark"]) for record in table.records)
    assert "(etimes) holds minutes" in first
    assert second == "etimes of alice: 4 values are no number, '2-00', '2-00', '2-00'"


@pytest.mark.parametrize(
    ("change", "values", "told"),
    [
        (
            "snapshot_time_epoch BIGINT",
            "snapshot_time_epoch = snapshot_time_epoch * 1000",
            "holds milliseconds",
        ),
        ("snapshot_time_epoch FLOAT", "rss = rss", "is a FLOAT"),
        (
            "cputimes VARCHAR(20)",
            "cputimes = SEC_TO_TIME(cputimes)",
            "(cputimes) mostly holds no number, such as '00:",
        ),
    ],
)
def test_a_column_of_which_no_figure_can_be_made_stops_with_one_sentence(
    pipeline: Pipeline, change: str, values: str, told: str
) -> None:
    load(pipeline.source, busy_host("alice", end=MIDNIGHT + 3600))
    execute(pipeline.source, f"ALTER TABLE processes MODIFY {change}")
    if "BIGINT" in change:
        execute(
            pipeline.source, "UPDATE processes SET snapshot_time_epoch = snapshot_time_epoch * 1000"
        )
    if "cputimes" in change:
        execute(pipeline.source, "UPDATE processes SET cputimes = SEC_TO_TIME(cputimes)")
    result = pipeline.settle(["alice"])
    assert not result.success
    (failure,) = [e.step_failure_data for e in result.all_events if e.is_step_failure]
    description = failure.user_failure_data.description if failure.user_failure_data else ""
    assert told in str(description)
    assert "name another column in SNAPSHOT_SOURCE_COLUMNS" in str(description)
