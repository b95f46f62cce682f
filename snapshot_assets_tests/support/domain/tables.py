"""A valid table of each schema, ways to break it, and the error that results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.documents import documents
from snapshot_assets.domain.rules import AccountingRules, DocumentRules
from snapshot_assets.domain.schemas import (
    FiveMinuteAggregates,
    RawProcessRows,
    SchemaError,
    SnapshotDocuments,
    validate,
)
from snapshot_assets.domain.usage import usage_from_aggregates
from snapshot_assets_tests.support.domain.process_rows import GB, Row, at, minutes, raw_rows

SUBJECT = "größe/01 on 2026-11-22"
Change = Callable[[pd.DataFrame], pd.DataFrame]


def rows() -> pd.DataFrame:
    """Two processes in two snapshots; the last row's etimes is missing."""
    return raw_rows(
        [
            Row("größe/01", at("12:00"), 7, "ana", "python", 100.0, GB, 60.0),
            Row("größe/01", at("12:00"), 8, "bob", "R", 5.5, 2 * GB, 9000.0),
            Row("größe/01", at("12:05"), 7, "ana", "python", 250.0, GB, 360.0),
            Row("größe/01", at("12:05"), 8, "bob", "R", 5.5, 2 * GB, None),
        ]
    )


def aggregates() -> pd.DataFrame:
    """Two used rows in one bucket of one host, and the one row of an idle host."""
    idle = raw_rows([Row("idle", at("12:00")), Row("idle", at("12:05"))])
    both = pd.concat([rows(), idle], ignore_index=True)
    names = {name: both[name].astype("category") for name in ("host", "username", "comm")}
    return account(both.assign(**names), minutes("12:00", "12:05"), AccountingRules()).aggregates


def docs() -> pd.DataFrame:
    """The documents of both hosts; bob's CPU is too little to be listed."""
    return documents(usage_from_aggregates(aggregates(), DocumentRules(), "settled"))


VALID = {RawProcessRows: rows, FiveMinuteAggregates: aggregates, SnapshotDocuments: docs}


def put(column: str, value: object, *positions: int) -> Change:
    """Replace a column's values at these positions, or all of them, and keep its dtype."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        values = frame[column].copy()
        values.iloc[list(positions) or slice(None)] = value
        return frame.assign(**{column: values})

    return change


def cast(column: str, dtype: Any) -> Change:
    return lambda frame: frame.assign(**{column: frame[column].astype(dtype)})


def without(column: str) -> Change:
    return lambda frame: frame.drop(columns=column)


def scaled(column: str, factor: float) -> Change:
    return lambda frame: put(column, (frame[column] * factor).to_numpy())(frame)


def shifted(amount: str) -> Change:
    step = pd.Timedelta(amount)
    return lambda frame: frame.assign(
        bucket_start=(frame["bucket_start"] + step).astype("datetime64[us, UTC]")
    )


def doubled(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame], ignore_index=True)


def refused(stage: Any, frame: pd.DataFrame) -> SchemaError:
    """The error, after looking at what all of them must say."""
    with pytest.raises(SchemaError) as caught:
        validate(stage, frame, SUBJECT)
    error = caught.value
    assert error.schema == stage.__name__
    assert error.subject == SUBJECT
    assert error.rows == len(frame)
    assert error.violations
    message = str(error)
    assert message.startswith(f"{stage.__name__} of {SUBJECT}: ")
    assert "nothing was written" in message
    for violation in error.violations:
        assert str(violation) in message
    return error
