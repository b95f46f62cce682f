"""Measuring in one process: the contestants take turns, so that other load affects all of them."""

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
    """Milliseconds of each turn of each work; the turns take about ``seconds`` altogether."""
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
    """How long one call of the work takes; freeing the result is not measured."""
    begun = time.perf_counter()
    found = work()
    spent = time.perf_counter() - begun
    del found
    return spent * 1e3


@contextmanager
def replaced(owner: Any, attribute: str, value: Any) -> Iterator[None]:
    """Replace an attribute of a module or a class, and restore it at the end."""
    before = getattr(owner, attribute)
    setattr(owner, attribute, value)
    try:
        yield
    finally:
        setattr(owner, attribute, before)


def median(spent: Sequence[float]) -> float:
    return statistics.median(spent)


def p99(spent: Sequence[float]) -> float:
    """The 99th percentile; the longest if there are few turns."""
    return sorted(spent)[min(len(spent) - 1, round(0.99 * len(spent)))]


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is text."""
    lines = [f"\n**{title}**\n", _line(header), _line(["---", *["---:"] * (len(header) - 1)])]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def number(value: float) -> str:
    """The value as text with about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def machine() -> str:
    """The machine: cores, load and Python version."""
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores (load {load:.1f}), Python {platform.python_version()}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
