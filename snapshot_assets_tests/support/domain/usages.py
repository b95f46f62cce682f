"""Usage for tests: built by hand, or generated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from hypothesis import strategies as st

from snapshot_assets.domain.documents import documents
from snapshot_assets.domain.measures import COUNTS, MEASURES, Measure, Owner
from snapshot_assets.domain.usage import UNKNOWN, Entries, MachineCount, Usage
from snapshot_assets_tests.support.domain.process_rows import MIDNIGHT
from snapshot_assets_tests.support.domain.scenarios import COMMS, USERS

# Bucket: coverage and first count, whether settled, rest and entries by measure, in millionths.
Bucket = tuple[int, int, bool, Mapping[Measure, tuple[int, Mapping[Owner, int]]]]
# The kernel's count of a bucket: by measure, what the machine used and has, in millionths.
Machine = Mapping[Measure, tuple[int, int]]

_MICRO = st.one_of(st.integers(1, 3), st.integers(1, 10**8), st.just(24 * 10**9))
_OF_MACHINE = st.one_of(st.sampled_from([UNKNOWN, 0, 64 * 10**6]), _MICRO)
_OWNERS = st.tuples(st.sampled_from(USERS), st.sampled_from(COMMS))


def usage_of(
    host: str, buckets: Mapping[int, Bucket], machines: Mapping[int, Machine] | None = None
) -> Usage:
    """The usage of one host, from the content of each bucket by the bucket's epoch second.

    The kernel's count is unknown for buckets and measures that ``machines`` does not have.
    """
    starts = sorted(buckets)
    listed = {m: [buckets[start][3][m][1] for start in starts] for m in MEASURES}
    owners = tuple(sorted({owner for found in listed.values() for each in found for owner in each}))
    entries, totals = {}, {}
    for measure, found in listed.items():
        rows = [
            (bucket_index, owners.index(owner), micro)
            for bucket_index, each in enumerate(found)
            for owner, micro in sorted(each.items())
        ]
        entries[measure] = Entries(
            bucket_index=_ints([row[0] for row in rows]),
            owner_index=_ints([row[1] for row in rows]),
            micro=_ints([row[2] for row in rows]),
        )
        rests = [buckets[start][3][measure][0] for start in starts]
        totals[measure] = _ints(
            [rest + sum(each.values()) for rest, each in zip(rests, found, strict=True)]
        )
    return Usage(
        hosts=(host,),
        owners=owners,
        host_index=_ints([0] * len(starts)),
        start=_ints(starts),
        coverage=_ints([buckets[start][0] for start in starts]),
        # Each count is one more than the count before, so that no two are equal.
        counts={c: _ints([buckets[s][1] + i for s in starts]) for i, c in enumerate(COUNTS)},
        settled=np.array([buckets[start][2] for start in starts], dtype=np.bool_),
        totals=totals,
        entries=entries,
        machine={m: _machine_count(machines or {}, starts, m) for m in MEASURES},
    )


def _machine_count(
    machines: Mapping[int, Machine], starts: Sequence[int], measure: Measure
) -> MachineCount:
    nothing = UNKNOWN, UNKNOWN
    counted = [machines.get(start, {}).get(measure, nothing) for start in starts]
    return MachineCount(
        used=_ints([used for used, _ in counted]),
        capacity=_ints([capacity for _, capacity in counted]),
    )


@st.composite
def usages(
    draw: st.DrawFn, host: str = "alice", days: int = 1, settled: bool | None = None
) -> Usage:
    """Usage of one host on the day of the examples and the days after, with gaps and idle times.

    The kernel counted all, some or nothing of it.
    """
    starts = draw(
        st.lists(
            st.one_of(st.integers(0, 14), st.integers(0, 288 * days - 1)), max_size=12, unique=True
        )
    )
    buckets: dict[int, Bucket] = {}
    machines: dict[int, Machine] = {}
    counted = draw(st.sampled_from([st.just(True), st.booleans(), st.just(False)]))
    for position in starts:
        parts: dict[Measure, tuple[int, Mapping[Owner, int]]] = {}
        for measure in MEASURES:
            each = draw(st.dictionaries(_OWNERS, _MICRO, max_size=4))
            # Rounding may set the total a little below the sum of the entries.
            lowest = -(len(each) // 2) if sum(each.values()) > 4 else 0
            parts[measure] = draw(st.integers(lowest, 10**6)), each
        coverage = draw(st.one_of(st.just(10**6), st.integers(1, 10**6)))
        stage = draw(st.booleans()) if settled is None else settled
        buckets[MIDNIGHT + position * 300] = coverage, draw(st.integers(1, 9)), stage, parts
        if draw(counted):
            machines[MIDNIGHT + position * 300] = {
                measure: draw(st.tuples(_OF_MACHINE, _OF_MACHINE)) for measure in MEASURES
            }
    return usage_of(host, buckets, machines)


def as_documents(usage: Usage) -> dict[int, dict[str, Any]]:
    """The usage as documents, by the bucket's epoch second."""
    table = documents(usage)
    return {
        int(bucket): orjson.loads(body)
        for bucket, body in zip(table["bucket_start"], table["body"], strict=True)
    }


def same(one: Usage, other: Usage) -> bool:
    """Whether two usages of one host are equal, apart from owners without entries."""
    one, other = one.with_needed_owners(), other.with_needed_owners()
    fields = ("start", "coverage", "settled")
    return (
        (one.hosts, one.owners) == (other.hosts, other.owners)
        and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in fields)
        and all(np.array_equal(one.totals[m], other.totals[m]) for m in MEASURES)
        and all(np.array_equal(one.counts[c], other.counts[c]) for c in COUNTS)
        and all(
            np.array_equal(getattr(one.entries[m], name), getattr(other.entries[m], name))
            for m in MEASURES
            for name in ("bucket_index", "owner_index", "micro")
        )
        and all(
            np.array_equal(getattr(one.machine[m], name), getattr(other.machine[m], name))
            for m in MEASURES
            for name in ("used", "capacity")
        )
    )


def _ints(values: Sequence[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


def one_core(minutes: Sequence[int], settled: bool = True, host: str = "alice") -> Usage:
    """One core of ana's R and 2 GB at these minutes after midnight."""
    bucket: Bucket = (
        *(10**6, 5, settled),
        {"cpu": (0, {("ana", "R"): 10**6}), "mem": (0, {("ana", "R"): 2 * 10**6})},
    )
    return usage_of(host, {MIDNIGHT + minute * 60: bucket for minute in minutes})
