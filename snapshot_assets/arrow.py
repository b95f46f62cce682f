"""Columns between Arrow and pandas, always in one canonical form.

Text is categorical in memory and dictionary-encoded on disk. Categories are sorted, and each
category occurs in the column, so equal data makes equal columns, whatever the source.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa


def categorical(column: pa.ChunkedArray) -> pd.Categorical:
    """A text column, plain or dictionary-encoded, as a canonical categorical."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    encoded = column.combine_chunks().dictionary_encode()
    texts = encoded.dictionary.to_numpy(zero_copy_only=False).astype(object)
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    order = np.argsort(texts, kind="stable")
    rank = np.append(np.empty(len(texts), dtype=np.int64), -1)
    rank[order] = np.arange(len(texts))
    return pd.Categorical.from_codes(rank[codes], pd.Index(texts[order], dtype="str"))


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """The columns of an Arrow table as a DataFrame, text as categoricals."""
    return pd.DataFrame(
        {
            name: categorical(column) if _is_text(column.type) else column.to_pandas()
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
    )


def to_arrow(table: pd.DataFrame) -> pa.Table:
    """The inverse of :func:`to_pandas`; the index is left out."""
    return pa.table([_to_arrow(table[name]) for name in table.columns], names=list(table.columns))


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_dictionary(kind) or pa.types.is_string(kind)


def _to_arrow(column: pd.Series) -> pa.Array:
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return pa.Array.from_pandas(column)
    texts = pa.array(column.cat.categories.tolist(), pa.string())
    codes = column.cat.codes.to_numpy()
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32), mask=codes < 0), texts)
