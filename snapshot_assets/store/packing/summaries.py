"""A settled day's summary, by hour or for the whole day, as one text. Format: docs/frames.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from snapshot_assets.domain.measures import (
    GROUPINGS,
    MEASURES,
    STEP_SECONDS,
    Grouping,
    Measure,
    Owner,
    Resolution,
)
from snapshot_assets.domain.summary import Amount, Group, Part, Summary, regrouped, remainder
from snapshot_assets.domain.time import DAY_SECONDS
from snapshot_assets.store.packing.damage import PackingError
from snapshot_assets.store.packing.machines import (
    MACHINE_OF_INTERVALS,
    packed_machine_amount,
    unpacked_machine_amount,
)
from snapshot_assets.store.packing.sections import (
    Column,
    Columns,
    Layout,
    Sections,
    pack,
    require_below,
)

SUMMARY_VERSION = 3

_PAIRS, *_COARSER = GROUPINGS
_INTERVALS: Columns = (Column("start"), Column("covered"), Column("settled"))
_TOTALS: Columns = (
    Column("total_seconds"),
    Column("total_peak"),
    Column("other_peak", signed=True),
    *MACHINE_OF_INTERVALS,
)
_LISTED: Columns = (
    Column("interval_index"),
    Column("name_index"),
    Column("seconds"),
    Column("peak"),
)
# How much the peak of a user is above the highest peak of the user's pairs; the same for commands.
_EXCESS: Columns = (Column("peak"),)
_OF_MEASURE: tuple[Columns, ...] = (_TOTALS, _LISTED, *([_EXCESS] * len(_COARSER)))
_TABLES: tuple[Columns, ...] = (_INTERVALS, *(_OF_MEASURE * len(MEASURES)))
_LAYOUTS = {step: Layout(SUMMARY_VERSION, step, _TABLES) for step in STEP_SECONDS.values()}


def pack_summary(summary: Summary, day: int) -> bytes:
    """A summary as one text.

    Args:
        summary: with both measures, all groupings, and what the kernel counted.
        day: epoch second at which the summary's UTC day starts.
    """
    tables: list[Mapping[str, Any]] = [
        {"start": summary.start - day, "covered": summary.covered, "settled": summary.settled}
    ]
    for measure in MEASURES:
        part = summary.parts[measure]
        pairs = part.groups[_PAIRS]
        tables += [
            {
                "total_seconds": part.total.seconds,
                "total_peak": part.total.peak,
                "other_peak": part.other.peak,
                **packed_machine_amount(part.counted),
            },
            {
                "interval_index": pairs.interval_index,
                "name_index": pairs.name_index,
                "seconds": pairs.amount.seconds,
                "peak": pairs.amount.peak,
            },
        ]
        for grouping in _COARSER:
            highest = regrouped(summary.owners, pairs, grouping).amount.peak
            tables.append({"peak": part.groups[grouping].amount.peak - highest})
    return pack(_LAYOUTS[summary.step_seconds], summary.owners, tables)


def unpack_summary(
    blob: bytes,
    resolution: Resolution,
    day: int,
    measures: Sequence[Measure],
    grouping: Grouping,
    machine: bool = True,
) -> Summary:
    """The inverse of :func:`pack_summary`, with these measures and this grouping.

    With an empty grouping, the parts have no groups, and ``other`` is the total. What the kernel
    counted is left out unless ``machine`` asks for it.

    Raises:
        PackingError: the bytes are damaged or of an unknown version.
    """
    sections = Sections(blob, _LAYOUTS[STEP_SECONDS[resolution]])
    found = sections.table(0)
    require_below(found["start"], DAY_SECONDS)
    owners = sections.owners() if grouping else ()
    return Summary(
        step_seconds=STEP_SECONDS[resolution],
        owners=owners,
        start=found["start"] + day,
        covered=found["covered"],
        settled=found["settled"].astype(np.bool_),
        parts={
            measure: _unpacked_part(
                sections, measure, owners, grouping, len(found["start"]), machine
            )
            for measure in measures
        },
    )


def _unpacked_part(
    sections: Sections,
    measure: Measure,
    owners: Sequence[Owner],
    grouping: Grouping,
    intervals: int,
    with_machine: bool,
) -> Part:
    first = 1 + len(_OF_MEASURE) * MEASURES.index(measure)
    totals = sections.table(first, () if with_machine else MACHINE_OF_INTERVALS)
    total = Amount(seconds=totals["total_seconds"], peak=totals["total_peak"])
    if len(total.seconds) != intervals:
        raise PackingError("it has another number of totals than of intervals")
    machine = unpacked_machine_amount(totals) if with_machine else None
    if not grouping:
        return Part(total=total, other=total, groups={}, machine=machine)
    listed = sections.table(first + 1)
    require_below(listed["interval_index"], intervals)
    require_below(listed["name_index"], len(owners))
    group = Group(
        interval_index=listed["interval_index"],
        name_index=listed["name_index"],
        amount=Amount(seconds=listed["seconds"], peak=listed["peak"]),
    )
    rest = remainder(total, group, totals["other_peak"])
    if grouping != _PAIRS:
        excess = sections.table(first + 2 + _COARSER.index(grouping))["peak"]
        group = regrouped(owners, group, grouping)
        if len(excess) != len(group.interval_index):
            raise PackingError("it has another number of peaks than of names")
        group = replace(group, amount=replace(group.amount, peak=group.amount.peak + excess))
    return Part(total=total, other=rest, groups={grouping: group}, machine=machine)
