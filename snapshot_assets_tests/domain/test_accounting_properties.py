"""What the accounting promises for any rows, by any rules: invariants over generated data."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import math
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from snapshot_assets.domain.accounting import Account, account
from snapshot_assets.domain.ledger import Ledger, RowClass
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.schemas import FiveMinuteAggregates, RawProcessRows, validate
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS, Window
from snapshot_assets_tests.support.domain.process_rows import (
    MIDNIGHT,
    Scenario,
    around,
    read_by,
    rules_strategy,
    scenarios,
)
from snapshot_assets_tests.support.domain.slow_accounting import slow_account

CLOSE = 1e-9


def examples(count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """So many examples, without a deadline: other work on the machine is no failure."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        return settings(
            max_examples=count,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )(_shrink_for(20, test))

    return decorate


def _shrink_for(seconds: float, test: Callable[..., None]) -> Callable[..., None]:
    """Stop looking for a smaller failing example after a while.

    Hypothesis would go on for 300 s, and the runner's time limit would end the test before it can
    say what failed. Once the time is over only examples known to fail still do.
    """
    known: set[str] = set()
    stop = math.inf

    @functools.wraps(test)
    def wrapper(**arguments: Any) -> None:
        nonlocal stop
        if time.monotonic() > stop and repr(arguments) not in known:
            return
        try:
            test(**arguments)
        except Exception:
            known.add(repr(arguments))
            stop = min(stop, time.monotonic() + seconds)
            raise

    return wrapper


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The same values with names as objects, since parts of a whole have fewer categories."""
    names = {column: frame[column].astype(object) for column in ("host", "username", "comm")}
    return frame.assign(**names).reset_index(drop=True)


def joined(parts: list[Account]) -> pd.DataFrame:
    """The parts' aggregates one after the other."""
    return pd.concat([plain(part.aggregates) for part in parts], ignore_index=True)


def assert_identical(left: pd.DataFrame, right: pd.DataFrame) -> None:
    """Bit for bit: values, types, order and index."""
    pd.testing.assert_frame_equal(left, right, check_exact=True)


def assert_same_ledger(left: Ledger, right: Ledger) -> None:
    """Counts are equal, sums of floats are equal to rounding."""
    ours, theirs = left.as_dict(), right.as_dict()
    floats = [name for name in ours if name.endswith("_seconds")]
    assert len(floats) == 4
    for name in floats:
        assert ours.pop(name) == pytest.approx(theirs.pop(name), rel=CLOSE, abs=1e-9), name
    assert ours == theirs


def cut_at(window: Window, borders: list[int]) -> list[Window]:
    """The window in consecutive parts, cut where asked."""
    inside = sorted({border for border in borders if window.start < border < window.end})
    edges = [window.start, *inside, window.end]
    return [Window(start, end) for start, end in itertools.pairwise(edges)]


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
    fast = account(scenario.rows, scenario.window, scenario.rules)
    slow = slow_account(scenario.rows, scenario.window, scenario.rules)

    found = {}
    for row in plain(fast.aggregates).itertuples(index=False):
        names = (None if pd.isna(name) else name for name in (row.username, row.comm))
        key = (int(row.bucket_start.timestamp()), row.host, *names)
        found[key] = [row.cpu_norm, row.rss_gb, row.covered_seconds, row.snapshots]
    expected = {
        key: [float(use.cpu_norm), float(use.rss_gb), float(use.covered_seconds), use.snapshots]
        for key, use in slow.aggregates.items()
    }
    assert len(found) == len(fast.aggregates)
    assert found.keys() == expected.keys()
    for key, numbers in found.items():
        assert numbers == pytest.approx(expected[key], rel=CLOSE, abs=0), key
    assert_same_ledger(fast.ledger, slow.ledger)


@given(scenario=scenarios())
@examples(80)
def test_cpu_is_conserved(scenario: Scenario) -> None:
    """What the buckets show is what was attributed, neither more nor less."""
    result = account(scenario.rows, scenario.window, scenario.rules)
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
    ledger = account(scenario.rows, scenario.window, scenario.rules).ledger
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
    """Shuffled rows, with shuffled categories, give the identical frame."""
    shuffle = random.Random(seed)
    order = list(range(len(scenario.rows)))
    shuffle.shuffle(order)
    shuffled = scenario.rows.iloc[order]
    for column in ("host", "username", "comm"):
        categories = list(shuffled[column].cat.categories)
        shuffle.shuffle(categories)
        shuffled = shuffled.assign(**{column: shuffled[column].cat.reorder_categories(categories)})
    expected = account(scenario.rows, scenario.window, scenario.rules)
    result = account(shuffled, scenario.window, scenario.rules)
    assert_identical(result.aggregates, expected.aggregates)
    assert_same_ledger(result.ledger, expected.ledger)


@given(cut=cuts())
@examples(80)
def test_a_window_cut_at_bucket_borders_and_joined_is_the_whole(
    cut: tuple[Scenario, list[Window]],
) -> None:
    """Bit for bit, from the same rows; and the parts' ledgers add up to that of the whole."""
    scenario, windows = cut
    whole = account(scenario.rows, scenario.whole, scenario.rules)
    parts = [account(scenario.rows, window, scenario.rules) for window in windows]
    assert_identical(joined(parts), plain(whole.aggregates))
    total = Ledger.total(part.ledger for part in parts)
    assert total.window_rows == whole.ledger.window_rows
    assert total.buckets == whole.ledger.buckets
    for name in ("attributed", "excluded", "gap"):
        field = f"{name}_cpu_seconds"
        assert getattr(total, field) == pytest.approx(getattr(whole.ledger, field), rel=CLOSE)


@given(cut=cuts())
@examples(100)
def test_partitions_that_read_only_their_own_range_join_to_the_whole(
    cut: tuple[Scenario, list[Window]],
) -> None:
    """However short the partitions are, each fed no more rows than it asks for."""
    scenario, windows = cut
    whole = account(scenario.rows, scenario.whole, scenario.rules)
    parts = [
        account(read_by(scenario.rows, window, scenario.rules), window, scenario.rules)
        for window in windows
    ]
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
    expected = account(scenario.rows, window, scenario.rules)
    backwards = [
        account(read_by(scenario.rows, day, scenario.rules), day, scenario.rules)
        for day in reversed(days)
    ]
    parts = backwards[::-1]
    assert_identical(joined(parts), plain(expected.aggregates))
    total = Ledger.total(part.ledger for part in parts)
    assert sum(total.window_rows.values()) == len(scenario.rows)
    assert total.window_rows["duplicate"] == expected.ledger.rows["duplicate"]
    assert total.window_rows["excluded"] == expected.ledger.rows["excluded"]
    assert total.window_rows["attributed"] == expected.ledger.rows["attributed"]


@given(scenario=scenarios())
@examples(100)
def test_rows_outside_the_read_range_never_change_the_aggregates(scenario: Scenario) -> None:
    """With all rows or only those of the range: identical use, and the same CPU accounted for."""
    inside = read_by(scenario.rows, scenario.window, scenario.rules)
    enough = account(inside, scenario.window, scenario.rules)
    more = account(scenario.rows, scenario.window, scenario.rules)
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
    together = account(scenario.rows, scenario.window, scenario.rules)
    alone = [
        account(scenario.rows[hosts == host], scenario.window, scenario.rules)
        for host in sorted(hosts.unique())
    ]
    expected = plain(together.aggregates)
    if alone:
        result = joined(alone).sort_values(["bucket_start", "host"], kind="stable")
        assert_identical(result.reset_index(drop=True), expected)
    else:
        assert expected.empty
    assert_same_ledger(Ledger.total(part.ledger for part in alone), together.ledger)


@given(scenario=scenarios())
@examples(60)
def test_what_comes_out_is_what_the_stage_promises(scenario: Scenario) -> None:
    """Valid rows in, valid aggregates out, sorted by their key."""
    validate(RawProcessRows, scenario.rows, "generated rows")
    result = account(scenario.rows, scenario.window, scenario.rules).aggregates
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
    kept = account(scenario.rows, scenario.window, scenario.rules)
    rules = AccountingRules(
        max_gap_seconds=scenario.rules.max_gap_seconds,
        slack_seconds=scenario.rules.slack_seconds,
        excluded_users=scenario.rules.excluded_users,
        drop_idle_memory=True,
    )
    dropped = account(scenario.rows, scenario.window, rules)
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
        rows = account(scenario.rows, scenario.window, scenario.rules).ledger.rows
        return rows[row_class.label] > 2 and sum(count > 0 for count in rows.values()) > 1

    found = find(
        scenarios(),
        reached,
        settings=settings(max_examples=500, deadline=None, phases=[Phase.generate], database=None),
    )
    assert len(found.rows)
