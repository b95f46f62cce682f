"""What tests of invariants share: how many examples, and when two accounts are the same."""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, settings

from snapshot_assets.domain.accounting import Account
from snapshot_assets.domain.ledger import Ledger
from snapshot_assets.domain.time import Window

CLOSE = 1e-9

# A profile with more examples than hypothesis has by default makes all numbers larger.
_TIMES = settings().max_examples / 100


def examples(count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """So many examples, without a deadline: other work on the machine is no failure.

    ``--hypothesis-profile=thorough`` tries twenty times as many.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        return settings(
            max_examples=math.ceil(count * _TIMES),
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


def within(frame: pd.DataFrame, window: Window) -> pd.DataFrame:
    """The aggregates of the window's buckets."""
    starts = frame["bucket_start"].dt.as_unit("s").astype("int64")
    return frame[(starts >= window.start) & (starts < window.end)].reset_index(drop=True)


def assert_identical(left: pd.DataFrame, right: pd.DataFrame) -> None:
    """Bit for bit: values, types, order and index."""
    pd.testing.assert_frame_equal(left, right, check_exact=True)


def assert_same_ledger(left: Ledger, right: Ledger) -> None:
    """Counts are equal, sums of floats are equal to rounding.

    The samples may differ: a total of several ledgers need not name the rows of the whole.
    """
    ours, theirs = left.as_dict(), right.as_dict()
    del ours["samples"], theirs["samples"]
    floats = [name for name in ours if name.endswith("_seconds")]
    assert len(floats) == 7
    for name in floats:
        assert ours.pop(name) == pytest.approx(theirs.pop(name), rel=CLOSE, abs=1e-9), name
    assert ours == theirs


def cut_at(window: Window, borders: list[int]) -> list[Window]:
    """The window in consecutive parts, cut where asked."""
    inside = sorted({border for border in borders if window.start < border < window.end})
    edges = [window.start, *inside, window.end]
    return [Window(start, end) for start, end in itertools.pairwise(edges)]
