"""From process rows to 5-minute use: who used how many cores and how much memory.

The one public function is :func:`account`. It reads top to bottom in the order of the contract
(docs/accounting.md), with a chapter for each part:

* ``rows``: which rows can be used, and duplicates (rules 1 and 2);
* ``snapshots``: which stamps are one snapshot, and clocks that are off (rules 3 and 4);
* ``identity``: which rows are the same process (rule 5);
* ``spans``: the CPU span that a row ends (rule 6);
* ``buckets``: spans split at bucket borders, and memory (rules 7 and 8);
* ``machine``: the kernel's own count (rule 12).

This module makes the results: aggregates and ledger. Everything is computed on whole columns, in an
order that depends on the data alone. The same rows therefore give the same bits, however the rows
were shuffled or split into windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from snapshot_assets.domain.accounting.buckets import (
    BYTES_PER_GB,
    Cover,
    Use,
    cover_buckets,
    split_at_borders,
    use_of_buckets,
)
from snapshot_assets.domain.accounting.codes import Bools, Floats, Ints, sums
from snapshot_assets.domain.accounting.identity import identify, rows_before
from snapshot_assets.domain.accounting.machine import (
    MachineUse,
    cores_of_snapshots,
    machine_use,
    usable_machines,
)
from snapshot_assets.domain.accounting.rows import Process, sample_of_rejected, usable_rows
from snapshot_assets.domain.accounting.snapshots import (
    Offsets,
    Snapshots,
    clock_offsets,
    take_snapshots,
)
from snapshot_assets.domain.accounting.spans import Spans, cpu_spans
from snapshot_assets.domain.ledger import Ledger, RowClass
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.schemas import UTC_BUCKET
from snapshot_assets.domain.time import BUCKET_SECONDS, Window

# Sums of fractions of a second differ from the whole by less than this.
_WHOLE_ROUNDING_SECONDS = 1e-6
_SAMPLE_ROWS = 3


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


def account(
    rows: pd.DataFrame,
    window: Window,
    rules: AccountingRules,
    machines: pd.DataFrame | None = None,
) -> Account:
    """Attribute the CPU and memory of process rows to the window's buckets.

    Args:
        rows: as the schema :class:`~snapshot_assets.domain.schemas.RawProcessRows`, but in any
            order; of any number of hosts, at least all of ``rules.read_range(window)``. More rows
            do not change the aggregates.
        window: the buckets to publish.
        rules: gaps, slack, exclusions, hidden processes, capacities.
        machines: the kernel's count, as the schema
            :class:`~snapshot_assets.domain.schemas.MachineRows`, in any order, of the same range;
            None if the source has no such table.

    Returns:
        The aggregates, sorted by their key, and the ledger. Conservation holds: the sum of
        ``cpu_norm * covered_seconds`` is the ledger's ``attributed_cpu_seconds``.
    """
    process = usable_rows(rows)
    snapshots = take_snapshots(process, rules)
    before = rows_before(process, snapshots)
    offsets = clock_offsets(process, snapshots, before.name, rules)
    identity = identify(process, snapshots, offsets, before.row, rules)
    kernel = usable_machines(machines, process.hosts)
    cores = cores_of_snapshots(kernel, snapshots, process.hosts, rules)
    spans = cpu_spans(process, snapshots, offsets, identity, cores, rules)

    covered_snapshot = np.flatnonzero(snapshots.covered)
    pieces = split_at_borders(
        snapshots.previous[covered_snapshot], snapshots.time[covered_snapshot], window
    )
    piece_snapshot = covered_snapshot[pieces.span_index]
    cover = cover_buckets(snapshots, piece_snapshot, pieces)
    use = use_of_buckets(process, snapshots, spans, piece_snapshot, pieces, window)
    counted = machine_use(kernel, cover, window, rules)
    return Account(
        aggregates=_aggregates(process, spans, cover, use, counted),
        ledger=_Evidence(rows, process, snapshots, offsets, spans, window).ledger(
            cover, use, counted
        ),
    )


def _aggregates(
    process: Process, spans: Spans, cover: Cover, use: Use, counted: MachineUse
) -> pd.DataFrame:
    published = ~_excluded_entries(process, spans)[use.entry]
    entry_host, username, comm = process.split_entries(use.entry[published])
    cpu_seconds, byte_seconds = use.cpu_seconds[published], use.byte_seconds[published]
    cover_index_of_use = _cover_index(process, cover, use.bucket[published], entry_host)
    idle = np.ones(len(cover.bucket), dtype=bool)
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
            "host": _categorical(cover.host[cover_index], process.hosts),
            "username": _categorical(username[order], process.usernames),
            "comm": _categorical(comm[order], process.comms),
            "cpu_norm": np.concatenate([cpu_seconds, zeros])[order] / seconds,
            "rss_gb": np.concatenate([byte_seconds, zeros])[order] / seconds / BYTES_PER_GB,
            "covered_seconds": seconds,
            "snapshots": cover.snapshots[cover_index],
            "machine_cpu_norm": counted.cpu_norm[cover_index],
            "machine_cores": counted.cores[cover_index],
            "machine_used_gb": counted.used_gb[cover_index],
            "machine_gb": counted.total_gb[cover_index],
        }
    )


def _excluded_entries(process: Process, spans: Spans) -> Bools:
    """For each position in the entry keys whether its account is excluded."""
    excluded = np.zeros(len(process.entry_keys), dtype=bool)
    excluded[process.entry] = spans.excluded
    return excluded


def _cover_index(process: Process, cover: Cover, bucket: Ints, host: Ints) -> Ints:
    """For each bucket and host its position among the covered buckets, sorted by both."""
    hosts = max(len(process.hosts), 1)
    return np.searchsorted(cover.bucket * hosts + cover.host, bucket * hosts + host)


def _bucket_times(bucket: Ints) -> pd.Series:
    return pd.Series(bucket.astype("datetime64[s]")).dt.tz_localize("UTC").astype(UTC_BUCKET)


def _categorical(codes: Ints, names: npt.NDArray[np.object_]) -> pd.Categorical:
    """A categorical of the names that occur, so that equal data makes equal columns."""
    occurs = np.zeros(len(names), dtype=bool)
    occurs[codes[codes >= 0]] = True
    position = np.cumsum(occurs) - 1
    known = np.where(codes >= 0, position[codes], -1) if len(names) else codes
    return pd.Categorical.from_codes(known, pd.Index(names[occurs], dtype="str"))


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What the ledger is made from."""

    rows: pd.DataFrame
    process: Process
    snapshots: Snapshots
    offsets: Offsets
    spans: Spans
    window: Window

    def ledger(self, cover: Cover, use: Use, counted: MachineUse) -> Ledger:
        """Count rows, CPU and oddities."""
        process, snapshots, spans = self.process, self.snapshots, self.spans
        row_class, cpu_seconds = spans.row_class, spans.cpu_seconds
        inside = self._inside(process.time)
        snapshot_inside = self._inside(snapshots.time)
        rejected_epoch = self.rows["snapshot_time_epoch"].to_numpy()[process.rejected]
        rejected_inside = self._inside(rejected_epoch)

        # The share of each span inside the window, computed without the split into buckets, so that
        # the ledger and the aggregates check each other.
        overlap = np.minimum(spans.end, self.window.end) - np.maximum(
            spans.start, self.window.start
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            in_window = cpu_seconds * (np.clip(overlap, 0, None) / (spans.end - spans.start))
        shared = np.unique(
            np.stack([snapshots.snapshot_index, process.pid])[
                :, snapshots.shared & snapshot_inside[snapshots.snapshot_index]
            ],
            axis=1,
        )
        seen, machine = self._against_the_kernel(cover, use, counted)
        return Ledger(
            rows_read=len(self.rows),
            rows=_counts(row_class, len(process.dropped_time), len(process.rejected)),
            window_rows=_counts(
                row_class[inside],
                int(self._inside(process.dropped_time).sum()),
                int(rejected_inside.sum()),
            ),
            attributed_cpu_seconds=float(in_window[row_class == RowClass.ATTRIBUTED].sum()),
            excluded_cpu_seconds=float(in_window[spans.attributed & spans.excluded].sum()),
            gap_cpu_seconds=float(cpu_seconds[(row_class == RowClass.GAP) & inside].sum()),
            implausible_cpu_seconds=float(
                cpu_seconds[(row_class == RowClass.IMPLAUSIBLE) & inside].sum()
            ),
            seen_cpu_seconds=seen,
            machine_cpu_seconds=machine,
            covered_seconds=float(cover.seconds.sum()),
            buckets=len(cover.bucket),
            snapshots=int(snapshot_inside.sum()),
            odd_ages=int(self._inside(process.odd_time).sum()),
            clock_offsets=int((snapshot_inside & (self.offsets.seconds != 0)).sum()),
            shared_pids=shared.shape[1],
            stamped_snapshots=int((snapshot_inside & (snapshots.stamps > 1)).sum()),
            samples=self._samples(inside, rejected_inside),
        )

    def _inside(self, time: Floats) -> Bools:
        return (time >= self.window.start) & (time < self.window.end)

    def _against_the_kernel(
        self, cover: Cover, use: Use, counted: MachineUse
    ) -> tuple[float, float]:
        """Core-seconds that the snapshots saw and that the kernel counted, of the same buckets."""
        whole = np.minimum(cover.seconds, counted.covered_seconds)
        compared = whole >= BUCKET_SECONDS - _WHOLE_ROUNDING_SECONDS
        host, _, _ = self.process.split_entries(use.entry)
        index = _cover_index(self.process, cover, use.bucket, host)
        seen = sums(index, use.cpu_seconds, len(cover.bucket))
        machine = counted.cpu_norm * counted.covered_seconds
        return float(seen[compared].sum()), float(machine[compared].sum())

    def _samples(self, inside: Bools, rejected_inside: Bools) -> dict[str, list[str]]:
        """A few of the window's rejected and implausible rows as text, the earliest first."""
        process, rows = self.process, self.rows
        found: dict[str, list[str]] = {}
        if rejected_inside.any():
            position = process.rejected[rejected_inside]
            found["rejected"] = sample_of_rejected(rows, position)
        implausible = np.flatnonzero(inside & (self.spans.row_class == RowClass.IMPLAUSIBLE))
        if len(implausible):
            order = np.argsort(process.time[implausible], kind="stable")[:_SAMPLE_ROWS]
            found["implausible"] = [self._implausible_text(i) for i in implausible[order]]
        return found

    def _implausible_text(self, row: int) -> str:
        process, spans = self.process, self.spans
        host, username, comm = (int(code) for code in process.split_entries(process.entry[row]))
        return (
            f"{process.usernames[username]} {process.comms[comm]} on {process.hosts[host]} at "
            f"{process.time[row]:.0f}: {spans.cpu_seconds[row]:g} CPU-s in "
            f"{spans.end[row] - spans.start[row]:g} s"
        )


def _counts(classes: npt.NDArray[np.int8], duplicates: int, rejected: int) -> dict[str, int]:
    found = np.bincount(classes, minlength=len(RowClass))
    found[RowClass.DUPLICATE], found[RowClass.REJECTED] = duplicates, rejected
    return {row_class.label: int(found[row_class]) for row_class in RowClass}
