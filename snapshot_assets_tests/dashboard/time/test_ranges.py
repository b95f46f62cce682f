"""Ranges are made of whole buckets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshot_assets.dashboard.time.ranges import QUICK, TimeRange
from snapshot_assets.domain.time import BUCKET_SECONDS


@pytest.mark.parametrize(("start", "end"), [(0, 0), (300, 0), (1, 300), (0, 299)])
def test_a_range_is_made_of_whole_buckets_and_not_empty(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="not a range of whole 300 s buckets"):
        TimeRange(start, end)


@given(seconds=st.sampled_from(sorted(QUICK.values())), now=st.floats(1e9, 4e9))
def test_the_latest_range_ends_with_the_bucket_of_now(seconds: int, now: float) -> None:
    latest = TimeRange.latest(seconds, now)
    assert latest.seconds == seconds
    assert latest.last_bucket <= now < latest.end == latest.last_bucket + BUCKET_SECONDS
