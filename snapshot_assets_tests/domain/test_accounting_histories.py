"""What the accounting promises for tables with faults that people really have.

The tables are made from machines whose truth is known. ``test_accounting_properties`` has the same
promises for rows at the edges of each rule.
"""

from __future__ import annotations

import random

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshot_assets.domain.accounting import Account, account
from snapshot_assets.domain.ledger import Ledger
from snapshot_assets.domain.time import DAY_SECONDS, Window
from snapshot_assets_tests.support.domain.agreement import disagreements
from snapshot_assets_tests.support.domain.faults import FAULTS
from snapshot_assets_tests.support.domain.histories import CADENCES, History
from snapshot_assets_tests.support.domain.invariants import (
    CLOSE,
    assert_identical,
    assert_same_ledger,
    cut_at,
    examples,
    joined,
    plain,
    within,
)
from snapshot_assets_tests.support.domain.process_rows import read_by
from snapshot_assets_tests.support.domain.recipes import Recipe, is_told_apart
from snapshot_assets_tests.support.domain.slow_accounting import slow_account

# Seconds of history by cadence: some hundred rows, and some windows longer than the read range.
BRIEF = {3: 600, 10: 1_800, 30: 3_600, 60: 7_200, 120: 10_800, 300: 21_600, 600: 43_200}
LONG = {3: 3_600, 10: 7_200, 30: 10_800, 60: 14_400, 120: 21_600, 300: 43_200, 600: 86_400}

recipes = st.builds(
    Recipe,
    seed=st.integers(0, 2**32 - 1),
    cadence=st.sampled_from(CADENCES),
    faults=st.lists(st.sampled_from(sorted(FAULTS)), unique=True, max_size=6).map(tuple),
    hosts=st.sampled_from([1, 1, 2]),
)
seeds = st.integers(0, 2**32 - 1)


def accounted(history: History, window: Window, kernel: pd.DataFrame | None = None) -> Account:
    """The account of a window from the whole history."""
    return account(history.rows, window, history.rules, kernel)


def alone(history: History, window: Window, kernel: pd.DataFrame) -> Account:
    """The account of a window from the rows that it asks for."""
    rows, kernel = (read_by(table, window, history.rules) for table in (history.rows, kernel))
    return account(rows, window, history.rules, kernel)


def assert_windows_stand_alone(history: History, rng: random.Random, windows: int) -> None:
    """Some windows come to the same from their own rows as from the whole history, bit for bit."""
    rows, kernel = history.rows, history.kernel
    whole = plain(account(rows, history.window, history.rules, kernel).aggregates)
    for seconds in rng.choices([300, 1_200, 3_600, 14_400], k=windows):
        window = rng.choice(list(history.window.slices(seconds)))
        result = alone(history, window, kernel)
        assert_identical(plain(result.aggregates), within(whole, window))


def assert_true(history: History, kernel: pd.DataFrame | None, lost: bool) -> None:
    """Each host's core-seconds are within 3 % of the truth, and not 1 % more than it used.

    Args:
        history: what to account.
        kernel: the kernel's count, which tells how many cores a host has; None if there is none.
        lost: whether damaged rows may take what they have, too: a few hosts have little else.
    """
    frame = accounted(history, history.window, kernel).aggregates
    for machine in history.machines:
        mine = frame[frame["host"].astype(object) == machine.host]
        published = float((mine["cpu_norm"] * mine["covered_seconds"]).sum())
        least, most = history.truth(machine.host)
        least -= history.damage(machine.host) if lost else 0.0
        assert published >= 0.97 * least - 1, f"{published} of {least} core-seconds"
        if not history.misstated:
            assert published <= 1.01 * most + 1, f"{published} for {most} core-seconds"


@given(recipe=recipes, counted=st.booleans())
@examples(60)
def test_the_fast_and_the_slow_accounting_agree_on_faulty_tables(
    recipe: Recipe, counted: bool
) -> None:
    """Every bucket, every entry, every class and every number of the ledger."""
    history = recipe.history(BRIEF[int(recipe.cadence)])
    rows, kernel = history.rows, history.kernel if counted else None
    for window in (history.window, next(history.window.slices(1_200))):
        fast = account(rows, window, history.rules, kernel)
        assert disagreements(fast, slow_account(rows, window, history.rules, kernel)) == []


@pytest.mark.parametrize("cadence", CADENCES)
@pytest.mark.parametrize("fault", ["none", *FAULTS])
def test_a_window_alone_is_what_it_is_in_a_long_range(fault: str, cadence: int) -> None:
    """Whatever the fault and the cadence: what lies outside the read range changes nothing."""
    rng = random.Random(f"{fault} {cadence}")
    history = Recipe(rng.randrange(10**6), cadence, (fault,)).history(LONG[cadence])
    assert_windows_stand_alone(history, rng, windows=4)


@given(recipe=recipes, seed=seeds)
@examples(60)
def test_a_window_alone_is_what_it_is_in_a_long_range_with_several_faults(
    recipe: Recipe, seed: int
) -> None:
    """The faults together, and two machines."""
    history = recipe.history(LONG[int(recipe.cadence)])
    assert_windows_stand_alone(history, random.Random(seed), windows=4)


@given(recipe=recipes.map(lambda recipe: recipe._replace(cadence=300)))
@examples(8)
def test_days_alone_are_the_days_of_three_days(recipe: Recipe) -> None:
    """Each UTC day by itself, the last one first; their ledgers add up to that of all days."""
    history = recipe.history(3 * DAY_SECONDS)
    kernel = history.kernel
    start = history.window.start // DAY_SECONDS * DAY_SECONDS
    range_ = Window(start, -(-history.window.end // DAY_SECONDS) * DAY_SECONDS)
    days = list(range_.slices(DAY_SECONDS))
    parts = [alone(history, day, kernel) for day in reversed(days)][::-1]
    whole = accounted(history, range_, kernel)
    assert_identical(joined(parts), plain(whole.aggregates))
    total = Ledger.total(part.ledger for part in parts)
    assert sum(total.window_rows.values()) == sum(whole.ledger.window_rows.values())
    for name in ("attributed", "excluded"):
        field = f"{name}_cpu_seconds"
        expected = pytest.approx(getattr(whole.ledger, field), rel=CLOSE, abs=1e-9)
        assert getattr(total, field) == expected


@given(recipe=recipes, seed=seeds)
@examples(40)
def test_neither_order_nor_cuts_change_a_faulty_table(recipe: Recipe, seed: int) -> None:
    """Rows in any order and the range in any parts: the same bits; and nothing is lost."""
    rng = random.Random(seed)
    history = recipe.history(BRIEF[int(recipe.cadence)])
    window, kernel = history.window, history.kernel
    whole = accounted(history, window, kernel)

    ledger, frame = whole.ledger, whole.aggregates
    assert sum(ledger.rows.values()) == ledger.rows_read == len(history.samples)
    held = float((frame["cpu_norm"] * frame["covered_seconds"]).sum())
    assert held == pytest.approx(ledger.attributed_cpu_seconds, rel=CLOSE, abs=1e-9)

    parts = cut_at(window, rng.choices(list(window.buckets()), k=3))
    found = [accounted(history, part, kernel) for part in parts]
    assert_identical(joined(found), plain(frame))

    rng.shuffle(history.samples)
    again = accounted(history, window, kernel.sample(frac=1, random_state=seed))
    assert_identical(again.aggregates, frame)
    assert_same_ledger(again.ledger, ledger)


@pytest.mark.parametrize("cadence", CADENCES)
@pytest.mark.parametrize("fault", ["none", *FAULTS])
def test_what_is_published_is_what_was_used(fault: str, cadence: int) -> None:
    """Within 3 % of the truth, whatever the fault and the cadence."""
    recipes = [Recipe(seed, cadence, (fault,)) for seed in range(2)]
    for recipe in filter(is_told_apart, recipes):
        history = recipe.history(LONG[cadence])
        assert_true(history, history.kernel if recipe.seed else None, lost=False)


@given(recipe=recipes.filter(is_told_apart), counted=st.booleans())
@examples(60)
def test_what_is_published_is_what_was_used_with_several_faults(
    recipe: Recipe, counted: bool
) -> None:
    """The faults together, as far as the rules can tell them apart."""
    history = recipe.history(LONG[int(recipe.cadence)])
    assert_true(history, history.kernel if counted else None, lost=True)
