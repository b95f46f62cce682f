"""Ranges, zones and ticks: above all in the nights in which clocks change."""

from __future__ import annotations

import datetime as dt
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from snapshot_assets.dashboard.time_range import (
    QUICK,
    TimeRange,
    age_text,
    format_input,
    format_local,
    format_range,
    month_label,
    month_of,
    month_range,
    months_back,
    parse_local,
    quick_label,
    ticks,
    zone_named,
    zone_names,
)
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS, bucket_start

BERLIN = ZoneInfo("Europe/Berlin")
SANTIAGO = ZoneInfo("America/Santiago")
HOUR = 3_600
# Digits to int(), but not what is meant here by digits.
ARABIC_2026 = "\u0662\u0660\u0662\u0666"

# An hour at 02:00, at midnight, in the south; by half an hour, by two; a winter that is the
# exception; a whole day that was skipped; quarters of an hour; seconds.
TRICKY = (
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "America/Havana",
    "America/St_Johns",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/Monrovia",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Pacific/Apia",
    "Pacific/Chatham",
    "UTC",
)


def at(text: str, zone: ZoneInfo = BERLIN) -> int:
    """An aware ISO time, or one of the zone that exists once."""
    moment = dt.datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp())


@cache
def changes(name: str, year: int) -> tuple[int, ...]:
    """The moments of a year at which a zone's offset changes."""
    zone, found = ZoneInfo(name), []

    def offset(moment: int) -> dt.timedelta | None:
        return dt.datetime.fromtimestamp(moment, zone).utcoffset()

    first = at(f"{year}-01-01T00:00+00:00")
    for day in range(first, first + 366 * DAY_SECONDS, DAY_SECONDS):
        low, high = day, day + DAY_SECONDS
        if offset(low) == offset(high):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
        found.append(high)
    return tuple(found)


@st.composite
def zones_and_buckets(
    draw: st.DrawFn, first_year: int = 1971, last_year: int = 2150
) -> tuple[ZoneInfo, int]:
    """Half of them anywhere, half of them near a change of the clocks."""
    year = draw(st.integers(first_year, last_year))
    if draw(st.booleans()):
        name = draw(st.sampled_from(TRICKY))
        near = changes(name, year)
        assume(near)
        moment = draw(st.sampled_from(near)) + draw(st.integers(-4 * HOUR, 4 * HOUR))
    else:
        name = draw(st.sampled_from(zone_names()))
        moment = at(f"{year}-01-02T00:00+00:00") + draw(st.integers(0, 363 * DAY_SECONDS))
    return ZoneInfo(name), bucket_start(moment)


# Ranges -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "end"), [(0, 0), (300, 0), (1, 300), (0, 299)])
def test_a_range_is_made_of_whole_buckets_and_not_empty(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="not a range of whole 300 s buckets"):
        TimeRange(start, end)


@given(seconds=st.sampled_from(sorted(QUICK.values())), now=st.floats(1e9, 4e9))
def test_the_latest_range_ends_with_the_bucket_of_now(seconds: int, now: float) -> None:
    latest = TimeRange.latest(seconds, now)
    assert latest.seconds == seconds
    assert latest.last_bucket <= now < latest.end == latest.last_bucket + BUCKET_SECONDS


def test_quick_ranges_say_how_long_they_are() -> None:
    labels = [quick_label(name) for name in QUICK]
    assert labels[:5] == ["1 hour", "3 hours", "6 hours", "12 hours", "24 hours"]
    assert labels[5:] == ["2 days", "7 days", "14 days", "30 days"]
    assert (QUICK["1h"], QUICK["24h"], QUICK["30d"]) == (3_600, 86_400, 2_592_000)


# Zones ------------------------------------------------------------------------------------------


def test_every_zone_to_pick_from_is_a_zone() -> None:
    names = zone_names()
    assert names == sorted(set(names))
    assert {"Europe/Berlin", "America/Argentina/Ushuaia", "UTC"} <= set(names)
    assert not {"EST5EDT", "Etc/GMT+1", "US/Pacific", "localtime", "Factory"} & set(names)
    assert [zone_named(name).key for name in names] == names


@pytest.mark.parametrize(
    "name",
    [
        "",
        "\x00",
        ".",
        "..",
        "/",
        "/etc/passwd",
        "../../etc/passwd",
        "Europe",
        "Europe/",
        "Europe/Berlin/",
        "Europe/../Europe/Berlin",
        "Europe/Berlin\x00",
        "\ud800",
        "localtime",
        "a" * 1_000_000,
    ],
)
def test_what_is_no_zone_is_told_in_a_short_message(name: str) -> None:
    with pytest.raises(ValueError, match="is no time zone; ") as told:
        zone_named(name)
    assert len(str(told.value)) < 300
    assert "\x00" not in str(told.value)


@given(name=st.text(max_size=80))
def test_no_text_is_an_error_of_another_type(name: str) -> None:
    try:
        assert zone_named(name).key == name
    except ValueError as error:
        assert "is no time zone" in str(error)  # noqa: PT017 - most texts, not all, raise


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("Europe/Berln", "Europe/Berlin"),
        ("new york", "America/New_York"),
        ("utc", "UTC"),
    ],
)
def test_a_zone_that_is_written_alike_is_named(typed: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean {meant}"):
        zone_named(typed)


# What is typed ----------------------------------------------------------------------------------


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
    ("text", "told"),
    [
        ("", "is no time"),
        ("now", "is no time"),
        ("\x00", "is no time"),
        ("+01:00", "is no time"),
        ("2026-11-22 14", "is no time"),
        ("2026-11-2214:30", "is no time"),
        (f"{ARABIC_2026}-11-22", "is no time"),
        ("1" * 100_000, "is no time"),
        ("2026-02-30", "is not in the calendar"),
        ("11/22/2026", "is no time"),
        ("22.13.2026", "is not in the calendar"),
        ("2026-11-22 24:00", "is on no clock"),
        ("2026-11-22 12:60", "is on no clock"),
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
def test_what_cannot_be_understood_is_quoted_and_told(text: str, told: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_local(text, BERLIN)
    assert told in str(error.value)
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
def test_a_skipped_time_is_told_with_the_nearest_that_exist(
    zone: str, text: str, before: str, after: str
) -> None:
    with pytest.raises(ValueError, match=f"does not exist in {zone}") as told:
        parse_local(text, ZoneInfo(zone))
    assert f"the nearest times are {before} and {after}" in str(told.value)
    first, second = (parse_local(nearest, ZoneInfo(zone)) for nearest in (before, after))
    assert second - first == BUCKET_SECONDS


def test_a_date_alone_is_the_first_moment_of_a_day_that_has_no_midnight() -> None:
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


# What is shown ----------------------------------------------------------------------------------


def test_only_the_second_time_carries_its_offset_in_the_input() -> None:
    first = at("2026-10-25T02:30+02:00")
    assert format_input(first, BERLIN) == "2026-10-25 02:30"
    assert format_input(first + HOUR, BERLIN) == "2026-10-25 02:30+01:00"
    assert format_input(first + 2 * HOUR, BERLIN) == "2026-10-25 03:30"


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("Europe/Berlin", "2026-11-22 14:30 CET"),
        ("UTC", "2026-11-22 13:30 UTC"),
        ("America/Santiago", "2026-11-22 10:30 UTC-03"),
        ("Asia/Kathmandu", "2026-11-22 19:15 UTC+05:45"),
    ],
)
def test_a_moment_is_shown_with_its_zone(zone: str, shown: str) -> None:
    assert format_local(at("2026-11-22T13:30+00:00"), ZoneInfo(zone)) == shown


def test_seconds_are_shown_if_asked_for() -> None:
    shown = format_local(at("2026-11-22T14:30:07"), BERLIN, seconds=True)
    assert shown == "2026-11-22 14:30:07 CET"


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [
        ("2026-11-22T14:30", "2026-11-22T18:30", "22 Nov 2026, 14:30 – 18:30 CET"),
        ("2026-11-21T18:30", "2026-11-22T18:30", "21 Nov, 18:30 – 22 Nov 2026, 18:30 CET"),
        ("2025-12-31T18:30", "2026-01-01T06:00", "31 Dec 2025, 18:30 – 1 Jan 2026, 06:00 CET"),
        ("2026-10-24T18:30", "2026-10-25T18:30", "24 Oct, 18:30 CEST – 25 Oct 2026, 18:30 CET"),
        ("2026-10-25T01:00", "2026-10-25T04:00", "25 Oct 2026, 01:00 CEST – 04:00 CET"),
    ],
)
def test_a_range_is_shown_without_repetition(start: str, end: str, shown: str) -> None:
    assert format_range(TimeRange(at(start), at(end)), BERLIN) == shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "just now"),
        (59.9, "just now"),
        (60, "1 min"),
        (299, "4 min"),
        (3_599, "59 min"),
        (3_600, "1 h"),
        (7_800, "2 h 10 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 day"),
        (300_000, "3 days"),
    ],
)
def test_an_age_is_told_as_people_say_it(seconds: float, text: str) -> None:
    assert age_text(seconds) == text


# Ticks ------------------------------------------------------------------------------------------


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


spans = st.one_of(
    st.integers(1, 2 * DAY_SECONDS // BUCKET_SECONDS),
    st.integers(1, 3_660 * DAY_SECONDS // BUCKET_SECONDS),
).map(lambda buckets: buckets * BUCKET_SECONDS)


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


# Days and months --------------------------------------------------------------------------------


def test_a_month_is_a_local_one() -> None:
    october = month_range("2026-10", BERLIN)
    assert october.start == at("2026-10-01T00:00+02:00")
    assert october.end == at("2026-11-01T00:00+01:00")
    assert month_range("2026-12", BERLIN).end == at("2027-01-01T00:00+01:00")
    assert month_label("2026-11") == "November 2026"


@pytest.mark.parametrize(
    "month",
    [
        "",
        "2026",
        "2026-1",
        "2026-13",
        "2026-00",
        "26-11",
        "2026-11-01",
        " 2026-11",
        "2026-11\n",
        "1970-12",
        "2201-01",
        f"{ARABIC_2026}-11",
        "x" * 100_000,
    ],
)
def test_what_is_no_month_is_refused(month: str) -> None:
    for read in (month_label, lambda text: month_range(text, BERLIN)):
        with pytest.raises(ValueError, match="is no month; write, for example, 2026-11") as told:
            read(month)
        assert len(str(told.value)) < 120


@given(chosen=zones_and_buckets(1973))
def test_a_moment_lies_in_the_month_that_it_is_said_to_be_in(
    chosen: tuple[ZoneInfo, int],
) -> None:
    zone, bucket = chosen
    month = month_range(month_of(bucket, zone), zone)
    assert month.start <= bucket < month.end
    assert (
        month_of(month.start, zone) == month_of(month.last_bucket, zone) == month_of(bucket, zone)
    )
    assert month_range(month_of(month.end, zone), zone).start == month.end


def test_months_go_back_over_the_year_from_the_local_one() -> None:
    new_year = at("2026-12-31T23:30+00:00")
    assert months_back(new_year, BERLIN, 3) == ["2027-01", "2026-12", "2026-11"]
    assert months_back(new_year + 0.5, ZoneInfo("UTC"), 2) == ["2026-12", "2026-11"]
    assert months_back(new_year, BERLIN, 14)[-1] == "2025-12"


def test_an_offset_of_seconds_is_kept_in_the_input() -> None:
    monrovia = ZoneInfo("Africa/Monrovia")
    noon = at("1971-05-01T12:00+00:00")
    assert format_input(noon, monrovia) == "1971-05-01 11:15:30"
    assert parse_local("1971-05-01 11:15:30", monrovia) == noon


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
