"""Numbers instead of text and times, that sort like what they stand for; sums by such numbers.

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
    """Number the distinct values so that the numbers sort like the values."""
    codes, uniques = pd.factorize(values)
    order = np.argsort(uniques, kind="stable")
    rank = np.empty(len(uniques), dtype=np.int64)
    rank[order] = np.arange(len(uniques))
    return rank[codes], uniques[order]


def sums(codes: Ints, values: Floats, count: int) -> Floats:
    """The sum of the values of each code, added in row order; floats also where there are none."""
    return np.bincount(codes, values, count).astype(np.float64, copy=False)


def category_codes(column: pd.Series) -> tuple[Ints, npt.NDArray[np.object_]]:
    """Codes of a categorical column that sort like its text, and the text for each code."""
    categories = np.asarray(column.cat.categories, dtype=object)
    order = np.argsort(categories, kind="stable")
    rank = np.empty(len(categories), dtype=np.int64)
    rank[order] = np.arange(len(categories))
    codes = column.cat.codes.to_numpy()
    return rank[codes] if len(categories) else codes.astype(np.int64), categories[order]
