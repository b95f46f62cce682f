"""Measuring in one process: contestants take turns, so that whatever else happens falls on all."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

Work = Callable[[], Any]


def taking_turns(
    works: Mapping[str, Work], seconds: float, at_least: int = 3, at_most: int = 100
) -> dict[str, list[float]]:
    """Milliseconds of each turn of each work; as many turns as fit into about these seconds."""
    for work in works.values():
        work()  # connections, caches
    spent: dict[str, list[float]] = {name: [] for name in works}
    begun = time.perf_counter()
    for turn in range(at_most):
        if turn >= at_least and time.perf_counter() - begun > seconds:
            break
        for name, work in works.items():
            spent[name].append(milliseconds(work))
    return spent


def milliseconds(work: Work) -> float:
    """How long it takes once; what it returns is freed afterwards."""
    begun = time.perf_counter()
    found = work()
    spent = time.perf_counter() - begun
    del found
    return spent * 1e3


@contextmanager
def replaced(owner: Any, attribute: str, value: Any) -> Iterator[None]:
    """An attribute of a module or a class has another value meanwhile."""
    before = getattr(owner, attribute)
    setattr(owner, attribute, value)
    try:
        yield
    finally:
        setattr(owner, attribute, before)


def median(spent: Sequence[float]) -> float:
    return statistics.median(spent)


def p99(spent: Sequence[float]) -> float:
    """The 99th percentile; of few turns the longest."""
    return sorted(spent)[min(len(spent) - 1, round(0.99 * len(spent)))]


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is text."""
    lines = [f"\n**{title}**\n", _line(header), _line(["---", *["---:"] * (len(header) - 1)])]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def number(value: float) -> str:
    """With about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def machine() -> str:
    """What it was measured on."""
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores (load {load:.1f}), Python {platform.python_version()}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
