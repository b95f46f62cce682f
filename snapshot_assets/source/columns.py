"""From the column types of any database to one canonical table of raw rows.

Both ways of reading, columnar and row by row, use these functions and so give the same rows.
No SQL and no connection in this module.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from snapshot_assets.arrow import categorical
from snapshot_assets.errors import SourceError
from snapshot_assets.source.table import COLUMNS, MACHINE_COLUMNS, TEXT_COLUMNS, RssUnit

BYTES_PER_RSS_UNIT: dict[RssUnit, int] = {"bytes": 1, "KiB": 1024}
# Wide enough for every DECIMAL that holds a time or a CPU time, and the type that the columnar
# driver delivers. Both ways of reading convert to this type, so both round alike.
_DECIMAL = pa.decimal128(38, 10)
_TARGETS: dict[str, pa.DataType] = {
    name: pa.string() if name in TEXT_COLUMNS else pa.float64() for name in COLUMNS
}
_MACHINE_TARGETS: dict[str, pa.DataType] = {
    name: pa.string() if name in TEXT_COLUMNS else pa.float64() for name in MACHINE_COLUMNS
}


def to_canonical_types(table: pa.Table) -> pa.Table:
    """Cast the columns to text and float64, from any type of the database.

    Args:
        table: the columns of :data:`COLUMNS`. Columns that are absent become NULL.

    Returns:
        The columns of :data:`COLUMNS`, in this order: text or float64.

    Raises:
        SourceError: a column holds values of another kind; the message names column and types.
    """
    return _with_types(table, _TARGETS)


def to_machine_types(table: pa.Table) -> pa.Table:
    """Cast the columns of the machines, as :func:`to_canonical_types` does those of the processes.

    Returns:
        The columns of :data:`MACHINE_COLUMNS`, in this order: text for ``host``, else float64.
    """
    return _with_types(table, _MACHINE_TARGETS)


def _with_types(table: pa.Table, targets: Mapping[str, pa.DataType]) -> pa.Table:
    columns = []
    for name, target in targets.items():
        if name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, target))
            continue
        columns.append(_cast(name, table.column(name), target))
    return pa.table(columns, names=list(targets))


def _cast(name: str, column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    try:
        if pa.types.is_decimal(column.type):
            column = pc.cast(column, _DECIMAL)
        if pa.types.is_integer(column.type) and pa.types.is_floating(target):
            # Arrow rejects safe casts from int64 to float64 above 2**53. All seconds and bytes that
            # the schema accepts are far below.
            return pc.cast(column, target, safe=False)
        return pc.cast(column, target)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SourceError(
            f"column {name!r} of the source holds {column.type}, which cannot be read as "
            f"{target}: {error}. Set another column in SNAPSHOT_SOURCE_COLUMNS, or change the type"
        ) from None


def raw_rows(table: pa.Table, rss_unit: RssUnit) -> pd.DataFrame:
    """Build the raw rows from canonical columns.

    Args:
        table: the result of :func:`to_canonical_types`.
        rss_unit: unit of the source's ``rss``; the rows have bytes.

    Returns:
        Rows as the schema :class:`~snapshot_assets.domain.schemas.RawProcessRows`, in the order of
        that schema, not yet validated.
    """
    # Bytes are whole, also where a fraction of a unit was stored.
    rss = np.rint(table.column("rss").to_numpy() * BYTES_PER_RSS_UNIT[rss_unit])
    rows = pd.DataFrame(
        {
            "host": categorical(table.column("host")),
            "snapshot_time_epoch": table.column("snapshot_time_epoch").to_numpy(),
            "pid": table.column("pid").to_numpy(),
            "username": categorical(table.column("username")),
            "comm": categorical(table.column("comm")),
            "cputimes": table.column("cputimes").to_numpy(),
            "rss": rss,
            "etimes": table.column("etimes").to_numpy(),
        }
    )
    return _sorted(rows)


def machine_rows(table: pa.Table) -> pd.DataFrame:
    """Build the machines' rows from the result of :func:`to_machine_types`.

    Returns:
        The columns of :data:`MACHINE_COLUMNS`: ``host`` categorical, else float64 with NaN for
        NULL. Sorted by host and time; rows without a host are left out.
    """
    table = table.filter(pc.is_valid(table.column("host")))
    rows = pd.DataFrame(
        {
            name: categorical(table.column(name))
            if name in TEXT_COLUMNS
            else table.column(name).to_numpy()
            for name in MACHINE_COLUMNS
        }
    )
    numbers = [rows[name].to_numpy() for name in reversed(MACHINE_COLUMNS[1:])]
    return rows.take(np.lexsort((*numbers, rows["host"].cat.codes))).reset_index(drop=True)


def without_hosts(rows: pd.DataFrame, hosts: Collection[str]) -> pd.DataFrame:
    """The rows of all other hosts, as if the rows of these hosts had not been read."""
    kept = rows[~rows["host"].isin(list(hosts))]
    return kept.assign(**_needed_categories(kept)).reset_index(drop=True)


def split_by_host(rows: pd.DataFrame, hosts: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The rows of each host, equal to the rows that reading this host alone would give.

    Args:
        rows: raw rows or machine rows, sorted by host.
        hosts: the hosts of the result; a host without rows gets an empty table.
    """
    known = rows["host"].cat.categories.tolist()
    borders = np.searchsorted(rows["host"].cat.codes.to_numpy(), np.arange(len(known) + 1))
    parts = {}
    for host in hosts:
        code = known.index(host) if host in known else -1
        part = rows.iloc[borders[code] : borders[code + 1]] if code >= 0 else rows.iloc[:0]
        parts[host] = part.assign(**_needed_categories(part)).reset_index(drop=True)
    return parts


def _needed_categories(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """The columns of text, without the texts that no row has."""
    return {
        column: rows[column].cat.remove_unused_categories()
        for column in TEXT_COLUMNS
        if column in rows
    }


def _sorted(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows in the schema's order. Rows of a clustered table are sorted already."""
    host = rows["host"].cat.codes.to_numpy()
    time, pid = rows["snapshot_time_epoch"].to_numpy(), rows["pid"].to_numpy()
    same_host, same_time = host[1:] == host[:-1], time[1:] == time[:-1]
    ascending = (host[1:] > host[:-1]) | (
        same_host & ((time[1:] > time[:-1]) | (same_time & (pid[1:] > pid[:-1])))
    )
    if ascending.all():
        return rows
    rest = [rows[column].cat.codes.to_numpy() for column in ("comm", "username")]
    rest += [rows[column].to_numpy() for column in ("etimes", "rss", "cputimes")]
    return rows.take(np.lexsort((*rest, pid, time, host))).reset_index(drop=True)
