"""A second, obvious way from documents to frames: dicts and exact fractions, nothing vectorised."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from snapshot_assets.domain.measures import Measure
from snapshot_assets.domain.summary import OTHER

FIELDS: Mapping[Measure, str] = {"cpu": "cpu_norm", "mem": "rss"}


class SlowRow(NamedTuple):
    """What a frame should say of an interval and a name, exactly."""

    mean: Fraction
    peak: Fraction
    unit_seconds: Fraction
    covered_seconds: Fraction
    settled: bool


def slow_frame(
    documents: Mapping[int, Mapping[str, Any]], measure: Measure, by: Sequence[str], step: int
) -> dict[tuple[int, tuple[str, ...]], SlowRow]:
    """Interval's start and names to what the documents of one host add up to."""
    values: dict[tuple[int, tuple[str, ...]], dict[int, Fraction]] = defaultdict(dict)
    for bucket, document in documents.items():
        interval = bucket // step * step
        for name, value in _by_name(document[measure], FIELDS[measure], by).items():
            values[interval, name][bucket] = value
    covered = {b: _exact(d["meta"]["coverage"]) * 300 for b, d in documents.items()}
    found = {}
    for (interval, name), of_bucket in values.items():
        buckets = [bucket for bucket in documents if bucket // step * step == interval]
        seconds = sum((of_bucket[b] * covered[b] for b in of_bucket), Fraction(0))
        time = sum((covered[b] for b in buckets), Fraction(0))
        found[interval, name] = SlowRow(
            mean=seconds / time,
            # A user that is not listed in a bucket used nothing that is listed.
            peak=max(of_bucket.values()),
            unit_seconds=seconds,
            covered_seconds=time,
            settled=all(documents[b]["meta"]["stage"] == "settled" for b in buckets),
        )
    return found


def _by_name(
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
