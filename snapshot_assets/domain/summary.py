"""Usage at any resolution: sums are added, peaks are compared.

A *summary* holds, for each interval of one host, the covered time, the unit-seconds (core-seconds
or GB-seconds) and the highest 5-minute value. Unit-seconds are whole millionths, so every
resolution has the same sum. A mean is unit-seconds divided by covered seconds, never a mean of
means.

The chain: aggregates → usage → documents | packing ← summary. A summary is made of a
:class:`~snapshot_assets.domain.usage.Usage`; :mod:`snapshot_assets.store.packing` turns it into
bytes. Adding a number: see CONTRIBUTING.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

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
from snapshot_assets.domain.usage import MICRO, Bools, Entries, Ints, Usage

# Stands for all use that no entry lists. No account can have parentheses in its name.
OTHER = "(other)"
# The columns of mean, peak and sum, by measure.
COLUMNS: Mapping[Measure, tuple[str, str, str]] = {
    "cpu": ("cores_mean", "cores_peak", "core_seconds"),
    "mem": ("gb_mean", "gb_peak", "gb_seconds"),
}


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
class Part:
    """One measure of a summary.

    Attributes:
        total: all use, by interval.
        other: use that no entry lists, by interval.
        groups: listed use, by grouping.
    """

    total: Amount
    other: Amount
    groups: Mapping[Grouping, Group]


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
    totals, entries = {}, {}
    for measure, part in summary.parts.items():
        pairs = part.groups[GROUPINGS[0]]
        totals[measure] = _mean(part.total.seconds, covered_seconds)
        means = _mean(pairs.amount.seconds, covered_seconds[pairs.interval_index])
        entries[measure] = Entries(
            bucket_index=pairs.interval_index, owner_index=pairs.name_index, micro=means
        )
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
    )


def tidy(
    summaries: Sequence[tuple[str, Summary]],
    measure: Measure,
    by: Grouping,
    resolution: Resolution,
) -> pd.DataFrame:
    """One frame from the summaries of several hosts.

    Args:
        summaries: host and summary; the hosts in order, and the summaries of a host in the order of
            time. All hold the measure, and the grouping unless ``by`` is empty.
        measure: the measure that the frame shows.
        by: what each interval is broken down by; empty for the host's total.
        resolution: of the summaries.

    Returns:
        The rows that :meth:`snapshot_assets.store.reading.reader.RedisReader.get_frame` describes.
    """
    mean, peak, unit_seconds = COLUMNS[measure]
    stacked = _Stacked(summaries, measure, by)
    covered_seconds = stacked.covered * BUCKET_SECONDS / MICRO
    row_covered = covered_seconds[stacked.interval]
    if resolution == "5min":
        means = stacked.amount.peak / MICRO
    else:
        means = stacked.amount.seconds / MICRO / row_covered
    start = stacked.start[stacked.interval].astype("datetime64[s]").astype("datetime64[us]")
    columns = {
        "start": pd.DatetimeIndex(start, tz="UTC"),
        "host": pd.Categorical.from_codes(stacked.host[stacked.interval], stacked.hosts),
    }
    for name, codes, names in zip(by, stacked.codes, stacked.names, strict=True):
        columns[name] = pd.Categorical.from_codes(codes, names)
    return pd.DataFrame(
        columns
        | {
            mean: means,
            peak: stacked.amount.peak / MICRO,
            unit_seconds: stacked.amount.seconds / MICRO,
            "covered_seconds": row_covered,
            "coverage": row_covered / STEP_SECONDS[resolution],
            "settled": stacked.settled[stacked.interval],
        },
        copy=False,
    )


class _Stacked:
    """Summaries one below the other; in each interval the rest comes after the listed names."""

    def __init__(
        self, summaries: Sequence[tuple[str, Summary]], measure: Measure, by: Grouping
    ) -> None:
        names = list(dict.fromkeys(host for host, _ in summaries))
        place = {host: i for i, host in enumerate(names)}
        sizes = [len(summary.start) for _, summary in summaries]
        parts = [summary.parts[measure] for _, summary in summaries]
        self.hosts = pd.Index(names, dtype=object)
        self.host = np.repeat(
            np.array([place[host] for host, _ in summaries], dtype=np.int64), sizes
        )
        self.start = _concatenated([summary.start for _, summary in summaries])
        self.covered = _concatenated([summary.covered for _, summary in summaries])
        self.settled = _concatenated([s.settled for _, s in summaries]).astype(np.bool_)
        count = len(self.start)
        self.codes: list[Ints] = []
        self.names: list[pd.Index] = []
        if not by:
            self.interval = np.arange(count)
            self.amount = _stack([part.total for part in parts])
            return
        groups = [part.groups[by] for part in parts]
        offsets = np.cumsum([0, *sizes])[:-1]
        listed_in = _concatenated(
            [g.interval_index + first for g, first in zip(groups, offsets, strict=True)]
        )
        ends = np.cumsum(np.bincount(listed_in, minlength=count))
        entry_at, rest_at = np.arange(len(listed_in)) + listed_in, ends + np.arange(count)
        self.interval = _merged(entry_at, listed_in, rest_at, np.arange(count))
        listed, rest = _stack([g.amount for g in groups]), _stack([part.other for part in parts])
        self.amount = Amount(
            seconds=_merged(entry_at, listed.seconds, rest_at, rest.seconds),
            peak=_merged(entry_at, listed.peak, rest_at, rest.peak),
        )
        known = [summary.names(by) for _, summary in summaries]
        for position in range(len(by)):
            categories = sorted({name[position] for names in known for name in names} | {OTHER})
            code = {name: i for i, name in enumerate(categories)}
            to_code = [
                np.array([code[n[position]] for n in names], dtype=np.int64) for names in known
            ]
            entry_codes = _concatenated(
                [codes[g.name_index] for codes, g in zip(to_code, groups, strict=True)]
            )
            rest_codes = np.full(count, code[OTHER])
            self.codes.append(_merged(entry_at, entry_codes, rest_at, rest_codes))
            self.names.append(pd.Index(categories, dtype=object))


def _merged(first_at: Ints, first: Ints, second_at: Ints, second: Ints) -> Ints:
    found = np.empty(len(first_at) + len(second_at), dtype=np.int64)
    found[first_at] = first
    found[second_at] = second
    return found


def _stack(amounts: Sequence[Amount]) -> Amount:
    return Amount(
        seconds=_concatenated([amount.seconds for amount in amounts]),
        peak=_concatenated([amount.peak for amount in amounts]),
    )


def _concatenated(arrays: Sequence[Ints | Bools]) -> Ints:
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.int64)


def _mean(micro_seconds: Ints, covered_seconds: npt.NDArray[np.float64]) -> Ints:
    return np.rint(micro_seconds / covered_seconds).astype(np.int64)


def _unit_seconds(micro: Ints, coverage: Ints) -> Ints:
    """Millionths times covered seconds, rounded to whole ones, for each bucket."""
    # Times 300 s, divided by a million; for 24 TB the product stays far below the largest integer.
    return (micro * coverage * 3 + 5_000) // 10_000


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
