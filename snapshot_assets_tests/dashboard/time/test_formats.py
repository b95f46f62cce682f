"""Times as people read them."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from snapshot_assets.dashboard.time.formats import age_text, format_local, format_range, quick_label
from snapshot_assets.dashboard.time.ranges import QUICK, TimeRange
from snapshot_assets_tests.dashboard.time.times import (
    BERLIN,
    at,
)


def test_quick_ranges_say_how_long_they_are() -> None:
    labels = [quick_label(name) for name in QUICK]
    assert labels[:5] == ["1 hour", "3 hours", "6 hours", "12 hours", "24 hours"]
    assert labels[5:] == ["2 days", "7 days", "14 days", "30 days"]
    assert (QUICK["1h"], QUICK["24h"], QUICK["30d"]) == (3_600, 86_400, 2_592_000)


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("Europe/Berlin", "2026-11-22 14:30 CET"),
        ("UTC", "2026-11-22 13:30 UTC"),
        ("America/Santiago", "2026-11-22 10:30 UTC-03"),
        ("Asia/Kathmandu", "2026-11-22 19:15 UTC+05:45"),
    ],
)
def test_a_time_is_shown_with_its_zone(zone: str, shown: str) -> None:
    assert format_local(at("2026-11-22T13:30+00:00"), ZoneInfo(zone)) == shown


def test_seconds_are_shown_on_request() -> None:
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
def test_an_age_is_shown_as_people_say_it(seconds: float, text: str) -> None:
    assert age_text(seconds) == text
