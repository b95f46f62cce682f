"""Recipes of histories with faults, and which of them the contract's rules can tell apart."""

from __future__ import annotations

import random
from typing import NamedTuple

from snapshot_assets_tests.support.domain.faults import FAULTS
from snapshot_assets_tests.support.domain.histories import START, History, machine, passes, sample


class Recipe(NamedTuple):
    """What a history is made from: equal recipes make equal histories."""

    seed: int
    cadence: float
    faults: tuple[str, ...] = ()
    hosts: int = 1

    @property
    def chosen(self) -> list[str]:
        """The faults that make sense at the cadence, in the order in which they are made."""
        possible = [name for name in FAULTS if FAULTS[name].shortest <= self.cadence]
        return [name for name in possible if name in self.faults]

    def history(self, seconds: float) -> History:
        """A generated history of this length."""
        rng = random.Random(f"{self.seed} {self.cadence}")
        names = ["alice", "größe|01", "bob"][: self.hosts]
        jitter = rng.choice([0.0, 0.0, 0.05, 0.3])
        history = History(
            machines=[machine(rng, name, START, seconds, self.cadence) for name in names],
            passes={name: passes(rng, START, seconds, self.cadence, jitter) for name in names},
            misstated=any(FAULTS[name].misstates for name in self.chosen),
        )
        whole = rng.random() < 0.5
        for name in self.chosen:
            if not FAULTS[name].sampled:
                FAULTS[name].change(history, random.Random(f"{self.seed} {name}"))
        sample(history, whole)
        for name in self.chosen:
            if FAULTS[name].sampled:
                FAULTS[name].change(history, random.Random(f"{self.seed} {name}"))
        rng.shuffle(history.samples)
        return history


_LOSES_ROWS = {"missing_rows", "unusable_rows", "counter_jumps", "silence", "clock_set_forward"}
_LOSES_AGES = {"few_ages", "impossible_ages"}
_STAMPED = {"stamped_over_seconds", "stamped_apart"}
_FEW_AGES = {"few_processes", "rolled_up", "duplicates", *_LOSES_AGES}


def is_told_apart(recipe: Recipe) -> bool:
    """Whether the rules of the contract can tell what happened, so that the truth is published.

    They cannot in these cases, which are not compared with the truth:

    * A clock is set back: snapshots of before and after lie between one another.
    * The passes are as close as the rows of one pass: it is not to be seen where one ends.
    * Ages are all the same, and some are missing, or the rows of a pass have stamps of their own,
      or rows are missing and the time between two passes is within the slack: an old process that
      appears is as young as one that was just born.
    * Small processes are hidden, and a process is away for longer than NEAR: an old process that
      appears could be one that was hidden. Two passes in 600 s are enough for that.
    * A late sample, or a clock that was set, shows in fewer than three ages.
    """
    faults, cadence = set(recipe.chosen), recipe.cadence
    constant = "constant_ages" in faults
    return not (
        "clock_set_back" in faults
        or (faults & _STAMPED and cadence < 30)
        or (constant and faults & (_STAMPED | _LOSES_AGES))
        or (constant and faults & _LOSES_ROWS and cadence <= 30)
        or ("hidden_processes" in faults and faults & _LOSES_ROWS and cadence >= 480)
        or (faults & {"late_samples", "clock_set_forward"} and faults & _FEW_AGES)
    )
