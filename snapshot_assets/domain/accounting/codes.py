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


def category_codes(column: pd.Series) -> tuple[Ints, npt.NDArray[np.object_]]:
    """For each row a code that sorts like its text, and the text of each code.

    The column must have no missing values.
    """
    categories = np.asarray(column.cat.categories, dtype=object)
    order = np.argsort(categories, kind="stable")
    rank = np.empty(len(categories), dtype=np.int64)
    rank[order] = np.arange(len(categories))
    codes = column.cat.codes.to_numpy()
    return rank[codes] if len(categories) else codes.astype(np.int64), categories[order]
