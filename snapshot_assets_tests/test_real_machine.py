"""A real machine's rows: seven snapshots of a busy two-core server, as ``collect`` wrote them.

Captured while one process kept a core busy throughout and others came and went; names of unrelated
daemons were replaced.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.documents import documents
from snapshot_assets.domain.rules import AccountingRules, DocumentRules
from snapshot_assets.domain.schemas import (
    FiveMinuteAggregates,
    RawProcessRows,
    SnapshotDocuments,
    validate,
)
from snapshot_assets.domain.time import Window
from snapshot_assets.domain.usage import usage_from_aggregates
from snapshot_assets_tests.support.domain.process_rows import Row, raw_rows
from snapshot_assets_tests.support.domain.slow_accounting import slow_account

CAPTURED = Path(__file__).parent / "data" / "real_machine.csv"


@pytest.fixture
def rows() -> pd.DataFrame:
    frame = pd.read_csv(CAPTURED)
    return raw_rows([Row(*values) for values in frame.itertuples(index=False)])


def test_every_row_is_accounted_and_the_machine_was_not_busier_than_it_can_be(
    rows: pd.DataFrame,
) -> None:
    validate(RawProcessRows, rows, "the captured machine")
    times = rows["snapshot_time_epoch"]
    window = Window.around(times.min(), times.max())
    result = account(rows, window, AccountingRules())
    validate(FiveMinuteAggregates, result.aggregates, "the captured machine")
    frame = documents(usage_from_aggregates(result.aggregates, DocumentRules(), "settled"))
    validate(SnapshotDocuments, frame, "the captured machine")
    assert result.ledger.balanced
    assert result.ledger.rows["gap"] == result.ledger.rows["duplicate"] == 0
    first = int((times == times.min()).sum())
    assert result.ledger.rows["first_seen"] == first, "after the first snapshot all are known"
    assert result.ledger.covered_seconds == times.max() - times.min()
    # One core was kept busy, and there are two; clocks of processes tick in hundredths.
    cores = result.ledger.attributed_cpu_seconds / result.ledger.covered_seconds
    assert 0.9 < cores < 2.05


def test_the_slow_and_obvious_accounting_agrees(rows: pd.DataFrame) -> None:
    times = rows["snapshot_time_epoch"]
    window = Window.around(times.min(), times.max())
    fast = account(rows, window, AccountingRules())
    slow = slow_account(rows, window, AccountingRules())
    assert fast.ledger.rows == slow.rows
    assert fast.ledger.attributed_cpu_seconds == pytest.approx(
        float(slow.counts["attributed_cpu_seconds"]), rel=1e-9
    )
