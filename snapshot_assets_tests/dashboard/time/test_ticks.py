"""Axis ticks, above all in the nights in which clocks change."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshot_assets.dashboard.time.ticks import ticks
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS
from snapshot_assets_tests.dashboard.time.times import (
    BERLIN,
    HOUR,
    at,
    zones_and_buckets,
)

spans = st.one_of(
    st.integers(1, 2 * DAY_SECONDS // BUCKET_SECONDS),
    st.integers(1, 3_660 * DAY_SECONDS // BUCKET_SECONDS),
).map(lambda buckets: buckets * BUCKET_SECONDS)


@pytest.mark.parametrize(
    ("zone", "start", "end", "labels"),
    [
        (
            "Europe/Berlin",
            "2026-11-22T14:20",
            "2026-11-22T15:20",
            "14:20<br>22 Nov 2026|14:30|14:40|14:50|15:00|15:10|15:20",
        ),
        (
            "Europe/Berlin",
            "2026-11-22T14:20",
            "2026-11-23T14:20",
            "15:00<br>22 Nov 2026|18:00|21:00|Mon 23 Nov|03:00|06:00|09:00|12:00",
        ),
        (
            "Europe/Berlin",
            "2026-10-24T23:20",
            "2026-10-25T05:20",
            "Sun 25 Oct<br>2026|01:00|02:00 CEST|02:00 CET|03:00|04:00|05:00",
        ),
        (
            "Europe/Berlin",
            "2026-10-24T12:20",
            "2026-10-25T12:20",
            "15:00<br>24 Oct 2026|18:00|21:00|Sun 25 Oct|03:00 CET|06:00|09:00|12:00",
        ),
        (
            "Europe/Berlin",
            "2026-03-28T23:20",
            "2026-03-29T05:20",
            "Sun 29 Mar<br>2026|01:00|03:00 CEST|04:00|05:00",
        ),
        (
            "Australia/Lord_Howe",
            "2026-04-05T00:20",
            "2026-04-05T03:20",
            "00:30<br>5 Apr 2026|01:00|01:30 UTC+11|01:30 UTC+10:30|02:00|02:30|03:00",
        ),
        (
            "America/Santiago",
            "2026-09-05T12:20",
            "2026-09-06T12:20",
            "15:00<br>5 Sep 2026|18:00|21:00|01:00 UTC-03<br>Sun 6 Sep|03:00|06:00|09:00|12:00",
        ),
        (
            "America/Havana",
            "2026-10-31T22:20",
            "2026-11-01T03:20",
            "23:00<br>31 Oct 2026|Sun 1 Nov|00:00 CST|01:00|02:00|03:00",
        ),
        (
            "Asia/Kathmandu",
            "2026-11-22T00:20",
            "2026-11-29T03:20",
            "Mon 23 Nov<br>2026|Tue 24 Nov|Wed 25 Nov|Thu 26 Nov|Fri 27 Nov|Sat 28 Nov|Sun 29 Nov",
        ),
        (
            "Pacific/Apia",
            "2011-12-27T22:20",
            "2012-01-03T04:20",
            "Wed 28 Dec<br>2011|Thu 29 Dec|Sat 31 Dec|Sun 1 Jan<br>2012|Mon 2 Jan|Tue 3 Jan",
        ),
        (
            "Europe/Berlin",
            "2026-12-10T00:00",
            "2027-01-12T00:00",
            "Mon 14 Dec<br>2026|Mon 21 Dec|Mon 28 Dec|Mon 4 Jan<br>2027|Mon 11 Jan",
        ),
        (
            "Europe/Berlin",
            "2026-10-10T00:00",
            "2027-04-12T00:00",
            "Nov<br>2026|Dec|Jan<br>2027|Feb|Mar|Apr",
        ),
        ("Europe/Berlin", "2016-11-22T00:00", "2026-11-22T00:00", "2018|2020|2022|2024|2026"),
    ],
)
def test_ticks_are_at_round_local_times(zone: str, start: str, end: str, labels: str) -> None:
    place = ZoneInfo(zone)
    found = ticks(at(start, place), at(end, place), place)
    assert [tick.label for tick in found] == labels.split("|")


@given(chosen=zones_and_buckets(), seconds=spans, count=st.integers(1, 15))
def test_ticks_ascend_inside_the_axis_and_are_not_too_many(
    chosen: tuple[ZoneInfo, int], seconds: int, count: int
) -> None:
    zone, start = chosen
    found = ticks(start, start + seconds, zone, count)
    moments = [tick.at for tick in found]
    assert moments == sorted(set(moments))
    assert all(start <= moment <= start + seconds for moment in moments)
    assert len(found) <= 2 * count
    assert all(tick.label for tick in found)


@given(chosen=zones_and_buckets(), seconds=spans, count=st.integers(4, 12))
def test_ticks_are_about_as_many_as_wanted(
    chosen: tuple[ZoneInfo, int], seconds: int, count: int
) -> None:
    """At most a third is missing of what the next coarser step leaves, or of all 5 minutes."""
    zone, start = chosen
    wanted = min(count, seconds // BUCKET_SECONDS)
    assert len(ticks(start, start + seconds, zone, count)) >= wanted // 3


@given(chosen=zones_and_buckets(1973), hours=st.integers(1, 60))
def test_a_time_on_a_label_is_what_the_clocks_show(
    chosen: tuple[ZoneInfo, int], hours: int
) -> None:
    zone, start = chosen
    for tick in ticks(start, start + hours * HOUR, zone):
        local = dt.datetime.fromtimestamp(tick.at, zone)
        assert local.minute % 5 == local.second == 0
        first = tick.label.split("<br>")[0]
        if ":" in first:
            assert first.split()[0] == f"{local:%H:%M}"
        else:
            assert int(first.split()[1]) == local.day
            assert (local.hour, local.minute) == (0, 0)


@given(chosen=zones_and_buckets(), hours=st.integers(1, 20), count=st.integers(3, 12))
def test_no_two_ticks_within_a_day_read_the_same(
    chosen: tuple[ZoneInfo, int], hours: int, count: int
) -> None:
    """The hour that is there twice tells which of the two it is."""
    zone, start = chosen
    labels = [tick.label for tick in ticks(start, start + hours * HOUR, zone, count)]
    assert len(labels) == len(set(labels))


def test_an_axis_without_length_has_no_more_than_its_own_tick() -> None:
    noon = at("2026-11-22T12:00")
    assert [tick.at for tick in ticks(noon, noon, BERLIN)] == [noon]
    assert ticks(noon, noon - 300, BERLIN) == []


@pytest.mark.parametrize("days", range(8, 17))
def test_a_skipped_day_has_no_tick_whichever_days_have(days: int) -> None:
    """Apia had no Friday, 30 December 2011; where every other day has a tick, the 31st has none."""
    apia = ZoneInfo("Pacific/Apia")
    start = at("2011-12-25T12:00", apia)
    labels = [tick.label for tick in ticks(start, start + days * DAY_SECONDS, apia, 5)]
    assert not any("30 Dec" in label for label in labels)
    if not any("29 Dec" in label for label in labels):
        assert any("28 Dec" in label for label in labels)
        assert not any("31 Dec" in label for label in labels)
