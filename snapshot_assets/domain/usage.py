"""What hosts used, bucket by bucket, in whole millionths: the source of documents and frames.

The chain: aggregates → usage → documents | packing ← summary. Aggregates are rounded once, here.
:mod:`snapshot_assets.domain.documents` writes usage as JSON, :mod:`snapshot_assets.domain.summary`
adds usage up by hour and day, and :mod:`snapshot_assets.store.packing` turns usage and summaries
into bytes. All of them add whole numbers, so all forms agree to the last digit. Adding a number:
see CONTRIBUTING.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from snapshot_assets.domain.measures import COUNTS, MEASURES, Count, Measure, Owner, Stage
from snapshot_assets.domain.rules import DocumentRules
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS

Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Rows: TypeAlias = slice | Ints

DECIMALS = 6
MICRO = 10**DECIMALS
# Stands for what the kernel did not count. All known numbers are zero or more.
UNKNOWN = -1
# A million cores, or a petabyte. The kernel's counters can jump; sums of more would not fit.
_MOST_MICRO = 10**6 * MICRO
# The columns of the aggregates, by measure: what users used; what the machine used and has.
_COLUMNS: Mapping[Measure, str] = {"cpu": "cpu_norm", "mem": "rss_gb"}
_MACHINE_COLUMNS: Mapping[Measure, tuple[str, str]] = {
    "cpu": ("machine_cpu_norm", "machine_cores"),
    "mem": ("machine_used_gb", "machine_gb"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """The owners that buckets list by name: one element per entry, by bucket, username and comm.

    Attributes:
        bucket_index: position of the bucket in the :class:`Usage`.
        owner_index: position of (username, comm) in the owners of the :class:`Usage`.
        micro: millionths of a core or of a GB.
    """

    bucket_index: Ints
    owner_index: Ints
    micro: Ints

    def at(self, rows: Rows) -> Entries:
        """The entries at these positions, in this order."""
        return Entries(
            bucket_index=self.bucket_index[rows],
            owner_index=self.owner_index[rows],
            micro=self.micro[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineCount:
    """The kernel's own count of one measure, by bucket; :data:`UNKNOWN` where it did not count.

    Attributes:
        used: what the whole machine used on average, millionths of a core or of a GB.
        capacity: what the machine has, millionths of a core or of a GB.
    """

    used: Ints
    capacity: Ints

    @classmethod
    def unknown(cls, count: int) -> MachineCount:
        """Nothing is known of any of so many buckets."""
        return cls(used=np.full(count, UNKNOWN), capacity=np.full(count, UNKNOWN))

    def at(self, rows: Rows) -> MachineCount:
        """The count of the buckets at these positions."""
        return MachineCount(used=self.used[rows], capacity=self.capacity[rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The covered buckets of hosts. Each array has one element for each bucket of each host.

    Attributes:
        hosts: host names, in any order.
        owners: (username, comm) that entries refer to, sorted.
        host_index: position in ``hosts``.
        start: epoch second at which the bucket starts.
        coverage: covered share of the bucket, in millionths; at least 1.
        counts: an array for each count, for example the number of snapshots whose span overlaps the
            bucket; empty if the intervals are longer than a bucket.
        settled: whether the bucket is settled rather than live.
        totals: an array for each measure, millionths of a core or of a GB.
        entries: for each measure the entries of all buckets.
        machine: for each measure what the kernel counted; it is in no total and in no entry. Empty
            if a reader did not ask for it.
    """

    hosts: tuple[str, ...]
    owners: tuple[Owner, ...]
    host_index: Ints
    start: Ints
    coverage: Ints
    counts: Mapping[Count, Ints]
    settled: Bools
    totals: Mapping[Measure, Ints]
    entries: Mapping[Measure, Entries]
    machine: Mapping[Measure, MachineCount]

    def __len__(self) -> int:
        return len(self.start)

    def others(self, measure: Measure) -> Ints:
        """For each bucket the total minus the listed entries, millionths.

        Each entry is rounded on its own, so the result can be a few millionths below zero.
        """
        entries = self.entries[measure]
        listed = np.zeros(len(self), dtype=np.int64)
        np.add.at(listed, entries.bucket_index, entries.micro)
        return self.totals[measure] - listed

    def select(self, chosen: Bools) -> Usage:
        """The buckets for which ``chosen`` is true, in the same order, with all owners."""
        if chosen.all():
            return self
        return self.at(np.flatnonzero(chosen))

    def between(self, first: int, last: int) -> Usage:
        """The buckets that start from ``first`` to ``last``, both included.

        The usage must be of one host and ascending, so that a binary search finds both ends.
        """
        low, high = np.searchsorted(self.start, [first, last + 1]).tolist()
        return self if high - low == len(self) else self._part(low, high)

    def _part(self, low: int, high: int) -> Usage:
        """The buckets at the positions from ``low`` up to ``high``, excluding ``high``."""
        entries = {}
        for measure in MEASURES:
            found = self.entries[measure]
            found = found.at(slice(*np.searchsorted(found.bucket_index, [low, high]).tolist()))
            entries[measure] = replace(found, bucket_index=found.bucket_index - low)
        return self._rows(slice(low, high), entries)

    def _rows(self, rows: Rows, entries: Mapping[Measure, Entries]) -> Usage:
        """The buckets at these positions, with these entries, which refer to the new positions."""
        return Usage(
            hosts=self.hosts,
            owners=self.owners,
            host_index=self.host_index[rows],
            start=self.start[rows],
            coverage=self.coverage[rows],
            counts={count: values[rows] for count, values in self.counts.items()},
            settled=self.settled[rows],
            totals={measure: self.totals[measure][rows] for measure in MEASURES},
            entries=entries,
            machine={measure: count.at(rows) for measure, count in self.machine.items()},
        )

    def by_host_day(self) -> Iterator[tuple[str, int, Usage]]:
        """The usage by host and UTC day: host, epoch second of the day, buckets, ascending."""
        day = self.start // DAY_SECONDS
        order = np.lexsort((self.start, self.host_index))
        changes = np.flatnonzero(
            (np.diff(self.host_index[order]) != 0) | (np.diff(day[order]) != 0)
        )
        whole = self if _ascending(order) else self.at(order)
        bounds = [0, *(changes + 1).tolist(), len(self)] if len(self) else [0]
        for first, last in pairwise(bounds):
            host = self.hosts[whole.host_index[first]]
            part = whole._part(first, last)
            host_index = np.zeros(last - first, dtype=np.int64)
            yield (
                host,
                int(part.start[0] // DAY_SECONDS * DAY_SECONDS),
                replace(part, hosts=(host,), host_index=host_index),
            )

    def with_needed_owners(self) -> Usage:
        """The same usage without the owners that no entry refers to."""
        needed = np.unique(np.concatenate([self.entries[m].owner_index for m in MEASURES]))
        if len(needed) == len(self.owners):
            return self
        return replace(
            self,
            owners=tuple(self.owners[i] for i in needed.tolist()),
            entries={
                m: replace(e, owner_index=np.searchsorted(needed, e.owner_index))
                for m, e in self.entries.items()
            },
        )

    def at(self, positions: Ints) -> Usage:
        """The buckets at these positions, in this order."""
        place = np.full(len(self), -1, dtype=np.int64)
        place[positions] = np.arange(len(positions))
        entries = {}
        for measure in MEASURES:
            found = self.entries[measure]
            bucket_index = place[found.bucket_index]
            rows = np.flatnonzero(bucket_index >= 0)
            rows = rows[np.argsort(bucket_index[rows], kind="stable")]
            entries[measure] = replace(found.at(rows), bucket_index=bucket_index[rows])
        return self._rows(positions, entries)


def usage_from_aggregates(aggregates: pd.DataFrame, rules: DocumentRules, stage: Stage) -> Usage:
    """Round the aggregates of any hosts and buckets to millionths, and choose the entries.

    Args:
        aggregates: as the schema :class:`~snapshot_assets.domain.schemas.FiveMinuteAggregates`, in
            the order of that schema.
        rules: which (username, comm) are listed by name.
        stage: ``live`` for what was accounted so far, ``settled`` once the day is over.

    Returns:
        The buckets in the order of the aggregates. Totals are rounded once, from the unrounded
        values.
    """
    first_rows = np.flatnonzero(~aggregates.duplicated(["bucket_start", "host"]).to_numpy())
    heads = aggregates.iloc[first_rows]
    count = len(first_rows)
    bucket_of_row = np.repeat(np.arange(count), np.diff(np.append(first_rows, len(aggregates))))
    covered = heads["covered_seconds"].to_numpy() / BUCKET_SECONDS
    thresholds = {"cpu": rules.cpu_threshold_cores, "mem": rules.mem_threshold_gb}
    values = {measure: aggregates[_COLUMNS[measure]].to_numpy() for measure in MEASURES}
    micros = {m: np.rint(value * MICRO).astype(np.int64) for m, value in values.items()}
    listed = {m: np.flatnonzero((values[m] > thresholds[m]) & (micros[m] > 0)) for m in MEASURES}
    owners, owner_of_row = _owners(aggregates, np.union1d(listed["cpu"], listed["mem"]))
    entries = {}
    for measure, rows in listed.items():
        bucket_index, owner_index = bucket_of_row[rows], owner_of_row[rows]
        order = np.lexsort((owner_index, bucket_index))
        entries[measure] = Entries(
            bucket_index=bucket_index[order],
            owner_index=owner_index[order],
            micro=micros[measure][rows][order],
        )
    return Usage(
        hosts=tuple(heads["host"].cat.categories.tolist()),
        owners=owners,
        host_index=heads["host"].cat.codes.to_numpy().astype(np.int64),
        start=heads["bucket_start"].dt.as_unit("s").astype("int64").to_numpy(),
        coverage=np.clip(np.rint(covered * MICRO), 1, MICRO).astype(np.int64),
        counts={"snapshots": heads["snapshots"].to_numpy()},
        settled=np.full(count, stage == "settled"),
        totals={
            m: np.rint(
                np.bincount(bucket_of_row, weights=values[m], minlength=count) * MICRO
            ).astype(np.int64)
            for m in MEASURES
        },
        entries=entries,
        machine={
            m: MachineCount(used=_known_micro(heads[used]), capacity=_known_micro(heads[capacity]))
            for m, (used, capacity) in _MACHINE_COLUMNS.items()
        },
    )


def joined(usages: Sequence[Usage]) -> Usage:
    """The usage of several parts of one host, in the order of time.

    Raises:
        ValueError: two parts have the same bucket.
    """
    if len(usages) == 1:
        return usages[0]
    owners = tuple(sorted({owner for part in usages for owner in part.owners}))
    place = {owner: i for i, owner in enumerate(owners)}
    offsets = np.cumsum([0, *(len(part) for part in usages)])
    joined_entries = {}
    for measure in MEASURES:
        found = [part.entries[measure] for part in usages]
        owner_index = [
            np.array([place[owner] for owner in part.owners], dtype=np.int64)[entries.owner_index]
            for part, entries in zip(usages, found, strict=True)
        ]
        joined_entries[measure] = Entries(
            bucket_index=np.concatenate(
                [e.bucket_index + first for e, first in zip(found, offsets, strict=False)]
            ),
            owner_index=np.concatenate(owner_index),
            micro=np.concatenate([entries.micro for entries in found]),
        )
    whole = Usage(
        hosts=usages[0].hosts,
        owners=owners,
        host_index=np.concatenate([part.host_index for part in usages]),
        start=np.concatenate([part.start for part in usages]),
        coverage=np.concatenate([part.coverage for part in usages]),
        counts={c: np.concatenate([part.counts[c] for part in usages]) for c in COUNTS},
        settled=np.concatenate([part.settled for part in usages]),
        totals={m: np.concatenate([part.totals[m] for part in usages]) for m in MEASURES},
        entries=joined_entries,
        machine={
            m: MachineCount(
                used=np.concatenate([part.machine[m].used for part in usages]),
                capacity=np.concatenate([part.machine[m].capacity for part in usages]),
            )
            for m in usages[0].machine
        },
    )
    order = np.argsort(whole.start, kind="stable")
    whole = whole if _ascending(order) else whole.at(order)
    if (np.diff(whole.start) == 0).any():
        raise ValueError(f"two parts have the same bucket of {whole.hosts[0]!r}")
    return whole


def _owners(aggregates: pd.DataFrame, rows: Ints) -> tuple[tuple[Owner, ...], Ints]:
    """The owners of these rows, sorted, and for each row its position in them; -1 elsewhere."""
    username, comm = aggregates["username"].cat, aggregates["comm"].cat
    width = len(comm.categories) + 1
    # Idle rows have code -1 in both and are never listed.
    key = username.codes.to_numpy().astype(np.int64) * width + comm.codes.to_numpy()
    keys = np.unique(key[rows])
    usernames, comms = username.categories.tolist(), comm.categories.tolist()
    owners = [(usernames[k // width], comms[k % width]) for k in keys.tolist()]
    order = sorted(range(len(owners)), key=owners.__getitem__)
    place = np.empty(len(owners), dtype=np.int64)
    place[order] = np.arange(len(owners))
    owner_index = np.full(len(key), -1, dtype=np.int64)
    owner_index[rows] = place[np.searchsorted(keys, key[rows])]
    return tuple(owners[i] for i in order), owner_index


def _known_micro(values: pd.Series) -> Ints:
    """Numbers of the kernel in millionths; missing and impossible ones are UNKNOWN."""
    with np.errstate(invalid="ignore"):
        micro = np.rint(values.to_numpy() * MICRO)
        return np.where(micro <= _MOST_MICRO, micro, UNKNOWN).astype(np.int64)


def _ascending(order: Ints) -> bool:
    return bool((np.diff(order) == 1).all()) if len(order) else True
