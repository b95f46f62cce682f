"""From whatever column types a database has to one canonical frame of raw rows.

Both ways of reading, columnar and row by row, end here, which is why they give the same frame.
No SQL and no connection in this module.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from snapshot_assets.arrow import categorical
from snapshot_assets.domain.schemas import RawProcessRows, SchemaError, Violation
from snapshot_assets.errors import SourceError
from snapshot_assets.source.table import COLUMNS, TEXT_COLUMNS, RssUnit

BYTES_PER_RSS_UNIT: dict[RssUnit, int] = {"bytes": 1, "KiB": 1024}
# Wide enough for every DECIMAL that means a time or a CPU time, and what the columnar driver
# delivers; both readers pass through it so that they round alike.
_DECIMAL = pa.decimal128(38, 10)
_TARGETS: dict[str, pa.DataType] = {
    name: pa.string() if name in TEXT_COLUMNS else pa.int64() if name == "pid" else pa.float64()
    for name in COLUMNS
}


def to_canonical_types(table: pa.Table) -> pa.Table:
    """Cast the columns to text, float64 and int64, whatever numeric type they came in.

    Args:
        table: the columns of :data:`COLUMNS`; optional ones may be absent and become NULL.

    Raises:
        SourceError: a value that is not what its column should hold; the message names both.
    """
    columns = []
    for name, target in _TARGETS.items():
        if name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, target))
            continue
        columns.append(_cast(name, table.column(name), target))
    return pa.table(columns, names=list(_TARGETS))


def _cast(name: str, column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    try:
        if pa.types.is_decimal(column.type):
            column = pc.cast(column, _DECIMAL)
            if pa.types.is_integer(target):
                return pc.cast(column, target)
        if pa.types.is_integer(column.type) and pa.types.is_floating(target):
            # int64 to float64 is refused above 2**53, far beyond any second or byte we accept.
            return pc.cast(column, target, safe=False)
        return pc.cast(column, target)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SourceError(
            f"column {name!r} of the source holds {column.type}, which cannot be read as "
            f"{target}: {error}. Name another column with SNAPSHOT_SOURCE_COLUMNS, or mend its type"
        ) from None


def raw_rows(table: pa.Table, rss_unit: RssUnit, subject: str) -> pd.DataFrame:
    """Build the raw frame from canonical columns.

    Args:
        table: what :func:`to_canonical_types` returned.
        rss_unit: unit of the source's ``rss``; the frame has bytes.
        subject: what was read, for errors.

    Returns:
        An unvalidated :class:`~snapshot_assets.domain.schemas.RawProcessRows` frame in its order.
    """
    for name in ("pid", "rss"):
        if table.column(name).null_count:
            _refuse_missing(table, name, subject)
    rss = np.rint(table.column("rss").to_numpy() * BYTES_PER_RSS_UNIT[rss_unit])
    frame = pd.DataFrame(
        {
            "host": categorical(table.column("host")),
            "snapshot_time_epoch": table.column("snapshot_time_epoch").to_numpy(),
            "pid": table.column("pid").to_numpy(),
            "username": categorical(table.column("username")),
            "comm": categorical(table.column("comm")),
            "cputimes": table.column("cputimes").to_numpy(),
            # Out of int64's range stays out of the schema's range.
            "rss": np.clip(rss, -1, 2.0**62).astype(np.int64),
            "etimes": table.column("etimes").to_numpy(),
        }
    )
    return _sorted(frame)


def split_by_host(frame: pd.DataFrame, hosts: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The raw frame of each host, in the very form in which it would have been read alone."""
    names = frame["host"].cat.categories.tolist()
    borders = np.searchsorted(frame["host"].cat.codes.to_numpy(), np.arange(len(names) + 1))
    parts = {}
    for host in hosts:
        code = names.index(host) if host in names else -1
        part = frame.iloc[borders[code] : borders[code + 1]] if code >= 0 else frame.iloc[:0]
        text = {name: part[name].cat.remove_unused_categories() for name in TEXT_COLUMNS}
        parts[host] = part.assign(**text).reset_index(drop=True)
    return parts


def _refuse_missing(table: pa.Table, name: str, subject: str) -> None:
    missing = table.filter(pc.is_null(table.column(name)))
    sample = tuple(str(row) for row in missing.slice(0, 3).to_pylist())
    violation = Violation(name, "must not be missing", missing.num_rows, sample)
    raise SchemaError(RawProcessRows.__name__, subject, table.num_rows, [violation])


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows in the schema's order; tables clustered by it arrive sorted and are left as they are."""
    host = frame["host"].cat.codes.to_numpy()
    time, pid = frame["snapshot_time_epoch"].to_numpy(), frame["pid"].to_numpy()
    same_host, same_time = host[1:] == host[:-1], time[1:] == time[:-1]
    ascending = (host[1:] > host[:-1]) | (
        same_host & ((time[1:] > time[:-1]) | (same_time & (pid[1:] > pid[:-1])))
    )
    if ascending.all():
        return frame
    rest = [frame[name].cat.codes.to_numpy() for name in ("comm", "username")]
    rest += [frame[name].to_numpy() for name in ("etimes", "rss", "cputimes")]
    return frame.take(np.lexsort((*rest, pid, time, host))).reset_index(drop=True)
