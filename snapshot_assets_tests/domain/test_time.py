"""One definition of time: buckets, windows and their names."""

from __future__ import annotations

import datetime as dt
import math
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.time import (
    BUCKET_SECONDS,
    DAY_SECONDS,
    Window,
    bucket_iso,
    bucket_start,
    epoch,
)
from snapshot_assets_tests.support.domain.process_rows import MIDNIGHT, NOON

moments = st.one_of(
    st.integers(946_684_800, 4_102_444_799),
    st.floats(946_684_800, 4_102_444_799, allow_nan=False),
)


@pytest.mark.parametrize(
    ("offset", "expected"),
    [(0, 0), (0.001, 0), (1, 0), (299, 0), (299.999, 0), (300, 300), (599, 300), (-0.001, -300)],
)
def test_a_bucket_holds_its_start_and_not_its_end(offset: float, expected: int) -> None:
    """Half-open: 12:05:00 is the first moment of the second bucket."""
    start = bucket_start(NOON + offset)
    assert start == NOON + expected
    assert type(start) is int


@given(moment=moments)
def test_every_moment_is_in_the_bucket_that_it_is_said_to_be_in(moment: float) -> None:
    """A multiple of 300 s, at the moment or before it, and less than a bucket away."""
    start = bucket_start(moment)
    assert start % BUCKET_SECONDS == 0
    assert start <= moment < start + BUCKET_SECONDS


@pytest.mark.parametrize("border", [NOON, MIDNIGHT, 4_102_444_500, 946_684_800])
def test_the_float_next_to_a_border_is_on_its_own_side_of_it(border: int) -> None:
    """No rounding moves the last moment of a bucket into the next one."""
    assert bucket_start(math.nextafter(border, 0)) == border - BUCKET_SECONDS
    assert bucket_start(math.nextafter(border, math.inf)) == border


def test_a_bucket_is_named_in_iso_format_with_its_offset() -> None:
    """The very text of the Redis key that other programs ask for."""
    assert bucket_iso(1_795_349_100) == "2026-11-22T12:05:00+00:00"
    assert bucket_iso(MIDNIGHT) == "2026-11-22T00:00:00+00:00"
    assert bucket_iso(0) == "1970-01-01T00:00:00+00:00"


@given(moment=moments)
def test_the_name_of_a_bucket_reads_back_as_its_start(moment: float) -> None:
    """Nothing of a bucket is lost in its name."""
    start = bucket_start(moment)
    assert dt.datetime.fromisoformat(bucket_iso(start)).timestamp() == start


def test_the_epoch_of_a_moment_does_not_depend_on_its_zone() -> None:
    """13:05 in Berlin is 12:05 UTC; the repeated hour of October is two different hours."""
    utc = dt.datetime(2026, 11, 22, 12, 5, tzinfo=dt.UTC)
    assert epoch(utc) == epoch(utc.astimezone(ZoneInfo("Europe/Berlin"))) == 1_795_349_100
    first = dt.datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert epoch(first.replace(fold=1)) - epoch(first) == 3600
    assert epoch(utc.replace(microsecond=250_000)) == 1_795_349_100.25


class _NoOffset(dt.tzinfo):
    """A zone that does not know its offset, which makes a datetime as naive as none."""

    def utcoffset(self, moment: dt.datetime | None) -> None:
        return None

    def dst(self, moment: dt.datetime | None) -> None:
        return None

    def tzname(self, moment: dt.datetime | None) -> str:
        return "?"


@pytest.mark.parametrize("zone", [None, _NoOffset()])
def test_a_naive_datetime_is_refused_by_name(zone: dt.tzinfo | None) -> None:
    """The error says which one it was, and what to pass in its place."""
    naive = dt.datetime(2026, 11, 22, 12, 5, tzinfo=zone)
    with pytest.raises(ValueError, match=r"start_time 2026-11-22T12:05:00 has no time zone") as no:
        epoch(naive, "start_time")
    assert "timezone.utc" in str(no.value)


def test_a_window_is_half_open_and_made_of_whole_buckets() -> None:
    """Its first bucket starts at its start; none starts at its end."""
    window = Window(NOON, NOON + 900)
    assert list(window.buckets()) == [NOON, NOON + 300, NOON + 600]
    assert str(window) == "[2026-11-22T12:00:00+00:00, 2026-11-22T12:15:00+00:00)"


@pytest.mark.parametrize(
    ("start", "end"), [(NOON + 1, NOON + 300), (NOON, NOON + 299), (NOON + 300, NOON)]
)
def test_a_window_of_parts_of_buckets_or_backwards_is_refused(start: int, end: int) -> None:
    """A bucket that is published in part would be wrong without looking it."""
    with pytest.raises(ValueError, match="not a window of whole 300 s buckets"):
        Window(start, end)


def test_an_empty_window_has_no_bucket() -> None:
    """Start and end may be the same."""
    assert list(Window(NOON, NOON).buckets()) == []


@pytest.mark.parametrize(
    "day",
    [dt.date(2026, 11, 22), dt.date(2026, 3, 29), dt.date(2028, 2, 29), dt.date(2026, 12, 31)],
)
def test_a_day_is_288_buckets_of_utc(day: dt.date) -> None:
    """Also where the clocks of Europe change, in a leap year, and at the end of one."""
    window = Window.of_day(day)
    buckets = window.buckets()
    assert len(buckets) == 288
    assert bucket_iso(buckets[0]) == f"{day.isoformat()}T00:00:00+00:00"
    assert bucket_iso(buckets[-1]) == f"{day.isoformat()}T23:55:00+00:00"
    assert window.end - window.start == DAY_SECONDS
    assert Window.of_day(day + dt.timedelta(days=1)).start == window.end


@given(first=moments, ahead=st.integers(0, 100_000))
def test_the_window_around_two_moments_holds_both_and_nothing_in_vain(
    first: float, ahead: int
) -> None:
    """Both lie in it, and one bucket fewer at either side would lose one."""
    last = first + ahead
    window = Window.around(first, last)
    assert window.start <= first < window.start + BUCKET_SECONDS
    assert window.end - BUCKET_SECONDS <= last < window.end


def test_the_window_around_a_border_holds_the_bucket_that_begins_there() -> None:
    """A moment on a border belongs to the bucket behind it."""
    assert Window.around(NOON, NOON) == Window(NOON, NOON + 300)
    assert Window.around(NOON, NOON + 300) == Window(NOON, NOON + 600)


def test_a_partition_reads_max_gap_and_a_pass_on_both_sides_and_two_slacks_more_before() -> None:
    """900 + 120 + 5 s on both sides, and 2 * 30 s before; with other rules, other margins."""
    day = Window.of_day(dt.date(2026, 11, 22))
    assert AccountingRules().read_range(day) == (MIDNIGHT - 1085, MIDNIGHT + DAY_SECONDS + 1025)
    rules = AccountingRules(max_gap_seconds=100, slack_seconds=5, pass_seconds=2)
    assert rules.read_range(day) == (MIDNIGHT - 232, MIDNIGHT + DAY_SECONDS + 222)
