"""Frames: summaries of several hosts as one table, for people and charts.

The chain: aggregates → usage → summary → frame. :mod:`snapshot_assets.domain.summary` adds and
compares; this module only puts rows in order and turns millionths into numbers. Adding a number:
see CONTRIBUTING.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from snapshot_assets.domain.measures import STEP_SECONDS, Grouping, Measure, Resolution
from snapshot_assets.domain.summary import Amount, Summary
from snapshot_assets.domain.time import BUCKET_SECONDS
from snapshot_assets.domain.usage import MICRO, UNKNOWN, Bools, Ints

# Stands for all use that no entry lists. No account can have parentheses in its name.
OTHER = "(other)"
# The columns of mean, peak and sum, by measure.
COLUMNS: Mapping[Measure, tuple[str, str, str]] = {
    "cpu": ("cores_mean", "cores_peak", "core_seconds"),
    "mem": ("gb_mean", "gb_peak", "gb_seconds"),
}
# Of what the kernel counted, besides: what the machine has, and what users used in the same time.
MACHINE_COLUMNS: Mapping[Measure, tuple[str, str]] = {
    "cpu": ("cores_capacity", "users_core_seconds"),
    "mem": ("gb_capacity", "users_gb_seconds"),
}


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
    columns = _keys(stacked)
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


def machine_frame(
    summaries: Sequence[tuple[str, Summary]], measure: Measure, resolution: Resolution
) -> pd.DataFrame:
    """What the kernel counted, as one frame with the rows of :func:`tidy` without a grouping.

    Takes the arguments of :func:`tidy`; all summaries hold the machine.
    """
    mean, peak, unit_seconds = COLUMNS[measure]
    capacity, users_seconds = MACHINE_COLUMNS[measure]
    stacked = _Stacked(summaries, measure, ())
    counts = [summary.parts[measure].counted for _, summary in summaries]
    amount = _stack([count.amount for count in counts])
    covered_seconds = _concatenated([count.covered for count in counts]) * BUCKET_SECONDS / MICRO
    users = _concatenated([count.users_seconds for count in counts])
    known = covered_seconds > 0
    seconds = np.where(known, amount.seconds / MICRO, np.nan)
    peaks = _known(amount.peak)
    # Of no time and of no use there is no share.
    with np.errstate(invalid="ignore", divide="ignore"):
        means = peaks if resolution == "5min" else seconds / covered_seconds
        users_share = np.where(amount.seconds > 0, users / amount.seconds, np.nan)
    return pd.DataFrame(
        _keys(stacked)
        | {
            mean: means,
            peak: peaks,
            unit_seconds: seconds,
            capacity: _known(_concatenated([count.capacity for count in counts])),
            users_seconds: np.where(known, users / MICRO, np.nan),
            "users_share": users_share,
            "covered_seconds": covered_seconds,
            "coverage": covered_seconds / STEP_SECONDS[resolution],
            "settled": stacked.settled,
        },
        copy=False,
    )


def _keys(stacked: _Stacked) -> dict[str, Any]:
    """The columns of start and host."""
    start = stacked.start[stacked.interval].astype("datetime64[s]").astype("datetime64[us]")
    return {
        "start": pd.DatetimeIndex(start, tz="UTC"),
        "host": pd.Categorical.from_codes(stacked.host[stacked.interval], stacked.hosts),
    }


def _known(micro: Ints) -> npt.NDArray[np.float64]:
    """Numbers of the kernel as cores or GB; NaN for what it did not count."""
    return np.where(micro == UNKNOWN, np.nan, micro / MICRO)


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
