"""What the accounting promises for any rows, by any rules: invariants over generated data."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from snapshot_assets.domain.accounting import Account, account
from snapshot_assets.domain.ledger import Ledger, RowClass
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.schemas import FiveMinuteAggregates, RawProcessRows, validate
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS, Window
from snapshot_assets_tests.support.domain.agreement import disagreements
from snapshot_assets_tests.support.domain.invariants import (
    CLOSE,
    assert_identical,
    assert_same_ledger,
    cut_at,
    examples,
    joined,
    plain,
)
from snapshot_assets_tests.support.domain.process_rows import MIDNIGHT, read_by
from snapshot_assets_tests.support.domain.scenarios import (
    Scenario,
    around,
    rules_strategy,
    scenarios,
)
from snapshot_assets_tests.support.domain.slow_accounting import slow_account


def accounted(
    scenario: Scenario, window: Window | None = None, rules: AccountingRules | None = None
) -> Account:
    """The account of all rows; the scenario's window and rules unless others are given."""
    window, rules = window or scenario.window, rules or scenario.rules
    return account(scenario.rows, window, rules, scenario.machines)


def read_and_accounted(scenario: Scenario, window: Window) -> Account:
    """The account of the window from no more rows than it asks for."""
    machines = scenario.machines
    if machines is not None:
        machines = read_by(machines, window, scenario.rules)
    rows = read_by(scenario.rows, window, scenario.rules)
    return account(rows, window, scenario.rules, machines)


@st.composite
def cuts(draw: st.DrawFn) -> tuple[Scenario, list[Window]]:
    """A scenario, and a window around all of its rows cut at a few bucket borders."""
    scenario = draw(scenarios())
    whole = scenario.whole
    last = (whole.end - whole.start) // BUCKET_SECONDS
    steps = draw(st.lists(st.integers(0, last), min_size=1, max_size=4))
    return scenario, cut_at(whole, [whole.start + step * BUCKET_SECONDS for step in steps])


@given(scenario=scenarios())
@examples(150)
def test_the_fast_and_the_slow_accounting_agree(scenario: Scenario) -> None:
    """Written twice from one contract: the same keys, the same numbers, the same ledger."""
    slow = slow_account(scenario.rows, scenario.window, scenario.rules, scenario.machines)
    assert disagreements(accounted(scenario), slow) == []


@given(scenario=scenarios())
@examples(80)
def test_cpu_is_conserved(scenario: Scenario) -> None:
    """What the buckets show is what was attributed, neither more nor less."""
    result = accounted(scenario)
    frame = result.aggregates
    shown = float((frame["cpu_norm"] * frame["covered_seconds"]).sum())
    assert shown == pytest.approx(result.ledger.attributed_cpu_seconds, rel=CLOSE, abs=1e-12)
    cover = frame.drop_duplicates(["bucket_start", "host"])["covered_seconds"]
    assert cover.sum() == pytest.approx(result.ledger.covered_seconds, rel=CLOSE)
    assert len(cover) == result.ledger.buckets


@given(scenario=scenarios())
@examples(80)
def test_every_row_read_is_in_exactly_one_class(scenario: Scenario) -> None:
    """The classes sum to the rows read, and those of the window to the rows in the window."""
    ledger = accounted(scenario).ledger
    taken = scenario.rows["snapshot_time_epoch"]
    inside = (taken >= scenario.window.start) & (taken < scenario.window.end)
    assert ledger.balanced
    assert ledger.rows_read == len(scenario.rows)
    assert sum(ledger.rows.values()) == len(scenario.rows)
    assert sum(ledger.window_rows.values()) == int(inside.sum())
    assert all(0 <= ledger.window_rows[name] <= ledger.rows[name] for name in ledger.rows)


@given(scenario=scenarios(), seed=st.integers(0, 2**32 - 1))
@examples(80)
def test_the_order_of_the_rows_does_not_matter(scenario: Scenario, seed: int) -> None:
    """Shuffled tables, with shuffled categories, give the identical frame and the same samples."""
    shuffle = random.Random(seed)

    def shuffled(table: pd.DataFrame) -> pd.DataFrame:
        order = list(range(len(table)))
        shuffle.shuffle(order)
        table = table.iloc[order]
        for column in table.columns.intersection(["host", "username", "comm"]):
            categories = list(table[column].cat.categories)
            shuffle.shuffle(categories)
            table = table.assign(**{column: table[column].cat.reorder_categories(categories)})
        return table

    expected = accounted(scenario)
    machines = None if scenario.machines is None else shuffled(scenario.machines)
    result = account(shuffled(scenario.rows), scenario.window, scenario.rules, machines)
    assert_identical(result.aggregates, expected.aggregates)
    assert_same_ledger(result.ledger, expected.ledger)
    assert result.ledger.samples == expected.ledger.samples


@given(cut=cuts())
@examples(80)
def test_a_window_cut_at_bucket_borders_and_joined_is_the_whole(
    cut: tuple[Scenario, list[Window]],
) -> None:
    """Bit for bit, from the same rows; and the parts' ledgers add up to that of the whole."""
    scenario, windows = cut
    whole = accounted(scenario, scenario.whole)
    parts = [accounted(scenario, window) for window in windows]
    assert_identical(joined(parts), plain(whole.aggregates))
    total = Ledger.total(part.ledger for part in parts)
    assert total.window_rows == whole.ledger.window_rows
    for name in ("buckets", "odd_ages", "clock_offsets", "shared_pids", "stamped_snapshots"):
        assert getattr(total, name) == getattr(whole.ledger, name), name
    for name in ("attributed", "excluded", "gap", "implausible", "seen", "machine"):
        field = f"{name}_cpu_seconds"
        expected = pytest.approx(getattr(whole.ledger, field), rel=CLOSE, abs=1e-9)
        assert getattr(total, field) == expected, field


@given(cut=cuts())
@examples(100)
def test_partitions_that_read_only_their_own_range_join_to_the_whole(
    cut: tuple[Scenario, list[Window]],
) -> None:
    """However short the partitions are, each fed no more rows than it asks for."""
    scenario, windows = cut
    whole = accounted(scenario, scenario.whole)
    parts = [read_and_accounted(scenario, window) for window in windows]
    assert_identical(joined(parts), plain(whole.aggregates))


@given(scenario=scenarios())
@examples(60)
def test_days_accounted_alone_join_to_the_whole_range(scenario: Scenario) -> None:
    """Each day from its own rows, in any order: midnight loses nothing, and each row is counted
    by one day."""
    whole = around(scenario.rows)
    first = (whole.start - MIDNIGHT) // DAY_SECONDS
    last = (whole.end - 1 - MIDNIGHT) // DAY_SECONDS
    midnight = dt.datetime.fromtimestamp(MIDNIGHT, dt.UTC)
    days = [
        Window.of_day((midnight + dt.timedelta(days=number)).date())
        for number in range(first, last + 1)
    ]
    window = Window(days[0].start, days[-1].end)
    expected = accounted(scenario, window)
    backwards = [read_and_accounted(scenario, day) for day in reversed(days)]
    parts = backwards[::-1]
    assert_identical(joined(parts), plain(expected.aggregates))
    total = Ledger.total(part.ledger for part in parts)
    time = scenario.rows["snapshot_time_epoch"]
    assert sum(total.window_rows.values()) == int(((time >= 0) & (time < np.inf)).sum())
    for name in ("duplicate", "excluded", "attributed"):
        assert total.window_rows[name] == expected.ledger.rows[name]


@given(scenario=scenarios())
@examples(100)
def test_rows_outside_the_read_range_never_change_the_aggregates(scenario: Scenario) -> None:
    """With all rows or only those of the range: identical use, and the same CPU accounted for."""
    enough = read_and_accounted(scenario, scenario.window)
    more = accounted(scenario)
    assert_identical(more.aggregates, enough.aggregates)
    for name in ("attributed_cpu_seconds", "excluded_cpu_seconds", "covered_seconds"):
        expected = pytest.approx(getattr(enough.ledger, name), rel=CLOSE, abs=1e-12)
        assert getattr(more.ledger, name) == expected
    assert more.ledger.buckets == enough.ledger.buckets


@given(scenario=scenarios())
@examples(60)
def test_hosts_do_not_know_of_one_another(scenario: Scenario) -> None:
    """Each host accounted alone comes to what it comes to among the others, bit for bit."""
    hosts = scenario.rows["host"]
    together = accounted(scenario)
    alone = [
        account(rows, scenario.window, scenario.rules, scenario.machines)
        for host in sorted(hosts.dropna().unique())
        if len(rows := scenario.rows[hosts == host])
    ]
    nameless = scenario.rows[hosts.isna()]
    alone.append(account(nameless, scenario.window, scenario.rules, scenario.machines))
    expected = plain(together.aggregates)
    result = joined([part for part in alone if len(part.aggregates)] or alone[:1])
    result = result.sort_values(["bucket_start", "host"], kind="stable")
    assert_identical(result.reset_index(drop=True), expected)
    assert_same_ledger(Ledger.total(part.ledger for part in alone), together.ledger)


@given(scenario=scenarios())
@examples(60)
def test_what_comes_out_is_what_the_stage_promises(scenario: Scenario) -> None:
    """Valid rows in, valid aggregates out, sorted by their key."""
    validate(RawProcessRows, scenario.rows, "generated rows")
    result = accounted(scenario).aggregates
    validate(FiveMinuteAggregates, result, "generated rows")
    keys = plain(result)[["bucket_start", "host", "username", "comm"]].fillna("")
    ordered = keys.sort_values(list(keys.columns), kind="stable")
    assert_identical(keys, ordered.reset_index(drop=True))
    starts = result["bucket_start"].dt.as_unit("s").astype(np.int64)
    assert starts.between(scenario.window.start, scenario.window.end - BUCKET_SECONDS).all()


@given(scenario=scenarios(rules_strategy.filter(lambda rules: not rules.drop_idle_memory)))
@examples(40)
def test_dropping_idle_memory_changes_memory_only(scenario: Scenario) -> None:
    """The same CPU, the same cover, the same ledger, and nowhere more memory than before."""
    kept = accounted(scenario)
    dropped = accounted(scenario, rules=replace(scenario.rules, drop_idle_memory=True))
    assert dropped.ledger == kept.ledger
    buckets = ["bucket_start", "host"]
    before = plain(kept.aggregates).groupby(buckets)[["cpu_norm", "rss_gb"]].sum()
    after = plain(dropped.aggregates).groupby(buckets)[["cpu_norm", "rss_gb"]].sum()
    assert before.index.equals(after.index)
    assert list(after["cpu_norm"]) == pytest.approx(list(before["cpu_norm"]), rel=CLOSE)
    assert (after["rss_gb"] <= before["rss_gb"] * (1 + CLOSE)).all()


@pytest.mark.parametrize("row_class", list(RowClass))
def test_the_generated_rows_reach_every_class(row_class: RowClass) -> None:
    """The invariants above are worth as much as the data: each class occurs, beside another."""

    def reached(scenario: Scenario) -> bool:
        rows = accounted(scenario).ledger.rows
        return rows[row_class.label] > 1 and sum(count > 0 for count in rows.values()) > 1

    found = find(
        scenarios(),
        reached,
        settings=settings(max_examples=500, deadline=None, phases=[Phase.generate], database=None),
    )
    assert len(found.rows)


@pytest.mark.parametrize(
    "count",
    ["odd_ages", "clock_offsets", "shared_pids", "stamped_snapshots", "implausible_cpu_seconds"],
)
def test_the_generated_rows_are_odd_in_every_way(count: str) -> None:
    """Each number of the ledger that tells of an oddity is more than nothing, for some rows."""
    found = find(
        scenarios(),
        lambda scenario: getattr(accounted(scenario).ledger, count) > 0,
        settings=settings(max_examples=500, deadline=None, phases=[Phase.generate], database=None),
    )
    assert len(found.rows)
