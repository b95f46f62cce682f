"""Days, buckets and summaries are read back as they were packed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshot_assets.domain.frames import tidy
from snapshot_assets.domain.measures import (
    GROUPINGS,
    MEASURES,
    Grouping,
    Measure,
    Resolution,
)
from snapshot_assets.domain.summary import summarise
from snapshot_assets.domain.usage import Usage
from snapshot_assets.store.packing.buckets import BUCKET_VERSION, pack_buckets, unpack_buckets
from snapshot_assets.store.packing.damage import PackingError
from snapshot_assets.store.packing.days import DAY_VERSION, pack_day, unpack_day
from snapshot_assets.store.packing.summaries import pack_summary, unpack_summary
from snapshot_assets_tests.support.domain.process_rows import MIDNIGHT
from snapshot_assets_tests.support.domain.usages import one_core, same, usages


@given(usages(), st.sets(st.sampled_from(MEASURES)))
def test_a_day_is_read_back_as_it_was_packed(usage: Usage, measures: set[Measure]) -> None:
    blob = pack_day(usage, MIDNIGHT)
    assert blob == pack_day(usage, MIDNIGHT), "the same bytes each time"
    assert same(unpack_day("alice", blob, MIDNIGHT), usage)
    part = unpack_day("alice", blob, MIDNIGHT, sorted(measures))
    for measure in MEASURES:
        assert np.array_equal(part.totals[measure], usage.totals[measure])
        count = len(usage.entries[measure].bucket_index) if measure in measures else 0
        assert len(part.entries[measure].bucket_index) == count


@given(usages())
def test_buckets_are_read_back_as_they_were_packed(usage: Usage) -> None:
    packed = pack_buckets(usage)
    assert list(packed) == usage.start.tolist()
    assert same(unpack_buckets("alice", reversed(packed.values())), usage)


@given(usages(), st.sampled_from(MEASURES), st.sampled_from([(), *GROUPINGS]))
@pytest.mark.parametrize("resolution", ["hour", "day"])
def test_a_summary_is_read_back_as_it_was_packed(
    resolution: Resolution, usage: Usage, measure: Measure, by: Grouping
) -> None:
    summary = summarise(usage, resolution)
    back = unpack_summary(pack_summary(summary, MIDNIGHT), resolution, MIDNIGHT, [measure], by)
    pd.testing.assert_frame_equal(
        tidy([("alice", back)], measure, by, resolution),
        tidy([("alice", summary)], measure, by, resolution),
    )


@given(usages(), st.sampled_from([(), *GROUPINGS]))
def test_what_the_kernel_counted_is_unpacked_only_for_who_asks(usage: Usage, by: Grouping) -> None:
    """Everything else is the same, and cut and summed up alike."""
    day, buckets = pack_day(usage, MIDNIGHT), pack_buckets(usage).values()
    hours = pack_summary(summarise(usage, "hour"), MIDNIGHT)
    with_machine, without = (
        [
            summarise(unpack_day("alice", day, MIDNIGHT, machine=asked), "5min"),
            summarise(unpack_buckets("alice", buckets, machine=asked), "5min"),
            unpack_summary(hours, "hour", MIDNIGHT, MEASURES, by, machine=asked),
        ]
        for asked in (True, False)
    )
    for one, other in zip(with_machine, without, strict=True):
        resolution: Resolution = "hour" if one.step_seconds == 3_600 else "5min"
        for measure in MEASURES:
            pd.testing.assert_frame_equal(
                tidy([("alice", other)], measure, by, resolution),
                tidy([("alice", one)], measure, by, resolution),
            )
            assert len(one.parts[measure].counted.capacity) == len(one.start)
            with pytest.raises(ValueError, match="does not have what the kernel counted"):
                _ = other.parts[measure].counted
    assert unpack_day("alice", day, MIDNIGHT, machine=False).machine == {}


def test_a_text_of_another_version_or_kind_is_refused_by_name() -> None:
    blob = pack_day(one_core([0]), MIDNIGHT)
    (bucket,) = pack_buckets(one_core([0])).values()
    message = f"version '{DAY_VERSION + 1}', this snapshot_assets reads 1 to {DAY_VERSION}; update"
    with pytest.raises(PackingError, match=message):
        unpack_day("alice", blob[:4] + bytes([DAY_VERSION + 1]) + blob[5:], MIDNIGHT)
    for other in (b"0", b"%d" % (BUCKET_VERSION + 1), b"x"):
        with pytest.raises(PackingError, match=f"version '{other.decode()}'"):
            unpack_buckets("alice", [bucket[:1] + other + bucket[2:]])
    with pytest.raises(PackingError, match="not a packed frame"):
        unpack_day("alice", b"PAR1", MIDNIGHT)
    with pytest.raises(PackingError, match=r"of 300 s"):
        unpack_summary(blob, "hour", MIDNIGHT, ["cpu"], ())
