"""Typed times, above all in the nights in which clocks change."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshot_assets.dashboard.time.typed import format_input, parse_local
from snapshot_assets.domain.time import BUCKET_SECONDS, bucket_start
from snapshot_assets_tests.dashboard.time.times import (
    BERLIN,
    HOUR,
    SANTIAGO,
    at,
    zones_and_buckets,
)

# Digits to int(), but not what is meant here by digits.
ARABIC_2026 = "\u0662\u0660\u0662\u0666"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-22 14:30", "2026-11-22T14:30+01:00"),
        ("  2026-11-22T14:30 ", "2026-11-22T14:30+01:00"),
        ("2026-11-22", "2026-11-22T00:00+01:00"),
        ("22.11.2026 14:30", "2026-11-22T14:30+01:00"),
        ("2.1.2026, 4:30", "2026-01-02T04:30+01:00"),
        ("2026-11-22 14:34:59.9", "2026-11-22T14:30+01:00"),
        ("2026-11-22 14:30Z", "2026-11-22T14:30+00:00"),
        ("2026-11-22 14:30 utc", "2026-11-22T14:30+00:00"),
        ("2026-11-22T14:30:00.000Z", "2026-11-22T14:30+00:00"),
        ("2026-11-22 14:30-0930", "2026-11-22T14:30-09:30"),
        ("2026-11-22 14:30 UTC+05:45", "2026-11-22T14:30+05:45"),
        ("2026-11-22 14:30 +3", "2026-11-22T14:30+03:00"),
        ("2026-11-22Z", "2026-11-22T00:00+00:00"),
        ("2026-07-01 14:30", "2026-07-01T14:30+02:00"),
        ("2026-10-25 02:30", "2026-10-25T02:30+02:00"),
        ("2026-10-25 02:30+01:00", "2026-10-25T02:30+01:00"),
        ("2026-10-25 02:30 CEST", "2026-10-25T02:30+02:00"),
        ("2026-10-25 02:30 cet", "2026-10-25T02:30+01:00"),
        ("1971-01-01", "1971-01-01T00:00+01:00"),
        ("2200-12-31 23:55", "2200-12-31T23:55+01:00"),
    ],
)
def test_a_typed_time_is_understood(text: str, meant: str) -> None:
    assert parse_local(text, BERLIN) == at(meant)


def test_a_time_alone_belongs_to_today_if_that_is_known() -> None:
    today = dt.date(2026, 11, 22)
    assert parse_local("14:33", BERLIN, today=today) == at("2026-11-22T14:30")
    assert parse_local("14:30Z", BERLIN, today=today) == at("2026-11-22T14:30+00:00")
    assert parse_local("2026-11-20 14:30", BERLIN, today=today) == at("2026-11-20T14:30")
    with pytest.raises(ValueError, match=r"'14:30' has no date"):
        parse_local("14:30", BERLIN)


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("", "is not a time"),
        ("now", "is not a time"),
        ("\x00", "is not a time"),
        ("+01:00", "is not a time"),
        ("2026-11-22 14", "is not a time"),
        ("2026-11-2214:30", "is not a time"),
        (f"{ARABIC_2026}-11-22", "is not a time"),
        ("1" * 100_000, "is not a time"),
        ("2026-02-30", "is not in the calendar"),
        ("11/22/2026", "is not a time"),
        ("22.13.2026", "is not in the calendar"),
        ("2026-11-22 24:00", "is not a time of day"),
        ("2026-11-22 12:60", "is not a time of day"),
        ("1970-12-31 23:55", "years go from 1971 to 2200"),
        ("2201-01-01", "years go from 1971 to 2200"),
        ("0000-01-01", "years go from 1971 to 2200"),
        ("2026-11-22 14:30+24:00", "has no offset like"),
        ("2026-11-22 14:30+01:60", "has no offset like"),
        ("2026-11-22 14:30 CET+01", "has no offset like"),
        ("2026-11-22 14:30 CEST", "write CET, UTC or an offset"),
        ("2026-10-25 02:30 EST", "write CEST or CET, UTC or an offset"),
    ],
)
def test_a_text_that_is_not_a_time_is_quoted_in_the_message(text: str, reported: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_local(text, BERLIN)
    assert reported in str(error.value)
    assert str(error.value).startswith(repr(text[:40])[:-1])
    assert len(str(error.value)) < 250


@given(text=st.one_of(st.text(max_size=90), st.text("0123456789-:. TZ+.CE", max_size=30)))
def test_no_text_raises_anything_but_a_value_error(text: str) -> None:
    try:
        assert parse_local(text, BERLIN) % BUCKET_SECONDS == 0
    except ValueError as error:
        # Not one of its subclasses, which are slips.
        assert type(error) is ValueError  # noqa: PT017


@pytest.mark.parametrize(
    ("zone", "text", "before", "after"),
    [
        ("Europe/Berlin", "2026-03-29 02:30", "2026-03-29 01:55", "2026-03-29 03:00"),
        ("Europe/Berlin", "2026-03-29 02:00", "2026-03-29 01:55", "2026-03-29 03:00"),
        ("America/Santiago", "2026-09-06 00:00", "2026-09-05 23:55", "2026-09-06 01:00"),
        ("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-04 01:55", "2026-10-04 02:30"),
        ("Pacific/Apia", "2011-12-30", "2011-12-29 23:55", "2011-12-31 00:00"),
        ("Pacific/Apia", "2011-12-30 12:00", "2011-12-29 23:55", "2011-12-31 00:00"),
    ],
)
def test_a_skipped_time_is_reported_with_the_nearest_that_exist(
    zone: str, text: str, before: str, after: str
) -> None:
    with pytest.raises(ValueError, match=f"does not exist in {zone}") as reported:
        parse_local(text, ZoneInfo(zone))
    assert f"the nearest times are {before} and {after}" in str(reported.value)
    first, second = (parse_local(nearest, ZoneInfo(zone)) for nearest in (before, after))
    assert second - first == BUCKET_SECONDS


def test_a_date_alone_is_the_start_of_a_day_that_has_no_midnight() -> None:
    assert parse_local("2026-09-06", SANTIAGO) == at("2026-09-06T01:00-03:00")


@given(chosen=zones_and_buckets())
def test_what_is_in_the_input_field_reads_back(chosen: tuple[ZoneInfo, int]) -> None:
    """Also in a repeated hour, for both of its times."""
    zone, bucket = chosen
    assert parse_local(format_input(bucket, zone), zone) == bucket


@given(chosen=zones_and_buckets(1973), offset=st.integers(-2 * HOUR, 2 * HOUR))
def test_a_typed_time_is_the_first_bucket_whose_clocks_show_it(
    chosen: tuple[ZoneInfo, int], offset: int
) -> None:
    """As a search through all buckets around says."""
    zone, bucket = chosen
    wall = dt.datetime.fromtimestamp(bucket, zone).replace(tzinfo=None, fold=0)
    wall += dt.timedelta(seconds=bucket_start(offset))
    around = range(bucket - 6 * HOUR, bucket + 6 * HOUR, BUCKET_SECONDS)
    same = [
        moment
        for moment in around
        if dt.datetime.fromtimestamp(moment, zone).replace(tzinfo=None, fold=0) == wall
    ]
    text = f"{wall:%Y-%m-%d %H:%M}"
    if same:
        assert parse_local(text, zone) == same[0]
    else:
        with pytest.raises(ValueError, match="does not exist in"):
            parse_local(text, zone)


def test_only_the_second_time_carries_its_offset_in_the_input() -> None:
    first = at("2026-10-25T02:30+02:00")
    assert format_input(first, BERLIN) == "2026-10-25 02:30"
    assert format_input(first + HOUR, BERLIN) == "2026-10-25 02:30+01:00"
    assert format_input(first + 2 * HOUR, BERLIN) == "2026-10-25 03:30"


def test_an_offset_of_seconds_is_kept_in_the_input() -> None:
    monrovia = ZoneInfo("Africa/Monrovia")
    noon = at("1971-05-01T12:00+00:00")
    assert format_input(noon, monrovia) == "1971-05-01 11:15:30"
    assert parse_local("1971-05-01 11:15:30", monrovia) == noon
