"""From the column types of any database to one canonical table of raw rows.

Both ways of reading, columnar and row by row, use these functions and so give the same rows.
No SQL and no connection in this module. How one value is read belongs to
:mod:`snapshot_assets.source.values`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from snapshot_assets.arrow import categorical
from snapshot_assets.source.table import COLUMNS, MACHINE_COLUMNS, TEXT_COLUMNS, RssUnit
from snapshot_assets.source.values import numbers, text, texts

BYTES_PER_RSS_UNIT: dict[RssUnit, int] = {"bytes": 1, "KiB": 1024}
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Values of one host in one column that are no number, or no text. The rows have NULL instead.

    Attributes:
        host: the host; None for rows whose host is NULL or cannot be read.
        column: the column, as in :data:`~snapshot_assets.source.table.COLUMNS`.
        values: how many.
        sample: up to three of them in quotes, bytes that are no UTF-8 with a ``b``.
    """

    host: str | None
    column: str
    values: int
    sample: tuple[str, ...]

    @property
    def missing_kind(self) -> str:
        """What the values are not."""
        return "no text in UTF-8" if self.column in TEXT_COLUMNS else "no number"

    def __str__(self) -> str:
        whose = "a row without a host" if self.host is None else self.host
        many = "value is" if self.values == 1 else "values are"
        shown = ", ".join(self.sample)
        return f"{self.column} of {whose}: {self.values:,} {many} {self.missing_kind}, {shown}"


class CanonicalTypes:
    """Casts tables of any database to text and float64, and remembers what could not be read.

    Args:
        columns: the columns of the results, in this order: text for
            :data:`~snapshot_assets.source.table.TEXT_COLUMNS`, else float64.
    """

    def __init__(self, columns: Sequence[str] = COLUMNS) -> None:
        self._columns = columns
        self._counts: Counter[tuple[str | None, str]] = Counter()
        self._samples: dict[tuple[str | None, str], list[str]] = {}

    def __call__(self, table: pa.Table) -> pa.Table:
        """Cast a table. Columns that are absent become NULL, and so does each unreadable value."""
        made = {}
        for name in self._columns:
            is_text = name in TEXT_COLUMNS
            if name not in table.column_names:
                made[name] = pa.nulls(table.num_rows, pa.string() if is_text else pa.float64())
                continue
            column = table.column(name)
            made[name] = (texts if is_text else numbers)(column)
            if made[name].null_count > column.null_count:
                self._remember(name, column, made[name], made["host"])
        return pa.table(made)

    def unreadable(self) -> Iterator[Unreadable]:
        """What could not be read so far, by host and column."""
        for (host, column), values in sorted(
            self._counts.items(), key=lambda item: (item[0][0] or "", item[0][1])
        ):
            yield Unreadable(host, column, values, tuple(self._samples[host, column]))

    def _remember(
        self, name: str, column: pa.ChunkedArray, cast: pa.ChunkedArray, hosts: pa.ChunkedArray
    ) -> None:
        lost = pc.and_(pc.is_valid(column), pc.is_null(cast))
        values, of_hosts = column.filter(lost), hosts.filter(lost).to_pylist()
        self._counts.update((host, name) for host in of_hosts)
        for position, host in enumerate(of_hosts):
            sample = self._samples.setdefault((host, name), [])
            if len(sample) < _SHOWN:
                value = values[position].as_py()
                sample.append(repr(value if text(value) is None else text(value))[:80])


def raw_rows(table: pa.Table, rss_unit: RssUnit) -> pd.DataFrame:
    """Build the raw rows from canonical columns.

    Args:
        table: the columns of :data:`COLUMNS` from :class:`CanonicalTypes`.
        rss_unit: unit of the source's ``rss``; the rows have bytes.

    Returns:
        Rows as the schema :class:`~snapshot_assets.domain.schemas.RawProcessRows`, in the order of
        that schema, not yet validated. Numbers are float64 with NaN for NULL, ``rss`` in whole
        bytes. Texts are categorical and may be missing.
    """
    host, username, comm = (categorical(table.column(name)) for name in TEXT_COLUMNS)
    time, pid, cputimes, rss, etimes = (
        table.column(name).to_numpy()
        for name in ("snapshot_time_epoch", "pid", "cputimes", "rss", "etimes")
    )
    rows = pd.DataFrame(
        {
            "host": host,
            "snapshot_time_epoch": time,
            "pid": pid,
            "username": username,
            "comm": comm,
            "cputimes": cputimes,
            "rss": np.rint(rss * BYTES_PER_RSS_UNIT[rss_unit]),
            "etimes": etimes,
        }
    )
    return _sorted(rows)


def machine_rows(table: pa.Table) -> pd.DataFrame:
    """Build the machines' rows from canonical columns.

    Args:
        table: the columns of :data:`MACHINE_COLUMNS` from :class:`CanonicalTypes`.

    Returns:
        The same columns: ``host`` categorical, else float64 with NaN for NULL. Sorted by host and
        time; rows without a host are left out.
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
    rest = [rows[name].to_numpy() for name in reversed(MACHINE_COLUMNS[1:])]
    return rows.take(np.lexsort((*rest, rows["host"].cat.codes))).reset_index(drop=True)


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
    """The rows in the schema's order. Rows of a clustered table are sorted already.

    A missing host comes first, a missing number last.
    """
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
