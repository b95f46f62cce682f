"""Usage at any resolution: sums are added, peaks are compared.

A *summary* holds, for each interval of one host, the covered time, the unit-seconds (core-seconds
or GB-seconds) and the highest 5-minute value. Unit-seconds are whole millionths, so every
resolution has the same sum. A mean is unit-seconds divided by covered seconds, never a mean of
means.

The chain: aggregates → usage → documents | packing ← summary → frame. A summary is made of a
:class:`~snapshot_assets.domain.usage.Usage`; :mod:`snapshot_assets.store.packing` turns it into
bytes, and :mod:`snapshot_assets.domain.frames` into tables. Adding a number: see CONTRIBUTING.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from snapshot_assets.domain.measures import (
    GROUPINGS,
    MEASURES,
    STEP_SECONDS,
    Grouping,
    Measure,
    Owner,
    Resolution,
)
from snapshot_assets.domain.time import BUCKET_SECONDS
from snapshot_assets.domain.usage import (
    MICRO,
    UNKNOWN,
    Bools,
    Entries,
    Ints,
    MachineCount,
    Usage,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Use by interval, or by interval and name, int64.

    Attributes:
        seconds: unit-seconds: millionths of a core or of a GB, times seconds.
        peak: highest 5-minute value, millionths of a core or of a GB.
    """

    seconds: Ints
    peak: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Use by interval and name, ordered by both. Each array has one element for each such pair.

    Attributes:
        interval_index: position of the interval in the summary.
        name_index: position in :meth:`Summary.names` of this grouping.
        amount: what the name used in the interval.
    """

    interval_index: Ints
    name_index: Ints
    amount: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineAmount:
    """The kernel's own count, by interval. Only the buckets of which it counted the use add to it.

    Attributes:
        covered: covered time of these buckets, in millionths of a bucket; 0 if the
            kernel counted in no bucket.
        amount: use of the whole machine in that time; its peak is UNKNOWN if there are none.
        users_seconds: unit-seconds of all users in that time.
        capacity: the newest known in the interval, millionths of a core or of a GB, or UNKNOWN.
    """

    covered: Ints
    amount: Amount
    users_seconds: Ints
    capacity: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One measure of a summary.

    Attributes:
        total: all use, by interval.
        other: use that no entry lists, by interval.
        groups: listed use, by grouping.
        machine: what the kernel counted, by interval; it is in none of the others. None if a reader
            did not ask for it.
    """

    total: Amount
    other: Amount
    groups: Mapping[Grouping, Group]
    machine: MachineAmount | None

    @property
    def counted(self) -> MachineAmount:
        """What the kernel counted.

        Raises:
            ValueError: whoever made the summary did not ask for it.
        """
        if self.machine is None:
            raise ValueError("this summary does not have what the kernel counted")
        return self.machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The covered intervals of one host, ascending. Each array has one element for each interval.

    Attributes:
        step_seconds: length of an interval.
        owners: (username, comm), sorted.
        start: epoch second at which the interval starts.
        covered: covered time, in millionths of a bucket (0.3 ms each).
        settled: whether all buckets of the interval are settled.
        parts: by measure; only the requested measures.
    """

    step_seconds: int
    owners: tuple[Owner, ...]
    start: Ints
    covered: Ints
    settled: Bools
    parts: Mapping[Measure, Part]

    def names(self, grouping: Grouping) -> list[tuple[str, ...]]:
        """The names that ``name_index`` of this grouping refers to, sorted."""
        if grouping == GROUPINGS[0]:
            return list(self.owners)
        position = GROUPINGS[0].index(grouping[0])
        return sorted({(owner[position],) for owner in self.owners})


def summarise(
    usage: Usage,
    resolution: Resolution,
    measures: Sequence[Measure] = MEASURES,
    groupings: Sequence[Grouping] = GROUPINGS,
) -> Summary:
    """Sum up the buckets of one host.

    Args:
        usage: buckets of one host, ascending.
        resolution: of the result.
        measures: the measures of the result.
        groupings: the breakdowns of the result.
    """
    parts = {}
    for measure in measures:
        total = _unit_seconds(usage.totals[measure], usage.coverage)
        listed = usage.entries[measure]
        seconds = _unit_seconds(listed.micro, usage.coverage[listed.bucket_index])
        whole = Amount(seconds=total, peak=usage.totals[measure])
        pairs = Group(
            interval_index=listed.bucket_index,
            name_index=listed.owner_index,
            amount=Amount(seconds=seconds, peak=listed.micro),
        )
        parts[measure] = Part(
            total=whole,
            other=remainder(whole, pairs, usage.others(measure)),
            # Within a bucket, the values of a user's commands add up to the user's value.
            groups={grouping: _grouped(usage.owners, pairs, grouping) for grouping in groupings},
            machine=_machine_amount(usage.machine.get(measure), total, usage.coverage),
        )
    fine = Summary(
        step_seconds=BUCKET_SECONDS,
        owners=usage.owners,
        start=usage.start,
        covered=usage.coverage,
        settled=usage.settled,
        parts=parts,
    )
    return coarsened(fine, resolution)


def coarsened(summary: Summary, resolution: Resolution) -> Summary:
    """The summary at a coarser resolution.

    Sums stay equal. Each peak is still the highest 5-minute value.
    """
    step = STEP_SECONDS[resolution]
    if step == summary.step_seconds or not len(summary.start):
        return replace(summary, step_seconds=step)
    aligned = summary.start // step * step
    firsts = _firsts(aligned)
    interval = np.repeat(np.arange(len(firsts)), np.diff(firsts, append=len(aligned)))
    return Summary(
        step_seconds=step,
        owners=summary.owners,
        start=aligned[firsts],
        covered=np.add.reduceat(summary.covered, firsts),
        settled=np.logical_and.reduceat(summary.settled, firsts),
        parts={
            measure: Part(
                total=_reduced(part.total, firsts),
                other=_reduced(part.other, firsts),
                groups={
                    grouping: _collected(
                        replace(group, interval_index=interval[group.interval_index]), np.maximum
                    )
                    for grouping, group in part.groups.items()
                },
                machine=None if part.machine is None else _coarser(part.machine, firsts),
            )
            for measure, part in summary.parts.items()
        },
    )


def regrouped(owners: Sequence[Owner], pairs: Group, grouping: Grouping) -> Group:
    """The (username, comm) pairs added up by user or by command.

    The peak of a user or command is at least the highest peak of a pair; this lower bound is given.
    """
    return _grouped(owners, pairs, grouping, np.maximum)


def remainder(total: Amount, pairs: Group, peak: Ints) -> Amount:
    """The total minus the listed pairs, with the given peak: peaks cannot be subtracted."""
    listed = np.zeros(len(total.seconds), dtype=np.int64)
    np.add.at(listed, pairs.interval_index, pairs.amount.seconds)
    return Amount(seconds=total.seconds - listed, peak=peak)


def averaged(host: str, summary: Summary) -> Usage:
    """The means of a host's intervals, rounded to millionths, as if each interval were a bucket.

    ``coverage`` is the covered share of the whole interval, and ``counts`` is empty.
    """
    covered_seconds = summary.covered * BUCKET_SECONDS / MICRO
    totals, entries, machine = {}, {}, {}
    for measure, part in summary.parts.items():
        pairs = part.groups[GROUPINGS[0]]
        totals[measure] = _mean(part.total.seconds, covered_seconds)
        means = _mean(pairs.amount.seconds, covered_seconds[pairs.interval_index])
        entries[measure] = Entries(
            bucket_index=pairs.interval_index, owner_index=pairs.name_index, micro=means
        )
        if part.machine is not None:
            machine[measure] = _averaged_machine(part.machine)
    shares = covered_seconds * MICRO / summary.step_seconds
    return Usage(
        hosts=(host,),
        owners=summary.owners,
        host_index=np.zeros(len(summary.start), dtype=np.int64),
        start=summary.start,
        coverage=np.maximum(np.rint(shares), 1).astype(np.int64),
        counts={},
        settled=summary.settled,
        totals=totals,
        entries=entries,
        machine=machine,
    )


def _mean(micro_seconds: Ints, covered_seconds: npt.NDArray[np.float64]) -> Ints:
    return np.rint(micro_seconds / covered_seconds).astype(np.int64)


def _unit_seconds(micro: Ints, coverage: Ints) -> Ints:
    """Millionths times covered seconds, rounded to whole ones, for each bucket."""
    # Times 300 s, divided by a million; for 24 TB the product stays far below the largest integer.
    return (micro * coverage * 3 + 5_000) // 10_000


def _machine_amount(
    count: MachineCount | None, total_seconds: Ints, coverage: Ints
) -> MachineAmount | None:
    """What the kernel counted in each bucket; the bucket's covered time weighs it, as all use."""
    if count is None:
        return None
    known = count.used != UNKNOWN
    return MachineAmount(
        covered=np.where(known, coverage, 0),
        amount=Amount(
            seconds=np.where(known, _unit_seconds(count.used, coverage), 0), peak=count.used
        ),
        users_seconds=np.where(known, total_seconds, 0),
        capacity=count.capacity,
    )


def _coarser(machine: MachineAmount, firsts: Ints) -> MachineAmount:
    return MachineAmount(
        covered=np.add.reduceat(machine.covered, firsts),
        amount=_reduced(machine.amount, firsts),
        users_seconds=np.add.reduceat(machine.users_seconds, firsts),
        capacity=_newest_known(machine.capacity, firsts),
    )


def _averaged_machine(machine: MachineAmount) -> MachineCount:
    known = machine.covered > 0
    covered_seconds = machine.covered[known] * BUCKET_SECONDS / MICRO
    used = np.full(len(known), UNKNOWN)
    used[known] = _mean(machine.amount.seconds[known], covered_seconds)
    return MachineCount(used=used, capacity=machine.capacity)


def _newest_known(values: Ints, firsts: Ints) -> Ints:
    """For each run of values that starts at these positions the last known one."""
    last = np.maximum.reduceat(np.where(values != UNKNOWN, np.arange(len(values)), -1), firsts)
    return np.where(last >= 0, values[last], UNKNOWN)


def _reduced(amount: Amount, firsts: Ints) -> Amount:
    return Amount(
        seconds=np.add.reduceat(amount.seconds, firsts),
        peak=np.maximum.reduceat(amount.peak, firsts),
    )


def _grouped(
    owners: Sequence[Owner], pairs: Group, grouping: Grouping, peaks: np.ufunc = np.add
) -> Group:
    """Pairs added up by user or by command; ``peaks`` says whether peaks are added or compared."""
    if grouping == GROUPINGS[0]:
        return pairs
    position = GROUPINGS[0].index(grouping[0])
    place = {name: i for i, name in enumerate(sorted({owner[position] for owner in owners}))}
    code = np.array([place[owner[position]] for owner in owners], dtype=np.int64)
    return _collected(replace(pairs, name_index=code[pairs.name_index]), peaks)


def _collected(group: Group, peaks: np.ufunc) -> Group:
    """The group with one element for each interval and name, its elements combined."""
    interval, name = group.interval_index, group.name_index
    if not len(interval):
        return group
    key = interval * (int(name.max()) + 1) + name
    seconds, peak = group.amount.seconds, group.amount.peak
    # Pairs are ordered by username first, so users need no sorting.
    if (key[1:] < key[:-1]).any():
        order = np.argsort(key, kind="stable")
        key, interval, name = key[order], interval[order], name[order]
        seconds, peak = seconds[order], peak[order]
    firsts = _firsts(key)
    amount = Amount(seconds=np.add.reduceat(seconds, firsts), peak=peaks.reduceat(peak, firsts))
    return Group(interval_index=interval[firsts], name_index=name[firsts], amount=amount)


def _firsts(values: Ints) -> Ints:
    """The positions at which a value differs from the value before; 0 is the first."""
    differs = np.ones(len(values), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=differs[1:])
    return np.flatnonzero(differs)
