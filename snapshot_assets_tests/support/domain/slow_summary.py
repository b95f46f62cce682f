"""A second, obvious way from documents to frames: dicts and exact fractions, without numpy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from snapshot_assets.domain.frames import OTHER
from snapshot_assets.domain.measures import Measure

FIELDS: Mapping[Measure, str] = {"cpu": "cpu_norm", "mem": "rss"}


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
