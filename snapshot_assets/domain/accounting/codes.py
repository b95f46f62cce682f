"""Codes: integers that stand for texts or times and sort like them; sums by code.

Nothing here knows what a process is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def ordered_codes(values: npt.NDArray) -> tuple[Ints, npt.NDArray]:
    """For each value its code, and the distinct values, ascending; a code is a position in them."""
    codes, uniques = pd.factorize(values)
    order = np.argsort(uniques, kind="stable")
    rank = np.empty(len(uniques), dtype=np.int64)
    rank[order] = np.arange(len(uniques))
    return rank[codes], uniques[order]


def sums(codes: Ints, values: Floats, count: int) -> Floats:
    """The sum of the values of each code, added in row order; floats even without any value."""
    return np.bincount(codes, values, count).astype(np.float64, copy=False)


def category_codes(
    column: pd.Series, missing: str | None = None
) -> tuple[Ints, npt.NDArray[np.object_]]:
    """For each row a code that sorts like its text, and the text of each code.

    Args:
        column: a categorical column.
        missing: the text that stands for a missing value; None if no value may be missing.
    """
    codes = column.cat.codes.to_numpy()
    categories = np.asarray(column.cat.categories, dtype=object)
    if missing is not None and (codes < 0).any():
        # The last position, if no category has this text already.
        known = np.flatnonzero(categories == missing)
        code = int(known[0]) if len(known) else len(categories)
        categories = categories if len(known) else np.append(categories, missing)
        codes = np.where(codes < 0, code, codes.astype(np.int64))
    order = np.argsort(categories, kind="stable")
    rank = np.empty(len(categories), dtype=np.int64)
    rank[order] = np.arange(len(categories))
    return rank[codes] if len(categories) else codes.astype(np.int64), categories[order]


def groups(key: npt.NDArray) -> tuple[Ints, Ints]:
    """Of a sorted array: for each element the number of its group, and where each group begins."""
    first = np.ones(len(key), dtype=bool)
    first[1:] = key[1:] != key[:-1]
    return np.cumsum(first) - 1, np.flatnonzero(first)
