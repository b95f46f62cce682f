"""Rule 12 of the contract's accounting, slow and obvious: the kernel's own count, and ``cores``.

Where the contract says nothing of NULLs in the table ``machines``, this holds: a value that is
NULL, negative or infinite is not known, and 0 is not a number of cores; a row without a known host
or time is left out; of rows equal in host and time the one with the largest values stays; a row
without ``cpu_seconds`` neither ends nor begins a span; an unknown ``boot_epoch`` is no reboot; the
last span in a bucket says what the machine has.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import pandas as pd

from snapshot_assets.domain.rules import AccountingRules

BUCKET = 300
UNKNOWN_CORES = 1024
MEASURES = ("cpu_seconds", "cores", "memory_bytes", "memory_used_bytes", "boot_epoch")


def overlaps(start: Fraction, end: Fraction) -> Iterator[tuple[int, Fraction]]:
    """Each bucket that (start, end] overlaps, and the seconds of the overlap."""
    bucket = int(start // BUCKET) * BUCKET
    while bucket < end:
        seconds = min(end, Fraction(bucket + BUCKET)) - max(start, Fraction(bucket))
        if seconds > 0:
            yield bucket, seconds
        bucket += BUCKET


@dataclass(frozen=True)
class MachineRow:
    """One row of the table ``machines``; None is not known."""

    time: Fraction
    cpu_seconds: Fraction | None
    cores: Fraction | None
    memory_bytes: Fraction | None
    memory_used_bytes: Fraction | None
    boot_epoch: Fraction | None


@dataclass
class MachineUse:
    """What the kernel counted in one bucket of a host."""

    seconds: Fraction = Fraction(0)
    core_seconds: Fraction = Fraction(0)
    used_seconds: Fraction = Fraction(0)
    used_byte_seconds: Fraction = Fraction(0)
    cores: Fraction | None = None
    memory_bytes: Fraction | None = None


def read_machines(table: pd.DataFrame | None) -> dict[str, list[MachineRow]]:
    """The rows of each host, ascending; one of each time."""
    found: dict[str, dict[Fraction, MachineRow]] = {}
    for record in [] if table is None else table.to_dict("records"):
        time = _known(record["snapshot_time_epoch"])
        if pd.isna(record["host"]) or time is None:
            continue
        cpu_seconds, cores, *others = (_known(record[name]) for name in MEASURES)
        row = MachineRow(time, cpu_seconds, cores or None, *others)
        of_host = found.setdefault(str(record["host"]), {})
        if time not in of_host or _weight(row) > _weight(of_host[time]):
            of_host[time] = row
    return {host: [rows[time] for time in sorted(rows)] for host, rows in found.items()}


def _known(value: float) -> Fraction | None:
    return Fraction(value) if math.isfinite(value) and value >= 0 else None


def _weight(row: MachineRow) -> list[Fraction]:
    values = (row.cpu_seconds, row.cores, row.memory_bytes, row.memory_used_bytes, row.boot_epoch)
    return [Fraction(-1) if value is None else value for value in values]


def cores_of(
    host: str, time: Fraction, machines: dict[str, list[MachineRow]], rules: AccountingRules
) -> Fraction:
    """``cores(host, t)``.

    ``cores`` of the host's latest ``machines`` row in [t - MAX_GAP, t], else of the capacity file,
    else 1,024.
    """
    rows = machines.get(host, [])
    for row in reversed(rows[: bisect_right(rows, time, key=lambda row: row.time)]):
        if row.time < time - Fraction(rules.max_gap_seconds):
            break
        if row.cores:
            return row.cores
    return Fraction(rules.capacity_cores.get(host, UNKNOWN_CORES))


def machine_use(rows: list[MachineRow], rules: AccountingRules) -> dict[int, MachineUse]:
    """12, against the kernel, by bucket.

    Consecutive ``machines`` rows of a host at most MAX_GAP apart, without a reboot between
    (cpu_seconds did not fall, boot_epoch within 60 s), make a span with Δcpu_seconds, split like
    the others. Machine ``cpu_norm`` of a bucket = its core-seconds ÷ the seconds that these spans
    cover; memory used alike, by the later row.
    """
    found: dict[int, MachineUse] = {}
    for one, two in itertools.pairwise(rows):
        if two.time - one.time > rules.max_gap_seconds:
            continue
        if one.cpu_seconds is None or two.cpu_seconds is None or two.cpu_seconds < one.cpu_seconds:
            continue
        boots = [row.boot_epoch for row in (one, two) if row.boot_epoch is not None]
        if boots and max(boots) - min(boots) > 60:
            continue
        for bucket, seconds in overlaps(one.time, two.time):
            use = found.setdefault(bucket, MachineUse())
            use.seconds += seconds
            used = two.cpu_seconds - one.cpu_seconds
            use.core_seconds += used * seconds / (two.time - one.time)
            use.cores = two.cores
            use.memory_bytes = two.memory_bytes
            if two.memory_used_bytes is not None:
                use.used_seconds += seconds
                use.used_byte_seconds += two.memory_used_bytes * seconds
    return found
