"""Local months."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from snapshot_assets.dashboard.time.months import local_month, month_label, month_range, months_back
from snapshot_assets_tests.dashboard.time.times import (
    BERLIN,
    at,
    zones_and_buckets,
)

# Digits to int(), but not what is meant here by digits.
ARABIC_2026 = "\u0662\u0660\u0662\u0666"


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
def test_a_text_that_is_not_a_month_is_rejected(month: str) -> None:
    for read in (month_label, lambda text: month_range(text, BERLIN)):
        with pytest.raises(
            ValueError, match="is not a month; write, for example, 2026-11"
        ) as reported:
            read(month)
        assert len(str(reported.value)) < 120


@given(chosen=zones_and_buckets(1973))
def test_a_time_lies_in_its_local_month(
    chosen: tuple[ZoneInfo, int],
) -> None:
    zone, bucket = chosen
    month = month_range(local_month(bucket, zone), zone)
    assert month.start <= bucket < month.end
    assert (
        local_month(month.start, zone)
        == local_month(month.last_bucket, zone)
        == local_month(bucket, zone)
    )
    assert month_range(local_month(month.end, zone), zone).start == month.end


def test_months_go_back_over_the_year_from_the_local_one() -> None:
    new_year = at("2026-12-31T23:30+00:00")
    assert months_back(new_year, BERLIN, 3) == ["2027-01", "2026-12", "2026-11"]
    assert months_back(new_year + 0.5, ZoneInfo("UTC"), 2) == ["2026-12", "2026-11"]
    assert months_back(new_year, BERLIN, 14)[-1] == "2025-12"
