"""A schema rejects a table that breaks its rules, and the message names the cause."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.documents import documents
from snapshot_assets.domain.rules import AccountingRules, DocumentRules
from snapshot_assets.domain.schemas import (
    FiveMinuteAggregates,
    RawProcessRows,
    SnapshotDocuments,
    Violation,
    validate,
)
from snapshot_assets.domain.usage import usage_from_aggregates
from snapshot_assets.errors import OutageError, SnapshotAssetsError
from snapshot_assets_tests.support.domain.process_rows import Row, at, minutes, raw_rows
from snapshot_assets_tests.support.domain.tables import (
    SUBJECT,
    VALID,
    Change,
    aggregates,
    cast,
    docs,
    doubled,
    put,
    refused,
    rows,
    shifted,
    without,
)


@pytest.mark.parametrize("stage", list(VALID))
def test_a_frame_as_promised_passes_and_is_handed_back_unchanged(stage: Any) -> None:
    """The same values come back, and the frame handed in stays what it was."""
    frame = VALID[stage]()
    before = frame.copy(deep=True)
    pd.testing.assert_frame_equal(validate(stage, frame, SUBJECT), before)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("stage", list(VALID))
def test_a_frame_of_zero_rows_passes(stage: Any) -> None:
    """A day without rows is no defect: typed columns are all that is asked."""
    assert validate(stage, VALID[stage]().iloc[:0], SUBJECT).empty


def test_zero_rows_from_nothing_at_all_pass() -> None:
    """Neither a category nor a bucket has ever been seen, and the dtypes still hold."""
    nothing = validate(RawProcessRows, raw_rows([]), SUBJECT)
    result = account(nothing, minutes("12:00", "13:00"), AccountingRules()).aggregates
    validate(FiveMinuteAggregates, result, SUBJECT)
    validate(
        SnapshotDocuments,
        documents(usage_from_aggregates(result, DocumentRules(), "live")),
        SUBJECT,
    )


@pytest.mark.parametrize(
    ("stage", "column"),
    [(stage, column) for stage, build in VALID.items() for column in build().columns],
)
def test_a_missing_column_is_named(stage: Any, column: str) -> None:
    """Every column of every stage is required."""
    error = refused(stage, without(column)(VALID[stage]()))
    assert Violation("", "missing column", 0, (column,)) in error.violations


@pytest.mark.parametrize("stage", list(VALID))
def test_an_unexpected_column_is_named(stage: Any) -> None:
    """args holds secrets: a column that nobody asked for does not slip through."""
    error = refused(stage, VALID[stage]().assign(args="--password=…"))
    assert error.violations == [Violation("", "unexpected column", 0, ("args",))]
    assert "password" not in str(error)


@pytest.mark.parametrize("stage", list(VALID))
def test_columns_out_of_order_are_refused(stage: Any) -> None:
    """Files are compared byte by byte, so order is part of the promise."""
    frame = VALID[stage]()
    error = refused(stage, frame[frame.columns[::-1]])
    assert {violation.check for violation in error.violations} == {"column out of order"}


WRONG_TYPES: list[tuple[Any, str, Any]] = [
    (RawProcessRows, "host", object),
    (RawProcessRows, "username", "str"),
    (RawProcessRows, "comm", "str"),
    (RawProcessRows, "snapshot_time_epoch", np.int64),
    (RawProcessRows, "pid", np.int64),
    (RawProcessRows, "cputimes", np.float32),
    (RawProcessRows, "rss", np.int64),
    (RawProcessRows, "etimes", "Float64"),
    (FiveMinuteAggregates, "bucket_start", "datetime64[ns, UTC]"),
    (FiveMinuteAggregates, "bucket_start", "datetime64[us, Europe/Berlin]"),
    (FiveMinuteAggregates, "host", "str"),
    (FiveMinuteAggregates, "username", object),
    (FiveMinuteAggregates, "comm", object),
    (FiveMinuteAggregates, "cpu_norm", np.float32),
    (FiveMinuteAggregates, "rss_gb", np.float32),
    (FiveMinuteAggregates, "covered_seconds", np.int64),
    (FiveMinuteAggregates, "snapshots", np.float64),
    (SnapshotDocuments, "bucket_start", np.float64),
    (SnapshotDocuments, "cpu_norm", np.float32),
    (SnapshotDocuments, "entries", np.int32),
    (SnapshotDocuments, "coverage", np.float32),
]


@pytest.mark.parametrize(("stage", "column", "dtype"), WRONG_TYPES)
def test_a_wrong_dtype_is_refused_and_never_coerced(stage: Any, column: str, dtype: Any) -> None:
    """Nothing is converted in silence: the error names the column and both types."""
    error = refused(stage, cast(column, dtype)(VALID[stage]()))
    wrong = [violation for violation in error.violations if violation.column == column]
    assert any(violation.check.startswith("dtype(") for violation in wrong)


BAD_VALUES: list[tuple[Any, Change, str, str, int]] = [
    (FiveMinuteAggregates, put("machine_cores", 0.0, 0), "machine_cores", "greater_than(0)", 1),
    (FiveMinuteAggregates, put("machine_gb", np.inf, 0), "machine_gb", "less_than(inf)", 1),
    (
        FiveMinuteAggregates,
        put("machine_cpu_norm", -0.5, 0, 1),
        "machine_cpu_norm",
        "greater_than_or_equal_to(0)",
        2,
    ),
    (FiveMinuteAggregates, put("host", None, 0), "host", "must not be missing", 1),
    (FiveMinuteAggregates, put("bucket_start", None, 0), "bucket_start", "must not be missing", 1),
    (FiveMinuteAggregates, put("cpu_norm", -0.5, 0), "cpu_norm", "greater_than_or_equal_to(0)", 1),
    (FiveMinuteAggregates, put("cpu_norm", np.nan, 0), "cpu_norm", "must not be missing", 1),
    (FiveMinuteAggregates, put("rss_gb", np.inf, 1), "rss_gb", "less_than(inf)", 1),
    (
        FiveMinuteAggregates,
        put("covered_seconds", 0.0),
        "covered_seconds",
        "greater_than(0)",
        3,
    ),
    (
        FiveMinuteAggregates,
        put("covered_seconds", 300.5),
        "covered_seconds",
        "less_than_or_equal_to(300.000001)",
        3,
    ),
    (
        FiveMinuteAggregates,
        put("snapshots", 0, 2),
        "snapshots",
        "greater_than_or_equal_to(1)",
        1,
    ),
    (SnapshotDocuments, put("coverage", 0.0, 1), "coverage", "greater_than(0)", 1),
    (SnapshotDocuments, put("coverage", 1.5, 0), "coverage", "less_than_or_equal_to(1)", 1),
    (SnapshotDocuments, put("cpu_norm", np.nan, 0), "cpu_norm", "must not be missing", 1),
    (SnapshotDocuments, put("rss_gb", -1.0, 0), "rss_gb", "greater_than_or_equal_to(0)", 1),
    (SnapshotDocuments, put("host", None, 1), "host", "must not be missing", 1),
    (SnapshotDocuments, put("entries", -1, 1), "entries", "greater_than_or_equal_to(0)", 1),
]


@pytest.mark.parametrize(("stage", "change", "column", "check", "count"), BAD_VALUES)
def test_a_value_out_of_bounds_is_refused_with_its_column_count_and_row(
    stage: Any, change: Change, column: str, check: str, count: int
) -> None:
    """Bounds that only a wrong unit or a broken source can break."""
    error = refused(stage, change(VALID[stage]()))
    found = [v for v in error.violations if v.column == column and v.check == check]
    assert len(found) == 1, error
    assert found[0].rows == count
    assert len(found[0].sample) == min(count, 3)
    assert all(f"{column}=" in text for text in found[0].sample)
    assert f"{column}: {check} ({count} row{'s' if count > 1 else ''}, e.g. {{" in str(error)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("cputimes", -1.0),
        ("cputimes", np.inf),
        ("rss", np.nan),
        ("etimes", -0.5),
        ("pid", np.nan),
        ("pid", -7.0),
        ("snapshot_time_epoch", np.nan),
        ("host", None),
        ("username", None),
        ("comm", None),
    ],
)
def test_raw_rows_keep_what_no_process_has(column: str, value: object) -> None:
    """The accounting rejects such rows one by one; the schema lets them pass."""
    validate(RawProcessRows, put(column, value, 1)(rows()), SUBJECT)


def test_the_sample_shows_the_rows_that_break_the_rule_and_not_others() -> None:
    """The second of three rows is the culprit, shown with its values as plain numbers."""
    error = refused(FiveMinuteAggregates, put("cpu_norm", -1.0, 1)(aggregates()))
    (sample,) = [violation.sample for violation in error.violations]
    assert len(sample) == 1
    assert "username='bob', comm='R', cpu_norm=-1.0, rss_gb=2.0, covered_seconds=300.0" in sample[0]


def test_many_bad_rows_make_a_short_message() -> None:
    """All of them are counted and three are shown."""
    many = raw_rows([Row(time=at("12:00") + t, pid=p) for p in range(1000) for t in (0, 300)])
    many["comm"] = pd.Categorical([f"c{pid:.0f}" for pid in many["pid"]])
    many["rss"] = 1e9
    table = account(many, minutes("12:00", "12:05"), AccountingRules()).aggregates
    (violation,) = refused(FiveMinuteAggregates, put("cpu_norm", -1.0)(table)).violations
    assert violation.rows == 1000
    assert len(violation.sample) == 3
    assert "(1,000 rows, e.g. " in str(violation)


def test_all_broken_rules_are_reported_at_once() -> None:
    """Nobody wants to run a backfill three times to learn of three defects."""
    frame = put("cpu_norm", -1.0, 0)(put("rss_gb", -1.0, 1)(without("snapshots")(aggregates())))
    checks = {(v.column, v.check) for v in refused(FiveMinuteAggregates, frame).violations}
    assert checks >= {
        ("cpu_norm", "greater_than_or_equal_to(0)"),
        ("rss_gb", "greater_than_or_equal_to(0)"),
        ("", "missing column"),
    }


def second_row_of(**values: object) -> Change:
    """The first row twice, the second time with other values."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        twice = doubled(frame.iloc[:1])
        for column, value in values.items():
            if isinstance(twice[column].dtype, pd.CategoricalDtype):
                twice[column] = twice[column].cat.add_categories([value])
            twice = put(column, value, 1)(twice)
        return twice

    return change


def idle_beside_used(frame: pd.DataFrame) -> pd.DataFrame:
    """The idle host's zero, moved to the host that was used."""
    host = frame["host"].iloc[0]
    return put("host", host, 2)(frame)


RULES_OF_ROWS: list[tuple[Any, Change, str, int]] = [
    (FiveMinuteAggregates, doubled, "uniqueness", 6),
    (FiveMinuteAggregates, shifted("1s"), "bucket_start is a multiple of 300 s", 3),
    (FiveMinuteAggregates, shifted("299s"), "bucket_start is a multiple of 300 s", 3),
    (
        FiveMinuteAggregates,
        second_row_of(comm="other", covered_seconds=100.0),
        "one cover per bucket and host",
        2,
    ),
    (FiveMinuteAggregates, idle_beside_used, "no row without use", 1),
    (
        FiveMinuteAggregates,
        lambda frame: put("rss_gb", 0.0, 0)(put("cpu_norm", 0.0, 0)(frame)),
        "no row without use",
        1,
    ),
    (FiveMinuteAggregates, put("username", None, 0), "no row without use", 1),
    (FiveMinuteAggregates, put("comm", None, 0, 1), "no row without use", 2),
    (FiveMinuteAggregates, put("cpu_norm", 0.5, 2), "no row without use", 1),
    (SnapshotDocuments, doubled, "uniqueness", 4),
    (SnapshotDocuments, put("cpu_norm_other", 0.3, 1), "cpu: listed and other add up", 1),
    (SnapshotDocuments, put("cpu_norm", 99.0, 0), "cpu: listed and other add up", 1),
    (SnapshotDocuments, put("rss_gb_listed", 0.000001, 1), "mem: listed and other add up", 1),
    (
        SnapshotDocuments,
        lambda frame: put("rss_gb_listed", 1.0, 1)(put("rss_gb_other", -1.0, 1)(frame)),
        "mem: listed and other add up",
        1,
    ),
]


@pytest.mark.parametrize(("stage", "change", "check", "count"), RULES_OF_ROWS)
def test_a_broken_rule_between_columns_or_rows_is_refused_and_counts_its_rows(
    stage: Any, change: Change, check: str, count: int
) -> None:
    """Keys, alignment, cover, idle rows, sums: the error counts and shows the rows."""
    frame = change(VALID[stage]())
    error = refused(stage, frame)
    found = [violation for violation in error.violations if check in violation.check]
    assert found, error
    assert max(violation.rows for violation in found) == count
    assert all(violation.sample[0].startswith("{bucket_start=") for violation in found)


@pytest.mark.parametrize(
    ("stage", "change", "check"),
    [
        (FiveMinuteAggregates, shifted("1s"), "bucket_start is a multiple of 300 s"),
        (SnapshotDocuments, doubled, "uniqueness"),
    ],
)
def test_a_broken_rule_of_the_whole_row_is_reported_once(
    stage: Any, change: Change, check: str
) -> None:
    """One rule is one violation, not one for each column that the frame has."""
    (violation,) = refused(stage, change(VALID[stage]())).violations
    assert check in violation.check


def test_a_bucket_that_is_off_by_less_than_a_second_is_refused() -> None:
    """A microsecond makes another key just as a minute does."""
    error = refused(FiveMinuteAggregates, shifted("1us")(aggregates()))
    assert any("multiple of 300 s" in violation.check for violation in error.violations)


@pytest.mark.parametrize("stage", [FiveMinuteAggregates, SnapshotDocuments])
def test_a_frame_with_repeated_index_labels_is_refused_like_any_other(stage: Any) -> None:
    """Two frames put together, label 0 twice: the count is of rows, and no other error gets out."""
    column = "rss_gb"
    frame = put(column, -1, 0)(VALID[stage]())
    stacked = pd.concat([frame, frame])
    found = [v for v in refused(stage, stacked).violations if v.column == column]
    assert max(violation.rows for violation in found) == 2


def test_a_missing_body_is_refused() -> None:
    """A host without a document would look like one that nobody watches."""
    (violation,) = refused(SnapshotDocuments, put("body", None, 1)(docs())).violations
    assert (violation.column, violation.check) == ("body", "must not be missing")
    assert violation.rows == 1


def test_a_body_is_never_part_of_the_message() -> None:
    """A document can be a page long."""
    error = refused(SnapshotDocuments, put("coverage", 2.0, 0)(docs()))
    assert "body" not in str(error)
    assert "settled" not in str(error)


def test_a_stage_error_is_the_operators_to_put_right_and_is_not_retried() -> None:
    """A defect of shape stays one, however often it is tried."""
    error = refused(RawProcessRows, without("rss")(rows()))
    assert isinstance(error, SnapshotAssetsError)
    assert not isinstance(error, OutageError)
    assert error.__cause__ is None
