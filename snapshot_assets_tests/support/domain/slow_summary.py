"""A second, obvious way from documents to frames: dicts and exact fractions, without numpy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from snapshot_assets.domain.frames import OTHER
from snapshot_assets.domain.measures import Measure

FIELDS: Mapping[Measure, str] = {"cpu": "cpu_norm", "mem": "rss"}
MACHINE_FIELDS: Mapping[Measure, tuple[str, str]] = {
    "cpu": ("cpu_norm", "cores"),
    "mem": ("used", "total"),
}


class SlowRow(NamedTuple):
    """The exact values that a frame should have for an interval and an owner."""

    mean: Fraction
    peak: Fraction
    unit_seconds: Fraction
    covered_seconds: Fraction
    settled: bool


def slow_frame(
    documents: Mapping[int, Mapping[str, Any]], measure: Measure, by: Sequence[str], step: int
) -> dict[tuple[int, tuple[str, ...]], SlowRow]:
    """The sums over the documents of one host, by the interval's start and the owner."""
    values: dict[tuple[int, tuple[str, ...]], dict[int, Fraction]] = defaultdict(dict)
    for bucket, document in documents.items():
        interval = bucket // step * step
        for owner, value in _by_owner(document[measure], FIELDS[measure], by).items():
            values[interval, owner][bucket] = value
    covered = {b: _exact(d["meta"]["coverage"]) * 300 for b, d in documents.items()}
    found = {}
    for (interval, owner), by_bucket in values.items():
        buckets = [bucket for bucket in documents if bucket // step * step == interval]
        seconds = sum((by_bucket[b] * covered[b] for b in by_bucket), Fraction(0))
        time = sum((covered[b] for b in buckets), Fraction(0))
        found[interval, owner] = SlowRow(
            mean=seconds / time,
            # An owner that a bucket does not list counts as zero there.
            peak=max(by_bucket.values()),
            unit_seconds=seconds,
            covered_seconds=time,
            settled=all(documents[b]["meta"]["stage"] == "settled" for b in buckets),
        )
    return found


class SlowMachine(NamedTuple):
    """The exact values that a frame by machine should have for an interval; None if unknown."""

    mean: Fraction | None
    peak: Fraction | None
    unit_seconds: Fraction | None
    capacity: Fraction | None
    users_seconds: Fraction | None
    covered_seconds: Fraction


def slow_machine_frame(
    documents: Mapping[int, Mapping[str, Any]], measure: Measure, step: int
) -> dict[int, SlowMachine]:
    """What the documents of one host say of the machine, by the interval's start."""
    used_field, capacity_field = MACHINE_FIELDS[measure]
    found = {}
    for interval in sorted({bucket // step * step for bucket in documents}):
        seconds, users, time = Fraction(0), Fraction(0), Fraction(0)
        peak = capacity = None
        for bucket in sorted(b for b in documents if b // step * step == interval):
            part = documents[bucket][measure]
            machine = part.get("machine", {})
            covered = _exact(documents[bucket]["meta"]["coverage"]) * 300
            if used_field in machine:
                used = _exact(machine[used_field])
                seconds += used * covered
                users += _exact(part["command"][FIELDS[measure]]) * covered
                time += covered
                peak = used if peak is None else max(peak, used)
            if capacity_field in machine:
                capacity = _exact(machine[capacity_field])
        known = time > 0
        found[interval] = SlowMachine(
            mean=seconds / time if known else None,
            peak=peak,
            unit_seconds=seconds if known else None,
            capacity=capacity,
            users_seconds=users if known else None,
            covered_seconds=time,
        )
    return found


def _by_owner(
    part: Mapping[str, Any], field: str, by: Sequence[str]
) -> dict[tuple[str, ...], Fraction]:
    if not by:
        return {(): _exact(part["command"][field])}
    found: dict[tuple[str, ...], Fraction] = defaultdict(Fraction)
    for entry in part["user"]:
        found[tuple(entry[name] for name in by)] += _exact(entry[field])
    found[(OTHER,) * len(by)] += _exact(part["other"][field])
    return dict(found)


def _exact(number: float) -> Fraction:
    """The decimal number that a document shows."""
    return Fraction(repr(number))
