"""The kernel's own count as columns of numbers: the same in buckets, days and summaries.

A number is packed as one more than it is, so that 0 means unknown. Columns that an older version
lacks read as 0: there, nothing is known of the machine.
"""

from __future__ import annotations

from collections.abc import Mapping

from snapshot_assets.domain.measures import MEASURES, Measure
from snapshot_assets.domain.summary import Amount, MachineAmount
from snapshot_assets.domain.usage import UNKNOWN, Ints, MachineCount
from snapshot_assets.store.packing.sections import Column, Columns

# Buckets, days and summaries all have these columns since their version 3.
# Of a bucket: for each measure what the machine used, and what it has.
_USED: Mapping[Measure, str] = {measure: f"machine_{measure}" for measure in MEASURES}
_CAPACITY: Mapping[Measure, str] = {measure: f"machine_{measure}_capacity" for measure in MEASURES}
MACHINE_OF_BUCKETS: Columns = tuple(
    Column(names[measure], since=3) for measure in MEASURES for names in (_USED, _CAPACITY)
)
# Of an interval and one measure.
MACHINE_OF_INTERVALS: Columns = (
    Column("machine_covered", since=3),
    Column("machine_seconds", since=3),
    Column("machine_users_seconds", since=3),
    Column("machine_peak", since=3),
    Column("machine_capacity", since=3),
)


def packed_machine(machine: Mapping[Measure, MachineCount]) -> dict[str, Ints]:
    """The columns of :data:`MACHINE_OF_BUCKETS`."""
    columns = {}
    for measure, count in machine.items():
        columns[_USED[measure]] = count.used - UNKNOWN
        columns[_CAPACITY[measure]] = count.capacity - UNKNOWN
    return columns


def unpacked_machine(columns: Mapping[str, Ints]) -> dict[Measure, MachineCount]:
    """The inverse of :func:`packed_machine`; ``columns`` may have others besides."""
    return {
        measure: MachineCount(
            used=columns[_USED[measure]] + UNKNOWN,
            capacity=columns[_CAPACITY[measure]] + UNKNOWN,
        )
        for measure in MEASURES
    }


def packed_machine_amount(machine: MachineAmount) -> dict[str, Ints]:
    """The columns of :data:`MACHINE_OF_INTERVALS`."""
    return {
        "machine_covered": machine.covered,
        "machine_seconds": machine.amount.seconds,
        "machine_users_seconds": machine.users_seconds,
        "machine_peak": machine.amount.peak - UNKNOWN,
        "machine_capacity": machine.capacity - UNKNOWN,
    }


def unpacked_machine_amount(columns: Mapping[str, Ints]) -> MachineAmount:
    """The inverse of :func:`packed_machine_amount`; ``columns`` may have others besides."""
    return MachineAmount(
        covered=columns["machine_covered"],
        amount=Amount(seconds=columns["machine_seconds"], peak=columns["machine_peak"] + UNKNOWN),
        users_seconds=columns["machine_users_seconds"],
        capacity=columns["machine_capacity"] + UNKNOWN,
    )
