"""From process rows to 5-minute use: who used how many cores and how much memory.

The one public function is :func:`account`. It reads top to bottom in the order of the contract
(docs/accounting.md), with a chapter for each part: ``rows`` (duplicates, snapshots), ``spans``
(which rows are the same process, the CPU span that a row ends) and ``buckets`` (spans split at
bucket borders, memory). This module makes the results: aggregates and ledger. Everything is
computed on whole columns, in an order that depends on the data alone. The same rows therefore give
the same bits, however the rows were shuffled or split into windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from snapshot_assets.domain.accounting.buckets import (
    Cover,
    Use,
    cover_buckets,
    split_at_borders,
    use_of_buckets,
)
from snapshot_assets.domain.accounting.codes import Ints, category_codes
from snapshot_assets.domain.accounting.rows import Process, sort_and_deduplicate, take_snapshots
from snapshot_assets.domain.accounting.spans import Spans, cpu_spans
from snapshot_assets.domain.ledger import Ledger, RowClass
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.schemas import UTC_BUCKET
from snapshot_assets.domain.time import Window

BYTES_PER_GB = 1e9


@dataclass(frozen=True, slots=True)
class Account:
    """The result of accounting the rows of a window.

    Attributes:
        aggregates: as the schema :class:`~snapshot_assets.domain.schemas.FiveMinuteAggregates`.
        ledger: what became of every row and of every CPU-second.
    """

    aggregates: pd.DataFrame
    ledger: Ledger

    def bucket_starts(self) -> list[int]:
        """The covered buckets, epoch seconds, ascending."""
        starts = self.aggregates["bucket_start"].dt.as_unit("s").astype("int64")
        return sorted(starts.unique().tolist())


def account(rows: pd.DataFrame, window: Window, rules: AccountingRules) -> Account:
    """Attribute the CPU and memory of process rows to the window's buckets.

    Args:
        rows: as the schema :class:`~snapshot_assets.domain.schemas.RawProcessRows`, but in any
            order; of any number of hosts, at least all of ``rules.read_range(window)``. More rows
            do not change the aggregates.
        window: the buckets to publish.
        rules: gaps, slack, exclusions.

    Returns:
        The aggregates, sorted by their key, and the ledger. Conservation holds: the sum of
        ``cpu_norm * covered_seconds`` is the ledger's ``attributed_cpu_seconds``.
    """
    process = sort_and_deduplicate(rows)
    snapshots = take_snapshots(process, rules)
    spans = cpu_spans(process, snapshots, rules)
    pieces = split_at_borders(
        snapshots.previous[snapshots.covered], snapshots.time[snapshots.covered], window
    )
    covered_snapshot = np.flatnonzero(snapshots.covered)
    cover = cover_buckets(snapshots, covered_snapshot[pieces.span_index], pieces)
    use = use_of_buckets(
        process, snapshots, spans, covered_snapshot[pieces.span_index], pieces, window
    )
    return Account(
        aggregates=_aggregates(rows, process, cover, use),
        ledger=_ledger(len(rows), process, spans, cover, window),
    )


def _aggregates(rows: pd.DataFrame, process: Process, cover: Cover, use: Use) -> pd.DataFrame:
    _, host_names = category_codes(rows["host"])
    _, comm_names = category_codes(rows["comm"])
    entry_host, user_comm = np.divmod(process.entry_keys[use.entry], process.users * process.comms)
    username, comm = np.divmod(user_comm, process.comms)

    # The covered bucket that each use belongs to. Both are sorted by (bucket, host).
    hosts = max(len(host_names), 1)
    cover_key = cover.bucket * hosts + cover.host
    cover_index_of_use = np.searchsorted(cover_key, use.bucket * hosts + entry_host)
    idle = np.ones(len(cover_key), dtype=bool)
    idle[cover_index_of_use] = False
    idle_cover = np.flatnonzero(idle)

    cover_index = np.concatenate([cover_index_of_use, idle_cover])
    no_owner = np.full(len(idle_cover), -1)
    zeros = np.zeros(len(idle_cover))
    username = np.concatenate([username, no_owner])
    comm = np.concatenate([comm, no_owner])
    order = np.lexsort((comm, username, cover_index))
    cover_index = cover_index[order]
    seconds = cover.seconds[cover_index]
    return pd.DataFrame(
        {
            "bucket_start": _bucket_times(cover.bucket[cover_index]),
            "host": _categorical(cover.host[cover_index], host_names),
            "username": _categorical(username[order], process.usernames),
            "comm": _categorical(comm[order], comm_names),
            "cpu_norm": np.concatenate([use.cpu_seconds, zeros])[order] / seconds,
            "rss_gb": np.concatenate([use.byte_seconds, zeros])[order] / seconds / BYTES_PER_GB,
            "covered_seconds": seconds,
            "snapshots": cover.snapshots[cover_index],
        }
    )


def _bucket_times(bucket: Ints) -> pd.Series:
    return pd.Series(bucket.astype("datetime64[s]")).dt.tz_localize("UTC").astype(UTC_BUCKET)


def _categorical(codes: Ints, names: npt.NDArray[np.object_]) -> pd.Categorical:
    """A categorical of the names that occur, so that equal data makes equal columns."""
    occurs = np.zeros(len(names), dtype=bool)
    occurs[codes[codes >= 0]] = True
    position = np.cumsum(occurs) - 1
    known = np.where(codes >= 0, position[codes], -1) if len(names) else codes
    return pd.Categorical.from_codes(known, pd.Index(names[occurs], dtype="str"))


def _ledger(rows_read: int, process: Process, spans: Spans, cover: Cover, window: Window) -> Ledger:
    time, row_class = process.time, spans.row_class
    inside = (time >= window.start) & (time < window.end)
    dropped = process.dropped_time
    dropped_inside = int(((dropped >= window.start) & (dropped < window.end)).sum())

    # The share of each span inside the window, computed without the split into buckets, so that the
    # ledger and the aggregates check each other.
    overlap = np.minimum(time, window.end) - np.maximum(spans.start, window.start)
    with np.errstate(invalid="ignore"):
        share = np.clip(overlap, 0, None) / (time - spans.start)
    attributed = row_class == RowClass.ATTRIBUTED
    gap = (row_class == RowClass.GAP) & inside

    def counts(classes: npt.NDArray[np.int8], duplicates: int) -> dict[str, int]:
        found = np.bincount(classes, minlength=len(RowClass))
        found[RowClass.DUPLICATE] = duplicates
        return {row_class.label: int(found[row_class]) for row_class in RowClass}

    return Ledger(
        rows_read=rows_read,
        rows=counts(row_class, len(dropped)),
        window_rows=counts(row_class[inside], dropped_inside),
        attributed_cpu_seconds=float((spans.cpu_seconds * share)[attributed].sum()),
        excluded_cpu_seconds=float((spans.cpu_seconds * share)[spans.excluded_attributed].sum()),
        gap_cpu_seconds=float(spans.cpu_seconds[gap].sum()),
        covered_seconds=float(cover.seconds.sum()),
        buckets=len(cover.bucket),
    )
